//! Levels: windows are packed and merged, changes come late, and every level has the sum of all changes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use portolan_model::{
    CallDelta, CallKey, EdgeDelta, EdgeKey, EntityId, EpochCommit, Nanos, PathDelta, PathKey,
    TimeRange, Window, WindowLen,
};
use portolan_storage::{
    CommitEpoch, FjallStore, LevelOptions, Options, Plan, ReadCheckpoint, ReadEdges, ReadHistory,
    Select, Span,
};
use proptest::prelude::*;

#[path = "support/rows.rs"]
mod rows;
use rows::*;

const LEVELS: [u32; 3] = [10, 60, 600];

fn options(retention: [u32; 2]) -> Options {
    let level = |secs, retention_secs| LevelOptions { secs, retention_secs };
    Options { levels: vec![level(60, retention[0]), level(600, retention[1])], ..Options::small() }
}

fn open(path: &Path) -> FjallStore {
    FjallStore::open(path, LEN, &options([0, 0])).unwrap()
}

/// Late rows are packed from so many on.
fn open_with(path: &Path, late_rows: usize) -> FjallStore {
    let options = Options { late_rows, ..options([0, 0]) };
    FjallStore::open(path, LEN, &options).unwrap()
}

/// All changes, added up one by one.
#[derive(Default)]
struct Oracle {
    edges: BTreeMap<EdgeKey, EdgeDelta>,
    paths: BTreeMap<PathKey, PathDelta>,
    calls: BTreeMap<CallKey, CallDelta>,
}

impl Oracle {
    fn add(&mut self, commit: &EpochCommit) {
        for row in &commit.edges {
            self.edges.entry(row.key).and_modify(|sum| sum.merge(row)).or_insert(*row);
        }
        for row in &commit.paths {
            let entry = self.paths.entry(row.key.clone());
            entry.and_modify(|sum| sum.merge(row)).or_insert_with(|| row.clone());
        }
        for row in &commit.calls {
            let entry = self.calls.entry(row.key);
            entry.and_modify(|sum| sum.merge(row)).or_insert_with(|| row.clone());
        }
    }

    /// The sums over a range, each in its first window.
    fn sum(&self, range: TimeRange) -> (Vec<EdgeDelta>, Vec<PathDelta>, Vec<CallDelta>) {
        let window = LEN.window(range.from);
        let inside = |w: Window| w.start() >= range.from && w.start() < range.to;
        let mut sum = Self::default();
        let commit = EpochCommit {
            edges: self.edges.values().filter(|row| inside(row.key.window)).copied().collect(),
            paths: self.paths.values().filter(|row| inside(row.key.window)).cloned().collect(),
            calls: self.calls.values().filter(|row| inside(row.key.window)).cloned().collect(),
            ..EpochCommit::default()
        };
        let moved = EpochCommit {
            edges: commit
                .edges
                .into_iter()
                .map(|row| EdgeDelta { key: EdgeKey { window, ..row.key }, ..row })
                .collect(),
            paths: commit
                .paths
                .into_iter()
                .map(|row| PathDelta { key: PathKey { window, ..row.key.clone() }, ..row })
                .collect(),
            calls: commit
                .calls
                .into_iter()
                .map(|row| CallDelta { key: CallKey { window, ..row.key }, ..row })
                .collect(),
            ..EpochCommit::default()
        };
        sum.add(&moved);
        (
            sum.edges.into_values().filter(|row| !row.counters.is_zero()).collect(),
            sum.paths.into_values().filter(|row| !row.counters.is_zero()).collect(),
            sum.calls.into_values().filter(|row| !row.is_zero()).collect(),
        )
    }
}

fn found(
    store: &FjallStore,
    plan: &Plan,
    select: &Select<'_>,
) -> (Vec<EdgeDelta>, Vec<PathDelta>, Vec<CallDelta>) {
    let history = store.history();
    let (mut edges, mut paths, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    assert!(history.edges(plan, select, &mut |row| edges.push(*row)).unwrap().is_whole());
    assert!(history.paths(plan, select, &mut |row| paths.push(row.clone())).unwrap().is_whole());
    assert!(history.calls(plan, select, &mut |row| calls.push(row.clone())).unwrap().is_whole());
    (edges, paths, calls)
}

/// Checks the store at every level, by plans over many ranges, and by base windows.
fn check(store: &FjallStore, oracle: &Oracle) {
    let history = store.history();
    for level in history.levels() {
        let end = level.end.0.min(window(2_000).0);
        let first = level.len.window(window(0).start());
        let range = TimeRange { from: first.start(), to: Window(end.max(first.0)).start() };
        if range.from < range.to {
            let plan = Plan { spans: vec![Span { len: level.len, range }] };
            let found = found(store, &plan, &Select::default());
            assert_eq!(found, oracle.sum(range), "level of {} s", level.len.secs());
        }
    }
    for (from, to) in [(0, 2_000), (1, 61), (7, 130), (59, 60), (60, 120), (3, 6)] {
        let range = TimeRange { from: window(from).start(), to: window(to).start() };
        let plan = history.plan(range);
        assert_eq!(plan.covered(), Some(range));
        assert_eq!(found(store, &plan, &Select::default()), oracle.sum(range), "{plan:?}");
        let entity = Some(EntityId(2));
        let mut expected = oracle.sum(range);
        let has =
            |client: EntityId, server: EntityId| entity == Some(client) || entity == Some(server);
        expected.0.retain(|row| has(row.key.client, row.key.server));
        expected.1.retain(|row| has(row.key.client, row.key.server));
        expected.2.retain(|row| has(row.key.client, row.key.server));
        assert_eq!(found(store, &plan, &Select { entity, ..Select::default() }), expected);
    }
    let mut base = Vec::new();
    store.edges(TimeRange::ALL, &mut |row| base.push(*row)).unwrap();
    let present = oracle.edges.values().filter(|row| !row.counters.is_zero());
    assert_eq!(base, present.copied().collect::<Vec<_>>());
}

/// Changes that never take away all of a row at once, so that its times are those of its events.
fn changes() -> impl Strategy<Value = Vec<(u32, u64, u64, i64)>> {
    prop::collection::vec((0_u32..200, 1_u64..4, 1_u64..4, 1_i64..9), 0..12)
}

fn epoch(epoch: u64, folded: u32, changes: &[(u32, u64, u64, i64)]) -> EpochCommit {
    let mut commit = commit(epoch, vec![]);
    commit.folded = window(folded);
    commit.clock = Nanos::from(epoch) * 1_000;
    for (n, client, server, count) in changes {
        let w = window(*n);
        commit.edges.push(edge(w, *client, *server, *count));
        if client == server {
            commit.paths.push(path(w, *client, &[7], *server, *count));
        } else {
            commit.calls.push(call(w, *client, *server, client + server, *count));
        }
    }
    let mut tidy = Oracle::default();
    tidy.add(&commit);
    commit.edges = tidy.edges.into_values().collect();
    commit.paths = tidy.paths.into_values().collect();
    commit.calls = tidy.calls.into_values().collect();
    commit
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_level_has_the_sum_of_all_changes_whatever_their_order(
        epochs in prop::collection::vec((changes(), 0_u32..40), 1..14),
        reopen_at in 0_usize..14,
        late_rows in prop_oneof![Just(1_usize), 2_usize..6, Just(usize::MAX)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let mut store = open_with(&path, late_rows);
        let mut oracle = Oracle::default();
        let mut folded = 0;
        for (at, (changes, on)) in epochs.into_iter().enumerate() {
            if at == reopen_at {
                drop(store);
                store = open_with(&path, late_rows);
            }
            folded += on;
            let commit = epoch(at as u64 + 1, folded, &changes);
            oracle.add(&commit);
            store.commit(&commit).unwrap();
            check(&store, &oracle);
        }
        drop(store);
        check(&open(&path), &oracle);
    }
}

#[test]
fn windows_are_sealed_once_they_are_behind_what_is_folded() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let all: Vec<_> = (0..130).map(|n| (n, 1, 2, 1)).collect();
    store.commit(&epoch(1, 0, &all)).unwrap();
    let sealed = |store: &FjallStore| -> Vec<u32> {
        store
            .history()
            .levels()
            .iter()
            .map(|level| level.sealed.0.saturating_sub(T0) / 10)
            .collect()
    };
    assert_eq!(sealed(&store), [0, 0, 0]);
    store.commit(&epoch(2, 70, &[])).unwrap();
    // Thirty seconds later than the fold, and whole windows of each level.
    assert_eq!(sealed(&store), [67, 66, 60]);
    store.commit(&epoch(3, 130, &[])).unwrap();
    assert_eq!(sealed(&store), [127, 126, 120]);
    let plan = store.history().plan(TimeRange { from: window(0).start(), to: window(130).start() });
    let lens: Vec<u32> = plan.spans.iter().map(|span| span.len.secs()).collect();
    assert_eq!(lens, [600, 60, 10]);
    assert_eq!((plan.windows(), plan.coarsest()), (2 + 1 + 4, WindowLen::try_new(600)));
    assert_eq!(LEVELS.len(), store.history().levels().len());
}

#[test]
fn each_level_expires_by_itself_and_a_change_is_kept_by_those_that_hold_its_window() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FjallStore::open(dir.path(), LEN, &options([3_600, 0])).unwrap();
    let all: Vec<_> = (0..1_000).map(|n| (n, 1, 2, 1)).collect();
    let at = |epoch_number: u64, n: u32, changes: &[(u32, u64, u64, i64)]| {
        let mut commit = epoch(epoch_number, n, changes);
        (commit.clock, commit.watermark) = (window(n).start(), window(n).start());
        commit.expire_before = window(n.saturating_sub(60));
        commit
    };
    store.commit(&at(1, 0, &all)).unwrap();
    // A bounded number of windows is packed after each epoch.
    for n in 2..20 {
        store.commit(&at(n, 1_000, &[])).unwrap();
    }
    store.commit(&at(20, 1_000, &[(5, 1, 2, 1), (700, 1, 2, 1), (950, 1, 2, 1)])).unwrap();
    let firsts: Vec<u32> =
        store.history().levels().iter().map(|l| l.first.0.saturating_sub(T0) / 10).collect();
    assert_eq!(firsts, [940, 636, 0]);
    let sum = |from, to| -> i64 {
        let history = store.history();
        let plan = history.plan(TimeRange { from: window(from).start(), to: window(to).start() });
        let mut sum = 0;
        let add = &mut |row: &EdgeDelta| sum += row.counters[portolan_model::Measure::Flows];
        history.edges(&plan, &Select::default(), add).unwrap();
        sum
    };
    assert_eq!(sum(0, 60), 61, "only the coarsest level holds it");
    assert_eq!(sum(690, 710), 25, "minutes hold it: beyond the ends of the range");
    assert_eq!(sum(0, 1_000), 1_003);
    assert_eq!(store.checkpoint().unwrap().tallies, [], "no change was dropped");
}

#[test]
fn what_was_committed_later_can_be_left_out_where_windows_were_sealed_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.commit(&epoch(1, 70, &[(0, 1, 2, 5), (65, 1, 2, 3), (68, 1, 2, 1)])).unwrap();
    store.commit(&epoch(2, 70, &[(0, 1, 2, 2)])).unwrap();
    store.commit(&epoch(3, 70, &[(0, 1, 2, 4)])).unwrap();
    // As it is planned without a word of what was known.
    let asked = |known_at: u64, to: u32| {
        let history = store.history();
        let range = TimeRange { from: window(0).start(), to: window(to).start() };
        let mut sum = 0;
        let add = &mut |row: &EdgeDelta| sum += row.counters[portolan_model::Measure::Flows];
        let select = Select { known_at: Some(known_at), ..Select::default() };
        let answer = history.edges(&history.plan(range), &select, add).unwrap();
        (sum, answer.unknown.len())
    };
    assert_eq!(asked(3_000, 66), (14, 0));
    assert_eq!(asked(2_999, 66), (10, 0));
    assert_eq!(asked(1_000, 66), (8, 0));
    assert_eq!(asked(999, 66), (0, 2), "not sealed by then: said so, not guessed");
    assert_eq!(asked(2_000, 70), (10, 1), "the open window cannot be told apart");
    assert_eq!(asked(3_000, 70), (15, 0));
}

#[test]
fn what_was_known_before_a_coarse_window_was_packed_is_answered_by_finer_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    // A connection in each of ten minutes; what is ten windows behind is packed, two minutes after another.
    for n in 1..=80 {
        let mut commit = epoch(u64::from(n), n, &[(n - 1, 1, 2, 1)]);
        commit.folded = window(n.saturating_sub(10));
        store.commit(&commit).unwrap();
    }
    let asked = |known_at: u64| {
        let history = store.history();
        let range = TimeRange { from: window(0).start(), to: window(60).start() };
        let mut sum = 0;
        let add = &mut |row: &EdgeDelta| sum += row.counters[portolan_model::Measure::Flows];
        let plan = portolan_storage::plan(&history.levels_at(Some(known_at)).unwrap(), range);
        let select = Select { known_at: Some(known_at), ..Select::default() };
        let answer = history.edges(&plan, &select, add).unwrap();
        (sum, answer.unknown.len(), plan.windows())
    };
    for n in 13..=72 {
        let sealed = n as usize - 13;
        let minutes = sealed / 6;
        let windows = minutes + (60 - minutes * 6);
        assert_eq!(asked(n * 1_000), (sealed as i64, 60 - sealed, windows as u64), "at {n}");
    }
    assert_eq!(asked(73_000), (60, 0, 1));
    assert_eq!(asked(80_000), (60, 0, 1));
}
