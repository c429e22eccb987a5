//! Texts of a batch, each kept once: a batch repeats few names many times.

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
    by_hash: FxHashMap<u64, Vec<Text>>,
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
        let hash = hash(said);
        let Self { by_hash, bytes, places } = self;
        let same = by_hash.entry(hash).or_default();
        let known = same.iter().find(|t| {
            let range = &places[t.0 as usize - 1];
            &bytes[range.start as usize..range.end as usize] == said
        });
        if let Some(known) = known {
            return *known;
        }
        let start = bytes.len() as u32;
        bytes.push_str(said);
        places.push(start..bytes.len() as u32);
        let made = Text(places.len() as u32);
        same.push(made);
        made
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
