//! The rows of the windows that are being written, so that a merge need not read the disk.
//!
//! Invariant: a window is here with all its rows or not at all. So a miss in a window that is here
//! is an answer, and the cache can be dropped at any time.

use portolan_model::Window;
use rustc_hash::FxHashMap;

use crate::Error;
use crate::row::{Row, Sum};

/// From this many changed rows on, a window is loaded whole (a scan reads about 2 M rows a second,
/// a single read 160 k: a hundredth of a window of 20 k rows costs the same either way).
const LOAD_FROM: usize = 256;

/// Where the old rows come from.
pub(crate) trait Source<R: Row> {
    /// The row of a key.
    fn get(&self, key: &R::Key) -> Result<Option<R::Sums>, Error>;
    /// Every row of a window.
    fn window(&self, window: Window, row: &mut dyn FnMut(R)) -> Result<(), Error>;
}

/// What becomes of one row.
pub(crate) enum Outcome<S> {
    /// Write it.
    Write(S),
    /// It is all zero now: remove it.
    Remove,
    /// It was not there and still is not.
    Nothing,
}

/// See the module.
pub(crate) struct RowCache<R: Row> {
    windows: FxHashMap<Window, Cached<R>>,
    rows: usize,
    max_rows: usize,
    turn: u64,
}

struct Cached<R: Row> {
    rows: FxHashMap<R::Key, R::Sums>,
    /// When it was last written.
    turn: u64,
}

// === impl RowCache ===

impl<R: Row> RowCache<R> {
    pub(crate) fn new(max_rows: usize) -> Self {
        Self { windows: FxHashMap::default(), rows: 0, max_rows, turn: 0 }
    }

    /// Merges the changes of one window into its rows. The cache holds the outcome at once: if the
    /// write fails, [`Self::clear`] it.
    pub(crate) fn merge(
        &mut self,
        window: Window,
        changes: &[R],
        source: &impl Source<R>,
        mut outcome: impl FnMut(&R::Key, Outcome<R::Sums>),
    ) -> Result<(), Error> {
        self.turn += 1;
        if !self.windows.contains_key(&window) {
            if changes.len() < LOAD_FROM {
                for change in changes {
                    let old = source.get(change.key())?;
                    outcome(change.key(), merged(old, change));
                }
                return Ok(());
            }
            self.load(window, source)?;
        }
        let Some(cached) = self.windows.get_mut(&window) else { return Ok(()) };
        cached.turn = self.turn;
        for change in changes {
            let result = merged(cached.rows.get(change.key()).cloned(), change);
            match &result {
                Outcome::Write(sums) => {
                    if cached.rows.insert(change.key().clone(), sums.clone()).is_none() {
                        self.rows += 1;
                    }
                }
                Outcome::Remove => {
                    cached.rows.remove(change.key());
                    self.rows -= 1;
                }
                Outcome::Nothing => {}
            }
            outcome(change.key(), result);
        }
        Ok(())
    }

    /// Lets the windows go that were written longest ago, until the bound holds.
    pub(crate) fn trim(&mut self) {
        while self.rows > self.max_rows {
            let oldest = self.windows.iter().min_by_key(|(w, c)| (c.turn, **w)).map(|(w, _)| *w);
            let Some(gone) = oldest.and_then(|w| self.windows.remove(&w)) else { return };
            self.rows -= gone.rows.len();
        }
    }

    /// Lets the windows before `first` go.
    pub(crate) fn expire(&mut self, first: Window) {
        self.windows.retain(|window, cached| {
            let stays = *window >= first;
            self.rows -= if stays { 0 } else { cached.rows.len() };
            stays
        });
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.windows.clear();
        self.rows = 0;
    }

    /// How many rows it holds.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    fn load(&mut self, window: Window, source: &impl Source<R>) -> Result<(), Error> {
        let mut rows = FxHashMap::default();
        source.window(window, &mut |row: R| {
            rows.insert(row.key().clone(), row.sums());
        })?;
        self.rows += rows.len();
        self.windows.insert(window, Cached { rows, turn: self.turn });
        Ok(())
    }
}

fn merged<R: Row>(old: Option<R::Sums>, change: &R) -> Outcome<R::Sums> {
    let existed = old.is_some();
    let mut sums = old.unwrap_or_else(R::Sums::zero);
    sums.merge(&change.sums());
    match (sums.is_zero(), existed) {
        (false, _) => Outcome::Write(sums),
        (true, true) => Outcome::Remove,
        (true, false) => Outcome::Nothing,
    }
}

#[cfg(test)]
mod tests;
