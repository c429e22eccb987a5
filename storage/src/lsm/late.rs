//! Late rows: changes of windows that are packed.
//!
//! ```text
//! first part ┐                         few in an epoch ──► late rows
//! late parts ├─ added up: the window   many            ──► a late part
//! late rows  ┘                         many late parts ──► one
//! ```
//!
//! They are written as they come, at each level that has sealed their window. Reading a row takes as long as a hundred that are
//! packed: many of a window are packed at once, or an agent whose clock is minutes behind would make a day take half
//! a minute to read. (Packing rows that are written already would leave what is deleted to be stepped over.) That late parts
//! become one changes no sum, so that it can be cut off anywhere, as sealing can.

use std::collections::{BTreeMap, BTreeSet};

use fjall::{OwnedWriteBatch, PersistMode};
use portolan_model::{CallDelta, EdgeDelta, EpochCommit, Nanos, PathDelta, Window};

use super::buckets::rows;
use super::ledger::Touched;
use super::levels::{LevelState, LevelView, Mark};
use super::packs::{self, Reading};
use super::{FjallStore, Shared, View};
use crate::history::Select;
use crate::pack::{Packed, Summer};
use crate::row::{Row, Sum, tidy};
use crate::{Error, keys};

/// Late parts of a window beyond which they become one: each takes some 50 µs to begin with.
const MANY_PARTS: usize = 8;

/// Windows of which the parts are known, at most: a day of base windows, and all above.
const MOST_WATCHED: usize = 10_000;

/// A window of a level, by its number.
type Of = (usize, Window);

/// The parts of a window, the first among them.
#[derive(Copy, Clone, Default)]
struct Parts {
    number: usize,
    /// The last clock reading at which one was packed.
    last: Nanos,
}

/// The late parts of windows, as far as they were needed.
pub(super) struct LateParts {
    /// Late rows of a window in one epoch from which on they are packed.
    many: usize,
    parts: BTreeMap<Of, Parts>,
    crowded: BTreeSet<Of>,
}

/// The changes of sealed windows in an epoch, on their way to the levels that have sealed them.
pub(super) struct Late<'a> {
    pub(super) batch: OwnedWriteBatch,
    pub(super) touched: Touched,
    number: u64,
    commit: &'a EpochCommit,
    marks: &'a [Mark],
    /// Windows that get a part in this epoch.
    packed: BTreeSet<Of>,
    /// Rows whose windows no level holds any more.
    pub(super) dropped: usize,
}

// === impl LateParts ===

impl LateParts {
    pub(super) fn new(many: usize) -> Self {
        Self { many, parts: BTreeMap::new(), crowded: BTreeSet::new() }
    }

    /// The next window that has many.
    fn next(&mut self) -> Option<Of> {
        self.crowded.pop_first()
    }

    /// Makes a part of a window at a clock reading, if it is later than those of all others: no part may take the place
    /// of another, and clocks may stand still.
    fn begin(&mut self, shared: &Shared, of: Of, clock: Nanos) -> Result<bool, Error> {
        if !self.parts.contains_key(&of) {
            let view = shared.view();
            let Some(known) = known(shared, &view, &view.levels[of.0], of.1)? else {
                return Ok(false);
            };
            while self.parts.len() >= MOST_WATCHED {
                // The oldest of the finest level: it goes first anyway.
                self.parts.pop_first();
            }
            let last = known.last().copied().unwrap_or(0);
            self.parts.insert(of, Parts { number: known.len(), last });
        }
        let parts = self.parts.entry(of).or_default();
        if clock <= parts.last {
            return Ok(false);
        }
        *parts = Parts { number: parts.number + 1, last: clock };
        if parts.number > 1 + MANY_PARTS {
            self.crowded.insert(of);
        }
        Ok(true)
    }
}

// === impl Late ===

impl<'a> Late<'a> {
    pub(super) fn new(
        batch: OwnedWriteBatch,
        touched: Touched,
        number: u64,
        commit: &'a EpochCommit,
        marks: &'a [Mark],
    ) -> Self {
        Self { batch, touched, number, commit, marks, packed: BTreeSet::new(), dropped: 0 }
    }

    pub(super) fn put<R: Row>(
        &mut self,
        levels: &mut [LevelState],
        parts: &mut LateParts,
        shared: &Shared,
        rows: &[R],
    ) -> Result<(), Error> {
        let mut kept = vec![false; rows.len()];
        for (at, (level, mark)) in levels.iter_mut().zip(self.marks).enumerate() {
            let mut here = Vec::new();
            for (row, kept) in rows.iter().zip(&mut kept) {
                let window = level.len.window(R::window(row.key()).start());
                if window >= mark.expired && window < mark.sealed {
                    here.push(R::new(R::moved(row.key(), window), row.sums()));
                    *kept = true;
                }
            }
            let mut here = tidy(&here).into_owned();
            here.retain(|row| !row.sums().is_zero());
            for rows in here.chunk_by(|a, b| R::window(a.key()) == R::window(b.key())) {
                self.put_window((at, level), parts, shared, rows)?;
            }
        }
        self.dropped += kept.iter().filter(|kept| !**kept).count();
        Ok(())
    }

    /// Puts the rows of one window.
    fn put_window<R: Row>(
        &mut self,
        (at, level): (usize, &mut LevelState),
        parts: &mut LateParts,
        shared: &Shared,
        rows: &[R],
    ) -> Result<(), Error> {
        let Some(window) = rows.first().map(|row| R::window(row.key())) else { return Ok(()) };
        let (clock, epoch) = (self.commit.clock, self.commit.epoch);
        let is_packed = rows.len() >= parts.many
            && (self.packed.contains(&(at, window)) || parts.begin(shared, (at, window), clock)?);
        let keyspace = if is_packed {
            self.packed.insert((at, window));
            let keyspace = level.packs.place(shared, level.packs.number(window))?;
            let mut sum = Summer::<R>::new();
            sum.add_rows(rows);
            for part in sum.pack_changes(window) {
                packs::put::<R>(&mut self.batch, &keyspace, (window, clock), &part);
            }
            keyspace
        } else {
            let keyspace = level.late.place(shared, level.late.number(window))?;
            for row in rows {
                let (key, sums) = (row.key(), row.sums());
                packs::put_late::<R>(&mut self.batch, &keyspace, (clock, epoch), key, &sums);
            }
            keyspace
        };
        let name = keyspace.name().to_string();
        self.touched.touch(&mut self.batch, &shared.meta, &name, &keyspace, self.number);
        Ok(())
    }
}

// === impl FjallStore ===

impl FjallStore {
    /// Makes the late parts of windows that have many one, as long as there is some budget.
    pub(super) fn merge_late(&mut self, budget: &mut usize) -> Result<(), Error> {
        while *budget > 0
            && let Some((level, window)) = self.late_parts.next()
        {
            let rows = self.merge_late_of(level, window)?;
            *budget = budget.saturating_sub(rows + 1_000);
        }
        Ok(())
    }

    /// Makes the late parts of a window one. A window of which something does not read is left as it is. The number of rows
    /// that were packed comes back.
    fn merge_late_of(&mut self, level: usize, window: Window) -> Result<usize, Error> {
        let shared = self.shared.clone();
        let view = shared.view();
        let at = &view.levels[level];
        if window < at.expired || window >= at.sealed {
            return Ok(0);
        }
        let known = known(&shared, &view, at, window)?.unwrap_or_default();
        let (Some(first), Some(last)) = (known.first().copied(), known.last().copied()) else {
            return Ok(0);
        };
        let parts = [
            self.late_part::<EdgeDelta>(&view, level, window, first)?,
            self.late_part::<PathDelta>(&view, level, window, first)?,
            self.late_part::<CallDelta>(&view, level, window, first)?,
        ];
        let [Some(edges), Some(paths), Some(calls)] = parts else { return Ok(0) };
        let Some(merged) = after(&shared, &view, at, (window, first))? else { return Ok(0) };

        let mut batch = shared.db.batch().durability(Some(PersistMode::Buffer));
        let mut touched = self.touched.clone();
        let number = self.written + 1;
        // Another key than any of those that go.
        let clock = self.checkpoint.clock.max(last + 1);
        let state = &mut self.levels[level];
        let keyspace = state.packs.place(&shared, state.packs.number(window))?;
        for part in &edges {
            packs::put::<EdgeDelta>(&mut batch, &keyspace, (window, clock), part);
        }
        for part in &paths {
            packs::put::<PathDelta>(&mut batch, &keyspace, (window, clock), part);
        }
        for part in &calls {
            packs::put::<CallDelta>(&mut batch, &keyspace, (window, clock), part);
        }
        for key in merged {
            batch.remove(&keyspace, key);
        }
        let name = keyspace.name().to_string();
        touched.touch(&mut batch, &shared.meta, &name, &keyspace, number);
        self.put_number(&mut batch, &mut touched, number);
        batch.commit().map_err(|e| shared.fault(&e))?;
        self.touched = touched;
        self.written = number;
        self.late_parts.parts.insert((level, window), Parts { number: 2, last: clock });
        self.publish();
        Ok(edges.iter().chain(&paths).chain(&calls).map(|packed| packed.rows).sum())
    }

    /// The late parts of one kind of rows, as one; nothing if something of it does not read.
    fn late_part<R: Row>(
        &self,
        view: &View,
        level: usize,
        window: Window,
        first: Nanos,
    ) -> Result<Option<Vec<Packed>>, Error> {
        let select = Select::default();
        let next = window.next(self.levels[level].len);
        let read = |reading: &mut Reading<'_, R>| {
            reading.after = Some(first);
            reading.sealed(level, window, next)
        };
        let mut reading = Reading::of(&self.shared, view, &select, read)?;
        Ok(reading.answer.is_whole().then(|| reading.sum.pack_changes(window)))
    }
}

/// The clock readings at which the parts of a window were packed, in order; nothing if some do not read.
fn known(
    shared: &Shared,
    view: &View,
    level: &LevelView,
    window: Window,
) -> Result<Option<BTreeSet<Nanos>>, Error> {
    let mut all = BTreeSet::new();
    for (keyspace, low, high) in level.packs.parts(window, window) {
        for kind in keys::KINDS.map(|kind| packs::HEAD | kind) {
            for guard in rows(&view.snapshot, keyspace, kind, low, high) {
                match guard.key() {
                    Ok(key) => {
                        all.extend(packs::read_part_key(&key).map(|(_, _, part)| part.known));
                    }
                    Err(e) => return shared.damage(&e).map(|_| None),
                }
            }
        }
    }
    Ok(Some(all))
}

/// The keys of the parts of a window that were packed after a clock reading; nothing if some do not read.
fn after(
    shared: &Shared,
    view: &View,
    level: &LevelView,
    (window, first): (Window, Nanos),
) -> Result<Option<Vec<fjall::UserKey>>, Error> {
    let mut found = Vec::new();
    for (keyspace, low, high) in level.packs.parts(window, window) {
        for kind in packs::KINDS {
            for guard in rows(&view.snapshot, keyspace, kind, low, high) {
                let key = match guard.key() {
                    Ok(key) => key,
                    Err(e) => return shared.damage(&e).map(|_| None),
                };
                let part = packs::read_part_key(&key).map(|(_, _, part)| part);
                found.extend(part.filter(|part| part.known > first).map(|_| key));
            }
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests;
