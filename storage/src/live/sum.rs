//! Rows of one kind, summed over windows, with what each window gave.

use std::collections::BTreeMap;

use portolan_model::{Nanos, Window};
use rustc_hash::FxHashMap;

use super::parts::Parts;
use crate::row::{Row, Sum};

/// See the module.
pub(super) struct LiveRows<R: Row> {
    /// Place in `slots`, by key without its window.
    places: FxHashMap<R::Key, u32>,
    slots: Vec<Option<Slot<R>>>,
    free: Vec<u32>,
    /// The slots that each window gave something to. One may be named twice, or have it no more.
    windows: BTreeMap<Window, Vec<u32>>,
    rows: usize,
}

/// One key.
struct Slot<R: Row> {
    key: R::Key,
    total: R::Sums,
    /// What the newest window gave, at hand: it is the one that changes every epoch.
    newest: Option<(Window, R::Sums)>,
    /// What the windows before it gave.
    parts: Parts<R::Sums>,
}

/// The window of keys that stand for no window.
const NO_WINDOW: Window = Window(0);

// === impl LiveRows ===

impl<R: Row> LiveRows<R> {
    pub(super) fn new() -> Self {
        Self {
            places: FxHashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            windows: BTreeMap::new(),
            rows: 0,
        }
    }

    /// Adds a change.
    pub(super) fn add(&mut self, row: &R) {
        let window = R::window(row.key());
        let key = R::moved(row.key(), NO_WINDOW);
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => self.insert(key),
        };
        let Some(slot) = &mut self.slots[place as usize] else { return };
        let (existed, stays) = slot.add(window, &row.sums());
        match (existed, stays) {
            (false, true) => {
                self.rows += 1;
                self.windows.entry(window).or_default().push(place);
            }
            (true, false) => self.rows -= 1,
            _ => {}
        }
        self.remove_if_empty(place);
    }

    /// Lets the windows before `first` go.
    pub(super) fn leave(&mut self, first: Window) {
        while let Some(window) = self.oldest().filter(|w| *w < first) {
            for place in self.windows.remove(&window).unwrap_or_default() {
                let Some(slot) = &mut self.slots[place as usize] else { continue };
                let Some(gone) = slot.take(window) else { continue };
                slot.total.subtract(&gone);
                let ((first, last), (from, to)) = (gone.times(), slot.total.times());
                if first <= from || last >= to {
                    slot.retime();
                }
                self.rows -= 1;
                self.remove_if_empty(place);
            }
        }
    }

    /// The sum of every key that has one, each in the window given.
    pub(super) fn sums(&self, window: Window) -> impl Iterator<Item = R> + '_ {
        let slots = self.slots.iter().flatten().filter(|slot| !slot.total.is_zero());
        slots.map(move |slot| R::new(R::moved(&slot.key, window), slot.total.clone()))
    }

    /// The sum of every key over the windows from `from` to `last`, likewise.
    pub(super) fn sums_of(&self, from: Window, last: Window) -> impl Iterator<Item = R> + '_ {
        let slots = self.slots.iter().flatten();
        slots.filter_map(move |slot| {
            let sums = slot.sum_of(from, last);
            (!sums.is_zero()).then(|| R::new(R::moved(&slot.key, from), sums))
        })
    }

    /// The oldest window that has rows, or had.
    pub(super) fn oldest(&self) -> Option<Window> {
        self.windows.keys().next().copied()
    }

    /// The newest likewise.
    pub(super) fn newest(&self) -> Option<Window> {
        self.windows.keys().next_back().copied()
    }

    /// Rows held: one a key and window.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Keys held.
    pub(super) fn keys(&self) -> usize {
        self.places.len()
    }

    fn insert(&mut self, key: R::Key) -> u32 {
        let total = R::Sums::zero();
        let slot = Slot { key: key.clone(), total, newest: None, parts: Parts::default() };
        let place = if let Some(place) = self.free.pop() {
            self.slots[place as usize] = Some(slot);
            place
        } else {
            self.slots.push(Some(slot));
            self.slots.len() as u32 - 1
        };
        self.places.insert(key, place);
        place
    }

    fn remove_if_empty(&mut self, place: u32) {
        let empty = |slot: &mut Slot<R>| slot.newest.is_none() && slot.parts.is_empty();
        if let Some(slot) = self.slots[place as usize].take_if(empty) {
            self.places.remove(&slot.key);
            self.free.push(place);
        }
    }
}

// === impl Slot ===

impl<R: Row> Slot<R> {
    /// Adds what a window gave, and says whether the window had something before and has now.
    fn add(&mut self, window: Window, change: &R::Sums) -> (bool, bool) {
        // Times are kept apart: a change that leaves nothing behind moves none.
        let (first_ns, last_ns) = self.total.times();
        self.total.merge(change);
        self.total.set_times(first_ns, last_ns);
        let newest = self.newest.as_ref().map(|(w, _)| *w).or_else(|| self.parts.newest());
        let old = if newest.is_none_or(|newest| newest < window) {
            if let Some((before, sums)) = self.newest.take() {
                self.parts.set(before, &sums);
            }
            None
        } else if newest == Some(window) && self.newest.is_some() {
            self.newest.take().map(|(_, sums)| sums)
        } else {
            return self.add_to_older(window, change);
        };
        let existed = old.is_some();
        let mut sums = old.unwrap_or_else(R::Sums::zero);
        sums.merge(change);
        let stays = !sums.is_zero();
        if stays {
            self.newest = Some((window, sums));
        }
        self.keep_time(stays, change);
        (existed, stays)
    }

    /// What the windows from `from` to `last` gave.
    fn sum_of(&self, from: Window, last: Window) -> R::Sums {
        let mut sums = R::Sums::zero();
        if let Some((window, newest)) = &self.newest
            && (from..=last).contains(window)
        {
            sums.merge(newest);
        }
        self.parts.each_since(from, |window, part| {
            if window <= last {
                sums.merge(&part);
            }
        });
        sums
    }

    fn add_to_older(&mut self, window: Window, change: &R::Sums) -> (bool, bool) {
        let old = self.parts.get(window);
        let existed = old.is_some();
        let mut sums = old.unwrap_or_else(R::Sums::zero);
        sums.merge(change);
        let stays = !sums.is_zero();
        self.parts.set(window, &sums);
        self.keep_time(stays, change);
        (existed, stays)
    }

    /// Takes away what a window gave.
    fn take(&mut self, window: Window) -> Option<R::Sums> {
        if let Some((_, sums)) = self.newest.take_if(|(newest, _)| *newest == window) {
            return Some(sums);
        }
        let sums = self.parts.get(window)?;
        self.parts.set(window, &R::Sums::zero());
        Some(sums)
    }

    fn keep_time(&mut self, stays: bool, change: &R::Sums) {
        if stays {
            let ((first, last), (from, to)) = (change.times(), self.total.times());
            self.total.set_times(first.min(from), last.max(to));
        } else {
            self.retime();
        }
    }

    /// Finds the earliest and latest event again, after some have left.
    fn retime(&mut self) {
        let newest = self.newest.as_ref().map(|(_, sums)| sums.times());
        let (first_ns, last_ns) = newest.unwrap_or((Nanos::MAX, 0));
        let (first_ns, last_ns) = self.parts.times(first_ns, last_ns);
        self.total.set_times(first_ns, last_ns);
    }
}
