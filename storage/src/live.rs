//! The live graph: the sums of the last minutes, kept in memory as epochs are committed.
//!
//! "Now" is the question asked most, and on disk it is thirty windows of rows. Here each edge has
//! its sum ready, and beside it what each window gave, so that a window can leave. What each window
//! gave is held packed as on disk: about 45 bytes, where in full it takes 144.
//!
//! Invariant: the live graph equals the sum over the stored rows of [`NowGraph::covered`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use portolan_model::{
    CallDelta, Counters, EdgeDelta, EpochCommit, HealthKey, HealthRow, Nanos, PathDelta, TimeRange,
    Window, WindowLen,
};

use crate::row::{Row, tidy};
use crate::{Checkpoint, Error, ReadStore, checkpoint};

mod parts;
mod sum;

use sum::LiveRows;

/// How far back "now" reaches, and how much of it is held.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct NowRange {
    /// Seconds behind the watermark.
    pub secs: u32,
    /// Most rows (one an edge and window) held. Over it the oldest windows leave early, and
    /// [`NowGraph::covered`] says so.
    pub max_rows: usize,
}

/// The live graph. Shared by reference: one thread applies, any number read.
pub struct Live {
    len: WindowLen,
    range: NowRange,
    version: AtomicU64,
    now: RwLock<NowGraph>,
}

/// What the live graph holds after some epoch.
pub struct NowGraph {
    len: WindowLen,
    edges: LiveRows<EdgeDelta>,
    paths: LiveRows<PathDelta>,
    calls: LiveRows<CallDelta>,
    /// Of each window, all edges together.
    totals: BTreeMap<Window, Counters>,
    health: BTreeMap<HealthKey, HealthRow>,
    epoch: u64,
    clock: Nanos,
    watermark: Nanos,
    /// First window that is held. Never moves back.
    first: Window,
    /// Windows before this one are expired in the store.
    expired: Window,
    /// Newest window that had a row, or that the watermark is in.
    last: Window,
    /// Windows that left early because of the bound.
    shed: u64,
}

// === impl NowRange ===

impl Default for NowRange {
    fn default() -> Self {
        Self {
            // The five minutes of the reference system's windows.
            secs: 300,
            // 130 k edges for the whole range: about 250 MB at 60 bytes a row, with what each edge has but once.
            max_rows: 4_000_000,
        }
    }
}

// === impl Live ===

impl Live {
    /// The live graph of a store's last epoch. Nothing may be committed meanwhile.
    pub fn load(store: &(impl ReadStore + ?Sized), range: NowRange) -> Result<Self, Error> {
        let len = store.window_len();
        let Checkpoint { epoch, clock, watermark, expired, .. } = store.checkpoint()?;
        let mut now = NowGraph {
            len,
            edges: LiveRows::new(),
            paths: LiveRows::new(),
            calls: LiveRows::new(),
            totals: BTreeMap::new(),
            health: BTreeMap::new(),
            epoch,
            clock,
            watermark,
            first: expired,
            expired,
            last: Window(0),
            shed: 0,
        };
        now.first = expired.max(now.wanted(range));
        let since = TimeRange { from: now.first.start(), to: Nanos::MAX };
        store.edges(since, &mut |row| {
            now.last = now.last.max(row.key.window);
            now.edges.add(row);
            now.totals.entry(row.key.window).or_default().add(&row.counters);
        })?;
        store.paths(since, &mut |row| {
            now.last = now.last.max(row.key.window);
            now.paths.add(row);
        })?;
        store.calls(since, &mut |row| {
            now.last = now.last.max(row.key.window);
            now.calls.add(row);
        })?;
        store.health(&mut |row| _ = now.health.insert(row.key, *row))?;
        now.settle(range, now.first);
        Ok(Self { len, range, version: AtomicU64::new(1), now: RwLock::new(now) })
    }

    /// How far back "now" reaches, and how much of it is held.
    pub const fn range(&self) -> NowRange {
        self.range
    }

    /// Applies an epoch that the store has committed. One that is already in changes nothing.
    pub fn apply(&self, commit: &EpochCommit) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if commit.epoch <= now.epoch {
            return;
        }
        now.epoch = commit.epoch;
        now.clock = commit.clock;
        now.watermark = commit.watermark;
        now.expired = checkpoint::expired(now.expired, commit, self.len);
        let first = now.first.max(now.expired);
        let now = &mut *now;
        now.last = now.last.max(add(&mut now.edges, &commit.edges, first));
        for row in commit.edges.iter().filter(|row| row.key.window >= first) {
            now.totals.entry(row.key.window).or_default().add(&row.counters);
        }
        now.last = now.last.max(add(&mut now.paths, &commit.paths, first));
        now.last = now.last.max(add(&mut now.calls, &commit.calls, first));
        for gone in &commit.health_gone {
            now.health.remove(gone);
        }
        now.health.extend(commit.health.iter().map(|row| (row.key, *row)));
        now.settle(self.range, first);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Looks at the graph. Epochs wait meanwhile: be quick, or take what you need along.
    pub fn read<T>(&self, look: impl FnOnce(&NowGraph) -> T) -> T {
        look(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grows with every change: what was computed at a version holds while it stays.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

// === impl NowGraph ===

impl NowGraph {
    /// The sum of every edge that has one, in no order, each with the window that is oldest here.
    pub fn edges(&self) -> impl Iterator<Item = EdgeDelta> + '_ {
        self.edges.sums(self.first)
    }

    /// The sum of every path likewise.
    pub fn paths(&self) -> impl Iterator<Item = PathDelta> + '_ {
        self.paths.sums(self.first)
    }

    /// The sum of every row of calls likewise.
    pub fn calls(&self) -> impl Iterator<Item = CallDelta> + '_ {
        self.calls.sums(self.first)
    }

    /// What was judged of every edge and service.
    pub fn health(&self) -> impl Iterator<Item = &HealthRow> {
        self.health.values()
    }

    /// The sum of every edge over some of the windows that are held, from `from` to `last`, in no order.
    pub fn edges_of(&self, from: Window, last: Window) -> impl Iterator<Item = EdgeDelta> + '_ {
        self.edges.sums_of(from, last)
    }

    /// The sum of every path likewise.
    pub fn paths_of(&self, from: Window, last: Window) -> impl Iterator<Item = PathDelta> + '_ {
        self.paths.sums_of(from, last)
    }

    /// The sum of every row of calls likewise.
    pub fn calls_of(&self, from: Window, last: Window) -> impl Iterator<Item = CallDelta> + '_ {
        self.calls.sums_of(from, last)
    }

    /// The windows that are held and have edges, the newest first, and what all edges of each come to.
    pub fn totals(&self) -> impl Iterator<Item = (TimeRange, Counters)> + '_ {
        let there = self.totals.iter().rev().filter(|(_, sums)| !sums.is_zero());
        there.map(|(window, sums)| {
            (TimeRange { from: window.start(), to: window.end(self.len) }, *sums)
        })
    }

    /// The windows that are summed: from the oldest that is held to the newest that has a row.
    pub fn covered(&self) -> TimeRange {
        TimeRange { from: self.first.start(), to: self.last.max(self.first).end(self.len) }
    }

    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Its clock reading.
    pub fn clock(&self) -> Nanos {
        self.clock
    }

    /// Its watermark.
    pub fn watermark(&self) -> Nanos {
        self.watermark
    }

    /// Windows that left before their time, because too many rows were held.
    pub fn shed(&self) -> u64 {
        self.shed
    }

    /// How many edges and paths there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.edges.keys(), self.paths.keys())
    }

    /// The first window that should be held: whole windows leave, and only behind the watermark, so
    /// that a source that stalls does not empty the map.
    fn wanted(&self, range: NowRange) -> Window {
        let now = self.len.window(self.watermark.min(self.clock));
        self.len.window(now.start().saturating_sub(u64::from(range.secs) * 1_000_000_000))
    }

    /// Lets go of what is behind `first` or too much.
    fn settle(&mut self, range: NowRange, first: Window) {
        let now = self.len.window(self.watermark.min(self.clock));
        self.last = self.last.max(now);
        self.leave(first.max(self.wanted(range)));
        while self.edges.rows() + self.paths.rows() + self.calls.rows() > range.max_rows {
            let oldest = [self.edges.oldest(), self.paths.oldest(), self.calls.oldest()];
            let oldest = oldest.into_iter().flatten().min();
            let newest = self.edges.newest().max(self.paths.newest()).max(self.calls.newest());
            // One window alone stays, whatever its size: too much is better than nothing.
            let Some(oldest) = oldest.filter(|w| Some(*w) != newest) else { return };
            self.shed += 1;
            self.leave(oldest.next(self.len));
        }
    }

    fn leave(&mut self, first: Window) {
        if first > self.first {
            self.first = first;
            self.totals = self.totals.split_off(&first);
            self.edges.leave(first);
            self.paths.leave(first);
            self.calls.leave(first);
        }
    }
}

/// Adds the rows of an epoch from a window on, and says the newest window of them.
fn add<R: Row>(rows: &mut LiveRows<R>, changes: &[R], first: Window) -> Window {
    let mut last = Window(0);
    for row in tidy(changes).iter().filter(|row| R::window(row.key()) >= first) {
        last = last.max(R::window(row.key()));
        rows.add(row);
    }
    last
}

#[cfg(test)]
mod tests;
