//! Sums rows over windows, in any order.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use portolan_model::{
    Collapse, Counters, Direction, EdgeDelta, EntityId, Evidence, HopClass, Nanos, PathDelta,
    PathKey, PathKind, Window,
};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::fold::{self, Row, Sum};
use super::rules::applies;
use super::{Doubts, Link, View};

/// Takes rows one at a time, so that a store can visit them without collecting them.
pub struct ViewBuilder {
    collapse: Collapse,
    /// Places in `sums`, by the hash of the link there: a twentieth of the memory that keys of
    /// their own would take, and each look-up ends at the sum that is wanted.
    places: HashTable<u32>,
    sums: Vec<Sum>,
    path_places: FxHashMap<PathKey, u32>,
    path_sums: Vec<PathSum>,
}

#[derive(Copy, Clone)]
struct PathSum {
    counters: Counters,
    first_ns: Nanos,
    last_ns: Nanos,
}

impl ViewBuilder {
    /// A view of nothing yet.
    pub fn new(collapse: Collapse) -> Self {
        Self {
            collapse,
            places: HashTable::new(),
            sums: Vec::new(),
            path_places: FxHashMap::default(),
            path_sums: Vec::new(),
        }
    }

    /// Makes room for so many more edges and paths.
    pub fn reserve(&mut self, edges: usize, paths: usize) {
        let sums = &self.sums;
        self.places.reserve(edges, |at| hash(&sums[*at as usize].link));
        self.sums.reserve(edges);
        if self.collapse != Collapse::None {
            self.path_places.reserve(paths);
            self.path_sums.reserve(paths);
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
        let PathDelta { ref key, counters, first_ns, last_ns } = *row;
        let key = PathKey { window: Window(0), ..key.clone() };
        self.path_sum(key, &PathSum { counters, first_ns, last_ns });
    }

    fn path_sum(&mut self, key: PathKey, more: &PathSum) {
        let next = self.path_sums.len() as u32;
        let at = *self.path_places.entry(key).or_insert(next);
        if at == next {
            self.path_sums.push(*more);
            return;
        }
        let sum = &mut self.path_sums[at as usize];
        sum.counters.add(&more.counters);
        sum.first_ns = sum.first_ns.min(more.first_ns);
        sum.last_ns = sum.last_ns.max(more.last_ns);
    }

    /// Adds all that another one has taken, of the same mode.
    pub fn absorb(&mut self, other: &Self) {
        debug_assert_eq!(self.collapse, other.collapse, "rows were left out by the other's mode");
        for sum in &other.sums {
            let at = self.place(sum.link);
            self.sums[at as usize].add(&sum.counters, sum.first_ns, sum.last_ns);
        }
        for (key, at) in &other.path_places {
            self.path_sum(key.clone(), &other.path_sums[*at as usize]);
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

    /// The path rows that apply in this mode, by leg and then by key.
    fn rows(
        &mut self,
        hop_class: &dyn Fn(EntityId) -> Option<HopClass>,
        doubts: &mut Doubts,
    ) -> Vec<Row> {
        let sums = std::mem::take(&mut self.path_sums);
        let paths = std::mem::take(&mut self.path_places).into_iter();
        let mut keys: Vec<(Link, PathKey, u32)> = paths
            .filter(|(key, at)| {
                !sums[*at as usize].counters.is_zero() && applies(key, self.collapse, hop_class)
            })
            .map(|(key, at)| (ends(&key).0, key, at))
            .collect();
        forget_unclaimed_legs(&mut keys);
        keys.sort_unstable();
        let mut rows = Vec::with_capacity(keys.len());
        for (leg, key, at) in keys {
            let PathSum { mut counters, first_ns, last_ns } = sums[at as usize];
            doubts.negative += u64::from(clamp(&mut counters));
            let target = ends(&key).1;
            if Some(leg) == target {
                // A hop that forwards to itself says nothing.
                doubts.circular += 1;
                continue;
            }
            rows.push(Row {
                leg: self.place(leg),
                target: target.map(|link| self.place(link)),
                kind: key.kind,
                evidence: key.evidence,
                via: key.via,
                open: counters,
                first_ns,
                last_ns,
            });
        }
        rows
    }

    fn place(&mut self, link: Link) -> u32 {
        let sums = &mut self.sums;
        let found = self.places.find(hash(&link), |at| sums[*at as usize].link == link);
        if let Some(at) = found {
            return *at;
        }
        let at = sums.len() as u32;
        sums.push(Sum::empty(link));
        self.places.insert_unique(hash(&link), at, |at| hash(&sums[*at as usize].link));
        at
    }
}

fn hash(link: &Link) -> u64 {
    FxBuildHasher.hash_one(link)
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

/// A hop's own leg is folded because its callers take its place. Where nobody saw a caller, nothing
/// would stand for the traffic: the leg stays. What a record's own translation made is another
/// matter: the record that says so is the caller.
fn forget_unclaimed_legs(keys: &mut Vec<(Link, PathKey, u32)>) {
    let called: FxHashSet<(EntityId, EntityId)> = keys
        .iter()
        .filter(|(_, key, _)| key.kind != PathKind::Leg)
        .flat_map(|(_, key, _)| key.via.iter().map(|hop| (*hop, key.server)))
        .collect();
    keys.retain(|(_, key, _)| {
        key.kind != PathKind::Leg
            || key.evidence == Evidence::Rewrite
            || called.contains(&(key.client, key.server))
    });
}
