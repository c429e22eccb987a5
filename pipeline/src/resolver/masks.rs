//! Masks: what connections are called behind a translation of their source (flow semantics, section 3.1).
//!
//! The record of the near side names the mask; the far side, and the node itself, tell of the connection under that
//! name too, and it must not count twice. Records at a boundary of windows may stand on either side of it.
//!
//! A kernel gives a mask to no other connection as long as it remembers the first one. So where packets are left out,
//! it is one also in the windows further around, in which none of those that would name it was looked at: what is
//! counted of the near side is an estimate of them all. Where nothing is left out, near side and far side are told of in
//! the same windows; if only the far side is, then that is all there is to show.

use portolan_model::{Nanos, Window, WindowLen};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::key::ConnKey;

/// How far around a window in which a mask was named it may be one: `nf_conntrack_tcp_timeout_time_wait`.
const AROUND: Nanos = 120_000_000_000;

/// See the module.
pub(super) struct Masks {
    len: WindowLen,
    /// In which windows each was named.
    named: FxHashMap<ConnKey, SmallVec<[Window; 2]>>,
    most: usize,
    /// What was forgotten before.
    behind: Window,
    /// Masks that were not taken, because of the bound.
    pub(super) overflowed: i64,
}

// === impl Masks ===

impl Masks {
    pub(super) fn new(len: WindowLen, most: usize) -> Self {
        let (named, behind) = (FxHashMap::default(), Window::default());
        Self { len, named, most, behind, overflowed: 0 }
    }

    /// Notes that a record of a window named a mask; whether that is news.
    pub(super) fn note(&mut self, key: ConnKey, window: Window) -> bool {
        if self.named.len() >= self.most && !self.named.contains_key(&key) {
            self.overflowed += 1;
            return false;
        }
        let windows = self.named.entry(key).or_default();
        let is_new = !windows.contains(&window);
        if is_new {
            windows.push(window);
        }
        is_new
    }

    /// Whether a connection of a window is a mask.
    pub(super) fn cover(&self, key: ConnKey, window: Window, sampled: bool) -> bool {
        let near = if sampled { AROUND } else { self.len.nanos() };
        let is_near = |at: &Window| at.start().abs_diff(window.start()) <= near;
        !self.named.is_empty()
            && self.named.get(&key).is_some_and(|named| named.iter().any(is_near))
    }

    /// All of them.
    pub(super) fn keys(&self) -> impl Iterator<Item = ConnKey> {
        self.named.keys().copied()
    }

    /// Forgets what reaches no window from `folded` on.
    pub(super) fn forget(&mut self, folded: Window) {
        let behind = self.len.window(folded.start().saturating_sub(AROUND));
        if behind <= std::mem::replace(&mut self.behind, behind) {
            return;
        }
        self.named.retain(|_, windows| {
            windows.retain(|at| *at >= behind);
            !windows.is_empty()
        });
    }
}

/// Whether what was named in a window matters to another one.
pub(super) fn reach(named: Window, other: Window) -> bool {
    named.start().abs_diff(other.start()) <= AROUND
}
