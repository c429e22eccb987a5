//! Local topics are read as Kafka's are: once, with their offsets in the commit.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use portolan_actors::Local;
use portolan_model::Measure;
use portolan_storage::{LOCAL, LocalLimits, LocalTopics, ReadCheckpoint as _};
use tempfile::TempDir;

use crate::support::{World, counted, flow, gauss, sum, topic};

const NAMES: [&str; 2] = ["local-owners", "local-flows"];
const OWNER: &str = r#"{"scope":"test","uid":"a","kind":"pod","name":"a-1","ips":["10.0.0.1"]}"#;

/// A world without a Kafka topic, and the local logs of its store.
fn world() -> (World, TempDir) {
    let mut world = World::new(1);
    world.config.clusters.clear();
    (world, tempfile::tempdir().unwrap())
}

/// Opens the logs as a process that starts does.
fn open(world: &mut World, dir: &TempDir) -> Arc<LocalTopics> {
    let checkpoint = world.store.checkpoint().unwrap();
    let logs = LocalTopics::open(dir.path(), &NAMES, LocalLimits::default(), &checkpoint);
    let logs = Arc::new(logs.unwrap());
    let topics = vec![topic(NAMES[0], "portolan-json"), topic(NAMES[1], "netobserv-json")];
    world.config.local = Some(Local { logs: Arc::clone(&logs), topics });
    logs
}

fn append(logs: &LocalTopics, numbers: std::ops::Range<u64>) {
    for number in numbers {
        logs.all()[1].append(0, &[flow(number).as_bytes()]).unwrap();
    }
}

#[test]
fn a_line_without_kafka_reads_its_local_topics_and_a_restart_counts_nothing_twice() {
    let (mut world, dir) = world();
    let logs = open(&mut world, &dir);
    append(&logs, 0..300);
    let ran = world.start();
    ran.until_counted(300);
    append(&logs, 300..600);
    ran.until_counted(600);
    ran.stop();

    // The same flows come again while the line is down: only what it read again can tell.
    let logs = open(&mut world, &dir);
    append(&logs, 100..700);
    let ran = world.start();
    ran.until_counted(700);
    ran.stop();
    assert_eq!(world.script.reread.load(SeqCst), 600);
    assert_eq!(counted(&world.store), 700);
    assert_eq!(sum(&world.store, Measure::BytesSent), gauss(700));
    let read = world.store.checkpoint().unwrap().positions;
    let read: Vec<_> = read.iter().map(|p| (&*p.partition.cluster, p.next)).collect();
    assert_eq!(read, [(LOCAL, 1_200), (LOCAL, 0)]);
}

#[test]
fn what_local_topics_say_of_owners_comes_before_the_first_flow() {
    let (mut world, dir) = world();
    let logs = open(&mut world, &dir);
    append(&logs, 0..100);
    for _ in 0..500 {
        logs.all()[0].append(0, &[OWNER.as_bytes()]).unwrap();
    }
    let ran = world.start();
    ran.until_counted(100);
    ran.stop();
    let order = world.script.order.lock().unwrap().clone();
    assert!(order.starts_with('o') && !order.trim_start_matches('o').contains('o'), "{order}");
}

#[test]
fn records_that_no_longer_read_are_counted_as_lost_and_the_line_goes_on() {
    let (mut world, dir) = world();
    append(&open(&mut world, &dir), 0..10);
    let file = dir.path().join(NAMES[1]).join(format!("{:020}.log", 0));
    let mut bytes = std::fs::read(&file).unwrap();
    let logs = open(&mut world, &dir);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let ran = world.start();
    ran.until(|store| !store.checkpoint().unwrap().losses.is_empty());
    append(&logs, 10..20);
    ran.until_counted(19);
    ran.stop();
    let lost = world.store.checkpoint().unwrap().losses;
    assert_eq!(lost.iter().map(|l| (l.from, l.to)).collect::<Vec<_>>(), [(9, 10)]);
}

#[test]
fn a_failing_stage_does_not_make_a_local_topic_count_twice() {
    let (mut world, dir) = world();
    let logs = open(&mut world, &dir);
    append(&logs, 0..100);
    let ran = world.start();
    ran.until_counted(100);
    world.script.panic_at.store(250, SeqCst);
    world.script.panics_left.store(1, SeqCst);
    append(&logs, 100..400);
    ran.until_counted(400);
    ran.stop();
    assert_eq!(counted(&world.store), 400);
    assert_eq!(sum(&world.store, Measure::BytesSent), gauss(400));
}
