//! `Coverage`: the layers laid over each other, and which edges only some of them see.

use std::sync::Arc;

use portolan_graph::{Fused, FusedEdge};
use portolan_model::{Entity, EntityId};
use portolan_proto::v1;

use super::Inner;
use crate::convert::{self, fused_edge, words};
use crate::described::Described;
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
    let reach = inner.reader.reach();
    let past = parse::time(request.range, request.at_unix_us, request.known_at_unix_us, reach)?;
    let collapse = parse::known_collapse(request.collapse)?;
    let wanted = parse::evidence(&request.evidence)?;
    let shown = inner.graphs.get(past, collapse).await?;
    let (fused, meeting) = inner.graphs.fuse(past, shown.clone()).await?;
    let reader = inner.reader.clone();
    let answer = inner.queries.run(move |_| {
        let described = Described::of(&*reader, past.as_ref(), &shown.snapshot)?;
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
            edges: kept
                .into_iter()
                .map(|e| message(&fused, e, &shown, &*reader, &described))
                .collect(),
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
    described: &Described,
) -> v1::FusedEdge {
    let entity = |id: EntityId| match named(shown, reader, id) {
        Some(entity) => described.shown(id, &entity),
        None => v1::Entity { id: id.to_string(), ..v1::Entity::default() },
    };
    let places = edge.network.iter().flat_map(|part| &part.edges);
    let mut ports: Vec<u32> =
        places.map(|at| u32::from(shown.graph.edges()[*at].link.port)).collect();
    ports.sort_unstable();
    ports.dedup();
    fused_edge(edge, fused.agreement(edge), ports, described, &entity)
}
