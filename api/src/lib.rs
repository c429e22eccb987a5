//! gRPC over the storage traits: `portolan.v1.TopologyService`.
//!
//! ```text
//! request ─► parse (refuse what makes no sense) ─► graph (cached for "now", scanned for a range)
//!         ─► filter, page, walk (portolan-graph) ─► message
//! ```
//!
//! Invariants:
//! 1. [`errors`] alone makes statuses, and no internal text leaves through them.
//! 2. Nothing blocks the runtime: scans and folding run on blocking threads, a bounded number.
//! 3. "Now" is folded at most once an epoch and mode, however many ask.
//! 4. The line is asked through ports ([`TopologyReader`], [`StatusPort`], [`SnapshotPort`]): actors are unknown here.

mod convert;
mod described;
mod errors;
mod health;
mod limits;
mod names;
mod observe;
mod parse;
mod reader;
mod rpc;
mod scan;
mod serve;
mod shown;
mod status;

pub use errors::Error;
pub use health::Healths;
pub use limits::Limits;
pub use names::{METRICS, Metric, MetricKind, describe_metrics};
pub use reader::{
    Cut, Past, Snapshot, SourceFacts, Step, Steps, StoreFacts, StoreReader, TopologyReader,
};
pub use rpc::Topology;
pub use scan::Cancel;
pub use serve::{ServeError, serve};
pub use status::{
    FreshnessStatus, LineState, LineStatus, PartitionStatus, Pending, SnapshotPort, StageStatus,
    StatusPort,
};
