//! The committer: writes epochs to the store, in order, and then lets the world see them.
//!
//! It outlives generations. A commit of an earlier generation is never written: the supervisor hands
//! it the new one by message and waits for the answer before it reads where the store stands.
//!
//! A store whose disk is full is asked again for as long as that is so, with nothing taken in meanwhile, so that the sources
//! stall. One that takes no more writes ends the line, to be opened anew; one that is damaged ends the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorFutureExt, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, WrapFuture,
};
use portolan_model::{EpochCommit, Invariant, Standing};
use portolan_storage::{Attempt, CommitEpoch, Error, chain};
use tokio::sync::mpsc;

use crate::envelope::{Body, Envelope, Mailbox};
use crate::error::ExitReason;
use crate::feed::SharedFeed;
use crate::names;
use crate::stage_actor::panic_text;
use crate::status::{StageStatus, Status};

#[cfg(test)]
mod tests;

/// Told of every epoch after it is in the store, in order.
pub type OnCommit = Box<dyn FnMut(&EpochCommit) + Send>;

/// See the module.
pub(crate) struct Committer {
    parts: Parts,
    mailbox: Arc<Mailbox>,
    generation: Option<Generation>,
    unsynced: bool,
    failed: bool,
}

/// What a committer works with.
pub(crate) struct Parts {
    pub(crate) store: Box<dyn CommitEpoch>,
    pub(crate) on_commit: OnCommit,
    pub(crate) status: Arc<Status>,
    pub(crate) fatal: mpsc::Sender<ExitReason>,
    pub(crate) sync_interval: Duration,
}

/// The generation whose commits are taken.
struct Generation {
    feed: SharedFeed,
    status: Arc<StageStatus>,
    /// Where its commits so far leave the line.
    standing: Standing,
}

/// Takes the commits of a new generation, and no others.
pub(crate) struct Adopt(pub(crate) SharedFeed);

/// Lets go of the generation. Once answered, the store holds all that it ever will of it.
pub(crate) struct Settle;

/// Makes all that is committed survive a power loss. Answers whether it did.
pub(crate) struct Sync;

const NAME: &str = "committer";
/// Where troubles of the store are shown.
const STORE: &str = "store";
/// First wait before a commit is tried again; it doubles …
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// … up to this, which is also what a stop may have to wait for.
const LAST_RETRY: Duration = Duration::from_secs(1);

impl Message for Adopt {
    type Result = ();
}

impl Message for Settle {
    type Result = ();
}

impl Message for Sync {
    type Result = bool;
}

// === impl Committer ===

impl Committer {
    /// Starts it on `arbiter`.
    pub(crate) fn start(
        parts: Parts,
        arbiter: &ArbiterHandle,
        mailbox: Arc<Mailbox>,
    ) -> Addr<Self> {
        let (start, started) = std::sync::mpsc::sync_channel(1);
        let addr = Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(mailbox.capacity());
            let _ = start.send(());
            Self { parts, mailbox, generation: None, unsynced: false, failed: false }
        });
        // The capacity holds from here on; see `StageActor::start`.
        let _ = started.recv();
        addr
    }

    /// Commits, now or later, and keeps everything else waiting until it has.
    fn commit(&mut self, commit: EpochCommit, wait: Duration, ctx: &mut Context<Self>) {
        let again = wait > FIRST_RETRY;
        if let Some(broken) = self.breaks(&commit) {
            return self.give_up(format!("epoch {} would break {broken}", commit.epoch));
        }
        match self.attempt(&commit, again) {
            Attempt::Done => {
                self.parts.status.set_trouble(STORE, None);
                self.visible(&commit);
            }
            Attempt::Later(reason) => {
                metrics::counter!(names::STORE_RETRIES).increment(1);
                self.parts.status.set_trouble(STORE, Some(reason));
                let pause = actix::clock::sleep(wait).into_actor(self);
                ctx.wait(pause.map(move |(), committer, ctx| {
                    // A new generation reads these records again.
                    if committer.is_in_force() {
                        committer.commit(commit, (wait * 2).min(LAST_RETRY), ctx);
                    }
                }));
            }
            Attempt::Reopen(reason) => self.reopen(reason),
            Attempt::Never(reason) => self.give_up(reason),
        }
    }

    /// What must hold and would not: such a commit is never written.
    fn breaks(&self, commit: &EpochCommit) -> Option<String> {
        let broken = self.generation.as_ref()?.standing.broken_by(commit);
        for invariant in &broken {
            metrics::counter!(names::INVARIANTS_BROKEN, "invariant" => invariant.as_str())
                .increment(1);
        }
        let names: Vec<_> = broken.into_iter().map(Invariant::as_str).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    fn attempt(&mut self, commit: &EpochCommit, again: bool) -> Attempt {
        let started = Instant::now();
        let store = &mut self.parts.store;
        let outcome = catch_unwind(AssertUnwindSafe(|| store.commit(commit)));
        metrics::histogram!(names::STORE_COMMIT_SECONDS).record(started.elapsed());
        match outcome {
            Ok(result) => Attempt::of(&result, again),
            Err(panic) => Attempt::Never(format!("panicked: {}", panic_text(&*panic))),
        }
    }

    /// The epoch is in the store: tells whoever shows it, then whoever waits for room.
    fn visible(&mut self, commit: &EpochCommit) {
        self.unsynced = true;
        let on_commit = &mut self.parts.on_commit;
        let told = catch_unwind(AssertUnwindSafe(|| on_commit(commit)));
        if let Err(panic) = told {
            return self.give_up(format!("showing an epoch panicked: {}", panic_text(&*panic)));
        }
        if let Some(generation) = &mut self.generation {
            generation.standing.advance(commit);
            generation.status.count((commit.edges.len() + commit.paths.len()) as u64);
            generation.feed.committed(commit);
        }
    }

    fn sync(&mut self) -> bool {
        if !self.unsynced || self.failed {
            return !self.failed;
        }
        let started = Instant::now();
        let store = &mut self.parts.store;
        let outcome = catch_unwind(AssertUnwindSafe(|| store.sync()));
        metrics::histogram!(names::STORE_SYNC_SECONDS).record(started.elapsed());
        match outcome {
            Ok(Ok(())) => {
                self.unsynced = false;
                self.parts.status.set_trouble("store sync", None);
                true
            }
            Ok(Err(error @ (Error::Full { .. } | Error::Io(_)))) => {
                // The next one tries again; until then a power loss costs a longer re-read.
                self.parts.status.set_trouble("store sync", Some(chain(&error)));
                false
            }
            Ok(Err(error @ Error::Stopped { .. })) => {
                self.reopen(chain(&error));
                false
            }
            Ok(Err(error)) => {
                self.give_up(chain(&error));
                false
            }
            Err(panic) => {
                self.give_up(format!("panicked: {}", panic_text(&*panic)));
                false
            }
        }
    }

    fn give_up(&mut self, reason: String) {
        tracing::error!(reason, "the store cannot go on");
        self.end(ExitReason::Store(reason));
    }

    fn reopen(&mut self, reason: String) {
        tracing::warn!(reason, "the store has to be opened anew");
        self.end(ExitReason::Reopen(reason));
    }

    fn end(&mut self, reason: ExitReason) {
        self.failed = true;
        // Full: the supervisor is already ending.
        let _ = self.parts.fatal.try_send(reason);
    }

    fn is_in_force(&self) -> bool {
        self.generation.as_ref().is_some_and(|g| g.feed.crew().in_force())
    }
}

impl Actor for Committer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.parts.sync_interval, |committer, _| {
            committer.sync();
        });
    }
}

impl Handler<Envelope<EpochCommit>> for Committer {
    type Result = ();

    fn handle(&mut self, message: Envelope<EpochCommit>, ctx: &mut Context<Self>) {
        self.mailbox.taken();
        metrics::gauge!(names::MAILBOX_DEPTH, "stage" => NAME).set(self.mailbox.depth() as f64);
        let crew = self.generation.as_ref().map(|g| g.feed.crew());
        let current = crew.is_some_and(|c| c.generation == message.generation && c.in_force());
        if self.failed || !current {
            metrics::counter!(names::STAGE_FENCED, "stage" => NAME).increment(1);
            return;
        }
        if let Body::Batch(commit) = message.body {
            metrics::counter!(names::STAGE_BATCHES, "stage" => NAME).increment(1);
            let rows = (commit.edges.len() + commit.paths.len()) as u64;
            metrics::counter!(names::STAGE_RECORDS, "stage" => NAME).increment(rows);
            self.commit(commit, FIRST_RETRY, ctx);
        }
    }
}

impl Handler<Adopt> for Committer {
    type Result = ();

    fn handle(&mut self, Adopt(feed): Adopt, _: &mut Context<Self>) {
        let generation = feed.crew().generation;
        let status = self.parts.status.stage(NAME, generation, Arc::clone(&self.mailbox));
        let standing = Standing::default();
        for invariant in Invariant::ALL {
            // There from the start, so that an alert can be made on it.
            metrics::counter!(names::INVARIANTS_BROKEN, "invariant" => invariant.as_str())
                .increment(0);
        }
        self.generation = Some(Generation { feed, status, standing });
    }
}

impl Handler<Settle> for Committer {
    type Result = ();

    fn handle(&mut self, _: Settle, _: &mut Context<Self>) {
        self.generation = None;
    }
}

impl Handler<Sync> for Committer {
    type Result = bool;

    fn handle(&mut self, _: Sync, _: &mut Context<Self>) -> bool {
        self.sync()
    }
}
