//! Edge aggregator: merges the rows of an epoch, one per key, in the order of keys, and judges how edges
//! and services do ([`crate::health`]).

use portolan_model::{Barrier, CallDelta, EdgeDelta, PathDelta};

use crate::health::{Changes, Doctor};
use crate::tally::tell;
use crate::{Deltas, LineConfig, Restored, Stage};

/// See the module.
pub struct EdgeAggregator {
    /// What the epoch came to so far. Its rows are merged at the barrier: most come in one batch, and but once.
    deltas: Deltas,
    doctor: Doctor,
}

impl EdgeAggregator {
    /// An aggregator with nothing in it, that knows what the store remembers of health.
    pub fn new(config: &LineConfig, restored: &Restored) -> Self {
        Self { deltas: Deltas::default(), doctor: Doctor::new(config, restored) }
    }
}

#[cfg(test)]
impl EdgeAggregator {
    /// All that is counted in it.
    pub(crate) fn counts(&mut self) -> [crate::tally::Count<'_>; 2] {
        self.doctor.counts()
    }
}

impl Stage for EdgeAggregator {
    type In = Deltas;
    type Out = Deltas;
    const NAME: &'static str = "edge_aggregator";

    fn apply(&mut self, batch: Deltas) -> Option<Deltas> {
        let deltas = &mut self.deltas;
        take(&mut deltas.edges, batch.edges);
        take(&mut deltas.paths, batch.paths);
        take(&mut deltas.calls, batch.calls);
        take(&mut deltas.entities, batch.entities);
        take(&mut deltas.owners, batch.owners);
        take(&mut deltas.owners_gone, batch.owners_gone);
        // The first stage emits them once an epoch.
        if !batch.notes.is_empty() {
            deltas.notes = batch.notes;
        }
        deltas.traces.extend(batch.traces);
        deltas.traces_gone.extend(batch.traces_gone);
        deltas.agents = batch.agents.or(deltas.agents.take());
        deltas.learned = batch.learned.or(deltas.learned.take());
        None
    }

    fn barrier(&mut self, barrier: &mut Barrier) -> Option<Deltas> {
        let mut deltas = std::mem::take(&mut self.deltas);
        // Keys are sorted, and rows, which are ten times as long, moved once.
        deltas.calls.sort_by_cached_key(|d| d.key);
        merge(&mut deltas.calls, |a, b| a.key == b.key, CallDelta::merge);
        deltas.calls.retain(|d| !d.is_zero());
        deltas.edges.sort_by_cached_key(|d| d.key);
        merge(&mut deltas.edges, |a, b| a.key == b.key, EdgeDelta::merge);
        deltas.edges.retain(|d| !d.counters.is_zero());
        deltas.paths.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        merge(&mut deltas.paths, |a, b| a.key == b.key, PathDelta::merge);
        deltas.paths.retain(|d| !d.counters.is_zero());
        deltas.entities.sort_unstable();
        deltas.entities.dedup();
        deltas.owners.sort_unstable();
        deltas.owners.dedup();
        if barrier.rebuild {
            tell(self.doctor.counts(), barrier);
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

fn take<T>(all: &mut Vec<T>, more: Vec<T>) {
    if all.is_empty() {
        *all = more;
    } else {
        all.extend(more);
    }
}

/// Merges neighbours that are the same row.
fn merge<T>(rows: &mut Vec<T>, same: fn(&T, &T) -> bool, merge: fn(&mut T, &T)) {
    rows.dedup_by(|later, row| {
        let is_same = same(later, row);
        if is_same {
            merge(row, later);
        }
        is_same
    });
}
