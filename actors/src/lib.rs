//! The imperative shell: actors, supervision, the Kafka source, the clock.
//!
//! The stages are pure (`portolan-pipeline`); this crate runs them: one actor a stage, bounded
//! mailboxes between them, a source thread a Kafka cluster, a committer in front of the store, and a
//! supervisor that builds all of it anew from the last epoch when a part fails.
//!
//! Invariants:
//! 1. Offsets and their effects reach the store in one commit, so nothing is counted twice and
//!    nothing is lost, whatever stops when.
//! 2. No mailbox, queue or ring is unbounded: a slow store slows the stages, then the sources.
//! 3. What is refused, lost or skipped is counted.

mod clock;
mod committer;
mod config;
pub mod embedded;
mod error;
mod feed;
mod line;
mod local;
pub mod names;
pub mod publish;
mod pulse;
pub mod recall;
mod running;
mod source;
mod supervisor;

/// The generic actor of a stage, and what its messages are.
pub mod shell {
    pub use crate::envelope::{Body, Downstream, Envelope, Mailbox};
    pub use crate::pulse::Pulse;
    pub use crate::stage_actor::{Crew, Failure, StageActor};
}

mod envelope;
mod stage_actor;
pub mod status;

pub use committer::OnCommit;
pub use config::{ActorsConfig, KafkaCluster, RestartBudget, Topic};
pub use error::{Error, ExitReason};
pub use line::{Blueprint, RealStages, Stages};
pub use local::Local;
pub use portolan_pipeline::feed::Left;
pub use running::Running;
pub use status::Status;
pub use supervisor::{start, start_with};
