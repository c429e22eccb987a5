//! The graph as messages of `portolan.v1`.

use portolan_graph::{Edge, Graph, SourceCalls};
use portolan_model::{CallMeasure, Direction, EntityId, Latency, Nanos, TimeRange, WindowLen};
use portolan_proto::{certainty_to_v1, counters_to_v1, nanos_to_micros, v1};
use rustc_hash::FxHashMap;

use crate::described::Described;
use crate::reader::Snapshot;

mod fused;

pub(crate) use fused::{fused_edge, words};

/// Makes messages of one graph, each entity once.
pub(crate) struct Messages<'a> {
    graph: &'a Graph,
    described: &'a Described,
    entities: FxHashMap<EntityId, v1::Entity>,
}

// === impl Messages ===

impl<'a> Messages<'a> {
    pub(crate) fn of(graph: &'a Graph, described: &'a Described) -> Self {
        Self { graph, described, entities: FxHashMap::default() }
    }

    pub(crate) fn edge(&mut self, place: usize) -> v1::Edge {
        let edge: &Edge = &self.graph.edges()[place];
        let is_known = edge.possible.is_empty();
        let hops = edge.hops().into_iter().map(|hop| v1::Hop {
            entity: Some(self.entity(hop.hop)),
            evidence: hop.evidence.as_str().to_owned(),
            counters: Some(counters_to_v1(&hop.counters)),
        });
        let mut via: Vec<v1::Hop> = hops.collect();
        via.extend(edge.possible.iter().map(|hop| v1::Hop {
            entity: Some(self.entity(*hop)),
            evidence: "possible".to_owned(),
            counters: None,
        }));
        v1::Edge {
            via,
            client: Some(self.entity(edge.link.client)),
            server: Some(self.entity(edge.link.server)),
            layer: edge.link.layer.as_str().to_owned(),
            protocol: protocol(edge),
            port: u32::from(edge.link.port),
            counters: is_known.then(|| counters_to_v1(&edge.counters)),
            // An edge that only retractions ever timed has no first event: its last stands for it.
            first_seen_unix_us: nanos_to_micros(edge.first_ns.min(edge.last_ns)),
            last_seen_unix_us: nanos_to_micros(edge.last_ns),
            direction: direction(edge.link.direction),
            residual: edge.residual,
            calls: edge.calls.iter().map(calls).collect(),
            certainty: certainty_to_v1(&edge.counters).filter(|_| is_known),
            possible: !is_known,
            health: self.described.edge_health(edge.link.client, edge.link.server),
        }
    }

    /// An entity of the graph.
    pub(crate) fn entity(&mut self, id: EntityId) -> v1::Entity {
        let (graph, described) = (self.graph, self.described);
        self.entities
            .entry(id)
            .or_insert_with(|| match graph.entity(id) {
                Some(entity) => described.shown(id, entity),
                None => v1::Entity { id: id.to_string(), ..v1::Entity::default() },
            })
            .clone()
    }

    /// Every entity that was asked for, sorted as people read.
    pub(crate) fn finish(self) -> Vec<v1::Entity> {
        let mut all: Vec<v1::Entity> = self.entities.into_values().collect();
        all.sort_unstable_by(|a, b| {
            let key = |e: &v1::Entity| (e.namespace.clone(), e.name.clone(), e.id.clone());
            key(a).cmp(&key(b))
        });
        all
    }
}

/// What one source says. A sum below zero, which only a retraction seen without what it retracts can
/// be, shows as 0.
pub(crate) fn calls(said: &SourceCalls) -> v1::CallEvidence {
    let milli = |of: CallMeasure| said.counters[of].max(0) as f64 / 1e3;
    let whole = |of: CallMeasure| u64::try_from(said.counters[of]).unwrap_or(0);
    v1::CallEvidence {
        source: said.source.as_str().to_owned(),
        layer: said.source.layer().as_str().to_owned(),
        protocols: said.protocols.iter().map(|p| p.as_str().to_owned()).collect(),
        calls: milli(CallMeasure::CallsMilli),
        errors: milli(CallMeasure::ErrorsMilli),
        client_errors: milli(CallMeasure::ClientErrorsMilli),
        server_errors: milli(CallMeasure::ServerErrorsMilli),
        status_4xx: milli(CallMeasure::Status4xxMilli),
        status_5xx: milli(CallMeasure::Status5xxMilli),
        retries: milli(CallMeasure::RetriesMilli),
        calls_standard_error: said.standard_error(),
        raw: whole(CallMeasure::Raw),
        unpaired_client: whole(CallMeasure::UnpairedClient),
        unpaired_server: whole(CallMeasure::UnpairedServer),
        clock_skew: whole(CallMeasure::ClockSkew),
        late: whole(CallMeasure::Late),
        synthetic: whole(CallMeasure::Synthetic),
        bytes_sent: whole(CallMeasure::BytesSent),
        bytes_received: whole(CallMeasure::BytesReceived),
        client_latency: summary(&said.client),
        server_latency: summary(&said.server),
        gap_latency: summary(&said.gap),
        first_seen_unix_us: nanos_to_micros(said.first_ns.min(said.last_ns)),
        last_seen_unix_us: nanos_to_micros(said.last_ns),
    }
}

/// Nothing where nothing was measured.
fn summary(latency: &Latency) -> Option<v1::LatencySummary> {
    let count = u64::try_from(latency.count()).ok().filter(|count| *count > 0)?;
    let us = |ns: u64| ns as f64 / 1e3;
    let quantile = |q| latency.quantile(q).map_or(0.0, us);
    Some(v1::LatencySummary {
        count,
        mean_us: latency.sum_ns() as f64 / count as f64 / 1e3,
        p50_us: quantile(0.5),
        p90_us: quantile(0.9),
        p99_us: quantile(0.99),
    })
}

/// The transport of flows; of calls, the kind that the best source speaks of.
fn protocol(edge: &Edge) -> String {
    match edge.calls.first() {
        None => edge.link.proto.to_string(),
        Some(best) => best.protocols.last().map_or("unknown", |p| p.as_str()).to_owned(),
    }
}

pub(crate) fn direction(direction: Direction) -> String {
    match direction {
        Direction::Known => "known",
        Direction::Unknown => "unknown",
    }
    .to_owned()
}

pub(crate) fn coverage(snapshot: &Snapshot, len: WindowLen) -> v1::Coverage {
    v1::Coverage {
        covered: snapshot.covered.map(range),
        resolution_secs: snapshot.resolution().unwrap_or(len).secs(),
        epoch: snapshot.epoch,
        watermark_unix_us: nanos_to_micros(snapshot.watermark),
        records_lost: snapshot.records_lost,
        asked: snapshot.asked.map(asked),
        spans: snapshot
            .spans
            .iter()
            .map(|span| v1::WindowSpan {
                range: Some(range(span.range)),
                window_secs: span.len.secs(),
            })
            .collect(),
        gaps: ranges(&snapshot.gaps),
        unreadable: ranges(&snapshot.unreadable),
        unknown: ranges(&snapshot.unknown),
        open_from_unix_us: nanos_to_micros(snapshot.open_from),
        sources: snapshot
            .sources
            .iter()
            .map(|source| v1::SourceCoverage {
                cluster: source.cluster.to_string(),
                topic: source.topic.to_string(),
                partitions: source.partitions,
                records_lost: source.records_lost,
            })
            .collect(),
    }
}

/// A range as it was asked for: an open end is 0.
fn asked(of: TimeRange) -> v1::TimeRange {
    let to_unix_us = if of.to == Nanos::MAX { 0 } else { nanos_to_micros(of.to) };
    v1::TimeRange { from_unix_us: nanos_to_micros(of.from), to_unix_us }
}

fn ranges(all: &[TimeRange]) -> Vec<v1::TimeRange> {
    all.iter().copied().map(range).collect()
}

pub(crate) fn range(TimeRange { from, to }: TimeRange) -> v1::TimeRange {
    let micros = |at: Nanos| nanos_to_micros(at);
    v1::TimeRange { from_unix_us: micros(from), to_unix_us: micros(to) }
}
