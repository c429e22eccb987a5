//! Maps, compared: with the truth of a fleet, and with one another.

use std::collections::BTreeSet;

use portolan_e2e::Portolan;
use portolan_fleet::{EntityName, FoundEdge, Score, Truth, score};
use portolan_model::{Entity, Proto};
use portolan_proto::v1;

/// Fails unless the map is the truth: every edge, no other, and each with the right connections,
/// bytes of both directions and times.
pub(crate) fn assert_true(portolan: &Portolan, truth: &Truth) {
    let everything = v1::TimeRange { from_unix_us: 1, to_unix_us: 0 };
    assert_true_within(portolan, truth, everything);
}

/// The same of a range that all of the truth lies in. What the answer covers comes back.
pub(crate) fn assert_true_within(
    portolan: &Portolan,
    truth: &Truth,
    range: v1::TimeRange,
) -> v1::Coverage {
    let request = v1::GetGraphRequest {
        range: Some(range),
        layers: vec!["network".to_owned()],
        page_size: 10_000,
        ..v1::GetGraphRequest::default()
    };
    let graph = portolan.graph(request).unwrap();
    let score = graded(&graph, truth);
    assert!(score.edges_true > 10, "the fleet does something");
    assert!(
        score.is_perfect() && score.bytes_off == 0,
        "{score:#?}\n{:#?}\n{}",
        portolan.status().unwrap().tallies,
        portolan.log_tail()
    );
    graph.coverage.unwrap()
}

/// How good a graph is.
pub(crate) fn graded(graph: &v1::GetGraphResponse, truth: &Truth) -> Score {
    assert_eq!(graph.total_edges, graph.edges.len() as u64, "all pages are there");
    let found: Vec<_> = graph.edges.iter().map(found).collect();
    score(truth, &found)
}

/// Everything that a process can be asked about its map, a line each.
///
/// Left out is only what is about the process and not about the map: how it was cut into epochs.
pub(crate) fn drawn(portolan: &Portolan) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for collapse in [v1::Collapse::None, v1::Collapse::L4, v1::Collapse::ProvenAndDeclared] {
        let request = v1::GetGraphRequest {
            range: Some(v1::TimeRange { from_unix_us: 1, to_unix_us: 0 }),
            collapse: collapse.into(),
            page_size: 10_000,
            ..v1::GetGraphRequest::default()
        };
        let graph = portolan.graph(request).unwrap();
        let coverage = graph.coverage.unwrap();
        lines.insert(format!("{collapse:?} covers {:?}", coverage.covered));
        lines.insert(format!("{collapse:?} lost {}", coverage.records_lost));
        lines.extend(graph.nodes.iter().map(|node| format!("{collapse:?} {}", json(node))));
        lines.extend(graph.edges.iter().map(|edge| format!("{collapse:?} {}", json(edge))));
    }
    let status = portolan.status().unwrap();
    lines.extend(status.tallies.iter().map(|(name, sum)| format!("tally {name} {sum}")));
    lines.extend(
        status.losses.iter().map(|loss| {
            format!("lost {}/{} {}..{}", loss.topic, loss.partition, loss.from, loss.to)
        }),
    );
    lines
}

/// Fails unless both say the same, and shows only what differs.
pub(crate) fn assert_same(one: &BTreeSet<String>, other: &BTreeSet<String>) {
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
        a.difference(b).take(10).cloned().collect::<Vec<_>>().join("\n  ")
    };
    assert!(
        one == other,
        "only the one has:\n  {}\nonly the other has:\n  {}",
        only(one, other),
        only(other, one)
    );
}

/// A message of the API as JSON.
pub(crate) fn json(message: &impl serde::Serialize) -> String {
    serde_json::to_string(message).unwrap()
}

fn found(edge: &v1::Edge) -> FoundEdge {
    let counters = edge.counters.unwrap();
    FoundEdge {
        client: entity(edge.client.as_ref().unwrap()),
        server: entity(edge.server.as_ref().unwrap()),
        proto: Proto::parse(&edge.protocol).unwrap(),
        port: edge.port.try_into().unwrap(),
        connections: counters.connections,
        bytes_sent: counters.bytes_sent,
        bytes_received: counters.bytes_received,
    }
}

fn entity(entity: &v1::Entity) -> Entity {
    let v1::Entity { environment, namespace, name, kind, detail, hop_class, .. } = entity.clone();
    let name = EntityName { environment, namespace, name, kind, detail, hop_class };
    name.entity().expect("the kind is one of the contract's")
}
