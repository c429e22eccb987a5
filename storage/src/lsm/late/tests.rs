use portolan_model::{
    Counters, Direction, EdgeKey, EntityId, Layer, Measure, Proto, TimeRange, WindowLen,
};

use super::*;
use crate::verify::Check;
use crate::{CommitEpoch, LevelOptions, Options, Plan, ReadHistory, Span};

const FIRST: Window = Window(1_795_392_000);

fn row(n: u32, client: u64, flows: i64) -> EdgeDelta {
    let window = Window(FIRST.0 + n * 10);
    let mut counters = Counters::ZERO;
    counters[Measure::Flows] = flows;
    let key = EdgeKey {
        window,
        layer: Layer::Network,
        client: EntityId(client),
        server: EntityId(9),
        proto: Proto::TCP,
        port: 80,
        direction: Direction::Known,
    };
    let at = window.start() + client;
    EdgeDelta { key, counters, first_ns: at, last_ns: at }
}

fn open(dir: &std::path::Path, late_rows: usize) -> FjallStore {
    let levels = vec![LevelOptions { secs: 60, retention_secs: 0 }];
    let options = Options { late_rows, levels, ..Options::small() };
    FjallStore::open(dir, WindowLen::BASE, &options).unwrap()
}

/// Commits at a clock reading; what is a minute behind the tenth minute is sealed.
fn commit(store: &mut FjallStore, clock: Nanos, edges: Vec<EdgeDelta>) {
    let epoch = store.checkpoint.epoch + 1;
    let folded = Window(FIRST.0 + 600);
    let entities = [1, 2, 3, 9].map(|id| {
        let name = id.to_string();
        (EntityId(id), portolan_model::Entity::new(portolan_model::EntityKind::Workload, "", &name))
    });
    let commit = EpochCommit {
        epoch,
        clock,
        edges,
        folded,
        entities: entities.to_vec(),
        ..Default::default()
    };
    store.commit(&commit).unwrap();
}

/// Late rows and parts of edges at each level.
fn kept(store: &FjallStore) -> Vec<(usize, usize)> {
    let view = store.shared.view();
    let count = |map: &super::super::BucketMap, kind: u8| -> usize {
        let parts = map.parts(Window(0), Window(u32::MAX));
        parts.map(|(k, low, high)| rows(&view.snapshot, k, kind, low, high).count()).sum()
    };
    let of = |level: &LevelView| {
        (count(&level.late, keys::EDGE), count(&level.packs, packs::HEAD | keys::EDGE))
    };
    view.levels.iter().map(of).collect()
}

/// What each client did in the first minute, as far as was known at a clock reading, by windows of a level; and how many
/// windows may lack something.
fn known_at(store: &FjallStore, secs: u32, known_at: Nanos) -> (Vec<(u64, i64)>, usize) {
    let len = WindowLen::try_new(secs).unwrap();
    let range = TimeRange { from: FIRST.start(), to: FIRST.start() + 60_000_000_000 };
    let plan = Plan { spans: vec![Span { len, range }] };
    let select = Select { known_at: Some(known_at), ..Select::default() };
    let mut found = Vec::new();
    let mut add = |row: &EdgeDelta| found.push((row.key.client.0, row.counters[Measure::Flows]));
    let answer = store.history().edges(&plan, &select, &mut add).unwrap();
    (found, answer.unknown.len())
}

fn assert_sound(store: &FjallStore) {
    let found = store.verify(&mut |_| {}).unwrap();
    let broken: Vec<_> = found
        .iter()
        .filter(|found| found.broken > 0 && found.check != Check::OffsetsPresent)
        .collect();
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn many_late_rows_of_a_window_are_packed_at_once_and_change_the_same_sum() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 2);
    commit(&mut store, 1, vec![row(0, 1, 10), row(0, 2, 10)]);
    assert_eq!(kept(&store), [(0, 1), (0, 1)]);
    for n in 0..3 {
        commit(&mut store, 2 + n, vec![row(0, 1, 1)]);
    }
    assert_eq!(kept(&store), [(3, 1), (3, 1)], "one is not many");
    // One is taken away, and one comes.
    commit(&mut store, 5, vec![row(0, 2, -10), row(0, 3, 7)]);
    assert_eq!(kept(&store), [(3, 2), (3, 2)]);
    for secs in [10, 60] {
        assert_eq!(known_at(&store, secs, 5), (vec![(1, 13), (3, 7)], 0));
        assert_eq!(known_at(&store, secs, 4), (vec![(1, 13), (2, 10)], 1), "it says what it lacks");
    }
    assert_sound(&store);
    drop(store);
    let mut store = open(dir.path(), 2);
    assert_eq!(known_at(&store, 60, 5), (vec![(1, 13), (3, 7)], 0));
    commit(&mut store, 6, vec![row(0, 2, 1), row(1, 3, 1)]);
    assert_eq!(kept(&store), [(5, 2), (3, 3)], "many are so by the windows of a level");
    // The clock stands: where there is a part of this reading, there is no second one.
    commit(&mut store, 6, vec![row(0, 2, 1), row(0, 3, 1)]);
    assert_eq!(kept(&store), [(5, 3), (5, 3)]);
    assert_eq!(known_at(&store, 60, Nanos::MAX), (vec![(1, 13), (2, 2), (3, 9)], 0));
    assert_sound(&store);
    drop(store);
    // Nor after a start, and not with the clock behind.
    let mut store = open(dir.path(), 2);
    commit(&mut store, 5, vec![row(0, 2, 1), row(0, 3, 1)]);
    assert_eq!(kept(&store), [(7, 3), (7, 3)]);
    assert_eq!(known_at(&store, 60, Nanos::MAX), (vec![(1, 13), (2, 3), (3, 10)], 0));
}

#[test]
fn many_late_parts_become_one_and_leave_late_rows_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 2);
    commit(&mut store, 1, vec![row(0, 1, 1)]);
    let (mut most, mut single) = (0, 0);
    for n in 1..=40 {
        if n == 21 {
            drop(store);
            store = open(dir.path(), 2);
        }
        if n % 7 == 0 {
            commit(&mut store, n * 10, vec![row(0, 3, 1)]);
            single += 1;
        }
        let turn = if n % 2 == 0 { -1 } else { 1 };
        commit(&mut store, n * 10 + 5, vec![row(0, 1, 1), row(0, 2, turn)]);
        let kept = kept(&store);
        assert_eq!(kept[0], kept[1]);
        assert_eq!(kept[0].0, single as usize);
        most = most.max(kept[0].1);
        let mut found = vec![(1, 1 + n as i64), (2, i64::from(n % 2 == 1)), (3, single)];
        found.retain(|(_, flows)| *flows > 0);
        assert_eq!(known_at(&store, 60, Nanos::MAX), (found, 0));
    }
    assert_eq!(most, 1 + MANY_PARTS, "and parts do not pile up");
    assert_sound(&store);
}

#[test]
fn changes_that_come_to_nothing_keep_their_times() {
    let ask = |late_rows: usize| {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), late_rows);
        commit(&mut store, 1, vec![row(0, 2, 10)]);
        let early = EdgeDelta { first_ns: FIRST.start(), ..row(0, 2, 1) };
        commit(&mut store, 10, vec![early]);
        commit(&mut store, 20, vec![row(0, 2, -1)]);
        for n in 3..12 {
            commit(&mut store, n * 10, vec![row(0, 1, 1)]);
        }
        assert_sound(&store);
        let (history, mut found) = (store.history(), Vec::new());
        let plan = history.plan(TimeRange { from: FIRST.start(), to: FIRST.start() + 1 });
        history.edges(&plan, &Select::default(), &mut |row| found.push(*row)).unwrap();
        (kept(&store)[0], found)
    };
    let ((rows, packed), (no_rows, merged)) = (ask(usize::MAX), ask(1));
    assert_eq!((rows, no_rows), ((11, 1), (0, 4)));
    assert_eq!(packed, merged);
    assert_eq!((merged[1].first_ns, merged[1].counters[Measure::Flows]), (FIRST.start(), 10));
}
