//! The account of the epoch that is being read: what a barrier will say. Plain bookkeeping.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use portolan_model::{
    Barrier, EpochCommit, Loss, Nanos, PartitionId, Position, Reject, TopicPartition, Window,
};
use portolan_storage::Checkpoint;

use super::watermark::{self, Track};

/// What a source has done with a partition since the last time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Partition.
    pub partition: PartitionId,
    /// Next offset to read.
    pub next: i64,
    /// Flow records accepted.
    pub accepted: u64,
    /// Records refused, by reason.
    pub rejects: Vec<(Reject, u64)>,
    /// Offsets found gone.
    pub losses: Vec<Loss>,
    /// Middle and newest end of the accepted records.
    pub ends: Option<Ends>,
}

/// When the records of a batch ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The median.
    pub median: Nanos,
    /// The latest.
    pub newest: Nanos,
}

/// What is remembered of an epoch on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) epoch: u64,
    pub(crate) records: u64,
    pub(crate) begun: Instant,
    /// Newest end and count of its batches.
    pub(crate) batches: Vec<(Nanos, u64)>,
}

#[derive(Debug)]
struct Entry {
    position: Position,
    /// Flow partitions make the watermark, ownership partitions do not.
    flows: bool,
    track: Track,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    generation: u64,
    entries: Vec<Entry>,
    ids: HashMap<TopicPartition, PartitionId>,
    checkpoint: (Nanos, Nanos, Window),
    watermark: Nanos,
    emitted: u64,
    committed: u64,
    losses: Vec<Loss>,
    rejects: [u64; Reject::ALL.len()],
    accepted: u64,
    records: u64,
    batches: Vec<(Nanos, u64)>,
    begun: Option<Instant>,
    flights: VecDeque<Flight>,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(generation: u64, checkpoint: &Checkpoint) -> Self {
        Self {
            generation,
            entries: Vec::new(),
            ids: HashMap::new(),
            checkpoint: (checkpoint.clock, checkpoint.watermark, checkpoint.folded),
            watermark: checkpoint.watermark,
            emitted: checkpoint.epoch,
            committed: checkpoint.epoch,
            losses: Vec::new(),
            rejects: [0; Reject::ALL.len()],
            accepted: 0,
            records: 0,
            batches: Vec::new(),
            begun: None,
            flights: VecDeque::new(),
        }
    }

    /// Numbers a partition.
    pub(crate) fn register(&mut self, position: Position, flows: bool) -> PartitionId {
        if let Some(id) = self.ids.get(&position.partition) {
            return *id;
        }
        let id = PartitionId(self.entries.len() as u32);
        self.ids.insert(position.partition.clone(), id);
        self.entries.push(Entry { position, flows, track: Track::default() });
        id
    }

    /// Takes into account what was handed to the line.
    pub(crate) fn advance(&mut self, progress: Progress, clock: Nanos, now: Instant) {
        let Some(entry) = self.entries.get_mut(progress.partition.0 as usize) else { return };
        entry.position.next = progress.next;
        entry.position.reread = progress.next;
        self.begun.get_or_insert(now);
        self.accepted += progress.accepted;
        self.records += progress.accepted;
        for (reason, count) in progress.rejects {
            self.rejects[reason as usize] += count;
            self.records += count;
        }
        self.losses.extend(progress.losses);
        if let Some(ends) = progress.ends {
            entry.track.saw(ends.median, clock, now);
            self.batches.push((ends.newest.min(clock), progress.accepted));
        }
    }

    /// Memory was rebuilt: from here on the stages lower `reread` themselves.
    pub(crate) fn rebuilt(&mut self) {
        for entry in &mut self.entries {
            entry.position.reread = entry.position.next;
        }
    }

    pub(crate) fn set_at_end(&mut self, partition: PartitionId, at_end: bool) {
        if let Some(entry) = self.entries.get_mut(partition.0 as usize) {
            entry.track.set_at_end(at_end);
        }
    }

    pub(crate) fn partition_watermark(&self, partition: PartitionId) -> Nanos {
        self.entries.get(partition.0 as usize).map_or(0, |e| e.track.watermark())
    }

    /// Records of the epoch so far.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Whether anything happened in the epoch.
    pub(crate) fn is_dirty(&self) -> bool {
        self.begun.is_some()
    }

    /// Barriers sent and not yet committed.
    pub(crate) fn in_flight(&self) -> u64 {
        self.emitted - self.committed
    }

    /// The barrier that would end the epoch now. Nothing changes until [`Self::sent`].
    pub(crate) fn barrier(&self, clock: Nanos, now: Instant, idle: Duration) -> Barrier {
        let tracks = self.entries.iter().filter(|e| e.flows).map(|e| &e.track);
        let watermark = watermark::over(tracks, now, idle).unwrap_or(0).min(clock);
        Barrier {
            generation: self.generation,
            epoch: self.emitted + 1,
            clock,
            watermark: watermark.max(self.watermark),
            positions: self.positions(),
            losses: self.losses.clone(),
            rejects: self.rejects(),
            accepted: self.accepted,
            rebuild: false,
            folded: self.checkpoint.2,
            tallies: Vec::new(),
        }
    }

    /// The barrier that ends the rebuilding of memory: it says what the last commit said.
    pub(crate) fn rebuild_barrier(&self) -> Barrier {
        let (clock, watermark, folded) = self.checkpoint;
        Barrier {
            generation: self.generation,
            epoch: self.emitted,
            clock,
            watermark,
            positions: self.positions(),
            losses: Vec::new(),
            rejects: Vec::new(),
            accepted: 0,
            rebuild: true,
            folded,
            tallies: Vec::new(),
        }
    }

    /// The barrier was taken by the line: a new epoch begins.
    pub(crate) fn sent(&mut self, barrier_epoch: u64, watermark: Nanos, now: Instant) {
        self.emitted = barrier_epoch;
        self.watermark = watermark;
        self.flights.push_back(Flight {
            epoch: barrier_epoch,
            records: std::mem::take(&mut self.records),
            begun: self.begun.take().unwrap_or(now),
            batches: std::mem::take(&mut self.batches),
        });
        self.losses.clear();
        self.rejects = [0; Reject::ALL.len()];
        self.accepted = 0;
    }

    /// The store has the epoch.
    pub(crate) fn committed(&mut self, commit: &EpochCommit) -> Option<Flight> {
        self.committed = self.committed.max(commit.epoch);
        while self.flights.front().is_some_and(|f| f.epoch < commit.epoch) {
            self.flights.pop_front();
        }
        self.flights.pop_front()
    }

    fn positions(&self) -> Vec<(PartitionId, Position)> {
        let numbered = self.entries.iter().enumerate();
        numbered.map(|(id, e)| (PartitionId(id as u32), e.position.clone())).collect()
    }

    fn rejects(&self) -> Vec<(Reject, u64)> {
        let counts = Reject::ALL.into_iter().map(|r| (r, self.rejects[r as usize]));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}
