//! Sums, key by key, in columns.
//!
//! Rows stand in the order of keys, but for the *loose* ones at the end: keys that came after greater ones.
//! They are found by a hash table, until they are enough to be worth sorting in. So a window whose keys are mostly
//! known is placed by one walk along two sorted lists.

use portolan_model::{Latency, Nanos};
use rustc_hash::FxHashMap;

use super::column::Column;
use super::names::{Codes, Names};
use super::slots::{NOWHERE, Slots, find};
use super::times::Times;
use super::{COUNTERS, Each};

/// See the module.
#[derive(Default)]
pub(super) struct Table {
    names: Names,
    keys: Vec<u64>,
    /// Rows before this one are in the order of keys.
    sorted: usize,
    loose: FxHashMap<u64, u32>,
    counters: Each<Counter>,
    times: Times,
    /// Empty for rows that have none.
    latency: Vec<[Latency; 3]>,
    slots: Slots,
    /// First key of the rows that were placed, and how far their window has come.
    placed: Option<(u64, Walk)>,
    /// Windows that are being added.
    windows: u64,
    /// Loose rows that were looked for since they were sorted in.
    searched: usize,
}

/// How far a window has come that is being added.
#[derive(Copy, Clone, Default)]
pub(super) struct Walk {
    /// Sorted rows before this one are behind it.
    cursor: usize,
    /// Its last key.
    before: Option<u64>,
}

/// The sums of one counter.
#[derive(Default)]
struct Counter {
    /// Shorter than the keys while the rest of it is zero.
    sums: Vec<i64>,
    /// No sum is farther from zero, before the windows that are being added.
    most: u64,
    /// Nothing that one of these adds to a sum is.
    more: u64,
}

/// Loose rows that may be looked for before they are sorted in, beside half of the rows: looking for one costs
/// about as much as moving two.
const SEARCHES: usize = 256;

// === impl Table ===

impl Table {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Takes in the names of a window: see [`Names::learn`].
    pub(super) fn learn<'a>(
        &mut self,
        ids: impl Iterator<Item = u64>,
        tails: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Codes> {
        let known = self.names.len();
        let codes = self.names.learn(ids, tails, &mut self.keys);
        if self.names.len() > known && !self.loose.is_empty() {
            let loose = self.keys[self.sorted..].iter().copied();
            self.loose = loose.zip(self.sorted as u32..).collect();
        }
        codes
    }

    /// Finds the rows of keys, or makes them: what is added next is added to these. Nothing if the keys of a window
    /// do not ascend.
    pub(super) fn place(&mut self, walk: &mut Walk, keys: &[u64]) -> Option<()> {
        self.placed = None;
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
            self.slots = Slots::Run(0, 0);
            return Some(());
        };
        walk.before.is_none_or(|before| before < *first).then_some(())?;
        walk.before = Some(*last);
        let rest = &self.keys[walk.cursor..self.sorted];
        let from = walk.cursor + rest.iter().take_while(|key| *key < first).count();
        let run = from..from + keys.len();
        if run.end <= self.sorted && self.keys[run.clone()] == *keys {
            self.slots = Slots::Run(run.start, run.end);
            walk.cursor = run.end;
            self.placed = Some((*first, *walk));
            return Some(());
        }
        let mut slots = match std::mem::take(&mut self.slots) {
            Slots::Each(slots, _) => slots,
            Slots::Run(..) => Vec::new(),
        };
        let found = find(&self.keys[..self.sorted], from, keys, &mut slots)?;
        walk.cursor = found.cursor;
        if !found.all {
            for (at, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| **slot == NOWHERE) {
                let ascends = at.checked_sub(1).is_none_or(|before| keys[before] < keys[at]);
                ascends.then_some(())?;
                *slot = self.make(keys[at]);
            }
        }
        let ascend = found.all || slots.iter().all(|slot| (*slot as usize) < self.sorted);
        self.slots = Slots::Each(slots, ascend);
        self.placed = Some((*first, *walk));
        self.times.resize(self.keys.len());
        Some(())
    }

    /// The row of a key that is not among the sorted ones.
    #[inline(never)]
    fn make(&mut self, key: u64) -> u32 {
        let next = self.keys.len() as u32;
        if self.loose.is_empty() && self.keys.last().is_none_or(|last| *last < key) {
            self.keys.push(key);
            self.sorted += 1;
            return next;
        }
        self.searched += 1;
        let slot = *self.loose.entry(key).or_insert(next);
        if slot == next {
            self.keys.push(key);
        }
        slot
    }

    /// Places the keys that were placed last, in another window: a part whose bytes are the same has the same keys.
    pub(super) fn place_again(&mut self, walk: &mut Walk) -> Option<()> {
        if let Some((first, placed)) = self.placed {
            walk.before.is_none_or(|before| before < first).then_some(())?;
            *walk = placed;
        }
        Some(())
    }

    /// Adds a column to one counter of the rows that were placed.
    pub(super) fn count(&mut self, counter: usize, column: &Column<'_>, scratch: &mut Vec<i64>) {
        let fits = self.expect(counter, column.most);
        let sums = &mut self.counters[counter].sums;
        if !fits {
            column.unpack(scratch);
            self.slots.add(sums, scratch, i64::saturating_add);
            return;
        }
        match &self.slots {
            Slots::Run(from, to) => column.add_to(&mut sums[*from..*to]),
            Slots::Each(slots, _) => column.add_at(slots, sums),
        }
    }

    /// Adds numbers to one counter of the rows that were placed; none is farther from zero than `most`.
    pub(super) fn count_some(&mut self, counter: usize, values: &[i64], most: u64) {
        let fits = self.expect(counter, most);
        let sums = &mut self.counters[counter].sums;
        if fits {
            self.slots.add(sums, values, i64::wrapping_add);
        } else {
            self.slots.add(sums, values, i64::saturating_add);
        }
    }

    /// Makes room for numbers of one counter, of which none is farther from zero than `most`. Whether sums stay within
    /// what a number holds, as they nearly always do: seen from here for all of them, not for each.
    fn expect(&mut self, counter: usize, most: u64) -> bool {
        let rows = self.keys.len();
        let Counter { sums, most: before, more } = &mut self.counters[counter];
        sums.resize(rows, 0);
        *more = (*more).max(most);
        i64::try_from(before.saturating_add(more.saturating_mul(self.windows))).is_ok()
    }

    /// The rows that were placed, each by its number among them, of which times within a reach may tell anything new.
    pub(super) fn unknown(&mut self, reach: (Nanos, Nanos), unknown: &mut Vec<usize>) {
        self.times.unknown(&self.slots, reach, unknown);
    }

    /// Takes in first and last times of some of the rows that were placed, by their numbers.
    pub(super) fn see_some(
        &mut self,
        numbers: &[usize],
        times: impl Iterator<Item = (Nanos, Nanos)>,
    ) {
        self.times.see_some(&self.slots, numbers, times);
    }

    /// Takes in first and last times of the rows that were placed.
    pub(super) fn see(&mut self, times: impl Iterator<Item = (Nanos, Nanos)>) {
        self.times.see(&self.slots, times);
    }

    /// The histograms of the `n`th row that was placed.
    pub(super) fn latency(&mut self, n: usize) -> Option<&mut [Latency; 3]> {
        if self.latency.len() < self.keys.len() {
            self.latency.resize_with(self.keys.len(), Default::default);
        }
        let slot = self.slots.row(n)?;
        self.latency.get_mut(slot)
    }

    /// Says that so many windows are added next, in any order of their rows.
    pub(super) fn begin_windows(&mut self, windows: usize) {
        self.windows = windows as u64;
    }

    /// Says that these are added.
    pub(super) fn end_windows(&mut self) {
        for counter in self.counters.iter_mut() {
            counter.most = counter.most.saturating_add(counter.more.saturating_mul(self.windows));
            counter.more = 0;
        }
        if self.searched > SEARCHES + self.keys.len() / 2 {
            self.settle();
        }
    }

    /// Sorts the loose rows in if so many windows, each of which has about all of them, would look for too many.
    pub(super) fn settle_for(&mut self, windows: usize) {
        if self.loose.len().saturating_mul(windows) > SEARCHES + self.keys.len() / 2 {
            self.settle();
        }
    }

    /// Sorts the loose rows in.
    pub(super) fn settle(&mut self) {
        if self.loose.is_empty() {
            return;
        }
        self.loose.clear();
        self.searched = 0;
        let rows = self.keys.len();
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order[self.sorted..].sort_unstable_by_key(|row| self.keys[*row as usize]);
        // Two sorted runs: this merges them.
        order.sort_by_key(|row| self.keys[*row as usize]);
        gather(&order, &mut self.keys);
        self.times.gather(&order);
        for Counter { sums, .. } in self.counters.iter_mut() {
            if !sums.is_empty() {
                sums.resize(rows, 0);
                gather(&order, sums);
            }
        }
        if !self.latency.is_empty() {
            self.latency.resize_with(rows, Default::default);
            let take = |row: &u32| std::mem::take(&mut self.latency[*row as usize]);
            self.latency = order.iter().map(take).collect();
        }
        self.sorted = rows;
    }

    /// The key of a row.
    pub(super) fn key(&self, row: usize) -> u64 {
        self.keys[row]
    }

    /// The counters of a row.
    pub(super) fn counters(&self, row: usize) -> [i64; COUNTERS] {
        std::array::from_fn(|n| self.counter(n, row))
    }

    /// One counter of a row.
    pub(super) fn counter(&self, counter: usize, row: usize) -> i64 {
        self.counters[counter].sums.get(row).copied().unwrap_or(0)
    }

    /// Whether a counter is not zero somewhere, as far as is known without a look at each row.
    pub(super) fn counts(&self, counter: usize) -> bool {
        !self.counters[counter].sums.is_empty()
    }

    /// First and last time of a row.
    pub(super) fn times(&self, row: usize) -> (Nanos, Nanos) {
        self.times.of(row)
    }

    /// The histograms of a row, where the table has any.
    pub(super) fn latencies(&self, row: usize) -> Option<&[Latency; 3]> {
        self.latency.get(row)
    }

    /// Whether the table has histograms.
    pub(super) fn has_latency(&self) -> bool {
        !self.latency.is_empty()
    }
}

/// A column in the order given.
pub(super) fn gather<T: Copy>(order: &[u32], column: &mut Vec<T>) {
    *column = order.iter().map(|row| column[*row as usize]).collect();
}
