//! A store that is verified: what is whole passes every check, and each kind of damage is found by its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use portolan_model::{EntityId, EpochCommit};
use portolan_storage::{Check, CommitEpoch, FjallStore, Found, LevelOptions, Options};

#[path = "support/rows.rs"]
mod rows;
use rows::*;

fn options() -> Options {
    let level = |secs| LevelOptions { secs, retention_secs: 0 };
    Options { levels: vec![level(60), level(600)], ..Options::small() }
}

fn id(name: &str) -> u64 {
    entity(name).0.0
}

/// Epoch `n` counts in its window and, late, in one that is packed.
fn nth(n: u64) -> EpochCommit {
    let at = n as u32;
    let (web, cart, proxy, get) = (id("web"), id("cart"), id("proxy"), id("GET /"));
    let mut commit = commit(n, vec![edge(window(at), web, cart, 3)]);
    commit.edges.extend((at > 40).then(|| edge(window(at - 40), web, cart, 1)));
    commit.edges.sort_by_key(|row| row.key);
    commit.paths = vec![path(window(at), web, &[proxy], cart, 2)];
    commit.calls = vec![call(window(at), web, cart, get, 2)];
    if n == 1 {
        commit.entities = ["web", "cart", "proxy", "GET /"].map(entity).into();
    }
    commit.positions = vec![position(0, n as i64 * 10)];
    commit.folded = window(at.saturating_sub(6));
    commit
}

fn store(epochs: u64) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut store = FjallStore::open(&path, LEN, &options()).unwrap();
    for n in 1..=epochs {
        store.commit(&nth(n)).unwrap();
    }
    (dir, path)
}

fn verify(path: &Path) -> Vec<Found> {
    let store = FjallStore::open_stored(path, &Options::small()).unwrap();
    store.verify(&mut |_| {}).unwrap()
}

/// The checks that found something, with their first fault.
fn broken(found: &[Found]) -> Vec<(Check, String)> {
    let broken = found.iter().filter(|found| found.broken > 0);
    broken.map(|found| (found.check, found.faults[0].clone())).collect()
}

/// Changes what the engine has under a key, behind the back of the store.
fn tamper(
    path: &Path,
    keyspace: &str,
    change: impl Fn(&[u8], Vec<u8>) -> Option<Vec<u8>>,
) -> usize {
    let db = fjall::Database::builder(path).open().unwrap();
    let mut changed = 0;
    for name in db.list_keyspace_names().iter().filter(|name| name.starts_with(keyspace)) {
        let keyspace = db.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap();
        let rows: Vec<_> = keyspace.iter().map(|guard| guard.into_inner().unwrap()).collect();
        for (key, value) in rows {
            let old = value.to_vec();
            match change(&key, old.clone()) {
                Some(new) if new != old => keyspace.insert(key, new).unwrap(),
                Some(_) => continue,
                None => keyspace.remove(key).unwrap(),
            }
            changed += 1;
        }
    }
    changed
}

#[test]
fn store_that_is_whole_passes_every_check() {
    let (_dir, path) = store(200);
    let found = verify(&path);
    assert_eq!(broken(&found), []);
    let looked: Vec<_> = found.iter().map(|found| (found.check, found.looked_at)).collect();
    assert_eq!(looked.len(), Check::ALL.len());
    let lacking = |(check, at): &&(Check, u64)| *at == 0 && *check != Check::NothingLacking;
    assert_eq!(looked.iter().find(lacking), None, "every check looked at something");
    let windows = looked.iter().find(|(check, _)| *check == Check::LevelsAgree).unwrap().1;
    assert!(windows > 30, "{windows} windows compared");
}

#[test]
fn bytes_of_a_part_that_are_not_what_was_written_are_found() {
    let (_dir, path) = store(100);
    // The first slice of edges of each minute.
    let flipped = tamper(&path, "pack-60-", |key, mut value| {
        if key[0] == 0x21 && key.ends_with(&[0; 4]) {
            value[9] ^= 1;
        }
        Some(value)
    });
    assert!(flipped > 0);
    let found = broken(&verify(&path));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, Check::PartsWhole);
    assert!(found[0].1.contains("a slice of edges of window"), "{found:?}");
}

#[test]
fn part_that_is_missing_is_found() {
    let (_dir, path) = store(100);
    tamper(&path, "pack-10-", |key, value| (key[0] != 0x32).then_some(value));
    let found = broken(&verify(&path));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, Check::PartsWhole);
    assert!(found[0].1.contains("reverse indexes"), "{found:?}");
}

#[test]
fn change_that_one_level_lacks_is_found() {
    let (_dir, path) = store(100);
    let once = std::cell::Cell::new(true);
    let drop_one = |key: &[u8]| key[0] == 1 && once.replace(false);
    tamper(&path, "late-60-", |key, value| (!drop_one(key)).then_some(value));
    let found = broken(&verify(&path));
    assert!(!once.get());
    let checks: Vec<_> = found.iter().map(|(check, _)| *check).collect();
    assert_eq!(checks, [Check::LevelsAgree], "{found:?}");
    assert!(found[0].1.contains("1 edges differ from the windows of 10 s"), "{found:?}");
}

#[test]
fn rows_without_their_names_or_their_offsets_are_found() {
    let (_dir, path) = store(50);
    tamper(&path, "meta", |key, value| (key[0] != 7 && key[0] != 3).then_some(value));
    let found = broken(&verify(&path));
    let checks: Vec<_> = found.iter().map(|(check, _)| *check).collect();
    assert_eq!(checks, [Check::EntitiesKnown, Check::OffsetsPresent], "{found:?}");
    assert!(found[0].1.contains(&format!("entity {}", EntityId(id("web")))), "{found:?}");
}

#[test]
fn row_beside_the_counts_that_does_not_read_is_found() {
    let (_dir, path) = store(20);
    // An owner, a change, a row of health, a trace, and a kind of row that nobody writes: no open reads these.
    for kind in [8, 13, 14, 15, 0x7f] {
        let db = fjall::Database::builder(&path).open().unwrap();
        let meta = db.keyspace("meta", fjall::KeyspaceCreateOptions::default).unwrap();
        meta.insert([kind, 1, 2, 3], [0xff; 3]).unwrap();
        drop((db, meta));
        let found = broken(&verify(&path));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, Check::RowsRead);
        assert!(found[0].1.contains(&format!("[{kind:02x}, 01, 02, 03]")), "{found:?}");
        tamper(&path, "meta", |key, value| (*key != [kind, 1, 2, 3]).then_some(value));
    }
}

#[test]
fn row_that_counts_less_than_nothing_is_found() {
    let (dir, _) = store(1);
    let path = dir.path().join("negative");
    let mut store = FjallStore::open(&path, LEN, &options()).unwrap();
    let mut first = nth(1);
    first.edges = vec![less(window(1), id("web"), id("cart"), 1)];
    store.commit(&first).unwrap();
    drop(store);
    let found = broken(&verify(&path));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, Check::CountsNotNegative);
}

#[test]
fn broken_block_of_a_table_is_found() {
    let (_dir, path) = store(200);
    // A new start writes what was in journals into tables.
    let db = fjall::Database::builder(&path).open().unwrap();
    for name in db.list_keyspace_names() {
        let keyspace = db.keyspace(&name, fjall::KeyspaceCreateOptions::default).unwrap();
        keyspace.rotate_memtable_and_wait().unwrap();
    }
    drop(db);
    let largest = tables(&path).into_iter().max_by_key(|table| fs::metadata(table).unwrap().len());
    let largest = largest.unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    // Blocks of data come first; the very first has the ledger, which every open reads.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let found = broken(&verify(&path));
    assert!(found.iter().any(|(check, _)| *check == Check::TablesRead), "{found:?}");
}

fn tables(store: &Path) -> Vec<PathBuf> {
    let trees = fs::read_dir(store.join("keyspaces")).unwrap();
    // 0 and 1 are the engine's and `meta`.
    let trees = trees
        .map(|tree| tree.unwrap())
        .filter(|tree| !["0", "1"].contains(&tree.file_name().to_str().unwrap()));
    trees
        .filter_map(|tree| fs::read_dir(tree.path().join("tables")).ok())
        .flat_map(|tables| tables.map(|table| table.unwrap().path()))
        .collect()
}
