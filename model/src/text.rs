//! Texts of a batch, each kept once: a batch repeats few names many times.

use std::collections::hash_map::Entry;
use std::hash::Hasher as _;
use std::ops::Range;

use rustc_hash::{FxHashMap, FxHasher};

/// A text of a batch; [`Text::NONE`] where nothing is said.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(u32);

/// The texts of one batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    bytes: String,
    places: Vec<Range<u32>>,
    /// By hash; of those that share one, the later stand at the next that are free.
    by_hash: FxHashMap<u64, Text>,
}

// === impl Text ===

impl Text {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Whether nothing is said.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// This, or the other where this is nothing.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        if self.is_none() { other } else { self }
    }
}

// === impl Texts ===

impl Texts {
    /// Forgets the texts and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
        self.by_hash.clear();
    }

    /// The number of a text.
    pub(crate) fn text(&mut self, said: &str) -> Text {
        if said.is_empty() {
            return Text::NONE;
        }
        self.text_at(hash(said), said)
    }

    /// The number of a text that belongs at a hash.
    fn text_at(&mut self, mut hash: u64, said: &str) -> Text {
        let Self { by_hash, bytes, places } = self;
        loop {
            let known = match by_hash.entry(hash) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(free) => {
                    let start = bytes.len() as u32;
                    bytes.push_str(said);
                    places.push(start..bytes.len() as u32);
                    return *free.insert(Text(places.len() as u32));
                }
            };
            let range = &places[known.0 as usize - 1];
            if &bytes[range.start as usize..range.end as usize] == said {
                return known;
            }
            hash = hash.wrapping_add(1);
        }
    }

    /// What a text says; empty for [`Text::NONE`].
    pub(crate) fn say(&self, text: Text) -> &str {
        if text.is_none() {
            return "";
        }
        let range = &self.places[text.0 as usize - 1];
        &self.bytes[range.start as usize..range.end as usize]
    }
}

fn hash(said: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(said.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_share_a_hash_are_told_apart() {
        let mut texts = Texts::default();
        let made = ["a", "b", "c", "b", "a"].map(|said| texts.text_at(7, said));
        assert_eq!(made, [1, 2, 3, 2, 1].map(Text));
        assert_eq!(made.map(|text| texts.say(text)), ["a", "b", "c", "b", "a"]);
    }
}
