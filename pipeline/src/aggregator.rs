//! Edge aggregator: merges the rows of an epoch, one per key, in the order of keys, and judges how edges
//! and services do ([`crate::health`]).

use std::collections::hash_map::Entry;
use std::hash::Hash;

use portolan_model::{Barrier, CallDelta, CallKey, EdgeDelta, EdgeKey, PathDelta, PathKey};
use rustc_hash::FxHashMap;

use crate::health::{Changes, Doctor};
use crate::{Deltas, LineConfig, Restored, Stage};

/// See the module.
pub struct EdgeAggregator {
    edges: FxHashMap<EdgeKey, EdgeDelta>,
    paths: FxHashMap<PathKey, PathDelta>,
    calls: FxHashMap<CallKey, CallDelta>,
    rest: Deltas,
    doctor: Doctor,
}

impl EdgeAggregator {
    /// An aggregator with nothing in it, that knows what the store remembers of health.
    pub fn new(config: &LineConfig, restored: &Restored) -> Self {
        Self {
            edges: FxHashMap::default(),
            paths: FxHashMap::default(),
            calls: FxHashMap::default(),
            rest: Deltas::default(),
            doctor: Doctor::new(config, restored),
        }
    }
}

impl Stage for EdgeAggregator {
    type In = Deltas;
    type Out = Deltas;
    const NAME: &'static str = "edge_aggregator";

    fn apply(&mut self, batch: Deltas) -> Option<Deltas> {
        for delta in batch.edges {
            upsert(&mut self.edges, delta.key, delta, EdgeDelta::merge);
        }
        for delta in batch.paths {
            upsert(&mut self.paths, delta.key.clone(), delta, PathDelta::merge);
        }
        for delta in batch.calls {
            upsert(&mut self.calls, delta.key, delta, CallDelta::merge);
        }
        self.rest.entities.extend(batch.entities);
        self.rest.owners.extend(batch.owners);
        self.rest.owners_gone.extend(batch.owners_gone);
        // The first stage emits them once an epoch.
        if !batch.notes.is_empty() {
            self.rest.notes = batch.notes;
        }
        self.rest.traces.extend(batch.traces);
        self.rest.traces_gone.extend(batch.traces_gone);
        self.rest.agents = batch.agents.or(self.rest.agents.take());
        self.rest.learned = batch.learned.or(self.rest.learned.take());
        None
    }

    fn barrier(&mut self, barrier: &mut Barrier) -> Option<Deltas> {
        let mut deltas = std::mem::take(&mut self.rest);
        deltas.edges = self.edges.drain().map(|(_, d)| d).filter(changes_edge).collect();
        deltas.paths =
            self.paths.drain().map(|(_, d)| d).filter(|d| !d.counters.is_zero()).collect();
        deltas.calls = self.calls.drain().map(|(_, d)| d).filter(|d| !d.is_zero()).collect();
        deltas.calls.sort_unstable_by_key(|d| d.key);
        deltas.edges.sort_unstable_by_key(|d| d.key);
        deltas.paths.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        deltas.entities.sort_unstable();
        deltas.entities.dedup();
        deltas.owners.sort_unstable();
        deltas.owners.dedup();
        if barrier.rebuild {
            return None;
        }
        deltas.calls.iter().for_each(|row| self.doctor.take(row));
        let Changes { rows, gone } = self.doctor.barrier(barrier);
        (deltas.health, deltas.health_gone) = (rows, gone);
        Some(deltas)
    }

    fn records(batch: &Deltas) -> usize {
        batch.edges.len() + batch.paths.len() + batch.calls.len()
    }
}

fn changes_edge(delta: &EdgeDelta) -> bool {
    !delta.counters.is_zero()
}

fn upsert<K: Hash + Eq, V>(rows: &mut FxHashMap<K, V>, key: K, row: V, merge: fn(&mut V, &V)) {
    match rows.entry(key) {
        Entry::Occupied(mut old) => merge(old.get_mut(), &row),
        Entry::Vacant(new) => {
            new.insert(row);
        }
    }
}
