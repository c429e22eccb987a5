//! A line of test stages, a store that can be made to fail, and a broker with flows in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use portolan_actors::embedded::EmbeddedBroker;
use portolan_actors::publish::Publisher;
use portolan_actors::{
    ActorsConfig, Blueprint, ExitReason, KafkaCluster, Running, Stages, Topic, start_with,
};
use portolan_model::{
    Barrier, Counters, Direction, EdgeDelta, EdgeKey, EntityId, EpochCommit, Layer, Measure, Proto,
    TimeRange, TopicPartition, WindowLen,
};
use portolan_pipeline::{
    Deltas, EdgeAggregator, Hops, Intake, LineConfig, Restored, Stage, WindowCompactor,
};
use portolan_storage::{CommitEpoch, Error, MemoryStore, ReadCheckpoint, ReadEdges};

pub(crate) const FLOWS: &str = "flows";
pub(crate) const OWNERS: &str = "owners";
pub(crate) const CLUSTER: &str = "test";
/// Nothing here takes as long, unless it never comes.
pub(crate) const NEVER: Duration = Duration::from_secs(60);

/// Holds up whoever passes while it is closed.
pub(crate) struct Gate(Mutex<bool>, Condvar);

impl Gate {
    pub(crate) fn close(&self) {
        *self.0.lock().unwrap() = false;
    }

    pub(crate) fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self(Mutex::new(true), Condvar::new())
    }
}

/// What the test stages do wrong, and what they saw. Shared by all generations.
#[derive(Default)]
pub(crate) struct Script {
    /// The resolver panics at this flow …
    pub(crate) panic_at: AtomicI64,
    /// … this many times.
    pub(crate) panics_left: AtomicU64,
    /// The collapser panics at the next barrier, this many times.
    pub(crate) barrier_panics_left: AtomicU64,
    /// What the resolver took in, in order: `o` or `f`.
    pub(crate) order: Mutex<String>,
    /// Flow records that were read again.
    pub(crate) reread: AtomicU64,
}

/// Counts every flow once: its bytes are its number, and a number that was seen is not counted.
/// Remembers all numbers, so that a restart must read everything again.
pub(crate) struct OnceResolver {
    script: Arc<Script>,
    seen: BTreeSet<u64>,
    first: BTreeMap<u32, i64>,
    fresh: u64,
}

impl Stage for OnceResolver {
    type In = Intake;
    type Out = Hops;
    const NAME: &'static str = "flow_resolver";

    fn apply(&mut self, batch: Intake) -> Option<Hops> {
        let Intake::Flows(batch) = batch else {
            self.script.order.lock().unwrap().push('o');
            return None;
        };
        self.script.order.lock().unwrap().push('f');
        let first = self.first.entry(batch.partition.0).or_insert(batch.first_offset);
        *first = (*first).min(batch.first_offset);
        let mut hops = Hops::default();
        for row in batch.flows.rows() {
            if row.bytes as i64 == self.script.panic_at.load(SeqCst)
                && take(&self.script.panics_left)
            {
                panic!("flow {} is not to my taste", row.bytes);
            }
            self.fresh += 1;
            if !self.seen.insert(row.bytes) {
                continue;
            }
            let mut counters = Counters::ZERO;
            counters[Measure::Flows] = 1;
            counters[Measure::BytesSent] = row.bytes as i64;
            hops.deltas.edges.push(EdgeDelta {
                key: EdgeKey {
                    window: WindowLen::BASE.window(row.end),
                    layer: Layer::Network,
                    client: EntityId(u64::from(row.src_port)),
                    server: EntityId(u64::from(row.dst_port)),
                    proto: Proto(6),
                    port: row.dst_port,
                    direction: Direction::Known,
                },
                counters,
                first_ns: row.start,
                last_ns: row.end,
            });
        }
        Some(hops)
    }

    fn barrier(&mut self, barrier: &mut Barrier) -> Option<Hops> {
        let fresh = std::mem::take(&mut self.fresh);
        if barrier.rebuild {
            self.script.reread.fetch_add(fresh, SeqCst);
        }
        for (id, position) in &mut barrier.positions {
            if let Some(first) = self.first.get(&id.0) {
                position.reread = *first;
            }
        }
        None
    }

    fn records(batch: &Intake) -> usize {
        match batch {
            Intake::Flows(batch) => batch.flows.len(),
            Intake::Owners(events) => events.len(),
            Intake::Notes(notes) => notes.len(),
            Intake::Spans(batch) => batch.spans.len(),
            Intake::Metrics(batch) => batch.metrics.len(),
        }
    }
}

/// Passes edges on.
pub(crate) struct PassCollapser(Arc<Script>);

impl Stage for PassCollapser {
    type In = Hops;
    type Out = Deltas;
    const NAME: &'static str = "path_collapser";

    fn apply(&mut self, batch: Hops) -> Option<Deltas> {
        Some(batch.deltas)
    }

    fn barrier(&mut self, _: &mut Barrier) -> Option<Deltas> {
        assert!(!take(&self.0.barrier_panics_left), "this barrier is not to my taste");
        None
    }

    fn records(batch: &Hops) -> usize {
        batch.deltas.edges.len()
    }
}

fn take(left: &AtomicU64) -> bool {
    left.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok()
}

pub(crate) struct TestStages(pub(crate) Arc<Script>);

impl Blueprint for TestStages {
    type Resolver = OnceResolver;
    type Collapser = PassCollapser;
    type Aggregator = EdgeAggregator;
    type Compactor = WindowCompactor;

    fn build(
        &mut self,
        config: &LineConfig,
        restored: &Restored,
    ) -> Stages<OnceResolver, PassCollapser, EdgeAggregator, WindowCompactor> {
        let script = Arc::clone(&self.0);
        Stages {
            resolver: OnceResolver {
                script,
                seen: BTreeSet::new(),
                first: BTreeMap::new(),
                fresh: 0,
            },
            collapser: PassCollapser(Arc::clone(&self.0)),
            aggregator: EdgeAggregator::new(config, restored),
            compactor: WindowCompactor::new(config),
        }
    }
}

/// The store in memory, which fails as it is told.
pub(crate) struct FaultyStore {
    pub(crate) inner: MemoryStore,
    pub(crate) fail: Arc<Mutex<Vec<Error>>>,
    pub(crate) gate: Arc<Gate>,
}

impl CommitEpoch for FaultyStore {
    fn commit(&mut self, commit: &EpochCommit) -> Result<(), Error> {
        self.gate.pass();
        if let Some(error) = self.fail.lock().unwrap().pop() {
            return Err(error);
        }
        self.inner.commit(commit)
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.inner.sync()
    }
}

/// A broker, a store and a script, which outlive the lines that run on them.
pub(crate) struct World {
    pub(crate) broker: EmbeddedBroker,
    pub(crate) publisher: Publisher,
    pub(crate) store: MemoryStore,
    pub(crate) fail: Arc<Mutex<Vec<Error>>>,
    /// Commits wait while it is closed.
    pub(crate) gate: Arc<Gate>,
    pub(crate) script: Arc<Script>,
    pub(crate) config: ActorsConfig,
}

/// A line that runs, and the epochs it commits.
pub(crate) struct Ran {
    pub(crate) running: Running,
    commits: mpsc::Receiver<EpochCommit>,
    store: MemoryStore,
}

impl World {
    /// A broker with `partitions` partitions of flows and one of owners.
    pub(crate) fn new(partitions: i32) -> Self {
        let broker = EmbeddedBroker::start().unwrap();
        broker.create_topic(FLOWS, partitions).unwrap();
        broker.create_topic(OWNERS, 1).unwrap();
        let publisher = Publisher::new(broker.brokers(), &BTreeMap::new()).unwrap();
        let cluster = KafkaCluster {
            name: CLUSTER.into(),
            brokers: broker.brokers().into(),
            properties: BTreeMap::new(),
            topics: vec![topic(FLOWS, "netobserv-json"), topic(OWNERS, "portolan-json")],
        };
        let config = ActorsConfig {
            clusters: vec![cluster],
            commit_interval: Duration::from_millis(50),
            idle_interval: Duration::from_millis(200),
            offsets_refresh: Duration::from_millis(50),
            metadata_refresh: Duration::from_millis(100),
            line: LineConfig { retention_secs: 0, ..LineConfig::default() },
            ..ActorsConfig::default()
        };
        let store = MemoryStore::new(WindowLen::BASE);
        Self {
            broker,
            publisher,
            store,
            fail: Arc::default(),
            gate: Arc::default(),
            script: Arc::default(),
            config,
        }
    }

    /// Starts a line.
    pub(crate) fn start(&self) -> Ran {
        let (told, commits) = mpsc::channel();
        let store = FaultyStore {
            inner: self.store.clone(),
            fail: Arc::clone(&self.fail),
            gate: Arc::clone(&self.gate),
        };
        let running = start_with(
            self.config.clone(),
            Box::new(store),
            Arc::new(self.store.clone()),
            Box::new(move |commit: &EpochCommit| {
                let _ = told.send(commit.clone());
            }),
            TestStages(Arc::clone(&self.script)),
        );
        Ran { running: running.unwrap(), commits, store: self.store.clone() }
    }

    /// Publishes flows `numbers`, spread over `partitions`.
    pub(crate) fn publish(&self, numbers: std::ops::Range<u64>, partitions: i32) {
        for number in numbers {
            let partition = (number % partitions as u64) as i32;
            self.publisher.send(FLOWS, Some(partition), None, flow(number).as_bytes()).unwrap();
        }
        self.publisher.flush(NEVER).unwrap();
    }

    pub(crate) fn publish_owner(&self, payload: &str) {
        self.publisher.send(OWNERS, Some(0), Some(b"key"), payload.as_bytes()).unwrap();
        self.publisher.flush(NEVER).unwrap();
    }

    pub(crate) fn tally(&self, name: &str) -> i64 {
        let checkpoint = self.store.checkpoint().unwrap();
        checkpoint.tallies.iter().find(|(n, _)| &**n == name).map_or(0, |(_, v)| *v)
    }
}

impl Ran {
    /// Waits for a commit after which `done` holds.
    pub(crate) fn until(&self, done: impl Fn(&MemoryStore) -> bool) {
        let deadline = Instant::now() + NEVER;
        while !done(&self.store) {
            let left = deadline.saturating_duration_since(Instant::now());
            let came = self.commits.recv_timeout(left).is_ok();
            assert!(came, "never: {:?}, {:?}", self.running.ended(), self.running.status());
        }
    }

    /// Waits until `flows` flows are in the store.
    pub(crate) fn until_counted(&self, flows: i64) {
        self.until(|store| counted(store) >= flows);
    }

    /// Stops it, and expects that everything was committed.
    pub(crate) fn stop(self) {
        self.running.stop();
        assert_eq!(self.running.wait_blocking(), ExitReason::Stopped);
    }
}

/// Waits for something that has no event of its own.
pub(crate) fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + NEVER;
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn topic(name: &str, encoding: &str) -> Topic {
    Topic {
        name: name.into(),
        encoding: encoding.parse().unwrap(),
        scope: "test".into(),
        gaps_are_losses: true,
        fields: None,
    }
}

pub(crate) fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { cluster: CLUSTER.into(), topic: topic.into(), partition }
}

/// Flow `number`: its bytes are its number; 7 edges in 3 windows.
pub(crate) fn flow(number: u64) -> String {
    let at = 1_795_420_230_000 + (number % 3) * 10_000;
    format!(
        r#"{{"SrcAddr":"10.0.0.1","DstAddr":"10.0.0.2","SrcPort":{},"DstPort":80,"Proto":6,
        "Etype":2048,"Bytes":{number},"Packets":1,"TimeFlowStartMs":{at},"TimeFlowEndMs":{at}}}"#,
        1_000 + number % 7,
    )
}

/// Flows in the store.
pub(crate) fn counted(store: &MemoryStore) -> i64 {
    sum(store, Measure::Flows)
}

pub(crate) fn sum(store: &MemoryStore, measure: Measure) -> i64 {
    let mut sum = 0;
    store.edges(TimeRange::ALL, &mut |edge| sum += edge.counters[measure]).unwrap();
    sum
}

/// Every row, to compare two runs.
pub(crate) fn rows(store: &MemoryStore) -> Vec<EdgeDelta> {
    let mut rows = Vec::new();
    store.edges(TimeRange::ALL, &mut |edge| rows.push(*edge)).unwrap();
    rows
}

/// The sum of the numbers `0..flows`: what the bytes come to if each was counted once.
pub(crate) fn gauss(flows: i64) -> i64 {
    flows * (flows - 1) / 2
}
