use portolan_proto::v1::{self, SearchRequest};
use tonic::Code;

use crate::harness::Line;

async fn search(request: SearchRequest) -> Result<v1::SearchResponse, tonic::Status> {
    let (_server, mut client) = Line::shop().serve().await;
    client.search(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn entities_are_found_by_name_whatever_the_case() {
    let found = search(SearchRequest { query: "CART".into(), ..Default::default() }).await.unwrap();
    assert_eq!(found.total, 2);
    assert!(found.entities.iter().all(|entity| entity.name == "cart"));
}

#[tokio::test]
async fn kinds_and_limit_narrow_and_the_total_counts_all() {
    let all = SearchRequest { kinds: vec!["workload".into()], limit: 1, ..Default::default() };
    let found = search(all).await.unwrap();
    assert_eq!((found.entities.len(), found.total), (1, 3));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_field() {
    let cases = [
        (SearchRequest { limit: 1001, ..Default::default() }, "limit: 1001 is over 1000"),
        (
            SearchRequest { kinds: vec!["x".into()], ..Default::default() },
            "kinds: \"x\" is not one of",
        ),
        (SearchRequest { query: "x".repeat(513), ..Default::default() }, "query: a text of 513"),
    ];
    for (request, message) in cases {
        let status = search(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(message), "{status}");
    }
}
