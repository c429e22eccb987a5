use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use portolan_graph::Graph;
use portolan_model::{
    CallDelta, Collapse, Counters, Direction, EdgeKey, EntityKind, EpochCommit, Evidence, HopClass,
    Layer, Loss, Measure, OwnerRecord, PathKey, PathKind, Proto, TopicPartition, Window,
};
use portolan_storage::{
    CommitEpoch, Error as StoreError, History, MemoryStore, NowRange, ReadCheckpoint, ReadEdges,
    ReadHistory,
};

use super::*;

/// A store that commits an epoch whenever edges are read, while there is one.
struct Racing {
    store: MemoryStore,
    next: Mutex<Vec<EpochCommit>>,
    /// How often edges were read.
    reads: Arc<AtomicU32>,
}

impl ReadEdges for Racing {
    fn window_len(&self) -> WindowLen {
        self.store.window_len()
    }
    fn edges(&self, range: TimeRange, visit: &mut dyn FnMut(&EdgeDelta)) -> Result<(), StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if let Some(commit) = self.next.lock().unwrap().pop() {
            self.store.clone().commit(&commit)?;
        }
        self.store.edges(range, visit)
    }
    fn paths(&self, range: TimeRange, visit: &mut dyn FnMut(&PathDelta)) -> Result<(), StoreError> {
        self.store.paths(range, visit)
    }
    fn calls(&self, range: TimeRange, visit: &mut dyn FnMut(&CallDelta)) -> Result<(), StoreError> {
        self.store.calls(range, visit)
    }
    fn entity(&self, id: EntityId) -> Option<Arc<Entity>> {
        self.store.entity(id)
    }
    fn entities(&self, visit: &mut dyn FnMut(EntityId, &Arc<Entity>)) {
        self.store.entities(visit);
    }
    fn span(&self) -> Result<Option<(Window, Window)>, StoreError> {
        self.store.span()
    }
    fn disk_bytes(&self) -> u64 {
        0
    }
}

impl ReadHistory for Racing {
    fn history(&self) -> Box<dyn History + '_> {
        self.store.history()
    }
}

impl ReadCheckpoint for Racing {
    fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.store.checkpoint()
    }
    fn owners(&self, visit: &mut dyn FnMut(OwnerRecord)) -> Result<(), StoreError> {
        self.store.owners(visit)
    }
}

fn hop() -> Entity {
    Entity::new(EntityKind::Hop(HopClass::ClusterIp), "shop", "cart")
}

fn workload(name: &str) -> Entity {
    Entity::new(EntityKind::Workload, "shop", name)
}

/// One more connection from `web` over the service address to `cart`.
fn epoch(epoch: u64) -> EpochCommit {
    let mut counters = Counters::ZERO;
    counters[Measure::Flows] = 1;
    let (web, cart, hop) = (workload("web"), workload("cart"), hop());
    let window = Window(1000);
    let (layer, proto, direction) = (Layer::Network, Proto::TCP, Direction::Known);
    let edge = |server: &Entity, port| EdgeDelta {
        key: EdgeKey {
            window,
            layer,
            client: web.id(),
            server: server.id(),
            proto,
            port,
            direction,
        },
        counters,
        first_ns: window.start(),
        last_ns: window.start(),
    };
    let path = PathDelta {
        key: PathKey {
            window,
            layer,
            client: web.id(),
            server: cart.id(),
            proto,
            front_port: 80,
            port: 8080,
            via: [hop.id()].into_iter().collect(),
            kind: PathKind::Explained,
            evidence: Evidence::Rewrite,
        },
        counters,
        first_ns: window.start(),
        last_ns: window.start(),
    };
    let mut edges = vec![edge(&hop, 80), edge(&cart, 8080)];
    edges.sort_by_key(|row| row.key);
    EpochCommit {
        epoch,
        clock: window.start(),
        watermark: window.start(),
        edges,
        paths: vec![path],
        entities: [web, cart, hop].into_iter().map(|e| (e.id(), e)).collect(),
        ..EpochCommit::default()
    }
}

fn reader(commits: &[EpochCommit], racing: Vec<EpochCommit>) -> StoreReader {
    counted(commits, racing).0
}

/// A reader, and how often it read edges.
fn counted(commits: &[EpochCommit], racing: Vec<EpochCommit>) -> (StoreReader, Arc<AtomicU32>) {
    let mut store = MemoryStore::new(WindowLen::BASE);
    for commit in commits {
        store.commit(commit).unwrap();
    }
    let live = Arc::new(Live::load(&store, NowRange::default()).unwrap());
    let reads = Arc::default();
    let racing = Racing { store, next: racing.into(), reads: Arc::clone(&reads) };
    (StoreReader::new(Arc::new(racing), live), reads)
}

fn read(reader: &StoreReader, range: TimeRange) -> (Graph, Snapshot) {
    let mut rows = ViewBuilder::new(Collapse::default());
    let max = (1000, 1_000_000_000);
    let snapshot = reader.range(range, max, &Cancel::default(), &mut rows).unwrap();
    let view = rows.finish(&|id| (id == hop().id()).then_some(HopClass::ClusterIp));
    (Graph::new(view, &|id| reader.entity(id)), snapshot)
}

#[test]
fn edges_and_paths_are_of_one_epoch_although_another_is_committed_meanwhile() {
    let reader = reader(&[epoch(1)], vec![epoch(3), epoch(2)]);
    let (graph, snapshot) = read(&reader, TimeRange::ALL);
    let [edge] = graph.edges() else { panic!("a leg is left over: {:?}", graph.edges()) };
    assert_eq!(edge.counters[Measure::Flows], 3);
    assert_eq!(snapshot.epoch, 3);
    assert_eq!(graph.doubts().inconsistent(), 0);
}

#[test]
fn range_that_nobody_writes_to_is_read_once() {
    let (reader, reads) = counted(&[epoch(1)], vec![]);
    read(&reader, TimeRange::ALL);
    assert_eq!(reads.load(Ordering::Relaxed), 1);
}

#[test]
fn commits_faster_than_reads_do_not_hold_an_answer_up() {
    let many = (2..20).rev().map(epoch).collect();
    let (graph, snapshot) = read(&reader(&[epoch(1)], many), TimeRange::ALL);
    assert_eq!(graph.doubts().inconsistent(), 0, "older paths never overdraw newer edges");
    assert!(snapshot.epoch < 19);
}

#[test]
fn long_range_is_read_in_parts_and_comes_to_the_same() {
    let mut later = epoch(2);
    for row in &mut later.edges {
        row.key.window = Window(90_000);
    }
    later.paths[0].key.window = Window(90_000);
    later.clock = Window(90_000).start();
    later.watermark = later.clock;
    later.folded = Window(90_000);
    let reader = reader(&[epoch(1), later], vec![]);
    let (graph, snapshot) = read(&reader, TimeRange::ALL);
    assert_eq!(graph.edges().len(), 1);
    assert_eq!(graph.edges()[0].counters[Measure::Flows], 2);
    let covered = TimeRange { from: Window(1000).start(), to: Window(90_010).start() };
    assert_eq!(snapshot.covered, Some(covered));
}

#[test]
fn reading_stops_when_nobody_waits() {
    let reader = reader(&[epoch(1)], vec![]);
    let cancel = Cancel::default();
    cancel.cancel();
    let mut rows = ViewBuilder::new(Collapse::default());
    let read = reader.range(TimeRange::ALL, (1000, 1000), &cancel, &mut rows);
    assert!(matches!(read, Err(Error::Cancelled)));
}

#[test]
fn losses_are_the_tally_of_the_line() {
    let partition = TopicPartition { cluster: "a".into(), topic: "b".into(), partition: 0 };
    let commit = EpochCommit {
        losses: vec![Loss { partition, from: 3, to: 10, at: 1 }],
        tallies: vec![("lost".into(), 7)],
        ..epoch(1)
    };
    let reader = reader(&[commit], vec![]);
    assert_eq!(read(&reader, TimeRange::ALL).1.records_lost, 7);
    let mut rows = ViewBuilder::new(Collapse::default());
    assert_eq!(reader.now(&mut rows).unwrap().records_lost, 7);
}
