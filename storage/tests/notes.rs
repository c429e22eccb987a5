//! What every store promises of notes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use portolan_model::{
    Attributes, CallProtocol, CallSource, CatalogueRecord, ChangeKind, ChangeRecord, EntityId,
    EpochCommit, HealthKey, HealthRow, Notes, Subject, TimeRange, TraceCall, TraceRow, Window,
    WindowLen,
};
use portolan_storage::{CommitEpoch, FjallStore, MemoryStore, Options, ReadNotes};

fn row(name: &str, from: u64, known: u64, owner: &str) -> CatalogueRecord {
    CatalogueRecord {
        subject: Subject { name: name.into(), ..Subject::default() },
        from,
        known,
        observed_at: from,
        said: Attributes { owner: owner.into(), ..Attributes::default() },
    }
}

fn change(at: u64, id: &str) -> ChangeRecord {
    ChangeRecord {
        at,
        id: id.into(),
        subject: Subject { name: "web".into(), ..Subject::default() },
        kind: ChangeKind::Deploy,
        title: "".into(),
        version: "v1".into(),
        author: "".into(),
        url: "".into(),
        labels: Vec::new(),
        observed_at: at,
        known: at,
    }
}

fn health(server: u64, judged: u32) -> HealthRow {
    let key = HealthKey { client: EntityId(7), server: EntityId(server) };
    HealthRow { judged: Window(judged), ..HealthRow::new(key, Window(1)) }
}

fn trace(trace: u128, start: u64) -> TraceRow {
    let call = TraceCall {
        start,
        end: start + 1,
        client: EntityId(1),
        server: EntityId(2),
        source: CallSource::TracePair,
        protocol: CallProtocol::Http,
        operation: EntityId::NONE,
        client_error: false,
        server_error: true,
        took: [Some(1), None],
    };
    TraceRow { trace, calls: vec![call] }
}

fn commit(epoch: u64, notes: Notes) -> EpochCommit {
    EpochCommit { epoch, notes, ..EpochCommit::default() }
}

fn owners(store: &dyn ReadNotes) -> Vec<String> {
    store.catalogue().values().map(|row| row.said.owner.to_string()).collect()
}

fn told(store: &dyn ReadNotes, from: u64, to: u64, most: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let range = TimeRange { from, to };
    store
        .changes(range, &mut |change| {
            ids.push(change.id.to_string());
            ids.len() < most
        })
        .unwrap();
    ids
}

fn fill<S: CommitEpoch + ReadNotes>(store: &mut S) {
    let catalogue = vec![row("web", 5, 9, "red"), row("db", 5, 9, "blue")];
    let changes = vec![change(300, "late"), change(1, "first"), change(255, "b"), change(255, "a")];
    let notes = Notes { catalogue, changes, ..Notes::default() };
    let judged = vec![health(1, 2), health(2, 2), health(9, 2)];
    let traces = vec![trace(2, 5), trace(1 << 100, 5), trace(9, 5)];
    store.commit(&EpochCommit { health: judged, traces, ..commit(1, notes) }).unwrap();
    let before = store.catalogue();
    let corrected = vec![row("web", 5, 10, "pink")];
    let notes = Notes {
        catalogue: corrected,
        catalogue_gone: vec![row("db", 5, 9, "").key()],
        changes: vec![change(300, "late")],
        changes_gone: vec![change(1, "first").key()],
    };
    let health_gone = vec![health(9, 2).key];
    let second = EpochCommit {
        health: vec![health(1, 3)],
        health_gone,
        traces: vec![trace(2, 8)],
        traces_gone: vec![9],
        ..commit(2, notes)
    };
    store.commit(&second).unwrap();
    assert_eq!(before.len(), 2, "a reader keeps the epoch that it has");
}

fn check(store: &dyn ReadNotes) {
    assert_eq!(owners(store), ["red", "pink"], "a correction stands beside what was known");
    assert_eq!(told(store, 0, u64::MAX, 9), ["a", "b", "late"]);
    assert_eq!(told(store, 255, 300, 9), ["a", "b"], "the end is not in the range");
    assert_eq!(told(store, 256, 301, 9), ["late"]);
    assert_eq!(told(store, 0, u64::MAX, 2), ["a", "b"], "a visitor may stop");
    assert_eq!(told(store, 300, 300, 9), [""; 0]);
    assert_eq!(told(store, 300, 2, 9), [""; 0]);
    let mut rows = Vec::new();
    store.health(&mut |row| rows.push(*row)).unwrap();
    assert_eq!(rows, [health(1, 3), health(2, 2)], "the last word of each, in order");
    let mut traces = Vec::new();
    store.traces(&mut |row| traces.push(row.clone())).unwrap();
    assert_eq!(traces, [trace(2, 8), trace(1 << 100, 5)]);
}

#[test]
fn notes_are_kept_corrected_and_removed_in_memory() {
    let mut store = MemoryStore::new(WindowLen::BASE);
    fill(&mut store);
    check(&store);
}

#[test]
fn notes_are_kept_corrected_and_removed_on_disk_and_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let options = Options::small();
    let mut store = FjallStore::open(&path, WindowLen::BASE, &options).unwrap();
    fill(&mut store);
    check(&store);
    check(&store.fjall_reader());
    drop(store);
    check(&FjallStore::open(&path, WindowLen::BASE, &options).unwrap());
}
