//! A slow stage stops the fast ones, after an exact number of batches.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use actix::{Actor, Arbiter, ArbiterHandle, Context, Handler};
use portolan_actors::Status;
use portolan_actors::shell::{
    Body, Crew, Downstream, Envelope, Failure, Mailbox, Pulse, StageActor,
};
use portolan_model::Barrier;
use portolan_pipeline::Stage;
use tokio::sync::mpsc;

use crate::support::NEVER;

/// Opens once, for good.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

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
        self.gate.pass();
        if let Body::Batch(number) = message.body {
            self.received.lock().unwrap().push(number);
        }
        self.handled.fetch_add(1, SeqCst);
        self.pulse.beat();
    }
}

/// What the actors of a test share.
pub(crate) struct Bench {
    pub(crate) crew: Crew,
    pub(crate) failures: mpsc::Receiver<Failure>,
    gate: Arc<Gate>,
    received: Arc<Mutex<Vec<u64>>>,
    handled: Arc<AtomicU64>,
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
        Self { crew, failures, gate, received: Arc::default(), handled: Arc::default() }
    }

    fn closed(self) -> Self {
        *self.gate.0.lock().unwrap() = false;
        self
    }

    pub(crate) fn sink(&self, arbiter: &ArbiterHandle, capacity: usize) -> Downstream<u64> {
        let mailbox = Mailbox::new(capacity);
        let sink = Sink {
            gate: Arc::clone(&self.gate),
            capacity,
            received: Arc::clone(&self.received),
            mailbox: Arc::clone(&mailbox),
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

    pub(crate) fn received(&self) -> Vec<u64> {
        self.received.lock().unwrap().clone()
    }
}

/// Waits until the arbiters have done all there was: the pulse no longer beats.
pub(crate) async fn eventually_idle(bench: &Bench) {
    let pulse = &bench.crew.pulse;
    loop {
        let seen = pulse.beats();
        pulse.moved(seen, Duration::from_millis(200)).await;
        if pulse.beats() == seen {
            return;
        }
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
        let mut accepted = 0;
        loop {
            let envelope = Envelope { generation: 1, body: Body::Batch(accepted) };
            if stage.try_send(envelope).is_ok() {
                accepted += 1;
                continue;
            }
            let seen = bench.crew.pulse.beats();
            bench.crew.pulse.moved(seen, Duration::from_millis(300)).await;
            if bench.crew.pulse.beats() == seen {
                break;
            }
        }
        assert_eq!(accepted, IN_FLIGHT);
        assert_eq!(stage.mailbox().depth(), CAPACITY);
        assert_eq!(sink_mailbox.depth(), CAPACITY + 1);

        bench.gate.open();
        let pulse = &bench.crew.pulse;
        let deadline = std::time::Instant::now() + NEVER;
        while bench.handled.load(SeqCst) < accepted {
            assert!(std::time::Instant::now() < deadline, "the rest never came");
            let seen = pulse.beats();
            if bench.handled.load(SeqCst) < accepted {
                pulse.moved(seen, Duration::from_millis(50)).await;
            }
        }
        assert_eq!(bench.received(), (0..accepted).collect::<Vec<_>>(), "in order, none lost");
        fast.stop();
        slow.stop();
    });
}
