//! Graphs in text, for tests.
//!
//! ```text
//! web > [api]:80 10              raw edge: 10 connections, of 3 records and 100 bytes each
//! web ~ db:80 10                 direction unknown
//! explained rewrite web > [api]:80 > api:8080 10
//! moved declared web > {lb}:80 > api:8080 10
//! leg declared {lb} > api:8080 10
//! ```
//! `[x]` is a service address, `{x}` a load balancer, `<x>` a mesh proxy, `@x` a machine, `?x`
//! unresolved; a name may have a namespace (`shop/web`). A number may be followed by `@window`.

use std::fmt::Write as _;
use std::sync::Arc;

use portolan_model::{
    Collapse, Counters, Direction, EdgeDelta, EdgeKey, Entity, EntityId, EntityKind, Evidence,
    HopClass, Layer, Measure, PathDelta, PathKey, PathKind, Proto, Window,
};
use rustc_hash::FxHashMap;

use crate::{Graph, View, ViewBuilder};

/// A small world that was written down.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) entities: FxHashMap<EntityId, Arc<Entity>>,
    pub(crate) edges: Vec<EdgeDelta>,
    pub(crate) paths: Vec<PathDelta>,
}

/// What `connections` connections count.
pub(crate) fn counters(connections: i64) -> Counters {
    let mut sums = Counters::ZERO;
    sums[Measure::Flows] = 3 * connections;
    sums[Measure::Connections] = connections;
    sums[Measure::ConnectionsActive] = connections;
    sums[Measure::BytesSent] = 100 * connections;
    sums
}

// === impl World ===

impl World {
    pub(crate) fn parse(text: &str) -> Self {
        let mut world = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            world.line(&line.split_whitespace().collect::<Vec<_>>());
        }
        world
    }

    fn line(&mut self, words: &[&str]) {
        match words {
            [client, arrow, server, count] => {
                let direction = match *arrow {
                    ">" => Direction::Known,
                    _ => Direction::Unknown,
                };
                let client = self.end(client).0;
                let (server, port) = self.end(server);
                let (count, window) = number(count);
                let proto = Proto::TCP;
                let layer = Layer::Network;
                let key = EdgeKey { window, layer, client, server, proto, port, direction };
                let at = window.start() + 1;
                self.edges.push(EdgeDelta {
                    key,
                    counters: counters(count),
                    first_ns: at,
                    last_ns: at + 1,
                });
            }
            ["leg", evidence, client, ">", server, count] => {
                self.path(PathKind::Leg, evidence, &[client, server], count);
            }
            [kind, evidence, client, ">", hop, ">", server, count] => {
                let kind = *PathKind::ALL.iter().find(|k| k.as_str() == *kind).unwrap();
                self.path(kind, evidence, &[client, hop, server], count);
            }
            [kind, evidence, client, ">", hop, ">", second, ">", server, count] => {
                let kind = *PathKind::ALL.iter().find(|k| k.as_str() == *kind).unwrap();
                self.path(kind, evidence, &[client, hop, second, server], count);
            }
            other => panic!("what is {other:?}?"),
        }
    }

    fn path(&mut self, kind: PathKind, evidence: &str, ends: &[&str], count: &str) {
        let evidence = *Evidence::ALL.iter().find(|e| e.as_str() == evidence).unwrap();
        let ends: Vec<_> = ends.iter().map(|end| self.end(end)).collect();
        let (count, window) = number(count);
        let (server, port) = ends[ends.len() - 1];
        let key = PathKey {
            window,
            layer: Layer::Network,
            client: ends[0].0,
            server,
            proto: Proto::TCP,
            front_port: ends[1].1,
            port,
            via: ends[1..ends.len() - 1].iter().map(|(hop, _)| *hop).collect(),
            kind,
            evidence,
        };
        let at = window.start() + 1;
        self.paths.push(PathDelta {
            key,
            counters: counters(count),
            first_ns: at,
            last_ns: at + 1,
        });
    }

    /// An end as written: its entity and port.
    pub(crate) fn end(&mut self, text: &str) -> (EntityId, u16) {
        let (name, port) = text.split_once(':').unwrap_or((text, "0"));
        let (kind, name) = match name.as_bytes()[0] {
            b'[' => (EntityKind::Hop(HopClass::ClusterIp), &name[1..name.len() - 1]),
            b'{' => (EntityKind::Hop(HopClass::LoadBalancer), &name[1..name.len() - 1]),
            b'<' => (EntityKind::Hop(HopClass::Mesh), &name[1..name.len() - 1]),
            b'@' => (EntityKind::Node, &name[1..]),
            b'?' => (EntityKind::Unresolved, &name[1..]),
            _ => (EntityKind::Workload, name),
        };
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        let entity = Entity::new(kind, namespace, name);
        let id = entity.id();
        self.entities.insert(id, Arc::new(entity));
        (id, port.parse().unwrap())
    }

    pub(crate) fn class(&self, id: EntityId) -> Option<HopClass> {
        match self.entities.get(&id)?.kind {
            EntityKind::Hop(class) => Some(class),
            _ => None,
        }
    }

    pub(crate) fn view(&self, collapse: Collapse) -> View {
        let mut builder = ViewBuilder::new(collapse);
        self.edges.iter().for_each(|row| builder.edge(row));
        self.paths.iter().for_each(|row| builder.path(row));
        builder.finish(&|id| self.class(id))
    }

    pub(crate) fn graph(&self, collapse: Collapse) -> Graph {
        Graph::new(self.view(collapse), &|id| self.entities.get(&id).cloned())
    }

    pub(crate) fn name(&self, id: EntityId) -> String {
        let entity = &self.entities[&id];
        match entity.kind {
            EntityKind::Hop(HopClass::ClusterIp) => format!("[{entity}]"),
            EntityKind::Hop(HopClass::LoadBalancer) => format!("{{{entity}}}"),
            EntityKind::Hop(_) => format!("<{entity}>"),
            EntityKind::Node => format!("@{entity}"),
            EntityKind::Unresolved => format!("?{entity}"),
            _ => entity.to_string(),
        }
    }

    /// A view in the same form, each edge with the paths folded into it.
    pub(crate) fn show(&self, collapse: Collapse) -> String {
        let view = self.view(collapse);
        let mut lines: Vec<String> = view.edges.iter().map(|edge| self.show_edge(edge)).collect();
        lines.sort();
        let mut text = lines.join("\n");
        if view.doubts != crate::Doubts::default() {
            write!(text, "\n{:?}", view.doubts).unwrap();
        }
        text + "\n"
    }

    pub(crate) fn show_edge(&self, edge: &crate::Edge) -> String {
        let link = edge.link;
        let arrow = if link.direction == Direction::Known { '>' } else { '~' };
        let (client, server) = (self.name(link.client), self.name(link.server));
        let count = edge.counters[Measure::Connections];
        let mut text = format!("{client} {arrow} {server}:{} {count}", link.port);
        for path in &edge.paths {
            let hops: Vec<String> = path
                .hops
                .iter()
                .map(|(hop, evidence)| format!("{} {}", self.name(*hop), evidence.as_str()))
                .collect();
            write!(text, " via {} {}", hops.join(", "), path.counters[Measure::Connections])
                .unwrap();
        }
        if edge.residual {
            text.push_str(" residual");
        }
        for hop in &edge.possible {
            write!(text, " possible {}", self.name(*hop)).unwrap();
        }
        text
    }
}

fn number(text: &str) -> (i64, Window) {
    let (count, window) = text.split_once('@').unwrap_or((text, "10"));
    (count.parse().unwrap(), Window(window.parse().unwrap()))
}
