//! Sums rows over windows, in any order.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use portolan_model::{
    Collapse, Counters, Direction, EdgeDelta, EntityId, Evidence, HopClass, Nanos, PathDelta,
    PathKey, PathKind, Window,
};
use rustc_hash::{FxBuildHasher, FxHashSet};

use super::fold::{self, Row};
use super::possible::{self, Outlet};
use super::rules::applies;
use super::{Doubts, Edge, Link, View};

/// Takes rows one at a time, so that a store can visit them without collecting them.
pub struct ViewBuilder {
    collapse: Collapse,
    /// Places in `sums`, by the hash of the link there: a twentieth of the memory that keys of
    /// their own would take, and each look-up ends at the sum that is wanted. The first so many are in it: rows that
    /// come in the order of links are not, until somebody asks.
    places: HashTable<u32>,
    sums: Vec<Edge>,
    /// Whether the sums are in the order of links.
    ascending: bool,
    /// The place behind the last row's: what is summed again and again mostly comes in one order.
    next: usize,
    path_places: HashTable<u32>,
    path_sums: Vec<PathSum>,
    next_path: usize,
}

/// Places behind the expected one that are looked at before a row is looked up: some rows are not there each time.
const AHEAD: usize = 3;

struct PathSum {
    key: PathKey,
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
            ascending: true,
            next: 0,
            path_places: HashTable::new(),
            path_sums: Vec::new(),
            next_path: 0,
        }
    }

    /// Makes room for so many more edges and paths.
    pub fn reserve(&mut self, edges: usize, paths: usize) {
        self.sums.reserve(edges);
        if self.collapse != Collapse::None {
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
        self.path_sum(PathSum { key, counters, first_ns, last_ns });
    }

    fn path_sum(&mut self, more: PathSum) {
        let sums = &mut self.path_sums;
        let ahead = sums.iter().enumerate().skip(self.next_path).take(AHEAD);
        let found = ahead.filter(|(_, sum)| sum.key == more.key).map(|(at, _)| at).next();
        let hash = |key: &PathKey| FxBuildHasher.hash_one(key);
        let same = |at: &u32| sums[*at as usize].key == more.key;
        let found = found.or_else(|| {
            let at = self.path_places.find(hash(&more.key), same);
            at.map(|at| *at as usize)
        });
        let Some(at) = found else {
            self.next_path = sums.len() + 1;
            let at = sums.len() as u32;
            sums.push(more);
            let hash_at = |at: &u32| hash(&sums[*at as usize].key);
            self.path_places.insert_unique(hash_at(&at), at, hash_at);
            return;
        };
        self.next_path = at + 1;
        let sum = &mut sums[at];
        sum.counters.add(&more.counters);
        sum.first_ns = sum.first_ns.min(more.first_ns);
        sum.last_ns = sum.last_ns.max(more.last_ns);
    }

    /// Adds all that another one has taken, of the same mode.
    pub fn absorb(&mut self, other: &Self) {
        debug_assert_eq!(self.collapse, other.collapse, "rows were left out by the other's mode");
        (self.next, self.next_path) = (0, 0);
        if self.sums.is_empty() {
            // Nearly all that will come: growing would move it several times.
            self.reserve(other.sums.len(), other.path_sums.len());
        }
        for sum in &other.sums {
            let at = self.place(sum.link);
            self.sums[at as usize].add(&sum.counters, sum.first_ns, sum.last_ns);
        }
        for PathSum { key, counters, first_ns, last_ns } in &other.path_sums {
            let (counters, first_ns, last_ns) = (*counters, *first_ns, *last_ns);
            self.path_sum(PathSum { key: key.clone(), counters, first_ns, last_ns });
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
        self.take(hop_class)
    }

    /// The same; it is as new then.
    pub fn take(&mut self, hop_class: &dyn Fn(EntityId) -> Option<HopClass>) -> View {
        let mut doubts = Doubts::default();
        for sum in &mut self.sums {
            doubts.negative += u64::from(clamp(&mut sum.counters));
        }
        let outlets = self.outlets(hop_class);
        let rows = self.rows(hop_class, &mut doubts);
        self.places.clear();
        (self.ascending, self.next, self.next_path) = (true, 0, 0);
        let mut view = fold::fold(std::mem::take(&mut self.sums), rows, doubts);
        if let Some(outlets) = outlets {
            possible::add(&mut view, outlets, hop_class);
        }
        view
    }

    /// Where the path rows that apply say that something came out of hops, if the mode asks for that.
    fn outlets(&self, hop_class: &dyn Fn(EntityId) -> Option<HopClass>) -> Option<Vec<Outlet>> {
        let asked = self.collapse == Collapse::Possible;
        let is_there = |sum: &&PathSum| {
            sum.counters.is_present() && applies(&sum.key, self.collapse, hop_class)
        };
        let there =
            || self.path_sums.iter().filter(is_there).flat_map(|s| possible::of_path(&s.key));
        asked.then(|| there().collect())
    }

    /// Takes the memory of a view that is done with: fresh pages are a good part of what a view costs.
    pub fn reuse(&mut self, view: View) {
        if self.sums.capacity() == 0 {
            self.sums = view.edges;
            self.sums.clear();
        }
    }

    /// The path rows that apply in this mode, by leg and then by key.
    fn rows(
        &mut self,
        hop_class: &dyn Fn(EntityId) -> Option<HopClass>,
        doubts: &mut Doubts,
    ) -> Vec<Row> {
        self.path_places.clear();
        let paths = std::mem::take(&mut self.path_sums).into_iter();
        let mut keys: Vec<(Link, PathSum)> = paths
            .filter(|sum| !sum.counters.is_zero() && applies(&sum.key, self.collapse, hop_class))
            .map(|sum| (ends(&sum.key).0, sum))
            .collect();
        forget_unclaimed_legs(&mut keys);
        keys.sort_unstable_by(|(a, x), (b, y)| (a, &x.key).cmp(&(b, &y.key)));
        let mut rows = Vec::with_capacity(keys.len());
        for (leg, PathSum { key, mut counters, first_ns, last_ns }) in keys {
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
        let ahead = self.sums.iter().enumerate().skip(self.next).take(AHEAD);
        let found = ahead.filter(|(_, sum)| sum.link == link).map(|(at, _)| at).next();
        let at = found.unwrap_or_else(|| self.look_up(link));
        self.next = at + 1;
        at as u32
    }

    fn look_up(&mut self, link: Link) -> usize {
        let next = self.sums.len();
        let greatest = self.sums.last().is_none_or(|last| last.link < link);
        if !(self.ascending && greatest) {
            let sums = &self.sums;
            let hash_at = |at: &u32| hash(&sums[*at as usize].link);
            if self.places.len() < next {
                self.places.reserve(next - self.places.len(), hash_at);
            }
            for at in self.places.len() as u32..next as u32 {
                self.places.insert_unique(hash_at(&at), at, hash_at);
            }
            let found = self.places.find(hash(&link), |at| sums[*at as usize].link == link);
            if let Some(at) = found {
                return *at as usize;
            }
        }
        self.ascending &= greatest;
        self.sums.push(Edge::nothing(link));
        next
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

impl Edge {
    /// An edge of which nothing is counted yet.
    pub(super) fn nothing(link: Link) -> Self {
        Self {
            link,
            counters: Counters::ZERO,
            first_ns: Nanos::MAX,
            last_ns: 0,
            paths: Vec::new(),
            residual: false,
            calls: Vec::new(),
            possible: Vec::new(),
        }
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
fn forget_unclaimed_legs(keys: &mut Vec<(Link, PathSum)>) {
    let called: FxHashSet<(EntityId, EntityId)> = keys
        .iter()
        .map(|(_, sum)| &sum.key)
        .filter(|key| key.kind != PathKind::Leg)
        .flat_map(|key| key.via.iter().map(|hop| (*hop, key.server)))
        .collect();
    keys.retain(|(_, PathSum { key, .. })| {
        key.kind != PathKind::Leg
            || key.evidence == Evidence::Rewrite
            || called.contains(&(key.client, key.server))
    });
}
