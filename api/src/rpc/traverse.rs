//! `Traverse`: what can be reached from some entities.

use portolan_graph::{Names, Walk, traverse as walk};
use portolan_model::Entity;
use portolan_proto::v1;

use super::Inner;
use crate::convert::{self, Messages};
use crate::described::Described;
use crate::{Error, parse};

const DEFAULT_DEPTH: u32 = 3;
const MAX_DEPTH: u32 = 16;
const DEFAULT_NODES: u32 = 1000;
const MAX_NODES: u32 = 100_000;
/// Edges of an answer: about 400 bytes each, 40 MB in all, within what a response may have.
const MAX_EDGES: usize = 100_000;

pub(super) async fn traverse(
    inner: &Inner,
    request: v1::TraverseRequest,
) -> Result<v1::TraverseResponse, Error> {
    parse::starts(&request.start)?;
    let direction = parse::direction(request.direction)?;
    let depth = parse::bounded("depth", request.depth, DEFAULT_DEPTH, MAX_DEPTH)?;
    let max_nodes = parse::bounded("max_nodes", request.max_nodes, DEFAULT_NODES, MAX_NODES)?;
    let reach = inner.reader.reach();
    let past = parse::time(request.range, request.at_unix_us, request.known_at_unix_us, reach)?;
    let collapse = parse::collapse(request.collapse)?;
    let health = parse::health(request.filter.as_ref())?;
    let filter = parse::filter(request.filter, &request.layers)?;
    let bounds = Walk { direction, depth, max_nodes: max_nodes as usize, max_edges: MAX_EDGES };
    let shown = inner.graphs.get(past, collapse).await?;
    let reader = inner.reader.clone();
    let answer = inner.queries.run(move |_| {
        let graph = &shown.graph;
        let lookup = |id| reader.entity(id);
        let names = Names { lookup: &lookup, visit: &|visit| reader.entities(visit) };
        let starts = names.resolve(&request.start, graph)?;
        let described = Described::of(&*reader, past.as_ref(), &shown.snapshot)?;
        let said = |entity: &Entity| described.said(entity);
        let judged = || described.with_health(graph, &health);
        let judged = (!health.is_empty()).then(judged);
        let found = walk(&filter.prepare(graph, &said).only(judged), &starts, bounds);
        let mut messages = Messages::of(graph, &described);
        let edges = found.edges.iter().map(|edge| messages.edge(*edge)).collect();
        let nodes = found.nodes.iter().map(|node| {
            let known = graph.entity(node.id).is_none().then(|| lookup(node.id)).flatten();
            let entity = known.map_or_else(
                || messages.entity(node.id),
                |entity| described.shown(node.id, &entity),
            );
            v1::ReachedNode { entity: Some(entity), distance: node.distance }
        });
        Ok(v1::TraverseResponse {
            nodes: nodes.collect(),
            edges,
            coverage: Some(convert::coverage(&shown.snapshot, reader.window_len())),
            truncated: found.truncated,
            possible_edges_left_out: graph.possible_left_out(),
        })
    });
    answer.await
}
