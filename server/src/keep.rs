//! The store of a running server: opened, recovered if it must be, and copied every so often.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use portolan_api::{Pending, SnapshotPort};
use portolan_model::EpochCommit;
use portolan_storage::{
    CommitEpoch, Error, FjallStore, LevelOptions, Options, ReadStore, Recovery, good_copy,
    prepare_snapshot,
};

use crate::config::{Config, OnDamage};

/// How often a copy is made: what lies after it is read again from Kafka if the store is damaged,
/// and an hour of records is read in minutes.
const COPY_EVERY: Duration = Duration::from_secs(3_600);
/// The first copy is made this soon, so that a new store has one at all.
const FIRST_COPY: Duration = Duration::from_secs(300);

/// A store that copies itself.
pub struct Kept {
    store: Arc<Mutex<FjallStore>>,
    next_copy: Instant,
    copying: Option<JoinHandle<()>>,
}

/// Makes snapshots of a store between two of its epochs.
pub struct Snapshots(Arc<Mutex<FjallStore>>);

/// Opens the store that the configuration names.
pub fn open(config: &Config) -> anyhow::Result<(Kept, Option<Recovery>)> {
    let path = &config.store.path;
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("store.path: cannot make {}", parent.display()))?;
    }
    let policy = match config.store.on_damage {
        OnDamage::Recover => portolan_storage::OnDamage::Recover,
        OnDamage::Refuse => portolan_storage::OnDamage::Refuse,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let window = config.line_config().window;
    let mut options = Options { max_bytes: config.store.max_bytes, ..Options::default() };
    if let Some(levels) = &config.store.levels {
        options.levels = levels.iter().map(|level| LevelOptions::from(*level)).collect();
    }
    let (store, recovery) = portolan_storage::open_or_recover(path, window, &options, policy, now)?;
    let store = Arc::new(Mutex::new(store));
    Ok((Kept { store, next_copy: Instant::now() + FIRST_COPY, copying: None }, recovery))
}

/// What to tell people about a recovery.
pub fn explain(recovery: &Recovery) -> String {
    let from = match &recovery.restored_from {
        Some(copy) => format!("restored from the copy {}", copy.display()),
        None => "begun empty, there was no good copy".to_owned(),
    };
    format!(
        "the store was damaged ({}); it was set apart as {} and {from}; the rest is read again from Kafka as far as it is kept there",
        recovery.reason,
        recovery.set_apart.display()
    )
}

// === impl Kept ===

impl Kept {
    /// A handle for readers.
    pub fn reader(&self) -> Arc<dyn ReadStore> {
        lock(&self.store).reader()
    }

    /// What makes snapshots of it while it runs.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots(Arc::clone(&self.store))
    }

    fn copy_if_due(&mut self) {
        if Instant::now() < self.next_copy
            || self.copying.as_ref().is_some_and(|c| !c.is_finished())
        {
            return;
        }
        self.next_copy = Instant::now() + COPY_EVERY;
        let mut store = lock(&self.store);
        let to = good_copy(store.path());
        match store.begin_copy(&to) {
            Ok(pending) => {
                let check = std::thread::Builder::new().name("store-copy".into());
                self.copying = check.spawn(move || finish(pending, &to)).ok();
            }
            Err(error) => tracing::warn!(%error, "no copy of the store was made"),
        }
    }
}

fn finish(pending: portolan_storage::PendingCopy, to: &Path) {
    match pending.finish() {
        Ok(epoch) => tracing::info!(epoch, copy = %to.display(), "copied the store"),
        Err(error) => tracing::warn!(%error, "the copy of the store is not good"),
    }
}

impl CommitEpoch for Kept {
    fn commit(&mut self, commit: &EpochCommit) -> Result<(), Error> {
        lock(&self.store).commit(commit)?;
        self.copy_if_due();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        lock(&self.store).sync()
    }
}

impl SnapshotPort for Snapshots {
    fn begin(&self, to: &Path) -> Result<Pending, Error> {
        let mut store = lock(&self.0);
        prepare_snapshot(store.path(), to)?;
        let pending = store.begin_snapshot()?;
        let to = to.to_owned();
        Ok(Box::new(move |told| pending.finish(&to, told)))
    }
}

/// A writer that panicked is not asked again: the line ends. Readers and snapshots of it are sound.
fn lock(store: &Mutex<FjallStore>) -> MutexGuard<'_, FjallStore> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
