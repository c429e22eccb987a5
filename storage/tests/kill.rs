//! A process that is killed in the middle of its writes has, when opened again, every epoch that it
//! was told was committed, and whole epochs only.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use portolan_model::{EpochCommit, Measure, TimeRange};
use portolan_storage::{CommitEpoch, FjallStore, Options, ReadCheckpoint};

#[path = "support/rows.rs"]
mod rows;
use rows::*;

/// Where the child writes; the test that is the child does nothing without it.
const CHILD: &str = "PORTOLAN_TEST_KILL";

/// Small memtables, so that kills also fall into flushes and compactions.
fn options() -> Options {
    Options { memtable_bytes: 256 << 10, cached_rows: 3_000, ..Options::small() }
}

/// Epoch `n` adds `n` flows to each of its rows, which lie in windows of different keyspaces; some
/// were written by earlier epochs. Every hundredth epoch lets a day expire.
fn nth(n: u64) -> EpochCommit {
    let day = n as u32 / 100 * 8_640;
    let mut commit = commit(n, Vec::new());
    for at in 0..300 {
        commit.edges.push(edge(window(day + n as u32 % 5), at, at % 7, n as i64));
        commit.edges.push(edge(window(day + 3_000), at, n % 3, n as i64));
    }
    commit.edges.sort_by_key(|row| row.key);
    commit.paths = vec![path(window(day), n % 11, &[1, 2], 3, n as i64)];
    commit.positions = vec![position(0, n as i64), position(n as i32 % 4 + 1, n as i64)];
    commit.tallies = vec![("accepted".into(), n as i64)];
    commit.entities = vec![entity(&format!("service-{n}"))];
    commit.expire_before = window(day);
    commit
}

/// Flows that the rows which are not expired count after epoch `n`.
fn flows_at(n: u64) -> i64 {
    let since = (n / 100 * 100).max(1);
    (since..=n).map(|n| n as i64 * 600).sum()
}

#[test]
fn writer_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut store = FjallStore::open(Path::new(&path), LEN, &options()).unwrap();
    let mut said = std::io::stdout();
    let first = store.checkpoint().unwrap().epoch + 1;
    for n in first.. {
        store.commit(&nth(n)).unwrap();
        writeln!(said, "committed {n}").unwrap();
        said.flush().unwrap();
    }
}

fn writer(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer_that_is_killed", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn killed_writer_loses_no_epoch_that_it_was_told_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut last = 0;
    // How many epochs each life is allowed: after that the kill falls wherever it falls. The sum
    // passes three expiries.
    for (life, epochs) in [3, 97, 1, 40, 64, 12, 31, 80].into_iter().enumerate() {
        let mut child = writer(&path);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0;
        for line in lines.map(Result::unwrap) {
            // The harness writes lines of its own, and begins one that ours ends.
            let Some((_, n)) = line.split_once("committed ") else { continue };
            told = n.parse().unwrap();
            if told >= last + epochs {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();

        let store = FjallStore::open(&path, LEN, &options()).unwrap();
        let checkpoint = store.checkpoint().unwrap();
        let epoch = checkpoint.epoch;
        assert!(epoch >= told, "life {life}: told {told}, found {epoch}");
        assert!(epoch > last, "life {life} did something");
        let offset = checkpoint.positions.iter().find(|p| p.partition == partition(0)).unwrap();
        assert_eq!(offset.next, epoch as i64);
        let counted: i64 =
            edges(&store, TimeRange::ALL).iter().map(|row| row.counters[Measure::Flows]).sum();
        assert_eq!(counted, flows_at(epoch), "life {life}: rows and offsets disagree");
        let accepted = (1..=epoch as i64).sum();
        assert_eq!(checkpoint.tallies, [("accepted".into(), accepted)]);
        last = epoch;
    }
}
