use portolan_proto::v1::{self, Collapse, GetGraphRequest};
use tonic::Code;

use crate::harness::{Line, START, range, show};

const FOLDED: [&str; 4] = [
    "n1 > n2:6081 9",
    "shop/cart > data/db:5432 3 via [data/lb] declared",
    "shop/web > shop/cart:8080 4 via [shop/cart] rewrite",
    "shop/web > [shop/cart]:80 2 residual",
];

async fn graph(line: &Line, request: GetGraphRequest) -> v1::GetGraphResponse {
    let (_server, mut client) = line.serve().await;
    client.get_graph(request).await.unwrap().into_inner()
}

/// The message of a refusal.
async fn refused(line: &Line, request: GetGraphRequest) -> String {
    let (_server, mut client) = line.serve().await;
    let status = client.get_graph(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    status.message().to_owned()
}

#[tokio::test]
async fn graph_of_now_has_hops_folded_and_residuals_visible() {
    let answer = graph(&Line::shop(), GetGraphRequest::default()).await;
    assert_eq!(show(&answer.edges), FOLDED);
    assert_eq!(answer.total_edges, 4);
    assert_eq!(answer.next_page_token, "");
    let edge = &answer.edges[2];
    assert_eq!((edge.layer.as_str(), edge.protocol.as_str()), ("network", "tcp"));
    assert_eq!(edge.direction, "known");
    assert_eq!(edge.counters.unwrap().bytes_sent, 400);
    let start = i64::from(START) * 1_000_000;
    assert_eq!((edge.first_seen_unix_us, edge.last_seen_unix_us), (start + 1, start + 2_000));
}

#[tokio::test]
async fn nodes_are_all_that_the_edges_name_hops_included() {
    let answer = graph(&Line::shop(), GetGraphRequest::default()).await;
    let names: Vec<&str> = answer.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["n1", "n2", "db", "lb", "cart", "cart", "web"]);
    let lb = &answer.nodes[3];
    assert_eq!((lb.kind.as_str(), lb.hop_class.as_str()), ("hop", "load_balancer"));
}

#[tokio::test]
async fn graph_of_a_range_equals_the_graph_of_now_over_the_same_windows() {
    let line = Line::shop();
    let now = graph(&line, GetGraphRequest::default()).await;
    for all in [range(START, START + 10), range(0, 0), range(START + 3, START + 4)] {
        let answer = graph(&line, GetGraphRequest { range: all, ..Default::default() }).await;
        assert_eq!(answer.edges, now.edges);
        assert_eq!(
            answer.coverage.unwrap().covered.unwrap().from_unix_us,
            i64::from(START) * 1_000_000
        );
    }
}

#[tokio::test]
async fn range_says_which_windows_it_really_covers() {
    let mut line = Line::shop();
    line.commit(START + 20, &[("shop/web", "shop/cart", 8080, 1)], &[]);
    line.commit(START + 60, &[("shop/web", "shop/cart", 8080, 2)], &[]);
    let ask = |from, to| GetGraphRequest { range: range(from, to), ..Default::default() };
    let answer = graph(&line, ask(START - 500, START + 25)).await;
    let coverage = answer.coverage.unwrap();
    assert_eq!(coverage.covered, range(START, START + 30));
    assert_eq!(coverage.resolution_secs, 10);
    assert_eq!(coverage.epoch, 3);
    assert_eq!(coverage.watermark_unix_us, i64::from(START + 70) * 1_000_000);
    let answer = graph(&line, ask(START + 20, START + 9999)).await;
    assert_eq!(answer.coverage.unwrap().covered, range(START + 20, START + 80));
    assert_eq!(show(&answer.edges), ["shop/web > shop/cart:8080 3"]);
}

#[tokio::test]
async fn range_with_nothing_in_it_covers_nothing() {
    let answer =
        graph(&Line::shop(), GetGraphRequest { range: range(10, 20), ..Default::default() }).await;
    assert_eq!((answer.edges.len(), answer.coverage.unwrap().covered), (0, None));
    let answer =
        graph(&Line::new(), GetGraphRequest { range: range(0, 0), ..Default::default() }).await;
    assert_eq!(answer.coverage.unwrap().covered, None);
    let answer = graph(&Line::new(), GetGraphRequest::default()).await;
    assert_eq!(answer.coverage.unwrap().covered, None);
}

#[tokio::test]
async fn collapse_none_shows_raw_hops() {
    let request = GetGraphRequest { collapse: Collapse::None.into(), ..Default::default() };
    let answer = graph(&Line::shop(), request).await;
    let raw = [
        "n1 > n2:6081 9",
        "[data/lb] > data/db:5432 3",
        "shop/cart > [data/lb]:5432 3",
        "shop/web > shop/cart:8080 4",
        "shop/web > [shop/cart]:80 6",
    ];
    assert_eq!(show(&answer.edges), raw);
}

#[tokio::test]
async fn collapse_proven_leaves_what_is_only_declared() {
    let request = GetGraphRequest { collapse: Collapse::Proven.into(), ..Default::default() };
    let answer = graph(&Line::shop(), request).await;
    assert!(show(&answer.edges).contains(&"shop/cart > [data/lb]:5432 3".into()));
}

#[tokio::test]
async fn filters_narrow_the_edges_and_the_total() {
    let filter = v1::Filter {
        namespaces: vec!["shop".into()],
        ports: vec![8080, 80],
        hide_node_traffic: true,
        ..Default::default()
    };
    let request = GetGraphRequest {
        filter: Some(filter),
        layers: vec!["network".into()],
        ..Default::default()
    };
    let answer = graph(&Line::shop(), request).await;
    assert_eq!(show(&answer.edges), FOLDED[2..]);
    assert_eq!(answer.total_edges, 2);
    let traces = GetGraphRequest { layers: vec!["trace".into()], ..Default::default() };
    assert_eq!(graph(&Line::shop(), traces).await.total_edges, 0);
}

#[tokio::test]
async fn pages_go_on_after_the_last_edge_shown_although_the_graph_changed() {
    let mut line = Line::shop();
    let (_server, mut client) = line.serve().await;
    let mut ask = GetGraphRequest { page_size: 2, ..Default::default() };
    let first = client.get_graph(ask.clone()).await.unwrap().into_inner();
    assert_eq!(show(&first.edges), FOLDED[..2]);
    // The last edge shown goes, one comes before it, and one after it.
    line.commit(
        START,
        &[
            ("shop/cart", "{data/lb}", 5432, -3),
            ("{data/lb}", "data/db", 5432, -3),
            ("a/a", "a/b", 1, 1),
            ("shop/cart", "shop/web", 1, 1),
        ],
        &[
            (
                portolan_model::PathKind::Moved,
                portolan_model::Evidence::Declared,
                "shop/cart",
                "{data/lb}:5432",
                "data/db:5432",
                -3,
            ),
            (
                portolan_model::PathKind::Leg,
                portolan_model::Evidence::Declared,
                "{data/lb}",
                ":5432",
                "data/db:5432",
                -3,
            ),
        ],
    );
    ask.page_token = first.next_page_token;
    let second = client.get_graph(ask.clone()).await.unwrap().into_inner();
    assert_eq!(show(&second.edges), ["shop/cart > shop/web:1 1", FOLDED[2]]);
    ask.page_token = second.next_page_token;
    let third = client.get_graph(ask).await.unwrap().into_inner();
    assert_eq!(show(&third.edges), [FOLDED[3]]);
    assert_eq!(third.next_page_token, "");
}

#[tokio::test]
async fn token_of_another_query_or_of_nobody_is_refused() {
    let line = Line::shop();
    let page = GetGraphRequest { page_size: 1, ..Default::default() };
    let token = graph(&line, page).await.next_page_token;
    let other = GetGraphRequest {
        page_token: token.clone(),
        collapse: Collapse::None.into(),
        ..Default::default()
    };
    assert!(refused(&line, other).await.starts_with("page_token: belongs to another query"));
    let bad = GetGraphRequest { page_token: format!("{token}00"), ..Default::default() };
    assert_eq!(refused(&line, bad).await, "page_token: not a token of this server");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_field_with_what_is_allowed() {
    let line = Line::shop();
    let from_filter = |filter| GetGraphRequest { filter: Some(filter), ..Default::default() };
    let cases = [
        (GetGraphRequest { range: range(20, 10), ..Default::default() }, "range: from_unix_us"),
        (GetGraphRequest { range: range(10, 10), ..Default::default() }, "range: from_unix_us"),
        (
            GetGraphRequest {
                range: Some(v1::TimeRange { from_unix_us: -1, to_unix_us: 0 }),
                ..Default::default()
            },
            "range: times before 1970",
        ),
        (
            GetGraphRequest { page_size: 10_001, ..Default::default() },
            "page_size: 10001 is over 10000",
        ),
        (GetGraphRequest { collapse: 9, ..Default::default() }, "collapse: 9 is not one of 0 to 6"),
        (
            GetGraphRequest { layers: vec!["Network".into()], ..Default::default() },
            "layers: \"Network\" is not one of network, ipc, trace",
        ),
        (
            from_filter(v1::Filter { kinds: vec!["pod".into()], ..Default::default() }),
            "filter.kinds: \"pod\" is not one of service, workload, node, database, cache, topic, \
             broker, external, hop, ambiguous, unresolved, user, overflow",
        ),
        (
            from_filter(v1::Filter { protocols: vec!["tpc".into()], ..Default::default() }),
            "filter.protocols: \"tpc\" is not tcp, udp,",
        ),
        (
            from_filter(v1::Filter { ports: vec![65_536], ..Default::default() }),
            "filter.ports: 65536 is over 65535",
        ),
        (
            from_filter(v1::Filter { namespaces: vec![String::new(); 101], ..Default::default() }),
            "filter.namespaces: 101 values are over 100",
        ),
        (
            from_filter(v1::Filter { name_contains: "x".repeat(513), ..Default::default() }),
            "filter.name_contains: a text of 513 bytes is over 512",
        ),
    ];
    for (request, message) in cases {
        let said = refused(&line, request).await;
        assert!(said.starts_with(message), "{said} is not {message}");
    }
}

/// A balancer with two callers and two targets, of which nothing more is known.
fn shared() -> Line {
    let mut line = Line::new();
    let edges = [
        ("shop/web", "{data/lb}", 5432, 3),
        ("shop/cron", "{data/lb}", 5432, 2),
        ("{data/lb}", "data/db", 5432, 3),
        ("{data/lb}", "data/copy", 5433, 2),
        ("shop/web", "data/db", 5432, 1),
    ];
    line.commit(START, &edges, &[]);
    line
}

#[tokio::test]
async fn edges_that_may_be_are_shown_when_asked_for_flagged_and_not_counted() {
    let ask = |collapse: Collapse| GetGraphRequest { collapse: collapse.into(), ..<_>::default() };
    let known = graph(&shared(), ask(Collapse::Unspecified)).await;
    assert_eq!((known.total_edges, known.possible_edges), (5, 0));
    assert!(known.edges.iter().all(|edge| !edge.possible));

    let answer = graph(&shared(), ask(Collapse::Possible)).await;
    assert_eq!((answer.total_edges, answer.possible_edges), (5, 3));
    assert_eq!(answer.possible_edges_left_out, 0);
    let (may_be, same): (Vec<_>, Vec<_>) = answer.edges.into_iter().partition(|e| e.possible);
    assert_eq!(same, known.edges, "what is known is as it was");
    assert_eq!(
        show(&may_be),
        [
            "shop/cron > data/copy:5433 0 via [data/lb] possible",
            "shop/cron > data/db:5432 0 via [data/lb] possible",
            "shop/web > data/copy:5433 0 via [data/lb] possible",
        ]
    );
    for edge in may_be {
        assert_eq!((edge.counters, edge.certainty, edge.residual), (None, None, false));
        assert_eq!(edge.via[0].counters, None);
    }
    assert!(answer.nodes.iter().any(|node| node.name == "lb"), "the hop is named");
}

#[tokio::test]
async fn pages_hold_edges_that_may_be_as_well_and_filters_by_counts_drop_them() {
    let line = shared();
    let (_server, mut client) = line.serve().await;
    let mut request =
        GetGraphRequest { collapse: Collapse::Possible.into(), page_size: 3, ..<_>::default() };
    let mut shown = 0;
    loop {
        let page = client.get_graph(request.clone()).await.unwrap().into_inner();
        assert_eq!((page.total_edges, page.possible_edges), (5, 3));
        shown += page.edges.len();
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(shown, 8);
    let filter = Some(v1::Filter { min_connections: 1, ..Default::default() });
    let request = GetGraphRequest { collapse: Collapse::Possible.into(), filter, ..<_>::default() };
    let answer = client.get_graph(request).await.unwrap().into_inner();
    assert_eq!((answer.total_edges, answer.possible_edges), (5, 0));
}

#[tokio::test]
async fn what_is_compared_counted_or_looked_into_is_known() {
    let (_server, mut client) = shared().serve().await;
    let collapse = i32::from(Collapse::Possible);
    let edge = v1::GetEdgeRequest {
        client: "web".into(),
        server: "copy".into(),
        collapse,
        ..Default::default()
    };
    let (before, after) = (range(START, START + 10), range(START + 10, START + 20));
    let diff = v1::DiffRequest { collapse, before, after, ..Default::default() };
    let statuses = [
        client.get_edge(edge).await.unwrap_err(),
        client.diff(diff).await.unwrap_err(),
        client.coverage(v1::CoverageRequest { collapse, ..<_>::default() }).await.unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with("collapse: edges that only may be"), "{status}");
    }
}
