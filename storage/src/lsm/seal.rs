//! Sealing: what is settled is packed, level by level, in writes of their own between the epochs.
//!
//! A write of this kind changes no sum, so that it can be cut off anywhere: the marks say how far it
//! came, and they are in its batch. It has a number of its own in the ledger, as an epoch has.

use std::sync::Arc;

use fjall::{OwnedWriteBatch, PersistMode};
use portolan_model::{CallDelta, EdgeDelta, PathDelta, Window};

use super::holes::{self, Hole, Why};
use super::levels::{SEAL_LAG_SECS, put_marks};
use super::packs::{self, Reading};
use super::{FjallStore, View};
use crate::history::Select;
use crate::pack::Packed;
use crate::records::{MARKS, put_tally, tally_key};
use crate::row::Row;
use crate::{Error, keys};

/// Rows packed after an epoch, at least: about a tenth of a second. Twice what the epoch wrote, if that is
/// more, so that what is open cannot grow.
const STEP_ROWS: usize = 100_000;

/// The parts of one window, by kind.
struct Parts {
    edges: Vec<Packed>,
    paths: Vec<Packed>,
    calls: Vec<Packed>,
    /// Kinds of rows of which some finer window did not read.
    lacks: Vec<u8>,
}

// === impl FjallStore ===

impl FjallStore {
    /// Packs what is settled, a bounded number of rows.
    pub(super) fn seal(&mut self, wrote: usize) -> Result<(), Error> {
        let mut budget = STEP_ROWS.max(wrote * 2);
        for level in 0..self.levels.len() {
            while let Some((window, until)) = self.next_to_seal(level)? {
                let rows = self.seal_window(level, window, until)?;
                budget = budget.saturating_sub(rows + 1_000);
                if budget == 0 {
                    return Ok(());
                }
            }
        }
        self.merge_late(&mut budget)
    }

    /// Where a level can be sealed up to.
    fn target(&self, level: usize) -> Window {
        let at = &self.levels[level];
        match level.checked_sub(1) {
            None => at.len.window(
                self.checkpoint
                    .folded
                    .start()
                    .saturating_sub(u64::from(SEAL_LAG_SECS) * 1_000_000_000),
            ),
            Some(finer) => at.len.window(self.levels[finer].sealed.start()),
        }
    }

    /// The next window to pack, if it has rows, and the mark after it; nothing if the level is up to date.
    fn next_to_seal(&self, level: usize) -> Result<Option<(Option<Window>, Window)>, Error> {
        let (at, target) = (&self.levels[level], self.target(level));
        if target <= at.sealed {
            return Ok(None);
        }
        let view = self.shared.view();
        let (from, last) = (at.sealed, Window(target.0 - 1));
        let first = |from: Window| -> Result<Option<Window>, Error> {
            let found = match level.checked_sub(1) {
                None => self.first_open(&view, from, last).map_err(|e| self.shared.fault(&e)),
                Some(finer) => {
                    packs::first(&self.shared, &view.snapshot, &view.levels[finer], from, last)
                }
            }?;
            Ok(found.map(|window| at.len.window(window.start())))
        };
        let Some(window) = first(from)? else { return Ok(Some((None, target))) };
        let next = window.next(at.len);
        let until = if next >= target { target } else { first(next)?.unwrap_or(target) };
        Ok(Some((Some(window), until)))
    }

    fn first_open(&self, view: &View, from: Window, last: Window) -> fjall::Result<Option<Window>> {
        let mut first: Option<Window> = None;
        for kind in keys::KINDS {
            let rows = view.open.parts(from, last).find_map(|(keyspace, low, high)| {
                super::buckets::rows(&view.snapshot, keyspace, kind, low, high).next()
            });
            let Some(guard) = rows else { continue };
            if let Some(window) = keys::Reader(&guard.key()?).window(kind) {
                let window = self.shared.len.window(window.start());
                first = Some(first.map_or(window, |first| first.min(window)));
            }
        }
        Ok(first)
    }

    /// Packs a window of a level, and moves the mark. The number of rows comes back.
    fn seal_window(
        &mut self,
        level: usize,
        window: Option<Window>,
        until: Window,
    ) -> Result<usize, Error> {
        let shared = self.shared.clone();
        let view = shared.view();
        let mut batch = shared.db.batch().durability(Some(PersistMode::Buffer));
        let mut touched = self.touched.clone();
        let number = self.written + 1;
        let mut rows = 0;
        let mut lacking: Vec<Hole> = Vec::new();
        if let Some(window) = window {
            let parts = self.parts(&view, level, window)?;
            let at = &mut self.levels[level];
            let number_of = at.packs.number(window);
            let keyspace = at.packs.place(&shared, number_of)?;
            let place = (window, self.checkpoint.clock);
            parts
                .edges
                .iter()
                .for_each(|p| packs::put::<EdgeDelta>(&mut batch, &keyspace, place, p));
            parts
                .paths
                .iter()
                .for_each(|p| packs::put::<PathDelta>(&mut batch, &keyspace, place, p));
            parts
                .calls
                .iter()
                .for_each(|p| packs::put::<CallDelta>(&mut batch, &keyspace, place, p));
            rows = parts.rows();
            let secs = at.len.secs();
            lacking.extend(parts.lacks.iter().map(|kind| (secs, window, *kind)));
            let name = keyspace.name().to_string();
            touched.touch(&mut batch, &shared.meta, &name, &keyspace, number);
        }
        let before = self.levels[level].sealed;
        self.levels[level].sealed = until;
        let mut marks = Vec::new();
        put_marks(&mut marks, &self.levels);
        batch.insert(&shared.meta, [MARKS], marks);
        let told = self.checkpoint.clone();
        if !lacking.is_empty() {
            self.put_holes(&mut batch, &lacking);
        }
        let mut packed = Vec::new();
        if level == 0 && self.open.has_expired(until) {
            packed = self.open.expire(until);
            for name in &packed {
                touched.forget(&mut batch, &shared.meta, name);
            }
        }
        self.put_number(&mut batch, &mut touched, number);
        if let Err(e) = batch.commit() {
            self.levels[level].sealed = before;
            self.checkpoint = told;
            return Err(shared.fault(&e));
        }
        self.touched = touched;
        self.written = number;
        Arc::make_mut(&mut self.holes).extend(lacking.into_iter().map(|hole| (hole, Why::Merged)));
        self.publish();
        if level == 0 {
            self.edges.expire(until);
            self.paths.expire(until);
            self.calls.expire(until);
        }
        if !packed.is_empty()
            && let Err(e) = self.open.drop_doomed(&shared.db, until)
        {
            // The rows are out of sight; the files go with the next window or open.
            tracing::warn!(error = %e, "could not delete packed windows");
        }
        Ok(rows)
    }

    /// Writes that a window lacks something, and counts it.
    fn put_holes(&mut self, batch: &mut OwnedWriteBatch, lacking: &[Hole]) {
        let shared = self.shared.clone();
        for hole in lacking {
            let (secs, window, kind) = *hole;
            let store = shared.path.display();
            tracing::error!(%store, secs, window = window.0, kind, "a window is sealed without one that does not read");
            batch.insert(&shared.meta, holes::key(*hole), holes::value(Why::Merged));
        }
        let checkpoint = Arc::make_mut(&mut self.checkpoint);
        crate::checkpoint::add(checkpoint, holes::TALLY, lacking.len() as i64);
        let total = checkpoint.tallies.iter().find(|(name, _)| &**name == holes::TALLY);
        let mut value = Vec::new();
        put_tally(&mut value, holes::TALLY, total.map_or(0, |(_, total)| *total));
        batch.insert(&shared.meta, tally_key(holes::TALLY), value);
    }

    fn parts(&self, view: &View, level: usize, window: Window) -> Result<Parts, Error> {
        let mut lacks = Vec::new();
        Ok(Parts {
            edges: self.pack::<EdgeDelta>(view, level, window, &mut lacks)?,
            paths: self.pack::<PathDelta>(view, level, window, &mut lacks)?,
            calls: self.pack::<CallDelta>(view, level, window, &mut lacks)?,
            lacks,
        })
    }

    fn pack<R: Row>(
        &self,
        view: &View,
        level: usize,
        window: Window,
        lacks: &mut Vec<u8>,
    ) -> Result<Vec<Packed>, Error> {
        let select = Select::default();
        let next = window.next(self.levels[level].len);
        let read = |reading: &mut Reading<'_, R>| match level.checked_sub(1) {
            None => reading.open(window, window),
            Some(finer) => reading.sealed(finer, window, next),
        };
        let mut reading = Reading::of(&self.shared, view, &select, read)?;
        if !reading.answer.unreadable.is_empty() {
            lacks.push(R::KIND);
        }
        Ok(reading.sum.pack(window))
    }
}

// === impl Parts ===

impl Parts {
    fn rows(&self) -> usize {
        self.edges.iter().chain(&self.paths).chain(&self.calls).map(|packed| packed.rows).sum()
    }
}
