//! Walks along edges, breadth first.
//!
//! What is reached over several edges is a *possible* chain: edges seen in the same range, not one
//! request that went all the way.

use portolan_model::{Direction, EntityId};

use crate::{Graph, Prepared};

/// Which way to walk.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum WalkDirection {
    /// To what is called.
    #[default]
    Downstream,
    /// To who calls.
    Upstream,
    /// Both.
    Both,
}

/// How to walk.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Which way. An edge whose direction is unknown is walked both ways.
    pub direction: WalkDirection,
    /// Most hops from a start.
    pub depth: u32,
    /// Most nodes reached, starts included.
    pub max_nodes: usize,
    /// Most edges walked.
    pub max_edges: usize,
}

/// A node that a walk reached.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The entity.
    pub id: EntityId,
    /// Fewest hops from a start.
    pub distance: u32,
}

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Traversal {
    /// Nodes by distance, then by name; starts that have no edge come first.
    pub nodes: Vec<Reached>,
    /// Edges walked, as ascending places in the graph. Each has both ends among the nodes.
    pub edges: Vec<usize>,
    /// A bound was met: there is more.
    pub truncated: bool,
}

struct Walker<'a> {
    graph: &'a Graph,
    filter: &'a Prepared<'a>,
    walk: Walk,
    distance: Vec<u32>,
    /// Places of nodes in the order in which they were reached.
    queue: Vec<u32>,
    walked: Vec<bool>,
    found: Traversal,
}

const FAR: u32 = u32::MAX;

/// Walks from `starts` along the edges that the filter keeps. A start that is not in the graph is
/// reached and leads nowhere.
pub fn traverse(filter: &Prepared<'_>, starts: &[EntityId], walk: Walk) -> Traversal {
    let graph = filter.graph();
    let mut walker = Walker {
        graph,
        filter,
        walk,
        distance: vec![FAR; graph.nodes().len()],
        queue: Vec::new(),
        walked: vec![false; graph.edges().len()],
        found: Traversal::default(),
    };
    let mut starts = starts.to_vec();
    starts.sort_unstable_by_key(|id| (graph.place(*id), *id));
    starts.dedup();
    for id in starts {
        walker.start(id);
    }
    let mut at = 0;
    while let Some(node) = walker.queue.get(at).copied() {
        if walker.distance[node as usize] >= walk.depth {
            break;
        }
        walker.leave(node as usize);
        at += 1;
    }
    walker.finish()
}

// === impl Walker ===

impl Walker<'_> {
    fn start(&mut self, id: EntityId) {
        match self.graph.place(id) {
            Some(place) => {
                self.reach(place, 0);
            }
            None if self.full() => self.found.truncated = true,
            None => self.found.nodes.push(Reached { id, distance: 0 }),
        }
    }

    /// Walks every edge that leaves a node.
    fn leave(&mut self, node: usize) {
        let (graph, direction) = (self.graph, self.walk.direction);
        let distance = self.distance[node] + 1;
        for edge in graph.outgoing(node) {
            if direction != WalkDirection::Upstream || undirected(graph, edge) {
                self.step(edge, graph.ends(edge).1, distance);
            }
        }
        for edge in graph.incoming(node) {
            let edge = *edge as usize;
            if direction != WalkDirection::Downstream || undirected(graph, edge) {
                self.step(edge, graph.ends(edge).0, distance);
            }
        }
    }

    fn step(&mut self, edge: usize, to: usize, distance: u32) {
        if self.walked[edge] || !self.filter.keeps(edge) {
            return;
        }
        if self.found.edges.len() >= self.walk.max_edges {
            self.found.truncated = true;
        } else if self.reach(to, distance) {
            self.walked[edge] = true;
            self.found.edges.push(edge);
        }
    }

    /// Whether a node is among those reached, if need be from now on.
    fn reach(&mut self, node: usize, distance: u32) -> bool {
        if self.distance[node] != FAR {
            return true;
        }
        if self.full() {
            self.found.truncated = true;
            return false;
        }
        self.distance[node] = distance;
        self.queue.push(node as u32);
        true
    }

    fn full(&self) -> bool {
        self.queue.len() + self.found.nodes.len() >= self.walk.max_nodes
    }

    fn finish(self) -> Traversal {
        let Self { graph, distance, queue, mut found, .. } = self;
        let mut reached = queue;
        // Nodes stand in the order of names, so their places sort like names.
        reached.sort_unstable_by_key(|node| (distance[*node as usize], *node));
        found.nodes.extend(reached.into_iter().map(|node| Reached {
            id: graph.nodes()[node as usize].id,
            distance: distance[node as usize],
        }));
        found.edges.sort_unstable();
        found
    }
}

fn undirected(graph: &Graph, edge: usize) -> bool {
    graph.edges()[edge].link.direction == Direction::Unknown
}

#[cfg(test)]
mod tests;
