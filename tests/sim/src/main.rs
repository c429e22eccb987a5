//! Runs seeds, with progress and a summary: `SEEDS=10000`, from `FROM=0`, or one, `SIM_SEED=17`,
//! with its story.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use portolan_sim::{Outcome, Violation, disk_of, run};

/// Failures that are shown in full.
const SHOWN: usize = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().filter(|v| !v.is_empty()).map(|v| v.parse().expect("a number"))
}

fn main() -> ExitCode {
    // A seed that panics is a failure of that seed, told with the others.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(seed) = number("SIM_SEED") {
        return replay(seed);
    }
    let from = number("FROM").unwrap_or(0);
    let seeds = number("SEEDS").unwrap_or(1_000);
    let (next, done) = (AtomicU64::new(from), AtomicU64::new(0));
    let total = Mutex::new((Outcome::default(), BTreeMap::<u64, Violation>::new()));
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= from + seeds {
                        break;
                    }
                    let outcome = run(seed, false).outcome;
                    let mut total = total.lock().expect("nobody panics with it");
                    match outcome {
                        Ok(outcome) => total.0.add(&outcome),
                        Err(violation) => {
                            if total.1.len() < SHOWN {
                                println!("seed {seed} breaks {violation}");
                            }
                            total.1.insert(seed, violation);
                        }
                    }
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        let mut shown = Instant::now();
        while done.load(Relaxed) < seeds {
            std::thread::sleep(Duration::from_millis(20));
            if shown.elapsed() >= Duration::from_secs(5) {
                shown = Instant::now();
                let (done, failed) =
                    (done.load(Relaxed), total.lock().expect("nobody panics with it").1.len());
                println!(
                    "{done} of {seeds} seeds, {failed} failed, {:.0} s",
                    started.elapsed().as_secs_f64()
                );
            }
        }
    });
    let (outcome, failed) = total.into_inner().expect("nobody panics with it");
    summary(seeds, started.elapsed(), &outcome, &failed)
}

fn summary(
    seeds: u64,
    took: Duration,
    outcome: &Outcome,
    failed: &BTreeMap<u64, Violation>,
) -> ExitCode {
    let ms = took.as_secs_f64() * 1e3 / seeds.max(1) as f64;
    println!(
        "{seeds} seeds in {:.1} s ({ms:.1} ms each): {} failed",
        took.as_secs_f64(),
        failed.len()
    );
    println!(
        "  {} steps, {} epochs, {} rows, {} edges vouched for by the naive fold, {} rows of calls by the naive pairing, {} edges of metrics by the naive count, {} windows of levels",
        outcome.steps,
        outcome.epochs,
        outcome.rows,
        outcome.folded,
        outcome.paired,
        outcome.metered,
        outcome.sealed
    );
    println!(
        "  {} troubles: {} deaths, {} resets, {} bits flipped, {} stores recovered",
        outcome.faults, outcome.deaths, outcome.resets, outcome.damages, outcome.recoveries
    );
    println!(
        "  {} bits of packed windows flipped, {} windows named as unreadable in the end",
        outcome.rotten, outcome.named
    );
    let mut laws: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (seed, violation) in failed {
        laws.entry(violation.law.as_str()).or_default().push(*seed);
    }
    for (law, seeds) in &laws {
        let first: Vec<_> = seeds.iter().take(10).collect();
        println!("  {law}: {} seeds, as {first:?}; SIM_SEED=n replays one", seeds.len());
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64) -> ExitCode {
    let run = run(seed, true);
    for line in &run.story {
        println!("{line}");
    }
    match run.outcome {
        Ok(outcome) => {
            println!("seed {seed} over {:?} holds: {outcome:?}", disk_of(seed));
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("seed {seed} over {:?} breaks {violation}", disk_of(seed));
            ExitCode::FAILURE
        }
    }
}
