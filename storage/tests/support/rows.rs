//! Rows and commits in few words.

#![allow(dead_code, reason = "every test uses its own part")]

use portolan_model::{
    CallDelta, CallKey, CallMeasure, CallProtocol, CallSource, Counters, Direction, EdgeDelta,
    EdgeKey, Entity, EntityId, EntityKind, EpochCommit, Evidence, Ip, Layer, Measure, Nanos,
    OwnerKind, OwnerRecord, PathDelta, PathKey, PathKind, Phase, Position, Proto, TimeRange,
    TopicPartition, ValidTime, Window, WindowLen,
};
use portolan_storage::ReadStore;

pub(crate) const LEN: WindowLen = WindowLen::BASE;

/// 2026-11-23T00:00:00Z.
pub(crate) const T0: u32 = 1_795_392_000;

/// The n-th base window after [`T0`].
pub(crate) fn window(n: u32) -> Window {
    Window(T0 + n * 10)
}

pub(crate) fn sums(flows: i64, bytes: i64) -> Counters {
    let mut counters = Counters::ZERO;
    counters[Measure::Flows] = flows;
    counters[Measure::BytesSent] = bytes;
    counters
}

pub(crate) fn key(w: Window, client: u64, server: u64) -> EdgeKey {
    EdgeKey {
        window: w,
        layer: Layer::Network,
        client: EntityId(client),
        server: EntityId(server),
        proto: Proto::TCP,
        port: 443,
        direction: Direction::Known,
    }
}

pub(crate) fn edge(w: Window, client: u64, server: u64, flows: i64) -> EdgeDelta {
    EdgeDelta {
        key: key(w, client, server),
        counters: sums(flows, flows * 100),
        first_ns: w.start() + 5,
        last_ns: w.start() + 9,
    }
}

/// The same, taken away.
pub(crate) fn less(w: Window, client: u64, server: u64, flows: i64) -> EdgeDelta {
    EdgeDelta { first_ns: Nanos::MAX, last_ns: 0, ..edge(w, client, server, -flows) }
}

pub(crate) fn path(w: Window, client: u64, via: &[u64], server: u64, flows: i64) -> PathDelta {
    PathDelta {
        key: PathKey {
            window: w,
            layer: Layer::Network,
            client: EntityId(client),
            server: EntityId(server),
            proto: Proto::TCP,
            front_port: 443,
            port: 8_443,
            via: via.iter().map(|hop| EntityId(*hop)).collect(),
            kind: PathKind::Moved,
            evidence: Evidence::Rewrite,
        },
        counters: sums(flows, flows * 100),
        first_ns: w.start() + 1,
        last_ns: w.start() + 2,
    }
}

/// Calls of 3 ms each, seen by both sides; negative takes them away.
pub(crate) fn call(w: Window, client: u64, server: u64, operation: u64, calls: i64) -> CallDelta {
    let mut call = CallDelta::new(CallKey {
        window: w,
        client: EntityId(client),
        server: EntityId(server),
        source: CallSource::TracePair,
        protocol: CallProtocol::Grpc,
        operation: EntityId(operation),
    });
    call.counters[CallMeasure::CallsMilli] = calls * 1_000;
    call.counters[CallMeasure::Raw] = calls;
    call.client.record(3_000_000, calls);
    call.server.record(2_000_000, calls);
    call.gap.record(1_000_000, calls);
    if calls > 0 {
        (call.first_ns, call.last_ns) = (w.start() + 5, w.start() + 9);
    }
    call
}

pub(crate) fn partition(n: i32) -> TopicPartition {
    TopicPartition { cluster: "main".into(), topic: "network-flows".into(), partition: n }
}

pub(crate) fn position(n: i32, next: i64) -> Position {
    Position { partition: partition(n), next, reread: next - 1 }
}

pub(crate) fn entity(name: &str) -> (EntityId, Entity) {
    let entity = Entity::new(EntityKind::Workload, "shop", name);
    (entity.id(), entity)
}

pub(crate) fn owner(uid: &str, from: Nanos) -> OwnerRecord {
    OwnerRecord {
        scope: "cluster/a/pod".into(),
        uid: uid.into(),
        kind: OwnerKind::Pod,
        environment: "a".into(),
        namespace: "shop".into(),
        name: "web-1".into(),
        owner_name: "web".into(),
        owner_kind: "Deployment".into(),
        node: "10.0.0.1".parse().unwrap(),
        host_network: false,
        phase: Phase::Running,
        ips: vec!["10.1.2.3".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        cidrs: vec![("10.0.0.0".parse().unwrap(), 8)],
        ports: vec![],
        backends: vec![],
        node_ports: vec![],
        host_ports: vec![],
        observer: Ip::NONE,
        valid: ValidTime::since(from),
        observed_at: from + 1,
    }
}

pub(crate) fn commit(epoch: u64, edges: Vec<EdgeDelta>) -> EpochCommit {
    EpochCommit { epoch, clock: epoch * 1_000, watermark: epoch * 900, edges, ..Default::default() }
}

pub(crate) fn edges(store: &(impl ReadStore + ?Sized), range: TimeRange) -> Vec<EdgeDelta> {
    let mut rows = Vec::new();
    store.edges(range, &mut |row| rows.push(*row)).unwrap();
    rows
}

pub(crate) fn paths(store: &(impl ReadStore + ?Sized), range: TimeRange) -> Vec<PathDelta> {
    let mut rows = Vec::new();
    store.paths(range, &mut |row| rows.push(row.clone())).unwrap();
    rows
}

pub(crate) fn calls(store: &(impl ReadStore + ?Sized), range: TimeRange) -> Vec<CallDelta> {
    let mut rows = Vec::new();
    store.calls(range, &mut |row| rows.push(row.clone())).unwrap();
    rows
}

pub(crate) fn owners(store: &(impl ReadStore + ?Sized)) -> Vec<OwnerRecord> {
    let mut all = Vec::new();
    store.owners(&mut |owner| all.push(owner)).unwrap();
    all
}
