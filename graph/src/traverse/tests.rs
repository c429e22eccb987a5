use std::collections::BTreeSet;

use portolan_model::{Attributes, Collapse, Entity, EntityKind};
use proptest::prelude::*;

use super::*;
use crate::Filter;
use crate::text::World;

const WORLD: &str = "a > b:1 1
     b > c:1 1
     c > d:1 1
     a > c:1 1
     d > a:1 1
     x > c:1 1
     c ~ u:1 1";

fn id(name: &str) -> EntityId {
    Entity::new(EntityKind::Workload, "", name).id()
}

fn walk(direction: WalkDirection, depth: u32) -> Walk {
    Walk { direction, depth, max_nodes: 100, max_edges: 100 }
}

/// Reached nodes with distances, and edges walked.
fn go(filter: &Filter, starts: &[&str], walk: Walk) -> (String, Vec<String>, bool) {
    let world = World::parse(WORLD);
    let graph = world.graph(Collapse::None);
    let starts: Vec<EntityId> = starts.iter().map(|name| id(name)).collect();
    let found = traverse(&filter.prepare(&graph, &|_| Attributes::default()), &starts, walk);
    let name = |id| world.entities.get(&id).map_or("?".into(), ToString::to_string);
    let nodes = found.nodes.iter().map(|n| format!("{}{}", name(n.id), n.distance));
    let edges = found.edges.iter().map(|at| world.show_edge(&graph.edges()[*at]));
    (nodes.collect::<Vec<_>>().join(" "), edges.collect(), found.truncated)
}

#[test]
fn distance_is_the_fewest_hops() {
    let (nodes, edges, truncated) =
        go(&Filter::default(), &["a"], walk(WalkDirection::Downstream, 3));
    assert_eq!(nodes, "a0 b1 c1 d2 u2");
    assert_eq!(edges.len(), 6);
    assert!(!truncated);
}

#[test]
fn depth_bounds_the_walk() {
    let (nodes, edges, truncated) =
        go(&Filter::default(), &["a"], walk(WalkDirection::Downstream, 1));
    assert_eq!(nodes, "a0 b1 c1");
    assert_eq!(edges, ["a > b:1 1", "a > c:1 1"]);
    assert!(!truncated, "a depth that was asked for is no bound that was met");
}

#[test]
fn upstream_walks_to_the_callers() {
    let (nodes, ..) = go(&Filter::default(), &["c"], walk(WalkDirection::Upstream, 1));
    assert_eq!(nodes, "c0 a1 b1 u1 x1");
}

#[test]
fn both_ways_shows_every_edge_once() {
    let (nodes, edges, _) = go(&Filter::default(), &["x"], walk(WalkDirection::Both, 9));
    assert_eq!(nodes, "x0 c1 a2 b2 d2 u2");
    assert_eq!(edges.len(), 7);
    assert_eq!(edges.iter().collect::<BTreeSet<_>>().len(), 7);
}

#[test]
fn edge_of_unknown_direction_is_walked_both_ways() {
    let (nodes, ..) = go(&Filter::default(), &["u"], walk(WalkDirection::Downstream, 1));
    assert_eq!(nodes, "u0 c1");
    let (nodes, ..) = go(&Filter::default(), &["u"], walk(WalkDirection::Upstream, 1));
    assert_eq!(nodes, "u0 c1");
}

#[test]
fn filter_stops_the_walk_at_every_hop() {
    let filter = Filter { name_contains: "b".into(), ..Filter::default() };
    let (nodes, edges, _) = go(&filter, &["a"], walk(WalkDirection::Downstream, 9));
    assert_eq!(nodes, "a0 b1 c2");
    assert_eq!(edges, ["a > b:1 1", "b > c:1 1"]);
}

#[test]
fn bound_on_nodes_is_told_and_no_edge_leads_to_what_is_not_shown() {
    let bound = Walk { max_nodes: 2, ..walk(WalkDirection::Downstream, 9) };
    let (nodes, edges, truncated) = go(&Filter::default(), &["a"], bound);
    assert_eq!((nodes.as_str(), truncated), ("a0 b1", true));
    assert_eq!(edges, ["a > b:1 1"]);
}

#[test]
fn bound_on_edges_is_told() {
    let bound = Walk { max_edges: 1, ..walk(WalkDirection::Downstream, 9) };
    let (_, edges, truncated) = go(&Filter::default(), &["a"], bound);
    assert_eq!((edges.len(), truncated), (1, true));
}

#[test]
fn start_without_edges_is_reached_and_leads_nowhere() {
    let (nodes, edges, truncated) =
        go(&Filter::default(), &["lonely"], walk(WalkDirection::Both, 3));
    assert_eq!(nodes, "?0");
    assert!(edges.is_empty() && !truncated);
}

#[test]
fn several_starts_are_walked_from_at_once_and_counted_once() {
    let (nodes, ..) = go(&Filter::default(), &["x", "b", "x"], walk(WalkDirection::Downstream, 1));
    assert_eq!(nodes, "b0 x0 c1");
}

proptest! {
    #[test]
    fn walk_finds_what_a_naive_closure_finds(
        pairs in prop::collection::vec((0..9_u8, 0..9_u8), 0..30),
        start in 0..9_u8, depth in 0..5_u32, direction in 0..3_usize,
    ) {
        let text: Vec<String> = pairs.iter().map(|(a, b)| format!("n{a} > n{b}:1 1")).collect();
        let graph = World::parse(&text.join("\n")).graph(Collapse::None);
        let direction = [WalkDirection::Downstream, WalkDirection::Upstream, WalkDirection::Both]
            [direction];
        let found = traverse(&Filter::default().prepare(&graph, &|_| Attributes::default()), &[id(&format!("n{start}"))],
            walk(direction, depth));
        let mut seen = BTreeSet::from([start]);
        for _ in 0..depth {
            for (a, b) in seen.clone().iter().flat_map(|at| pairs.iter().map(move |p| (at, p)))
                .flat_map(|(at, (a, b))| [(at == a && direction != WalkDirection::Upstream, *b),
                    (at == b && direction != WalkDirection::Downstream, *a)])
            {
                if a { seen.insert(b); }
            }
        }
        let naive: BTreeSet<EntityId> = seen.iter().map(|at| id(&format!("n{at}"))).collect();
        let nodes: BTreeSet<EntityId> = found.nodes.iter().map(|node| node.id).collect();
        prop_assert_eq!(nodes, naive);
        prop_assert!(found.nodes.is_sorted_by_key(|node| node.distance));
    }
}
