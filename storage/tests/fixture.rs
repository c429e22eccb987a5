//! A store that an older format wrote opens for ever, and holds what was put in.
//!
//! `fixtures/vN.txt` is the directory of such a store as text: `dir PATH` and `file PATH HEX`. It is
//! never written anew once released. A later format gets a file of its own: run this test with
//! `PORTOLAN_WRITE_FIXTURE` set to its path.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use portolan_model::{
    Backend, Certainty, DeclaredPort, EpochCommit, Loss, Measure, Nanos, Orientation, OwnerKind,
    Phase, Plain, Proto, Resolution, TimeRange, ValidTime,
};
use portolan_storage::{
    CommitEpoch, FORMAT, FjallStore, MemoryStore, Options, ReadEdges, ReadStore,
};

#[path = "support/rows.rs"]
mod rows;
use rows::*;

const V1: &str = include_str!("fixtures/v1.txt");

const V2: &str = include_str!("fixtures/v2.txt");

const V3: &str = include_str!("fixtures/v3.txt");

/// What the fixture of format 1 holds. Never changed.
fn commits() -> Vec<EpochCommit> {
    let mut full = owner("u2", 7);
    full.kind = OwnerKind::LoadBalancer;
    full.phase = Phase::Failed;
    full.host_network = true;
    full.ports = vec![DeclaredPort { proto: Proto::UDP, port: 53 }];
    let ip = "2001:db8::7".parse().unwrap();
    full.backends = vec![Backend { front_port: 443, proto: Proto::TCP, ip, port: 8_443 }];
    full.valid = ValidTime { from: 7, to: 9, from_lo: 5, to_hi: Nanos::MAX };
    let first = EpochCommit {
        paths: vec![path(window(0), 1, &[3, 4], 2, 5), path(window(3_000), 1, &[], 2, 6)],
        entities: vec![entity("web"), entity("database with ünïcode")],
        owners: vec![owner("u1", 100), full],
        positions: vec![position(0, 10), position(1, i64::MAX)],
        losses: vec![Loss { partition: partition(1), from: 3, to: 9, at: 1 }],
        tallies: vec![("accepted".into(), 12), ("rejected/late".into(), 1)],
        folded: window(1),
        ..commit(1, vec![edge(window(0), 1, 2, 3), edge(window(1), 1, 2, i64::MAX / 1_000)])
    };
    let second = EpochCommit {
        positions: vec![position(0, 20)],
        expire_before: window(1),
        ..commit(2, vec![edge(window(1), 2, 2, 3), less(window(3_000), 9, 9, 4)])
    };
    vec![first, second]
}

/// What the fixture of format 2 holds. Never changed once released.
fn commits_of_2() -> Vec<EpochCommit> {
    let mut commits = commits();
    commits[0].calls = vec![call(window(0), 1, 2, 7, 3), call(window(1), 1, 2, 7, 3)];
    commits[1].calls = vec![call(window(1), 1, 2, 0, 2), call(window(1), 1, 2, 7, -1)];
    commits
}

/// What the fixture of format 3 holds. Never changed once released.
fn commits_of_3() -> Vec<EpochCommit> {
    let mut commits = commits_of_2();
    let ways = Resolution::ALL
        .iter()
        .flat_map(|found| Orientation::ALL.iter().map(move |class| (*found, *class)));
    for (client, (resolution, orientation)) in (20..).zip(ways) {
        let mut plain = Plain::ZERO;
        plain[Measure::Flows] = 2;
        plain[Measure::Connections] = 1;
        plain[Measure::ConnectionsActive] = 3;
        plain[Measure::BytesSent] = 1_000 + client as i64;
        let certainty = Certainty { resolution, orientation, confidence: 77 };
        for (commit, at) in [(0, window(1)), (1, window(1)), (1, window(3_000))] {
            let mut row = edge(at, client, 2, 0);
            row.counters = plain.with(certainty);
            commits[commit].edges.push(row);
        }
    }
    for commit in &mut commits {
        commit.edges.sort_by_key(|row| row.key);
    }
    commits
}

/// All that a store says, in a form that can be compared.
fn contents(store: &dyn ReadStore) -> String {
    let mut text = format!("{:#?}\n{:?}\n", store.checkpoint().unwrap(), store.span().unwrap());
    store.edges(TimeRange::ALL, &mut |row| writeln!(text, "{row:?}").unwrap()).unwrap();
    store.paths(TimeRange::ALL, &mut |row| writeln!(text, "{row:?}").unwrap()).unwrap();
    store.calls(TimeRange::ALL, &mut |row| writeln!(text, "{row:?}").unwrap()).unwrap();
    store.owners(&mut |owner| writeln!(text, "{owner:?}").unwrap()).unwrap();
    store.entities(&mut |id, entity| writeln!(text, "{id} {entity:?}").unwrap());
    text
}

fn unpack(text: &str, to: &Path) {
    for line in text.lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (kind, path) = (word(), to.join(word()));
        match kind {
            "dir" => fs::create_dir_all(&path).unwrap(),
            "file" => {
                let digits = word();
                let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
                let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
                fs::write(&path, bytes).unwrap();
            }
            other => panic!("unknown entry {other}"),
        }
    }
}

fn pack(dir: &Path, name: &str, out: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap()).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{name}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            writeln!(out, "dir {name}").unwrap();
            pack(&entry.path(), &name, out);
        } else {
            write!(out, "file {name} ").unwrap();
            for byte in fs::read(entry.path()).unwrap() {
                write!(out, "{byte:02x}").unwrap();
            }
            out.push('\n');
        }
    }
}

#[test]
fn store_of_format_1_opens_and_holds_what_was_put_in() {
    opens_and_goes_on(V1, commits());
}

#[test]
fn store_of_format_2_opens_and_holds_what_was_put_in() {
    opens_and_goes_on(V2, commits_of_2());
}

#[test]
fn store_of_format_3_opens_and_holds_what_was_put_in() {
    opens_and_goes_on(V3, commits_of_3());
}

fn opens_and_goes_on(fixture: &str, commits: Vec<EpochCommit>) {
    let dir = tempfile::tempdir().unwrap();
    unpack(fixture, dir.path());
    let mut oracle = MemoryStore::new(LEN);
    for commit in commits {
        oracle.commit(&commit).unwrap();
    }
    let mut store = FjallStore::open(&dir.path().join("store"), LEN, &Options::small()).unwrap();
    assert_eq!(contents(&*store.reader()), contents(&oracle));
    assert!(store.entity(entity("web").0).is_some());

    // And goes on.
    let next = EpochCommit {
        calls: vec![call(window(1), 1, 2, 7, 1)],
        ..commit(3, vec![edge(window(1), 1, 2, 1), edge(window(9), 1, 2, 1)])
    };
    store.commit(&next).unwrap();
    oracle.commit(&next).unwrap();
    assert_eq!(contents(&*store.reader()), contents(&oracle));
}

#[test]
fn fixture_of_the_current_format_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("running");
    let mut store = FjallStore::open(&path, LEN, &Options::small()).unwrap();
    for commit in commits_of_3() {
        store.commit(&commit).unwrap();
    }
    // A copy has short journals.
    store.copy_to(&dir.path().join("store")).unwrap();
    let mut text = String::from("dir store\n");
    pack(&dir.path().join("store"), "store", &mut text);
    assert!(text.len() < 100_000, "{} bytes are too many for a repository", text.len());
    if let Some(to) = std::env::var_os("PORTOLAN_WRITE_FIXTURE") {
        fs::write(to, text).unwrap();
    }
    assert_eq!(FORMAT, 3, "a new format needs a new fixture");
}
