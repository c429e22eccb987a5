//! Rows of one kind, summed over windows, with what each window gave.

use std::collections::BTreeMap;

use portolan_model::{Nanos, Window};
use rustc_hash::FxHashMap;

use crate::codec::{Sums, put_sums, take_sums};
use crate::row::Row;

/// See the module.
pub(super) struct LiveRows<R: Row> {
    /// Place in `slots`, by key without its window.
    places: FxHashMap<R::Key, u32>,
    slots: Vec<Option<Slot<R>>>,
    free: Vec<u32>,
    /// The slots that each window gave something to. One may be named twice, or have it no more.
    windows: BTreeMap<Window, Vec<u32>>,
    rows: usize,
    scratch: Vec<u8>,
}

/// One key.
struct Slot<R: Row> {
    key: R::Key,
    total: Sums,
    parts: Parts,
}

/// What each window gave, oldest first, packed: window (4 bytes), first and last event (8 each),
/// length of the counters (1), counters. The times stand in the open because they are looked
/// through whenever a window leaves.
struct Parts(Vec<u8>);

/// One of them.
struct Part<'a> {
    window: Window,
    first_ns: Nanos,
    last_ns: Nanos,
    counters: &'a [u8],
}

/// Where a window's part is, or would be.
struct Found {
    /// Where its header begins.
    from: usize,
    /// Where it ends; the same as `from` if there is none.
    to: usize,
    sums: Option<Sums>,
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
            scratch: Vec::new(),
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
        let found = slot.parts.find(window);
        let existed = found.sums.is_some();
        let change = row.sums();
        let mut sums = found.sums.unwrap_or(Sums::ZERO);
        sums.merge(&change);
        let stays = !sums.counters.is_zero();
        self.scratch.clear();
        if stays {
            Part::put(&mut self.scratch, window, &sums);
        }
        slot.parts.0.splice(found.from..found.to, self.scratch.iter().copied());
        slot.total.counters.add(&change.counters);
        if stays {
            slot.total.first_ns = slot.total.first_ns.min(sums.first_ns);
            slot.total.last_ns = slot.total.last_ns.max(sums.last_ns);
        } else {
            slot.retime();
        }
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
                let found = slot.parts.find(window);
                let Some(gone) = found.sums else { continue };
                slot.parts.0.drain(found.from..found.to);
                slot.total.counters.subtract(&gone.counters);
                if gone.first_ns <= slot.total.first_ns || gone.last_ns >= slot.total.last_ns {
                    slot.retime();
                }
                self.rows -= 1;
                self.remove_if_empty(place);
            }
        }
    }

    /// The sum of every key that has one, each in the window given.
    pub(super) fn sums(&self, window: Window) -> impl Iterator<Item = R> + '_ {
        let slots = self.slots.iter().flatten().filter(|slot| !slot.total.counters.is_zero());
        slots.map(move |slot| R::new(R::moved(&slot.key, window), slot.total.clone()))
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
        let slot = Slot { key: key.clone(), total: Sums::ZERO, parts: Parts(Vec::new()) };
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
        let empty = |slot: &mut Slot<R>| slot.parts.0.is_empty();
        if let Some(slot) = self.slots[place as usize].take_if(empty) {
            self.places.remove(&slot.key);
            self.free.push(place);
        }
    }
}

// === impl Slot ===

impl<R: Row> Slot<R> {
    /// Finds the earliest and latest event again, after some have left.
    fn retime(&mut self) {
        (self.total.first_ns, self.total.last_ns) = (Sums::ZERO.first_ns, Sums::ZERO.last_ns);
        let mut at = &*self.parts.0;
        while let Some(part) = Part::take(&mut at) {
            self.total.first_ns = self.total.first_ns.min(part.first_ns);
            self.total.last_ns = self.total.last_ns.max(part.last_ns);
        }
    }
}

// === impl Parts ===

impl Parts {
    fn find(&self, window: Window) -> Found {
        let mut at = &*self.0;
        loop {
            let from = self.0.len() - at.len();
            match Part::take(&mut at) {
                Some(part) if part.window == window => {
                    return Found { from, to: self.0.len() - at.len(), sums: part.sums() };
                }
                Some(part) if part.window < window => {}
                _ => return Found { from, to: from, sums: None },
            }
        }
    }
}

// === impl Part ===

impl<'a> Part<'a> {
    fn put(out: &mut Vec<u8>, window: Window, sums: &Sums) {
        out.extend_from_slice(&window.0.to_le_bytes());
        out.extend_from_slice(&sums.first_ns.to_le_bytes());
        out.extend_from_slice(&sums.last_ns.to_le_bytes());
        let length = out.len();
        out.push(0);
        put_sums(out, window, &Sums { counters: sums.counters, ..Sums::ZERO });
        // The head and 16 counters of at most 10 bytes: 163 at most.
        out[length] = u8::try_from(out.len() - length - 1).expect("counters take 163 bytes");
    }

    /// Reads a part off the front.
    fn take(at: &mut &'a [u8]) -> Option<Self> {
        let (window, rest) = at.split_first_chunk()?;
        let (first_ns, rest) = rest.split_first_chunk()?;
        let (last_ns, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (counters, rest) = rest.split_at_checked(usize::from(*length))?;
        *at = rest;
        Some(Self {
            window: Window(u32::from_le_bytes(*window)),
            first_ns: u64::from_le_bytes(*first_ns),
            last_ns: u64::from_le_bytes(*last_ns),
            counters,
        })
    }

    fn sums(mut self) -> Option<Sums> {
        let sums = take_sums(&mut self.counters, self.window)?;
        Some(Sums { first_ns: self.first_ns, last_ns: self.last_ns, ..sums })
    }
}
