//! Every real stage panics once, in every place: before its work, after it and before anything
//! leaves, likewise at the barrier, and first thing after a commit. No row differs from a run in
//! which nothing did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use portolan_actors::{Blueprint, ExitReason, Stages, start_with};
use portolan_model::{Barrier, EpochCommit};
use portolan_pipeline::{
    EdgeAggregator, Front, Line, LineConfig, PathCollapser, Restored, Stage, WindowCompactor,
};

use crate::support::{World, eventually, rows};

/// Where in its work a stage panics.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Place {
    BeforeBatch,
    AfterBatch,
    BeforeBarrier,
    AfterBarrier,
    AfterCommit,
}

const PLACES: [Place; 5] = [
    Place::BeforeBatch,
    Place::AfterBatch,
    Place::BeforeBarrier,
    Place::AfterBarrier,
    Place::AfterCommit,
];

/// The one panic of a run.
struct Wire {
    stage: &'static str,
    place: Place,
    tripped: AtomicBool,
    commits: AtomicU64,
}

/// A real stage with the wire across its way.
struct Wired<S> {
    stage: S,
    wire: Arc<Wire>,
}

struct WiredStages(Arc<Wire>);

// === impl Wire ===

impl Wire {
    fn trip(&self, stage: &str, place: Place) {
        let ready = place != Place::AfterCommit || self.commits.load(SeqCst) > 0;
        if self.stage == stage && self.place == place && ready {
            assert!(self.tripped.swap(true, SeqCst), "{stage} trips at {place:?}");
        }
    }
}

impl<S: Stage> Stage for Wired<S> {
    type In = S::In;
    type Out = S::Out;
    const NAME: &'static str = S::NAME;

    fn apply(&mut self, batch: S::In) -> Option<S::Out> {
        self.wire.trip(S::NAME, Place::BeforeBatch);
        let out = self.stage.apply(batch);
        self.wire.trip(S::NAME, Place::AfterBatch);
        out
    }

    fn barrier(&mut self, barrier: &mut Barrier) -> Option<S::Out> {
        self.wire.trip(S::NAME, Place::AfterCommit);
        self.wire.trip(S::NAME, Place::BeforeBarrier);
        let out = self.stage.barrier(barrier);
        self.wire.trip(S::NAME, Place::AfterBarrier);
        out
    }

    fn records(batch: &S::In) -> usize {
        S::records(batch)
    }
}

impl Blueprint for WiredStages {
    type Resolver = Wired<Front>;
    type Collapser = Wired<PathCollapser>;
    type Aggregator = Wired<EdgeAggregator>;
    type Compactor = Wired<WindowCompactor>;

    fn build(
        &mut self,
        config: &LineConfig,
        restored: &Restored,
    ) -> Stages<Self::Resolver, Self::Collapser, Self::Aggregator, Self::Compactor> {
        let Line { front: resolver, collapser, aggregator, compactor, .. } =
            Line::new(config, restored);
        let wire = || Arc::clone(&self.0);
        Stages {
            resolver: Wired { stage: resolver, wire: wire() },
            collapser: Wired { stage: collapser, wire: wire() },
            aggregator: Wired { stage: aggregator, wire: wire() },
            compactor: Wired { stage: compactor, wire: wire() },
        }
    }
}

/// Runs the real stages over 600 flows, in two parts with a commit between them.
fn run(stage: &'static str, place: Place) -> (World, bool) {
    let world = World::new(2);
    for (uid, ip) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
        world.publish_owner(&format!(
            r#"{{"scope":"test","uid":"{uid}","kind":"pod","name":"{uid}-1","owner_name":"{uid}",
            "ips":["{ip}"],"valid_from":1795420000,"observed_at":1795420000}}"#
        ));
    }
    let wire = Arc::new(Wire {
        stage,
        place,
        tripped: AtomicBool::new(false),
        commits: AtomicU64::new(0),
    });
    let told = Arc::clone(&wire);
    world.publish(1..301, 2);
    let running = start_with(
        world.config.clone(),
        Box::new(world.store.clone()),
        Arc::new(world.store.clone()),
        Box::new(move |commit: &EpochCommit| {
            told.commits.fetch_add(u64::from(!commit.edges.is_empty()), SeqCst);
        }),
        WiredStages(Arc::clone(&wire)),
    )
    .unwrap();
    let accepted = |flows: i64| {
        eventually("all is accepted", || {
            assert_eq!(running.ended(), None);
            world.tally("accepted") >= flows
        });
    };
    accepted(300);
    world.publish(301..601, 2);
    accepted(600);
    running.stop();
    assert_eq!(running.wait_blocking(), ExitReason::Stopped);
    let tripped = wire.tripped.load(SeqCst);
    assert_eq!(running.status().restarts(), usize::from(tripped) as u64, "one reset a panic");
    (world, tripped)
}

fn every_place(stage: &'static str) {
    let (undisturbed, tripped) = run("none", Place::BeforeBatch);
    assert!(!tripped);
    assert!(!rows(&undisturbed.store).is_empty());
    for place in PLACES {
        let (disturbed, tripped) = run(stage, place);
        assert!(tripped, "{stage} never came to {place:?}");
        assert_eq!(rows(&disturbed.store), rows(&undisturbed.store), "{stage} {place:?}");
        assert_eq!(disturbed.tally("accepted"), 600, "{stage} {place:?}");
        let duplicates = undisturbed.tally("duplicates");
        assert_eq!(disturbed.tally("duplicates"), duplicates, "{stage} {place:?}");
    }
}

#[test]
fn a_flow_resolver_that_panics_anywhere_changes_no_row() {
    every_place("flow_resolver");
}

#[test]
fn a_path_collapser_that_panics_anywhere_changes_no_row() {
    every_place("path_collapser");
}

#[test]
fn an_edge_aggregator_that_panics_anywhere_changes_no_row() {
    every_place("edge_aggregator");
}

#[test]
fn a_window_compactor_that_panics_anywhere_changes_no_row() {
    every_place("window_compactor");
}

#[test]
fn a_panic_while_an_epoch_is_shown_ends_the_line_with_its_reason() {
    let world = World::new(1);
    let wire = Wire {
        stage: "none",
        place: Place::BeforeBatch,
        tripped: AtomicBool::new(false),
        commits: AtomicU64::new(0),
    };
    world.publish(1..10, 1);
    let running = start_with(
        world.config.clone(),
        Box::new(world.store.clone()),
        Arc::new(world.store.clone()),
        Box::new(|_: &EpochCommit| panic!("not today")),
        WiredStages(Arc::new(wire)),
    )
    .unwrap();
    let reason = running.wait_blocking();
    assert_eq!(reason, ExitReason::Store("showing an epoch panicked: not today".into()));
}
