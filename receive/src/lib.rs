//! Receivers: what collectors and SDKs send straight to Portolan, where there is no Kafka between.
//!
//! ```text
//! OTLP/gRPC, OTLP/HTTP, Zipkin ─► Inbox ─► local topic (on the disk) ─► the line ─► commit ─► the sender is told
//! ```
//!
//! Invariants:
//! 1. A sender is told "taken" only once the epoch that holds what it sent is committed. Told
//!    anything else, it sends again, and what came twice counts once.
//! 2. What waits for its commit is bounded. Over the bound a sender is told to come again, and when.
//! 3. Nothing that does not decode is taken; what of a message is refused is said in the answer.

mod body;
mod export;
mod grpc;
mod http;
mod inbox;
mod inboxes;
mod otlp;
mod zipkin;

pub use export::REQUESTS;
pub use grpc::serve_grpc;
pub use http::serve_http;
pub use inbox::{Bounds, Committed, Inbox, Refusal, Room};
pub use inboxes::{Inboxes, OTLP_TOPICS, Taken, ZIPKIN_TOPICS};
pub use zipkin::serve_zipkin;
