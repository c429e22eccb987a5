//! `portolan load score`: how right the map is, by fault class, on fleets whose truth is known.
//!
//! Each class is judged alone, and all that were asked for together, each on the same seeds.

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::{Context as _, bail};
use portolan_fleet::{Fault, FleetSpec};

use crate::cli::ScoreArgs;
use crate::exit::Silent;
use crate::output;

mod board;
mod drive;

pub use board::{Board, Bytes, Class, Edges};
pub use drive::{Outcome, drive};

/// Memory of a fleet in the line per flow record: some 750 bytes a connection and window, two or
/// three records each, and as much again for the fleet and the store.
const BYTES_A_RECORD: u64 = 600;
/// Records older than the horizon and a window are forgotten.
const REMEMBERED_SECS: u64 = 80;

/// One fleet to run.
struct Job {
    class: usize,
    seed: u64,
    spec: FleetSpec,
}

/// `portolan load score`.
pub fn run(args: &ScoreArgs) -> anyhow::Result<()> {
    let board = judge(args, &note)?;
    if args.json {
        output::json(&board)?;
    } else {
        output::say(&board.text())?;
    }
    if board.ok { Ok(()) } else { Err(Silent.into()) }
}

/// Runs all fleets. `note` is told after each how many are done, and of how many.
pub fn judge(args: &ScoreArgs, note: &dyn Fn(usize, usize)) -> anyhow::Result<Board> {
    let classes = classes(&args.faults)?;
    let rate = args.rate.unwrap_or(args.services.saturating_mul(10));
    let mut jobs = Vec::new();
    for (class, (_, faults)) in classes.iter().enumerate() {
        for seed in 1..=args.seeds {
            let spec = spec(seed, args.services, rate, faults);
            spec.check().with_context(|| format!("seed {seed}"))?;
            jobs.push(Job { class, seed, spec });
        }
    }
    let lag = args.lag.as_secs();
    let outcomes = run_all(&jobs, threads(rate, args.seconds), note, |job| {
        drive(job.spec.clone(), args.seconds, lag)
    });
    let mut board = Board {
        ok: true,
        services: args.services,
        seeds: args.seeds,
        seconds: args.seconds,
        lag_seconds: lag,
        rate,
        classes: classes.iter().map(|(name, _)| Class::new(name)).collect(),
    };
    for (job, outcome) in jobs.iter().zip(outcomes) {
        let class = &mut board.classes[job.class];
        let outcome =
            outcome.with_context(|| format!("{} with seed {}", class.faults, job.seed))?;
        class.add(job.seed, &outcome);
    }
    board.ok = board.classes.iter().all(|class| class.ok);
    Ok(board)
}

/// A fleet of a seed with some classes of faults.
pub fn spec(seed: u64, services: u32, rate: u32, faults: &[Fault]) -> FleetSpec {
    let mut spec = FleetSpec::random(seed, services, rate);
    for fault in faults {
        fault.apply(&mut spec);
    }
    spec
}

/// Classes to judge, by name: none, each alone, and all at once.
fn classes(words: &str) -> anyhow::Result<Vec<(String, Vec<Fault>)>> {
    let asked = match words {
        "all" => Fault::ALL.to_vec(),
        "none" => Vec::new(),
        list => list.split(',').map(fault).collect::<anyhow::Result<_>>()?,
    };
    let mut classes = vec![("none".to_owned(), Vec::new())];
    classes.extend(asked.iter().map(|fault| (fault.name().to_owned(), vec![*fault])));
    if asked.len() > 1 {
        classes.push(("all".to_owned(), asked));
    }
    Ok(classes)
}

fn fault(name: &str) -> anyhow::Result<Fault> {
    let Some(fault) = Fault::parse(name.trim()) else {
        let names: Vec<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        bail!("--faults {name}: give `all`, `none`, or some of {}", names.join(", "));
    };
    Ok(fault)
}

/// Runs every job on some threads, and gives the results in the order of the jobs.
fn run_all<T: Send>(
    jobs: &[Job],
    threads: usize,
    note: &dyn Fn(usize, usize),
    work: impl Fn(&Job) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((at, job)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(at).map(|job| (at, job))
                } {
                    // The receiver lives until every sender is gone.
                    let _ = sender.send((at, work(job)));
                }
            });
        }
        drop(sender);
        let counted = results.iter().enumerate().inspect(|(at, _)| note(at + 1, jobs.len()));
        counted.map(|(_, result)| result).collect()
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Fleets at once: one a core, as far as memory holds them.
fn threads(rate: u32, seconds: u64) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let need = u64::from(rate) * seconds.min(REMEMBERED_SECS) * BYTES_A_RECORD;
    let fit = free_memory().map_or(1, |free| free / 2 / need.max(1));
    cores.min(usize::try_from(fit).unwrap_or(usize::MAX)).max(1)
}

/// Bytes that the kernel says can still be had; nothing where it does not say.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kb| kb * 1_024)
}

/// Progress: rewritten in place on a terminal, now and then elsewhere.
fn note(done: usize, of: usize) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        let end = if done == of { "\n" } else { "" };
        let _ = write!(err, "\r{done} of {of} fleets{end}");
    } else if done == of || done.is_multiple_of(10) {
        let _ = writeln!(err, "{done} of {of} fleets");
    }
    let _ = err.flush();
}
