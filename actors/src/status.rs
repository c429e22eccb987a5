//! What the line is doing: tables that many threads share and that are no stage's state.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use dashmap::DashMap;
use portolan_model::{DeadLetter, Nanos, TopicPartition};

use crate::clock;
use crate::envelope::Mailbox;

mod freshness;

pub use freshness::{Freshness, FreshnessMeter};

/// How the line is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum LineState {
    /// Reading what was remembered, then ownership: no new flows yet.
    #[default]
    Starting,
    /// Going.
    Running,
    /// Going as far as it can: the reasons, by where they come from.
    Degraded(BTreeMap<String, String>),
    /// Committing what was read, then ending.
    Stopping,
    /// Ended.
    Stopped,
}

/// How far a partition is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct PartitionStatus {
    /// Next offset that the source reads.
    pub next: i64,
    /// Next offset of the last commit: what lies below is in the graph.
    pub committed: i64,
    /// First offset that the broker still has; -1 while not known.
    pub low: i64,
    /// End of the partition when last looked up; -1 while not known.
    pub end: i64,
    /// Event time below which the partition is expected to be complete; 0 while not known.
    pub watermark: Nanos,
    /// Whether the source paused it because the line is full.
    pub paused: bool,
    /// Offsets lost since the start.
    pub lost: i64,
    /// Offsets that were missing in the middle (transaction marks, compaction), since the start.
    pub gaps: i64,
}

/// What an actor did in its generation.
#[derive(Debug)]
pub struct StageStatus {
    generation: u64,
    mailbox: Arc<Mailbox>,
    batches: AtomicU64,
    records: AtomicU64,
}

/// What an actor did, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageReport {
    /// Stage.
    pub name: &'static str,
    /// Generation of the actor.
    pub generation: u64,
    /// Batches taken in.
    pub batches: u64,
    /// Records taken in.
    pub records: u64,
    /// Messages that wait.
    pub depth: usize,
    /// Messages that fit.
    pub capacity: usize,
}

/// The last commit.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct EpochStatus {
    /// Its number.
    pub epoch: u64,
    /// Its clock reading.
    pub clock: Nanos,
    /// Its watermark.
    pub watermark: Nanos,
}

/// See the module.
#[derive(Debug)]
pub struct Status {
    started: Nanos,
    partitions: DashMap<TopicPartition, PartitionStatus>,
    stages: DashMap<&'static str, Arc<StageStatus>>,
    state: Mutex<State>,
    letters: Mutex<VecDeque<DeadLetter>>,
    letters_kept: usize,
    freshness: FreshnessMeter,
    generation: AtomicU64,
    restarts: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    line: LineState,
    troubles: BTreeMap<String, String>,
    epoch: EpochStatus,
}

// === impl StageStatus ===

impl StageStatus {
    pub(crate) fn count(&self, records: u64) {
        self.batches.fetch_add(1, Relaxed);
        self.records.fetch_add(records, Relaxed);
    }
}

// === impl Status ===

impl Status {
    /// Nothing has happened yet. Keeps at most `letters_kept` refused messages.
    pub fn new(letters_kept: usize) -> Self {
        Self {
            started: clock::now(),
            partitions: DashMap::new(),
            stages: DashMap::new(),
            state: Mutex::default(),
            letters: Mutex::default(),
            letters_kept,
            freshness: FreshnessMeter::default(),
            generation: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
        }
    }

    /// When the line started.
    pub fn started(&self) -> Nanos {
        self.started
    }

    /// How the line is. Troubles degrade a line that runs or starts; each goes with its cause.
    pub fn state(&self) -> LineState {
        let state = self.lock();
        match &state.line {
            LineState::Stopping | LineState::Stopped => state.line.clone(),
            _ if !state.troubles.is_empty() => LineState::Degraded(state.troubles.clone()),
            line => line.clone(),
        }
    }

    /// Whether flows are being read (degraded or not): what readiness asks.
    pub fn is_live(&self) -> bool {
        self.lock().line == LineState::Running
    }

    /// The last commit.
    pub fn epoch(&self) -> EpochStatus {
        self.lock().epoch
    }

    /// Generation of the line.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Resets since the start.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Relaxed)
    }

    /// Every partition, in order.
    pub fn partitions(&self) -> Vec<(TopicPartition, PartitionStatus)> {
        let mut all: Vec<_> =
            self.partitions.iter().map(|row| (row.key().clone(), *row.value())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// One partition.
    pub fn partition(&self, partition: &TopicPartition) -> Option<PartitionStatus> {
        self.partitions.get(partition).map(|row| *row)
    }

    /// Every actor, by name.
    pub fn stages(&self) -> Vec<StageReport> {
        let mut all: Vec<_> =
            self.stages.iter().map(|row| report(row.key(), row.value())).collect();
        all.sort_by_key(|stage| stage.name);
        all
    }

    /// The last refused messages, oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Freshness over the last minute.
    pub fn freshness(&self) -> Option<Freshness> {
        self.freshness.read(Instant::now())
    }

    pub(crate) fn freshness_meter(&self) -> &FreshnessMeter {
        &self.freshness
    }

    /// Registers the actor of a stage; it replaces that of the generation before.
    pub(crate) fn stage(
        &self,
        name: &'static str,
        generation: u64,
        mailbox: Arc<Mailbox>,
    ) -> Arc<StageStatus> {
        let status = Arc::new(StageStatus {
            generation,
            mailbox,
            batches: AtomicU64::new(0),
            records: AtomicU64::new(0),
        });
        self.stages.insert(name, Arc::clone(&status));
        status
    }

    pub(crate) fn set_state(&self, line: LineState) {
        self.lock().line = line;
    }

    /// Something keeps part of the line from going on; `None` when it no longer does.
    pub fn set_trouble(&self, source: &str, trouble: Option<String>) {
        let mut state = self.lock();
        match trouble {
            Some(reason) if state.troubles.get(source) != Some(&reason) => {
                tracing::warn!(source, reason, "degraded");
                state.troubles.insert(source.into(), reason);
            }
            Some(_) => {}
            None => {
                if state.troubles.remove(source).is_some() {
                    tracing::info!(source, "no longer degraded");
                }
            }
        }
    }

    pub(crate) fn set_epoch(&self, epoch: EpochStatus) {
        self.lock().epoch = epoch;
    }

    pub(crate) fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Relaxed);
    }

    pub(crate) fn count_restart(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    pub(crate) fn update(
        &self,
        partition: &TopicPartition,
        change: impl FnOnce(&mut PartitionStatus),
    ) {
        if let Some(mut row) = self.partitions.get_mut(partition) {
            return change(&mut row);
        }
        let unknown = PartitionStatus { low: -1, end: -1, ..PartitionStatus::default() };
        change(&mut self.partitions.entry(partition.clone()).or_insert(unknown));
    }

    /// Keeps a refused message. One that is read again after a reset is kept once.
    pub(crate) fn bury(&self, letter: DeadLetter) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |l: &DeadLetter| {
            l.offset == letter.offset
                && l.partition == letter.partition
                && l.reason == letter.reason
                && l.detail == letter.detail
        };
        if self.letters_kept == 0 || letters.iter().any(same) {
            return;
        }
        if letters.len() == self.letters_kept {
            letters.pop_front();
        }
        letters.push_back(letter);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(name: &'static str, status: &StageStatus) -> StageReport {
    StageReport {
        name,
        generation: status.generation,
        batches: status.batches.load(Relaxed),
        records: status.records.load(Relaxed),
        depth: status.mailbox.depth(),
        capacity: status.mailbox.capacity(),
    }
}
