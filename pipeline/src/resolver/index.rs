//! Places of connections by key.
//!
//! One array with open addressing, eight bytes an entry: a look-up that finds reads one line here and one of the
//! connection, whose key it compares. Each can be asked for ahead, for all records of a block ([`Index::peek`]), so that
//! those of a block of records wait for memory together. Nothing is ever removed but all of it.

use std::hash::BuildHasher as _;

use rustc_hash::FxBuildHasher;

use super::key::ConnKey;

/// Entries of the smallest array: a page of memory.
const LEAST: usize = 512;

/// See the module.
#[derive(Default)]
pub(super) struct Index {
    /// Half of the hash, and one more than the place; 0 is free. A power of two of them, or none.
    entries: Vec<u64>,
    len: usize,
}

/// An entry as it was read.
#[derive(Copy, Clone, Default)]
pub(super) struct Peek(u64);

// === impl Index ===

impl Index {
    /// `key_at` gives the key of the connection at a place.
    pub(super) fn find(&self, key: ConnKey, key_at: impl Fn(u32) -> ConnKey) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        self.probe(key, key_at).ok()
    }

    /// The place of a key: `next`, if it has none yet.
    pub(super) fn find_or_put(
        &mut self,
        key: ConnKey,
        next: u32,
        key_at: impl Fn(u32) -> ConnKey,
    ) -> u32 {
        // Three quarters full at most: runs stay short.
        if self.len * 4 >= self.entries.len() * 3 {
            self.grow();
        }
        match self.probe(key, key_at) {
            Ok(place) => place,
            Err(free) => {
                self.entries[free] = entry(short(key), next);
                self.len += 1;
                next
            }
        }
    }

    /// Reads what looking the key up reads first. No branch waits for it: that is left to [`Self::likely`].
    pub(super) fn peek(&self, key: ConnKey) -> Peek {
        Peek(self.entries.get(self.home(short(key))).copied().unwrap_or(0))
    }

    /// The place that a key likely has, of which this was read.
    pub(super) fn likely(peek: Peek) -> Option<u32> {
        place_of(peek.0)
    }

    /// Forgets everything and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.entries.fill(0);
        self.len = 0;
    }

    /// The place of a key, or where its entry belongs. There is a free one, always.
    fn probe(&self, key: ConnKey, key_at: impl Fn(u32) -> ConnKey) -> Result<u32, usize> {
        let hash = short(key);
        let last = self.entries.len() - 1;
        let mut at = self.home(hash);
        loop {
            let entry = self.entries[at];
            let Some(place) = place_of(entry) else { return Err(at) };
            if hash_of(entry) == hash && key_at(place) == key {
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

fn short(key: ConnKey) -> u32 {
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
    use crate::resolver::key::End;
    use portolan_model::Proto;

    fn key(number: u32) -> ConnKey {
        let (low, high) =
            (End { addr: number / 7, port: 1 }, End { addr: u32::MAX, port: (number % 7) as u16 });
        ConnKey::new(low, high, Proto::TCP).0
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
                let mut keys: Vec<ConnKey> = Vec::new();
                let mut naive: FxHashMap<ConnKey, u32> = FxHashMap::default();
                for number in numbers {
                    let (key, next) = (key(number), keys.len() as u32);
                    let place = index.find_or_put(key, next, |place| keys[place as usize]);
                    prop_assert_eq!(place, *naive.entry(key).or_insert(next));
                    if place == next {
                        keys.push(key);
                    }
                }
                for number in 0..3_100 {
                    let key = key(number);
                    let found = index.find(key, |place| keys[place as usize]);
                    prop_assert_eq!(found, naive.get(&key).copied());
                    let likely = Index::likely(index.peek(key));
                    prop_assert!(likely.is_none_or(|place| (place as usize) < keys.len()));
                }
            }
        }
    }
}
