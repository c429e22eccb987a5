//! Queries over a graph of 10 k services and 200 k edges: what they cost in the server, without the
//! network. Prints; asserts nothing about time.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measures")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portolan_graph::{
    Filter, Graph, KindSet, Names, Search, View, ViewBuilder, Walk, WalkDirection, traverse,
};
use portolan_model::{
    Collapse, Counters, Direction, EdgeDelta, EdgeKey, Entity, EntityId, EntityKind, Evidence,
    HopClass, Layer, Measure, PathDelta, PathKey, PathKind, Proto, Window,
};

const SERVICES: u64 = 10_000;
const EDGES: u64 = 200_000;
/// Of the edges, every fourth is a leg towards a service address that explains another edge.
const LEGS: u64 = EDGES / 4;

/// A sequence that looks random and is the same every time (splitmix64).
struct Sequence(u64);

struct World {
    entities: BTreeMap<EntityId, Arc<Entity>>,
    edges: Vec<EdgeDelta>,
    paths: Vec<PathDelta>,
}

// === impl Sequence ===

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `most`, small numbers more often: some services are called by many.
    fn skewed(&mut self, most: u64) -> u64 {
        let (a, b) = (self.next() % most, self.next() % most);
        a * b / most
    }
}

// === impl World ===

impl World {
    fn new() -> Self {
        let mut sequence = Sequence(7);
        let entity = |kind, at: u64| {
            Entity::new(kind, &format!("team-{}", at % 97), &format!("service-{at:05}"))
        };
        let services: Vec<Entity> =
            (0..SERVICES).map(|at| entity(EntityKind::Workload, at)).collect();
        let hops: Vec<Entity> =
            (0..SERVICES).map(|at| entity(EntityKind::Hop(HopClass::ClusterIp), at)).collect();
        let mut pairs: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        while (pairs.len() as u64) < EDGES - LEGS {
            let pair = (sequence.next() % SERVICES, sequence.skewed(SERVICES));
            pairs.insert(pair, sequence.next() % 1000 + 1);
        }
        let (mut edges, mut paths) = (Vec::new(), Vec::new());
        for (at, ((client, server), count)) in pairs.iter().enumerate() {
            let (client, server) = (*client as usize, *server as usize);
            edges.push(edge(services[client].id(), services[server].id(), 8080, *count));
            if (at as u64) < LEGS {
                edges.push(edge(services[client].id(), hops[server].id(), 80, *count));
                let hop = hops[server].id();
                paths.push(path(services[client].id(), hop, services[server].id(), *count));
            }
        }
        let entities = services.into_iter().chain(hops).map(|e| (e.id(), Arc::new(e))).collect();
        Self { entities, edges, paths }
    }

    fn view(&self) -> View {
        let mut rows = ViewBuilder::new(Collapse::default());
        rows.reserve(self.edges.len(), self.paths.len());
        self.edges.iter().for_each(|row| rows.edge(row));
        self.paths.iter().for_each(|row| rows.path(row));
        rows.finish(&|id| match self.entities.get(&id)?.kind {
            EntityKind::Hop(class) => Some(class),
            _ => None,
        })
    }
}

fn counters(count: u64) -> Counters {
    let mut sums = Counters::ZERO;
    sums[Measure::Flows] = count as i64;
    sums[Measure::ConnectionsActive] = count as i64;
    sums[Measure::BytesSent] = 1000 * count as i64;
    sums
}

fn edge(client: EntityId, server: EntityId, port: u16, count: u64) -> EdgeDelta {
    let key = EdgeKey {
        window: Window(0),
        layer: Layer::Network,
        client,
        server,
        proto: Proto::TCP,
        port,
        direction: Direction::Known,
    };
    EdgeDelta { key, counters: counters(count), first_ns: 1, last_ns: 2 }
}

fn path(client: EntityId, hop: EntityId, server: EntityId, count: u64) -> PathDelta {
    let key = PathKey {
        window: Window(0),
        layer: Layer::Network,
        client,
        server,
        proto: Proto::TCP,
        front_port: 80,
        port: 8080,
        via: [hop].into_iter().collect(),
        kind: PathKind::Explained,
        evidence: Evidence::Rewrite,
    };
    PathDelta { key, counters: counters(count), first_ns: 1, last_ns: 2 }
}

/// Runs `work` so many times, and prints how long one took.
fn measure(what: &str, times: usize, mut work: impl FnMut(usize)) {
    let mut took: Vec<Duration> = (0..times)
        .map(|at| {
            let begun = Instant::now();
            work(at);
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    let at = |part: f64| took[((times - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let [best, half, most] = [at(0.0), at(0.5), at(0.99)];
    println!("{what:<48} best {best:7.2} ms  p50 {half:7.2} ms  p99 {most:7.2} ms  of {times}");
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn main() {
    let world = World::new();
    let lookup = |id: EntityId| world.entities.get(&id).cloned();
    println!(
        "{SERVICES} services, {} edge rows, {} path rows",
        world.edges.len(),
        world.paths.len()
    );
    measure("view: sum and fold", 11, |_| drop(black_box(world.view())));
    let view = world.view();
    let mut views: Vec<View> = (0..11).map(|_| view.clone()).collect();
    measure("graph: name, sort, index", 11, |_| {
        drop(black_box(Graph::new(views.pop().expect("one view a run"), &lookup)));
    });
    let graph = Graph::new(view, &lookup);
    println!("folded: {} edges, {:?}", graph.edges().len(), graph.doubts());
    let starts: Vec<EntityId> = {
        let mut sequence = Sequence(11);
        let nodes = graph.nodes();
        (0..1000).map(|_| nodes[(sequence.next() % nodes.len() as u64) as usize].id).collect()
    };
    let plain = Filter::default();
    let narrow = Filter { name_contains: "team-1".into(), hide_self: true, ..Filter::default() };
    for (name, filter) in [("no filter", &plain), ("by name", &narrow)] {
        for (bound, max_nodes) in [("1000 nodes", 1000), ("all nodes", 100_000)] {
            for direction in [WalkDirection::Downstream, WalkDirection::Upstream] {
                let walk = Walk { direction, depth: 3, max_nodes, max_edges: 100_000 };
                let what = format!("traverse 3 hops {direction:?}, {bound}, {name}");
                measure(&what, starts.len(), |at| {
                    black_box(traverse(
                        &filter.prepare(&graph, &|_| portolan_model::Attributes::default()),
                        &[starts[at]],
                        walk,
                    ));
                });
            }
        }
    }
    measure("first page of 1000, filter by name", 200, |_| {
        black_box(narrow.prepare(&graph, &|_| portolan_model::Attributes::default()).page(0, 1000));
    });
    let visit = |visit: &mut portolan_graph::Visit<'_>| {
        world.entities.iter().for_each(|(id, entity)| visit(*id, entity));
    };
    let names = Names { lookup: &lookup, visit: &visit };
    measure("resolve a start by name", 200, |at| {
        let name = [format!("service-{at:05}")];
        black_box(names.resolve(&name, &graph).is_ok());
    });
    measure("search a part of a name", 200, |_| {
        let mut search = Search::new("ice-001", KindSet::default(), 50);
        visit(&mut |id, entity| search.offer(id, entity));
        black_box(search.finish());
    });
}
