//! The store on local disk: one writer, any number of readers, one atomic batch an epoch.
//!
//! ```text
//! meta            where the line stands, entities, owners
//! open-N          rows of base windows that are not packed yet, of the N-th five minutes since 1970
//! pack-SECS-N     packed windows of a level, of the N-th span since 1970
//! late-SECS-N     changes of windows that are packed
//! …-rest          spans beyond the 512th: late or forged times cost no files
//! ```
//!
//! Invariants: a reader sees the view of one whole epoch, published after its batch is written. A
//! batch is handed to the operating system before `commit` returns, so `kill -9` loses nothing.
//! What the engine rolls back silently is found at the next open, by the ledger.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Snapshot};
use portolan_model::{CallDelta, EdgeDelta, Entity, EntityId, PathDelta, Window, WindowLen};
use rustc_hash::FxBuildHasher;

use crate::cache::RowCache;
use crate::{CatalogueRows, Checkpoint, Error, ReadStore};

mod buckets;
mod commit;
mod copy;
mod fault;
mod holes;
mod late;
mod ledger;
mod levels;
mod mend;
mod open;
mod packs;
mod read;
mod seal;
mod snapshot;
mod squeeze;
mod synced;
mod verify;

pub use copy::PendingCopy;
pub use read::FjallReader;
pub use snapshot::{
    PendingSnapshot, SnapshotMade, SnapshotStep, prepare_directory, prepare_snapshot,
};

pub(crate) use copy::{copy_store, remove, sync_dir, sync_parent, unless_gone, with_suffix};
pub(crate) use fault::io as io_error;
pub(crate) use snapshot::remove_staged;

use buckets::{BucketMap, Buckets};
use holes::{Hole, Holes, Why};
use late::LateParts;
use ledger::Touched;
use levels::{LevelState, LevelView};

/// The format that this version writes. `docs/FORMAT.md` says what changed when.
pub const FORMAT: u32 = 3;

/// Bounds of a store on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of disk blocks kept in memory.
    pub block_cache_bytes: u64,
    /// Bytes of new rows held in memory before they are sorted onto disk, in each keyspace.
    pub memtable_bytes: u64,
    /// Rows of recent windows held for merging, of each kind: about 230 bytes each.
    pub cached_rows: usize,
    /// Late rows of a window in one epoch from which on they are packed.
    pub late_rows: usize,
    /// Bytes of journals on disk; at least 64 MiB.
    pub journal_bytes: u64,
    /// Bytes on disk that the store may take; 0 for no bound. Over it the finest level that can be is shortened.
    pub max_bytes: u64,
    /// Levels above the base windows, finest first. One whose length is not a multiple of the one before is left out.
    pub levels: Vec<LevelOptions>,
}

/// A level above the base windows.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct LevelOptions {
    /// Length of its windows: divides a day.
    pub secs: u32,
    /// How long they are kept; 0 for ever.
    pub retention_secs: u32,
}

/// The store on local disk.
///
/// The directory stays locked until the store and every reader of it are dropped.
pub struct FjallStore {
    shared: Arc<Shared>,
    open: Buckets,
    /// Base windows first.
    levels: Vec<LevelState>,
    edges: RowCache<EdgeDelta>,
    paths: RowCache<PathDelta>,
    calls: RowCache<CallDelta>,
    /// See [`Options::max_bytes`].
    max_bytes: u64,
    late_parts: LateParts,
    holes: Arc<Holes>,
    catalogue: Arc<CatalogueRows>,
    touched: Touched,
    checkpoint: Arc<Checkpoint>,
    /// Number of the next loss.
    next_loss: u64,
    /// Number of the last write.
    written: u64,
}

/// What the writer and the readers have in common.
struct Shared {
    db: Database,
    meta: Keyspace,
    path: PathBuf,
    len: WindowLen,
    memtable_bytes: u64,
    view: ArcSwap<View>,
    /// Shared by the writer and every query. Entities only ever come: one of a later epoch does no
    /// harm to a reader.
    entities: Entities,
    /// Windows that do not read: those that are set apart, and those that the next epoch will.
    faults: Mutex<BTreeSet<Hole>>,
}

type Entities = DashMap<EntityId, Arc<Entity>, FxBuildHasher>;

/// One whole epoch, as readers see it.
struct View {
    snapshot: Snapshot,
    open: Arc<BucketMap>,
    levels: Vec<LevelView>,
    holes: Arc<Holes>,
    catalogue: Arc<CatalogueRows>,
    checkpoint: Arc<Checkpoint>,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            // The index and the newest blocks of a day of a mid-sized fleet.
            block_cache_bytes: 64 << 20,
            // What is in memtables is in journals, and is replayed at start: about 200 k rows.
            memtable_bytes: 16 << 20,
            // Five windows of 50 k edges: 58 MB.
            cached_rows: 250_000,
            // Reading so many takes four times as long as beginning with a part.
            late_rows: 64,
            // The least that the engine takes. Its items are replayed at start, 1 M a second.
            journal_bytes: 64 << 20,
            max_bytes: 0,
            levels: LevelOptions::DEFAULT.to_vec(),
        }
    }
}

impl LevelOptions {
    /// A minute for 30 days, ten minutes for 90, an hour for a year, a day for ten: with 50 k edges, and
    /// 20 bytes each, 43, 13, 9 and 4 GB; the week of 10 s before them takes 60.
    pub const DEFAULT: [Self; 4] = [
        Self { secs: 60, retention_secs: 30 * 86_400 },
        Self { secs: 600, retention_secs: 90 * 86_400 },
        Self { secs: 3_600, retention_secs: 366 * 86_400 },
        Self { secs: 86_400, retention_secs: 3_660 * 86_400 },
    ];
}

impl Options {
    /// Bounds for tests and for machines where memory is short.
    pub fn small() -> Self {
        Self {
            block_cache_bytes: 4 << 20,
            memtable_bytes: 4 << 20,
            cached_rows: 20_000,
            late_rows: 2,
            journal_bytes: 64 << 20,
            max_bytes: 0,
            levels: Vec::new(),
        }
    }
}

// === impl FjallStore ===

impl FjallStore {
    /// A handle for readers.
    pub fn reader(&self) -> Arc<dyn ReadStore> {
        Arc::new(self.fjall_reader())
    }

    /// A handle for readers, by its own type.
    pub fn fjall_reader(&self) -> FjallReader {
        FjallReader::new(self.shared.clone())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Hands journals to the disk, and remembers up to which epoch this was done.
    fn persist(&self) -> Result<(), Error> {
        let shared = &self.shared;
        shared.db.persist(PersistMode::SyncData).map_err(|e| shared.fault(&e))?;
        synced::write(&shared.path, self.checkpoint.epoch).map_err(|e| shared.io(e))
    }
}

// === impl Shared ===

impl Shared {
    fn keyspace(&self, name: &str) -> Result<Keyspace, Error> {
        let bytes = self.memtable_bytes;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(bytes);
        self.db.keyspace(name, options).map_err(|e| self.fault(&e))
    }

    /// Says that a window does not read, once, and has it set apart by the next epoch.
    fn report(&self, secs: u32, window: Window, kind: u8, why: &str) {
        if self.faults().insert((secs, window, kind)) {
            let store = self.path.display();
            tracing::error!(%store, secs, window = window.0, kind, why, "a window does not read, and is set apart");
        }
    }

    /// What was found not to read, and is not set apart yet.
    fn found_since(&self, holes: &Holes) -> Vec<Hole> {
        let known = |hole: &&Hole| holes.get(hole) != Some(&Why::Apart);
        self.faults().iter().filter(known).copied().collect()
    }

    /// Forgets what is past its retention.
    fn forget(&self, past: impl Fn(&Hole) -> bool) {
        self.faults().retain(|hole| !past(hole));
    }

    fn faults(&self) -> MutexGuard<'_, BTreeSet<Hole>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    fn entity(&self, id: EntityId) -> Option<Arc<Entity>> {
        self.entities.get(&id).map(|entity| entity.clone())
    }
}

#[cfg(test)]
mod tests;
