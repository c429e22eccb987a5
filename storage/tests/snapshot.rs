//! A snapshot opens as a store, holds the last committed epoch, and takes the local topics along.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use portolan_model::{EpochCommit, TimeRange};
use portolan_storage::{
    CommitEpoch, Error, FjallStore, LOCAL, LevelOptions, LocalLimits, LocalTopics, Options,
    ReadCheckpoint, SnapshotMade, SnapshotStep, local_topics, prepare_snapshot,
};

#[path = "support/rows.rs"]
mod rows;
use rows::*;

fn options() -> Options {
    let level = |secs| LevelOptions { secs, retention_secs: 0 };
    Options { memtable_bytes: 64 << 10, levels: vec![level(60), level(600)], ..Options::small() }
}

fn open(path: &Path) -> FjallStore {
    FjallStore::open(path, LEN, &options()).unwrap()
}

/// Epoch `n` counts in two windows, and folds what lies a minute behind.
fn nth(epoch: u64) -> EpochCommit {
    let at = epoch as u32 * 3;
    let mut commit =
        commit(epoch, vec![edge(window(at), 1, 2, 1), edge(window(at + 1), 1, 3, epoch as i64)]);
    commit.positions = vec![position(0, epoch as i64 * 10)];
    commit.folded = window(at.saturating_sub(6));
    commit
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    (dir, path)
}

fn snapshot(store: &mut FjallStore, to: &Path) -> Result<SnapshotMade, Error> {
    prepare_snapshot(store.path(), to)?;
    store.begin_snapshot()?.finish(to, &mut |_| {})
}

#[test]
fn snapshot_goes_on_from_its_offsets_and_its_store_from_its_own() {
    let (dir, path) = scratch();
    let mut store = open(&path);
    for epoch in 1..=60 {
        store.commit(&nth(epoch)).unwrap();
    }
    let to = dir.path().join("backup").join("monday");
    prepare_snapshot(&path, &to).unwrap();
    let pending = store.begin_snapshot().unwrap();
    // What is committed while it is checked and moved is not in it.
    store.commit(&nth(61)).unwrap();
    let mut steps = Vec::new();
    let made = pending.finish(&to, &mut |step| steps.push(step)).unwrap();
    assert_eq!((made.epoch, made.shared), (60, true));
    assert_eq!(steps[0], SnapshotStep::Checking);
    let all = SnapshotStep::Moving { done: made.bytes, total: made.bytes };
    assert_eq!(steps.last(), Some(&all));
    store.commit(&nth(62)).unwrap();

    let mut copy = open(&to);
    let checkpoint = copy.checkpoint().unwrap();
    assert_eq!((checkpoint.epoch, &*checkpoint.positions), (60, &[position(0, 600)][..]));
    for epoch in 61..=62 {
        copy.commit(&nth(epoch)).unwrap();
    }
    assert_eq!(edges(&copy, TimeRange::ALL), edges(&store, TimeRange::ALL));
    assert_eq!(copy.checkpoint().unwrap(), store.checkpoint().unwrap());
    let beside: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(beside.len(), 2, "nothing half-made is left: {beside:?}");
}

#[test]
fn store_at_rest_opens_with_the_windows_and_levels_that_it_has() {
    let (dir, path) = scratch();
    let minute = portolan_model::WindowLen::try_new(60).unwrap();
    let level = LevelOptions { secs: 3_600, retention_secs: 3_600 };
    let options = Options { levels: vec![level], ..Options::small() };
    let mut store = FjallStore::open(&path, minute, &options).unwrap();
    let mut first = commit(1, vec![edge(minute.window(window(0).start()), 1, 2, 1)]);
    first.folded = window(10_000);
    store.commit(&first).unwrap();
    drop(store);
    let mut store = FjallStore::open_stored(&path, &Options::small()).unwrap();
    let levels: Vec<u32> = portolan_storage::ReadHistory::history(&store)
        .levels()
        .iter()
        .map(|level| level.len.secs())
        .collect();
    assert_eq!(levels, [60, 3_600]);
    snapshot(&mut store, &dir.path().join("copy")).unwrap();

    let nothing = dir.path().join("nothing");
    let absent = FjallStore::open_stored(&nothing, &Options::small()).map(|_| ());
    assert!(matches!(absent, Err(Error::Absent { .. })));
    assert!(!nothing.exists());
}

#[test]
fn target_that_cannot_be_is_refused_by_name_before_anything_is_done() {
    let (dir, path) = scratch();
    let mut store = open(&path);
    store.commit(&nth(1)).unwrap();
    let mut refused = |to: &Path| snapshot(&mut store, to).unwrap_err().to_string();

    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("file"), "x").unwrap();
    assert!(refused(&full).ends_with("full: it exists and is not empty"));
    assert!(refused(&full.join("file")).contains("is not a directory"));
    assert!(refused(&path.join("inside")).ends_with("it lies inside the store"));
    assert!(!path.join("inside").exists());
    let beside = dir.path().join("beside");
    fs::create_dir_all(local_topics(&beside).join("old")).unwrap();
    assert!(refused(&beside).ends_with("beside.local: it exists and is not empty"));
    assert!(!beside.exists());
    fs::create_dir(dir.path().join("made")).unwrap();
    assert_eq!(snapshot(&mut store, &dir.path().join("made")).unwrap().epoch, 1);
}

#[test]
fn local_topics_come_along_and_are_not_shared() {
    let (dir, path) = scratch();
    let mut store = open(&path);
    let limits = LocalLimits { segment_bytes: 100, ..LocalLimits::default() };
    let checkpoint = store.checkpoint().unwrap();
    let logs = LocalTopics::open(&local_topics(&path), &["t"], limits, &checkpoint).unwrap();
    let log = &logs.all()[0];
    for n in 0_u8..10 {
        log.append(u64::from(n), &[&[n; 40]]).unwrap();
    }
    let mut first = nth(1);
    first.positions = vec![position(0, 7)];
    first.positions[0].partition.cluster = LOCAL.into();
    first.positions[0].partition.topic = "t".into();
    store.commit(&first).unwrap();
    let to = dir.path().join("copy");
    snapshot(&mut store, &to).unwrap();
    // Both go on, each for itself.
    log.append(10, &[&[10; 40]]).unwrap();

    let copy = open(&to);
    let checkpoint = copy.checkpoint().unwrap();
    let logs = LocalTopics::open(&local_topics(&to), &["t"], limits, &checkpoint).unwrap();
    assert_eq!(logs.all()[0].extent(), (0, 10));
    logs.all()[0].append(99, &[&[99; 40]]).unwrap();
    let stamps = |log: &portolan_storage::LocalTopic| -> Vec<u64> {
        let mut stamps = Vec::new();
        let mut next = 0;
        loop {
            let read = log.read(next, 1_000).unwrap();
            if read.records.is_empty() {
                return stamps;
            }
            stamps.extend(read.records.iter().map(|record| record.stamp));
            next = read.next;
        }
    };
    assert_eq!(stamps(log)[8..], [8, 9, 10]);
    assert_eq!(stamps(&logs.all()[0])[8..], [8, 9, 99]);
}

#[test]
fn what_a_snapshot_that_was_cut_off_left_is_removed_by_the_next_open() {
    let (dir, path) = scratch();
    let mut store = open(&path);
    store.commit(&nth(1)).unwrap();
    drop(store.begin_snapshot().unwrap());
    drop(store);
    let names = || -> Vec<_> {
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect()
    };
    assert_eq!(names().len(), 2, "{:?}", names());
    let policy = portolan_storage::OnDamage::Refuse;
    portolan_storage::open_or_recover(&path, LEN, &options(), policy, 0).unwrap();
    assert_eq!(names().len(), 1, "{:?}", names());
}
