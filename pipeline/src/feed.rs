//! Where the sources meet the line: which batches an epoch takes in, when it ends, and what its
//! barrier says. Pure: the shell brings the clock, the mailbox and the lock.
//!
//! [`Sluice::offer`] makes "the batch is in the resolver's mailbox" and "its offsets are in the
//! account" one step. So a barrier can be sent at any time and covers exactly the batches before it:
//! partitions need not agree on a moment.
//!
//! A generation passes three phases, each entered when every source is ready for it: memory is
//! rebuilt, then ownership is read up to where it stood at the start, then flows are read.

use std::time::Duration;

use portolan_model::{Barrier, EpochCommit, Nanos, PartitionId, Position, Window};

use crate::Intake;

mod ledger;
mod plan;
mod reading;
#[cfg(test)]
mod tests;
mod watermark;

use ledger::Ledger;
pub use ledger::{Ends, Flight, Progress};
pub use plan::{Plan, plan};
pub use reading::{Reading, Taken};

/// A time on the shell's monotonic clock, since an origin of its choice.
pub type Moment = Duration;

/// Both clocks, read together.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, since 1970: may jump.
    pub clock: Nanos,
    /// Monotonic clock.
    pub moment: Moment,
}

/// How far a generation is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// What the stages must remember is read again.
    Rebuild,
    /// Ownership is read up to where it stood at the start.
    Owners,
    /// Everything is read.
    Live,
}

/// What a source hands over.
#[derive(Debug)]
pub enum Parcel {
    /// Read for the first time: counts, and moves offsets. May hold no records at all.
    New(Option<Intake>, Progress),
    /// Read again to rebuild memory: moves nothing.
    Again(Intake),
}

/// What became of it.
#[derive(Debug)]
pub enum Offered {
    /// The line has it.
    Taken,
    /// There is no room: offer it again later.
    Full(Box<Parcel>),
    /// This generation is over.
    Closed,
}

/// What became of a message to the first stage.
#[derive(Debug)]
pub enum Sent<T> {
    /// It is in the mailbox.
    Yes,
    /// No room: it comes back.
    Full(T),
    /// Nobody reads the mailbox any more.
    Closed,
}

/// The mailbox of the first stage.
pub trait Outlet {
    /// Sends data.
    fn batch(&mut self, intake: Intake) -> Sent<Intake>;

    /// Sends the end of an epoch. One that does not fit is made anew when there is room.
    fn barrier(&mut self, barrier: Barrier) -> Sent<()>;
}

/// The settings that it goes by.
#[derive(Copy, Clone, Debug)]
pub struct Pace {
    /// How long an epoch lasts while records arrive.
    pub commit_interval: Duration,
    /// How long an epoch lasts while none do.
    pub idle_interval: Duration,
    /// An epoch ends early at this many records, and stalls the sources if it cannot.
    pub max_epoch_records: u64,
    /// Epochs on their way through the line at a time.
    pub epochs_in_flight: u64,
    /// A partition that is read to its end and gave nothing for this long no longer holds the
    /// watermark back.
    pub partition_idle: Duration,
}

/// What the last commit says about where the line stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Last committed epoch; 0 before the first.
    pub epoch: u64,
    /// Its clock reading.
    pub clock: Nanos,
    /// Its watermark.
    pub watermark: Nanos,
    /// Windows before this one are no longer remembered per connection.
    pub folded: Window,
    /// How far every partition is read.
    pub positions: Vec<Position>,
}

/// See the module.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Sluice {
    ledger: Ledger,
    pace: Pace,
    phase: Phase,
    /// Sources that are not ready for the next phase.
    waiting: usize,
    sources: usize,
    /// There was a commit before: the stages must be told what it said, also where nothing had to be read again.
    resumed: bool,
    /// Sources that have yet to hand over what they hold before the line stops.
    unfinished: usize,
    stopping: bool,
    closed: bool,
    /// The first stage is gone while the line still ran.
    broken: bool,
    last_barrier: Moment,
    committed: Vec<Position>,
}

// === impl Sluice ===

impl Sluice {
    /// The beginning of a generation with `sources` sources.
    pub fn new(generation: u64, pace: Pace, resume: &Resume, sources: usize, now: Now) -> Self {
        Self {
            ledger: Ledger::new(generation, resume),
            pace,
            phase: Phase::Rebuild,
            waiting: sources,
            sources,
            resumed: resume.epoch > 0,
            unfinished: sources,
            stopping: false,
            closed: false,
            broken: false,
            last_barrier: now.moment,
            committed: resume.positions.clone(),
        }
    }

    /// Numbers a partition and says where its reading stands.
    pub fn register(&mut self, position: Position, flows: bool) -> PartitionId {
        self.ledger.register(position, flows)
    }

    /// Hands a parcel to the line.
    pub fn offer(&mut self, parcel: Parcel, now: Now, outlet: &mut impl Outlet) -> Offered {
        if self.closed {
            return Offered::Closed;
        }
        match parcel {
            Parcel::Again(intake) => match outlet.batch(intake) {
                Sent::Yes => Offered::Taken,
                Sent::Full(intake) => Offered::Full(Box::new(Parcel::Again(intake))),
                Sent::Closed => self.gone(),
            },
            Parcel::New(intake, progress) => {
                if self.ledger.records() >= self.pace.max_epoch_records
                    && !self.end_epoch(now, outlet)
                {
                    return Offered::Full(Box::new(Parcel::New(intake, progress)));
                }
                match intake.map_or(Sent::Yes, |intake| outlet.batch(intake)) {
                    Sent::Yes => {
                        self.ledger.advance(progress, now);
                        Offered::Taken
                    }
                    Sent::Full(intake) => {
                        Offered::Full(Box::new(Parcel::New(Some(intake), progress)))
                    }
                    Sent::Closed => self.gone(),
                }
            }
        }
    }

    /// Where a partition ends, as far as is known, if it is read at all. What the source has read
    /// and not handed over is not at the end. The partition's watermark comes back.
    pub fn set_end(&mut self, partition: PartitionId, end: Option<i64>) -> Nanos {
        self.ledger.set_end(partition, end);
        self.ledger.partition_watermark(partition)
    }

    /// How far the generation is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// A source is ready for the phase after `phase`.
    pub fn ready(&mut self, phase: Phase, now: Now, outlet: &mut impl Outlet) {
        if self.phase == phase {
            self.waiting = self.waiting.saturating_sub(1);
        }
        self.step(now, outlet);
    }

    /// A source has handed over all it held, and ends.
    pub fn finished(&mut self) {
        self.unfinished = self.unfinished.saturating_sub(1);
    }

    /// Ends the epoch if it is time. To be called often.
    pub fn tick(&mut self, now: Now, outlet: &mut impl Outlet) {
        if self.closed {
            return;
        }
        self.step(now, outlet);
        if self.phase == Phase::Rebuild {
            return;
        }
        let since = now.moment.saturating_sub(self.last_barrier);
        let dirty = self.ledger.is_dirty();
        let last = self.stopping && self.unfinished == 0 && dirty;
        let due = if dirty { self.pace.commit_interval } else { self.pace.idle_interval };
        let idle_stop = self.stopping && !dirty;
        if last || (since >= due && !idle_stop) {
            self.end_epoch(now, outlet);
        }
    }

    /// The store has an epoch: makes room for the next.
    pub fn committed(&mut self, commit: &EpochCommit) -> Option<Flight> {
        self.committed.clone_from(&commit.positions);
        self.ledger.committed(commit)
    }

    /// How far the last commit is.
    pub fn committed_positions(&self) -> &[Position] {
        &self.committed
    }

    /// The sources are to hand over what they hold, and to end.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether the sources are to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Takes nothing more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether it takes nothing more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the first stage was found gone.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether all that the sources read is in the store.
    pub fn is_drained(&self) -> bool {
        let left = self.left();
        left.sources == 0 && left.records == 0 && left.epochs == 0 && !self.ledger.is_dirty()
    }

    /// What a drain has yet to commit.
    pub fn left(&self) -> Left {
        Left {
            sources: self.unfinished,
            records: self.ledger.records() + self.ledger.records_in_flight(),
            epochs: self.ledger.in_flight(),
        }
    }

    /// Enters the next phase when every source is ready for it.
    fn step(&mut self, now: Now, outlet: &mut impl Outlet) {
        if self.waiting > 0 || self.phase == Phase::Live {
            return;
        }
        if self.phase == Phase::Rebuild {
            if self.resumed {
                match outlet.barrier(self.ledger.rebuild_barrier()) {
                    Sent::Yes => {}
                    // The next tick tries again.
                    Sent::Full(()) => return,
                    Sent::Closed => {
                        self.gone();
                        return;
                    }
                }
            }
            self.ledger.rebuilt();
            self.last_barrier = now.moment;
            self.phase = Phase::Owners;
        } else {
            self.phase = Phase::Live;
        }
        self.waiting = self.sources;
    }

    /// Sends the barrier that ends the epoch, if there is room in flight and in the mailbox.
    fn end_epoch(&mut self, now: Now, outlet: &mut impl Outlet) -> bool {
        if self.ledger.in_flight() >= self.pace.epochs_in_flight {
            return false;
        }
        let barrier = self.ledger.barrier(now, self.pace.partition_idle);
        let (epoch, watermark) = (barrier.epoch, barrier.watermark);
        match outlet.barrier(barrier) {
            Sent::Yes => {
                self.ledger.sent(epoch, watermark, now.moment);
                self.last_barrier = now.moment;
                true
            }
            Sent::Full(()) => false,
            Sent::Closed => {
                self.gone();
                false
            }
        }
    }

    fn gone(&mut self) -> Offered {
        self.closed = true;
        self.broken = true;
        Offered::Closed
    }
}

/// What was read and is not in the store.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Sources that have not handed over what they hold.
    pub sources: usize,
    /// Records handed over whose epoch is not committed.
    pub records: u64,
    /// Epochs on their way.
    pub epochs: u64,
}
