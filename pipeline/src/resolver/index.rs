//! Places of connections by key. The keys stand in the connections, which whoever looks one up reads
//! anyway: an entry is eight bytes here, and three times as many are near as with the keys beside them.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::FxBuildHasher;

use super::key::ConnKey;

/// See the module.
#[derive(Default)]
pub(super) struct Index {
    places: HashTable<Place>,
}

/// With its hash, so that growing reads no connections.
#[derive(Copy, Clone)]
struct Place {
    hash: u32,
    place: u32,
}

impl Index {
    /// `key_at` gives the key of the connection at a place.
    pub(super) fn find(&self, key: ConnKey, key_at: impl Fn(u32) -> ConnKey) -> Option<u32> {
        let hash = short(key);
        let is = |it: &Place| it.hash == hash && key_at(it.place) == key;
        self.places.find(spread(hash), is).map(|it| it.place)
    }

    /// The place of a key: `next`, if it has none yet.
    pub(super) fn find_or_put(
        &mut self,
        key: ConnKey,
        next: u32,
        key_at: impl Fn(u32) -> ConnKey,
    ) -> u32 {
        let hash = short(key);
        let is = |it: &Place| it.hash == hash && key_at(it.place) == key;
        match self.places.entry(spread(hash), is, |it| spread(it.hash)) {
            Entry::Occupied(known) => known.get().place,
            Entry::Vacant(free) => free.insert(Place { hash, place: next }).get().place,
        }
    }

    /// Forgets everything and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.places.clear();
    }
}

fn short(key: ConnKey) -> u32 {
    let hash = FxBuildHasher.hash_one(key);
    (hash ^ hash >> 32) as u32
}

/// The table takes the low bits for the place and the highest for what it compares first.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
