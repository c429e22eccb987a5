//! Mending that is cut off after any step is done by the next open, with the same result.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portolan_model::{
    Counters, Direction, EdgeDelta, EdgeKey, EntityId, EpochCommit, Layer, Measure, Proto,
    TimeRange, Window, WindowLen,
};

use super::{MARK, MEND, NOTE, in_steps};
use crate::history::Apart;
use crate::lsm::FjallStore;
use crate::{CommitEpoch, LevelOptions, Options, Plan, Select, Span};

/// Where the child mends, and after how many steps it dies.
const CHILD: &str = "PORTOLAN_TEST_MEND";
const DIES_AFTER: &str = "PORTOLAN_TEST_MEND_DIES_AFTER";

const LEN: WindowLen = WindowLen::BASE;
const T0: u32 = 1_795_392_000;
const EPOCHS: u64 = 60;

fn options() -> Options {
    let levels = vec![LevelOptions { secs: 60, retention_secs: 0 }];
    Options { levels, memtable_bytes: 64 << 10, ..Options::small() }
}

fn open(path: &Path) -> FjallStore {
    FjallStore::open(path, LEN, &options()).unwrap()
}

fn nth(n: u64) -> EpochCommit {
    let at = Window(T0 + n as u32 * 10);
    let row = |client| {
        let mut counters = Counters::ZERO;
        counters[Measure::Flows] = (n % 9 + client) as i64;
        let key = EdgeKey {
            window: at,
            layer: Layer::Network,
            client: EntityId(client),
            server: EntityId(1_000 + n),
            proto: Proto::TCP,
            port: 443,
            direction: Direction::Known,
        };
        EdgeDelta { key, counters, first_ns: at.start() + 1, last_ns: at.start() + 2 }
    };
    EpochCommit {
        epoch: n,
        edges: (1..60).map(row).collect(),
        folded: Window(at.0.saturating_sub(60)),
        ..EpochCommit::default()
    }
}

/// A store that stopped at a broken block of packed windows.
fn stopped(path: &Path) {
    let mut store = open(path);
    for n in 1..=EPOCHS {
        store.commit(&nth(n)).unwrap();
    }
    drop(store);
    let db = fjall::Database::builder(path).open().unwrap();
    let name = db.list_keyspace_names().into_iter().find(|name| name.starts_with("pack-10-"));
    let packs = db.keyspace(&name.unwrap(), fjall::KeyspaceCreateOptions::default).unwrap();
    packs.rotate_memtable_and_wait().unwrap();
    let tables = packs.path().join("tables");
    drop((packs, db));
    let table = fs::read_dir(tables).unwrap().map(|entry| entry.unwrap().path());
    let table = table.max_by_key(|table| fs::metadata(table).unwrap().len()).unwrap();
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&table, bytes).unwrap();
    // As the engine leaves it when it comes to sort that table.
    super::mark(path);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// All that a store says: its levels window by window, which windows it names, and its counts.
type Said = (BTreeMap<(u32, Window), Vec<EdgeDelta>>, Vec<Apart>, BTreeMap<String, i64>, u64);

fn said(path: &Path) -> Said {
    let store = open(path);
    for left in [MARK, NOTE] {
        assert!(!path.join(left).exists(), "{left} is still there");
    }
    let reader = store.reader();
    let mut rows = BTreeMap::new();
    {
        let history = reader.history();
        for len in [LEN, WindowLen::try_new(60).unwrap()] {
            let mut at = len.window(Window(T0).start());
            while at.0 < T0 + EPOCHS as u32 * 10 {
                let range = TimeRange { from: at.start(), to: at.end(len) };
                let plan = Plan { spans: vec![Span { len, range }] };
                let mut here = Vec::new();
                let answer =
                    history.edges(&plan, &Select::default(), &mut |row| here.push(*row)).unwrap();
                if answer.is_whole() {
                    rows.insert((len.secs(), at), here);
                }
                at = at.next(len);
            }
        }
    }
    let checkpoint = reader.checkpoint().unwrap();
    let apart = reader.history().apart();
    let tallies = checkpoint.tallies.iter().map(|(name, count)| (name.to_string(), *count));
    let said = (rows, apart, tallies.collect(), checkpoint.epoch);
    drop((reader, store));
    let db = fjall::Database::builder(path).open().unwrap();
    let names: BTreeSet<String> =
        db.list_keyspace_names().iter().map(ToString::to_string).collect();
    assert!(!names.contains(MEND), "{names:?}");
    said
}

#[test]
fn mender_that_dies() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let after: usize = std::env::var(DIES_AFTER).unwrap().parse().unwrap();
    let mut done = 0;
    let mut step = |_: &'static str| {
        done += 1;
        if done == after {
            // No destructor runs: what is not on its way to the disk is gone.
            std::process::abort();
        }
    };
    in_steps(Path::new(&path), &options(), &mut step).unwrap();
}

/// Mends in a process that dies after so many steps; whether it came that far.
fn dies(path: &Path, after: usize) -> bool {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lsm::mend::tests::mender_that_dies", "--nocapture"])
        .env(CHILD, path)
        .env(DIES_AFTER, after.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    // One that fails in another way has a code.
    assert!(child.success() || child.code().is_none(), "{child}");
    !child.success()
}

#[test]
fn mending_that_is_cut_off_after_any_step_is_done_by_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    stopped(&path("stopped"));
    copy(&path("stopped"), &path("whole"));
    let whole = said(&path("whole"));
    assert!((1..30).contains(&whole.1.len()), "{:?}", whole.1);
    assert_eq!(whole.3, EPOCHS);

    copy(&path("stopped"), &path("watched"));
    let mut steps: Vec<&str> = Vec::new();
    in_steps(&path("watched"), &options(), &mut |step| steps.push(step)).unwrap();
    for (after, step) in (1..).zip(&steps) {
        // Of the many alike the first two.
        if steps[..after].iter().filter(|s| *s == step).count() > 2 {
            continue;
        }
        copy(&path("stopped"), &path("cut"));
        assert!(dies(&path("cut"), after), "{step}");
        // And again while it is mended for the second time, as far on.
        for again in [0, after] {
            copy(&path("cut"), &path("again"));
            if again > 0 {
                dies(&path("again"), again);
            }
            assert_eq!(said(&path("again")), whole, "{step}, then {again}");
            open(&path("again")).commit(&nth(EPOCHS + 1)).unwrap();
            fs::remove_dir_all(path("again")).unwrap();
        }
        fs::remove_dir_all(path("cut")).unwrap();
    }
    let named: BTreeSet<&str> = steps.into_iter().collect();
    assert_eq!(
        Vec::from_iter(named),
        [
            "filled",
            "half filled",
            "half saved",
            "its ledger begins anew",
            "made",
            "noted",
            "opened",
            "read",
            "saved",
            "set apart",
            "the note is gone",
            "the old one is gone",
            "what was saved is gone",
        ]
    );
}
