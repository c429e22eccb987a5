//! Which of several metrics that tell the same is counted, by process and window.
//!
//! A process may tell the same calls under an old and a new name at once, or as a counter and as the
//! count of a histogram. Of each group the lowest rank that has a point in the window counts.

use std::collections::BTreeMap;

use portolan_model::{Rank, Window};
use rustc_hash::{FxHashMap, FxHashSet};

use super::series::Label;

/// A process with a group.
pub(super) type Voice = (u64, u16);

/// See the module.
#[derive(Default)]
pub(super) struct Streams {
    windows: BTreeMap<Window, FxHashMap<Voice, Ranks>>,
    /// Windows whose ranks may be others than those that were judged by.
    fresh: FxHashSet<(Window, Voice)>,
}

/// Ranks that were seen, as bits: of counts below, of durations above.
#[derive(Copy, Clone, Default)]
struct Ranks {
    now: u8,
    told: u8,
}

// === impl Streams ===

impl Streams {
    /// A point of a series was read.
    pub(super) fn saw(&mut self, window: Window, label: &Label) {
        let bit = |rank: Option<Rank>, by: u8| rank.map_or(0, |rank| 1 << (rank.0 & 3) << by);
        let bits = bit(label.counts, 0) | bit(label.times, 4);
        let voice = (label.stream, label.group);
        let ranks = self.windows.entry(window).or_default().entry(voice).or_default();
        if ranks.now | bits != ranks.now {
            ranks.now |= bits;
            self.fresh.insert((window, voice));
        }
    }

    /// Who was judged by other ranks than there are now.
    pub(super) fn moved(&mut self) -> FxHashSet<Voice> {
        let mut moved = FxHashSet::default();
        for (window, voice) in self.fresh.drain() {
            let of = self.windows.get_mut(&window).and_then(|voices| voices.get_mut(&voice));
            if let Some(ranks) = of {
                if ranks.told != 0 {
                    moved.insert(voice);
                }
                ranks.told = ranks.now;
            }
        }
        moved
    }

    /// Whether a series is the one that counts, and whether it is the one whose durations do.
    pub(super) fn counts(&self, window: Window, label: &Label) -> (bool, bool) {
        let voices = self.windows.get(&window);
        let seen = voices.and_then(|v| v.get(&(label.stream, label.group))).map_or(0, |r| r.now);
        let best = |rank: Option<Rank>, seen: u8| {
            rank.is_some_and(|rank| seen & ((1 << (rank.0 & 3)) - 1) == 0)
        };
        (best(label.counts, seen & 15), best(label.times, seen >> 4))
    }

    /// Forgets windows before this one.
    pub(super) fn forget(&mut self, folded: Window) {
        self.windows = self.windows.split_off(&folded);
    }
}
