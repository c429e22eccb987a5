//! What each window gave to a key, packed.
//!
//! Newest first, and each: window (4 bytes), first and last event (8 each), length of the counts
//! (varint), counts. The times stand in the open because they are looked through whenever a window
//! leaves.

use std::marker::PhantomData;

use portolan_model::{Nanos, Window};

use crate::codec::{put_varint, take_varint};
use crate::row::Sum;

/// See the module.
pub(super) struct Parts<S>(Vec<u8>, PhantomData<S>);

/// One of them.
struct Part<'a, S> {
    window: Window,
    first_ns: Nanos,
    last_ns: Nanos,
    counts: &'a [u8],
    of: PhantomData<S>,
}

/// Where a window's part is, or would be.
struct Found<S> {
    /// Where its header begins.
    from: usize,
    /// Where it ends; the same as `from` if there is none.
    to: usize,
    sums: Option<S>,
}

// === impl Parts ===

impl<S> Default for Parts<S> {
    fn default() -> Self {
        Self(Vec::new(), PhantomData)
    }
}

impl<S: Sum> Parts<S> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The newest window.
    pub(super) fn newest(&self) -> Option<Window> {
        Part::<S>::take(&mut &*self.0).map(|part| part.window)
    }

    /// What a window gave.
    pub(super) fn get(&self, window: Window) -> Option<S> {
        self.find(window).sums
    }

    /// Sets what a window gave; a sum that is all zero is none.
    pub(super) fn set(&mut self, window: Window, sums: &S) {
        let Found { from, to, .. } = self.find(window);
        let mut bytes = Vec::with_capacity(64);
        if !sums.is_zero() {
            Part::put(&mut bytes, window, sums);
        }
        self.0.splice(from..to, bytes);
    }

    /// Earliest and latest event of all windows, added to those given.
    pub(super) fn times(&self, mut first_ns: Nanos, mut last_ns: Nanos) -> (Nanos, Nanos) {
        let mut at = &*self.0;
        while let Some(part) = Part::<S>::take(&mut at) {
            first_ns = first_ns.min(part.first_ns);
            last_ns = last_ns.max(part.last_ns);
        }
        (first_ns, last_ns)
    }

    /// Visits what each window from `from` on gave, the newest first.
    pub(super) fn each_since(&self, from: Window, mut visit: impl FnMut(Window, S)) {
        let mut at = &*self.0;
        while let Some(part) = Part::<S>::take(&mut at).filter(|part| part.window >= from) {
            let window = part.window;
            if let Some(sums) = part.sums() {
                visit(window, sums);
            }
        }
    }

    fn find(&self, window: Window) -> Found<S> {
        let mut at = &*self.0;
        loop {
            let from = self.0.len() - at.len();
            match Part::<S>::take(&mut at) {
                Some(part) if part.window == window => {
                    return Found { from, to: self.0.len() - at.len(), sums: part.sums() };
                }
                Some(part) if part.window > window => {}
                _ => return Found { from, to: from, sums: None },
            }
        }
    }
}

// === impl Part ===

impl<'a, S: Sum> Part<'a, S> {
    fn put(out: &mut Vec<u8>, window: Window, sums: &S) {
        let (first_ns, last_ns) = sums.times();
        out.extend_from_slice(&window.0.to_le_bytes());
        out.extend_from_slice(&first_ns.to_le_bytes());
        out.extend_from_slice(&last_ns.to_le_bytes());
        let mut bare = sums.clone();
        bare.set_times(Nanos::MAX, 0);
        let mut counts = Vec::with_capacity(64);
        bare.put(&mut counts, window);
        put_varint(out, counts.len() as u64);
        out.extend_from_slice(&counts);
    }

    /// Reads a part off the front.
    fn take(at: &mut &'a [u8]) -> Option<Self> {
        let (window, rest) = at.split_first_chunk()?;
        let (first_ns, rest) = rest.split_first_chunk()?;
        let (last_ns, mut rest) = rest.split_first_chunk()?;
        let length = take_varint(&mut rest)?;
        let (counts, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        *at = rest;
        Some(Self {
            window: Window(u32::from_le_bytes(*window)),
            first_ns: u64::from_le_bytes(*first_ns),
            last_ns: u64::from_le_bytes(*last_ns),
            counts,
            of: PhantomData,
        })
    }

    fn sums(mut self) -> Option<S> {
        let mut sums = S::take(&mut self.counts, self.window)?;
        sums.set_times(self.first_ns, self.last_ns);
        Some(sums)
    }
}
