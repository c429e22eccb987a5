use std::collections::BTreeSet;

use portolan_model::{
    Counters, Direction, EdgeKey, EpochCommit, Layer, Measure, Proto, TimeRange, Window,
};

use super::buckets::OPEN_SECS;
use super::*;
use crate::{CommitEpoch, Plan, ReadEdges, ReadHistory, Select, Span};

const LEN: WindowLen = WindowLen::BASE;

fn row(window: Window, flows: i64) -> EdgeDelta {
    let mut counters = Counters::ZERO;
    counters[Measure::Flows] = flows;
    let key = EdgeKey {
        window,
        layer: Layer::Network,
        client: EntityId(1),
        server: EntityId(2),
        proto: Proto::TCP,
        port: 80,
        direction: Direction::Known,
    };
    EdgeDelta { key, counters, first_ns: window.start(), last_ns: window.start() }
}

/// A row in each bucket named, and one in its last window.
fn commit(epoch: u64, buckets: &[u32]) -> EpochCommit {
    let windows = buckets.iter().flat_map(|n| {
        let first = n * OPEN_SECS;
        [Window(first), Window(first + OPEN_SECS - 10)]
    });
    EpochCommit { epoch, edges: windows.map(|w| row(w, 1)).collect(), ..Default::default() }
}

fn found(store: &FjallStore) -> Vec<(u32, i64)> {
    let mut found = Vec::new();
    store
        .edges(TimeRange::ALL, &mut |row| {
            found.push((row.key.window.0, row.counters[Measure::Flows]));
        })
        .unwrap();
    assert!(found.is_sorted(), "in the order of windows");
    found
}

fn keyspaces(store: &FjallStore) -> BTreeSet<String> {
    store.shared.db.list_keyspace_names().iter().map(ToString::to_string).collect()
}

#[test]
fn buckets_over_the_bound_share_a_keyspace_and_nothing_else_changes() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let mut store = FjallStore::open(dir.path(), LEN, &Options::small()).unwrap();
        store.open.set_max(2);
        store
    };
    let mut store = open();
    store.commit(&commit(1, &[10, 20])).unwrap();
    store.commit(&commit(2, &[5, 15, 20, 25, 198_000])).unwrap();
    let names = ["meta", "open-10", "open-20", "open-rest"];
    assert_eq!(keyspaces(&store), names.into_iter().map(String::from).collect());
    let all = found(&store);
    assert_eq!(all.len(), 12);
    assert_eq!(all.iter().filter(|(_, flows)| *flows == 2).count(), 2);
    drop(store);

    let mut store = open();
    assert_eq!(found(&store), all, "found again after it was closed");
    let expire_before = Window(21 * OPEN_SECS);
    store.commit(&EpochCommit { expire_before, ..commit(3, &[25]) }).unwrap();
    let kept: Vec<_> = all.iter().filter(|(w, _)| *w >= expire_before.0).collect();
    assert_eq!(found(&store).len(), kept.len());
    let names = ["meta", "open-rest"];
    assert_eq!(keyspaces(&store), names.into_iter().map(String::from).collect());
    // Rows that expired in the shared keyspace are removed, not only out of sight.
    let rest = store.shared.keyspace("open-rest").unwrap();
    let rows = rest.prefix([crate::keys::EDGE]).count();
    assert_eq!(rows, kept.len());
    // There is room again for a bucket of its own; one in the shared keyspace stays there.
    store.commit(&commit(4, &[25, 30])).unwrap();
    assert!(keyspaces(&store).contains("open-30"));
    assert!(!keyspaces(&store).contains("open-25"));
    drop((store, rest));
    assert_eq!(found(&open()).len(), kept.len() + 2);
}

#[test]
fn crash_between_the_commit_and_the_deletion_of_expired_files_is_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FjallStore::open(dir.path(), LEN, &Options::small()).unwrap();
    store.commit(&commit(1, &[10, 20])).unwrap();
    let doomed = store.shared.keyspace("open-10").unwrap();
    let expire_before = Window(20 * OPEN_SECS);
    store.commit(&EpochCommit { expire_before, ..commit(2, &[20]) }).unwrap();
    let expected = found(&store);
    assert_eq!(expected.len(), 2);
    drop((store, doomed));

    // As if the keyspace had never been deleted: its rows are back, the checkpoint is as it was.
    let db = Database::builder(dir.path()).open().unwrap();
    let back = db.keyspace("open-10", KeyspaceCreateOptions::default).unwrap();
    let mut key = Vec::new();
    crate::keys::put_edge(&mut key, &row(Window(10 * OPEN_SECS), 1).key);
    back.insert(key, [0]).unwrap();
    back.insert(crate::keys::ledger(1), [0]).unwrap();
    drop((db, back));

    let store = FjallStore::open(dir.path(), LEN, &Options::small()).unwrap();
    assert_eq!(found(&store), expected);
    assert!(!keyspaces(&store).contains("open-10"), "deleted at last");
}

#[test]
fn expired_files_are_freed_when_the_last_reader_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FjallStore::open(dir.path(), LEN, &Options::small()).unwrap();
    store.commit(&commit(1, &[10, 20])).unwrap();
    let before = store.shared.view();
    let expire_before = Window(20 * OPEN_SECS);
    store.commit(&EpochCommit { expire_before, ..commit(2, &[20]) }).unwrap();
    // Someone still reads the epoch before: it is all there.
    let rows: usize = before
        .open
        .keyspaces()
        .map(|k| fjall::Readable::prefix(&before.snapshot, k, [crate::keys::EDGE]).count())
        .sum();
    assert_eq!(rows, 4);
    let trees = || std::fs::read_dir(dir.path().join("keyspaces")).unwrap().count();
    let held = trees();
    drop(before);
    assert_eq!(trees(), held - 1);
}

#[test]
fn epoch_that_fails_half_way_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FjallStore::open(dir.path(), LEN, &Options::small()).unwrap();
    // Enough rows for the window to be held in memory, and a row in a later bucket.
    let crowd = |epoch: u64| {
        let mut commit = commit(epoch, &[10, 20]);
        for n in 0..400 {
            let mut row = row(Window(10 * OPEN_SECS), 1);
            row.key.client = EntityId(n + 10);
            commit.edges.push(row);
        }
        commit.edges.sort_by_key(|row| row.key);
        commit
    };
    store.commit(&crowd(1)).unwrap();
    let before = found(&store);
    let later = store.shared.keyspace("open-20").unwrap();
    let mut key = Vec::new();
    crate::keys::put_edge(&mut key, &row(Window(20 * OPEN_SECS), 1).key);
    let good = later.get(&key).unwrap().unwrap();
    later.insert(key.clone(), [0xff]).unwrap();
    assert!(matches!(store.commit(&crowd(2)), Err(Error::Damaged { .. })));
    assert_eq!(found(&store), before, "readers still see the epoch before");
    later.insert(key, good).unwrap();
    store.commit(&crowd(2)).unwrap();
    let doubled: Vec<_> = before.iter().map(|(w, flows)| (*w, flows * 2)).collect();
    assert_eq!(found(&store), doubled);
}

#[test]
fn window_merged_from_one_that_does_not_read_is_named_at_every_level() {
    let dir = tempfile::tempdir().unwrap();
    let level = |secs, retention_secs| LevelOptions { secs, retention_secs };
    let levels = vec![level(60, 0), level(600, 0)];
    let options = Options { levels, ..Options::small() };
    let mut store = FjallStore::open(dir.path(), LEN, &options).unwrap();
    let first = Window(1_200_000);
    let upto = |epoch: u64, secs: u32, edges: Vec<EdgeDelta>| {
        let folded = Window(first.0 + secs);
        EpochCommit { epoch, edges, folded, ..Default::default() }
    };
    // Six base windows, sealed but for the last: their minute is not.
    let rows = (0..6).map(|n| row(Window(first.0 + n * 10), 1 << n)).collect();
    store.commit(&upto(1, 80, rows)).unwrap();
    assert_eq!(
        store.levels.iter().map(|l| l.sealed.0).collect::<Vec<_>>(),
        [first.0 + 50, first.0, first.0]
    );
    // A byte of the second one's slice turns.
    let broken = Window(first.0 + 10);
    let packs = store.levels[0].packs.keyspaces().next().unwrap().clone();
    let slice = crate::keys::window(0x20 | crate::keys::EDGE, broken);
    let (key, value) = packs.prefix(slice).next().unwrap().into_inner().unwrap();
    let mut turned = value.to_vec();
    *turned.last_mut().unwrap() ^= 1;
    packs.insert(key, turned).unwrap();
    drop(packs);
    store.commit(&upto(2, 700, Vec::new())).unwrap();
    let ask = |store: &FjallStore, secs: u32| {
        let len = WindowLen::try_new(secs).unwrap();
        let window = len.window(first.start());
        let range = TimeRange { from: window.start(), to: window.end(len) };
        let mut flows = 0;
        let plan = Plan { spans: vec![Span { len, range }] };
        let add = &mut |row: &EdgeDelta| flows += row.counters[Measure::Flows];
        let answer = store.history().edges(&plan, &Select::default(), add).unwrap();
        (flows, answer.unreadable == [range])
    };
    let check = |store: &FjallStore| {
        assert_eq!(ask(store, 60), (1 + 4 + 8 + 16 + 32, true), "the minute");
        assert_eq!(ask(store, 600), (1 + 4 + 8 + 16 + 32, true), "the ten minutes");
        let tallies = &store.checkpoint.tallies;
        assert_eq!(tallies.iter().find(|(n, _)| &**n == holes::TALLY).unwrap().1, 2);
    };
    check(&store);
    drop(store);
    let mut store = FjallStore::open(dir.path(), LEN, &options).unwrap();
    check(&store);
    // What comes later is added all the same; the gap stays named.
    store
        .commit(&EpochCommit { edges: vec![row(broken, 100)], ..upto(3, 700, Vec::new()) })
        .unwrap();
    assert_eq!(ask(&store, 600), (161, true));
}

#[test]
fn store_over_its_bound_shortens_the_finest_level_first_and_counts_it() {
    const SPAN: u32 = 6 * 3_600;
    let dir = tempfile::tempdir().unwrap();
    let levels = vec![LevelOptions { secs: 60, retention_secs: 0 }];
    // Whatever it takes is too much.
    let options = Options { levels, max_bytes: 1, ..Options::small() };
    let mut store = FjallStore::open(dir.path(), LEN, &options).unwrap();
    let first = Window(SPAN * 50_000);
    let mut epoch = 0;
    let mut commit = |store: &mut FjallStore, edges: Vec<EdgeDelta>, folded: u32| {
        epoch += 1;
        let folded = Window(first.0 + folded);
        store.commit(&EpochCommit { epoch, edges, folded, ..Default::default() }).unwrap();
    };
    let expired = |store: &FjallStore| -> Vec<u32> {
        store.levels.iter().map(|l| l.expired.0.saturating_sub(first.0)).collect()
    };
    // A row in each of three spans, all sealed but the last; fifteen epochs.
    let rows = (0..3).map(|n| row(Window(first.0 + n * SPAN), 1)).collect();
    commit(&mut store, rows, 2 * SPAN + 120);
    for _ in 0..14 {
        commit(&mut store, Vec::new(), 2 * SPAN + 120);
    }
    assert_eq!(expired(&store), [0, 0], "nobody has looked yet");
    commit(&mut store, Vec::new(), 2 * SPAN + 120);
    assert_eq!(expired(&store), [SPAN, 0]);
    for _ in 0..16 {
        commit(&mut store, Vec::new(), 2 * SPAN + 120);
    }
    assert_eq!(expired(&store), [2 * SPAN, 0]);
    // The finest holds nothing but its newest span: the next level gives.
    let names = keyspaces(&store);
    assert!(!names.contains(&format!("pack-10-{}", 50_001)), "{names:?}");
    commit(&mut store, vec![row(Window(first.0 + 3 * SPAN), 1)], 3 * SPAN);
    let tally = |store: &FjallStore| -> Vec<(String, i64)> {
        let all = store.checkpoint.tallies.iter();
        all.filter(|(name, _)| name.starts_with("shortened"))
            .map(|(n, by)| (n.to_string(), *by))
            .collect()
    };
    assert_eq!(tally(&store), [("shortened/10s".to_string(), i64::from(2 * SPAN))]);
    // The minutes hold what the finer level gave up.
    let history = store.history();
    let plan: Plan =
        history.plan(TimeRange { from: first.start(), to: first.start() + 60_000_000_000 });
    let mut flows = 0;
    history
        .edges(&plan, &Select::default(), &mut |row| flows += row.counters[Measure::Flows])
        .unwrap();
    assert_eq!((plan.coarsest().map(WindowLen::secs), flows), (Some(60), 1));
}
