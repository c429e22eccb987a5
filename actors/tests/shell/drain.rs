//! What was read before a stop is committed by it.

use std::time::Duration;

use portolan_model::Measure;

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
fn a_handle_that_is_dropped_stops_the_line() {
    let world = World::new(1);
    let ran = world.start();
    let status = std::sync::Arc::clone(ran.running.status());
    drop(ran);
    eventually("it stops", || status.state() == portolan_actors::status::LineState::Stopped);
}
