//! A stage that panics costs time, and nothing else.

use std::sync::atomic::Ordering::SeqCst;

use crate::support::{World, counted, rows};

const FLOWS: u64 = 3_000;

fn run(prepare: impl Fn(&World)) -> World {
    let world = World::new(4);
    prepare(&world);
    let ran = world.start();
    world.publish(1..FLOWS / 2, 4);
    ran.until_counted(FLOWS as i64 / 4);
    world.publish(FLOWS / 2..FLOWS + 1, 4);
    ran.until_counted(FLOWS as i64);
    ran.stop();
    world
}

#[test]
fn a_resolver_that_panics_once_changes_no_count() {
    let undisturbed = run(|_| {});
    let disturbed = run(|world| {
        world.script.panic_at.store(2_000, SeqCst);
        world.script.panics_left.store(1, SeqCst);
    });
    assert_eq!(disturbed.script.panics_left.load(SeqCst), 0, "it did panic");
    assert!(disturbed.script.reread.load(SeqCst) > 0, "memory was rebuilt");
    assert_eq!(counted(&disturbed.store), FLOWS as i64);
    assert_eq!(rows(&disturbed.store), rows(&undisturbed.store));
    assert_eq!(disturbed.tally("accepted"), undisturbed.tally("accepted"));
}

#[test]
fn a_stage_that_panics_at_barriers_changes_no_count() {
    let undisturbed = run(|_| {});
    let disturbed = run(|world| world.script.barrier_panics_left.store(3, SeqCst));
    assert_eq!(disturbed.script.barrier_panics_left.load(SeqCst), 0, "it did panic");
    assert_eq!(rows(&disturbed.store), rows(&undisturbed.store));
}
