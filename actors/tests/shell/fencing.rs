//! Messages of another generation change nothing, and a failed stage takes nothing with it.

use std::sync::atomic::Ordering::SeqCst;

use actix::Arbiter;
use portolan_actors::shell::{Body, Envelope};

use crate::back_pressure::Bench;

fn batch(generation: u64, number: u64) -> Envelope<u64> {
    Envelope { generation, body: Body::Batch(number) }
}

#[test]
fn a_stage_ignores_other_generations() {
    let system = actix::System::new();
    system.block_on(async {
        let arbiter = Arbiter::new();
        let bench = Bench::new(1);
        let sink = bench.sink(&arbiter.handle(), 16);
        let stage = bench.stage(&arbiter.handle(), 16, sink);
        for (generation, number) in [(0, 1), (1, 2), (2, 3), (1, 4)] {
            stage.try_send(batch(generation, number)).unwrap();
        }
        bench.idle(&stage).await;
        assert_eq!(bench.received(), [2, 4]);

        // The supervisor moves on: what is still on its way is void.
        bench.crew.fence.store(2, SeqCst);
        stage.try_send(batch(1, 5)).unwrap();
        bench.idle(&stage).await;
        assert_eq!(bench.received(), [2, 4]);
        arbiter.stop();
    });
}

#[test]
fn a_panic_is_told_and_leaves_the_neighbours_alone() {
    let system = actix::System::new();
    system.block_on(async {
        let arbiter = Arbiter::new();
        let mut bench = Bench::new(1);
        let (first, second) =
            (bench.sink(&arbiter.handle(), 16), bench.sink(&arbiter.handle(), 16));
        let weak = bench.stage(&arbiter.handle(), 16, first);
        let strong = bench.stage(&arbiter.handle(), 16, second);
        weak.try_send(batch(1, Bench::POISON)).unwrap();
        let failure = bench.failures.recv().await.unwrap();
        assert_eq!((failure.generation, failure.stage.as_str()), (1, "test"));
        assert_eq!(failure.reason, "panicked: poison");
        strong.try_send(batch(1, 7)).unwrap();
        bench.idle(&strong).await;
        assert_eq!(bench.received(), [7]);
        arbiter.stop();
    });
}
