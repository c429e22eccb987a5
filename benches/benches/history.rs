//! History: packed windows and what they cost. Prints figures beside the holds, asserts nothing.
//!
//! `cargo bench -p portolan-benches --bench history`

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::{Duration, Instant};

use portolan_model::{
    Counters, Direction, EdgeDelta, EdgeKey, EntityId, EpochCommit, Layer, Measure, Nanos, Proto,
    TimeRange, Window, WindowLen,
};
use portolan_storage::{CommitEpoch, FjallStore, LevelOptions, Options, ReadHistory, Select};

/// Edges of the fleet, all of which are heard of in every window.
const EDGES: u64 = 50_000;

/// Base windows are ten minutes, so that days are filled in a minute: a range is answered by as many
/// windows of hours and days, and six levels of ends would add a few.
const BASE_SECS: u32 = 600;

/// Two days and some hours.
const WINDOWS: u32 = 2 * 144 + 30;

/// 2026-11-23T00:00:00Z.
const T0: u32 = 1_795_392_000;

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let len = WindowLen::try_new(BASE_SECS).expect("ten minutes divide a day");
    let level = |secs| LevelOptions { secs, retention_secs: 0 };
    let options = Options { levels: vec![level(3_600), level(86_400)], ..Options::default() };
    let mut store = FjallStore::open(&dir.path().join("store"), len, &options)?;
    let mut filled = Vec::new();
    for n in 0..WINDOWS {
        let commit = commit(u64::from(n) + 1, n);
        let began = Instant::now();
        store.commit(&commit)?;
        filled.push(began.elapsed());
    }
    figures(&format!("commit of {EDGES} rows, packing the window before"), &mut filled, 1);

    let history = store.history();
    for level in history.levels().iter().skip(1) {
        let windows = u64::from((level.sealed.0 - T0) / level.len.secs());
        let bytes = level.disk_bytes as f64 / (windows * EDGES).max(1) as f64;
        let secs = level.len.secs();
        println!("level of {secs} s: {windows} windows, {bytes:.1} B a row (hold 40, aim 20)");
    }
    let hour = 3_600_000_000_000_u64;
    let start = u64::from(T0) * 1_000_000_000;
    let mut whole = Vec::new();
    let mut windows = 0;
    for n in 0..30 {
        let from = start + n * hour / 2 + 600_000_000_000;
        let plan = history.plan(TimeRange { from, to: from + 24 * hour });
        let began = Instant::now();
        let mut rows = 0_u64;
        history.edges(&plan, &Select::default(), &mut |_| rows += 1)?;
        whole.push(began.elapsed());
        windows += plan.windows();
        anyhow::ensure!(rows == EDGES, "{rows} rows");
    }
    let total: Duration = whole.iter().sum();
    let rate = (windows * EDGES) as f64 / total.as_secs_f64() / 1e6;
    println!("merged while reading: {rate:.1} M rows/s on one core (hold 50)");
    figures("whole graph of any 24 h (hold: p99 300 ms)", &mut whole, windows / 30);

    let mut near = Vec::new();
    let plan = history.plan(TimeRange { from: start, to: Nanos::MAX });
    for n in 0..200 {
        let entity = Some(hash(n * 7));
        let began = Instant::now();
        history.edges(&plan, &Select { entity, ..Select::default() }, &mut |_| {})?;
        near.push(began.elapsed());
    }
    figures(
        "neighbours of one service over all (hold: 50 ms for 30 days)",
        &mut near,
        plan.windows(),
    );
    Ok(())
}

fn commit(epoch: u64, n: u32) -> EpochCommit {
    let window = Window(T0 + n * BASE_SECS);
    let at = window.start();
    let mut edges: Vec<EdgeDelta> =
        (0..EDGES).map(|edge| row(window, edge, u64::from(n))).collect();
    edges.sort_unstable_by_key(|row| row.key);
    EpochCommit { epoch, clock: at, watermark: at, edges, folded: window, ..EpochCommit::default() }
}

fn row(window: Window, n: u64, turn: u64) -> EdgeDelta {
    // Counts of a busy edge, over three orders of magnitude, that change from window to window.
    let noise =
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(turn * 0x2545_f491_4f6c_dd1d) >> 40;
    let scale = 1 + (n * n) % 997;
    let flows = (scale + noise % (scale + 1)) as i64;
    let mut counters = Counters::ZERO;
    for (measure, sum) in [
        (Measure::Flows, flows),
        (Measure::Connections, flows / 2 + 1),
        (Measure::BytesSent, flows * 900 + (noise % 500) as i64),
        (Measure::BytesReceived, flows * 7_000 + (noise % 5_000) as i64),
        (Measure::PacketsSent, flows * 7 + (noise % 5) as i64),
        (Measure::PacketsReceived, flows * 12 + (noise % 9) as i64),
    ] {
        counters[measure] = sum;
    }
    let key = EdgeKey {
        window,
        layer: Layer::Network,
        client: hash(n / 10),
        server: hash(n % 4_999),
        proto: Proto::TCP,
        port: 8_000 + (n % 4_999 % 20) as u16,
        direction: Direction::Known,
    };
    let first_ns = window.start() + noise % 1_000 * 1_000_000;
    let last_ns = window.start() + u64::from(BASE_SECS) * 1_000_000_000 - noise % 977 * 1_000_000;
    EdgeDelta { key, counters, first_ns, last_ns }
}

/// Spread over the whole space, as ids are.
fn hash(n: u64) -> EntityId {
    EntityId((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31))
}

fn figures(what: &str, times: &mut [Duration], windows: u64) {
    times.sort_unstable();
    let millis = |at: usize| times[at].as_secs_f64() * 1e3;
    let (last, median) = (times.len() - 1, times.len() / 2);
    println!(
        "{what}: median {:.1} ms, p99 {:.1} ms, worst {:.1} ms; {windows} windows",
        millis(median),
        millis(last * 99 / 100),
        millis(last)
    );
}
