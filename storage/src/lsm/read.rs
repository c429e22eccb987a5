//! Reading: every call looks at the view of one whole epoch, and never waits for the writer.

use std::sync::Arc;

use fjall::Readable;
use portolan_model::{
    CallDelta, ChangeRecord, EdgeDelta, Entity, EntityId, HealthRow, Nanos, OwnerRecord, PathDelta,
    TimeRange, TraceRow, Window, WindowLen,
};

use super::buckets::rows;
use super::holes::{Hole, Why};
use super::packs::{self, Reading};
use super::{FjallStore, Shared, View};
use crate::history::{Answer, Apart, History, Level, Plan, Select, as_known};
use crate::keys::{self, Reader};
use crate::records::{
    CHANGE, HEALTH, OWNER, TRACE, changes_from, read_change, read_health, read_owner, read_trace,
};
use crate::row::{Row, read_row};
use crate::{CatalogueRows, Checkpoint, Error, ReadCheckpoint, ReadEdges, ReadHistory, ReadNotes};

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
        let base = &view.levels[0];
        if first < base.sealed {
            let last = last.min(Window(base.sealed.0 - 1));
            let shared = &self.shared;
            let found = packs::windows(shared, &view.snapshot, base, &[R::KIND], (first, last))?;
            for window in found {
                if range.overlaps(window, len) {
                    self.packed(&view, window, visit)?;
                }
            }
        }
        for (keyspace, from, to) in view.open.parts(first.max(base.sealed), last) {
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

    /// Visits the rows of a base window that is packed.
    fn packed<R: Row>(
        &self,
        view: &View,
        window: Window,
        visit: &mut dyn FnMut(&R),
    ) -> Result<(), Error> {
        let select = Select::default();
        // The last window of time has no end of its own.
        let end = Window(window.0.saturating_add(self.shared.len.secs()));
        let read = |reading: &mut Reading<'_, R>| reading.sealed(0, window, end);
        let mut reading = Reading::of(&self.shared, view, &select, read)?;
        reading.sum.visit(window, visit);
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
        let (base, expired) = (&view.levels[0], view.checkpoint.expired);
        for kind in keys::KINDS {
            let parts = || view.open.parts(base.sealed.max(expired), Window(u32::MAX));
            let ends =
                parts()
                    .find_map(|(k, from, to)| rows(&view.snapshot, k, kind, from, to).next())
                    .into_iter()
                    .chain(parts().rev().find_map(|(k, from, to)| {
                        rows(&view.snapshot, k, kind, from, to).next_back()
                    }));
            for guard in ends {
                see(guard.key(), kind)?;
            }
        }
        if let Some(last) = base.sealed.0.checked_sub(1).map(Window) {
            let (shared, held) = (&self.shared, (expired, last));
            let firsts = packs::firsts(shared, &view.snapshot, base, held)?;
            for window in
                firsts.into_iter().chain(packs::lasts(shared, &view.snapshot, base, held)?)
            {
                let (low, high) = span.unwrap_or((window, window));
                span = Some((low.min(window), high.max(window)));
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

impl ReadNotes for FjallReader {
    fn catalogue(&self) -> Arc<CatalogueRows> {
        self.view().catalogue.clone()
    }

    fn health(&self, visit: &mut dyn FnMut(&HealthRow)) -> Result<(), Error> {
        let view = self.view();
        for guard in view.snapshot.prefix(&self.shared.meta, [HEALTH]) {
            let (key, value) = guard.into_inner().map_err(|e| self.shared.fault(&e))?;
            let row = read_health(&key, &value)
                .ok_or_else(|| self.shared.damaged("a row of health does not read"))?;
            visit(&row);
        }
        Ok(())
    }

    fn traces(&self, visit: &mut dyn FnMut(&TraceRow)) -> Result<(), Error> {
        let view = self.view();
        for guard in view.snapshot.prefix(&self.shared.meta, [TRACE]) {
            let (key, value) = guard.into_inner().map_err(|e| self.shared.fault(&e))?;
            let row = read_trace(&key, &value)
                .ok_or_else(|| self.shared.damaged("a trace does not read"))?;
            visit(&row);
        }
        Ok(())
    }

    fn changes(
        &self,
        range: TimeRange,
        visit: &mut dyn FnMut(ChangeRecord) -> bool,
    ) -> Result<(), Error> {
        if range.from >= range.to {
            return Ok(());
        }
        let view = self.view();
        // The last instant of time stands for an open end.
        let to = if range.to == u64::MAX { vec![CHANGE + 1] } else { changes_from(range.to) };
        for guard in view.snapshot.range(&self.shared.meta, changes_from(range.from)..to) {
            let value = guard.value().map_err(|e| self.shared.fault(&e))?;
            let change =
                read_change(&value).ok_or_else(|| self.shared.damaged("a change does not read"))?;
            if !visit(change) {
                break;
            }
        }
        Ok(())
    }
}

impl ReadHistory for FjallReader {
    fn history(&self) -> Box<dyn History + '_> {
        Box::new(FjallHistory { shared: &self.shared, view: self.view() })
    }
}

// === impl FjallHistory ===

/// The store at one epoch.
pub(super) struct FjallHistory<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) view: Arc<View>,
}

impl FjallHistory<'_> {
    pub(super) fn sum<R: Row>(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&R),
    ) -> Result<Answer, Error> {
        let Some(covered) = plan.covered() else { return Ok(Answer::default()) };
        let read = |reading: &mut Reading<'_, R>| {
            for span in &plan.spans {
                let (len, range) = (span.len, span.range);
                let found = self.view.levels.iter().position(|level| level.len == len);
                // A plan of another store's levels reads nothing of them.
                let Some(level) = found else { continue };
                let (from, last) = (len.window(range.from), len.window(range.to.saturating_sub(1)));
                let sealed = self.view.levels[level].sealed;
                if from < sealed {
                    reading.sealed(level, from, sealed.min(last.next(len)))?;
                }
                if level == 0 && last >= sealed {
                    reading.open(from.max(sealed), last)?;
                }
            }
            Ok(())
        };
        let mut reading = Reading::of(self.shared, &self.view, select, read)?;
        reading.sum.visit(self.shared.len.window(covered.from), visit);
        Ok(reading.answer)
    }
}

impl History for FjallHistory<'_> {
    fn checkpoint(&self) -> Arc<Checkpoint> {
        self.view.checkpoint.clone()
    }

    fn levels(&self) -> Vec<Level> {
        let levels = self.view.levels.iter().enumerate();
        levels
            .map(|(at, level)| Level {
                len: level.len,
                first: level.expired,
                end: if at == 0 { Window(u32::MAX) } else { level.sealed },
                sealed: level.sealed,
                disk_bytes: level.disk_bytes()
                    + if at == 0 { self.view.open.disk_bytes() } else { 0 },
            })
            .collect()
    }

    fn levels_at(&self, known_at: Option<Nanos>) -> Result<Vec<Level>, Error> {
        let levels = self.levels();
        let Some(at) = known_at else { return Ok(levels) };
        let (shared, snapshot) = (self.shared, &self.view.snapshot);
        let known =
            self.view.levels.iter().map(|level| packs::packed_after(shared, snapshot, level, at));
        Ok(as_known(&levels, &known.collect::<Result<Vec<_>, _>>()?))
    }

    fn extent(&self) -> Result<Option<TimeRange>, Error> {
        let reader = FjallReader { shared: self.shared.clone(), pinned: Some(self.view.clone()) };
        let len = self.shared.len;
        let base =
            reader.span()?.map(|(from, to)| TimeRange { from: from.start(), to: to.end(len) });
        let mut extent = base;
        for level in &self.view.levels[1..] {
            let Some(last) = level.sealed.0.checked_sub(1).map(Window) else { continue };
            let (held, snapshot) = ((level.expired, last), &self.view.snapshot);
            let firsts = packs::firsts(self.shared, snapshot, level, held)?;
            for window in
                firsts.into_iter().chain(packs::lasts(self.shared, snapshot, level, held)?)
            {
                let (from, to) = (window.start(), window.end(level.len));
                let at = extent.get_or_insert(TimeRange { from, to });
                (at.from, at.to) = (at.from.min(from), at.to.max(to));
            }
        }
        Ok(extent)
    }

    fn apart(&self) -> Vec<Apart> {
        let holes = self.view.holes.iter().filter(|(_, why)| **why == Why::Apart);
        let apart = |(secs, window, kind): Hole| {
            let len = WindowLen::try_new(secs)?;
            Some(Apart { len, window, rows: keys::kind_name(kind) })
        };
        holes.filter_map(|(hole, _)| apart(*hole)).collect()
    }

    fn edges(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&EdgeDelta),
    ) -> Result<Answer, Error> {
        self.sum(plan, select, visit)
    }

    fn paths(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&PathDelta),
    ) -> Result<Answer, Error> {
        self.sum(plan, select, visit)
    }

    fn calls(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&CallDelta),
    ) -> Result<Answer, Error> {
        self.sum(plan, select, visit)
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

impl ReadNotes for FjallStore {
    fn catalogue(&self) -> Arc<CatalogueRows> {
        self.catalogue.clone()
    }

    fn health(&self, visit: &mut dyn FnMut(&HealthRow)) -> Result<(), Error> {
        self.fjall_reader().health(visit)
    }

    fn traces(&self, visit: &mut dyn FnMut(&TraceRow)) -> Result<(), Error> {
        self.fjall_reader().traces(visit)
    }

    fn changes(
        &self,
        range: TimeRange,
        visit: &mut dyn FnMut(ChangeRecord) -> bool,
    ) -> Result<(), Error> {
        self.fjall_reader().changes(range, visit)
    }
}

impl ReadHistory for FjallStore {
    fn history(&self) -> Box<dyn History + '_> {
        Box::new(FjallHistory { shared: &self.shared, view: self.shared.view() })
    }
}
