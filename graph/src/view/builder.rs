//! Sums rows over windows, in any order.

use std::collections::hash_map::Entry;

use portolan_model::{
    Collapse, Counters, Direction, EdgeDelta, EntityId, HopClass, Nanos, PathDelta, PathKey,
    PathKind, Window,
};
use rustc_hash::FxHashMap;

use super::fold::{self, Row, Sum};
use super::rules::applies;
use super::{Doubts, Link, View};

/// Takes rows one at a time, so that a store can visit them without collecting them.
pub struct ViewBuilder {
    collapse: Collapse,
    places: FxHashMap<Link, u32>,
    sums: Vec<Sum>,
    paths: FxHashMap<PathKey, PathDelta>,
}

impl ViewBuilder {
    /// A view of nothing yet.
    pub fn new(collapse: Collapse) -> Self {
        Self {
            collapse,
            places: FxHashMap::default(),
            sums: Vec::new(),
            paths: FxHashMap::default(),
        }
    }

    /// Adds an edge row.
    pub fn edge(&mut self, row: &EdgeDelta) {
        let at = self.place(Link::from(row));
        self.sums[at as usize].add(&row.counters, row.first_ns, row.last_ns);
    }

    /// Adds a path row.
    pub fn path(&mut self, row: &PathDelta) {
        if self.collapse == Collapse::None {
            return;
        }
        let mut row = row.clone();
        row.key.window = Window(0);
        match self.paths.entry(row.key.clone()) {
            Entry::Occupied(mut sum) => sum.get_mut().merge(&row),
            Entry::Vacant(empty) => {
                empty.insert(row);
            }
        }
    }

    /// How many different edges there are so far, before folding.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Folds and sorts.
    pub fn finish(mut self, hop_class: &dyn Fn(EntityId) -> Option<HopClass>) -> View {
        let mut doubts = Doubts::default();
        for sum in &mut self.sums {
            doubts.negative += u64::from(clamp(&mut sum.counters));
        }
        let rows = self.rows(hop_class, &mut doubts);
        fold::fold(self.sums, rows, doubts)
    }

    /// The path rows that apply in this mode, in the order of their keys.
    fn rows(
        &mut self,
        hop_class: &dyn Fn(EntityId) -> Option<HopClass>,
        doubts: &mut Doubts,
    ) -> Vec<Row> {
        let paths = std::mem::take(&mut self.paths);
        let mut paths: Vec<PathDelta> = paths
            .into_values()
            .filter(|p| !p.counters.is_zero() && applies(&p.key, self.collapse, hop_class))
            .collect();
        paths.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let mut rows = Vec::with_capacity(paths.len());
        for mut path in paths {
            doubts.negative += u64::from(clamp(&mut path.counters));
            let (leg, target) = ends(&path.key);
            if Some(leg) == target {
                // A hop that forwards to itself says nothing.
                doubts.circular += 1;
                continue;
            }
            rows.push(Row {
                leg: self.place(leg),
                target: target.map(|link| self.place(link)),
                open: path.counters,
                path,
            });
        }
        rows
    }

    fn place(&mut self, link: Link) -> u32 {
        *self.places.entry(link).or_insert_with(|| {
            self.sums.push(Sum::empty(link));
            (self.sums.len() - 1) as u32
        })
    }
}

/// The raw edge that a row takes from, and the edge that it speaks for.
fn ends(key: &PathKey) -> (Link, Option<Link>) {
    let target = Link {
        layer: key.layer,
        client: key.client,
        server: key.server,
        proto: key.proto,
        port: key.port,
        direction: Direction::Known,
    };
    let leg = Link { port: key.front_port, ..target };
    match (key.kind, key.via.first()) {
        (PathKind::Explained | PathKind::Moved, Some(hop)) => {
            (Link { server: *hop, ..leg }, Some(target))
        }
        _ => (leg, None),
    }
}

/// Makes negative sums zero, and says whether there were any.
fn clamp(counters: &mut Counters) -> bool {
    let sums = *counters.as_array();
    let negative = sums.iter().any(|sum| *sum < 0);
    if negative {
        *counters = Counters::from_array(sums.map(|sum| sum.max(0)));
    }
    negative
}

impl From<&EdgeDelta> for Link {
    fn from(row: &EdgeDelta) -> Self {
        let portolan_model::EdgeKey { window: _, layer, client, server, proto, port, direction } =
            row.key;
        Self { layer, client, server, proto, port, direction }
    }
}

impl Sum {
    fn empty(link: Link) -> Self {
        Self { link, counters: Counters::ZERO, first_ns: Nanos::MAX, last_ns: 0 }
    }

    pub(super) fn add(&mut self, counters: &Counters, first_ns: Nanos, last_ns: Nanos) {
        self.counters.add(counters);
        self.first_ns = self.first_ns.min(first_ns);
        self.last_ns = self.last_ns.max(last_ns);
    }
}
