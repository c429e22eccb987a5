use std::collections::BTreeMap;

use portolan_model::{
    CallKey, CallMeasure, CallProtocol, CallSource, Counters, Direction, EdgeKey, EntityId,
    Evidence, Layer, Measure, PathKey, PathKind, Proto,
};
use proptest::prelude::*;

use super::*;
use crate::row::{Row, Sum};
use crate::{CommitEpoch, MemoryStore, ReadEdges};

const LEN: WindowLen = WindowLen::BASE;
const T0: u32 = 1_795_392_000;
const RANGE: NowRange = NowRange { secs: 60, max_rows: 1_000 };

fn window(n: u32) -> Window {
    Window(T0 + n * 10)
}

fn edge(w: Window, client: u64, flows: i64) -> EdgeDelta {
    let mut counters = Counters::ZERO;
    counters[Measure::Flows] = flows;
    EdgeDelta {
        key: EdgeKey {
            window: w,
            layer: Layer::Network,
            client: EntityId(client),
            server: EntityId(9),
            proto: Proto::TCP,
            port: 80,
            direction: Direction::Known,
        },
        counters,
        first_ns: w.start() + 3,
        last_ns: w.start() + 4,
    }
}

fn path(row: &EdgeDelta) -> PathDelta {
    PathDelta {
        key: PathKey {
            window: row.key.window,
            layer: Layer::Network,
            client: row.key.client,
            server: row.key.server,
            proto: Proto::TCP,
            front_port: 80,
            port: 8_080,
            via: [EntityId(5)].into_iter().collect(),
            kind: PathKind::Moved,
            evidence: Evidence::Rewrite,
        },
        counters: row.counters,
        first_ns: row.first_ns,
        last_ns: row.last_ns,
    }
}

fn call(row: &EdgeDelta) -> CallDelta {
    let mut call = CallDelta::new(CallKey {
        window: row.key.window,
        client: row.key.client,
        server: row.key.server,
        source: CallSource::TracePair,
        protocol: CallProtocol::Http,
        operation: EntityId(77),
    });
    let flows = row.counters[Measure::Flows];
    call.counters[CallMeasure::Raw] = flows;
    call.client.record(row.last_ns % 1_000_000, flows);
    (call.first_ns, call.last_ns) = (row.first_ns, row.last_ns);
    call
}

fn commit(epoch: u64, watermark: Window, edges: Vec<EdgeDelta>) -> EpochCommit {
    let paths = edges.iter().filter(|row| row.key.client.0 % 2 == 0).map(path).collect();
    let calls = edges.iter().filter(|row| row.key.client.0 % 4 == 0).map(call).collect();
    let watermark = watermark.start() + 1;
    let clock = Nanos::MAX;
    EpochCommit { epoch, clock, watermark, edges, paths, calls, ..Default::default() }
}

/// Rows of the store summed over a range, in the way of the reader who has no live graph.
fn fold<R: Row>(rows: &[R], first: Window) -> Vec<R> {
    let mut sums: BTreeMap<R::Key, R::Sums> = BTreeMap::new();
    for row in rows {
        sums.entry(R::moved(row.key(), first)).or_insert_with(R::Sums::zero).merge(&row.sums());
    }
    sums.into_iter().filter(|(_, s)| !s.is_zero()).map(|(k, s)| R::new(k, s)).collect()
}

fn check(live: &Live, store: &MemoryStore) {
    let covered = live.read(NowGraph::covered);
    let first = LEN.window(covered.from);
    let (mut edges, mut paths, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    store.edges(covered, &mut |row| edges.push(*row)).unwrap();
    store.paths(covered, &mut |row| paths.push(row.clone())).unwrap();
    store.calls(covered, &mut |row| calls.push(row.clone())).unwrap();
    live.read(|now| {
        let mut live_edges: Vec<_> = now.edges().collect();
        live_edges.sort_by_key(|row| row.key);
        assert_eq!(live_edges, fold(&edges, first));
        let mut live_paths: Vec<_> = now.paths().collect();
        live_paths.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(live_paths, fold(&paths, first));
        let mut live_calls: Vec<_> = now.calls().collect();
        live_calls.sort_by_key(|row| row.key);
        assert_eq!(live_calls, fold(&calls, first));
        // And of some of the windows: from each that is held, to that after the next.
        let mut from = first;
        while from.start() < covered.to {
            let last = from.next(LEN).next(LEN);
            let within = |w: Window| (from..=last).contains(&w);
            let some: Vec<_> = edges.iter().filter(|r| within(r.key.window)).copied().collect();
            let mut of: Vec<_> = now.edges_of(from, last).collect();
            of.sort_by_key(|row| row.key);
            assert_eq!(of, fold(&some, from));
            let some: Vec<_> = paths.iter().filter(|r| within(r.key.window)).cloned().collect();
            let mut of: Vec<_> = now.paths_of(from, last).collect();
            of.sort_by(|a, b| a.key.cmp(&b.key));
            assert_eq!(of, fold(&some, from));
            let some: Vec<_> = calls.iter().filter(|r| within(r.key.window)).cloned().collect();
            let mut of: Vec<_> = now.calls_of(from, last).collect();
            of.sort_by_key(|row| row.key);
            assert_eq!(of, fold(&some, from));
            from = from.next(LEN);
        }
    });
}

#[test]
fn window_leaves_when_it_is_the_range_behind_the_watermark() {
    let mut store = MemoryStore::new(LEN);
    let live = Live::load(&store, RANGE).unwrap();
    for (epoch, n) in [(1, 0), (2, 3), (3, 6), (4, 7)] {
        let commit = commit(epoch, window(n), vec![edge(window(n), 2, 1)]);
        store.commit(&commit).unwrap();
        live.apply(&commit);
        check(&live, &store);
    }
    live.read(|now| {
        assert_eq!(now.covered(), TimeRange { from: window(1).start(), to: window(8).start() });
        let sum = now.edges().next().unwrap();
        assert_eq!(sum.counters[Measure::Flows], 3);
        assert_eq!((sum.first_ns, sum.last_ns), (window(3).start() + 3, window(7).start() + 4));
        assert_eq!(sum.key.window, window(1));
        assert_eq!((now.epoch(), now.counts()), (4, (1, 1)));
    });
    assert_eq!(live.version(), 5);
}

#[test]
fn stalled_source_does_not_empty_the_map() {
    let store = MemoryStore::new(LEN);
    let live = Live::load(&store, RANGE).unwrap();
    live.apply(&commit(1, window(0), vec![edge(window(0), 1, 1)]));
    // The clock is far ahead in every commit of this file; the watermark stands.
    live.apply(&commit(2, window(0), vec![]));
    assert_eq!(live.read(|now| now.edges().count()), 1);
}

#[test]
fn epoch_applied_twice_counts_once() {
    let live = Live::load(&MemoryStore::new(LEN), RANGE).unwrap();
    let one = commit(1, window(0), vec![edge(window(0), 1, 1)]);
    live.apply(&one);
    live.apply(&one);
    assert_eq!(live.version(), 2);
    assert_eq!(live.read(|now| now.edges().next().unwrap().counters[Measure::Flows]), 1);
}

#[test]
fn too_many_rows_shorten_the_range_and_say_so() {
    let range = NowRange { max_rows: 10, ..RANGE };
    let mut store = MemoryStore::new(LEN);
    let live = Live::load(&store, range).unwrap();
    for n in 0..4 {
        let rows = (0..4).map(|client| edge(window(n), client * 2 + 1, 1)).collect();
        let commit = commit(u64::from(n) + 1, window(n), rows);
        store.commit(&commit).unwrap();
        live.apply(&commit);
        check(&live, &store);
    }
    live.read(|now| {
        assert_eq!(now.covered().from, window(2).start());
        assert_eq!(now.shed(), 2);
    });
    let crowd = (0..20).map(|client| edge(window(5), client * 2 + 1, 1)).collect();
    let crowd = commit(5, window(5), crowd);
    store.commit(&crowd).unwrap();
    live.apply(&crowd);
    check(&live, &store);
    assert_eq!(live.read(|now| now.edges().count()), 20);
}

fn rows() -> impl Strategy<Value = Vec<EdgeDelta>> {
    let row = (0_u32..12, 0_u64..4, -2_i64..4, 0_u64..20_000_000_000).prop_map(
        |(n, client, flows, at)| {
            let mut row = edge(window(n), client, flows);
            // Events need not lie inside the window that counts them.
            row.first_ns = if flows < 0 { Nanos::MAX } else { window(n).start() + at };
            row.last_ns = if flows < 0 { 0 } else { row.first_ns + at / 2 };
            row
        },
    );
    proptest::collection::vec(row, 0..8)
}

proptest! {
    #[test]
    fn live_graph_is_the_sum_of_the_stored_rows(
        epochs in proptest::collection::vec((rows(), 0_u32..12, 0_u32..8), 1..12),
        reload_at in 0_usize..12,
        max_rows in prop_oneof![Just(1_000_usize), 1_usize..12],
    ) {
        let range = NowRange { max_rows, ..RANGE };
        let mut store = MemoryStore::new(LEN);
        let mut live = Live::load(&store, range).unwrap();
        for (at, (rows, watermark, expire)) in epochs.into_iter().enumerate() {
            if at == reload_at {
                live = Live::load(&store, range).unwrap();
                check(&live, &store);
            }
            let mut commit = commit(at as u64 + 1, window(watermark), rows);
            commit.expire_before = window(expire.saturating_sub(4));
            store.commit(&commit).unwrap();
            live.apply(&commit);
            check(&live, &store);
        }
    }
}
