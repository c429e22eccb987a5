//! The shell of every stage: *fence* the generation, *guard* against panics, *apply*, *forward*.
//!
//! Back pressure: a stage that cannot hand on what it made takes nothing more in, so a slow stage
//! fills the mailboxes before it one after the other, up to the source. In flight between a stage
//! and the next are at most the mailbox capacity and the one message that waits for a slot.
//!
//! A panic is caught here, because actix does not supervise one: the actor would die in silence.
//! Its stage is not used again; the supervisor builds all stages anew from the last epoch.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use actix::dev::SendError;
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, ArbiterHandle, AsyncContext, Context, Handler,
    WrapFuture,
};
use metrics::{Counter, Gauge, Histogram};
use portolan_pipeline::Stage;
use tokio::sync::mpsc;

use crate::envelope::{Body, Downstream, Envelope, Mailbox};
use crate::pulse::Pulse;
use crate::status::StageStatus;
use crate::{names, status::Status};

/// A part of the line that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of which generation.
    pub generation: u64,
    /// Which part.
    pub stage: String,
    /// Why.
    pub reason: String,
}

/// What the actors of one generation share.
#[derive(Clone)]
pub struct Crew {
    /// Their generation.
    pub generation: u64,
    /// The generation that is in force: all others are fenced off.
    pub fence: Arc<AtomicU64>,
    /// Where failures are told. Bounded; a full one means that failures are known already.
    pub failures: mpsc::Sender<Failure>,
    /// Where each reports what it does.
    pub status: Arc<Status>,
    /// Woken when a mailbox gave a slot back.
    pub pulse: Arc<Pulse>,
}

/// See the module.
pub struct StageActor<S: Stage> {
    /// Boxed, because an actor must be movable and a stage need not be.
    stage: Box<S>,
    crew: Crew,
    down: Downstream<S::Out>,
    mailbox: Arc<Mailbox>,
    status: Arc<StageStatus>,
    meters: Meters,
    failed: bool,
}

struct Meters {
    batches: Counter,
    records: Counter,
    fenced: Counter,
    depth: Gauge,
    batch_seconds: Histogram,
    barrier_seconds: Histogram,
}

// === impl Crew ===

impl Crew {
    /// Whether the generation is still in force.
    pub fn in_force(&self) -> bool {
        self.fence.load(SeqCst) == self.generation
    }

    /// Tells the supervisor that `stage` cannot go on.
    pub fn fail(&self, stage: &str, reason: String) {
        tracing::error!(stage, generation = self.generation, reason, "a part of the line failed");
        let failure = Failure { generation: self.generation, stage: stage.into(), reason };
        // Full: the supervisor already has more failures of this generation than it needs.
        let _ = self.failures.try_send(failure);
    }
}

// === impl StageActor ===

impl<S: Stage> StageActor<S> {
    /// Starts the actor on `arbiter` with a mailbox of `capacity`, and returns its only address.
    /// Waits until it has started, so never call it on that arbiter.
    pub fn start(
        stage: S,
        crew: &Crew,
        arbiter: &ArbiterHandle,
        capacity: usize,
        down: Downstream<S::Out>,
    ) -> Downstream<S::In> {
        let mailbox = Mailbox::new(capacity);
        let status = crew.status.stage(S::NAME, crew.generation, Arc::clone(&mailbox));
        let crew = crew.clone();
        let own = Arc::clone(&mailbox);
        let (start, started) = std::sync::mpsc::sync_channel(1);
        let addr: Addr<Self> = Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(capacity);
            let _ = start.send(());
            let (stage, meters) = (Box::new(stage), Meters::of(S::NAME));
            Self { stage, crew, down, mailbox: own, status, meters, failed: false }
        });
        // Until it runs the mailbox has actix's own capacity, whatever was asked for. If the
        // arbiter is gone this fails at once, and so will the first message.
        let _ = started.recv();
        Downstream::new(addr.recipient(), mailbox)
    }

    /// Runs the stage, and turns a panic into its text.
    fn guard(&mut self, body: Body<S::In>) -> Result<Vec<Body<S::Out>>, String> {
        let stage = &mut self.stage;
        let outcome = catch_unwind(AssertUnwindSafe(move || match body {
            Body::Batch(batch) => stage.apply(batch).map(Body::Batch).into_iter().collect(),
            Body::Barrier(mut barrier) => {
                let rest = stage.barrier(&mut barrier).map(Body::Batch);
                rest.into_iter().chain([Body::Barrier(barrier)]).collect()
            }
        }));
        outcome.map_err(|panic| panic_text(&*panic))
    }

    fn forward(&mut self, bodies: Vec<Body<S::Out>>, ctx: &mut Context<Self>) {
        let generation = self.crew.generation;
        let mut messages = bodies.into_iter().map(|body| Envelope { generation, body });
        while let Some(message) = messages.next() {
            match self.down.try_send(message) {
                Ok(()) => {}
                Err(SendError::Full(message)) => {
                    let rest = std::iter::once(message).chain(messages).collect();
                    let sent = self.down.send_all(rest).into_actor(self);
                    // Nothing is taken from the mailbox until this resolves.
                    ctx.wait(sent.map(|sent, actor, ctx| {
                        if sent.is_err() {
                            actor.fail("the next actor is gone".into(), ctx);
                        }
                    }));
                    return;
                }
                Err(SendError::Closed(_)) => {
                    return self.fail("the next actor is gone".into(), ctx);
                }
            }
        }
    }

    fn fail(&mut self, reason: String, ctx: &mut Context<Self>) {
        self.failed = true;
        if self.crew.in_force() {
            self.crew.fail(S::NAME, reason);
        }
        ctx.stop();
    }

    fn account(&self, started: Instant, batch: Option<usize>) {
        let took = started.elapsed();
        if let Some(records) = batch {
            self.status.count(records as u64);
            self.meters.batches.increment(1);
            self.meters.records.increment(records as u64);
            self.meters.batch_seconds.record(took);
        } else {
            self.meters.barrier_seconds.record(took);
        }
    }
}

impl<S: Stage> Actor for StageActor<S> {
    type Context = Context<Self>;
}

impl<S: Stage> Handler<Envelope<S::In>> for StageActor<S> {
    type Result = ();

    fn handle(&mut self, message: Envelope<S::In>, ctx: &mut Context<Self>) {
        self.mailbox.taken();
        self.meters.depth.set(self.mailbox.depth() as f64);
        self.crew.pulse.beat();
        let fenced = message.generation != self.crew.generation || !self.crew.in_force();
        if self.failed || fenced {
            self.meters.fenced.increment(1);
            return;
        }
        let started = Instant::now();
        let batch = match &message.body {
            Body::Batch(batch) => Some(S::records(batch)),
            Body::Barrier(_) => None,
        };
        match self.guard(message.body) {
            Ok(bodies) => {
                self.account(started, batch);
                self.forward(bodies, ctx);
            }
            Err(panic) => self.fail(format!("panicked: {panic}"), ctx),
        }
    }
}

// === impl Meters ===

impl Meters {
    fn of(stage: &'static str) -> Self {
        Self {
            batches: metrics::counter!(names::STAGE_BATCHES, "stage" => stage),
            records: metrics::counter!(names::STAGE_RECORDS, "stage" => stage),
            fenced: metrics::counter!(names::STAGE_FENCED, "stage" => stage),
            depth: metrics::gauge!(names::MAILBOX_DEPTH, "stage" => stage),
            batch_seconds: metrics::histogram!(names::STAGE_BATCH_SECONDS, "stage" => stage),
            barrier_seconds: metrics::histogram!(names::STAGE_BARRIER_SECONDS, "stage" => stage),
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no text".into())
}
