use std::sync::Mutex;

use portolan_graph::Graph;
use portolan_model::{
    CallDelta, ChangeRecord, Collapse, Counters, Direction, EdgeDelta, EdgeKey, EntityKind,
    EpochCommit, Evidence, HealthRow, HopClass, Layer, Loss, Measure, OwnerRecord, PathDelta,
    PathKey, PathKind, Position, Proto, TopicPartition, TraceRow, Window,
};
use portolan_storage::{
    Answer, CatalogueRows, CommitEpoch, Error as StoreError, History, Level, MemoryStore, NowRange,
    Plan, ReadCheckpoint, ReadEdges, ReadHistory, ReadNotes, Select,
};

use super::*;

/// A store that commits an epoch whenever edges are read, while there is one.
struct Racing {
    store: MemoryStore,
    next: Arc<Mutex<Vec<EpochCommit>>>,
}

/// A look at it.
struct Look<'a> {
    racing: &'a Racing,
    history: Box<dyn History + 'a>,
}

impl History for Look<'_> {
    fn checkpoint(&self) -> Arc<Checkpoint> {
        self.history.checkpoint()
    }
    fn levels(&self) -> Vec<Level> {
        self.history.levels()
    }
    fn extent(&self) -> Result<Option<TimeRange>, StoreError> {
        self.history.extent()
    }
    fn edges(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&EdgeDelta),
    ) -> Result<Answer, StoreError> {
        if let Some(commit) = self.racing.next.lock().unwrap().pop() {
            self.racing.store.clone().commit(&commit)?;
        }
        self.history.edges(plan, select, visit)
    }
    fn paths(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&PathDelta),
    ) -> Result<Answer, StoreError> {
        self.history.paths(plan, select, visit)
    }
    fn calls(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&CallDelta),
    ) -> Result<Answer, StoreError> {
        self.history.calls(plan, select, visit)
    }
}

impl ReadEdges for Racing {
    fn window_len(&self) -> WindowLen {
        self.store.window_len()
    }
    fn edges(&self, range: TimeRange, visit: &mut dyn FnMut(&EdgeDelta)) -> Result<(), StoreError> {
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
        Box::new(Look { racing: self, history: self.store.history() })
    }
}

impl ReadNotes for Racing {
    fn catalogue(&self) -> Arc<CatalogueRows> {
        self.store.catalogue()
    }
    fn changes(
        &self,
        range: TimeRange,
        visit: &mut dyn FnMut(ChangeRecord) -> bool,
    ) -> Result<(), StoreError> {
        self.store.changes(range, visit)
    }
    fn traces(&self, visit: &mut dyn FnMut(&TraceRow)) -> Result<(), StoreError> {
        self.store.traces(visit)
    }
    fn health(&self, visit: &mut dyn FnMut(&HealthRow)) -> Result<(), StoreError> {
        self.store.health(visit)
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

/// A reader, and the epochs that come while it reads, last first.
fn reader(
    commits: &[EpochCommit],
    racing: Vec<EpochCommit>,
) -> (StoreReader, Arc<Mutex<Vec<EpochCommit>>>) {
    let mut store = MemoryStore::new(WindowLen::BASE);
    for commit in commits {
        store.commit(commit).unwrap();
    }
    let live = Arc::new(Live::load(&store, NowRange::default()).unwrap());
    let next = Arc::new(Mutex::new(racing));
    (StoreReader::new(Arc::new(Racing { store, next: next.clone() }), live), next)
}

fn read(reader: &StoreReader, range: TimeRange) -> (Graph, Snapshot) {
    let mut rows = ViewBuilder::new(Collapse::default());
    let past = Past { range, known_at: None };
    let snapshot = reader.past(&past, 1000, &Cancel::default(), &mut rows).unwrap();
    let view = rows.finish(&|id| (id == hop().id()).then_some(HopClass::ClusterIp));
    (Graph::new(view, &|id| reader.entity(id)), snapshot)
}

#[test]
fn edges_and_paths_are_of_one_epoch_although_another_is_committed_meanwhile() {
    let (reader, next) = reader(&[epoch(1)], vec![epoch(2)]);
    let (graph, snapshot) = read(&reader, TimeRange::ALL);
    assert!(next.lock().unwrap().is_empty(), "it was committed meanwhile");
    let [edge] = graph.edges() else { panic!("a leg is left over: {:?}", graph.edges()) };
    assert_eq!(edge.counters[Measure::Flows], 1);
    assert_eq!(snapshot.epoch, 1);
    assert_eq!(graph.doubts().inconsistent(), 0);
    let (graph, snapshot) = read(&reader, TimeRange::ALL);
    assert_eq!((graph.edges()[0].counters[Measure::Flows], snapshot.epoch), (2, 2));
}

/// The windows that are open are taken from the live graph, but not from one of another epoch.
#[test]
fn open_windows_of_another_epoch_are_read_from_the_store() {
    let flows = |reader: &StoreReader| {
        let (graph, snapshot) = read(reader, TimeRange::ALL);
        (graph.edges()[0].counters[Measure::Flows], snapshot.epoch)
    };
    let mut store = MemoryStore::new(WindowLen::BASE);
    store.commit(&epoch(1)).unwrap();
    let live = Arc::new(Live::load(&store, NowRange::default()).unwrap());
    let reader = StoreReader::new(Arc::new(store.clone()), live.clone());
    // What only the live graph has shows that it was asked.
    let mut apart = MemoryStore::new(WindowLen::BASE);
    let doubled = [epoch(1), epoch(1)].map(|commit| commit.edges).concat();
    apart.commit(&EpochCommit { edges: doubled, ..epoch(1) }).unwrap();
    let other = Arc::new(Live::load(&apart, NowRange::default()).unwrap());
    let astray = StoreReader::new(Arc::new(store.clone()), other);
    assert_ne!(
        flows(&astray),
        flows(&reader),
        "the live graph is of the store's epoch: it is asked"
    );
    // The store goes ahead of the live graph, as between a commit and its word to the graph.
    store.commit(&epoch(2)).unwrap();
    assert_eq!((flows(&reader), flows(&astray)), ((2, 2), (2, 2)));
    live.apply(&epoch(2));
    assert_eq!(flows(&reader), (2, 2));
}

fn later(epoch_number: u64, window: Window) -> EpochCommit {
    let mut later = epoch(epoch_number);
    for row in &mut later.edges {
        row.key.window = window;
    }
    later.paths[0].key.window = window;
    later.clock = window.start();
    later.watermark = later.clock;
    later.folded = window;
    later
}

#[test]
fn range_covers_whole_windows_from_the_first_with_rows_to_the_watermark() {
    let (reader, _) = reader(&[epoch(1), later(2, Window(90_000))], vec![]);
    let (graph, snapshot) = read(&reader, TimeRange::ALL);
    assert_eq!(graph.edges()[0].counters[Measure::Flows], 2);
    let covered = TimeRange { from: Window(1000).start(), to: Window(90_010).start() };
    assert_eq!(snapshot.covered, Some(covered));
    assert_eq!(snapshot.open_from, Window(90_000).start());
}

#[test]
fn steps_are_folded_apart_and_silent_ones_are_there() {
    let (reader, _) = reader(&[epoch(1), later(2, Window(1030))], vec![]);
    let past = Past { range: TimeRange::ALL, known_at: None };
    let cut = Cut::Every(20);
    let steps = Steps { cut, collapse: Collapse::None, entities: vec![], most: 10 };
    let mut seen = Vec::new();
    let snapshot = reader.steps(&past, &steps, &Cancel::default(), &mut |step| {
        seen.push((step.covered.from / 1_000_000_000, step.view.len()));
        Ok(())
    });
    assert_eq!(seen, [(1000, 2), (1020, 2)]);
    assert_eq!(snapshot.unwrap().spans.len(), 1);
}

#[test]
fn what_was_known_before_is_unknown_to_a_store_that_does_not_keep_it() {
    let (reader, _) = reader(&[epoch(1), later(2, Window(90_000))], vec![]);
    let mut rows = ViewBuilder::new(Collapse::default());
    let past = Past { range: TimeRange::ALL, known_at: Some(Window(2000).start()) };
    let snapshot = reader.past(&past, 1000, &Cancel::default(), &mut rows).unwrap();
    assert_eq!((rows.len(), snapshot.unknown), (0, vec![snapshot.covered.unwrap()]));
}

#[test]
fn reading_stops_when_nobody_waits() {
    let (reader, _) = reader(&[epoch(1)], vec![]);
    let cancel = Cancel::default();
    cancel.cancel();
    let mut rows = ViewBuilder::new(Collapse::default());
    let past = Past { range: TimeRange::ALL, known_at: None };
    let read = reader.past(&past, 1000, &cancel, &mut rows);
    assert!(matches!(read, Err(Error::Cancelled)));
}

#[test]
fn losses_are_the_tally_of_the_line_and_those_since_a_range_began_are_named_by_topic() {
    let partition = TopicPartition { cluster: "a".into(), topic: "b".into(), partition: 0 };
    let loss = |at| Loss { partition: partition.clone(), from: 3, to: 10, at };
    let commit = EpochCommit {
        losses: vec![loss(1), loss(Window(5000).start())],
        tallies: vec![("lost".into(), 14)],
        positions: vec![Position { partition: partition.clone(), next: 10, reread: 10 }],
        ..epoch(1)
    };
    let (reader, _) = reader(&[commit], vec![]);
    let snapshot = read(&reader, TimeRange::ALL).1;
    assert_eq!(snapshot.records_lost, 14);
    let [source] = snapshot.sources.as_slice() else { panic!("{:?}", snapshot.sources) };
    assert_eq!((&*source.topic, source.partitions, source.records_lost), ("b", 1, 7));
    let mut rows = ViewBuilder::new(Collapse::default());
    assert_eq!(reader.now(&mut rows).unwrap().records_lost, 14);
}
