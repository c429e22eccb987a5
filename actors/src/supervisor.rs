//! The supervisor: builds a generation of the line from the last epoch, and a new one when any part
//! of it fails.
//!
//! All parts go together. A stage restarted alone would disagree with the batches on their way, so
//! there is nothing finer to restart: the fence moves, the committer settles, and everything else is
//! built anew from what the store says. A part that fails too often ends the process, with its
//! reason.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::Addr;
use portolan_model::{Nanos, Notes, TimeRange};
use portolan_pipeline::{LineConfig, Restored};
use portolan_storage::{Checkpoint, CommitEpoch, ReadStore};
use tokio::sync::{mpsc, watch};

use crate::committer::{Adopt, Committer, OnCommit, Parts, Settle, Sync};
use crate::config::ActorsConfig;
use crate::envelope::{Downstream, Mailbox};
use crate::error::{Error, ExitReason};
use crate::feed::{self, Feed, SharedFeed};
use crate::line::{self, Blueprint, RealStages, Threads};
use crate::local;
use crate::names;
use crate::pulse::Pulse;
use crate::running::Running;
use crate::source;
use crate::stage_actor::{Crew, Failure, panic_text};
use crate::status::{LineState, Status};

/// Failures and ends that may wait to be read. A generation ends with its first failure, so this is
/// more than are ever needed.
const REPORTS: usize = 16;
/// How often a stop looks again without being woken.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long a stop that is over its deadline waits for the commit in hand. With the default drain
/// it stays below the 10 s after which Docker kills.
const SETTLE: Duration = Duration::from_secs(1);

/// Starts the line on threads of its own.
///
/// `checkpoint` reads the store that `store` writes. `on_commit` is told of every epoch after it is
/// in the store, in order, on the committer's thread.
pub fn start(
    config: ActorsConfig,
    store: Box<dyn CommitEpoch>,
    checkpoint: Arc<dyn ReadStore>,
    on_commit: OnCommit,
) -> Result<Running, Error> {
    start_with(config, store, checkpoint, on_commit, RealStages)
}

/// Starts a line of other stages: for tests of the shell.
pub fn start_with<B: Blueprint>(
    config: ActorsConfig,
    store: Box<dyn CommitEpoch>,
    checkpoint: Arc<dyn ReadStore>,
    on_commit: OnCommit,
    blueprint: B,
) -> Result<Running, Error> {
    config.validate()?;
    for cluster in &config.clusters {
        source::check(cluster, &config)?;
    }
    // Read once here, so that a store that cannot be read is an error of the start.
    let restored = restore(&*checkpoint, &config.line)?;
    drop(restored);
    let status = Arc::new(Status::new(config.dead_letters));
    let (stop, stopped) = watch::channel(false);
    let (exited, exit) = watch::channel(None);
    let (fatal, ends) = mpsc::channel(REPORTS);
    let (failures, failed) = mpsc::channel(REPORTS);
    let parts = Parts {
        store,
        on_commit,
        status: Arc::clone(&status),
        fatal: fatal.clone(),
        sync_interval: config.sync_interval,
    };
    let supervisor = Supervisor {
        config: Arc::new(config),
        checkpoint,
        blueprint,
        status: Arc::clone(&status),
        fence: Arc::new(AtomicU64::new(0)),
        generation: 0,
        recent: VecDeque::new(),
        hung: false,
        stopped,
        fatal,
        ends,
        failures,
        failed,
    };
    let told = Arc::clone(&status);
    let body = move || {
        let system = actix::System::new();
        let run = AssertUnwindSafe(|| system.block_on(supervisor.run(parts)));
        let reason =
            catch_unwind(run).unwrap_or_else(|panic| ExitReason::Supervisor(panic_text(&*panic)));
        told.set_state(LineState::Stopped);
        tracing::info!(%reason, "the line has ended");
        exited.send_replace(Some(reason));
    };
    std::thread::Builder::new().name("portolan-line".into()).spawn(body).map_err(Error::Thread)?;
    Ok(Running::new(status, stop, exit))
}

struct Supervisor<B> {
    config: Arc<ActorsConfig>,
    checkpoint: Arc<dyn ReadStore>,
    blueprint: B,
    status: Arc<Status>,
    fence: Arc<AtomicU64>,
    generation: u64,
    /// When recent failures were.
    recent: VecDeque<Instant>,
    /// The store did not come back from a call in time.
    hung: bool,
    stopped: watch::Receiver<bool>,
    fatal: mpsc::Sender<ExitReason>,
    ends: mpsc::Receiver<ExitReason>,
    failures: mpsc::Sender<Failure>,
    failed: mpsc::Receiver<Failure>,
}

/// A generation at work.
struct Generation {
    feed: SharedFeed,
    pulse: Arc<Pulse>,
    sources: Vec<JoinHandle<()>>,
}

/// How a generation ended.
enum Outcome {
    Failed(Failure),
    Exit(ExitReason),
}

// === impl Supervisor ===

impl<B: Blueprint> Supervisor<B> {
    async fn run(mut self, parts: Parts) -> ExitReason {
        let threads = Threads::start();
        let mailbox = Mailbox::new(self.config.mailbox_capacity);
        let committer = Committer::start(parts, &threads.committer(), Arc::clone(&mailbox));
        let reason = loop {
            let failure = match self.generation(&threads, &committer, &mailbox).await {
                Outcome::Exit(reason) => break reason,
                Outcome::Failed(failure) => failure,
            };
            if let Some(reason) = self.over_budget(&failure) {
                break reason;
            }
        };
        drop(committer);
        if self.hung {
            // The store would be waited for for ever. Whatever it still writes is whole epochs.
            tracing::error!("the store does not answer: leaving without closing it");
            std::mem::forget(threads);
        } else {
            // The store is closed when the committer is gone: before anyone hears of the end.
            threads.join();
        }
        reason
    }

    /// Runs one generation from the last epoch to its end.
    async fn generation(
        &mut self,
        threads: &Threads,
        committer: &Addr<Committer>,
        mailbox: &Arc<Mailbox>,
    ) -> Outcome {
        self.generation += 1;
        self.fence.store(self.generation, SeqCst);
        self.status.set_generation(self.generation);
        self.status.set_state(LineState::Starting);
        metrics::gauge!(names::GENERATION).set(self.generation as f64);
        let generation = match self.begin(threads, committer, mailbox).await {
            Ok(generation) => generation,
            Err(outcome) => return outcome,
        };
        let outcome = self.watch(&generation, committer).await;
        // Fences every part off before the store is asked where it stands.
        self.fence.store(self.generation + 1, SeqCst);
        generation.end().await;
        let settled = committer.send(Settle);
        let settled = if let Outcome::Exit(ExitReason::StoppedEarly { .. }) = outcome {
            // A stop has a deadline, also where a commit hangs: the process ends, as if killed.
            tokio::time::timeout(SETTLE, settled).await
        } else {
            Ok(settled.await)
        };
        match settled {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Outcome::Exit(ExitReason::Store("the committer is gone".into())),
            Err(_) => self.hung = true,
        }
        outcome
    }

    async fn begin(
        &mut self,
        threads: &Threads,
        committer: &Addr<Committer>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Generation, Outcome> {
        let broken =
            |error: portolan_storage::Error| Outcome::Exit(ExitReason::Store(error.to_string()));
        let (checkpoint, restored) =
            restore(&*self.checkpoint, &self.config.line).map_err(broken)?;
        let pulse = Arc::new(Pulse::default());
        let crew = Crew {
            generation: self.generation,
            fence: Arc::clone(&self.fence),
            failures: self.failures.clone(),
            status: Arc::clone(&self.status),
            pulse: Arc::clone(&pulse),
        };
        let build = AssertUnwindSafe(|| self.blueprint.build(&self.config.line, &restored));
        let stages = catch_unwind(build).map_err(|panic| {
            let reason = format!("building the stages panicked: {}", panic_text(&*panic));
            let stage = "supervisor".to_string();
            Outcome::Failed(Failure { generation: self.generation, stage, reason })
        })?;
        let capacity = self.config.mailbox_capacity;
        let to_store = Downstream::new(committer.clone().recipient(), Arc::clone(mailbox));
        let resolver = line::start(stages, &crew, threads, capacity, to_store);
        let pace = feed::pace(&self.config);
        let sources = self.config.clusters.len() + usize::from(self.config.local.is_some());
        let feed = Arc::new(Feed::new(crew, resolver, pace, &checkpoint, sources));
        if committer.send(Adopt(Arc::clone(&feed))).await.is_err() {
            return Err(Outcome::Exit(ExitReason::Store("the committer is gone".into())));
        }
        tracing::info!(
            generation = self.generation,
            epoch = checkpoint.epoch,
            partitions = checkpoint.positions.len(),
            owners = restored.owners.len(),
            "the line goes on from its last epoch"
        );
        let shared = Arc::clone(&feed);
        let mut generation = Generation { feed, pulse, sources: Vec::new() };
        let local = self
            .config
            .local
            .as_ref()
            .map(|local| local::spawn(local, &self.config, Arc::clone(&shared), &checkpoint));
        let kafka = self.config.clusters.iter().map(|cluster| {
            source::spawn(source::Start {
                cluster: cluster.clone(),
                config: Arc::clone(&self.config),
                feed: Arc::clone(&shared),
                fatal: self.fatal.clone(),
                checkpoint: checkpoint.clone(),
            })
        });
        for spawned in local.into_iter().chain(kafka) {
            match spawned {
                Ok(source) => generation.sources.push(source),
                Err(error) => {
                    generation.end().await;
                    let reason = format!("no thread for a source: {error}");
                    return Err(Outcome::Exit(ExitReason::Supervisor(reason)));
                }
            }
        }
        Ok(generation)
    }

    /// Waits for the generation to fail, or to be told to stop.
    async fn watch(&mut self, generation: &Generation, committer: &Addr<Committer>) -> Outcome {
        loop {
            tokio::select! {
                biased;
                Some(reason) = self.ends.recv() => return Outcome::Exit(reason),
                Some(failure) = self.failed.recv() => {
                    if failure.generation == self.generation {
                        return Outcome::Failed(failure);
                    }
                }
                // An error means that the handle was dropped: nobody is left who could stop it.
                () = async { drop(self.stopped.wait_for(|stop| *stop).await) } => break,
            }
        }
        Outcome::Exit(self.drain(generation, committer).await)
    }

    /// Commits what the sources have read, for as long as there is time.
    async fn drain(&mut self, generation: &Generation, committer: &Addr<Committer>) -> ExitReason {
        self.status.set_state(LineState::Stopping);
        let deadline = Instant::now() + self.config.drain_deadline;
        generation.feed.stop();
        let cut = loop {
            let seen = generation.pulse.beats();
            generation.feed.tick();
            if generation.feed.is_drained() {
                break None;
            }
            if let Ok(reason) = self.ends.try_recv() {
                return reason;
            }
            let failed = self.failed.try_recv().ok().filter(|f| f.generation == self.generation);
            if let Some(Failure { stage, reason, .. }) = failed {
                break Some(format!("{stage}: {reason}"));
            }
            if Instant::now() >= deadline {
                break Some(format!("after {} s", self.config.drain_deadline.as_secs_f64()));
            }
            generation.pulse.moved(seen, DRAIN_LOOK).await;
        };
        // Asked before anything is torn down: what is committed from here on is not waited for.
        let left = generation.feed.left();
        let time = deadline.saturating_duration_since(Instant::now()).max(DRAIN_LOOK);
        let synced = tokio::time::timeout(time, committer.send(Sync)).await;
        let synced = matches!(synced, Ok(Ok(true)));
        match cut {
            None if synced => ExitReason::Stopped,
            None => {
                let reason = "the store did not reach the disk".to_string();
                ExitReason::StoppedEarly { cut: left, reason }
            }
            Some(reason) => ExitReason::StoppedEarly { cut: left, reason },
        }
    }

    /// Counts a failure, and says so if it is one too many.
    fn over_budget(&mut self, failure: &Failure) -> Option<ExitReason> {
        let budget = self.config.restart_budget;
        let now = Instant::now();
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > budget.within) {
            self.recent.pop_front();
        }
        if self.recent.len() > budget.restarts {
            return Some(ExitReason::RestartBudget {
                failures: self.recent.len(),
                within: budget.within,
                stage: failure.stage.clone(),
                reason: failure.reason.clone(),
            });
        }
        self.status.count_restart();
        metrics::counter!(names::RESTARTS, "stage" => failure.stage.clone()).increment(1);
        None
    }
}

// === impl Generation ===

impl Generation {
    /// Ends the sources, and lets go of the stages.
    async fn end(self) {
        self.feed.close();
        let sources = self.sources;
        let joined = tokio::task::spawn_blocking(move || {
            for source in sources {
                // A source catches its own panics and reports them.
                let _ = source.join();
            }
        });
        if let Err(error) = joined.await {
            tracing::error!(%error, "waiting for the sources failed");
        }
    }
}

/// Reads where the line stands, and what its stages must know.
fn restore(
    store: &dyn ReadStore,
    line: &LineConfig,
) -> Result<(Checkpoint, Restored), portolan_storage::Error> {
    let checkpoint = store.checkpoint()?;
    let mut owners = Vec::new();
    store.owners(&mut |owner| owners.push(owner))?;
    let mut strangers = Vec::new();
    let mut named = Vec::new();
    store.entities(&mut |_, entity| {
        strangers.extend(portolan_pipeline::stranger(entity));
        if portolan_pipeline::is_named_by_spans(entity.kind) {
            named.push((**entity).clone());
        }
    });
    let folded = checkpoint.folded;
    let agents = checkpoint.agents.to_vec();
    let learned = checkpoint.learned.to_vec();
    let mut notes = Notes::default();
    notes.catalogue.extend(store.catalogue().values().map(|row| (**row).clone()));
    store.changes(TimeRange { from: 0, to: Nanos::MAX }, &mut |change| {
        notes.changes.push(change);
        true
    })?;
    let watermark = checkpoint.watermark;
    let mut health = Vec::new();
    store.health(&mut |row| health.push(*row))?;
    let mut calls = Vec::new();
    let unjudged = portolan_pipeline::unjudged(line, watermark);
    store
        .calls(TimeRange { from: unjudged, to: Nanos::MAX }, &mut |row| calls.push(row.clone()))?;
    let mut traces = Vec::new();
    store.traces(&mut |row| traces.push(row.clone()))?;
    let restored = Restored {
        owners,
        folded,
        agents,
        learned,
        strangers,
        named,
        notes,
        watermark,
        health,
        traces,
        calls,
    };
    Ok((checkpoint, restored))
}
