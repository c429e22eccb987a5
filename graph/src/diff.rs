//! What is different between two ranges: edges that came or went, and edges that changed.
//!
//! ```text
//! range ─► steps ─► Side (whole, and a tally a step) ─┐
//!                                                     ├─► tests ─► false-discovery control ─► Diff
//! range ─► steps ─► Side ─────────────────────────────┘
//! ```
//!
//! Invariants:
//! 1. A change has passed its threshold *and* its test; a test is one of all that were made.
//! 2. Figures of different layers, and of different sources of calls, are never compared.
//! 3. What is not significant is counted, not shown.

use portolan_model::{CallSource, EntityId};

use crate::FusedEdge;

mod judge;
mod side;
mod significance;

pub use side::{Ends, Ready, Side};

use judge::{Candidate, Judge};

/// How far figures must be apart to be called a change.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Rates: the greater at least so many times the less.
    pub ratio: f64,
    /// Rates: the greater side has at least so many events.
    pub events: f64,
    /// Ratios of errors, and shares of paths, are at least so far apart (0 to 1).
    pub errors: f64,
    /// Shares of paths likewise.
    pub share: f64,
    /// Latencies: the greater at least so many times the less.
    pub latency: f64,
    /// Of the changes shown, at most this part may be chance.
    pub false_discoveries: f64,
}

/// What changed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Calls a second, by one source.
    Calls(CallSource),
    /// Connections opened a second.
    Connections,
    /// Bytes a second, both ways.
    Bytes,
    /// The part of calls that failed, by one source.
    Errors(CallSource),
    /// The part of connections that failed.
    Failed,
    /// The median latency in microseconds, by one source.
    P50(CallSource),
    /// The 99th percentile of latency in microseconds, by one source.
    P99(CallSource),
    /// The part of the flows that goes through a list of hops.
    Path,
}

/// One figure of an edge that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which figure.
    pub what: What,
    /// What it was.
    pub before: f64,
    /// What it is.
    pub after: f64,
    /// The probability of at least such a distance by chance.
    pub p: f64,
    /// The hops, where a path is what changed.
    pub hops: Vec<EntityId>,
}

/// What became of an edge.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// It is in the second range only. `new`: it was never seen before that.
    Added {
        /// Never seen before the second range.
        new: bool,
    },
    /// It is in the first range only.
    Removed,
    /// It is in both.
    Changed,
}

/// An edge that is different.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffEdge {
    /// Which edge.
    pub ends: Ends,
    /// What became of it.
    pub which: Which,
    /// As the first range has it.
    pub before: Option<FusedEdge>,
    /// As the second has it.
    pub after: Option<FusedEdge>,
    /// What changed, most certain first.
    pub changes: Vec<Change>,
    /// The least probability of all that is said here.
    pub p: f64,
}

/// The difference of two ranges.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Edges that are different, by kind, then the most certain first.
    pub edges: Vec<DiffEdge>,
    /// Edges in either range.
    pub compared: u64,
    /// Tests that were made.
    pub tests: u64,
    /// Differences over their thresholds that may well be chance, and are not shown.
    pub by_chance: u64,
    /// Edges and figures that could not be judged, for want of steps.
    pub unjudged: u64,
}

// === impl Thresholds ===

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            // Half again as much. What an engineer would not call a change is none.
            ratio: 1.5,
            // Below, one retry more or less is a third.
            events: 10.0,
            // A point in a hundred: the usual margin of a service level of 99 %.
            errors: 0.01,
            share: 0.1,
            latency: 1.25,
            false_discoveries: 0.05,
        }
    }
}

/// Compares two ranges. `older` says of edges that only the second has whether they were seen before it.
pub fn diff(
    mut before: Ready,
    mut after: Ready,
    thresholds: &Thresholds,
    older: &mut dyn FnMut(&[Ends]) -> Vec<bool>,
) -> Diff {
    before.learn(&after);
    after.learn(&before);
    let mut all: Vec<Ends> = before.fused.keys().chain(after.fused.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    let added: Vec<Ends> =
        all.iter().filter(|ends| !before.fused.contains_key(*ends)).copied().collect();
    let known = older(&added);
    let mut judge = Judge::new(thresholds, (before.secs, after.secs));
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut nth = 0;
    for ends in &all {
        let sides = (before.tallies.get(ends), after.tallies.get(ends));
        let which = match (before.fused.contains_key(ends), after.fused.contains_key(ends)) {
            (true, true) => Which::Changed,
            (true, false) => Which::Removed,
            (false, _) => {
                nth += 1;
                Which::Added { new: known.get(nth - 1) == Some(&false) }
            }
        };
        candidates.extend(judge.edge(*ends, which, sides));
    }
    let mut found = judge.settle(candidates);
    found.compared = all.len() as u64;
    for edge in &mut found.edges {
        edge.before = before.fused.remove(&edge.ends);
        edge.after = after.fused.remove(&edge.ends);
    }
    found
}

#[cfg(test)]
mod tests;
