//! Where epochs are kept: the traits, and the stores behind them.
//!
//! A commit is one atomic write of everything an epoch changes, offsets included. So the state a
//! reader sees is always that of a whole epoch, and a restart goes on exactly where it stopped.

use std::sync::Arc;

mod attempt;
mod cache;
mod checkpoint;
mod codec;
mod history;
mod keys;
mod live;
mod local;
mod lsm;
mod memory;
mod notes;
mod pack;
mod records;
mod recover;
mod row;
mod verify;

pub use attempt::{Attempt, chain};
pub use history::{Answer, Apart, History, Level, Plan, ReadHistory, Select, Span, plan};
pub use live::{Live, NowGraph, NowRange};
pub use local::{
    AppendError, LOCAL, LocalLimits, LocalRead, LocalRecord, LocalTopic, LocalTopics, local_topics,
};
pub use lsm::{
    FORMAT, FjallReader, FjallStore, LevelOptions, Options, PendingCopy, PendingSnapshot,
    SnapshotMade, SnapshotStep, prepare_directory, prepare_snapshot,
};
pub use memory::MemoryStore;
pub use notes::{CatalogueRows, ReadNotes};
pub use recover::{OnDamage, Recovery, good_copy, open_or_recover};
pub use verify::{Check, Found, VerifyStep};

use portolan_model::{
    CallDelta, EdgeDelta, Entity, EntityId, EpochCommit, Ip, LearnedPort, Loss, Nanos, OwnerRecord,
    PathDelta, Position, TimeRange, Window, WindowLen,
};

/// What the last commit says about where the line stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Last committed epoch; 0 before the first.
    pub epoch: u64,
    /// Its clock reading.
    pub clock: Nanos,
    /// Its watermark.
    pub watermark: Nanos,
    /// How far every partition is read.
    pub positions: Vec<Position>,
    /// Windows before this one are no longer remembered per connection.
    pub folded: Window,
    /// Windows before this one are expired. It never moves back: what is expired stays so, whatever
    /// a longer retention wants later.
    pub expired: Window,
    /// Totals by name.
    pub tallies: Vec<(Arc<str>, i64)>,
    /// Agents that count as alive, and when they were last heard of, sorted.
    pub agents: Arc<[(Ip, Nanos)]>,
    /// Ports that were learned to be servers', sorted.
    pub learned: Arc<[LearnedPort]>,
    /// Losses, oldest first (bounded; the oldest are merged into the tally `lost`).
    pub losses: Vec<Loss>,
}

/// The tally of rows that an import brought: they have no offsets.
pub const IMPORTED: &str = "imported/rows";

/// Reads rows by event time. Every method sees one whole epoch.
pub trait ReadEdges: Send + Sync {
    /// Length of the stored base windows.
    fn window_len(&self) -> WindowLen;

    /// Visits the edge rows of every window that overlaps `range`, one merged row per key, in the
    /// order of keys. Rows whose counters are all zero are left out.
    fn edges(&self, range: TimeRange, visit: &mut dyn FnMut(&EdgeDelta)) -> Result<(), Error>;

    /// Visits the path rows likewise.
    fn paths(&self, range: TimeRange, visit: &mut dyn FnMut(&PathDelta)) -> Result<(), Error>;

    /// Visits the rows of calls likewise. One is there while a counter or a histogram of it is.
    fn calls(&self, range: TimeRange, visit: &mut dyn FnMut(&CallDelta)) -> Result<(), Error>;

    /// The entity of an id.
    fn entity(&self, id: EntityId) -> Option<Arc<Entity>>;

    /// Visits every entity.
    fn entities(&self, visit: &mut dyn FnMut(EntityId, &Arc<Entity>));

    /// Oldest and newest window that has rows.
    fn span(&self) -> Result<Option<(Window, Window)>, Error>;

    /// Bytes on disk; 0 for a store without one.
    fn disk_bytes(&self) -> u64;
}

/// Reads where the line stands.
pub trait ReadCheckpoint: Send + Sync {
    /// The last commit.
    fn checkpoint(&self) -> Result<Checkpoint, Error>;

    /// Visits every stored version of every owner.
    fn owners(&self, visit: &mut dyn FnMut(OwnerRecord)) -> Result<(), Error>;
}

/// Reads all of a store.
pub trait ReadStore: ReadEdges + ReadCheckpoint + ReadHistory + ReadNotes {}

impl<T: ReadEdges + ReadCheckpoint + ReadHistory + ReadNotes> ReadStore for T {}

/// Writes epochs.
pub trait CommitEpoch: Send {
    /// Commits one epoch: all of it, or on error none of it. Epochs are consecutive; one that is
    /// already committed is refused with [`Error::OutOfOrder`].
    fn commit(&mut self, commit: &EpochCommit) -> Result<(), Error>;

    /// Makes what was committed survive a power loss.
    fn sync(&mut self) -> Result<(), Error>;
}

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it open.
    #[error("store {path} is locked: another process has it open")]
    Locked {
        /// Directory.
        path: String,
    },
    /// There is none.
    #[error("there is no store at {path}")]
    Absent {
        /// Directory.
        path: String,
    },
    /// Nothing can be put there.
    #[error("cannot write to {path}: {problem}")]
    Target {
        /// Directory or file.
        path: String,
        /// Why.
        problem: String,
    },
    /// It was written by a later version.
    #[error("store {path} has format {found}, this version reads up to {known}")]
    NewerFormat {
        /// Directory.
        path: String,
        /// Format on disk.
        found: u32,
        /// Newest format known.
        known: u32,
    },
    /// It holds windows of another length than configured.
    #[error("store {path} holds windows of {found} s, the configuration says {wanted} s")]
    WindowLength {
        /// Directory.
        path: String,
        /// On disk.
        found: u32,
        /// Configured.
        wanted: u32,
    },
    /// Bytes on disk are not what was written.
    #[error("store {path} is damaged: {detail}")]
    Damaged {
        /// Directory.
        path: String,
        /// What was found.
        detail: String,
    },
    /// The same, where the policy is to touch nothing.
    #[error("store {path} is damaged: {detail}; nothing was changed; to go on: {steps}")]
    Refused {
        /// Directory.
        path: String,
        /// What was found.
        detail: String,
        /// What to do, step by step.
        steps: String,
    },
    /// An epoch that is not the next one.
    #[error("epoch {got} does not follow {last}")]
    OutOfOrder {
        /// Last committed.
        last: u64,
        /// Offered.
        got: u64,
    },
    /// A question has more different rows than its asker wants.
    #[error("more than {most} different rows")]
    TooManyRows {
        /// The bound.
        most: usize,
    },
    /// Nobody waits for the answer any more.
    #[error("cancelled")]
    Cancelled,
    /// The engine takes no more writes after one of its own has failed. Opened anew, it goes on.
    #[error("store {path} takes no more writes after one that failed, until it is opened anew")]
    Stopped {
        /// Directory.
        path: String,
    },
    /// The disk is full.
    #[error("disk of store {path} is full")]
    Full {
        /// Directory.
        path: String,
    },
    /// Anything else that the disk says.
    #[error("store input or output failed")]
    Io(#[source] Box<dyn std::error::Error + Send + Sync>),
}
