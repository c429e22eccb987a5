//! The store: commits, scans, the live graph, opening and copying. Prints figures, asserts nothing.
//!
//! `cargo bench -p portolan-benches --bench store`

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::time::{Duration, Instant};

use portolan_model::{
    Counters, Direction, EdgeDelta, EdgeKey, EntityId, EpochCommit, Layer, Measure, Nanos,
    Position, Proto, TimeRange, TopicPartition, Window, WindowLen,
};
use portolan_storage::{CommitEpoch, FjallStore, Live, NowRange, Options, ReadEdges};

/// Edges of the fleet, and rows of each epoch: every edge is heard of in every epoch.
const EDGES: u64 = 20_000;

/// Epochs of one second, in windows of ten.
const EPOCHS: u64 = 120;

/// 2026-11-23T00:00:00Z.
const T0: u32 = 1_795_392_000;

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("store");
    let commits: Vec<EpochCommit> = (1..=EPOCHS).map(commit).collect();
    println!("{EDGES} edges, {EPOCHS} epochs of 1 s, windows of 10 s, 24 partitions");

    let options = Options::default();
    let mut store = FjallStore::open(&path, WindowLen::BASE, &options)?;
    let live = Live::load(&store, NowRange { secs: 60, ..NowRange::default() })?;
    let (mut writes, mut applies) = (Vec::new(), Vec::new());
    for commit in &commits {
        let began = Instant::now();
        store.commit(commit)?;
        writes.push(began.elapsed());
        let began = Instant::now();
        live.apply(commit);
        applies.push(began.elapsed());
    }
    figures("commit, rows of the last windows in memory", &mut writes);
    figures("live apply, windows leaving", &mut applies);
    scans(&store)?;

    let began = Instant::now();
    let sum: i64 = live.read(|now| now.edges().map(|row| row.counters[Measure::Flows]).sum());
    println!("live graph read whole: {:.2} ms ({sum} flows)", millis(began.elapsed()));
    let began = Instant::now();
    let loaded = Live::load(&store, NowRange::default())?;
    let rows = loaded.read(|now| now.counts().0);
    println!("live graph loaded: {:.0} ms ({rows} edges)", millis(began.elapsed()));

    let began = Instant::now();
    store.sync()?;
    println!("sync: {:.1} ms", millis(began.elapsed()));
    let good = dir.path().join("good");
    let began = Instant::now();
    let copy = store.begin_copy(&good)?;
    let held = began.elapsed();
    copy.finish()?;
    let (held, whole) = (millis(held), millis(began.elapsed()));
    println!("copy: {whole:.0} ms, of which {held:.0} ms hold up the writer");
    let disk = store.disk_bytes();
    println!("disk: {:.1} MB (journals are allocated ahead)", disk as f64 / 1e6);
    drop(store);
    let began = Instant::now();
    drop(FjallStore::open(&path, WindowLen::BASE, &options)?);
    println!("open: {:.0} ms", millis(began.elapsed()));

    uncached(&dir.path().join("uncached"), &commits[..40])
}

/// The same with every old row read from disk.
fn uncached(path: &Path, commits: &[EpochCommit]) -> anyhow::Result<()> {
    let options = Options { cached_rows: 0, ..Options::default() };
    let mut store = FjallStore::open(path, WindowLen::BASE, &options)?;
    let mut writes = Vec::new();
    for commit in commits {
        let began = Instant::now();
        store.commit(commit)?;
        writes.push(began.elapsed());
    }
    figures("commit, old rows read from disk", &mut writes);
    Ok(())
}

fn scans(store: &FjallStore) -> anyhow::Result<()> {
    for _ in 0..3 {
        let began = Instant::now();
        let mut rows = 0_u64;
        store.edges(TimeRange { from: 0, to: Nanos::MAX }, &mut |_| rows += 1)?;
        let took = began.elapsed();
        let rate = rows as f64 / took.as_secs_f64() / 1e6;
        println!("scan of {rows} rows: {:.0} ms, {rate:.2} M rows/s", millis(took));
    }
    Ok(())
}

fn commit(epoch: u64) -> EpochCommit {
    let at = u64::from(T0) * 1_000_000_000 + epoch * 1_000_000_000;
    let window = WindowLen::BASE.window(at);
    let partition =
        |n| TopicPartition { cluster: "main".into(), topic: "network-flows".into(), partition: n };
    let place = |n| Position { partition: partition(n), next: epoch as i64, reread: epoch as i64 };
    let mut edges: Vec<EdgeDelta> = (0..EDGES).map(|n| edge(window, n, at)).collect();
    edges.sort_unstable_by_key(|row| row.key);
    EpochCommit {
        epoch,
        clock: at,
        watermark: at,
        edges,
        positions: (0..24).map(place).collect(),
        ..EpochCommit::default()
    }
}

fn edge(window: Window, n: u64, at: Nanos) -> EdgeDelta {
    // Spread over the whole space, as hashes are.
    let hash = |n: u64| EntityId(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31));
    let mut counters = Counters::ZERO;
    for (measure, sum) in [
        (Measure::Flows, 4),
        (Measure::Connections, 2),
        (Measure::BytesSent, 9_000 + n as i64),
        (Measure::BytesReceived, 70_000 + n as i64),
        (Measure::PacketsSent, 30),
        (Measure::PacketsReceived, 50),
    ] {
        counters[measure] = sum;
    }
    let key = EdgeKey {
        window,
        layer: Layer::Network,
        client: hash(n / 10),
        server: hash(n % 1_999),
        proto: Proto::TCP,
        port: 8_080,
        direction: Direction::Known,
    };
    EdgeDelta { key, counters, first_ns: at, last_ns: at + 900_000_000 }
}

fn figures(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let rows = EDGES * times.len() as u64;
    let rate = rows as f64 / total.as_secs_f64() / 1e3;
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{what}: median {:.1} ms, worst {:.1} ms an epoch; {rate:.0} k rows/s",
        millis(median),
        millis(worst)
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
