//! Exemplars: which traces are kept, of all that are forgotten.
//!
//! A trace is offered once, when it is forgotten: it is whole by then. It stays while it is the slowest
//! of some edge's latest hour, or the latest that failed. Which are kept is the greatest by a total
//! order, and so a function of what was offered; it is told from the kept ones alone, so that a restart
//! goes on from what the store has.

use std::collections::BTreeMap;

use portolan_model::{EntityId, ExemplarOf, ExemplarRank, Nanos, TraceCall, TraceRow};
use rustc_hash::FxHashMap;

use super::call::{Call, UNSEEN};
use super::span::Marks;

/// More calls of a trace are not kept: nobody reads them.
const MOST_CALLS: usize = 500;

type Edge = (EntityId, EntityId);

/// See the module.
#[derive(Default)]
pub(super) struct Exemplars {
    kept: FxHashMap<u128, Kept>,
    picks: FxHashMap<(Edge, ExemplarOf), ExemplarRank>,
    /// What the store is to be told of, and whether it has it already.
    changed: BTreeMap<u128, bool>,
    most: usize,
    /// Dropped for the bound since the last barrier.
    pub(super) dropped: i64,
}

struct Kept {
    calls: Vec<TraceCall>,
    /// How many picks it is.
    picks: usize,
}

// === impl Exemplars ===

impl Exemplars {
    pub(super) fn new(most: usize, restored: &[TraceRow]) -> Self {
        let mut exemplars = Self { most, ..Self::default() };
        for row in restored {
            exemplars.put(row.trace, &row.calls);
        }
        exemplars.changed.clear();
        exemplars
    }

    /// Offers a trace that is forgotten.
    pub(super) fn offer(&mut self, trace: u128, calls: &[Call]) {
        let counted = calls.iter().filter(|call| call.marks.has(Marks::COUNTS));
        let mut calls: Vec<TraceCall> = counted.map(plain).collect();
        let picked = calls
            .iter()
            .any(|call| ExemplarOf::ALL.into_iter().any(|of| self.is_picked(trace, call, of)));
        if self.most == 0 || !picked {
            return;
        }
        // A part of it may be kept already: what came late is judged alone.
        if let Some(kept) = self.kept.get(&trace) {
            calls.extend(&kept.calls);
        }
        calls.sort_unstable();
        calls.dedup();
        calls.truncate(MOST_CALLS);
        self.put(trace, &calls);
    }

    fn is_picked(&self, trace: u128, call: &TraceCall, of: ExemplarOf) -> bool {
        let before = self.picks.get(&((call.client, call.server), of));
        call.rank(trace, of).is_some_and(|rank| before.is_none_or(|before| rank > *before))
    }

    fn put(&mut self, trace: u128, calls: &[TraceCall]) {
        let before = self.kept.get(&trace).map(|kept| kept.picks);
        let picks = before.unwrap_or(0);
        self.kept.insert(trace, Kept { calls: calls.to_vec(), picks });
        self.changed.entry(trace).or_insert(before.is_some());
        for call in calls {
            for of in ExemplarOf::ALL {
                if !self.is_picked(trace, call, of) {
                    continue;
                }
                let Some(rank) = call.rank(trace, of) else { continue };
                let before = self.picks.insert(((call.client, call.server), of), rank);
                if let Some(kept) = self.kept.get_mut(&trace) {
                    kept.picks += 1;
                }
                if let Some((.., old)) = before {
                    self.release(old);
                }
            }
        }
        self.release_unpicked(trace);
    }

    /// One pick fewer.
    fn release(&mut self, trace: u128) {
        if let Some(kept) = self.kept.get_mut(&trace) {
            kept.picks -= 1;
        }
        self.release_unpicked(trace);
    }

    fn release_unpicked(&mut self, trace: u128) {
        if self.kept.get(&trace).is_some_and(|kept| kept.picks == 0) {
            self.kept.remove(&trace);
            self.changed.entry(trace).or_insert(true);
        }
    }

    /// Picks from the kept ones alone: where one that went was the first, another comes after it, as after a restart.
    fn pick_again(&mut self) {
        self.picks.clear();
        for (trace, kept) in &mut self.kept {
            kept.picks = 0;
            for call in &kept.calls {
                for of in ExemplarOf::ALL {
                    let Some(rank) = call.rank(*trace, of) else { continue };
                    let pick = self.picks.entry(((call.client, call.server), of)).or_insert(rank);
                    *pick = rank.max(*pick);
                }
            }
        }
        for (.., trace) in self.picks.values() {
            if let Some(kept) = self.kept.get_mut(trace) {
                kept.picks += 1;
            }
        }
    }

    /// What changed since the last call: traces to write, and to remove. Over the bound the oldest go.
    pub(super) fn take_changes(&mut self) -> (Vec<TraceRow>, Vec<u128>) {
        let over = self.kept.len().saturating_sub(self.most);
        if over > 0 {
            let begun = |kept: &Kept| kept.calls.first().map_or(0, |call| call.start);
            let mut all: Vec<(Nanos, u128)> =
                self.kept.iter().map(|(trace, kept)| (begun(kept), *trace)).collect();
            all.sort_unstable();
            for (_, trace) in &all[..over] {
                self.kept.remove(trace);
                self.changed.entry(*trace).or_insert(true);
            }
            self.pick_again();
            self.dropped += over as i64;
        }
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for (trace, told) in std::mem::take(&mut self.changed) {
            match self.kept.get(&trace) {
                Some(kept) => rows.push(TraceRow { trace, calls: kept.calls.clone() }),
                None if told => gone.push(trace),
                // It came and went in between.
                None => {}
            }
        }
        (rows, gone)
    }
}

fn plain(call: &Call) -> TraceCall {
    let seen = |took: Nanos| (took != UNSEEN).then_some(took);
    let key = &call.key;
    TraceCall {
        start: call.first,
        end: call.last,
        client: key.client,
        server: key.server,
        source: key.source,
        protocol: key.protocol,
        operation: key.operation,
        client_error: call.marks.has(Marks::CLIENT_ERROR),
        server_error: call.marks.has(Marks::SERVER_ERROR),
        took: [seen(call.client), seen(call.server)],
    }
}
