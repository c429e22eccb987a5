//! The simulated fleet through the line, message by message, against its truth.

use std::collections::BTreeMap;

use portolan_fleet::{FleetSpec, Score};
use portolan_graph::Doubts;
use portolan_server::scoring::drive;

/// Runs a fleet for some seconds.
fn run(spec: FleetSpec, seconds: u64) -> (Score, BTreeMap<String, i64>) {
    let outcome = drive(spec, seconds, 0).expect("a fleet that can be simulated");
    assert_eq!(outcome.doubts, Doubts::default(), "the rows add up");
    (outcome.score, outcome.tallies)
}

fn exact(score: &Score, of: &str) {
    assert!(score.edges_true > 10, "{of}: the fleet does something");
    assert!(score.is_perfect(), "{of}: {score:#?}");
    assert_eq!(score.bytes_off, 0, "{of}: {score:#?}");
    assert_eq!(score.bytes_misattributed, 0, "{of}");
}

#[test]
fn ordinary_fleets_are_drawn_exactly() {
    for seed in 1..=8 {
        let (score, tallies) = run(FleetSpec { flows_per_sec: 600, ..FleetSpec::demo(seed) }, 45);
        exact(&score, &format!("seed {seed} ({tallies:?})"));
    }
}

#[test]
fn hard_fleets_are_drawn_exactly() {
    for seed in 1..=16 {
        let (score, tallies) = run(FleetSpec { flows_per_sec: 600, ..FleetSpec::hard(seed) }, 45);
        exact(&score, &format!("seed {seed} ({tallies:?})"));
    }
}

#[test]
fn random_fleet_of_a_hundred_services_is_drawn_exactly() {
    let (score, tallies) = run(FleetSpec::random(3, 100, 3_000), 20);
    exact(&score, &format!("{tallies:?}"));
}
