//! The store's offsets win, and what the stages must remember comes back.

use std::sync::atomic::Ordering::SeqCst;

use portolan_model::Measure;
use portolan_storage::ReadCheckpoint as _;

use crate::support::{World, counted, gauss, sum};

#[test]
fn a_restart_counts_nothing_twice_and_remembers_what_it_saw() {
    let world = World::new(3);
    let ran = world.start();
    world.publish(0..600, 3);
    ran.until_counted(600);
    ran.stop();
    let before = world.store.checkpoint().unwrap();

    // The same flows come again while the line is down: only memory can tell.
    world.publish(300..900, 3);
    let ran = world.start();
    ran.until_counted(900);
    world.publish(0..1_000, 3);
    ran.until_counted(1_000);
    ran.stop();

    assert_eq!(world.script.reread.load(SeqCst), 600);
    assert_eq!(counted(&world.store), 1_000);
    assert_eq!(sum(&world.store, Measure::BytesSent), gauss(1_000));
    let after = world.store.checkpoint().unwrap();
    assert!(after.epoch > before.epoch);
    let read: i64 = after.positions.iter().map(|p| p.next).sum();
    assert_eq!(read, 600 + 600 + 1_000);
    assert_eq!(world.tally("accepted"), read);
}

#[test]
fn ownership_is_not_read_again() {
    let world = World::new(1);
    let owner = r#"{"scope":"test","uid":"a","kind":"pod","name":"a-1","ips":["10.0.0.1"]}"#;
    world.publish_owner(owner);
    let ran = world.start();
    ran.until(|store| store.checkpoint().unwrap().positions.iter().any(|p| p.next == 1));
    ran.stop();
    let ran = world.start();
    world.publish(0..10, 1);
    ran.until_counted(10);
    ran.stop();
    assert_eq!(world.script.order.lock().unwrap().matches('o').count(), 1);
}
