//! A simulated fleet through the line in this process, message by message, against its truth.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::ensure;
use portolan_fleet::{Fleet, FleetSpec, FoundEdge, Message, Score, Topic, score};
use portolan_graph::{Doubts, View};
use portolan_model::{
    Barrier, Collapse, EntityId, EntityKind, FlowBatch, FlowColumns, Measure, Nanos, PartitionId,
    ScopeId, TimeRange, Window,
};
use portolan_pipeline::{Line, LineConfig, Restored};
use portolan_proto::{FlowDecoder, FlowEncoding, OwnerEncoding, decode_owners};
use portolan_storage::{CommitEpoch as _, MemoryStore, ReadCheckpoint as _, ReadEdges as _};

/// Where simulated time begins; any instant will do.
const START: Nanos = 1_795_420_000_000_000_000;
const SECOND: Nanos = 1_000_000_000;
/// Scope of records that name none.
const SCOPE: &str = "default";
/// Longest ownership record that is taken.
const MAX_OWNER_BYTES: usize = 1 << 20;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The drawn map against the truth.
    pub score: Score,
    /// What did not add up while folding.
    pub doubts: Doubts,
    /// What the line counted of itself.
    pub tallies: BTreeMap<String, i64>,
    /// Flow records.
    pub records: u64,
}

/// Runs a fleet for some seconds in epochs of one second. Its flows reach the line `lag_secs` later
/// than what ownership says of the same time.
pub fn drive(spec: FleetSpec, seconds: u64, lag_secs: u64) -> anyhow::Result<Outcome> {
    let mut fleet = Fleet::try_new(spec, START)?;
    let mut run = Run::new();
    let mut held: VecDeque<(u64, Vec<Message>)> = VecDeque::new();
    run.take(&fleet.ownership(), START)?;
    for second in 1..=seconds + lag_secs {
        let now = START + second * SECOND;
        let messages = match second {
            _ if second < seconds => fleet.tick(now),
            _ if second == seconds => fleet.close(now),
            _ => Vec::new(),
        };
        let (flows, owners) = messages.into_iter().partition(|m| m.topic == Topic::Flows);
        if second <= seconds {
            held.push_back((second + lag_secs, flows));
        }
        run.take(&owners, now)?;
        while held.front().is_some_and(|(due, _)| *due <= second) {
            let (_, flows) = held.pop_front().expect("the front was just looked at");
            run.take(&flows, now)?;
        }
        run.barrier()?;
    }
    ensure!(held.is_empty(), "flows were held back for ever");
    let (found, doubts) = run.found()?;
    let tallies = run.store.checkpoint()?.tallies;
    let tallies = tallies.into_iter().map(|(name, by)| (name.to_string(), by)).collect();
    Ok(Outcome { score: score(&fleet.truth(), &found), doubts, tallies, records: run.records })
}

struct Run {
    line: Line,
    store: MemoryStore,
    decoder: FlowDecoder,
    epoch: u64,
    newest: Nanos,
    records: u64,
}

// === impl Run ===

impl Run {
    fn new() -> Self {
        let config = LineConfig::default();
        Self {
            line: Line::new(&config, &Restored::default()),
            store: MemoryStore::new(config.window),
            decoder: FlowDecoder::default(),
            epoch: 0,
            newest: START,
            records: 0,
        }
    }

    fn take(&mut self, messages: &[Message], now: Nanos) -> anyhow::Result<()> {
        let mut columns = FlowColumns::default();
        let mut refusals = Vec::new();
        let mut sent = 0;
        for message in messages {
            let scope = if message.scope.is_empty() { SCOPE } else { &message.scope };
            let payload = &message.payload;
            match message.topic {
                Topic::Flows => {
                    sent += u64::from(message.records);
                    let (encoding, scope) = (FlowEncoding::NetobservPb, ScopeId::of(scope));
                    let refused = &mut |why| refusals.push(why);
                    self.decoder.decode(encoding, scope, now, payload, &mut columns, refused);
                }
                Topic::Ownership => {
                    let encoding = OwnerEncoding::PortolanPb;
                    let (events, refused) =
                        decode_owners(encoding, scope, now, MAX_OWNER_BYTES, payload);
                    refusals.extend(refused);
                    self.line.owners(events);
                }
                // Judged where spans and metrics are: this fleet is not asked for any.
                Topic::Spans | Topic::Metrics => {}
            }
        }
        ensure!(refusals.is_empty(), "the fleet's own records were refused: {refusals:?}");
        ensure!(sent == columns.len() as u64, "{sent} records sent, {} taken", columns.len());
        self.newest = columns.end.iter().copied().fold(self.newest, Nanos::max);
        self.records += sent;
        let partition = PartitionId(0);
        self.line.flows(FlowBatch { partition, first_offset: 0, flows: columns });
        Ok(())
    }

    fn barrier(&mut self) -> anyhow::Result<()> {
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
        if let Some(commit) = commit {
            self.store.commit(&commit)?;
        }
        Ok(())
    }

    fn found(&self) -> anyhow::Result<(Vec<FoundEdge>, Doubts)> {
        let mut edges = Vec::new();
        let mut paths = Vec::new();
        self.store.edges(TimeRange::ALL, &mut |row| edges.push(*row))?;
        self.store.paths(TimeRange::ALL, &mut |row| paths.push(row.clone()))?;
        let class = |id: EntityId| match self.store.entity(id).map(|e| e.kind) {
            Some(EntityKind::Hop(class)) => Some(class),
            _ => None,
        };
        let view = View::build(edges, paths, Collapse::ProvenAndDeclared, &class);
        let edges = view.edges.iter().map(|edge| self.edge(edge)).collect::<anyhow::Result<_>>()?;
        Ok((edges, view.doubts))
    }

    fn edge(&self, edge: &portolan_graph::Edge) -> anyhow::Result<FoundEdge> {
        let entity = |id: EntityId| {
            let named = self.store.entity(id).map(Arc::unwrap_or_clone);
            named.ok_or_else(|| anyhow::anyhow!("an edge names {id:?}, which nobody has heard of"))
        };
        let count = |measure| edge.counters[measure].max(0) as u64;
        Ok(FoundEdge {
            client: entity(edge.link.client)?,
            server: entity(edge.link.server)?,
            proto: edge.link.proto,
            port: edge.link.port,
            connections: count(Measure::Connections),
            bytes_sent: count(Measure::BytesSent),
            bytes_received: count(Measure::BytesReceived),
        })
    }
}
