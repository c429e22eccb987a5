//! The simulated fleet through the line, message by message, against its truth.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_fleet::{Fleet, FleetSpec, FoundEdge, Message, Score, Topic, score};
use portolan_graph::View;
use portolan_model::{
    Barrier, Collapse, EntityId, EntityKind, FlowBatch, FlowColumns, Measure, Nanos, PartitionId,
    ScopeId, TimeRange, Window,
};
use portolan_pipeline::{Line, LineConfig, Restored};
use portolan_proto::{FlowDecoder, FlowEncoding, OwnerEncoding, decode_owners};
use portolan_storage::{CommitEpoch as _, MemoryStore, ReadEdges as _};

const START: Nanos = 1_795_420_000_000_000_000;
const SECOND: Nanos = 1_000_000_000;

struct Run {
    line: Line,
    store: MemoryStore,
    decoder: FlowDecoder,
    epoch: u64,
    newest: Nanos,
    sent: u64,
    accepted: u64,
}

impl Run {
    fn new() -> Self {
        let config = LineConfig::default();
        Self {
            line: Line::new(&config, &Restored::default()),
            store: MemoryStore::new(config.window),
            decoder: FlowDecoder::default(),
            epoch: 0,
            newest: START,
            sent: 0,
            accepted: 0,
        }
    }

    fn take(&mut self, messages: &[Message], now: Nanos) {
        let mut columns = FlowColumns::default();
        let mut refusals = Vec::new();
        for message in messages {
            match message.topic {
                Topic::Flows => {
                    self.sent += u64::from(message.records);
                    let scope = ScopeId::of("default");
                    let encoding = FlowEncoding::NetobservPb;
                    let payload = &message.payload;
                    let refused = &mut |why| refusals.push(why);
                    self.decoder.decode(encoding, scope, now, payload, &mut columns, refused);
                }
                Topic::Ownership => {
                    let encoding = OwnerEncoding::PortolanPb;
                    let (events, refused) =
                        decode_owners(encoding, "default", now, 1 << 20, &message.payload);
                    refusals.extend(refused);
                    self.line.owners(events);
                }
            }
        }
        assert!(refusals.is_empty(), "{refusals:?}");
        self.newest = columns.end.iter().copied().fold(self.newest, Nanos::max);
        self.accepted += columns.len() as u64;
        let partition = PartitionId(0);
        self.line.flows(FlowBatch { partition, first_offset: 0, flows: columns });
    }

    fn barrier(&mut self) {
        self.epoch += 1;
        let commit = self.line.barrier(Barrier {
            generation: 0,
            epoch: self.epoch,
            clock: self.newest,
            watermark: self.newest,
            positions: Vec::new(),
            losses: Vec::new(),
            rejects: Vec::new(),
            accepted: 0,
            rebuild: false,
            folded: Window::default(),
            tallies: Vec::new(),
        });
        self.store.commit(&commit.expect("no rebuild")).expect("memory takes every epoch");
    }

    fn found(&self) -> Vec<FoundEdge> {
        let mut edges = Vec::new();
        let mut paths = Vec::new();
        self.store.edges(TimeRange::ALL, &mut |row| edges.push(*row)).expect("works in a test");
        self.store
            .paths(TimeRange::ALL, &mut |row| paths.push(row.clone()))
            .expect("works in a test");
        let class = |id: EntityId| match self.store.entity(id).map(|e| e.kind) {
            Some(EntityKind::Hop(class)) => Some(class),
            _ => None,
        };
        let view = View::build(edges, paths, Collapse::ProvenAndDeclared, &class);
        assert_eq!(view.doubts, portolan_graph::Doubts::default(), "the rows add up");
        let entity = |id| Arc::unwrap_or_clone(self.store.entity(id).expect("every id has a name"));
        let edge = |e: &portolan_graph::Edge| FoundEdge {
            client: entity(e.link.client),
            server: entity(e.link.server),
            proto: e.link.proto,
            port: e.link.port,
            connections: e.counters[Measure::Connections] as u64,
            bytes_sent: e.counters[Measure::BytesSent] as u64,
            bytes_received: e.counters[Measure::BytesReceived] as u64,
        };
        view.edges.iter().map(edge).collect()
    }
}

/// Runs a fleet for some seconds in epochs of one second.
fn run(spec: FleetSpec, seconds: u64) -> (Score, BTreeMap<String, i64>) {
    // Another place within the window for every seed: what lies on a boundary is hardest.
    let start = START + spec.seed * 1_531_000_000;
    let mut fleet = Fleet::try_new(spec, start).expect("works in a test");
    let mut run = Run::new();
    run.take(&fleet.ownership(), start);
    for second in 1..=seconds {
        let now = start + second * SECOND;
        let messages = fleet.tick(now);
        run.take(&messages, now);
        run.barrier();
    }
    let messages = fleet.close(start + seconds * SECOND);
    run.take(&messages, start + (seconds + 30) * SECOND);
    run.barrier();
    assert_eq!(run.sent, run.accepted);
    let tallies =
        portolan_storage::ReadCheckpoint::checkpoint(&run.store).expect("works in a test").tallies;
    let tallies = tallies.into_iter().map(|(name, by)| (name.to_string(), by)).collect();
    (score(&fleet.truth(), &run.found()), tallies)
}

fn exact(score: &Score, of: &str) {
    assert!(score.edges_true > 10, "{of}: the fleet does something");
    assert!(score.is_perfect(), "{of}: {score:#?}");
    assert_eq!(score.bytes_off, 0, "{of}: {score:#?}");
    assert_eq!(score.bytes_misattributed, 0, "{of}");
}

#[test]
fn ordinary_fleets_are_drawn_exactly() {
    for seed in 1..=8 {
        let (score, tallies) = run(FleetSpec { flows_per_sec: 600, ..FleetSpec::demo(seed) }, 45);
        exact(&score, &format!("seed {seed} ({tallies:?})"));
    }
}

#[test]
fn hard_fleets_are_drawn_exactly() {
    for seed in 1..=16 {
        let (score, tallies) = run(FleetSpec { flows_per_sec: 600, ..FleetSpec::hard(seed) }, 45);
        exact(&score, &format!("seed {seed} ({tallies:?})"));
    }
}

#[test]
fn random_fleet_of_a_hundred_services_is_drawn_exactly() {
    let (score, tallies) = run(FleetSpec::random(3, 100, 3_000), 20);
    exact(&score, &format!("{tallies:?}"));
}
