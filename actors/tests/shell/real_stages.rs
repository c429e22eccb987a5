//! The real stages: a line that was stopped in the middle ends where one that was not does.

use std::sync::Arc;

use portolan_actors::{ExitReason, start};

use crate::support::{World, eventually, rows};

fn run(stops: bool) -> World {
    let world = World::new(2);
    for (uid, ip) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
        world.publish_owner(&format!(
            r#"{{"scope":"test","uid":"{uid}","kind":"pod","name":"{uid}-1","owner_name":"{uid}",
            "ips":["{ip}"],"valid_from":1795420000,"observed_at":1795420000}}"#
        ));
    }
    let go = |upto: i64| {
        let running = start(
            world.config.clone(),
            Box::new(world.store.clone()),
            Arc::new(world.store.clone()),
            Box::new(|_| {}),
        );
        let running = running.unwrap();
        eventually("all is accepted", || {
            assert_eq!(running.ended(), None);
            world.tally("accepted") >= upto
        });
        running.stop();
        assert_eq!(running.wait_blocking(), ExitReason::Stopped);
    };
    world.publish(1..501, 2);
    if stops {
        go(500);
    }
    world.publish(501..1_001, 2);
    go(1_000);
    world
}

#[test]
fn a_stop_in_the_middle_changes_no_row() {
    let (whole, stopped) = (run(false), run(true));
    assert_eq!(stopped.tally("accepted"), 1_000);
    assert!(!rows(&whole.store).is_empty());
    assert_eq!(rows(&stopped.store), rows(&whole.store));
}
