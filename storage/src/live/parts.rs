//! What each window gave to a key, packed.
//!
//! Newest first, and each: window (4 bytes), first and last event (8 each), length of the counters
//! (1), counters. The times stand in the open because they are looked through whenever a window
//! leaves.

use portolan_model::{Nanos, Window};

use crate::codec::{Sums, put_sums, take_sums};

/// See the module.
#[derive(Default)]
pub(super) struct Parts(Vec<u8>);

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

// === impl Parts ===

impl Parts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The newest window.
    pub(super) fn newest(&self) -> Option<Window> {
        Part::take(&mut &*self.0).map(|part| part.window)
    }

    /// What a window gave.
    pub(super) fn get(&self, window: Window) -> Option<Sums> {
        self.find(window).sums
    }

    /// Sets what a window gave; a sum that is all zero is none.
    pub(super) fn set(&mut self, window: Window, sums: &Sums) {
        let Found { from, to, .. } = self.find(window);
        let mut bytes = Vec::with_capacity(64);
        if !sums.counters.is_zero() {
            Part::put(&mut bytes, window, sums);
        }
        self.0.splice(from..to, bytes);
    }

    /// Earliest and latest event of all windows, added to those given.
    pub(super) fn times(&self, mut first_ns: Nanos, mut last_ns: Nanos) -> (Nanos, Nanos) {
        let mut at = &*self.0;
        while let Some(part) = Part::take(&mut at) {
            first_ns = first_ns.min(part.first_ns);
            last_ns = last_ns.max(part.last_ns);
        }
        (first_ns, last_ns)
    }

    fn find(&self, window: Window) -> Found {
        let mut at = &*self.0;
        loop {
            let from = self.0.len() - at.len();
            match Part::take(&mut at) {
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
