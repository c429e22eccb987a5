//! The functional core: the stages of the line as pure state machines.
//!
//! ```text
//! flows, owners, spans, metrics ─► Front ─► PathCollapser ─► EdgeAggregator ─► WindowCompactor ─► EpochCommit
//!              (FlowResolver, SpanLinker, MetricMapper)
//! ```
//!
//! No clock, no input or output, no async, no randomness: a stage is a function of what it was fed.
//! [`Line`] runs the four one after the other on the caller's thread; the actor shell runs the same
//! four in actors.

mod aggregator;
#[cfg(test)]
mod check;
mod collapser;
mod compactor;
mod config;
mod directory;
pub mod feed;
mod front;
#[cfg(test)]
mod golden;
mod health;
mod index;
#[cfg(test)]
mod laws;
mod line;
mod linker;
mod mapper;
mod messages;
mod naming;
mod notes;
mod pool;
mod resolver;
mod stage;
mod tally;

pub use aggregator::EdgeAggregator;
pub use collapser::PathCollapser;
pub use compactor::WindowCompactor;
pub use config::{LineConfig, MetricConfig, NoteConfig, ScopeLink, TraceConfig};
pub use directory::{Builtin, Changed, Directory, Found, Lookup, Owner, OwnerIdx};
pub use front::Front;
pub use health::unjudged;
pub use line::{Line, Restored};
pub use linker::SpanLinker;
pub use mapper::MetricMapper;
pub use messages::{
    Deltas, HopChange, HopConnection, HopTarget, Hops, Intake, LandingChange, Sampler,
};
pub use naming::is_named_by_spans;
pub use notes::Notebook;
pub use resolver::{FlowResolver, stranger};
pub use stage::Stage;
