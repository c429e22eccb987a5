//! Epochs: the unit in which the line moves forward, all of it or nothing.

use std::sync::Arc;

use crate::{
    CallDelta, EdgeDelta, Entity, EntityId, HealthKey, HealthRow, Ip, Nanos, Notes, OwnerKey,
    OwnerRecord, PathDelta, Proto, Reject, TraceRow, Window,
};

/// A port that was learned to be a server's (flow semantics, section 2, class E5).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LearnedPort {
    /// Who serves there.
    pub server: EntityId,
    /// Protocol.
    pub proto: Proto,
    /// Port.
    pub port: u16,
    /// It was dialled up to then, in steps of ten minutes (ns).
    pub until: Nanos,
    /// How sure that is: 120 to 190, by how many clients were seen.
    pub confidence: u8,
}

/// A partition of a configured topic, as the process numbers it in memory (never on disk).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PartitionId(pub u32);

/// A partition as Kafka names it. `cluster` is the configured name of the Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Kafka cluster, by its configured name.
    pub cluster: Arc<str>,
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
}

/// How far a partition is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read: everything below is in the graph.
    pub next: i64,
    /// The lowest offset whose records the stages still remember: after a restart, `[reread, next)`
    /// is read again to rebuild that memory, and counts nothing. At most `next`.
    pub reread: i64,
}

/// Offsets that the broker no longer had when they were wanted: `[from, to)` is lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    /// The partition.
    pub partition: TopicPartition,
    /// First lost offset.
    pub from: i64,
    /// First offset that was there again.
    pub to: i64,
    /// When it was noticed.
    pub at: Nanos,
}

/// The end of an epoch, as it runs down the line behind the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Fences stages of before a reset: a message of another generation is ignored.
    pub generation: u64,
    /// Number of the epoch that this barrier ends. Counts on across restarts.
    pub epoch: u64,
    /// The clock, read once by the shell for the whole epoch.
    pub clock: Nanos,
    /// Event time below which the sources expect no more records.
    pub watermark: Nanos,
    /// How far every partition is read (`reread` is filled in by the resolver).
    pub positions: Vec<(PartitionId, Position)>,
    /// Losses noticed in this epoch.
    pub losses: Vec<Loss>,
    /// Records refused in this epoch, by reason.
    pub rejects: Vec<(Reject, u64)>,
    /// Flow records accepted by the decoders in this epoch.
    pub accepted: u64,
    /// The epoch rebuilds memory after a restart: stages take it in and emit nothing.
    pub rebuild: bool,
    /// Windows before this one are no longer remembered per connection (the resolver's word).
    pub folded: Window,
    /// Totals to add, by name: each stage appends its own.
    pub tallies: Vec<(Arc<str>, i64)>,
}

/// All that one epoch changes: one atomic write of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCommit {
    /// Number; commits are consecutive.
    pub epoch: u64,
    /// The clock reading of the epoch.
    pub clock: Nanos,
    /// Watermark at its end.
    pub watermark: Nanos,
    /// Edge rows, sorted by key, one per key.
    pub edges: Vec<EdgeDelta>,
    /// Path rows, sorted by key, one per key.
    pub paths: Vec<PathDelta>,
    /// Rows of calls, sorted by key, one per key.
    pub calls: Vec<CallDelta>,
    /// Entities named for the first time by this process (writing one again changes nothing).
    pub entities: Vec<(EntityId, Entity)>,
    /// Versions of owners that changed (written by `(scope, uid, valid.from)`).
    pub owners: Vec<OwnerRecord>,
    /// Versions that nothing kept asks for any more: removed.
    pub owners_gone: Vec<OwnerKey>,
    /// What changes in the catalogue and the changes that people made.
    pub notes: Notes,
    /// Traces that are kept as exemplars, sorted.
    pub traces: Vec<TraceRow>,
    /// Those that are kept no more.
    pub traces_gone: Vec<u128>,
    /// What was judged of edges and services, sorted by key.
    pub health: Vec<HealthRow>,
    /// Who was silent for so long that nothing is known of it any more.
    pub health_gone: Vec<HealthKey>,
    /// How far every partition is read.
    pub positions: Vec<Position>,
    /// Losses to remember.
    pub losses: Vec<Loss>,
    /// Totals to add, by name (`accepted`, `rejected/<reason>`, …).
    pub tallies: Vec<(Arc<str>, i64)>,
    /// Agents that count as alive, and until when at least they were heard of, sorted: all of them, if any changed.
    pub agents: Option<Arc<[(Ip, Nanos)]>>,
    /// Ports that were learned to be servers', sorted: all of them, if any changed.
    pub learned: Option<Arc<[LearnedPort]>>,
    /// Windows before this one are no longer remembered per connection.
    pub folded: Window,
    /// Windows that end at or before this start are past their retention: drop them.
    pub expire_before: Window,
}
