//! Some hundred seeds hold, and everything that is broken on purpose is found.

#![expect(clippy::print_stderr, reason = "a seed that fails is named")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use portolan_sim::{Outcome, Sabotage, Violation, run, run_broken};

/// A few minutes of debug code would be too long: `make sim SEEDS=10000` runs the rest.
const SEEDS: u64 = 300;
/// Seeds within which a sabotage must show.
const SOON: u64 = 400;

#[test]
fn the_line_holds_its_laws_whatever_goes_wrong() {
    let next = AtomicU64::new(0);
    let found = Mutex::new((Outcome::default(), BTreeMap::<u64, Violation>::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= SEEDS {
                        break;
                    }
                    let outcome = run(seed, false).outcome;
                    let mut found = found.lock().unwrap();
                    match outcome {
                        Ok(outcome) => found.0.add(&outcome),
                        Err(violation) => drop(found.1.insert(seed, violation)),
                    }
                }
            });
        }
    });
    let (total, broken) = found.into_inner().unwrap();
    for (seed, violation) in &broken {
        eprintln!("seed {seed} breaks {violation}; SIM_SEED={seed} make sim tells its story");
    }
    assert!(broken.is_empty(), "{} of {SEEDS} seeds fail", broken.len());
    // It would hold for nothing, too.
    assert!(total.epochs > 10 * SEEDS && total.folded > 10 * SEEDS, "{total:?}");
    assert!(total.sealed > SEEDS / 10, "{total:?}");
    assert!(total.deaths > SEEDS && total.resets > SEEDS && total.recoveries > 0, "{total:?}");
    assert!(total.rotten > 0 && total.named > 0, "{total:?}");
}

#[test]
fn what_is_broken_on_purpose_is_found() {
    // Even seeds that are no multiple of four run in memory, which is quicker.
    let hidden: Vec<_> = Sabotage::ALL
        .into_iter()
        .filter(|s| !(0..SOON).any(|seed| run_broken(seed, false, Some(*s)).outcome.is_err()))
        .collect();
    assert!(hidden.is_empty(), "{hidden:?} do not show within {SOON} seeds");
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    // One in memory and one on disk.
    for seed in [7, 8] {
        let (first, second) = (run(seed, true), run(seed, true));
        assert_eq!(first.outcome, second.outcome);
        assert_eq!(first.story, second.story);
        assert!(first.story.len() > 10);
    }
}
