//! Filters: which edges a query keeps. Fields are combined with AND, values of a field with OR.

use std::sync::Arc;

use portolan_model::{Attributes, Entity, EntityKind, Layer, Measure, Proto};

use crate::Graph;

/// A set of layers; the empty set stands for all.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct LayerSet(u8);

/// A set of kinds of entity, by their words; the empty set stands for all.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct KindSet(u32);

/// Which edges to keep. The default keeps all.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Filter {
    /// Edges of these layers.
    pub layers: LayerSet,
    /// Edges that touch one of these namespaces.
    pub namespaces: Vec<String>,
    /// Edges that touch one of these kinds.
    pub kinds: KindSet,
    /// Edges of these protocols. Edges of calls have none.
    pub protocols: Vec<Proto>,
    /// Edges to these server ports. Edges of calls have none.
    pub ports: Vec<u16>,
    /// Edges with an end whose `namespace/name` contains this text, whatever the case.
    pub name_contains: String,
    /// Edges that touch one of these environments.
    pub environments: Vec<String>,
    /// Edges that touch an entity of one of these owners.
    pub owners: Vec<String>,
    /// Edges that touch an entity of one of these tiers.
    pub tiers: Vec<String>,
    /// Edges that touch an entity of one of these domains.
    pub domains: Vec<String>,
    /// Drop edges whose ends are both nodes (machines).
    pub hide_node_traffic: bool,
    /// Drop edges with an end that is unresolved or ambiguous.
    pub hide_unresolved: bool,
    /// Drop edges from an entity to itself.
    pub hide_self: bool,
    /// Keep edges with at least this many connections, active or opened. Asks nothing of edges of
    /// calls, whose layers count no connections.
    pub min_connections: u64,
    /// Keep edges with at least this many calls, by their best source. Asks nothing of edges of
    /// connections.
    pub min_calls: u64,
}

/// A filter made ready for one graph: what it asks of nodes is answered once a node.
pub struct Prepared<'a> {
    graph: &'a Graph,
    filter: &'a Filter,
    nodes: Vec<u16>,
    /// Bits of which at least one end must have each.
    wanted: u16,
    /// Of each edge, whether it is kept by what the graph does not know.
    only: Option<Vec<bool>>,
}

/// What the catalogue says of an entity.
pub type Said<'a> = dyn Fn(&Entity) -> Attributes + 'a;

const NAMESPACE: u16 = 1;
const KIND: u16 = 2;
const NAME: u16 = 4;
const ENVIRONMENT: u16 = 8;
const MACHINE: u16 = 16;
const DOUBTFUL: u16 = 32;
const OWNER: u16 = 64;
const TIER: u16 = 128;
const DOMAIN: u16 = 256;

// === impl LayerSet ===

impl LayerSet {
    /// Adds a layer.
    pub fn insert(&mut self, layer: Layer) {
        self.0 |= 1 << layer as u8;
    }

    /// Whether edges of a layer are kept.
    pub const fn keeps(self, layer: Layer) -> bool {
        self.0 == 0 || self.0 & (1 << layer as u8) != 0
    }
}

// === impl KindSet ===

impl KindSet {
    /// Adds every kind with this word (`hop` is one for all classes of hops); false if there is
    /// none.
    pub fn insert(&mut self, word: &str) -> bool {
        let before = *self;
        for kind in EntityKind::ALL.into_iter().filter(|kind| kind.as_str() == word) {
            self.0 |= 1 << kind.code();
        }
        self.0 != before.0 || EntityKind::ALL.iter().any(|kind| kind.as_str() == word)
    }

    /// Whether a kind is kept.
    pub fn keeps(self, kind: EntityKind) -> bool {
        self.0 == 0 || self.0 & (1 << kind.code()) != 0
    }

    /// The words that there are, in the order of their codes.
    pub fn words() -> Vec<&'static str> {
        let mut words: Vec<_> = EntityKind::ALL.iter().map(|kind| kind.as_str()).collect();
        words.dedup();
        words
    }
}

// === impl Filter ===

impl Filter {
    /// Answers for every node of a graph what the filter asks of nodes.
    pub fn prepare<'a>(&'a self, graph: &'a Graph, said: &Said<'_>) -> Prepared<'a> {
        let text = self.name_contains.to_lowercase();
        let listed = |list: &[String], value: &str| list.iter().any(|item| item == value);
        let bits = |node: &crate::Node| {
            let entity = &node.entity;
            let mut bits = 0;
            let mut set = |bit, on: bool| bits |= if on { bit } else { 0 };
            set(NAMESPACE, listed(&self.namespaces, &entity.namespace));
            set(KIND, self.kinds.keeps(entity.kind));
            set(NAME, node.folded.contains(&text));
            set(ENVIRONMENT, listed(&self.environments, &entity.environment));
            set(MACHINE, entity.kind == EntityKind::Node);
            set(DOUBTFUL, matches!(entity.kind, EntityKind::Unresolved | EntityKind::Ambiguous));
            if self.asks_catalogue() {
                let said = said(entity);
                set(OWNER, listed(&self.owners, &said.owner));
                set(TIER, listed(&self.tiers, &said.tier));
                set(DOMAIN, listed(&self.domains, &said.domain));
            }
            bits
        };
        let mut wanted = 0;
        let mut want = |bit, on: bool| wanted |= if on { bit } else { 0 };
        want(NAMESPACE, !self.namespaces.is_empty());
        want(KIND, self.kinds != KindSet::default());
        want(NAME, !text.is_empty());
        want(ENVIRONMENT, !self.environments.is_empty());
        want(OWNER, !self.owners.is_empty());
        want(TIER, !self.tiers.is_empty());
        want(DOMAIN, !self.domains.is_empty());
        let asks_nodes = wanted != 0 || self.hide_node_traffic || self.hide_unresolved;
        let nodes = if asks_nodes { graph.nodes().iter().map(bits).collect() } else { Vec::new() };
        Prepared { graph, filter: self, nodes, wanted, only: None }
    }
}

impl Filter {
    /// Whether it asks what the catalogue says.
    fn asks_catalogue(&self) -> bool {
        !self.owners.is_empty() || !self.tiers.is_empty() || !self.domains.is_empty()
    }

    /// Whether what happens to one entity is kept, by what the filter asks of entities.
    pub fn keeps_entity(&self, entity: &Entity, said: &Said<'_>) -> bool {
        let alone = Self { hide_node_traffic: false, hide_self: false, ..self.clone() };
        alone.keeps_ends(entity, entity, said)
    }

    /// Whether an edge with these ends is kept, by what the filter asks of ends alone.
    pub fn keeps_ends(&self, client: &Entity, server: &Entity, said: &Said<'_>) -> bool {
        let text = self.name_contains.to_lowercase();
        let either = |of: &dyn Fn(&Entity) -> bool| of(client) || of(server);
        let listed =
            |list: &[String], value: &str| list.is_empty() || list.iter().any(|item| item == value);
        let doubtful =
            |e: &Entity| matches!(e.kind, EntityKind::Unresolved | EntityKind::Ambiguous);
        let machine = |e: &Entity| e.kind == EntityKind::Node;
        either(&|e| listed(&self.namespaces, &e.namespace))
            && either(&|e| listed(&self.environments, &e.environment))
            && either(&|e| self.kinds.keeps(e.kind))
            && (text.is_empty() || either(&|e| e.to_string().to_lowercase().contains(&text)))
            && !(self.hide_node_traffic && machine(client) && machine(server))
            && !(self.hide_unresolved && either(&doubtful))
            && !(self.hide_self && client == server)
            && (!self.asks_catalogue() || {
                let (client, server) = (said(client), said(server));
                let either = |list: &[String], of: &dyn Fn(&Attributes) -> Arc<str>| {
                    listed(list, &of(&client)) || listed(list, &of(&server))
                };
                either(&self.owners, &|said| said.owner.clone())
                    && either(&self.tiers, &|said| said.tier.clone())
                    && either(&self.domains, &|said| said.domain.clone())
            })
    }
}

// === impl Prepared ===

impl Prepared<'_> {
    /// Keeps only these of its edges, by place, if that is said.
    #[must_use]
    pub fn only(self, only: Option<Vec<bool>>) -> Self {
        Self { only, ..self }
    }

    /// Whether an edge (by its place in the graph) is kept.
    pub fn keeps(&self, edge: usize) -> bool {
        let filter = self.filter;
        if self.only.as_ref().is_some_and(|only| !only[edge]) {
            return false;
        }
        let (client, server) = self.graph.ends(edge);
        if !self.nodes.is_empty() {
            let (a, b) = (self.nodes[client], self.nodes[server]);
            if (a | b) & self.wanted != self.wanted
                || (filter.hide_node_traffic && a & b & MACHINE != 0)
                || (filter.hide_unresolved && (a | b) & DOUBTFUL != 0)
            {
                return false;
            }
        }
        let edge = &self.graph.edges()[edge];
        let connections = |measure: Measure| u64::try_from(edge.counters[measure]).unwrap_or(0);
        !(filter.hide_self && client == server)
            && filter.layers.keeps(edge.link.layer)
            && (filter.protocols.is_empty() || filter.protocols.contains(&edge.link.proto))
            && (filter.ports.is_empty() || filter.ports.contains(&edge.link.port))
            && if edge.calls.is_empty() {
                connections(Measure::Connections).max(connections(Measure::ConnectionsActive))
                    >= filter.min_connections
            } else {
                edge.calls() >= filter.min_calls.saturating_mul(1_000)
            }
    }

    /// The graph that it was made ready for.
    pub const fn graph(&self) -> &Graph {
        self.graph
    }
}

#[cfg(test)]
mod tests;
