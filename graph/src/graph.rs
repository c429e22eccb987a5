//! The graph: a view with names, sorted and indexed for queries.
//!
//! Nodes stand in the order of their names, edges in the order of their client's and server's
//! names. Both orders depend on the entities alone, so the place after an edge means the same in a
//! graph that has changed since.

use std::sync::Arc;

use portolan_model::{Direction, Entity, EntityId, EntityKind, Layer, Proto};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{Doubts, Edge, Link, View};

/// A node of the graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its identity.
    pub id: EntityId,
    /// What it is.
    pub entity: Arc<Entity>,
    /// `namespace/name` in lower case, for filters.
    pub(crate) folded: Box<str>,
}

/// A view with names, ready for queries. Built once, read many times.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    places: FxHashMap<EntityId, u32>,
    hops: FxHashMap<EntityId, Arc<Entity>>,
    edges: Vec<Edge>,
    /// Client and server of every edge, as places in `nodes`.
    ends: Vec<(u32, u32)>,
    /// Where the edges of each client begin; one more than there are nodes.
    outgoing: Vec<u32>,
    /// Where the callers of each server begin in `callers`.
    incoming: Vec<u32>,
    /// Places of edges, by server.
    callers: Vec<u32>,
    doubts: Doubts,
    possible_left_out: u64,
    unnamed: u64,
}

/// The order of nodes: by what people read first, and at last by what cannot be equal.
type NodeKey<'a> = (&'a str, &'a str, &'a str, EntityKind, &'a str, EntityId);

/// The order of edges, with ends as places in the order of nodes.
type EdgeOrder = (u32, u32, Layer, Proto, u16, Direction);

// === impl Graph ===

impl Graph {
    /// Names and indexes a view. An entity that `lookup` does not know is shown as unresolved,
    /// under its id.
    pub fn new(view: View, lookup: &dyn Fn(EntityId) -> Option<Arc<Entity>>) -> Self {
        let View { edges, doubts, possible_left_out } = view;
        let mut ids: Vec<EntityId> =
            edges.iter().flat_map(|e| [e.link.client, e.link.server]).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut unnamed = 0;
        let mut name = |id| {
            lookup(id).unwrap_or_else(|| {
                unnamed += 1;
                stand_in(id)
            })
        };
        let mut nodes: Vec<Node> = ids.into_iter().map(|id| Node::new(id, name(id))).collect();
        nodes.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        let hop_ids: FxHashSet<EntityId> = edges
            .iter()
            .flat_map(|e| &e.paths)
            .flat_map(|p| &p.hops)
            .map(|(hop, _)| *hop)
            .chain(edges.iter().flat_map(|e| &e.possible).copied())
            .collect();
        let hops = hop_ids.into_iter().map(|id| (id, name(id))).collect();
        let places = nodes.iter().enumerate().map(|(at, node)| (node.id, at as u32)).collect();
        let mut graph =
            Self { nodes, places, hops, doubts, possible_left_out, unnamed, ..Self::default() };
        graph.index(edges);
        graph
    }

    /// Nodes, in the order of names.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Edges, in the order of their ends' names.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Client and server of an edge, as places in [`Self::nodes`].
    pub fn ends(&self, edge: usize) -> (usize, usize) {
        let (client, server) = self.ends[edge];
        (client as usize, server as usize)
    }

    /// The place of an entity in [`Self::nodes`].
    pub fn place(&self, id: EntityId) -> Option<usize> {
        self.places.get(&id).map(|at| *at as usize)
    }

    /// A node or hop of the graph by its identity.
    pub fn entity(&self, id: EntityId) -> Option<&Arc<Entity>> {
        self.place(id).map(|at| &self.nodes[at].entity).or_else(|| self.hops.get(&id))
    }

    /// Edges that a node is the client of, as places in [`Self::edges`].
    pub fn outgoing(&self, node: usize) -> std::ops::Range<usize> {
        self.outgoing[node] as usize..self.outgoing[node + 1] as usize
    }

    /// Edges that a node is the server of, as places in [`Self::edges`].
    pub fn incoming(&self, node: usize) -> &[u32] {
        &self.callers[self.incoming[node] as usize..self.incoming[node + 1] as usize]
    }

    /// What did not add up while the view was folded.
    pub const fn doubts(&self) -> Doubts {
        self.doubts
    }

    /// Edges that may be, and are left out because of their number.
    pub const fn possible_left_out(&self) -> u64 {
        self.possible_left_out
    }

    /// Entities that an edge names and nobody knows.
    pub const fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// The place of the first edge after `link` in the order of edges, whether or not `link` is
    /// still there. `None` if an end is neither in the graph nor known to `lookup`.
    pub fn after(
        &self,
        link: &Link,
        lookup: &dyn Fn(EntityId) -> Option<Arc<Entity>>,
    ) -> Option<usize> {
        let named = |id| self.entity(id).cloned().or_else(|| lookup(id));
        let (client, server) = (named(link.client)?, named(link.server)?);
        let client = match self.rank(link.client, &client) {
            Ok(place) => place,
            // The client has no edges any more: go on with the next client.
            Err(next) => return Some(self.outgoing[next] as usize),
        };
        let (server, gone) = match self.rank(link.server, &server) {
            Ok(place) => (place as u32, false),
            Err(next) => (next as u32, true),
        };
        let last = (link.layer, link.proto, link.port, link.direction);
        let range = self.outgoing(client);
        let passed = self.ends[range.clone()].iter().zip(&self.edges[range.clone()]);
        let passed = passed.take_while(|((_, at), edge)| {
            let here = (edge.link.layer, edge.link.proto, edge.link.port, edge.link.direction);
            *at < server || (!gone && *at == server && here <= last)
        });
        Some(range.start + passed.count())
    }

    fn rank(&self, id: EntityId, entity: &Entity) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.key().cmp(&key(id, entity)))
    }

    fn index(&mut self, edges: Vec<Edge>) {
        let mut order: Vec<(EdgeOrder, u32)> = edges
            .iter()
            .enumerate()
            .map(|(at, edge)| {
                let Link { layer, client, server, proto, port, direction } = edge.link;
                let ends = (self.places[&client], self.places[&server]);
                ((ends.0, ends.1, layer, proto, port, direction), at as u32)
            })
            .collect();
        order.sort_unstable();
        self.ends = order.iter().map(|((client, server, ..), _)| (*client, *server)).collect();
        let mut edges: Vec<Option<Edge>> = edges.into_iter().map(Some).collect();
        self.edges = order.iter().filter_map(|(_, at)| edges[*at as usize].take()).collect();
        self.outgoing = starts(self.nodes.len(), self.ends.iter().map(|(client, _)| *client));
        self.incoming = starts(self.nodes.len(), self.ends.iter().map(|(_, server)| *server));
        let mut next = self.incoming.clone();
        self.callers = vec![0; self.edges.len()];
        for (edge, (_, server)) in self.ends.iter().enumerate() {
            let slot = &mut next[*server as usize];
            self.callers[*slot as usize] = edge as u32;
            *slot += 1;
        }
    }
}

// === impl Node ===

impl Node {
    fn new(id: EntityId, entity: Arc<Entity>) -> Self {
        Self { id, folded: entity.to_string().to_lowercase().into(), entity }
    }

    fn key(&self) -> NodeKey<'_> {
        key(self.id, &self.entity)
    }
}

fn key(id: EntityId, entity: &Entity) -> NodeKey<'_> {
    let Entity { environment, namespace, name, kind, detail } = entity;
    (namespace, name, environment, *kind, detail, id)
}

fn stand_in(id: EntityId) -> Arc<Entity> {
    Arc::new(Entity::new(EntityKind::Unresolved, "", &id.to_string()))
}

/// Where the items of each node begin, if items are sorted by node; one more than there are nodes.
fn starts(nodes: usize, items: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut starts = vec![0; nodes + 1];
    for node in items {
        starts[node as usize + 1] += 1;
    }
    for at in 0..nodes {
        starts[at + 1] += starts[at];
    }
    starts
}

#[cfg(test)]
mod tests;
