//! Health as answers show it, and as they are filtered by it.

use portolan_model::{
    ChangeKind, ChangeRecord, Entity, EntityKind, EpochCommit, Health, HealthKey, HealthRow, Notes,
    Subject, Window, WindowLen,
};
use portolan_proto::v1::{self, GetEdgeRequest, GetGraphRequest, SearchRequest, TraverseRequest};
use tonic::Code;

use crate::coverage::shop;
use crate::harness::{Client, Line, START, range};

fn service(namespace: &str, name: &str) -> Entity {
    Entity::new(EntityKind::Service, namespace, name)
}

fn row(client: Option<&Entity>, server: &Entity, state: Health) -> HealthRow {
    let key = match client {
        Some(client) => HealthKey { client: client.id(), server: server.id() },
        None => HealthKey::of_service(server.id()),
    };
    HealthRow {
        state,
        judged: Window(START),
        errors: 250_000_000,
        usual_errors: 10_000_000,
        latency: 40_000_000,
        ..HealthRow::new(key, Window(START))
    }
}

/// The shop, of which the line has judged that `cart` fails, and that `web -> mail` does well.
fn judged() -> Line {
    let mut line = shop();
    let (web, cart) = (service("", "web"), service("", "cart"));
    let (other_web, mail) = (service("shop", "web"), service("shop", "mail"));
    let end = Window(START).end(WindowLen::BASE);
    let mut health = vec![
        row(Some(&web), &cart, Health::Degraded),
        row(None, &cart, Health::Unhealthy),
        row(Some(&other_web), &mail, Health::Healthy),
    ];
    health.sort_by_key(|row| row.key);
    line.apply(&EpochCommit {
        epoch: 3,
        clock: end,
        watermark: end,
        health,
        ..EpochCommit::default()
    });
    line
}

/// A record from outside about an entity of that name, some seconds after the start.
fn record(after: u32, name: &str, state: &str) -> ChangeRecord {
    ChangeRecord {
        at: Window(START + after).start(),
        id: format!("{name}-{after}").into(),
        subject: Subject { name: name.into(), ..Subject::default() },
        kind: ChangeKind::Health,
        title: "probe failed".into(),
        version: state.into(),
        author: "".into(),
        url: "".into(),
        labels: vec![],
        observed_at: 1,
        known: 1,
    }
}

async fn graph(client: &mut Client, request: GetGraphRequest) -> v1::GetGraphResponse {
    client.get_graph(request).await.unwrap().into_inner()
}

fn state(health: Option<&v1::Health>) -> &str {
    health.map_or("-", |health| &health.state)
}

/// `layer client > server edge server's` of every edge.
fn shown(edges: &[v1::Edge]) -> Vec<String> {
    let name = |entity: &Option<v1::Entity>| entity.as_ref().unwrap().name.clone();
    let server = |edge: &v1::Edge| edge.server.clone().unwrap();
    let line = |edge: &v1::Edge| {
        let (own, of) = (state(edge.health.as_ref()), server(edge).health);
        let (client, to) = (name(&edge.client), name(&edge.server));
        format!("{} {client} > {to} {own} {}", edge.layer, state(of.as_ref()))
    };
    let mut lines: Vec<String> = edges.iter().map(line).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn edges_and_entities_show_how_they_do_whatever_the_layer() {
    let (_server, mut client) = judged().serve().await;
    let answer = graph(&mut client, GetGraphRequest::default()).await;
    let lines = shown(&answer.edges);
    for line in [
        "ipc web > mail healthy -",
        "trace web > cart degraded unhealthy",
        // The workload is the service.
        "network web > cart degraded unhealthy",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
    }
    let edge = answer.edges.iter().find(|edge| edge.layer == "trace").unwrap();
    let health = edge.health.as_ref().unwrap();
    assert_eq!((health.error_ratio, health.usual_error_ratio), (0.25, 0.01));
    assert_eq!((health.latency_p95_us, health.by.as_str()), (40_000.0, "judged"));
    let request = GetEdgeRequest {
        client: "shop/web".into(),
        server: "shop/cart".into(),
        range: range(START, START + 10),
        ..Default::default()
    };
    let edge = client.get_edge(request).await.unwrap().into_inner();
    assert_eq!(state(edge.edge.unwrap().health.as_ref()), "degraded");
    let request = SearchRequest { query: "cart".into(), ..Default::default() };
    let found = client.search(request).await.unwrap().into_inner().entities;
    assert!(found.iter().any(|entity| state(entity.health.as_ref()) == "unhealthy"));
}

#[tokio::test]
async fn graph_and_walk_are_filtered_by_health() {
    let (_server, mut client) = judged().serve().await;
    let with = |words: &[&str]| {
        let health = words.iter().map(|word| (*word).to_owned()).collect();
        Some(v1::Filter { health, ..v1::Filter::default() })
    };
    let request = GetGraphRequest { filter: with(&["unhealthy"]), ..Default::default() };
    let lines = shown(&graph(&mut client, request).await.edges);
    assert!(lines.iter().all(|line| line.contains("cart")) && !lines.is_empty(), "{lines:?}");
    let request = GetGraphRequest { filter: with(&["healthy"]), ..Default::default() };
    let lines = shown(&graph(&mut client, request).await.edges);
    assert_eq!(lines, ["ipc web > mail healthy -"]);
    let request = TraverseRequest {
        start: vec!["shop/web".into()],
        filter: with(&["healthy"]),
        ..Default::default()
    };
    let walked = client.traverse(request).await.unwrap().into_inner();
    assert_eq!(shown(&walked.edges), ["ipc web > mail healthy -"]);
    let request = GetGraphRequest { filter: with(&["well"]), ..Default::default() };
    let refused = client.get_graph(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("filter.health: \"well\""), "{refused}");
}

#[tokio::test]
async fn record_from_outside_goes_before_what_was_judged_until_it_ends() {
    let mut line = judged();
    let end = Window(START).end(WindowLen::BASE);
    let tell = |line: &mut Line, epoch, changes| {
        let notes = Notes { changes, ..Notes::default() };
        let (clock, watermark) = (end, end);
        line.apply(&EpochCommit { epoch, clock, watermark, notes, ..EpochCommit::default() });
    };
    tell(&mut line, 4, vec![record(1, "cart", "healthy"), record(2, "mail", "unhealthy")]);
    let (_server, mut client) = line.serve().await;
    let lines = shown(&graph(&mut client, GetGraphRequest::default()).await.edges);
    for edge in ["trace web > cart degraded healthy", "ipc web > mail healthy unhealthy"] {
        assert!(lines.contains(&edge.to_owned()), "{edge}: {lines:?}");
    }
    let request = SearchRequest { query: "mail".into(), ..Default::default() };
    let found = client.search(request).await.unwrap().into_inner().entities;
    let health = found[0].health.clone().unwrap();
    assert_eq!((health.by.as_str(), health.reason.as_str()), ("record", "probe failed"));
    tell(&mut line, 5, vec![record(3, "cart", "unknown")]);
    let lines = shown(&graph(&mut client, GetGraphRequest::default()).await.edges);
    assert!(lines.contains(&"trace web > cart degraded unhealthy".to_owned()), "{lines:?}");
}

#[tokio::test]
async fn what_was_judged_long_ago_or_turned_later_says_nothing_of_a_moment() {
    let mut line = judged();
    let end = Window(START + 3_600).start();
    line.apply(&EpochCommit { epoch: 4, clock: end, watermark: end, ..EpochCommit::default() });
    let (_server, mut client) = line.serve().await;
    for (from, to, own) in [(START, START + 10, "degraded"), (START, START + 3_600, "-")] {
        let request = GetGraphRequest { range: range(from, to), ..Default::default() };
        let lines = shown(&graph(&mut client, request).await.edges);
        let edge = lines.iter().find(|line| line.starts_with("trace web > cart")).unwrap();
        assert!(edge.contains(&format!("cart {own}")), "{from}..{to}: {edge}");
    }
}
