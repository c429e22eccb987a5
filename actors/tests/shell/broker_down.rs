//! A broker that goes away is waited for.

use portolan_actors::status::LineState;

use crate::support::{World, counted, eventually};

#[test]
fn a_broker_that_comes_back_finds_the_line_going_on() {
    let world = World::new(2);
    let ran = world.start();
    world.publish(0..100, 2);
    ran.until_counted(100);
    world.broker.down().unwrap();
    let status = ran.running.status();
    eventually("the line says that kafka is away", || match status.state() {
        LineState::Degraded(reasons) => reasons.contains_key("kafka test"),
        _ => false,
    });
    world.broker.up().unwrap();
    world.publish(100..200, 2);
    ran.until_counted(200);
    eventually("the line is well again", || status.state() == LineState::Running);
    ran.stop();
    assert_eq!(counted(&world.store), 200);
    assert_eq!(world.tally("lost"), 0);
}

#[test]
fn a_line_that_starts_before_its_broker_waits_for_it() {
    let world = World::new(1);
    world.publish(0..10, 1);
    world.broker.down().unwrap();
    let ran = world.start();
    let status = ran.running.status();
    eventually("it waits", || matches!(status.state(), LineState::Degraded(_)));
    assert!(!status.is_live());
    world.broker.up().unwrap();
    ran.until_counted(10);
    ran.stop();
}
