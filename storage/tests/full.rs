//! A disk that is full: nothing that was committed is lost, what is there is served, and the store goes on when it is opened
//! anew with room.
//!
//! The disk is a small one in memory, in a name space of its own. Where that is not allowed, the test says so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "the child tells the test that started it how far it came"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use portolan_model::{EpochCommit, Measure, TimeRange};
use portolan_storage::{Attempt, Check, CommitEpoch, Error, FjallStore, Options, ReadCheckpoint};

#[path = "support/rows.rs"]
mod rows;
use rows::*;

/// Where the child's disk is; the test that is the child does nothing without it.
const DISK: &str = "PORTOLAN_TEST_DISK";

/// Epoch `n` adds `n` flows to each of 300 rows.
fn nth(n: u64) -> EpochCommit {
    let rows = (1..=300).map(|client| edge(window(n as u32 / 3), client, client % 7 + 1, n as i64));
    let mut commit = commit(n, rows.collect());
    commit.edges.sort_by_key(|row| row.key);
    commit.positions = vec![position(0, n as i64)];
    commit.folded = window((n as u32 / 3).saturating_sub(10));
    commit
}

fn flows(store: &FjallStore) -> i64 {
    edges(store, TimeRange::ALL).iter().map(|row| row.counters[Measure::Flows]).sum()
}

fn flows_at(n: u64) -> i64 {
    (1..=n as i64).map(|n| n * 300).sum()
}

/// Takes all that is left.
fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    for piece in [1 << 20, 4_096, 1] {
        let bytes = vec![1_u8; piece];
        while file.write_all(&bytes).is_ok() {}
    }
}

#[test]
fn store_on_a_disk_that_fills_up() {
    let Some(disk) = std::env::var_os(DISK) else { return };
    let (path, ballast) = (Path::new(&disk).join("store"), Path::new(&disk).join("ballast"));
    let options = Options { memtable_bytes: 256 << 10, ..Options::small() };
    let open = || FjallStore::open(&path, LEN, &options).unwrap();
    let mut told = 0;
    // Twice, so that what was opened anew is found as good as new.
    for _ in 0..2 {
        let mut store = open();
        let at = store.checkpoint().unwrap().epoch;
        assert!(at == told || at == told + 1, "told {told}, found {at}");
        assert_eq!(flows(&store), flows_at(at));
        for n in at + 1..=at + 60 {
            store.commit(&nth(n)).unwrap();
            told = n;
        }
        fill(&ballast);
        let (mut n, mut tries) = (told + 1, 0);
        let refused = loop {
            match store.commit(&nth(n)) {
                Ok(()) => (told, n) = (n, n + 1),
                Err(error) => break error,
            }
            tries += 1;
            assert!(tries < 100_000, "a full disk takes everything");
        };
        assert!(matches!(refused, Error::Full { .. }), "{refused}");
        for _ in 0..3 {
            let again = store.commit(&nth(n));
            assert!(matches!(Attempt::of(&again, true), Attempt::Later(_)), "{again:?}");
        }
        assert_eq!(flows(&store), flows_at(told), "what is there is served");
        std::fs::remove_file(&ballast).unwrap();
        let again = store.commit(&nth(n));
        assert!(matches!(again, Err(Error::Stopped { .. })), "{again:?}");
        assert!(matches!(Attempt::of(&again, true), Attempt::Reopen(_)));
        assert_eq!(flows(&store), flows_at(told));
    }
    let mut store = open();
    let at = store.checkpoint().unwrap().epoch;
    store.commit(&nth(at + 1)).unwrap();
    assert_eq!(flows(&store), flows_at(at + 1));
    drop(store);
    let found = open().verify(&mut |_| {}).unwrap();
    // The rows of this test have no names.
    let broken: Vec<_> =
        found.iter().filter(|f| f.broken > 0 && f.check != Check::EntitiesKnown).collect();
    assert!(broken.is_empty(), "{broken:?}");
    println!("went on after {told} epochs");
}

#[test]
fn full_disk_loses_nothing_and_the_store_goes_on_with_room() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().to_str().unwrap();
    let exe = std::env::current_exe().unwrap();
    let child = "exec \"$0\" --exact store_on_a_disk_that_fills_up --nocapture";
    let script = format!("mount -t tmpfs -o size=200m tmpfs '{disk}' || exit 77; {child}");
    let out = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(exe)
        .env(DISK, disk)
        .output();
    let Ok(out) = out else {
        eprintln!("skipped: there is no unshare");
        return;
    };
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&out.stderr).into_owned();
    if out.status.code() == Some(77) || wrong.contains("unshare failed") {
        eprintln!("skipped: a disk of one's own cannot be had here: {wrong}");
        return;
    }
    assert!(out.status.success(), "{said}{wrong}");
    assert!(said.contains("went on after"), "{said}{wrong}");
}
