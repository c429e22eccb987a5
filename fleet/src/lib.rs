//! A simulated fleet whose truth is known: services call each other, agents on the nodes watch, and
//! what they would publish to Kafka comes out as messages, beside the map that a correct reader of
//! those messages must draw.
//!
//! ```text
//! FleetSpec ─► Plan (who calls whom, how) ─► Fleet ─ tick(now) ─► messages (flows, ownership, spans, metrics)
//!                                              ├──── truth() ──► edges with their counts ─► score
//!                                              └──── calls() ──► calls, and what was told of them
//! ```
//!
//! Invariants:
//! 1. No clock, no input or output: time comes in through [`Fleet::tick`]. The same specification and
//!    start give the same records, however the ticks are spaced (a tick ends the messages it filled).
//! 2. Truth counts a record when the record leaves the fleet, so truth never runs ahead of what a
//!    reader could know. After [`Fleet::close`] it is exact from every vantage.
//! 3. At no instant do two owners hold one address.
//! 4. No packet of a pod lies outside the life of that pod, by more than the clock skew.

mod cluster;
mod connection;
mod events;
mod fleet;
mod load;
mod plan;
mod score;
mod spec;
mod telemetry;
mod truth;
mod wire;
mod world;

pub use fleet::Fleet;
pub use load::{Load, LoadSpec};
pub use score::{CountError, FoundEdge, Score, score, score_edges};
pub use spec::{
    Fault, Features, FleetSpec, MetricForm, SpecError, TelemetrySpec, Topology, XlatNodes,
};
pub use telemetry::{CallCounts, CallEdge};
pub use truth::{EdgeName, EntityName, Truth, TruthEdge};
pub use wire::{Message, Topic};
