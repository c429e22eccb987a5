use portolan_model::{Attributes, Collapse};
use proptest::prelude::*;

use super::*;
use crate::text::World;
use crate::{Filter, Graph};

fn graph(pairs: &[(u8, u8)]) -> (World, Graph) {
    let lines: Vec<String> = pairs.iter().map(|(a, b)| format!("n{a} > n{b}:{b} 1")).collect();
    let world = World::parse(&lines.join("\n"));
    let graph = world.graph(Collapse::None);
    (world, graph)
}

#[test]
fn pages_together_are_all_edges_once() {
    let (world, graph) = graph(&[(1, 2), (1, 3), (2, 3), (3, 1), (3, 4)]);
    let filter = Filter::default();
    let mut seen = vec![];
    let mut start = 0;
    loop {
        let page = filter.prepare(&graph, &|_| Attributes::default()).page(start, 2);
        assert_eq!(page.total, 5);
        seen.extend(page.edges);
        let Some(last) = page.last else { break };
        start = graph.after(&last, &|id| world.entities.get(&id).cloned()).unwrap();
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn full_last_page_has_no_next_one() {
    let (_, graph) = graph(&[(1, 2), (1, 3)]);
    assert_eq!(Filter::default().prepare(&graph, &|_| Attributes::default()).page(0, 2).last, None);
}

proptest! {
    #[test]
    fn next_page_of_a_changed_graph_begins_after_the_last_edge_shown(
        before in prop::collection::btree_set((0..6_u8, 0..6_u8), 1..20),
        after in prop::collection::btree_set((0..6_u8, 0..6_u8), 0..20),
        size in 1..20_usize,
    ) {
        let all: Vec<_> = before.union(&after).copied().collect();
        let (world, _) = graph(&all);
        let (old, new) = (graph(&all[..0]).1, graph(&after.iter().copied().collect::<Vec<_>>()).1);
        drop(old);
        let first = graph(&before.iter().copied().collect::<Vec<_>>()).1;
        let filter = Filter::default();
        let page = filter.prepare(&first, &|_| Attributes::default()).page(0, size);
        if let Some(last) = page.last {
            let last_pair = *before.iter().nth(size - 1).unwrap();
            let start = new.after(&last, &|id| world.entities.get(&id).cloned()).unwrap();
            // Names sort like the pairs that they are made of.
            prop_assert_eq!(start, after.iter().filter(|pair| **pair <= last_pair).count());
        }
    }

    #[test]
    fn token_comes_back_as_it_went_out(
        query: u64, client: u64, server: u64, proto: u8, port: u16, layer in 0..3_u8, way in 0..2_u8,
    ) {
        let last = Link {
            layer: Layer::from_code(layer).unwrap(),
            client: EntityId(client),
            server: EntityId(server),
            proto: Proto(proto),
            port,
            direction: Direction::from_code(way).unwrap(),
        };
        let token = PageToken { query, last };
        prop_assert_eq!(PageToken::decode(&token.encode()), Ok(token));
    }

    #[test]
    fn any_other_text_is_refused(text in ".{0,90}", flip in 0..68_usize) {
        prop_assert_eq!(PageToken::decode(&text), Err(TokenError));
        let link = Link { layer: Layer::Network, client: EntityId(1), server: EntityId(2),
            proto: Proto::TCP, port: 80, direction: Direction::Known };
        let mut token = PageToken { query: 7, last: link }.encode().into_bytes();
        token[flip] = if token[flip] == b'0' { b'1' } else { b'0' };
        prop_assert_eq!(PageToken::decode(&String::from_utf8(token).unwrap()), Err(TokenError));
    }
}
