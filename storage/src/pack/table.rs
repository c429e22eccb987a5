//! Sums, key by key, in columns.
//!
//! Rows stand in the order of keys, but for the *loose* ones at the end: keys that came after greater ones.
//! They are found by a hash table, until they are enough to be worth sorting in. So a window whose keys are mostly
//! known is placed by one walk along two sorted lists.

use portolan_model::{Latency, Nanos};
use rustc_hash::FxHashMap;

use super::column::Column;
use super::names::{Codes, Names};
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
    /// First and last.
    times: Vec<(Nanos, Nanos)>,
    /// Empty for rows that have none.
    latency: Vec<[Latency; 3]>,
    slots: Slots,
    /// First key of the rows that were placed, and how far their window has come.
    placed: Option<(u64, Walk)>,
    /// Of the rows that were placed, no first time is later, and no last one earlier.
    bounds: Option<(Nanos, Nanos)>,
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

/// Which rows a batch of values belongs to.
enum Slots {
    /// These, one behind the other.
    Run(usize, usize),
    /// One for each value.
    Each(Vec<u32>),
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
        (self.placed, self.bounds) = (None, None);
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
            self.slots = Slots::Run(0, 0);
            return Some(());
        };
        if walk.before.is_some_and(|b| b >= *first) || !keys.is_sorted_by(|a, b| a < b) {
            return None;
        }
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
            Slots::Each(slots) => slots,
            Slots::Run(..) => Vec::new(),
        };
        slots.clear();
        let mut at = from;
        for key in keys {
            while at < self.sorted && self.keys[at] < *key {
                at += 1;
            }
            if at < self.sorted && self.keys[at] == *key {
                slots.push(at as u32);
                at += 1;
            } else {
                slots.push(self.make(*key));
            }
        }
        walk.cursor = at;
        self.slots = Slots::Each(slots);
        self.placed = Some((*first, *walk));
        self.times.resize(self.keys.len(), (Nanos::MAX, 0));
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
            Slots::Each(slots) => column.add_at(slots, sums),
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

    /// The rows that were placed, each by its number among them, of which times from `from` on and before `to` may tell
    /// anything new. That is few of them, but for the first and the last windows that are added.
    pub(super) fn unknown(&self, from: Nanos, to: Nanos, unknown: &mut Vec<usize>) {
        unknown.clear();
        if self.bounds.is_some_and(|(first, last)| first <= from && last >= to) {
            return;
        }
        let placed = match &self.slots {
            Slots::Run(from, to) => to - from,
            Slots::Each(slots) => slots.len(),
        };
        unknown.resize(placed, 0);
        let is_new = |of: &(Nanos, Nanos)| of.0 > from || of.1 < to;
        let mut found = 0;
        let mut see = |(row, of): (usize, &(Nanos, Nanos))| {
            // Written always, counted if it is new: there is no branch.
            unknown[found] = row;
            found += usize::from(is_new(of));
        };
        match &self.slots {
            Slots::Run(from, to) => {
                self.times[*from..*to].iter().enumerate().for_each(&mut see);
            }
            Slots::Each(slots) => {
                let times = slots.iter().map(|slot| &self.times[*slot as usize]);
                times.enumerate().for_each(&mut see);
            }
        }
        unknown.truncate(found);
    }

    /// Takes in first and last times of some of the rows that were placed, by their numbers.
    pub(super) fn see_some(
        &mut self,
        numbers: &[usize],
        times: impl Iterator<Item = (Nanos, Nanos)>,
    ) {
        for (number, of) in numbers.iter().zip(times) {
            let slot = match &self.slots {
                Slots::Run(from, _) => from + number,
                Slots::Each(slots) => slots[*number] as usize,
            };
            let (first, last) = &mut self.times[slot];
            (*first, *last) = ((*first).min(of.0), (*last).max(of.1));
        }
        self.bounds = None;
    }

    /// Takes in first and last times of the rows that were placed.
    pub(super) fn see(&mut self, times: impl Iterator<Item = (Nanos, Nanos)>) {
        let mut bounds = (0, Nanos::MAX);
        let mut see = |(first, last): &mut (Nanos, Nanos), of: (Nanos, Nanos)| {
            *first = (*first).min(of.0);
            *last = (*last).max(of.1);
            bounds = (bounds.0.max(*first), bounds.1.min(*last));
        };
        match &self.slots {
            Slots::Run(from, to) => {
                self.times[*from..*to].iter_mut().zip(times).for_each(|(mine, of)| see(mine, of));
            }
            Slots::Each(slots) => {
                let slots = slots.iter().zip(times);
                slots.for_each(|(slot, of)| see(&mut self.times[*slot as usize], of));
            }
        }
        self.bounds = Some(bounds);
    }

    /// The histograms of the `n`th row that was placed.
    pub(super) fn latency(&mut self, n: usize) -> Option<&mut [Latency; 3]> {
        if self.latency.len() < self.keys.len() {
            self.latency.resize_with(self.keys.len(), Default::default);
        }
        let slot = match &self.slots {
            Slots::Run(from, to) => (from + n < *to).then_some(from + n)?,
            Slots::Each(slots) => *slots.get(n)? as usize,
        };
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
        gather(&order, &mut self.times);
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
        self.times[row]
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

// === impl Slots ===

impl Default for Slots {
    fn default() -> Self {
        Self::Run(0, 0)
    }
}

impl Slots {
    #[inline]
    fn add<T: Copy>(&self, to: &mut [T], values: &[T], add: impl Fn(T, T) -> T) {
        match self {
            Self::Run(from, end) => {
                let run = to[*from..*end].iter_mut().zip(values);
                run.for_each(|(mine, theirs)| *mine = add(*mine, *theirs));
            }
            Self::Each(slots) => {
                for (slot, value) in slots.iter().zip(values) {
                    let mine = &mut to[*slot as usize];
                    *mine = add(*mine, *value);
                }
            }
        }
    }
}

/// A column in the order given.
fn gather<T: Copy>(order: &[u32], column: &mut Vec<T>) {
    *column = order.iter().map(|row| column[*row as usize]).collect();
}
