//! Windows whose bytes do not read: each is named once, set apart for good, and all others are served.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portolan_model::{EdgeDelta, EpochCommit, Measure, TimeRange, Window, WindowLen};
use portolan_storage::{
    CommitEpoch, Error, FjallStore, LevelOptions, Options, Plan, ReadCheckpoint, ReadEdges,
    ReadHistory, Select, Span,
};

#[path = "support/rows.rs"]
mod rows;
use rows::*;

fn options() -> Options {
    let level = |secs| LevelOptions { secs, retention_secs: 0 };
    Options { levels: vec![level(60), level(600)], ..Options::small() }
}

fn open(path: &Path) -> Result<FjallStore, Error> {
    FjallStore::open(path, LEN, &options())
}

/// Rows in a window of its own, and in one that is packed already.
fn nth(n: u64) -> EpochCommit {
    let at = n as u32;
    let mut edges: Vec<_> = (1..40).map(|client| edge(window(at), client, n % 9 + 1, 3)).collect();
    edges.extend((at > 40).then(|| edge(window(at - 40), 1, 99, 1)));
    edges.sort_by_key(|row| row.key);
    let mut commit = commit(n, edges);
    commit.positions = vec![position(0, n as i64)];
    commit.folded = window(at.saturating_sub(6));
    commit
}

const EPOCHS: u64 = 150;

fn stored() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut store = open(&path).unwrap();
    for n in 1..=EPOCHS {
        store.commit(&nth(n)).unwrap();
    }
    (dir, path)
}

/// The edges of a level, window by window, and the windows that the answer names.
fn level(store: &FjallStore, secs: u32) -> (BTreeMap<Window, Vec<EdgeDelta>>, BTreeSet<Window>) {
    let history = store.history();
    let len = WindowLen::try_new(secs).unwrap();
    let level = history.levels().into_iter().find(|level| level.len == len).unwrap();
    let end = level.end.min(len.window(window(EPOCHS as u32 + 40).start()));
    let range = TimeRange { from: len.window(window(0).start()).start(), to: end.start() };
    let (mut rows, mut named) = (BTreeMap::new(), BTreeSet::new());
    let mut at = len.window(range.from);
    while at.start() < range.to {
        let range = TimeRange { from: at.start(), to: at.end(len) };
        let plan = Plan { spans: vec![Span { len, range }] };
        let mut here = Vec::new();
        let answer = history.edges(&plan, &Select::default(), &mut |row| here.push(*row)).unwrap();
        named.extend(answer.unreadable.iter().map(|range| len.window(range.from)));
        rows.insert(at, here);
        at = at.next(len);
    }
    // A question about all of it names the same.
    let plan = Plan { spans: vec![Span { len, range }] };
    let answer = history.edges(&plan, &Select::default(), &mut |_| {}).unwrap();
    let whole: Vec<_> = answer.unreadable.iter().map(|range| len.window(range.from)).collect();
    let once: BTreeSet<_> = whole.iter().copied().collect();
    assert_eq!(whole.len(), once.len(), "each is named once");
    assert_eq!(once, named);
    (rows, named)
}

fn tally(store: &FjallStore, of: &str) -> i64 {
    let tallies = store.checkpoint().unwrap().tallies;
    tallies.iter().find(|(name, _)| &**name == of).map_or(0, |(_, total)| *total)
}

/// Changes what the engine has under the keys of some keyspaces.
fn tamper(path: &Path, keyspace: &str, change: impl Fn(&[u8], &mut Vec<u8>)) {
    let db = fjall::Database::builder(path).open().unwrap();
    for name in db.list_keyspace_names().iter().filter(|name| name.starts_with(keyspace)) {
        let keyspace = db.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap();
        let rows: Vec<_> = keyspace.iter().map(|guard| guard.into_inner().unwrap()).collect();
        for (key, value) in rows {
            let mut new = value.to_vec();
            change(&key, &mut new);
            if new != *value {
                keyspace.insert(key, new).unwrap();
            }
        }
    }
}

#[test]
fn torn_part_is_named_once_and_not_read_again() {
    let (_dir, path) = stored();
    let (before, none) = level(&open(&path).unwrap(), 60);
    assert_eq!(none, BTreeSet::new());
    let bad = Window(T0 + 300);
    let flip = |key: &[u8], value: &mut Vec<u8>| {
        if key[0] == 0x21 && key[2..6] == bad.0.to_be_bytes() {
            value[9] ^= 1;
        }
    };
    tamper(&path, "pack-60-", flip);
    let mut store = open(&path).unwrap();
    let (after, named) = level(&store, 60);
    assert_eq!(named, [bad].into());
    let good = |(window, _): &(&Window, &Vec<EdgeDelta>)| **window != bad;
    assert!(after.iter().filter(good).eq(before.iter().filter(good)));
    assert_eq!(store.history().apart(), [], "a reader writes nothing");
    store.commit(&nth(EPOCHS + 1)).unwrap();
    let apart = |store: &FjallStore| -> Vec<_> {
        store.history().apart().iter().map(|a| (a.len.secs(), a.window, a.rows)).collect()
    };
    assert_eq!(apart(&store), [(60, bad, "edges")]);
    assert_eq!(tally(&store, "set_apart/windows"), 1);
    store.commit(&nth(EPOCHS + 2)).unwrap();
    assert_eq!(tally(&store, "set_apart/windows"), 1, "once");
    drop(store);

    // As good as new, and still not read: what did not read once is not trusted again.
    tamper(&path, "pack-60-", flip);
    let store = open(&path).unwrap();
    assert_eq!(apart(&store), [(60, bad, "edges")]);
    let (after, named) = level(&store, 60);
    assert_eq!(named, [bad].into());
    assert_eq!(after[&bad], []);
    // The finer level has it all the same.
    assert_eq!(level(&store, 10).1, BTreeSet::new());
    assert!(!path.join("damaged").exists());
}

#[test]
fn window_whose_second_slice_is_torn_leaves_nothing_of_its_first_in_a_sum() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut store = open(&path).unwrap();
    for n in 1..=20 {
        let edges: Vec<_> = (1..=2_500).map(|client| edge(window(n), client, 7, 1)).collect();
        let mut commit = commit(u64::from(n), edges);
        commit.folded = window(n);
        store.commit(&commit).unwrap();
    }
    drop(store);
    let bad = window(5);
    tamper(&path, "pack-10-", |key: &[u8], value: &mut Vec<u8>| {
        if key[0] == 0x21 && key[2..6] == bad.0.to_be_bytes() && key.ends_with(&[0, 0, 0, 1]) {
            value[9] ^= 1;
        }
    });
    let store = open(&path).unwrap();
    let history = store.history();
    let flows = |n: std::ops::Range<u32>| -> Vec<i64> {
        let range = TimeRange { from: window(n.start).start(), to: window(n.end).start() };
        let plan = Plan { spans: vec![Span { len: LEN, range }] };
        let mut flows = Vec::new();
        let mut see = |row: &EdgeDelta| flows.push(row.counters[Measure::Flows]);
        let answer = history.edges(&plan, &Select::default(), &mut see).unwrap();
        assert_eq!(answer.unreadable, [TimeRange { from: bad.start(), to: bad.end(LEN) }]);
        flows
    };
    let one = edge(window(1), 1, 7, 1).counters[Measure::Flows];
    assert_eq!(flows(5..6), []);
    assert_eq!(flows(1..11), vec![9 * one; 2_500], "of ten windows, nine are there as a whole");
}

#[test]
fn broken_block_costs_the_windows_in_it_and_no_others() {
    let (dir, path) = stored();
    // What is in journals goes into tables.
    let db = fjall::Database::builder(&path).open().unwrap();
    let names = db.list_keyspace_names();
    for name in &names {
        let keyspace = db.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap();
        keyspace.rotate_memtable_and_wait().unwrap();
    }
    let tree = |prefix: &str| -> PathBuf {
        let name = names.iter().find(|name| name.starts_with(prefix)).unwrap();
        db.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap().path().to_owned()
    };
    let trees = [tree("pack-10-"), tree("late-10-"), tree("pack-60-")];
    drop(db);
    let (before10, before60) = {
        let store = open(&path).unwrap();
        (level(&store, 10).0, level(&store, 60).0)
    };
    let (mut lost, mut refused, mut whole) = (0, 0, 0);
    for tree in trees {
        let table = fs::read_dir(tree.join("tables")).unwrap().map(|e| e.unwrap().path());
        let table = table.max_by_key(|table| fs::metadata(table).unwrap().len()).unwrap();
        let (inside, bytes) = (table.strip_prefix(&path).unwrap(), fs::read(&table).unwrap());
        for part in 0..12 {
            let broken = dir.path().join("broken");
            let copied = Command::new("cp").arg("-a").args([&path, &broken]).status().unwrap();
            assert!(copied.success());
            let mut bytes = bytes.clone();
            let at = bytes.len() * part / 12 + 17;
            bytes[at] ^= 0x10;
            fs::write(broken.join(inside), bytes).unwrap();
            match open(&broken) {
                // What says where blocks are, and the ledger of rows that are open.
                Err(Error::Damaged { .. }) => refused += 1,
                Err(e) => panic!("byte {at}: {e}"),
                Ok(mut store) => {
                    let mut names = 0;
                    for (secs, before) in [(10, &before10), (60, &before60)] {
                        let (after, named) = level(&store, secs);
                        names += named.len();
                        let good =
                            |(window, _): &(&Window, &Vec<EdgeDelta>)| !named.contains(window);
                        assert!(
                            after.iter().filter(good).eq(before.iter().filter(good)),
                            "byte {at} of {}: some window of {secs} s is wrong and not named",
                            inside.display()
                        );
                    }
                    store.commit(&nth(EPOCHS + 1)).unwrap();
                    assert_eq!(tally(&store, "set_apart/windows"), names as i64);
                    (lost, whole) =
                        (lost + usize::from(names > 0), whole + usize::from(names == 0));
                    // All other questions are answered, too.
                    store.span().unwrap();
                    store.history().extent().unwrap();
                    assert!(!broken.join("damaged").exists());
                    drop(store);
                    let store = open(&broken).unwrap();
                    assert_eq!(store.history().apart().len(), names);
                }
            }
            fs::remove_dir_all(&broken).unwrap();
        }
    }
    assert!(lost >= 10, "{lost} lost something, {refused} were refused, {whole} lost nothing");
}

#[test]
fn store_whose_tables_cannot_be_sorted_for_a_broken_block_goes_on_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let options = Options { memtable_bytes: 64 << 10, ..options() };
    let open = || FjallStore::open(&path, LEN, &options).unwrap();
    let mut store = open();
    for n in 1..=EPOCHS {
        store.commit(&nth(n)).unwrap();
    }
    let (before10, before60) = (level(&store, 10).0, level(&store, 60).0);
    drop(store);
    let db = fjall::Database::builder(&path).open().unwrap();
    let name = db.list_keyspace_names().into_iter().find(|name| name.starts_with("pack-10-"));
    let packs = db.keyspace(&name.unwrap(), fjall::KeyspaceCreateOptions::default).unwrap();
    packs.rotate_memtable_and_wait().unwrap();
    let tables = packs.path().join("tables");
    drop((packs, db));
    let table = fs::read_dir(tables).unwrap().map(|e| e.unwrap().path());
    let table = table.max_by_key(|table| fs::metadata(table).unwrap().len()).unwrap();
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&table, bytes).unwrap();

    // What the engine does by itself, some day: it sorts all tables of the keyspace into one.
    let mut store = open();
    let stop = (EPOCHS + 1..2_000).find_map(|n| store.commit(&nth(n)).err());
    assert!(matches!(stop, Some(Error::Stopped { .. })), "{stop:?}");
    drop(store);
    assert!(path.join("stopped").exists(), "it is known to have stopped");
    let mut store = open();
    assert!(!path.join("stopped").exists() && !path.join("damaged").exists());
    let apart = store.history().apart();
    assert!((1..20).contains(&apart.len()), "{apart:?}");
    assert_eq!(tally(&store, "set_apart/windows"), apart.len() as i64);
    for (secs, before) in [(10, &before10), (60, &before60)] {
        let (after, named) = level(&store, secs);
        let told = apart.iter().filter(|a| a.len.secs() == secs).map(|a| a.window);
        assert_eq!(named, told.collect());
        let good = |(window, _): &(&Window, &Vec<EdgeDelta>)| {
            before.contains_key(window) && !named.contains(window) && window.0 < T0 + 800
        };
        assert!(after.iter().filter(good).eq(before.iter().filter(good)), "level of {secs} s");
    }
    // It is sorted from now on, and takes what comes.
    let next = store.checkpoint().unwrap().epoch + 1;
    for n in next..next + 300 {
        store.commit(&nth(n)).unwrap();
    }
    drop(store);
    let db = fjall::Database::builder(&path).open().unwrap();
    for name in db.list_keyspace_names() {
        let keyspace = db.keyspace(&name, fjall::KeyspaceCreateOptions::default).unwrap();
        keyspace.rotate_memtable_and_wait().unwrap();
        keyspace.major_compact().unwrap();
    }
    drop(db);
    let store = open();
    assert_eq!(store.checkpoint().unwrap().epoch, next + 299);
    assert_eq!(store.history().apart(), apart);
}
