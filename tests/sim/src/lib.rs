//! The line and the store under a seeded scheduler.
//!
//! ```text
//! seed ─► scenario ─► fleet, logs ─► sources ─► sluice ─► four stages ─► committer ─► store
//!              └────► troubles ──────────┴─────────┴───────────┴─────────────┴────────┘
//! ```
//!
//! The stages, the sluice, the account of offsets and the stores are the real ones; brokers, clocks,
//! mailboxes, the supervisor and death are simulated, on one thread. A seed decides everything, so a
//! seed replays. What the store holds in the end is held against two oracles: a line that nothing
//! disturbed, epoch by epoch, and a naive fold of flows, a naive pairing of spans and a naive count of metrics that share
//! no code with it.

mod broker;
mod committer;
mod dice;
mod fault;
mod line;
mod oracle;
mod process;
mod sabotage;
mod scenario;
mod sim;
mod source;
mod store;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use portolan_model::Invariant;
pub use sabotage::Sabotage;
pub use scenario::Disk;

/// What must hold, by name.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// What production checks before each write.
    Invariant(Invariant),
    /// An epoch is the same, whatever went before it.
    SameAgain,
    /// What is accepted counts once: the store is the naive fold.
    NothingTwice,
    /// A process that is killed comes back where it was.
    NothingLost,
    /// The store holds the sum of its commits, in all windows that it does not name as unreadable.
    StoreKeeps,
    /// So does each level.
    LevelsAgree,
    /// The store opens, reads and writes.
    StoreServes,
    /// No mailbox and no count of epochs goes over its bound.
    Bounded,
    /// The line comes to its end.
    GoesOn,
    /// Nothing panics by itself.
    NoPanic,
}

/// A law that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub law: Law,
    /// How.
    pub detail: String,
}

/// What a run was.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps of the scheduler.
    pub steps: u64,
    /// Epochs committed.
    pub epochs: u64,
    /// Things that went wrong.
    pub faults: u64,
    /// Deaths of the process.
    pub deaths: u64,
    /// Resets of the line.
    pub resets: u64,
    /// Bytes flipped.
    pub damages: u64,
    /// Bytes of packed windows flipped.
    pub rotten: u64,
    /// Windows that do not read, or lack one that did not, and are named.
    pub named: u64,
    /// Damaged stores that went on from a copy, or from nothing.
    pub recoveries: u64,
    /// Edge rows in the end.
    pub rows: u64,
    /// Windows of coarser levels that were held against the commits.
    pub sealed: u64,
    /// Edges that the naive fold vouched for.
    pub folded: u64,
    /// Rows of calls that the naive pairing vouched for.
    pub paired: u64,
    /// Edges of metrics that the naive count vouched for.
    pub metered: u64,
}

/// A run of a seed.
#[derive(Debug)]
pub struct Run {
    /// What it was, or which law it broke.
    pub outcome: Result<Outcome, Violation>,
    /// What happened, a line each; empty if nobody listens.
    pub story: Vec<String>,
}

/// One seed in this many runs over the store on disk, which costs more than the rest.
const ON_DISK: u64 = 4;

/// The store that a seed runs over.
pub fn disk_of(seed: u64) -> Disk {
    if seed.is_multiple_of(ON_DISK) { Disk::Fjall } else { Disk::Memory }
}

/// Runs a seed. `tells` says whether to keep the story.
pub fn run(seed: u64, tells: bool) -> Run {
    run_broken(seed, tells, None)
}

/// Runs a seed with something broken on purpose.
pub fn run_broken(seed: u64, tells: bool, sabotage: Option<Sabotage>) -> Run {
    let play = || match sim::Sim::new(seed, disk_of(seed), tells, sabotage) {
        Ok(sim) => sim.run(),
        Err(violation) => (Err(violation), Vec::new()),
    };
    match catch_unwind(AssertUnwindSafe(play)) {
        Ok((outcome, story)) => Run { outcome, story },
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let detail = text.unwrap_or_else(|| "no text".into());
            Run { outcome: Err(Law::NoPanic.broken(detail)), story: Vec::new() }
        }
    }
}

// === impl Law ===

impl Law {
    fn broken(self, detail: String) -> Violation {
        Violation { law: self, detail }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invariant(invariant) => invariant.as_str(),
            Self::SameAgain => "same_again",
            Self::NothingTwice => "nothing_twice",
            Self::NothingLost => "nothing_lost",
            Self::StoreKeeps => "store_keeps",
            Self::LevelsAgree => "levels_agree",
            Self::StoreServes => "store_serves",
            Self::Bounded => "bounded",
            Self::GoesOn => "goes_on",
            Self::NoPanic => "no_panic",
        }
    }
}

// === impl Violation ===

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law.as_str(), self.detail)
    }
}

// === impl Outcome ===

impl Outcome {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.epochs += other.epochs;
        self.faults += other.faults;
        self.deaths += other.deaths;
        self.resets += other.resets;
        self.damages += other.damages;
        self.rotten += other.rotten;
        self.named += other.named;
        self.recoveries += other.recoveries;
        self.rows += other.rows;
        self.sealed += other.sealed;
        self.folded += other.folded;
        self.paired += other.paired;
        self.metered += other.metered;
    }
}
