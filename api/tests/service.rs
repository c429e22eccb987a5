//! The service as a client sees it: an in-process server on a loopback port, over a store in memory
//! that was filled by hand.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "service/calls.rs"]
mod calls;
#[path = "service/compare.rs"]
mod compare;
#[path = "service/coverage.rs"]
mod coverage;
#[path = "service/get_graph.rs"]
mod get_graph;
#[path = "service/harness.rs"]
mod harness;
#[path = "service/health.rs"]
mod health;
#[path = "service/history.rs"]
mod history;
#[path = "service/load.rs"]
mod load;
#[path = "service/notes.rs"]
mod notes;
#[path = "service/overlay.rs"]
mod overlay;
#[path = "service/search.rs"]
mod search;
#[path = "service/status.rs"]
mod status;
#[path = "service/transport.rs"]
mod transport;
#[path = "service/traverse.rs"]
mod traverse;
