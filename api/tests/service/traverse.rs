use portolan_proto::v1::{self, TraverseDirection, TraverseRequest};
use tonic::Code;

use crate::harness::{Line, id, range, show};

async fn traverse(
    line: &Line,
    request: TraverseRequest,
) -> Result<v1::TraverseResponse, tonic::Status> {
    let (_server, mut client) = line.serve().await;
    client.traverse(request).await.map(tonic::Response::into_inner)
}

fn from(start: &str) -> TraverseRequest {
    TraverseRequest { start: vec![start.into()], ..Default::default() }
}

fn reached(answer: &v1::TraverseResponse) -> Vec<String> {
    let name =
        |node: &v1::ReachedNode| format!("{}{}", node.entity.as_ref().unwrap().name, node.distance);
    answer.nodes.iter().map(name).collect()
}

#[tokio::test]
async fn downstream_reaches_what_is_called_over_several_hops() {
    let answer = traverse(&Line::shop(), from("shop/web")).await.unwrap();
    assert_eq!(reached(&answer), ["web0", "cart1", "cart1", "db2"]);
    assert_eq!(answer.edges.len(), 3);
    assert!(!answer.truncated);
    assert_eq!(answer.coverage.unwrap().epoch, 1);
}

#[tokio::test]
async fn upstream_reaches_the_callers_also_over_a_range() {
    let request = TraverseRequest {
        direction: TraverseDirection::Upstream.into(),
        range: range(0, 0),
        ..from("db")
    };
    let answer = traverse(&Line::shop(), request).await.unwrap();
    assert_eq!(reached(&answer), ["db0", "cart1", "web2"]);
}

#[tokio::test]
async fn depth_bound_and_filter_hold() {
    let request = TraverseRequest { depth: 1, ..from("shop/web") };
    assert_eq!(traverse(&Line::shop(), request).await.unwrap().nodes.len(), 3);
    let filter = v1::Filter { ports: vec![8080], ..Default::default() };
    let request = TraverseRequest { filter: Some(filter), ..from("shop/web") };
    let answer = traverse(&Line::shop(), request).await.unwrap();
    assert_eq!(show(&answer.edges), ["shop/web > shop/cart:8080 4 via [shop/cart] rewrite"]);
    let request = TraverseRequest { max_nodes: 2, ..from("shop/web") };
    let answer = traverse(&Line::shop(), request).await.unwrap();
    assert!(answer.truncated && answer.nodes.len() == 2);
}

#[tokio::test]
async fn start_may_be_an_id_and_what_has_no_edge_now_is_still_known() {
    let mut line = Line::shop();
    // Ten minutes later only one edge is left of now.
    line.commit(crate::harness::START + 600, &[("a/a", "a/b", 1, 1)], &[]);
    let answer = traverse(&line, from(&id("shop/web").to_string())).await.unwrap();
    assert_eq!(reached(&answer), ["web0"]);
    let web = answer.nodes[0].entity.as_ref().unwrap();
    assert_eq!((web.namespace.as_str(), web.kind.as_str()), ("shop", "workload"));
}

#[tokio::test]
async fn name_that_nobody_has_is_not_found_and_names_like_it_are_offered() {
    let status = traverse(&Line::shop(), from("shop/wbe")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "start: no entity is named \"shop/wbe\"; near are shop/web");
}

#[tokio::test]
async fn name_that_several_have_is_answered_with_their_ids() {
    let mut line = Line::shop();
    line.commit(crate::harness::START, &[("old/web", "shop/cart", 8080, 1)], &[]);
    let status = traverse(&line, from("web")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("start: \"web\" names 2 entities"), "{status}");
    assert!(status.message().contains(&id("old/web").to_string()));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_field() {
    let cases = [
        (TraverseRequest::default(), "start: name at least one entity"),
        (from(""), "start: a name is empty"),
        (TraverseRequest { depth: 17, ..from("web") }, "depth: 17 is over 16"),
        (TraverseRequest { max_nodes: 100_001, ..from("web") }, "max_nodes: 100001 is over 100000"),
        (TraverseRequest { direction: 4, ..from("web") }, "direction: 4 is not one of 0 to 3"),
        (
            TraverseRequest { start: vec!["web".into(); 101], ..Default::default() },
            "start: 101 values are over 100",
        ),
        (TraverseRequest { range: range(5, 5), ..from("web") }, "range: from_unix_us"),
    ];
    for (request, message) in cases {
        let status = traverse(&Line::shop(), request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(message), "{status}");
    }
}
