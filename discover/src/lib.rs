//! Who owns which address, from those who give addresses out.
//!
//! ```text
//! API server ─► follow (list, watch) ─► Cluster (pure) ─► Told ─► ownership topic
//! ```
//!
//! [`Cluster`] is a pure state machine: what was seen of a cluster and when goes in, versions of owners
//! with their certain and possible times come out (flow semantics, section 1.2). [`follow`] brings it
//! the clock and the API server. Publishing is the caller's.

mod connect;
mod follow;
mod kubernetes;

pub use connect::ConnectError;
pub use follow::{FollowError, Followed, LAST_RETRY, Target, follow};
pub use kubernetes::{Cluster, Input, Object, Resource, Settings, Told};
