//! History: packed windows and what they cost. Prints figures beside the holds, asserts nothing.
//!
//! `cargo bench -p portolan-benches --bench history` (`-- merge`: the merging alone, `-- answers`: diff and changes alone,
//! `-- late`: a day of which much came late)

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::{Duration, Instant};

use portolan_benches::cpu_now;
use portolan_model::{
    Counters, Direction, EdgeDelta, EdgeKey, EntityId, EpochCommit, Layer, Measure, Nanos, Proto,
    TimeRange, Window, WindowLen,
};
use portolan_storage::{
    CommitEpoch, FjallStore, History, LevelOptions, Options, Plan, ReadHistory, Select, Span,
};

#[path = "history/answers.rs"]
mod answers;
#[path = "history/late.rs"]
mod late;

/// Edges of the fleet, heard of in every window or in nine of ten.
const EDGES: u64 = 50_000;

/// Base windows are ten minutes, so that days are filled in a minute: a range is answered by as many
/// windows of hours and days, and six levels of ends would add a few.
const BASE_SECS: u32 = 600;

/// A day and two thirds, so that any of 30 ranges of 24 h is held.
const WINDOWS: u32 = 144 + 96;

/// 2026-11-23T00:00:00Z.
const T0: u32 = 1_795_392_000;

/// Most windows that 30 days are answered by.
const MOST_WINDOWS: u32 = 29 + 2 * (23 + 5 + 9 + 5);

const HOUR: Nanos = 3_600_000_000_000;

fn main() -> anyhow::Result<()> {
    portolan_allocator::keep_free_memory();
    println!("every edge in every window");
    fleet(10)?;
    println!("\neach edge in nine of ten windows");
    fleet(9)?;
    if is_wanted("now") {
        println!("\nwindows of 10 s");
        answers::of_now(Window(T0))?;
    }
    Ok(())
}

/// Whether this part is asked for: without words, each is.
fn is_wanted(part: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| word == part)
}

/// Fills a store, each edge in `present` of ten windows, and reads it.
fn fleet(present: u64) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let len = WindowLen::try_new(BASE_SECS).expect("ten minutes divide a day");
    let level = |secs| LevelOptions { secs, retention_secs: 0 };
    let options = Options { levels: vec![level(3_600), level(86_400)], ..Options::default() };
    let mut store = FjallStore::open(&dir.path().join("store"), len, &options)?;
    let mut filled = Vec::new();
    for n in 0..WINDOWS {
        let commit = commit(u64::from(n) + 1, n, present);
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
    if is_wanted("merge") {
        merged(&*history, len, present)?;
    }
    let start = u64::from(T0) * 1_000_000_000;
    if is_wanted("ranges") {
        ranges(&*history, start, len)?;
    }
    let end = history.levels()[0].sealed.start();
    drop(history);
    if is_wanted("answers") {
        answers::of_hours(&store, start, end)?;
    }
    if is_wanted("late") { late::of_a_day(&mut store, u64::from(WINDOWS) + 1) } else { Ok(()) }
}

/// Any day of the whole graph, and one service over any month.
fn ranges(history: &dyn History, start: Nanos, len: WindowLen) -> anyhow::Result<()> {
    let mut whole = Vec::new();
    let mut windows = 0;
    for n in 0..30 {
        let from = start + n * HOUR / 2 + 600_000_000_000;
        let plan = history.plan(TimeRange { from, to: from + 24 * HOUR });
        let began = Instant::now();
        let mut rows = 0_u64;
        history.edges(&plan, &Select::default(), &mut |_| rows += 1)?;
        whole.push(began.elapsed());
        windows += plan.windows();
        anyhow::ensure!(rows == EDGES, "{rows} rows");
    }
    figures("whole graph of any 24 h (hold: p99 300 ms)", &mut whole, windows / 30);

    // Any 30 days are 29 days, 23 hours, 5 windows of ten minutes, 9 minutes and 5 windows of 10 s at each end, at
    // most: so many windows, each of all edges, are read here.
    let mut near = Vec::new();
    let to = start + u64::from(MOST_WINDOWS * BASE_SECS) * 1_000_000_000;
    let plan = Plan { spans: vec![Span { len, range: TimeRange { from: start, to } }] };
    for n in 0..200 {
        let entity = Some(hash(n * 7));
        let began = Instant::now();
        history.edges(&plan, &Select { entity, ..Select::default() }, &mut |_| {})?;
        near.push(began.elapsed());
    }
    let what = "neighbours of one service, as many windows as any 30 days (hold: p99 50 ms)";
    figures(what, &mut near, plan.windows());
    Ok(())
}

/// Adds up a day of base windows. A row is an edge in a window: read, decoded and added.
fn merged(history: &dyn History, len: WindowLen, present: u64) -> anyhow::Result<()> {
    let start = u64::from(T0) * 1_000_000_000;
    let plan =
        Plan { spans: vec![Span { len, range: TimeRange { from: start, to: start + 24 * HOUR } }] };
    let there = |n: u32| (0..EDGES).filter(|edge| is_present(*edge, n, present)).count();
    let rows: usize = (0..144).map(there).sum();
    let mut rates = Vec::new();
    for _ in 0..7 {
        // The time of this thread: what else runs on the machine is not in it.
        let began = cpu_now();
        let mut seen = 0;
        history.edges(&plan, &Select::default(), &mut |_| seen += 1)?;
        let took = cpu_now().saturating_sub(began);
        anyhow::ensure!(seen == EDGES, "{seen} rows");
        rates.push(rows as f64 / took.as_secs_f64() / 1e6);
    }
    rates.sort_unstable_by(f64::total_cmp);
    let (least, median, most) = (rates[0], rates[3], rates[6]);
    println!(
        "merged while reading, 144 windows: {median:.1} M rows/s of one core, {least:.1} to {most:.1} (hold 50)"
    );
    Ok(())
}

/// Whether an edge is heard of in a window.
fn is_present(edge: u64, n: u32, present: u64) -> bool {
    (edge * 7_919 + u64::from(n) * 104_729).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff
        < present * 0x1_0000 / 10
}

fn commit(epoch: u64, n: u32, present: u64) -> EpochCommit {
    let window = Window(T0 + n * BASE_SECS);
    let at = window.start();
    let mut edges: Vec<EdgeDelta> = (0..EDGES)
        .filter(|edge| is_present(*edge, n, present))
        .map(|edge| row(window, edge, u64::from(n)))
        .collect();
    edges.sort_unstable_by_key(|row| row.key);
    let entities = if n == 0 { answers::entities() } else { Vec::new() };
    let folded = window;
    EpochCommit {
        epoch,
        clock: at,
        watermark: at,
        edges,
        entities,
        folded,
        ..EpochCommit::default()
    }
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
