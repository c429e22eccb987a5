use portolan_model::{Position, TopicPartition};
use portolan_storage::{Checkpoint, LocalLimits, LocalTopics};

use super::*;

struct World {
    _dir: tempfile::TempDir,
    topic: Arc<LocalTopic>,
    inbox: Inbox,
    committed: Committed,
}

fn world(bounds: Bounds, limits: LocalLimits) -> World {
    let dir = tempfile::tempdir().unwrap();
    let topics = LocalTopics::open(dir.path(), &["t"], limits, &Checkpoint::default()).unwrap();
    let topic = Arc::clone(&topics.all()[0]);
    let mut committed = Committed::default();
    let inbox = Inbox::open(Arc::clone(&topic), 0, &Room::new(bounds), &mut committed).unwrap();
    World { _dir: dir, topic, inbox, committed }
}

fn commit(next: i64) -> EpochCommit {
    let partition = TopicPartition { cluster: LOCAL.into(), topic: "t".into(), partition: 0 };
    EpochCommit { positions: vec![Position { partition, next, reread: 0 }], ..Default::default() }
}

/// Puts, and waits until all of it is on the disk.
async fn begin(world: &World, messages: usize) -> tokio::task::JoinSet<Result<(), Refusal>> {
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..messages {
        let inbox = world.inbox.clone();
        puts.spawn(async move { inbox.put(Bytes::from(format!("message {number}"))).await });
    }
    while world.topic.extent().1 < messages as i64 {
        tokio::task::yield_now().await;
    }
    puts
}

#[tokio::test]
async fn nobody_is_told_before_the_epoch_that_holds_it_is_committed() {
    let world = world(Bounds::default(), LocalLimits::default());
    let mut puts = begin(&world, 10).await;
    assert!(puts.try_join_next().is_none(), "nothing is committed");
    world.committed.epoch(&commit(4));
    for _ in 0..4 {
        assert_eq!(puts.join_next().await.unwrap().unwrap(), Ok(()));
    }
    assert!(puts.try_join_next().is_none(), "six wait for the next epoch");
    world.committed.epoch(&commit(10));
    while let Some(put) = puts.join_next().await {
        assert_eq!(put.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn what_waits_is_bounded_and_room_comes_back_with_the_commit() {
    let bounds = Bounds { waiting_bytes: 4 * LEAST_BYTES, ..Bounds::default() };
    let world = world(bounds, LocalLimits::default());
    let mut puts = begin(&world, 4).await;
    assert_eq!(world.inbox.put(Bytes::from_static(b"one more")).await, Err(Refusal::Busy));
    assert_eq!(world.topic.extent().1, 4, "it was not even written");
    world.committed.epoch(&commit(4));
    while let Some(put) = puts.join_next().await {
        assert_eq!(put.unwrap(), Ok(()));
    }
    let mut again = begin(&world, 1).await;
    while world.topic.extent().1 < 5 {
        tokio::task::yield_now().await;
    }
    world.committed.epoch(&commit(5));
    assert_eq!(again.join_next().await.unwrap().unwrap(), Ok(()));
}

#[tokio::test]
async fn a_full_topic_is_busy_and_an_end_is_said() {
    let limits = LocalLimits { max_bytes: 64, ..LocalLimits::default() };
    let world = world(Bounds::default(), limits);
    assert_eq!(world.inbox.put(Bytes::from(vec![0; 100])).await, Err(Refusal::Busy));
    let mut puts = begin(&world, 1).await;
    drop(world.committed);
    let ended = puts.join_next().await.unwrap().unwrap();
    assert_eq!(ended, Err(Refusal::Broken("the server ends".into())));
}

#[tokio::test]
async fn patience_ends() {
    let bounds = Bounds { patience: Duration::from_millis(1), ..Bounds::default() };
    let world = world(bounds, LocalLimits::default());
    assert_eq!(world.inbox.put(Bytes::from_static(b"x")).await, Err(Refusal::Late));
}
