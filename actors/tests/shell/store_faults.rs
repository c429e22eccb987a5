//! A store that fails for a while is waited for; one that is damaged ends the process.

use portolan_actors::ExitReason;
use portolan_actors::status::LineState;
use portolan_storage::Error;

use crate::support::{World, counted, eventually};

fn full() -> Error {
    Error::Full { path: "test".into() }
}

#[test]
fn a_full_disk_stalls_the_line_and_loses_nothing() {
    let world = World::new(2);
    world.fail.lock().unwrap().extend([full(), full(), full()]);
    let ran = world.start();
    world.publish(0..500, 2);
    let status = ran.running.status();
    eventually("it says so", || match status.state() {
        LineState::Degraded(reasons) => reasons.get("store").is_some_and(|r| r.contains("full")),
        _ => world.fail.lock().unwrap().is_empty(),
    });
    ran.until_counted(500);
    assert_eq!(status.restarts(), 0, "the environment's fault is no stage's");
    ran.stop();
    assert_eq!(counted(&world.store), 500);
}

#[test]
fn a_stall_that_lasts_pauses_the_partitions_and_loses_nothing() {
    let mut world = World::new(2);
    world.config.max_epoch_records = 50;
    world.config.batch_rows = 10;
    world.gate.close();
    let ran = world.start();
    world.publish(0..2_000, 2);
    let status = ran.running.status();
    eventually("it pauses", || status.partitions().iter().any(|(_, p)| p.paused));
    world.gate.open();
    ran.until_counted(2_000);
    eventually("it resumes", || status.partitions().iter().all(|(_, p)| !p.paused));
    ran.stop();
    assert_eq!(counted(&world.store), 2_000);
    assert_eq!(world.tally("lost"), 0);
}

#[test]
fn a_damaged_store_ends_the_line_with_its_reason() {
    let world = World::new(1);
    let damaged = Error::Damaged { path: "test".into(), detail: "a flipped bit".into() };
    world.fail.lock().unwrap().push(damaged);
    let ran = world.start();
    world.publish(0..5, 1);
    let reason = ran.running.wait_blocking();
    assert_eq!(reason, ExitReason::Store("store test is damaged: a flipped bit".into()));
    assert_eq!(counted(&world.store), 0);
}
