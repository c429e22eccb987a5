//! Rows that come late: windows that are packed get them beside what they hold.

use std::time::{Duration, Instant};

use portolan_model::{EdgeDelta, EpochCommit, TimeRange, Window};
use portolan_storage::{CommitEpoch as _, FjallStore, ReadHistory as _, Select};

use crate::{BASE_SECS, EDGES, HOUR, T0, figures, row};

/// Edges that one agent in twenty tells of.
const TOLD: u64 = EDGES / 20;

/// Epochs of a second in which it is late, by three minutes in each hour.
const LATE: u64 = 180;

/// Hours.
const HOURS: u64 = 24;

/// Makes an agent late, and asks for a day.
pub(crate) fn of_a_day(store: &mut FjallStore, first_epoch: u64) -> anyhow::Result<()> {
    let mut took = Vec::new();
    for n in 0..HOURS * LATE {
        let began = Instant::now();
        store.commit(&commit(first_epoch + n, n))?;
        took.push(began.elapsed());
    }
    figures(&format!("commit of {TOLD} late rows"), &mut took, 1);
    let start = u64::from(T0) * 1_000_000_000 + 600_000_000_000;
    let mut whole: Vec<Duration> = Vec::new();
    let mut windows = 0;
    for n in 0..7 {
        let from = start + n * HOUR / 2;
        let history = store.history();
        let plan = history.plan(TimeRange { from, to: from + 24 * HOUR });
        let began = Instant::now();
        let mut rows = 0_u64;
        history.edges(&plan, &Select::default(), &mut |_| rows += 1)?;
        whole.push(began.elapsed());
        windows = plan.windows();
        anyhow::ensure!(rows == EDGES, "{rows} rows");
    }
    let what =
        format!("whole graph of a day with {} late rows (hold: p99 300 ms)", HOURS * LATE * TOLD);
    figures(&what, &mut whole, windows);
    Ok(())
}

fn commit(epoch: u64, n: u64) -> EpochCommit {
    // The last window of each hour.
    let window = Window(T0 + (n / LATE * 6 + 5) as u32 * BASE_SECS);
    let mut edges: Vec<EdgeDelta> = (0..TOLD).map(|edge| row(window, edge * 20, n)).collect();
    edges.sort_unstable_by_key(|row| row.key);
    let clock = u64::from(T0) * 1_000_000_000 + 100 * HOUR + n * 1_000_000_000;
    EpochCommit { epoch, clock, edges, ..EpochCommit::default() }
}
