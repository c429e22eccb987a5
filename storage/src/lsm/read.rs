//! Reading: every call looks at the view of one whole epoch, and never waits for the writer.

use std::sync::Arc;

use fjall::Readable;
use portolan_model::{
    CallDelta, EdgeDelta, Entity, EntityId, OwnerRecord, PathDelta, TimeRange, Window, WindowLen,
};

use super::buckets::{bounds, bucket, rows};
use super::{FjallStore, Shared, View};
use crate::history::{History, Naive};
use crate::keys::{self, Reader};
use crate::records::{OWNER, read_owner};
use crate::row::{Row, read_row};
use crate::{Checkpoint, Error, ReadCheckpoint, ReadEdges, ReadHistory};

/// A reader of a store on disk. Cheap to clone; keeps the directory locked while it lives.
#[derive(Clone)]
pub struct FjallReader {
    shared: Arc<Shared>,
    /// The epoch it stays at; without one it follows the writer.
    pinned: Option<Arc<View>>,
}

// === impl FjallReader ===

impl FjallReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, pinned: None }
    }

    fn view(&self) -> Arc<View> {
        self.pinned.clone().unwrap_or_else(|| self.shared.view())
    }

    fn scan<R: Row>(&self, range: TimeRange, visit: &mut dyn FnMut(&R)) -> Result<(), Error> {
        let Shared { len, .. } = *self.shared;
        let view = self.view();
        let Some(last) = range.to.checked_sub(1).map(|at| len.window(at)) else { return Ok(()) };
        let first = len.window(range.from).max(view.checkpoint.expired);
        if first > last {
            return Ok(());
        }
        for (_, keyspace, from, to) in view.parts(first, last) {
            for guard in rows(&view.snapshot, keyspace, R::KIND, from, to) {
                let (key, value) = guard.into_inner().map_err(|e| self.shared.fault(&e))?;
                let row: R = read_row(&key, &value)
                    .ok_or_else(|| self.shared.damaged("a row does not read"))?;
                if range.overlaps(R::window(row.key()), len) {
                    visit(&row);
                }
            }
        }
        Ok(())
    }
}

impl ReadEdges for FjallReader {
    fn window_len(&self) -> WindowLen {
        self.shared.len
    }

    fn edges(&self, range: TimeRange, visit: &mut dyn FnMut(&EdgeDelta)) -> Result<(), Error> {
        self.scan(range, visit)
    }

    fn paths(&self, range: TimeRange, visit: &mut dyn FnMut(&PathDelta)) -> Result<(), Error> {
        self.scan(range, visit)
    }

    fn calls(&self, range: TimeRange, visit: &mut dyn FnMut(&CallDelta)) -> Result<(), Error> {
        self.scan(range, visit)
    }

    fn entity(&self, id: EntityId) -> Option<Arc<Entity>> {
        self.shared.entity(id)
    }

    fn entities(&self, visit: &mut dyn FnMut(EntityId, &Arc<Entity>)) {
        // A copy of the handles, so that a slow visitor does not hold up the writer.
        let known = self.shared.entities.iter();
        let mut all: Vec<_> = known.map(|row| (*row.key(), row.value().clone())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        for (id, entity) in &all {
            visit(*id, entity);
        }
    }

    fn span(&self) -> Result<Option<(Window, Window)>, Error> {
        let view = self.view();
        let mut span: Option<(Window, Window)> = None;
        let mut see = |key: fjall::Result<fjall::UserKey>, kind: u8| -> Result<(), Error> {
            let key = key.map_err(|e| self.shared.fault(&e))?;
            let window = Reader(&key)
                .window(kind)
                .ok_or_else(|| self.shared.damaged("the key of a row does not read"))?;
            let (low, high) = span.unwrap_or((window, window));
            span = Some((low.min(window), high.max(window)));
            Ok(())
        };
        for kind in keys::KINDS {
            let parts = || view.parts(view.checkpoint.expired, Window(u32::MAX));
            let ends = parts()
                .find_map(|(_, k, from, to)| rows(&view.snapshot, k, kind, from, to).next())
                .into_iter()
                .chain(parts().rev().find_map(|(_, k, from, to)| {
                    rows(&view.snapshot, k, kind, from, to).next_back()
                }));
            for guard in ends {
                see(guard.key(), kind)?;
            }
        }
        Ok(span)
    }

    fn disk_bytes(&self) -> u64 {
        // Journals are allocated ahead; what counts for a disk is what the engine says it takes.
        self.shared.db.disk_space().unwrap_or(0)
    }
}

impl ReadCheckpoint for FjallReader {
    fn checkpoint(&self) -> Result<Checkpoint, Error> {
        Ok(Checkpoint::clone(&self.view().checkpoint))
    }

    fn owners(&self, visit: &mut dyn FnMut(OwnerRecord)) -> Result<(), Error> {
        let view = self.view();
        for guard in view.snapshot.prefix(&self.shared.meta, [OWNER]) {
            let value = guard.value().map_err(|e| self.shared.fault(&e))?;
            let owner =
                read_owner(&value).ok_or_else(|| self.shared.damaged("an owner does not read"))?;
            visit(owner);
        }
        Ok(())
    }
}

impl ReadHistory for FjallReader {
    fn history(&self) -> Box<dyn History + '_> {
        let view = self.view();
        let checkpoint = Checkpoint::clone(&view.checkpoint);
        let pinned = Self { shared: self.shared.clone(), pinned: Some(view) };
        Box::new(Naive::new(pinned, checkpoint))
    }
}

// === impl View ===

impl View {
    /// The buckets between two windows, in order, each with its part of the span.
    fn parts(
        &self,
        first: Window,
        last: Window,
    ) -> impl DoubleEndedIterator<Item = (u32, &fjall::Keyspace, Window, Window)> {
        self.buckets.range(bucket(first)..=bucket(last)).map(move |(number, keyspace)| {
            let (low, high) = bounds(*number);
            (*number, keyspace, low.max(first), high.min(last))
        })
    }
}

// === impl FjallStore ===

impl ReadEdges for FjallStore {
    fn window_len(&self) -> WindowLen {
        self.shared.len
    }

    fn edges(&self, range: TimeRange, visit: &mut dyn FnMut(&EdgeDelta)) -> Result<(), Error> {
        self.fjall_reader().edges(range, visit)
    }

    fn paths(&self, range: TimeRange, visit: &mut dyn FnMut(&PathDelta)) -> Result<(), Error> {
        self.fjall_reader().paths(range, visit)
    }

    fn calls(&self, range: TimeRange, visit: &mut dyn FnMut(&CallDelta)) -> Result<(), Error> {
        self.fjall_reader().calls(range, visit)
    }

    fn entity(&self, id: EntityId) -> Option<Arc<Entity>> {
        self.shared.entity(id)
    }

    fn entities(&self, visit: &mut dyn FnMut(EntityId, &Arc<Entity>)) {
        self.fjall_reader().entities(visit);
    }

    fn span(&self) -> Result<Option<(Window, Window)>, Error> {
        self.fjall_reader().span()
    }

    fn disk_bytes(&self) -> u64 {
        self.fjall_reader().disk_bytes()
    }
}

impl ReadCheckpoint for FjallStore {
    fn checkpoint(&self) -> Result<Checkpoint, Error> {
        self.fjall_reader().checkpoint()
    }

    fn owners(&self, visit: &mut dyn FnMut(OwnerRecord)) -> Result<(), Error> {
        self.fjall_reader().owners(visit)
    }
}

impl ReadHistory for FjallStore {
    fn history(&self) -> Box<dyn History + '_> {
        let view = self.shared.view();
        let checkpoint = Checkpoint::clone(&view.checkpoint);
        let pinned = FjallReader { shared: self.shared.clone(), pinned: Some(view) };
        Box::new(Naive::new(pinned, checkpoint))
    }
}
