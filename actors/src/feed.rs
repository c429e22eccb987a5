//! The feed of a generation: the sluice of the core with a lock, the clocks and the resolver's
//! mailbox. Shared by the sources, the committer and the supervisor.
//!
//! One lock makes "the batch is in the resolver's mailbox" and "its offsets are in the account" one
//! step, so a barrier can be sent at any time, by any thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::dev::SendError;
use portolan_model::{Barrier, EpochCommit, Nanos, PartitionId, Position};
use portolan_pipeline::Intake;
use portolan_pipeline::feed::{Left, Now, Outlet, Resume, Sent, Sluice};
pub(crate) use portolan_pipeline::feed::{Offered, Pace, Parcel, Phase};
use portolan_storage::Checkpoint;

use crate::clock;
use crate::config::ActorsConfig;
use crate::envelope::{Body, Downstream, Envelope};
use crate::names;
use crate::stage_actor::Crew;
use crate::status::{EpochStatus, LineState};

#[cfg(test)]
pub(crate) mod tests;

/// See the module.
pub(crate) struct Feed {
    crew: Crew,
    resolver: Downstream<Intake>,
    /// Origin of its moments.
    origin: Instant,
    sluice: Mutex<Sluice>,
}

/// Shared by the sources, the committer and the supervisor.
pub(crate) type SharedFeed = Arc<Feed>;

/// The resolver's mailbox, as the sluice sees it.
struct ToResolver<'a>(&'a Feed);

/// The pace that the settings ask for.
pub(crate) fn pace(config: &ActorsConfig) -> Pace {
    Pace {
        commit_interval: config.commit_interval,
        idle_interval: config.idle_interval,
        max_epoch_records: config.max_epoch_records,
        epochs_in_flight: config.epochs_in_flight,
        partition_idle: config.partition_idle,
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
        let resume = Resume {
            epoch: checkpoint.epoch,
            clock: checkpoint.clock,
            watermark: checkpoint.watermark,
            folded: checkpoint.folded,
            positions: checkpoint.positions.clone(),
        };
        let now = Now { clock: clock::now(), moment: Duration::ZERO };
        let sluice = Sluice::new(crew.generation, pace, &resume, sources, now);
        Self { crew, resolver, origin: Instant::now(), sluice: Mutex::new(sluice) }
    }

    /// What the actors of its generation share.
    pub(crate) fn crew(&self) -> &Crew {
        &self.crew
    }

    /// Numbers a partition and says where its reading stands.
    pub(crate) fn register(&self, position: Position, flows: bool) -> PartitionId {
        self.lock().register(position, flows)
    }

    /// Hands a parcel to the line.
    pub(crate) fn offer(&self, parcel: Parcel) -> Offered {
        if !self.crew.in_force() {
            return Offered::Closed;
        }
        self.act(|sluice, now, resolver| sluice.offer(parcel, now, resolver))
    }

    /// Where a partition ends, as far as is known, if it is fetched.
    pub(crate) fn set_end(&self, partition: PartitionId, end: Option<i64>) -> Nanos {
        self.lock().set_end(partition, end)
    }

    /// How far the generation is.
    pub(crate) fn phase(&self) -> Phase {
        self.lock().phase()
    }

    /// A source is ready for the phase after `phase`.
    pub(crate) fn ready(&self, phase: Phase) {
        self.act(|sluice, now, resolver| sluice.ready(phase, now, resolver));
    }

    /// A source has handed over all it held, and ends.
    pub(crate) fn finished(&self) {
        self.lock().finished();
        self.crew.pulse.beat();
    }

    /// Ends the epoch if it is time. To be called often.
    pub(crate) fn tick(&self) {
        if self.crew.in_force() {
            self.act(|sluice, now, resolver| sluice.tick(now, resolver));
        }
    }

    /// The store has an epoch: makes room for the next, and measures how fresh it is.
    pub(crate) fn committed(&self, commit: &EpochCommit) {
        let flight = self.lock().committed(commit);
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
            metrics::histogram!(names::EPOCH_SECONDS)
                .record(self.origin.elapsed().saturating_sub(flight.begun));
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
        self.lock().committed_positions().to_vec()
    }

    /// Tells the sources to hand over what they hold, and to end.
    pub(crate) fn stop(&self) {
        self.lock().stop();
        self.crew.pulse.beat();
    }

    /// Whether the sources are to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().is_stopping()
    }

    /// Takes nothing more.
    pub(crate) fn close(&self) {
        self.lock().close();
        self.crew.pulse.beat();
    }

    /// Whether it takes nothing more.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed() || !self.crew.in_force()
    }

    /// Whether all that the sources read is in the store.
    pub(crate) fn is_drained(&self) -> bool {
        self.lock().is_drained()
    }

    /// What was read and is not in the store.
    pub(crate) fn left(&self) -> Left {
        self.lock().left()
    }

    /// Does something with the sluice, and tells whoever must know what came of it.
    fn act<T>(&self, act: impl FnOnce(&mut Sluice, Now, &mut ToResolver<'_>) -> T) -> T {
        let mut sluice = self.lock();
        let (phase, broken) = (sluice.phase(), sluice.is_broken());
        let now = Now { clock: clock::now(), moment: self.origin.elapsed() };
        let done = act(&mut sluice, now, &mut ToResolver(self));
        if sluice.phase() != phase {
            if sluice.phase() == Phase::Live && !sluice.is_stopping() {
                self.crew.status.set_state(LineState::Running);
            }
            self.crew.pulse.beat();
        }
        if sluice.is_broken() && !broken && self.crew.in_force() {
            self.crew.fail("flow_resolver", "its mailbox is closed".into());
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, Sluice> {
        self.sluice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ToResolver ===

impl ToResolver<'_> {
    #[expect(clippy::result_large_err, reason = "the message comes back to be sent again")]
    fn send(&self, body: Body<Intake>) -> Result<(), SendError<Envelope<Intake>>> {
        let generation = self.0.crew.generation;
        self.0.resolver.try_send(Envelope { generation, body })
    }
}

impl Outlet for ToResolver<'_> {
    fn batch(&mut self, intake: Intake) -> Sent<Intake> {
        match self.send(Body::Batch(intake)) {
            Ok(()) => Sent::Yes,
            Err(SendError::Full(Envelope { body: Body::Batch(intake), .. })) => Sent::Full(intake),
            Err(_) => Sent::Closed,
        }
    }

    fn barrier(&mut self, barrier: Barrier) -> Sent<()> {
        match self.send(Body::Barrier(barrier)) {
            Ok(()) => Sent::Yes,
            Err(SendError::Full(_)) => Sent::Full(()),
            Err(SendError::Closed(_)) => Sent::Closed,
        }
    }
}
