//! Receivers: what collectors and SDKs send straight to Portolan, where there is no Kafka between.
//!
//! ```text
//! OTLP/gRPC, OTLP/HTTP ─► Inbox ─► local topic (on the disk) ─► the line ─► commit ─► the sender is told
//! ```
//!
//! Invariants:
//! 1. A sender is told "taken" only once the epoch that holds what it sent is committed. Told
//!    anything else, it sends again, and spans that came twice count once.
//! 2. What waits for its commit is bounded. Over the bound a sender is told to come again, and when.
//! 3. Nothing that does not decode is taken; what of a message is refused is said in the answer.

mod grpc;
mod http;
mod inbox;
mod otlp;

pub use grpc::serve_grpc;
pub use http::{REQUESTS, serve_http};
pub use inbox::{Bounds, Committed, Inbox, Refusal};
