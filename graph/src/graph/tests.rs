use portolan_model::Collapse;

use super::*;
use crate::text::World;

#[test]
fn edges_stand_in_the_order_of_their_ends_names() {
    let world = World::parse(
        "b/x > a/y:80 1
         a/y > b/x:81 1
         a/y > b/x:80 1
         a/y > a/z:80 1
         A/z > b/x:80 1",
    );
    let graph = world.graph(Collapse::None);
    let shown: Vec<String> = graph.edges().iter().map(|e| world.show_edge(e)).collect();
    let sorted =
        ["A/z > b/x:80 1", "a/y > a/z:80 1", "a/y > b/x:80 1", "a/y > b/x:81 1", "b/x > a/y:80 1"];
    assert_eq!(shown, sorted);
}

#[test]
fn every_edge_is_found_from_both_of_its_ends() {
    let world = World::parse(
        "a > b:1 1
         b > a:1 1
         a > a:1 1
         c > a:2 1",
    );
    let graph = world.graph(Collapse::None);
    for edge in 0..graph.edges().len() {
        let (client, server) = graph.ends(edge);
        let link = graph.edges()[edge].link;
        assert_eq!(graph.nodes()[client].id, link.client);
        assert_eq!(graph.nodes()[server].id, link.server);
        assert!(graph.outgoing(client).contains(&edge));
        assert!(graph.incoming(server).contains(&(edge as u32)));
    }
    let (out, incoming): (usize, usize) = (0..graph.nodes().len())
        .map(|node| (graph.outgoing(node).len(), graph.incoming(node).len()))
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!((out, incoming), (4, 4));
}

#[test]
fn entity_that_nobody_knows_is_shown_as_unresolved_under_its_id() {
    let world = World::parse("a > b:1 1");
    let a = Entity::new(EntityKind::Workload, "", "a").id();
    let graph = Graph::new(world.view(Collapse::None), &|id| {
        world.entities.get(&id).filter(|_| id != a).cloned()
    });
    assert_eq!(graph.unnamed(), 1);
    let shown = graph.entity(a).unwrap();
    assert_eq!((shown.kind, &*shown.name), (EntityKind::Unresolved, &*a.to_string()));
}

#[test]
fn folded_hops_keep_their_names() {
    let world = World::parse(
        "a > [b]:80 1
         moved rewrite a > [b]:80 > b:8080 1",
    );
    let graph = world.graph(Collapse::default());
    assert_eq!(graph.nodes().len(), 2);
    let hop = graph.edges()[0].hops()[0].hop;
    assert_eq!(graph.entity(hop).unwrap().kind.as_str(), "hop");
}
