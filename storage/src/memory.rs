//! A store in memory: what `portolan map` and the tests run on, and the oracle of every other store.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use portolan_model::{
    CallDelta, CallKey, ChangeKey, ChangeRecord, EdgeDelta, EdgeKey, Entity, EntityId, EpochCommit,
    HealthKey, HealthRow, OwnerKey, OwnerRecord, PathDelta, PathKey, TimeRange, TraceRow, Window,
    WindowLen,
};

use crate::codec::{CallSums, Sums};
use crate::history::{History, Naive};
use crate::notes::{self, CatalogueRows, ReadNotes};
use crate::row::{Row, Sum};
use crate::{Checkpoint, CommitEpoch, Error, ReadCheckpoint, ReadEdges, ReadHistory, checkpoint};

/// A store without a disk. A clone is another handle of the same store.
#[derive(Clone)]
pub struct MemoryStore {
    len: WindowLen,
    inner: Arc<RwLock<Arc<Inner>>>,
}

#[derive(Clone, Default)]
struct Inner {
    edges: BTreeMap<EdgeKey, Sums>,
    paths: BTreeMap<PathKey, Sums>,
    calls: BTreeMap<CallKey, CallSums>,
    entities: BTreeMap<EntityId, Arc<Entity>>,
    owners: BTreeMap<OwnerKey, OwnerRecord>,
    catalogue: Arc<CatalogueRows>,
    changes: BTreeMap<ChangeKey, ChangeRecord>,
    health: BTreeMap<HealthKey, HealthRow>,
    traces: BTreeMap<u128, TraceRow>,
    checkpoint: Checkpoint,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store for windows of this length.
    pub fn new(len: WindowLen) -> Self {
        Self { len, inner: Arc::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Arc<Inner>> {
        // A commit changes the maps without any step that can panic half-way through a row.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadEdges for MemoryStore {
    fn window_len(&self) -> WindowLen {
        self.len
    }

    fn edges(&self, range: TimeRange, visit: &mut dyn FnMut(&EdgeDelta)) -> Result<(), Error> {
        scan(&self.read().edges, range, self.len, visit);
        Ok(())
    }

    fn paths(&self, range: TimeRange, visit: &mut dyn FnMut(&PathDelta)) -> Result<(), Error> {
        scan(&self.read().paths, range, self.len, visit);
        Ok(())
    }

    fn calls(&self, range: TimeRange, visit: &mut dyn FnMut(&CallDelta)) -> Result<(), Error> {
        scan(&self.read().calls, range, self.len, visit);
        Ok(())
    }

    fn entity(&self, id: EntityId) -> Option<Arc<Entity>> {
        self.read().entities.get(&id).cloned()
    }

    fn entities(&self, visit: &mut dyn FnMut(EntityId, &Arc<Entity>)) {
        for (id, entity) in &self.read().entities {
            visit(*id, entity);
        }
    }

    fn span(&self) -> Result<Option<(Window, Window)>, Error> {
        let inner = self.read();
        let windows = || {
            let edges = inner.edges.keys().map(|k| k.window);
            let paths = inner.paths.keys().map(|k| k.window);
            edges.chain(paths).chain(inner.calls.keys().map(|k| k.window))
        };
        Ok(windows().min().zip(windows().max()))
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

impl ReadCheckpoint for MemoryStore {
    fn checkpoint(&self) -> Result<Checkpoint, Error> {
        Ok(self.read().checkpoint.clone())
    }

    fn owners(&self, visit: &mut dyn FnMut(OwnerRecord)) -> Result<(), Error> {
        self.read().owners.values().cloned().for_each(visit);
        Ok(())
    }
}

impl ReadNotes for MemoryStore {
    fn catalogue(&self) -> Arc<CatalogueRows> {
        self.read().catalogue.clone()
    }

    fn health(&self, visit: &mut dyn FnMut(&HealthRow)) -> Result<(), Error> {
        self.read().health.values().for_each(visit);
        Ok(())
    }

    fn traces(&self, visit: &mut dyn FnMut(&TraceRow)) -> Result<(), Error> {
        self.read().traces.values().for_each(visit);
        Ok(())
    }

    fn changes(
        &self,
        range: TimeRange,
        visit: &mut dyn FnMut(ChangeRecord) -> bool,
    ) -> Result<(), Error> {
        let from = ChangeKey { at: range.from, id: "".into() };
        for (key, change) in self.read().changes.range(from..) {
            if key.at >= range.to || !visit(change.clone()) {
                break;
            }
        }
        Ok(())
    }
}

impl ReadHistory for MemoryStore {
    fn history(&self) -> Box<dyn History + '_> {
        let inner = self.read().clone();
        let checkpoint = inner.checkpoint.clone();
        let pinned = Self { len: self.len, inner: Arc::new(RwLock::new(inner)) };
        Box::new(Naive::new(pinned, checkpoint))
    }
}

impl CommitEpoch for MemoryStore {
    fn commit(&mut self, commit: &EpochCommit) -> Result<(), Error> {
        let mut guard = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        // Copied if a history still looks at the epoch before.
        let inner = Arc::make_mut(&mut guard);
        checkpoint::follows(&inner.checkpoint, commit)?;
        let expired = checkpoint::expired(inner.checkpoint.expired, commit, self.len);
        let moved = expired != inner.checkpoint.expired;
        let (edges, late_edges) = checkpoint::admit(&commit.edges, expired);
        let (paths, late_paths) = checkpoint::admit(&commit.paths, expired);
        let (calls, late_calls) = checkpoint::admit(&commit.calls, expired);
        let late = late_edges + late_paths + late_calls;
        edges.iter().for_each(|row| merge(&mut inner.edges, row));
        paths.iter().for_each(|row| merge(&mut inner.paths, row));
        calls.iter().for_each(|row| merge(&mut inner.calls, row));
        if moved {
            inner.edges.retain(|key, _| key.window >= expired);
            inner.paths.retain(|key, _| key.window >= expired);
            inner.calls.retain(|key, _| key.window >= expired);
        }
        for (id, entity) in &commit.entities {
            inner.entities.insert(*id, Arc::new(entity.clone()));
        }
        for gone in &commit.owners_gone {
            inner.owners.remove(gone);
        }
        for owner in &commit.owners {
            inner.owners.insert(owner.key(), owner.clone());
        }
        notes::advance(&mut inner.catalogue, &commit.notes);
        for gone in &commit.notes.changes_gone {
            inner.changes.remove(gone);
        }
        for change in &commit.notes.changes {
            inner.changes.insert(change.key(), change.clone());
        }
        for gone in &commit.traces_gone {
            inner.traces.remove(gone);
        }
        inner.traces.extend(commit.traces.iter().map(|row| (row.trace, row.clone())));
        for gone in &commit.health_gone {
            inner.health.remove(gone);
        }
        inner.health.extend(commit.health.iter().map(|row| (row.key, *row)));
        checkpoint::advance(&mut inner.checkpoint, commit, expired, late);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

fn merge<R: Row>(rows: &mut BTreeMap<R::Key, R::Sums>, row: &R) {
    let mut sums = rows.remove(row.key()).unwrap_or_else(R::Sums::zero);
    sums.merge(&row.sums());
    if !sums.is_zero() {
        rows.insert(row.key().clone(), sums);
    }
}

fn scan<R: Row>(
    rows: &BTreeMap<R::Key, R::Sums>,
    range: TimeRange,
    len: WindowLen,
    visit: &mut dyn FnMut(&R),
) {
    for (key, sums) in rows {
        if range.overlaps(R::window(key), len) {
            visit(&R::new(key.clone(), sums.clone()));
        }
    }
}
