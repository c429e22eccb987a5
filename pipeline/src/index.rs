//! Places by key, where the keys stand in what is at the places.
//!
//! One array with open addressing, eight bytes an entry: a look-up that finds reads one line here and one of the thing
//! itself, whose key it compares. Each can be asked for ahead, for all keys of a block ([`Index::peek`]), so that those
//! of a block wait for memory together. Nothing is ever removed but all of it.

use std::hash::{BuildHasher as _, Hash};

use rustc_hash::FxBuildHasher;

/// Entries of the smallest array: a page of memory.
const LEAST: usize = 512;

/// See the module.
#[derive(Default)]
pub(crate) struct Index {
    /// Half of the hash, and one more than the place; 0 is free. A power of two of them, or none.
    entries: Vec<u64>,
    len: usize,
}

/// An entry as it was read.
#[derive(Copy, Clone, Default)]
pub(crate) struct Peek(u64);

// === impl Index ===

impl Index {
    /// The place of a key by its hash ([`hash`]); `is` tells whether it is the one at a place.
    pub(crate) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        self.probe(hash, is).ok()
    }

    /// The place of a key: `next`, if it has none yet.
    pub(crate) fn find_or_put(&mut self, hash: u32, next: u32, is: impl Fn(u32) -> bool) -> u32 {
        // Three quarters full at most: runs stay short.
        if self.len * 4 >= self.entries.len() * 3 {
            self.grow();
        }
        match self.probe(hash, is) {
            Ok(place) => place,
            Err(free) => {
                self.entries[free] = entry(hash, next);
                self.len += 1;
                next
            }
        }
    }

    /// Reads what looking the key up reads first. No branch waits for it: that is left to [`Self::likely`].
    pub(crate) fn peek(&self, hash: u32) -> Peek {
        Peek(self.entries.get(self.home(hash)).copied().unwrap_or(0))
    }

    /// The place that a key likely has, of which this was read.
    pub(crate) fn likely(peek: Peek) -> Option<u32> {
        place_of(peek.0)
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.entries.fill(0);
        self.len = 0;
    }

    /// The place of a key, or where its entry belongs. There is a free one, always.
    fn probe(&self, hash: u32, is: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let last = self.entries.len() - 1;
        let mut at = self.home(hash);
        loop {
            let entry = self.entries[at];
            let Some(place) = place_of(entry) else { return Err(at) };
            if hash_of(entry) == hash && is(place) {
                return Ok(place);
            }
            at = (at + 1) & last;
        }
    }

    /// Where a hash belongs, if that is free.
    fn home(&self, hash: u32) -> usize {
        // The high bits of a product are those that all bits of the hash have a part in.
        let spread = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (spread >> 32) as usize & self.entries.len().wrapping_sub(1)
    }

    fn grow(&mut self) {
        let room = (self.entries.len() * 2).max(LEAST);
        let entries = std::mem::replace(&mut self.entries, vec![0; room]);
        for entry in entries.into_iter().filter(|entry| *entry != 0) {
            let mut at = self.home(hash_of(entry));
            while self.entries[at] != 0 {
                at = (at + 1) & (room - 1);
            }
            self.entries[at] = entry;
        }
    }
}

/// Hash of a key.
pub(crate) fn hash(key: impl Hash) -> u32 {
    let hash = FxBuildHasher.hash_one(key);
    (hash ^ hash >> 32) as u32
}

fn entry(hash: u32, place: u32) -> u64 {
    u64::from(hash) << 32 | (u64::from(place) + 1)
}

fn hash_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

fn place_of(entry: u64) -> Option<u32> {
    (entry as u32).checked_sub(1)
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
                    let likely = Index::likely(index.peek(hash_of(key)));
                    prop_assert!(likely.is_none_or(|place| (place as usize) < keys.len()));
                }
            }
        }
    }
}
