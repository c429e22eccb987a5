use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use actix::{Actor, Arbiter, Context, Handler};
use portolan_model::{Barrier, TopicPartition};
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

fn parcel(partition: PartitionId, next: i64, accepted: u64) -> Parcel {
    Parcel::New(None, Progress { partition, next, accepted, ..Progress::default() })
}

fn commit(epoch: u64) -> EpochCommit {
    EpochCommit { epoch, ..EpochCommit::default() }
}

pub(crate) fn on_system(test: impl AsyncFnOnce(&Arbiter)) {
    actix::System::new().block_on(async {
        let arbiter = Arbiter::new();
        test(&arbiter).await;
        arbiter.stop();
    });
}

#[test]
fn no_more_epochs_are_on_their_way_than_allowed() {
    on_system(async |arbiter| {
        let (feed, mut barriers) = feed(arbiter, pace());
        let id = feed.register(position(0), true);
        feed.ready(Phase::Rebuild);
        for next in 1..=3 {
            assert!(matches!(feed.offer(parcel(id, next, 1)), Offered::Taken));
            feed.tick();
        }
        assert_eq!(barriers.recv().await.unwrap().epoch, 42);
        assert_eq!(barriers.recv().await.unwrap().epoch, 43);
        // The third waits for the first to be committed, and takes what came meanwhile.
        assert!(matches!(feed.offer(parcel(id, 4, 1)), Offered::Taken));
        feed.tick();
        assert!(barriers.try_recv().is_err());
        feed.committed(&commit(42));
        feed.tick();
        let third = barriers.recv().await.unwrap();
        assert_eq!((third.epoch, third.accepted, third.positions[0].1.next), (44, 2, 4));
    });
}

#[test]
fn a_full_epoch_that_cannot_end_stalls_the_source() {
    on_system(async |arbiter| {
        let (feed, _barriers) = feed(arbiter, Pace { epochs_in_flight: 1, ..pace() });
        let id = feed.register(position(0), true);
        feed.ready(Phase::Rebuild);
        assert!(matches!(feed.offer(parcel(id, 100, 100)), Offered::Taken));
        // Full, and it can end: the next record opens a new one.
        assert!(matches!(feed.offer(parcel(id, 200, 100)), Offered::Taken));
        let Offered::Full(back) = feed.offer(parcel(id, 201, 1)) else {
            panic!("it should have been refused");
        };
        feed.committed(&commit(42));
        assert!(matches!(feed.offer(*back), Offered::Taken));
    });
}

#[test]
fn a_barrier_says_exactly_what_was_handed_over_before_it() {
    on_system(async |arbiter| {
        let (feed, mut barriers) = feed(arbiter, pace());
        let id = feed.register(position(7), true);
        feed.ready(Phase::Rebuild);
        let loss = portolan_model::Loss { partition: position(0).partition, from: 7, to: 9, at: 1 };
        let progress = Progress {
            partition: id,
            next: 12,
            accepted: 2,
            rejects: vec![(portolan_model::Reject::NotIp, 1)],
            losses: vec![loss.clone()],
            ends: Some(Ends { median: 5, newest: 9 }),
        };
        assert!(matches!(feed.offer(Parcel::New(None, progress)), Offered::Taken));
        feed.tick();
        let barrier = barriers.recv().await.unwrap();
        assert_eq!(barrier.positions, [(id, position(12))]);
        assert_eq!((barrier.accepted, barrier.watermark), (2, 5));
        assert_eq!(barrier.rejects, [(portolan_model::Reject::NotIp, 1)]);
        assert_eq!(barrier.losses, [loss]);
        // Nothing of it is said twice.
        assert!(matches!(feed.offer(parcel(id, 13, 1)), Offered::Taken));
        feed.tick();
        let next = barriers.recv().await.unwrap();
        assert_eq!((next.accepted, next.rejects.len(), next.losses.len()), (1, 0, 0));
    });
}

#[test]
fn a_generation_that_is_over_takes_nothing() {
    on_system(async |arbiter| {
        let (feed, mut barriers) = feed(arbiter, pace());
        let id = feed.register(position(0), true);
        feed.ready(Phase::Rebuild);
        feed.crew().fence.store(2, SeqCst);
        assert!(matches!(feed.offer(parcel(id, 1, 1)), Offered::Closed));
        feed.tick();
        assert!(barriers.try_recv().is_err());
    });
}
