//! How the line is: what the server tells this crate about it.

use std::path::Path;

use portolan_model::{DeadLetter, Nanos, TopicPartition};
use portolan_storage::{Error, SnapshotMade, SnapshotStep};

/// Asks the line how it is. Must not block: it is called on the runtime's threads.
pub trait StatusPort: Send + Sync {
    /// How the line is at this moment.
    fn status(&self) -> LineStatus;
}

/// The rest of a snapshot that was begun: tells how far it is, and blocks until it is there.
pub type Pending =
    Box<dyn FnOnce(&mut dyn FnMut(SnapshotStep)) -> Result<SnapshotMade, Error> + Send>;

/// Makes snapshots of the running store.
pub trait SnapshotPort: Send + Sync {
    /// Begins one at an absolute path: refused there and then if nothing can be put there. Blocks, as the line
    /// does meanwhile.
    fn begin(&self, to: &Path) -> Result<Pending, Error>;
}

/// How the line is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineStatus {
    /// What it does.
    pub state: LineState,
    /// Why, if it is not running.
    pub reason: String,
    /// When the process started.
    pub started: Nanos,
    /// How far each partition is.
    pub partitions: Vec<PartitionStatus>,
    /// What each stage did.
    pub stages: Vec<StageStatus>,
    /// The last refused messages, newest last.
    pub dead_letters: Vec<DeadLetter>,
    /// Event to visible, over the last minute.
    pub freshness: FreshnessStatus,
    /// Restarts of the line since the process started.
    pub restarts: u32,
    /// Where the store is; empty for one in memory.
    pub store_path: String,
}

/// What the line does.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum LineState {
    /// Opening the store, connecting.
    #[default]
    Starting,
    /// Reading again what the stages must remember.
    Rebuilding,
    /// Going.
    Running,
    /// Going as far as it can; the reason is given.
    Degraded,
    /// Committing what was read, then ending.
    Stopping,
}

/// How far a partition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The partition.
    pub partition: TopicPartition,
    /// Next offset to read.
    pub next: i64,
    /// End of the log; -1 while unknown.
    pub end: i64,
    /// Event time up to which it is read.
    pub watermark: Nanos,
    /// Whether it waits because the line is full.
    pub paused: bool,
}

/// What a stage did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageStatus {
    /// Its name.
    pub name: String,
    /// How often the line was reset before it.
    pub generation: u64,
    /// Batches taken in.
    pub batches: u64,
    /// Records taken in.
    pub records: u64,
    /// Messages that wait.
    pub mailbox_depth: u64,
    /// Messages that fit.
    pub mailbox_capacity: u64,
}

/// Event to visible, in microseconds.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct FreshnessStatus {
    /// Epochs measured.
    pub samples: u64,
    /// Half were faster.
    pub p50_us: u64,
    /// One in a hundred was slower.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// What a line says that is not there: a server of a stored map.
impl StatusPort for LineStatus {
    fn status(&self) -> LineStatus {
        self.clone()
    }
}

// === impl LineState ===

impl LineState {
    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Rebuilding => "rebuilding",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
        }
    }
}
