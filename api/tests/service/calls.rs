//! Edges of calls in the answers that know no layer but connections by habit.

use portolan_proto::v1::{self, GetGraphRequest, TraverseRequest};

use crate::coverage::shop;
use crate::harness::{START, range};

fn name(entity: Option<&v1::Entity>) -> &str {
    entity.map_or("", |entity| &entity.name)
}

/// `layer client > server calls connections` of every edge.
fn shown(edges: &[v1::Edge]) -> Vec<String> {
    let mut lines: Vec<String> = edges
        .iter()
        .map(|edge| {
            let calls: f64 = edge.calls.iter().map(|said| said.calls).sum();
            let connections = edge.counters.as_ref().map_or(0, |sums| sums.connections);
            let (client, server) = (name(edge.client.as_ref()), name(edge.server.as_ref()));
            format!("{} {client} > {server} {calls} {connections}", edge.layer)
        })
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn graph_has_edges_of_calls_beside_those_of_connections_now_and_over_a_range() {
    let (_server, mut client) = shop().serve().await;
    for range in [None, range(START, START + 10)] {
        let request = GetGraphRequest { range, ..Default::default() };
        let graph = client.get_graph(request).await.unwrap().into_inner();
        let lines = shown(&graph.edges);
        for line in ["ipc web > mail 8 0", "trace web > cart 4 0"] {
            assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
        }
        assert!(lines.iter().any(|line| line.starts_with("network ")), "{lines:?}");
    }
}

#[tokio::test]
async fn few_connections_hide_no_calls_and_few_calls_hide_no_connections() {
    let (_server, mut client) = shop().serve().await;
    let mut ask = async |filter: v1::Filter| {
        let request = GetGraphRequest { filter: Some(filter), ..Default::default() };
        shown(&client.get_graph(request).await.unwrap().into_inner().edges)
    };
    let all = ask(v1::Filter::default()).await;
    let many = v1::Filter { min_connections: 1_000, ..Default::default() };
    assert_eq!(ask(many).await, ["ipc web > mail 8 0", "trace web > cart 4 0"]);
    let many = ask(v1::Filter { min_calls: 5, ..Default::default() }).await;
    let expected: Vec<_> = all.iter().filter(|line| !line.starts_with("trace ")).cloned().collect();
    assert_eq!(many, expected);
}

#[tokio::test]
async fn traverse_follows_calls_where_no_connection_leads() {
    let (_server, mut client) = shop().serve().await;
    for (layers, far) in [(vec![], true), (vec!["ipc".into()], true), (vec!["trace".into()], false)]
    {
        let request =
            TraverseRequest { start: vec!["shop/web".into()], layers, ..Default::default() };
        let answer = client.traverse(request).await.unwrap().into_inner();
        let reached = answer.nodes.iter().any(|node| name(node.entity.as_ref()) == "mail");
        assert_eq!(reached, far, "{:?}", answer.nodes);
        let lines = shown(&answer.edges);
        assert_eq!(lines.contains(&"ipc web > mail 8 0".to_owned()), far, "{lines:?}");
    }
    let request = TraverseRequest {
        start: vec!["shop/web".into()],
        filter: Some(v1::Filter { min_connections: 1_000, ..Default::default() }),
        ..Default::default()
    };
    let answer = client.traverse(request).await.unwrap().into_inner();
    assert_eq!(shown(&answer.edges), ["ipc web > mail 8 0", "trace web > cart 4 0"]);
}
