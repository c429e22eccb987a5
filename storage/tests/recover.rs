//! A store that is damaged is noticed, set apart, and goes on from its last good copy.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use portolan_model::{EpochCommit, TimeRange};
use portolan_storage::{
    CommitEpoch, Error, FjallStore, OnDamage, Options, ReadCheckpoint, ReadEdges, good_copy,
    open_or_recover,
};

#[path = "support/rows.rs"]
mod rows;
use rows::*;

/// Every epoch adds a flow to two windows in different keyspaces, and moves an offset.
fn nth(epoch: u64) -> EpochCommit {
    let mut commit = commit(epoch, vec![edge(window(0), 1, 2, 1), edge(window(3_000), 1, 2, 1)]);
    commit.paths = vec![path(window(0), 1, &[3], 2, 1)];
    commit.positions = vec![position(0, epoch as i64 * 10)];
    commit.entities = vec![entity("web")];
    commit
}

fn open(path: &Path) -> Result<FjallStore, Error> {
    FjallStore::open(path, LEN, &Options::small())
}

fn recover(path: &Path) -> (FjallStore, portolan_storage::Recovery) {
    let (store, recovery) =
        open_or_recover(path, LEN, &Options::small(), OnDamage::Recover, 1_795_392_000).unwrap();
    (store, recovery.expect("something was done"))
}

fn commit_range(store: &mut FjallStore, epochs: std::ops::RangeInclusive<u64>) {
    for epoch in epochs {
        store.commit(&nth(epoch)).unwrap();
    }
}

/// The store has exactly the epochs up to this one.
fn assert_epoch(store: &FjallStore, epoch: u64) {
    let checkpoint = store.checkpoint().unwrap();
    assert_eq!(checkpoint.epoch, epoch);
    let flows = epoch as i64;
    let positions: Vec<_> = (epoch > 0).then(|| position(0, flows * 10)).into_iter().collect();
    assert_eq!(checkpoint.positions, positions);
    let counted: Vec<_> = edges(store, TimeRange::ALL).iter().map(|row| row.counters).collect();
    let expected = vec![sums(flows, flows * 100); if epoch > 0 { 2 } else { 0 }];
    assert_eq!(counted, expected);
}

fn journal(store: &Path) -> PathBuf {
    let mut journals: Vec<PathBuf> = fs::read_dir(store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jnl"))
        .collect();
    journals.sort();
    journals.pop().unwrap()
}

/// Bytes of the journal that are in use.
fn used(journal: &Path) -> usize {
    fs::read(journal).unwrap().iter().rposition(|b| *b != 0).unwrap() + 1
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    (dir, path)
}

#[test]
fn flipped_byte_is_noticed_and_the_store_goes_on_from_its_copy() {
    let (_dir, path) = scratch();
    let mut store = open(&path).unwrap();
    commit_range(&mut store, 1..=5);
    assert_eq!(store.copy_to(&good_copy(&path)).unwrap(), 5);
    commit_range(&mut store, 6..=8);
    drop(store);
    // The last batch ends with a checksum of 8 bytes and 4 of trailer: before it stand rows.
    flip(&journal(&path), used(&journal(&path)) - 20);
    assert!(matches!(open(&path), Err(Error::Damaged { .. })));

    let (mut store, recovery) = recover(&path);
    assert_eq!(recovery.set_apart, path.with_file_name("store.damaged-1795392000"));
    assert!(recovery.set_apart.join("version").exists());
    assert_eq!(recovery.restored_from, Some(good_copy(&path)));
    assert!(recovery.reason.contains("checksum"), "{}", recovery.reason);
    assert_epoch(&store, 5);
    commit_range(&mut store, 6..=9);
    assert_epoch(&store, 9);
    drop(store);

    // It is said once, and the copy is still good for another time.
    let (store, recovery) =
        open_or_recover(&path, LEN, &Options::small(), OnDamage::Recover, 0).unwrap();
    assert_eq!(recovery, None);
    assert_epoch(&store, 9);
    drop(store);
    flip(&journal(&path), used(&journal(&path)) - 20);
    let (store, recovery) = recover(&path);
    assert_eq!(recovery.set_apart, path.with_file_name("store.damaged-1795392000-2"));
    assert_epoch(&store, 5);
}

#[test]
fn without_a_copy_the_store_begins_empty() {
    let (_dir, path) = scratch();
    commit_range(&mut open(&path).unwrap(), 1..=3);
    flip(&journal(&path), used(&journal(&path)) - 20);
    let (mut store, recovery) = recover(&path);
    assert_eq!(recovery.restored_from, None);
    assert_epoch(&store, 0);
    commit_range(&mut store, 1..=1);
    assert_epoch(&store, 1);
}

#[test]
fn copy_that_is_damaged_too_is_not_used() {
    let (_dir, path) = scratch();
    let mut store = open(&path).unwrap();
    commit_range(&mut store, 1..=3);
    store.copy_to(&good_copy(&path)).unwrap();
    drop(store);
    for store in [path.clone(), good_copy(&path)] {
        flip(&journal(&store), used(&journal(&store)) - 20);
    }
    let (store, recovery) = recover(&path);
    assert_eq!(recovery.restored_from, None);
    assert!(recovery.reason.contains("and its copy"), "{}", recovery.reason);
    assert_epoch(&store, 0);
}

#[test]
fn refusal_changes_nothing_and_says_what_to_do() {
    let (_dir, path) = scratch();
    let mut store = open(&path).unwrap();
    commit_range(&mut store, 1..=3);
    store.copy_to(&good_copy(&path)).unwrap();
    drop(store);
    flip(&journal(&path), used(&journal(&path)) - 20);
    let refused = open_or_recover(&path, LEN, &Options::small(), OnDamage::Refuse, 0);
    let text = refused.map(|_| ()).unwrap_err().to_string();
    let (store, good) = (path.display().to_string(), good_copy(&path));
    assert!(text.contains(&format!("mv {store} {store}.damaged")), "{text}");
    assert!(text.contains(&format!("cp -a {} {store}", good.display())), "{text}");
    assert!(path.exists());

    // The steps, as they are written.
    fs::rename(&path, path.with_file_name("store.damaged")).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").args([&good, &path]).status().unwrap();
    assert!(copied.success());
    assert_epoch(&open(&path).unwrap(), 3);
}

#[test]
fn table_whose_own_description_is_broken_is_refused_with_steps_or_set_apart() {
    let (dir, path) = scratch();
    commit_range(&mut open(&path).unwrap(), 1..=3);
    let db = fjall::Database::builder(&path).open().unwrap();
    for name in db.list_keyspace_names() {
        let keyspace = db.keyspace(&name, fjall::KeyspaceCreateOptions::default).unwrap();
        keyspace.rotate_memtable_and_wait().unwrap();
    }
    let tables =
        db.keyspace("meta", fjall::KeyspaceCreateOptions::default).unwrap().path().join("tables");
    drop(db);
    let table = fs::read_dir(tables).unwrap().next().unwrap().unwrap().path();
    let (inside, len) = (table.strip_prefix(&path).unwrap(), fs::read(&table).unwrap().len());
    let mut refused = 0;
    // Index, filter, metadata and trailer stand behind the rows.
    for part in 1..=8 {
        let broken = dir.path().join("broken");
        let copied = std::process::Command::new("cp").arg("-a").args([&path, &broken]).status();
        assert!(copied.unwrap().success());
        flip(&broken.join(inside), len - len / 2 * part / 8);
        let opened = open_or_recover(&broken, LEN, &Options::small(), OnDamage::Refuse, 0);
        match opened.map(|_| ()) {
            // A byte of a filter, or of padding, says nothing.
            Ok(()) => {}
            Err(error @ Error::Refused { .. }) => {
                let (text, store) = (error.to_string(), broken.display());
                assert!(text.contains(&format!("mv {store} {store}.damaged")), "{text}");
                assert!(text.contains(&format!("cp -a SNAPSHOT {store}")), "{text}");
                assert!(text.contains("read Kafka from the start"), "{text}");
                let (mut store, recovery) = recover(&broken);
                assert!(recovery.set_apart.join(inside).exists());
                commit_range(&mut store, 1..=2);
                assert_epoch(&store, 2);
                drop(store);
                fs::remove_dir_all(&recovery.set_apart).unwrap();
                refused += 1;
            }
            Err(e) => panic!("part {part}: {e}"),
        }
        fs::remove_dir_all(&broken).unwrap();
    }
    assert!(refused > 0, "none of the bytes was noticed");
}

#[test]
fn crash_between_the_two_renames_is_finished_by_the_next_open() {
    let (_dir, path) = scratch();
    let mut store = open(&path).unwrap();
    commit_range(&mut store, 1..=3);
    store.copy_to(&good_copy(&path)).unwrap();
    drop(store);
    let restoring = path.with_file_name("store.restoring");
    fs::rename(good_copy(&path), &restoring).unwrap();
    fs::write(restoring.join("recovery"), "/a/store.damaged-7\n/a/store.good\nwhy\nnot").unwrap();
    fs::rename(&path, path.with_file_name("store.damaged-7")).unwrap();
    let (store, recovery) = recover(&path);
    assert_eq!(recovery.set_apart, Path::new("/a/store.damaged-7"));
    assert_eq!(recovery.reason, "why\nnot");
    assert_epoch(&store, 3);
}

#[test]
fn flipped_byte_anywhere_in_the_journal_is_noticed_or_costs_whole_epochs_from_the_end() {
    let (dir, path) = scratch();
    let mut store = open(&path).unwrap();
    commit_range(&mut store, 1..=4);
    // Closed by a copy, so that the journal is short: the zeros are not copied.
    let small = dir.path().join("small");
    store.copy_to(&small).unwrap();
    drop(store);
    let bytes = fs::read(journal(&small)).unwrap();
    let name = journal(&small).file_name().unwrap().to_owned();
    let (mut noticed, mut cut) = (0, 0);
    // A prime step visits every kind of byte.
    for at in (0..bytes.len()).step_by(37) {
        let broken = dir.path().join("broken");
        let copied = std::process::Command::new("cp").arg("-a").args([&small, &broken]).status();
        assert!(copied.unwrap().success());
        // What was synced is certain; here nothing was.
        fs::remove_file(broken.join("synced")).unwrap();
        flip(&broken.join(&name), at);
        match open(&broken) {
            Err(Error::Damaged { .. }) => noticed += 1,
            Ok(store) => {
                let epoch = store.checkpoint().unwrap().epoch;
                // Some bytes say nothing (a length said twice): then all is there.
                assert_epoch(&store, epoch);
                cut += u32::from(epoch < 4);
            }
            Err(e) => panic!("byte {at}: {e}"),
        }
        fs::remove_dir_all(&broken).unwrap();
    }
    assert!(noticed > 0 && cut > 0, "{noticed} noticed, {cut} cut off");
}

#[test]
fn epoch_that_was_synced_cannot_vanish_unnoticed() {
    let (dir, path) = scratch();
    let mut store = open(&path).unwrap();
    commit_range(&mut store, 1..=3);
    store.sync().unwrap();
    commit_range(&mut store, 4..=5);
    drop(store);
    let journal = journal(&path);
    let end = used(&journal);
    let spare = dir.path().join("spare");
    fs::copy(&journal, &spare).unwrap();
    // Cut in the last batch: a torn tail, as a power loss leaves it.
    fs::OpenOptions::new().write(true).open(&journal).unwrap().set_len(end as u64 - 7).unwrap();
    assert_epoch(&open(&path).unwrap(), 4);
    // Cut in the middle: what the engine takes for a torn tail has been on the disk.
    fs::copy(&spare, &journal).unwrap();
    fs::OpenOptions::new().write(true).open(&journal).unwrap().set_len(end as u64 / 3).unwrap();
    let error = open(&path).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("but 3 was on the disk"), "{error}");
}

#[test]
fn rows_ahead_of_their_offsets_are_noticed() {
    let (_dir, path) = scratch();
    let options = Options { memtable_bytes: 64 << 10, ..Options::small() };
    let mut store = FjallStore::open(&path, LEN, &options).unwrap();
    // Until some rows are in a table, where the journal's end does not concern them.
    let mut epoch = 0;
    while !has_tables(&path) {
        epoch += 1;
        let rows = (0..500).map(|n| edge(window(0), n, 1, 1)).collect();
        store.commit(&EpochCommit { edges: rows, ..nth(epoch) }).unwrap();
    }
    commit_range(&mut store, epoch + 1..=epoch + 1);
    drop(store);
    let journal = journal(&path);
    let end = used(&journal);
    fs::OpenOptions::new().write(true).open(&journal).unwrap().set_len(end as u64 / 4).unwrap();
    let error = open(&path).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("ends at epoch"), "{error}");
}

/// Whether a keyspace of rows has a table: 0 and 1 are the engine's and `meta`.
fn has_tables(store: &Path) -> bool {
    let trees = fs::read_dir(store.join("keyspaces")).unwrap().map(|entry| entry.unwrap());
    let mut trees = trees.filter(|tree| tree.file_name() != "0" && tree.file_name() != "1");
    trees.any(|tree| fs::read_dir(tree.path().join("tables")).unwrap().next().is_some())
}

#[test]
fn damage_met_while_running_is_remembered_for_the_next_open() {
    let (_dir, path) = scratch();
    drop(open(&path).unwrap());
    fs::write(path.join("damaged"), "a table is broken").unwrap();
    let error = open(&path).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Damaged { detail, .. } if detail == "a table is broken"));
    let (store, recovery) = recover(&path);
    assert_eq!(recovery.reason, "a table is broken");
    assert_epoch(&store, 0);
}

#[test]
fn directory_that_is_open_is_locked_and_not_damaged() {
    let (_dir, path) = scratch();
    let store = open(&path).unwrap();
    let reader = store.reader();
    drop(store);
    assert!(matches!(open(&path), Err(Error::Locked { .. })), "a reader holds it");
    let recovered = open_or_recover(&path, LEN, &Options::small(), OnDamage::Recover, 0);
    assert!(matches!(recovered, Err(Error::Locked { .. })));
    drop(reader);
    assert!(open(&path).is_ok());
}

#[test]
fn store_of_other_windows_or_a_newer_format_is_refused_by_name() {
    let (_dir, path) = scratch();
    drop(open(&path).unwrap());
    let minute = portolan_model::WindowLen::try_new(60).unwrap();
    let error = FjallStore::open(&path, minute, &Options::small()).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::WindowLength { found: 10, wanted: 60, .. }));

    let db = fjall::Database::builder(&path).open().unwrap();
    let meta = db.keyspace("meta", fjall::KeyspaceCreateOptions::default).unwrap();
    // A later version may say more behind its number.
    meta.insert([1], [0, 0, 0, 4, 9, 9, 9]).unwrap();
    drop((db, meta));
    let error = open_or_recover(&path, LEN, &Options::small(), OnDamage::Recover, 0);
    assert!(matches!(error.map(|_| ()), Err(Error::NewerFormat { found: 4, known: 3, .. })));
}

#[test]
fn copy_is_whole_while_the_store_sorts_its_rows_onto_disk() {
    let (_dir, path) = scratch();
    // Small memtables: every few epochs are flushed and compacted while copies are made.
    let options = Options { memtable_bytes: 64 << 10, ..Options::small() };
    let mut store = FjallStore::open(&path, LEN, &options).unwrap();
    let good = good_copy(&path);
    for epoch in 1..=40 {
        let mut commit = nth(epoch);
        commit.edges.extend((0..500).map(|n| edge(window(epoch as u32), n + 10, n, 1)));
        commit.edges.sort_by_key(|row| row.key);
        store.commit(&commit).unwrap();
        if epoch % 4 == 0 {
            assert_eq!(store.copy_to(&good).unwrap(), epoch);
            let copy = open(&good).unwrap();
            let all = |store: &FjallStore| {
                let mut rows = Vec::new();
                store.edges(TimeRange::ALL, &mut |row| rows.push(*row)).unwrap();
                rows
            };
            assert_eq!(all(&copy), all(&store));
            assert_eq!(copy.checkpoint().unwrap(), store.checkpoint().unwrap());
        }
    }
    let names: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "no half-made copies: {names:?}");
}
