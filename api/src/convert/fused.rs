//! Edges of all layers as messages.

use portolan_graph::{FusedEdge, SourceCalls};
use portolan_model::{EntityId, Latency};
use portolan_proto::{certainty_to_v1, counters_to_v1, nanos_to_micros, v1};

use crate::described::Described;

use super::{calls, direction, summary};

/// An edge with what each layer says of it. `entity` names its ends, `ports` are those of its flows.
pub(crate) fn fused_edge(
    edge: &FusedEdge,
    agreement: f64,
    ports: Vec<u32>,
    described: &Described,
    entity: &dyn Fn(EntityId) -> v1::Entity,
) -> v1::FusedEdge {
    let latency = |of: fn(&SourceCalls) -> &Latency| {
        edge.latency(of).map(|(source, latency)| v1::SourceLatency {
            source: source.as_str().to_owned(),
            latency: summary(latency),
        })
    };
    let network = edge.network.as_ref().map(|part| v1::NetworkEvidence {
        counters: Some(counters_to_v1(&part.counters)),
        ports,
        first_seen_unix_us: nanos_to_micros(part.first_ns.min(part.last_ns)),
        last_seen_unix_us: nanos_to_micros(part.last_ns),
        certainty: certainty_to_v1(&part.counters),
    });
    v1::FusedEdge {
        client: Some(entity(edge.client)),
        server: Some(entity(edge.server)),
        direction: direction(edge.direction),
        evidence: words(&edge.evidence().words()),
        agreement,
        network,
        calls: edge.calls.iter().map(calls).collect(),
        calls_source: edge.best().map_or("", |best| best.source.as_str()).to_owned(),
        client_latency: latency(|calls| &calls.client),
        server_latency: latency(|calls| &calls.server),
        gap_latency: latency(|calls| &calls.gap),
        first_seen_unix_us: nanos_to_micros(edge.first_ns().min(edge.last_ns())),
        last_seen_unix_us: nanos_to_micros(edge.last_ns()),
        health: described.edge_health(edge.client, edge.server),
    }
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
