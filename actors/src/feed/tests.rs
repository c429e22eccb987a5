use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use actix::{Actor, Arbiter, Context, Handler};
use portolan_model::{Barrier, TopicPartition};
use portolan_pipeline::feed::Progress;
use tokio::sync::mpsc;

use super::*;
use crate::envelope::Mailbox;
use crate::pulse::Pulse;
use crate::status::Status;

/// Keeps the barriers that come out of the feed.
struct Sink(mpsc::UnboundedSender<Barrier>, Arc<Mailbox>);

impl Actor for Sink {
    type Context = Context<Self>;
}

impl Handler<Envelope<Intake>> for Sink {
    type Result = ();
    fn handle(&mut self, message: Envelope<Intake>, _: &mut Context<Self>) {
        self.1.taken();
        if let Body::Barrier(barrier) = message.body {
            let _ = self.0.send(barrier);
        }
    }
}

pub(crate) fn pace() -> Pace {
    Pace {
        commit_interval: Duration::ZERO,
        idle_interval: Duration::from_secs(3_600),
        max_epoch_records: 100,
        epochs_in_flight: 2,
        partition_idle: Duration::from_secs(5),
    }
}

/// A feed of generation 1 after epoch 41, and the barriers that it sends.
pub(crate) fn feed(arbiter: &Arbiter, pace: Pace) -> (Feed, mpsc::UnboundedReceiver<Barrier>) {
    let mailbox = Mailbox::new(64);
    let own = Arc::clone(&mailbox);
    let (barriers, seen) = mpsc::unbounded_channel();
    let sink = Sink::start_in_arbiter(&arbiter.handle(), move |ctx| {
        ctx.set_mailbox_capacity(64);
        Sink(barriers, own)
    });
    let crew = Crew {
        generation: 1,
        fence: Arc::new(AtomicU64::new(1)),
        failures: mpsc::channel(1).0,
        status: Arc::new(Status::new(0)),
        pulse: Arc::new(Pulse::default()),
    };
    let checkpoint = Checkpoint { epoch: 41, ..Checkpoint::default() };
    (Feed::new(crew, Downstream::new(sink.recipient(), mailbox), pace, &checkpoint, 1), seen)
}

fn position(next: i64) -> Position {
    let partition = TopicPartition { cluster: "c".into(), topic: "t".into(), partition: 0 };
    Position { partition, next, reread: next }
}

fn parcel(partition: PartitionId, next: i64) -> Parcel {
    Parcel::New(None, Progress { partition, next, accepted: 1, ..Progress::default() })
}

pub(crate) fn on_system(test: impl AsyncFnOnce(&Arbiter)) {
    actix::System::new().block_on(async {
        let arbiter = Arbiter::new();
        test(&arbiter).await;
        arbiter.stop();
    });
}

#[test]
fn a_generation_that_is_over_takes_nothing() {
    on_system(async |arbiter| {
        let (feed, mut barriers) = feed(arbiter, pace());
        let id = feed.register(position(0), true);
        feed.ready(Phase::Rebuild);
        feed.crew().fence.store(2, SeqCst);
        assert!(matches!(feed.offer(parcel(id, 1)), Offered::Closed));
        feed.tick();
        assert!(barriers.try_recv().is_err());
    });
}
