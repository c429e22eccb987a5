//! Queries as pure functions: what a query shows is computed here, and nowhere else.
//!
//! ```text
//! edge rows, path rows ─► View (summed, hops folded) ─► Graph (named, indexed) ─► page, traverse
//! ```
//!
//! No input or output, no clock, no async. An answer depends on the *set* of rows, never on the
//! order in which they came.

mod calls;
mod catalogue;
mod changes;
mod diff;
mod filter;
mod fused;
mod graph;
mod meet;
mod names;
mod page;
mod search;
#[cfg(test)]
mod text;
mod traverse;
mod view;

pub use calls::{CallsBuilder, SourceCalls};
pub use catalogue::{Catalogue, Moment};
pub use changes::{Changes, Happened, Happening};
pub use diff::{Change, Diff, DiffEdge, Ends, Ready, Side, Thresholds, What, Which, diff};
pub use filter::{Filter, KindSet, LayerSet, Prepared, Said};
pub use fused::{EvidenceBits, Fused, FusedEdge, NetworkPart, Sighting, sightings};
pub use graph::{Graph, Node};
pub use meet::Meeting;
pub use names::{NameError, Names, Visit};
pub use page::{Page, PageToken, TokenError};
pub use search::{Found, Search};
pub use traverse::{Reached, Traversal, Walk, WalkDirection, traverse};
pub use view::{Doubts, Edge, FoldedHop, Link, Path, View, ViewBuilder};
