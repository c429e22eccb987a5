use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;

use actix::Arbiter;

use super::*;
use crate::envelope::Downstream;
use crate::feed::tests::{feed, on_system, pace};

/// Keeps the numbers of the epochs that reach it, and fails as it is told.
struct Log {
    epochs: Arc<Mutex<Vec<u64>>>,
    fail: Arc<Mutex<Vec<Error>>>,
    failed: mpsc::UnboundedSender<()>,
}

impl CommitEpoch for Log {
    fn commit(&mut self, commit: &EpochCommit) -> Result<(), Error> {
        if let Some(error) = self.fail.lock().unwrap().pop() {
            let _ = self.failed.send(());
            return Err(error);
        }
        self.epochs.lock().unwrap().push(commit.epoch);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// A committer that has adopted generation 1, and what it does.
struct Bench {
    committer: Addr<Committer>,
    commits: Downstream<EpochCommit>,
    feed: SharedFeed,
    epochs: Arc<Mutex<Vec<u64>>>,
    fail: Arc<Mutex<Vec<Error>>>,
    failed: mpsc::UnboundedReceiver<()>,
    ends: mpsc::Receiver<ExitReason>,
}

impl Bench {
    async fn new(arbiter: &Arbiter) -> Self {
        let (epochs, fail) = (Arc::default(), Arc::default());
        let (told, failed) = mpsc::unbounded_channel();
        let log = Log { epochs: Arc::clone(&epochs), fail: Arc::clone(&fail), failed: told };
        let (fatal, ends) = mpsc::channel(1);
        let parts = Parts {
            store: Box::new(log),
            on_commit: Box::new(|_| {}),
            status: Arc::new(Status::new(0)),
            fatal,
            sync_interval: Duration::from_secs(3_600),
        };
        let mailbox = Mailbox::new(8);
        let committer = Committer::start(parts, &arbiter.handle(), Arc::clone(&mailbox));
        let commits = Downstream::new(committer.clone().recipient(), mailbox);
        let feed = Arc::new(feed(arbiter, pace()).0);
        committer.send(Adopt(Arc::clone(&feed))).await.unwrap();
        Self { committer, commits, feed, epochs, fail, failed, ends }
    }

    /// Sends an epoch without waiting for it.
    fn offer(&self, generation: u64, epoch: u64) {
        let commit = EpochCommit { epoch, ..EpochCommit::default() };
        let sent = self.commits.try_send(Envelope { generation, body: Body::Batch(commit) });
        assert!(sent.is_ok());
    }

    /// The epochs in the store, once everything sent before was handled.
    async fn stored(&self) -> Vec<u64> {
        self.committer.send(Settle).await.unwrap();
        self.epochs.lock().unwrap().clone()
    }
}

fn full() -> Error {
    Error::Full { path: "test".into() }
}

#[test]
fn only_the_generation_in_force_is_written() {
    on_system(async |arbiter| {
        let bench = Bench::new(arbiter).await;
        bench.offer(0, 40);
        bench.offer(1, 42);
        bench.offer(2, 43);
        assert_eq!(bench.stored().await, [42]);
    });
}

#[test]
fn nothing_on_its_way_is_written_once_the_fence_moved() {
    on_system(async |arbiter| {
        let bench = Bench::new(arbiter).await;
        bench.feed.crew().fence.store(2, SeqCst);
        bench.offer(1, 42);
        assert_eq!(bench.stored().await, [0_u64; 0]);
    });
}

#[test]
fn a_commit_that_waits_for_the_disk_is_dropped_when_the_fence_moves() {
    on_system(async |arbiter| {
        let mut bench = Bench::new(arbiter).await;
        bench.fail.lock().unwrap().push(full());
        bench.offer(1, 42);
        bench.failed.recv().await.unwrap();
        bench.feed.crew().fence.store(2, SeqCst);
        assert_eq!(bench.stored().await, [0_u64; 0]);
    });
}

#[test]
fn commits_stay_in_order_while_one_waits_for_the_disk() {
    on_system(async |arbiter| {
        let bench = Bench::new(arbiter).await;
        bench.fail.lock().unwrap().extend([full(), full()]);
        bench.offer(1, 42);
        bench.offer(1, 43);
        assert_eq!(bench.stored().await, [42, 43]);
    });
}

#[test]
fn a_failed_attempt_that_reached_the_disk_counts_as_done() {
    on_system(async |arbiter| {
        let mut bench = Bench::new(arbiter).await;
        // Popped from the back: first the failure, then what the second attempt is told.
        let done = Error::OutOfOrder { last: 42, got: 42 };
        bench.fail.lock().unwrap().extend([done, full()]);
        bench.offer(1, 42);
        bench.offer(1, 43);
        assert_eq!(bench.stored().await, [43]);
        assert!(bench.ends.try_recv().is_err());
    });
}

#[test]
fn a_store_that_must_be_opened_anew_ends_the_line_and_says_so() {
    on_system(async |arbiter| {
        let mut bench = Bench::new(arbiter).await;
        // Popped from the back: full while it lasts, then an engine that has stopped.
        bench.fail.lock().unwrap().extend([Error::Stopped { path: "test".into() }, full()]);
        bench.offer(1, 42);
        bench.offer(1, 43);
        assert_eq!(bench.stored().await, [0_u64; 0]);
        let Some(ExitReason::Reopen(reason)) = bench.ends.recv().await else { panic!("why?") };
        assert!(reason.contains("until it is opened anew"), "{reason}");
    });
}

#[test]
fn an_epoch_out_of_order_ends_the_line() {
    on_system(async |arbiter| {
        let mut bench = Bench::new(arbiter).await;
        bench.fail.lock().unwrap().push(Error::OutOfOrder { last: 42, got: 42 });
        bench.offer(1, 42);
        bench.offer(1, 43);
        assert_eq!(bench.stored().await, [0_u64; 0]);
        let reason = ExitReason::Store("epoch 42 does not follow 42".into());
        assert_eq!(bench.ends.recv().await, Some(reason));
    });
}

#[test]
fn a_commit_that_breaks_an_invariant_is_not_written() {
    on_system(async |arbiter| {
        let mut bench = Bench::new(arbiter).await;
        bench.offer(1, 42);
        bench.offer(1, 44);
        let ExitReason::Store(reason) = bench.ends.recv().await.unwrap() else { panic!("why?") };
        assert_eq!(reason, "epoch 44 would break epochs_follow");
        assert_eq!(*bench.epochs.lock().unwrap(), [42]);
    });
}
