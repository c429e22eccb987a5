//! Differences of what is said of connections towards hops, as rows of paths. They are added up here,
//! where they come to be: a busy path is one row for whoever comes next.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use portolan_model::{Counters, Evidence, Nanos, PathDelta, PathKey, PathKind, Via};
use rustc_hash::FxBuildHasher;

use crate::HopConnection;

/// What was last said of where a connection towards a hop went.
pub(super) struct Emitted {
    pub(super) key: PathKey,
    /// What the row moves comes to rest on a balancer's own leg, whose callers stand for it.
    pub(super) leg: bool,
    /// What it counts, and when that was.
    pub(super) of: Arc<HopConnection>,
}

/// Rows of paths as they come to be, one a key.
#[derive(Default)]
pub(super) struct Paths {
    rows: HashTable<PathDelta>,
}

/// Emits what changed between what was said of one connection and what is to be said now.
pub(super) fn emit(old: Option<&Emitted>, new: Option<&Emitted>, out: &mut Paths) {
    match (old, new) {
        (Some(old), Some(new)) if old.key == new.key && old.leg == new.leg => {
            if Arc::ptr_eq(&old.of, &new.of) {
                return;
            }
            let mut counters = new.of.sums();
            counters.subtract(&old.of.sums());
            out.push(new, &counters, (new.of.first_ns, new.of.last_ns));
        }
        _ => {
            if let Some(old) = old {
                let mut counters = Counters::ZERO;
                counters.subtract(&old.of.sums());
                out.push(old, &counters, (Nanos::MAX, 0));
            }
            if let Some(new) = new {
                out.push(new, &new.of.sums(), (new.of.first_ns, new.of.last_ns));
            }
        }
    }
}

// === impl Paths ===

impl Paths {
    fn push(&mut self, of: &Emitted, counters: &Counters, times: (Nanos, Nanos)) {
        self.add(&of.key, counters, times);
        if of.leg {
            let front_port = of.key.port;
            let (via, kind, evidence) = (Via::new(), PathKind::Leg, Evidence::Declared);
            let key = PathKey { front_port, via, kind, evidence, ..of.key.clone() };
            self.add(&key, counters, times);
        }
    }

    fn add(&mut self, key: &PathKey, counters: &Counters, (first_ns, last_ns): (Nanos, Nanos)) {
        let hash = |key: &PathKey| FxBuildHasher.hash_one(key);
        match self.rows.entry(hash(key), |row| row.key == *key, |row| hash(&row.key)) {
            Entry::Occupied(mut row) => {
                let row = row.get_mut();
                row.counters.add(counters);
                row.first_ns = row.first_ns.min(first_ns);
                row.last_ns = row.last_ns.max(last_ns);
            }
            Entry::Vacant(place) => {
                let (key, counters) = (key.clone(), *counters);
                place.insert(PathDelta { key, counters, first_ns, last_ns });
            }
        }
    }

    /// All rows; none are left.
    pub(super) fn take(&mut self) -> Vec<PathDelta> {
        self.rows.drain().collect()
    }
}
