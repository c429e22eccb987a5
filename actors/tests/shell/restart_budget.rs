//! A line that cannot get past a record ends, and says why.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use portolan_actors::{ExitReason, RestartBudget};

use crate::support::World;

#[test]
fn a_stage_that_always_panics_ends_the_process_with_its_reason() {
    let mut world = World::new(1);
    world.config.restart_budget = RestartBudget { restarts: 3, within: Duration::from_secs(600) };
    world.script.panic_at.store(5, SeqCst);
    world.script.panics_left.store(u64::MAX, SeqCst);
    let ran = world.start();
    world.publish(0..10, 1);
    let reason = ran.running.wait_blocking();
    let ExitReason::RestartBudget { failures, stage, reason, .. } = reason else {
        panic!("{reason:?}");
    };
    assert_eq!((failures, stage.as_str()), (4, "flow_resolver"));
    assert_eq!(reason, "panicked: flow 5 is not to my taste");
    assert_eq!(ran.running.status().restarts(), 3);
    assert_eq!(ran.running.status().generation(), 4);
}
