//! The view: raw rows summed over windows, with hops folded away as far as the mode says.
//!
//! Invariants:
//! 1. Raw rows are never rewritten. What is folded is subtracted here, once a query.
//! 2. Mass is conserved: for every leg and every counter, what is explained, moved or folded as a
//!    hop's own leg, plus what remains, is the raw sum (flow semantics, section 4.4).
//! 3. No counter is ever negative. A row that claims more than its leg has takes what there is,
//!    and is counted in [`Doubts`].
//! 4. Rows of one epoch never overdraw, in any mode, if every leg was seen by itself, or is the
//!    target of moved rows that no mode folds later than the rows that take from it.
//! 5. No edge is made up: an edge of the view is a raw edge, or the target of a proven path. There
//!    is no cross product of a hop's callers and targets. [`Collapse::Possible`] adds one, beside the edges that are
//!    known and without touching them; what it adds counts nothing and is flagged ([`Edge::possible`]).

use std::collections::BTreeMap;

use portolan_model::{
    CallMeasure, Collapse, Counters, Direction, EdgeDelta, EntityId, Evidence, HopClass, Layer,
    Nanos, PathDelta, Proto,
};

use crate::{Meeting, SourceCalls};

mod builder;
mod fold;
mod possible;
mod rules;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use builder::ViewBuilder;

/// What an edge is, whatever the window: an [`portolan_model::EdgeKey`] without its window.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Layer.
    pub layer: Layer,
    /// The side that calls.
    pub client: EntityId,
    /// The side that is called.
    pub server: EntityId,
    /// Transport protocol.
    pub proto: Proto,
    /// The server's port; 0 where the protocol has none.
    pub port: u16,
    /// Whether the direction is known.
    pub direction: Direction,
}

/// Hops that a part of an edge went through, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The hops with their evidence, nearest the client first; never empty.
    pub hops: Vec<(EntityId, Evidence)>,
    /// That part, as the leg towards the first hop counted it.
    pub counters: Counters,
}

/// A hop of an edge, summed over the paths that it stands in at the same place.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FoldedHop {
    /// Place in its path: 0 is nearest the client.
    pub place: usize,
    /// The hop.
    pub hop: EntityId,
    /// How it is proven.
    pub evidence: Evidence,
    /// The part of the edge that went through it.
    pub counters: Counters,
}

/// An edge of the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What it is.
    pub link: Link,
    /// What it adds up to.
    pub counters: Counters,
    /// Earliest event.
    pub first_ns: Nanos,
    /// Latest event.
    pub last_ns: Nanos,
    /// Paths folded into it, sorted by hops, one per list of hops.
    pub paths: Vec<Path>,
    /// Something was taken off this edge, and this is what is left.
    pub residual: bool,
    /// Of an edge of the trace or the ipc layer, what each source says, best first. Such an edge
    /// counts nothing in `counters`.
    pub calls: Vec<SourceCalls>,
    /// The edge is inferred: what is left of one of these hops may have gone there. Empty: the edge is known.
    /// One that is inferred counts nothing; its times are those of what is left.
    pub possible: Vec<EntityId>,
}

/// What did not add up while folding. All zero where every row was of one epoch.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Doubts {
    /// Path rows that claimed more than their leg had: they took what there was.
    pub overdrawn: u64,
    /// Path rows from a leg to itself: left alone.
    pub circular: u64,
    /// Rows whose sum was negative: counted as zero.
    pub negative: u64,
    /// Legs whose records were all folded away while bytes or connections remained: not shown.
    pub unbalanced: u64,
    /// Hops of a chain that could not be placed on one edge, because the chain forks.
    pub unplaced: u64,
}

/// The edges of a view, in no order ([`crate::Graph`] has one).
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Edges that have something left.
    pub edges: Vec<Edge>,
    /// What did not add up.
    pub doubts: Doubts,
    /// Edges that may be, and that are not among these because of their number.
    pub possible_left_out: u64,
}

// === impl View ===

impl View {
    /// Sums the rows and folds hops. `hop_class` says which entities are hops.
    pub fn build(
        edges: impl IntoIterator<Item = EdgeDelta>,
        paths: impl IntoIterator<Item = PathDelta>,
        collapse: Collapse,
        hop_class: &dyn Fn(EntityId) -> Option<HopClass>,
    ) -> Self {
        let mut builder = ViewBuilder::new(collapse);
        for row in edges {
            builder.edge(&row);
        }
        for row in paths {
            builder.path(&row);
        }
        builder.finish(hop_class)
    }

    /// Adds edges of the trace and the ipc layer: one a layer and pair of ends, as they are shown.
    pub fn lay_calls(&mut self, calls: Vec<(EntityId, EntityId, SourceCalls)>, meeting: &Meeting) {
        let mut edges: BTreeMap<Link, Vec<SourceCalls>> = BTreeMap::new();
        for (client, server, said) in calls {
            let link = Link {
                layer: said.source.layer(),
                client: meeting.shown(client),
                server: meeting.shown(server),
                proto: Proto::default(),
                port: 0,
                direction: Direction::Known,
            };
            let sources = edges.entry(link).or_default();
            match sources.binary_search_by_key(&said.source, |calls| calls.source) {
                Ok(place) => sources[place].merge(&said),
                Err(place) => sources.insert(place, said),
            }
        }
        self.edges.extend(edges.into_iter().map(|(link, calls)| Edge {
            link,
            counters: Counters::ZERO,
            first_ns: calls.iter().map(|c| c.first_ns).min().unwrap_or(0),
            last_ns: calls.iter().map(|c| c.last_ns).max().unwrap_or(0),
            paths: Vec::new(),
            residual: false,
            calls,
            possible: Vec::new(),
        }));
    }
}

// === impl Edge ===

impl Edge {
    /// Thousandths of calls by the best source that counts any; 0 for an edge of connections.
    pub fn calls(&self) -> u64 {
        let counts = self.calls.iter().map(|said| said.counters[CallMeasure::CallsMilli]);
        counts.filter_map(|count| u64::try_from(count).ok()).find(|count| *count > 0).unwrap_or(0)
    }

    /// The hops of all paths, by place and then by identity.
    pub fn hops(&self) -> Vec<FoldedHop> {
        let mut all: Vec<FoldedHop> = Vec::new();
        for path in &self.paths {
            for (place, (hop, evidence)) in path.hops.iter().enumerate() {
                let (hop, evidence) = (*hop, *evidence);
                all.push(FoldedHop { place, hop, evidence, counters: path.counters });
            }
        }
        all.sort_by_key(|h| (h.place, h.hop, h.evidence));
        all.dedup_by(|next, kept| {
            let same =
                (next.place, next.hop, next.evidence) == (kept.place, kept.hop, kept.evidence);
            if same {
                kept.counters.add(&next.counters);
            }
            same
        });
        all
    }
}

// === impl Doubts ===

impl Doubts {
    /// Rows that contradict each other (an unplaced hop contradicts nothing).
    pub const fn inconsistent(&self) -> u64 {
        self.overdrawn + self.circular + self.negative + self.unbalanced
    }
}
