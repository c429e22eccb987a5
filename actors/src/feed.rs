//! Where the sources meet the line: hands batches to the resolver, keeps the account of the epoch,
//! and ends it with a barrier.
//!
//! One lock makes "the batch is in the resolver's mailbox" and "its offsets are in the account" one
//! step. So a barrier can be sent at any time, by any thread, and covers exactly the batches before
//! it: partitions need not agree on a moment.
//!
//! A generation passes three phases, each entered when every source is ready for it: memory is
//! rebuilt, then ownership is read up to where it stood at the start, then flows are read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::dev::SendError;
use portolan_model::{EpochCommit, Nanos, PartitionId, Position};
use portolan_pipeline::Intake;
use portolan_storage::Checkpoint;

use crate::clock;
use crate::config::ActorsConfig;
use crate::envelope::{Body, Downstream, Envelope};
use crate::names;
use crate::stage_actor::Crew;
use crate::status::{EpochStatus, LineState};

mod ledger;
#[cfg(test)]
pub(crate) mod tests;
mod watermark;

use ledger::Ledger;
pub(crate) use ledger::{Ends, Progress};

/// How far a generation is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// What the stages must remember is read again.
    Rebuild,
    /// Ownership is read up to where it stood at the start.
    Owners,
    /// Everything is read.
    Live,
}

/// What a source hands over.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// Read for the first time: counts, and moves offsets. May hold no records at all.
    New(Option<Intake>, Progress),
    /// Read again to rebuild memory: moves nothing.
    Again(Intake),
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Offered {
    /// The line has it.
    Taken,
    /// There is no room: offer it again when the pulse has beaten.
    Full(Box<Parcel>),
    /// This generation is over.
    Closed,
}

/// See the module.
pub(crate) struct Feed {
    crew: Crew,
    resolver: Downstream<Intake>,
    pace: Pace,
    state: Mutex<State>,
}

/// The settings that it goes by.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Pace {
    pub(crate) commit_interval: Duration,
    pub(crate) idle_interval: Duration,
    pub(crate) max_epoch_records: u64,
    pub(crate) epochs_in_flight: u64,
    pub(crate) partition_idle: Duration,
}

struct State {
    ledger: Ledger,
    phase: Phase,
    /// Sources that are not ready for the next phase.
    waiting: usize,
    sources: usize,
    /// Something was read again, so the stages must be told where rebuilding ends.
    reread: bool,
    /// Sources that have yet to hand over what they hold before the line stops.
    unfinished: usize,
    stopping: bool,
    closed: bool,
    last_barrier: Instant,
    committed: Vec<Position>,
}

// === impl Pace ===

impl From<&ActorsConfig> for Pace {
    fn from(config: &ActorsConfig) -> Self {
        Self {
            commit_interval: config.commit_interval,
            idle_interval: config.idle_interval,
            max_epoch_records: config.max_epoch_records,
            epochs_in_flight: config.epochs_in_flight,
            partition_idle: config.partition_idle,
        }
    }
}

// === impl Feed ===

impl Feed {
    /// A feed into `resolver` from `sources` sources.
    pub(crate) fn new(
        crew: Crew,
        resolver: Downstream<Intake>,
        pace: Pace,
        checkpoint: &Checkpoint,
        sources: usize,
    ) -> Self {
        let state = State {
            ledger: Ledger::new(crew.generation, checkpoint),
            phase: Phase::Rebuild,
            waiting: sources,
            sources,
            reread: false,
            unfinished: sources,
            stopping: false,
            closed: false,
            last_barrier: Instant::now(),
            committed: checkpoint.positions.clone(),
        };
        Self { crew, resolver, pace, state: Mutex::new(state) }
    }

    /// What the actors of its generation share.
    pub(crate) fn crew(&self) -> &Crew {
        &self.crew
    }

    /// Numbers a partition and says where its reading stands.
    pub(crate) fn register(&self, position: Position, flows: bool) -> PartitionId {
        self.lock().ledger.register(position, flows)
    }

    /// Hands a parcel to the line.
    pub(crate) fn offer(&self, parcel: Parcel) -> Offered {
        let mut state = self.lock();
        if state.closed || !self.crew.in_force() {
            return Offered::Closed;
        }
        match parcel {
            Parcel::Again(intake) => match self.send(Body::Batch(intake)) {
                Sent::Yes => {
                    state.reread = true;
                    Offered::Taken
                }
                Sent::Full(Some(intake)) => Offered::Full(Box::new(Parcel::Again(intake))),
                Sent::Full(None) | Sent::Closed => self.gone(&mut state),
            },
            Parcel::New(intake, progress) => {
                if state.ledger.records() >= self.pace.max_epoch_records
                    && !self.end_epoch(&mut state)
                {
                    return Offered::Full(Box::new(Parcel::New(intake, progress)));
                }
                let sent = intake.map_or(Sent::Yes, |intake| self.send(Body::Batch(intake)));
                match sent {
                    Sent::Yes => {
                        state.ledger.advance(progress, clock::now(), Instant::now());
                        Offered::Taken
                    }
                    Sent::Full(intake) => Offered::Full(Box::new(Parcel::New(intake, progress))),
                    Sent::Closed => self.gone(&mut state),
                }
            }
        }
    }

    /// Whether the source has read all that a partition holds, as far as is known.
    pub(crate) fn set_at_end(&self, partition: PartitionId, at_end: bool) -> Nanos {
        let mut state = self.lock();
        state.ledger.set_at_end(partition, at_end);
        state.ledger.partition_watermark(partition)
    }

    /// How far the generation is.
    pub(crate) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// A source is ready for the phase after `phase`.
    pub(crate) fn ready(&self, phase: Phase) {
        let mut state = self.lock();
        if state.phase == phase {
            state.waiting = state.waiting.saturating_sub(1);
        }
        self.step(&mut state);
    }

    /// A source has handed over all it held, and ends.
    pub(crate) fn finished(&self) {
        let mut state = self.lock();
        state.unfinished = state.unfinished.saturating_sub(1);
        drop(state);
        self.crew.pulse.beat();
    }

    /// Ends the epoch if it is time. To be called often.
    pub(crate) fn tick(&self) {
        let mut state = self.lock();
        if state.closed || !self.crew.in_force() {
            return;
        }
        self.step(&mut state);
        if state.phase == Phase::Rebuild {
            return;
        }
        let since = state.last_barrier.elapsed();
        let dirty = state.ledger.is_dirty();
        let last = state.stopping && state.unfinished == 0 && dirty;
        let due = if dirty { self.pace.commit_interval } else { self.pace.idle_interval };
        let idle_stop = state.stopping && !dirty;
        if last || (since >= due && !idle_stop) {
            self.end_epoch(&mut state);
        }
    }

    /// The store has an epoch: makes room for the next, and measures how fresh it is.
    pub(crate) fn committed(&self, commit: &EpochCommit) {
        let mut state = self.lock();
        let flight = state.ledger.committed(commit);
        state.committed.clone_from(&commit.positions);
        drop(state);
        let status = &self.crew.status;
        status.set_epoch(EpochStatus {
            epoch: commit.epoch,
            clock: commit.clock,
            watermark: commit.watermark,
        });
        for position in &commit.positions {
            status.update(&position.partition, |p| p.committed = position.next);
        }
        metrics::gauge!(names::EPOCH).set(commit.epoch as f64);
        metrics::histogram!(names::EPOCH_ROWS)
            .record((commit.edges.len() + commit.paths.len()) as f64);
        if let Some(flight) = flight {
            let (clock, now) = (clock::now(), Instant::now());
            metrics::histogram!(names::EPOCH_SECONDS).record(flight.begun.elapsed());
            metrics::histogram!(names::EPOCH_RECORDS).record(flight.records as f64);
            let seconds = metrics::histogram!(names::FRESHNESS_SECONDS);
            for (newest, records) in flight.batches {
                let delay = Duration::from_nanos(clock.saturating_sub(newest));
                status.freshness_meter().record(now, delay, records);
                seconds.record(delay);
            }
        }
        self.crew.pulse.beat();
    }

    /// How far the last commit is, for Kafka's lag tools.
    pub(crate) fn committed_positions(&self) -> Vec<Position> {
        self.lock().committed.clone()
    }

    /// Tells the sources to hand over what they hold, and to end.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.crew.pulse.beat();
    }

    /// Whether the sources are to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Takes nothing more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.crew.pulse.beat();
    }

    /// Whether it takes nothing more.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed || !self.crew.in_force()
    }

    /// Whether all that the sources read is in the store.
    pub(crate) fn is_drained(&self) -> bool {
        let state = self.lock();
        state.unfinished == 0 && !state.ledger.is_dirty() && state.ledger.in_flight() == 0
    }

    /// Enters the next phase when every source is ready for it.
    fn step(&self, state: &mut State) {
        if state.waiting > 0 || state.phase == Phase::Live {
            return;
        }
        if state.phase == Phase::Rebuild {
            if state.reread {
                let barrier = state.ledger.rebuild_barrier();
                match self.send(Body::Barrier(barrier)) {
                    Sent::Yes => {}
                    // The next tick tries again.
                    Sent::Full(_) => return,
                    Sent::Closed => {
                        self.gone(state);
                        return;
                    }
                }
            }
            state.ledger.rebuilt();
            state.last_barrier = Instant::now();
            state.phase = Phase::Owners;
        } else {
            state.phase = Phase::Live;
            if !state.stopping {
                self.crew.status.set_state(LineState::Running);
            }
        }
        state.waiting = state.sources;
        self.crew.pulse.beat();
    }

    /// Sends the barrier that ends the epoch, if there is room in flight and in the mailbox.
    fn end_epoch(&self, state: &mut State) -> bool {
        if state.ledger.in_flight() >= self.pace.epochs_in_flight {
            return false;
        }
        let now = Instant::now();
        let barrier = state.ledger.barrier(clock::now(), now, self.pace.partition_idle);
        let (epoch, watermark) = (barrier.epoch, barrier.watermark);
        match self.send(Body::Barrier(barrier)) {
            Sent::Yes => {
                state.ledger.sent(epoch, watermark, now);
                state.last_barrier = now;
                true
            }
            Sent::Full(_) => false,
            Sent::Closed => {
                self.gone(state);
                false
            }
        }
    }

    fn send(&self, body: Body<Intake>) -> Sent {
        match self.resolver.try_send(Envelope { generation: self.crew.generation, body }) {
            Ok(()) => Sent::Yes,
            Err(SendError::Full(back)) => match back.body {
                Body::Batch(intake) => Sent::Full(Some(intake)),
                Body::Barrier(_) => Sent::Full(None),
            },
            Err(SendError::Closed(_)) => Sent::Closed,
        }
    }

    fn gone(&self, state: &mut State) -> Offered {
        if !std::mem::replace(&mut state.closed, true) && self.crew.in_force() {
            self.crew.fail("flow_resolver", "its mailbox is closed".into());
        }
        Offered::Closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a message to the resolver.
#[expect(clippy::large_enum_variant, reason = "lives for one call, and is moved once")]
enum Sent {
    Yes,
    /// No room: the batch comes back; a barrier is made anew when there is.
    Full(Option<Intake>),
    Closed,
}

/// Shared by the sources, the committer and the supervisor.
pub(crate) type SharedFeed = Arc<Feed>;
