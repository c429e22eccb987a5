//! The account of the epoch that is being read: what a barrier will say. Plain bookkeeping.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use portolan_model::{
    Barrier, EpochCommit, Loss, Nanos, PartitionId, Position, Reject, TopicPartition,
};

use super::watermark::{self, Track};
use super::{Moment, Now, Resume};

/// What a source has done with a partition since the last time.
#[derive(Clone, Debug, Default)]
pub struct Progress {
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
pub struct Ends {
    /// The median.
    pub median: Nanos,
    /// The latest.
    pub newest: Nanos,
}

/// What is remembered of an epoch on its way.
#[derive(Debug)]
pub struct Flight {
    /// Its number.
    pub epoch: u64,
    /// Records in it.
    pub records: u64,
    /// When its first record came.
    pub begun: Moment,
    /// Newest end and count of its batches.
    pub batches: Vec<(Nanos, u64)>,
}

#[derive(Debug)]
struct Entry {
    position: Position,
    /// Flow partitions make the watermark, ownership partitions do not.
    flows: bool,
    /// Where it ends, as far as is known.
    end: Option<i64>,
    track: Track,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    generation: u64,
    entries: Vec<Entry>,
    ids: BTreeMap<TopicPartition, PartitionId>,
    resume: Resume,
    watermark: Nanos,
    emitted: u64,
    committed: u64,
    losses: Vec<Loss>,
    rejects: [u64; Reject::ALL.len()],
    accepted: u64,
    records: u64,
    batches: Vec<(Nanos, u64)>,
    begun: Option<Moment>,
    flights: VecDeque<Flight>,
}

// === impl Ends ===

impl Ends {
    /// Of a batch whose records ended then; none of an empty one.
    pub fn of(ends: &[Nanos]) -> Option<Self> {
        let newest = ends.iter().copied().max()?;
        let mut sorted = ends.to_vec();
        let (_, median, _) = sorted.select_nth_unstable(ends.len() / 2);
        Some(Self { median: *median, newest })
    }
}

// === impl Ledger ===

impl Ledger {
    /// The account of a generation that goes on from a commit.
    pub(super) fn new(generation: u64, resume: &Resume) -> Self {
        Self {
            generation,
            entries: Vec::new(),
            ids: BTreeMap::new(),
            resume: resume.clone(),
            watermark: resume.watermark,
            emitted: resume.epoch,
            committed: resume.epoch,
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
    pub(super) fn register(&mut self, position: Position, flows: bool) -> PartitionId {
        if let Some(id) = self.ids.get(&position.partition) {
            return *id;
        }
        let id = PartitionId(self.entries.len() as u32);
        self.ids.insert(position.partition.clone(), id);
        self.entries.push(Entry { position, flows, end: None, track: Track::default() });
        id
    }

    /// Takes into account what was handed to the line.
    pub(super) fn advance(&mut self, progress: Progress, at: Now) {
        let Some(entry) = self.entries.get_mut(progress.partition.0 as usize) else { return };
        entry.position.next = progress.next;
        entry.position.reread = progress.next;
        self.begun.get_or_insert(at.moment);
        self.accepted += progress.accepted;
        self.records += progress.accepted;
        for (reason, count) in progress.rejects {
            self.rejects[reason as usize] += count;
            self.records += count;
        }
        self.losses.extend(progress.losses);
        if let Some(ends) = progress.ends {
            entry.track.saw(ends.median, at.clock, at.moment);
            self.batches.push((ends.newest.min(at.clock), progress.accepted));
        }
    }

    /// Memory was rebuilt: from here on the stages lower `reread` themselves.
    pub(super) fn rebuilt(&mut self) {
        for entry in &mut self.entries {
            entry.position.reread = entry.position.next;
        }
    }

    pub(super) fn set_end(&mut self, partition: PartitionId, end: Option<i64>) {
        if let Some(entry) = self.entries.get_mut(partition.0 as usize) {
            entry.end = end;
        }
    }

    pub(super) fn partition_watermark(&self, partition: PartitionId) -> Nanos {
        self.entries.get(partition.0 as usize).map_or(0, |e| e.track.watermark())
    }

    /// Records of the epoch so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Whether anything happened in the epoch.
    pub(super) fn is_dirty(&self) -> bool {
        self.begun.is_some()
    }

    /// Barriers sent and not yet committed.
    pub(super) fn in_flight(&self) -> u64 {
        self.emitted - self.committed
    }

    /// Records of the epochs on their way.
    pub(super) fn records_in_flight(&self) -> u64 {
        self.flights.iter().map(|f| f.records).sum()
    }

    /// The barrier that would end the epoch now. Nothing changes until [`Self::sent`].
    pub(super) fn barrier(&self, at: Now, idle: Duration) -> Barrier {
        let flows = self.entries.iter().filter(|e| e.flows);
        // By what the line was given, not by what was read: batches that wait for room count.
        let tracks = flows.map(|e| e.track.at_end(e.end.is_some_and(|end| e.position.next >= end)));
        let watermark = watermark::over(tracks, at.moment, idle).unwrap_or(0).min(at.clock);
        Barrier {
            generation: self.generation,
            epoch: self.emitted + 1,
            clock: at.clock,
            watermark: watermark.max(self.watermark),
            positions: self.positions(),
            losses: self.losses.clone(),
            rejects: self.rejects(),
            accepted: self.accepted,
            rebuild: false,
            folded: self.resume.folded,
            tallies: Vec::new(),
        }
    }

    /// The barrier that ends the rebuilding of memory: it says what the last commit said.
    pub(super) fn rebuild_barrier(&self) -> Barrier {
        let Resume { clock, watermark, folded, .. } = self.resume;
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
    pub(super) fn sent(&mut self, barrier_epoch: u64, watermark: Nanos, now: Moment) {
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
    pub(super) fn committed(&mut self, commit: &EpochCommit) -> Option<Flight> {
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
