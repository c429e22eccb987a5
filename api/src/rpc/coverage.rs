//! `Coverage`: the layers laid over each other, and which edges only some of them see.

use std::sync::Arc;

use portolan_graph::{Fused, FusedEdge, SourceCalls};
use portolan_model::{Direction, Entity, EntityId, Latency};
use portolan_proto::{counters_to_v1, nanos_to_micros, v1};

use super::Inner;
use crate::convert::{self, entity_to_v1_as, summary};
use crate::reader::TopologyReader;
use crate::shown::Shown;
use crate::{Error, parse};

const DEFAULT_LIMIT: u32 = 1000;
const MAX_LIMIT: u32 = 10_000;

pub(super) async fn coverage(
    inner: &Inner,
    request: v1::CoverageRequest,
) -> Result<v1::CoverageResponse, Error> {
    let limit = parse::bounded("limit", request.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let past = parse::time(request.range, 0, 0, 0)?;
    let collapse = parse::collapse(request.collapse)?;
    let wanted = parse::evidence(&request.evidence)?;
    let shown = inner.graphs.get(past, collapse).await?;
    let (fused, meeting) = inner.graphs.fuse(past, shown.clone()).await?;
    let reader = inner.reader.clone();
    let answer = inner.queries.run(move |_| {
        let keeps = |edge: &&FusedEdge| wanted.is_none_or(|bits| bits == edge.evidence());
        let mut kept: Vec<_> = fused.edges.iter().filter(keeps).collect();
        kept.sort_by_cached_key(|edge| {
            let name =
                |id| named(&shown, &*reader, id).map(|e| (e.namespace.clone(), e.name.clone()));
            (name(edge.client), name(edge.server), edge.client, edge.server, edge.direction)
        });
        let total_edges = kept.len() as u64;
        kept.truncate(limit as usize);
        let counts = fused.coverage().into_iter();
        Ok(v1::CoverageResponse {
            counts: counts
                .map(|(bits, edges)| v1::EvidenceCount { evidence: words(&bits.words()), edges })
                .collect(),
            edges: kept.into_iter().map(|e| message(&fused, e, &shown, &*reader)).collect(),
            coverage: Some(convert::coverage(&shown.snapshot, reader.window_len())),
            total_edges,
            ambiguous_services: meeting.ambiguous,
        })
    });
    answer.await
}

fn named(shown: &Shown, reader: &dyn TopologyReader, id: EntityId) -> Option<Arc<Entity>> {
    shown.graph.entity(id).cloned().or_else(|| reader.entity(id))
}

fn message(
    fused: &Fused,
    edge: &FusedEdge,
    shown: &Shown,
    reader: &dyn TopologyReader,
) -> v1::FusedEdge {
    let entity = |id: EntityId| {
        Some(match named(shown, reader, id) {
            Some(entity) => entity_to_v1_as(id, &entity),
            None => v1::Entity { id: id.to_string(), ..v1::Entity::default() },
        })
    };
    let latency = |of: fn(&SourceCalls) -> &Latency| {
        edge.latency(of).map(|(source, latency)| v1::SourceLatency {
            source: source.as_str().to_owned(),
            latency: summary(latency),
        })
    };
    let network = edge.network.as_ref().map(|part| {
        let ports = part.edges.iter().map(|at| u32::from(shown.graph.edges()[*at].link.port));
        let mut ports: Vec<u32> = ports.collect();
        ports.sort_unstable();
        ports.dedup();
        v1::NetworkEvidence {
            counters: Some(counters_to_v1(&part.counters)),
            ports,
            first_seen_unix_us: nanos_to_micros(part.first_ns.min(part.last_ns)),
            last_seen_unix_us: nanos_to_micros(part.last_ns),
        }
    });
    v1::FusedEdge {
        client: entity(edge.client),
        server: entity(edge.server),
        direction: match edge.direction {
            Direction::Known => "known",
            Direction::Unknown => "unknown",
        }
        .to_owned(),
        evidence: words(&edge.evidence().words()),
        agreement: fused.agreement(edge),
        network,
        calls: edge.calls.iter().map(convert::calls).collect(),
        calls_source: edge.best().map_or("", |best| best.source.as_str()).to_owned(),
        client_latency: latency(|calls| &calls.client),
        server_latency: latency(|calls| &calls.server),
        gap_latency: latency(|calls| &calls.gap),
        first_seen_unix_us: nanos_to_micros(edge.first_ns().min(edge.last_ns())),
        last_seen_unix_us: nanos_to_micros(edge.last_ns()),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
