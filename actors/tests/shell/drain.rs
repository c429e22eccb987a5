//! What was read before a stop is committed by it.

use std::time::Duration;

use portolan_actors::ExitReason;
use portolan_model::Measure;
use portolan_storage::Error;

use crate::support::{World, counted, eventually, gauss, partition, sum};

#[test]
fn a_stop_commits_all_that_was_read() {
    let mut world = World::new(2);
    // No epoch would end by itself.
    world.config.commit_interval = Duration::from_secs(3_600);
    world.config.idle_interval = Duration::from_secs(3_600);
    let ran = world.start();
    world.publish(0..1_000, 2);
    let status = ran.running.status();
    eventually("everything is read", || {
        let next = |p| status.partition(&partition("flows", p)).map_or(0, |s| s.next);
        next(0) + next(1) == 1_000
    });
    assert_eq!(counted(&world.store), 0, "nothing was committed before");
    ran.stop();
    assert_eq!(counted(&world.store), 1_000);
    assert_eq!(sum(&world.store, Measure::BytesSent), gauss(1_000));
}

#[test]
fn a_stop_before_anything_came_is_clean() {
    World::new(1).start().stop();
}

#[test]
fn a_stop_that_runs_out_of_time_says_what_it_cut() {
    let mut world = World::new(1);
    world.config.drain_deadline = Duration::from_secs(2);
    world.gate.close();
    let ran = world.start();
    world.publish(0..100, 1);
    let status = ran.running.status();
    eventually("everything is read", || {
        status.partition(&partition("flows", 0)).is_some_and(|s| s.next == 100)
    });
    ran.running.stop();
    // The store hangs in a commit: the stop does not hang with it.
    let ExitReason::StoppedEarly { cut, reason } = ran.running.wait_blocking() else {
        panic!("the store took nothing");
    };
    assert_eq!((cut.records, reason.as_str()), (100, "after 2 s"));
    assert!((1..=2).contains(&cut.epochs), "{cut:?}");
    assert_eq!(counted(&world.store), 0);
    world.gate.open();
}

#[test]
fn what_a_stop_cut_is_read_again_by_the_next_start() {
    let mut world = World::new(1);
    world.config.drain_deadline = Duration::from_millis(10);
    world.fail.lock().unwrap().extend((0..1_000).map(|_| Error::Full { path: "test".into() }));
    let ran = world.start();
    world.publish(0..100, 1);
    let status = ran.running.status();
    eventually("everything is read", || {
        status.partition(&partition("flows", 0)).is_some_and(|s| s.next == 100)
    });
    ran.running.stop();
    let reason = ran.running.wait_blocking();
    assert!(matches!(reason, ExitReason::StoppedEarly { .. }), "{reason:?}");
    world.fail.lock().unwrap().clear();
    let ran = world.start();
    ran.until_counted(100);
    ran.stop();
    assert_eq!((counted(&world.store), sum(&world.store, Measure::BytesSent)), (100, gauss(100)));
}

#[test]
fn a_handle_that_is_dropped_stops_the_line() {
    let world = World::new(1);
    let ran = world.start();
    let status = std::sync::Arc::clone(ran.running.status());
    drop(ran);
    eventually("it stops", || status.state() == portolan_actors::status::LineState::Stopped);
}
