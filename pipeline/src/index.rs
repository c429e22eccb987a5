//! Places by key, where the keys stand in what is at the places.
//!
//! One array with open addressing, by lines of memory with eight entries each: a look-up that finds reads one line here
//! and one of the thing itself, whose key it compares. The eight are compared at once, so that what the processor has to
//! guess is the same nearly every time, and it goes on to the next look-up while this one waits for memory. The first
//! can be asked for ahead, for all keys of a block ([`Index::peek`]). Nothing is ever removed but all of it.

use std::hash::{Hash, Hasher as _};

use rustc_hash::FxHasher;

/// Entries of a line.
const SLOTS: usize = 8;
/// Lines of the smallest array: a page of memory.
const LEAST: usize = 64;
/// Entries a line on average, at most: one line in thirty is full and sends what comes after it to the next.
const MOST: usize = 5;

/// No place: there is none of this number.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// See the module.
#[derive(Default)]
pub(crate) struct Index {
    /// A power of two of them, or none.
    lines: Vec<Line>,
    len: usize,
}

/// A line of memory. Taken from its beginning: behind a free slot nothing comes.
#[derive(Copy, Clone, Default)]
#[repr(C, align(64))]
struct Line {
    hashes: [u32; SLOTS],
    /// One more than the place; 0 is free.
    places: [u32; SLOTS],
}

// === impl Index ===

impl Index {
    /// The place of a key by its hash ([`hash`]); `is` tells whether it is the one at a place.
    #[inline]
    pub(crate) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        if self.lines.is_empty() {
            return None;
        }
        self.probe(hash, is).ok()
    }

    /// The place of a key: `next`, if it has none yet.
    pub(crate) fn find_or_put(&mut self, hash: u32, next: u32, is: impl Fn(u32) -> bool) -> u32 {
        if self.len >= self.lines.len() * MOST {
            self.grow();
        }
        match self.probe(hash, is) {
            Ok(place) => place,
            Err(line) => {
                self.lines[line].put(hash, next + 1);
                self.len += 1;
                next
            }
        }
    }

    /// Reads what looking the key up reads first: no branch waits for it, that is left to [`Self::likely`]. What is
    /// read is for the compiler, which must not leave it out.
    #[inline]
    pub(crate) fn peek(&self, hash: u32) -> u32 {
        self.lines.get(self.home(hash)).map_or(0, |line| line.places[0])
    }

    /// The place that a key likely has, whose line was read; the first place of all, if it likely has none: reading that
    /// costs nothing. [`NOWHERE`] is for an empty index.
    #[inline]
    pub(crate) fn likely(&self, hash: u32) -> u32 {
        if self.len == 0 {
            return NOWHERE;
        }
        let line = &self.lines[self.home(hash)];
        let hits = line.hits(hash);
        let place = line.places[slot_of(hits) % SLOTS].wrapping_sub(1);
        if hits == 0 { 0 } else { place }
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.lines.fill(Line::default());
        self.len = 0;
    }

    /// The place of a key, or the line where its entry belongs. One has a free slot, always.
    #[inline]
    fn probe(&self, hash: u32, is: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let mut at = self.home(hash);
        loop {
            let line = &self.lines[at];
            let mut hits = line.hits(hash);
            while hits != 0 {
                if let Some(place) = line.places[slot_of(hits) % SLOTS].checked_sub(1)
                    && is(place)
                {
                    return Ok(place);
                }
                hits &= hits - 1;
            }
            if !line.is_full() {
                return Err(at);
            }
            at = (at + 1) & (self.lines.len() - 1);
        }
    }

    /// The line where a hash belongs, if that has a free slot.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        // The high bits of a product are those that all bits of the hash have a part in.
        let spread = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (spread >> 32) as usize & self.lines.len().wrapping_sub(1)
    }

    fn grow(&mut self) {
        let room = (self.lines.len() * 2).max(LEAST);
        let lines = std::mem::replace(&mut self.lines, vec![Line::default(); room]);
        for (hash, place) in lines.iter().flat_map(Line::taken) {
            let mut at = self.home(hash);
            while self.lines[at].is_full() {
                at = (at + 1) & (room - 1);
            }
            self.lines[at].put(hash, place);
        }
    }
}

// === impl Line ===

impl Line {
    /// The slots with a hash, a byte each ([`slot_of`]); free ones too, if it is 0.
    #[inline]
    fn hits(&self, hash: u32) -> u64 {
        u64::from_le_bytes(self.hashes.map(|it| u8::from(it == hash)))
    }

    fn is_full(&self) -> bool {
        self.places[SLOTS - 1] != 0
    }

    /// Takes the first free slot.
    fn put(&mut self, hash: u32, place: u32) {
        let slot = slot_of(u64::from_le_bytes(self.places.map(|it| u8::from(it == 0))));
        (self.hashes[slot], self.places[slot]) = (hash, place);
    }

    fn taken(&self) -> impl Iterator<Item = (u32, u32)> {
        self.hashes.into_iter().zip(self.places).take_while(|(_, place)| *place != 0)
    }
}

/// The first slot of some; past the last, if there are none.
#[inline]
fn slot_of(hits: u64) -> usize {
    hits.trailing_zeros() as usize / 8
}

/// Hash of a key.
#[inline]
pub(crate) fn hash(key: impl Hash) -> u32 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    let hash = hasher.finish();
    (hash ^ hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustc_hash::FxHashMap;

    use super::*;

    /// Many share a hash.
    fn hash_of(key: u32) -> u32 {
        hash(key / 3)
    }

    proptest! {
        /// Also when it is cleared and filled again.
        #[test]
        fn every_key_has_the_place_that_it_was_given_first(
            rounds in prop::collection::vec(prop::collection::vec(0_u32..3_000, 0..4_000), 1..3),
        ) {
            let mut index = Index::default();
            for numbers in rounds {
                index.clear();
                let mut keys: Vec<u32> = Vec::new();
                let mut naive: FxHashMap<u32, u32> = FxHashMap::default();
                for key in numbers {
                    let next = keys.len() as u32;
                    let place = index.find_or_put(hash_of(key), next, |at| keys[at as usize] == key);
                    prop_assert_eq!(place, *naive.entry(key).or_insert(next));
                    if place == next {
                        keys.push(key);
                    }
                }
                for key in 0..3_100 {
                    let found = index.find(hash_of(key), |at| keys[at as usize] == key);
                    prop_assert_eq!(found, naive.get(&key).copied());
                    let likely = index.likely(hash_of(key));
                    prop_assert!(likely == NOWHERE || (likely as usize) < keys.len());
                }
            }
        }
    }
}
