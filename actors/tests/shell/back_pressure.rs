//! A slow stage stops the fast ones, after an exact number of batches.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::{Actor, Arbiter, ArbiterHandle, Context, Handler};
use portolan_actors::Status;
use portolan_actors::shell::{
    Body, Crew, Downstream, Envelope, Failure, Mailbox, Pulse, StageActor,
};
use portolan_model::Barrier;
use portolan_pipeline::Stage;
use tokio::sync::mpsc;

use crate::support::{Gate, NEVER};

/// How soon to look again at what has no event of its own.
const LOOK: Duration = Duration::from_millis(5);

/// Passes numbers on; panics at one of them.
struct Relay;

impl Stage for Relay {
    type In = u64;
    type Out = u64;
    const NAME: &'static str = "test";

    fn apply(&mut self, batch: u64) -> Option<u64> {
        assert!(batch != Bench::POISON, "poison");
        Some(batch)
    }

    fn barrier(&mut self, _: &mut Barrier) -> Option<u64> {
        None
    }

    fn records(_: &u64) -> usize {
        1
    }
}

/// The end of a test line: keeps what it gets, once its gate is open.
struct Sink {
    gate: Arc<Gate>,
    capacity: usize,
    received: Arc<Mutex<Vec<u64>>>,
    mailbox: Arc<Mailbox>,
    begun: Arc<AtomicU64>,
    handled: Arc<AtomicU64>,
    pulse: Arc<Pulse>,
}

impl Actor for Sink {
    type Context = Context<Self>;
}

impl Handler<Envelope<u64>> for Sink {
    type Result = ();
    fn handle(&mut self, message: Envelope<u64>, _: &mut Context<Self>) {
        self.mailbox.taken();
        self.begun.fetch_add(1, SeqCst);
        self.gate.pass();
        if let Body::Batch(number) = message.body {
            self.received.lock().unwrap().push(number);
        }
        self.handled.fetch_add(1, SeqCst);
        self.pulse.beat();
    }
}

/// Answered when everything before it was.
struct Ping;

impl actix::Message for Ping {
    type Result = ();
}

impl Handler<Ping> for Sink {
    type Result = ();
    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {}
}

/// What the actors of a test share.
pub(crate) struct Bench {
    pub(crate) crew: Crew,
    pub(crate) failures: mpsc::Receiver<Failure>,
    gate: Arc<Gate>,
    received: Arc<Mutex<Vec<u64>>>,
    begun: Arc<AtomicU64>,
    handled: Arc<AtomicU64>,
    last_sink: Mutex<Option<actix::Recipient<Ping>>>,
}

impl Bench {
    pub(crate) const POISON: u64 = 666;

    pub(crate) fn new(generation: u64) -> Self {
        let (told, failures) = mpsc::channel(16);
        let crew = Crew {
            generation,
            fence: Arc::new(AtomicU64::new(generation)),
            failures: told,
            status: Arc::new(Status::new(0)),
            pulse: Arc::default(),
        };
        let gate = Arc::new(Gate::default());
        gate.open();
        Self {
            crew,
            failures,
            gate,
            received: Arc::default(),
            begun: Arc::default(),
            handled: Arc::default(),
            last_sink: Mutex::default(),
        }
    }

    fn closed(self) -> Self {
        self.gate.close();
        self
    }

    pub(crate) fn sink(&self, arbiter: &ArbiterHandle, capacity: usize) -> Downstream<u64> {
        let mailbox = Mailbox::new(capacity);
        let sink = Sink {
            gate: Arc::clone(&self.gate),
            capacity,
            received: Arc::clone(&self.received),
            mailbox: Arc::clone(&mailbox),
            begun: Arc::clone(&self.begun),
            handled: Arc::clone(&self.handled),
            pulse: Arc::clone(&self.crew.pulse),
        };
        let (start, started) = std::sync::mpsc::sync_channel(1);
        let sink = Sink::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(sink.capacity);
            start.send(()).unwrap();
            sink
        });
        started.recv().unwrap();
        *self.last_sink.lock().unwrap() = Some(sink.clone().recipient());
        Downstream::new(sink.recipient(), mailbox)
    }

    pub(crate) fn stage(
        &self,
        arbiter: &ArbiterHandle,
        capacity: usize,
        down: Downstream<u64>,
    ) -> Downstream<u64> {
        StageActor::start(Relay, &self.crew, arbiter, capacity, down)
    }

    /// Waits for something; fails if it never comes.
    pub(crate) async fn until(&self, done: impl Fn() -> bool) {
        let deadline = Instant::now() + NEVER;
        loop {
            let seen = self.crew.pulse.beats();
            if done() {
                return;
            }
            assert!(Instant::now() < deadline, "it never came");
            // Not all that is waited for has a beat of its own: look again without one, too.
            self.crew.pulse.moved(seen, LOOK).await;
        }
    }

    /// Waits until `stage`, and the sink that was made last, on the same arbiter, are idle.
    pub(crate) async fn idle(&self, stage: &Downstream<u64>) {
        self.until(|| stage.mailbox().depth() == 0).await;
        // One thread runs both: when the sink first answers, the stage has handled its last message
        // and what came of it waits for the sink; when it answers again, that is handled, too.
        let sink = self.last_sink.lock().unwrap().clone().unwrap();
        sink.send(Ping).await.unwrap();
        sink.send(Ping).await.unwrap();
    }

    pub(crate) fn received(&self) -> Vec<u64> {
        self.received.lock().unwrap().clone()
    }
}

#[test]
fn a_blocked_stage_holds_an_exact_number_of_batches_and_loses_none() {
    const CAPACITY: usize = 4;
    // One is being handled by the sink and one waits for a slot beside its full mailbox; the
    // stage's own mailbox is full. Then the source is told so.
    const IN_FLIGHT: u64 = 1 + CAPACITY as u64 + 1 + CAPACITY as u64;
    let system = actix::System::new();
    system.block_on(async {
        let (fast, slow) = (Arbiter::new(), Arbiter::new());
        let bench = Bench::new(1).closed();
        let sink = bench.sink(&slow.handle(), CAPACITY);
        let sink_mailbox = Arc::clone(sink.mailbox());
        let stage = bench.stage(&fast.handle(), CAPACITY, sink);
        #[expect(clippy::result_large_err, reason = "the message comes back in it")]
        let send = |number| stage.try_send(Envelope { generation: 1, body: Body::Batch(number) });
        // One after the other, each taken by the stage before the next: an actix sender that races
        // with its receiver may find the mailbox full a message early.
        let taken_by_stage = 1 + CAPACITY as u64 + 1;
        for number in 0..taken_by_stage {
            send(number).unwrap();
            let at_gate = || bench.begun.load(SeqCst) == 1;
            bench.until(|| stage.mailbox().depth() == 0 && at_gate()).await;
        }
        let mut accepted = taken_by_stage;
        while send(accepted).is_ok() {
            accepted += 1;
        }
        assert_eq!(accepted, IN_FLIGHT);
        assert_eq!(stage.mailbox().depth(), CAPACITY);
        bench.until(|| sink_mailbox.depth() == CAPACITY + 1).await;
        assert!(bench.received().is_empty(), "nothing passed the gate");

        bench.gate.open();
        bench.until(|| bench.handled.load(SeqCst) == accepted).await;
        assert_eq!(bench.received(), (0..accepted).collect::<Vec<_>>(), "in order, none lost");
        fast.stop();
        slow.stop();
    });
}
