//! Whole answers about the past, as a caller waits for them, without the network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portolan_api::{Limits, LineStatus, StoreReader, Topology};
use portolan_benches::cpu_of_process;
use portolan_model::{Entity, EntityId, EntityKind, EpochCommit, Nanos, Window, WindowLen};
use portolan_proto::v1::topology_service_server::TopologyService as _;
use portolan_proto::v1::{
    self, ChangesRequest, CoverageRequest, DiffRequest, GetEdgeRequest, GetGraphRequest,
};
use portolan_storage::{CommitEpoch as _, FjallStore, Live, NowRange, Options};
use tonic::Request;

use crate::{EDGES, HOUR, figures, hash, row};

/// The services of the fleet, by the ids of its edges.
pub(crate) fn entities() -> Vec<(EntityId, Entity)> {
    let name = |n: u64| {
        Entity::new(EntityKind::Workload, &format!("ns-{}", n % 40), &format!("service-{n}"))
    };
    (0..EDGES / 10).map(|n| (hash(n), name(n))).collect()
}

/// Forty hours, but for what is not packed yet.
const HALF: Nanos = 19 * HOUR;

#[expect(clippy::unnecessary_wraps, reason = "requests have it so")]
fn range(from: Nanos, to: Nanos) -> Option<v1::TimeRange> {
    let micros = |at: Nanos| (at / 1_000) as i64;
    Some(v1::TimeRange { from_unix_us: micros(from), to_unix_us: micros(to) })
}

fn topology(store: &FjallStore) -> anyhow::Result<Topology> {
    let live = Arc::new(Live::load(&*store.reader(), NowRange::default())?);
    let reader = Arc::new(StoreReader::new(store.reader(), live));
    let limits = Limits { deadline: Duration::from_secs(600), ..Limits::default() };
    Ok(Topology::new(reader, Arc::new(LineStatus::default()), limits))
}

/// Asks a store of forty hours about two halves of it.
pub(crate) fn of_hours(store: &FjallStore, from: Nanos, to: Nanos) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let topology = topology(store)?;
    let middle = to - HALF;
    let diff = DiffRequest {
        before: range(middle - HALF, middle),
        after: range(middle, to),
        ..DiffRequest::default()
    };
    let changes = ChangesRequest { range: range(middle, to), ..ChangesRequest::default() };
    let day = GetGraphRequest { range: range(to - 24 * HOUR, 0), ..GetGraphRequest::default() };
    anyhow::ensure!(from <= middle - HALF, "the store holds less than two halves");
    runtime.block_on(async {
        let (mut times, mut on_core) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (began, cpu) = (Instant::now(), cpu_of_process());
            let answer = topology.diff(Request::new(diff.clone())).await?.into_inner();
            times.push(began.elapsed());
            on_core.push(cpu_of_process().saturating_sub(cpu));
            anyhow::ensure!(answer.compared == EDGES, "{} edges", answer.compared);
        }
        figures("Diff of 19 h with 19 h, by 48 steps (no hold)", &mut times, 240);
        figures("  of which on a core", &mut on_core, 240);
        times.clear();
        on_core.clear();
        for _ in 0..3 {
            let (began, cpu) = (Instant::now(), cpu_of_process());
            topology.changes(Request::new(changes.clone())).await?;
            times.push(began.elapsed());
            on_core.push(cpu_of_process().saturating_sub(cpu));
        }
        figures("Changes of 19 h, by 19 steps (no hold)", &mut times, 240);
        figures("  of which on a core", &mut on_core, 240);
        times.clear();
        for n in 0..20 {
            let n = n * 2_003;
            let name = |n: u64| hash(n).to_string();
            let edge = GetEdgeRequest {
                client: name(n / 10),
                server: name(n % 4_999),
                range: range(middle, to),
                ..GetEdgeRequest::default()
            };
            let began = Instant::now();
            let answer = topology.get_edge(Request::new(edge)).await?.into_inner();
            times.push(began.elapsed());
            anyhow::ensure!(answer.edge.is_some(), "edge {n} is not there");
        }
        figures("GetEdge of 19 h, and first and last seen of all (no hold)", &mut times, 240);
        times.clear();
        for _ in 0..10 {
            let began = Instant::now();
            topology.get_graph(Request::new(day.clone())).await?;
            times.push(began.elapsed());
        }
        figures(
            "GetGraph of the last 24 h, folded, first page (hold of the reading: p99 300 ms)",
            &mut times,
            30,
        );
        Ok(())
    })
}

/// A store of base windows of 10 s, nine of which are open, asked about the last minutes: what is open
/// is not packed yet.
pub(crate) fn of_now(start: Window) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let len = WindowLen::BASE;
    let mut store = FjallStore::open(&dir.path().join("store"), len, &Options::default())?;
    let mut at = start;
    for n in 0..24_u32 {
        at = Window(start.0 + n * len.secs());
        let mut edges: Vec<_> = (0..EDGES).map(|edge| row(at, edge, u64::from(n))).collect();
        edges.sort_unstable_by_key(|row| row.key);
        let folded = Window(at.0.saturating_sub(60));
        let names = if n == 0 { entities() } else { Vec::new() };
        let clock = at.end(len);
        store.commit(&EpochCommit {
            epoch: u64::from(n) + 1,
            clock,
            watermark: clock,
            edges,
            entities: names,
            folded,
            ..EpochCommit::default()
        })?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let topology = topology(&store)?;
    let from = at.end(len) - 4 * 60_000_000_000;
    runtime.block_on(async {
        let mut times = Vec::new();
        for _ in 0..10 {
            let ask = GetGraphRequest { range: range(from, 0), ..GetGraphRequest::default() };
            let began = Instant::now();
            let answer = topology.get_graph(Request::new(ask)).await?.into_inner();
            times.push(began.elapsed());
            anyhow::ensure!(answer.total_edges == EDGES, "{} edges", answer.total_edges);
        }
        figures("GetGraph of the last 4 min, nine windows open (no hold)", &mut times, 24);
        times.clear();
        for _ in 0..5 {
            let ask = CoverageRequest { range: range(from, 0), ..CoverageRequest::default() };
            let began = Instant::now();
            topology.coverage(Request::new(ask)).await?;
            times.push(began.elapsed());
        }
        figures("Coverage of the same (no hold)", &mut times, 24);
        Ok(())
    })
}
