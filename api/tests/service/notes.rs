//! What the catalogue says, and what people changed, in every answer that shows entities.

use portolan_model::{
    Attributes, CatalogueRecord, ChangeKind, ChangeRecord, EpochCommit, LinkTemplate, Nanos, Notes,
    Subject, Window,
};
use portolan_proto::v1::{
    self, ChangesRequest, CoverageRequest, DiffRequest, Filter, GetGraphRequest, SearchRequest,
    TraverseRequest,
};

use crate::harness::{Client, START, Server, edge, entity, id, range};
use crate::history::Disk;

const MINUTE: u32 = 60;
const SECOND: Nanos = 1_000_000_000;

fn subject(namespace: &str, name: &str) -> Subject {
    Subject { namespace: namespace.into(), name: name.into(), ..Subject::default() }
}

fn says(subject: Subject, from: u32, known: u32, owner: &str, tier: &str) -> CatalogueRecord {
    let link = LinkTemplate::try_new("https://logs.example/{name}?from={from_s}&to={to_s}");
    CatalogueRecord {
        subject,
        from: Nanos::from(from) * SECOND,
        known: Nanos::from(known) * SECOND,
        observed_at: Nanos::from(from) * SECOND,
        said: Attributes {
            owner: owner.into(),
            tier: tier.into(),
            domain: "sales".into(),
            labels: vec![("lang".into(), "go".into())],
            links: vec![("logs".into(), link.unwrap())],
        },
    }
}

fn changed(at: u32, id: &str, subject: Subject, kind: ChangeKind) -> ChangeRecord {
    ChangeRecord {
        at: Nanos::from(at) * SECOND,
        id: id.into(),
        subject,
        kind,
        title: format!("about {id}").into(),
        version: "v2".into(),
        author: "kim".into(),
        url: "https://ci.example/2".into(),
        labels: Vec::new(),
        observed_at: Nanos::from(at) * SECOND,
        known: Nanos::from(at + 5) * SECOND,
    }
}

/// Forty minutes of `web -> cart -> db`. All of shop is of team red; from the twentieth minute on web
/// is of team blue, as the map learned in the thirtieth.
fn forty_minutes() -> Disk {
    let mut disk = Disk::new();
    let half = START + 20 * MINUTE;
    for minute in 0..40 {
        let mut commit = EpochCommit::default();
        for n in 0..6 {
            let window = Window(START + minute * MINUTE + n * 10);
            commit.edges.push(edge(window, "shop/web", "shop/cart", 80, 10));
            commit.edges.push(edge(window, "shop/cart", "data/db", 5432, 10));
        }
        let names = ["shop/web", "shop/cart", "data/db"];
        commit.entities = names.map(|name| (id(name), entity(name))).to_vec();
        if minute == 0 {
            commit.notes.catalogue = vec![says(subject("shop", ""), START - 60, START, "red", "2")];
        }
        if minute == 30 {
            let known = START + 30 * MINUTE;
            commit.notes = Notes {
                catalogue: vec![says(subject("shop", "web"), half, known, "blue", "")],
                changes: vec![
                    changed(half, "d-1", subject("shop", "web"), ChangeKind::Deploy),
                    changed(half + 90, "c-1", subject("", "db"), ChangeKind::Configuration),
                    changed(half + 91, "x-1", subject("shop", "new"), ChangeKind::Other),
                    changed(START, "old", subject("shop", ""), ChangeKind::Deploy),
                ],
                ..Notes::default()
            };
        }
        disk.apply(START + minute * MINUTE + 50, commit);
    }
    disk
}

async fn serve() -> (Disk, Server, Client) {
    let disk = forty_minutes();
    let (server, client) = disk.serve().await;
    (disk, server, client)
}

fn owners(nodes: &[v1::Entity]) -> Vec<String> {
    let mut all: Vec<String> =
        nodes.iter().map(|e| format!("{} {} {}", e.name, e.owner, e.tier)).collect();
    all.sort();
    all.dedup();
    all
}

#[tokio::test]
async fn entities_carry_what_held_at_the_time_and_was_known_then() {
    let (_disk, _server, mut client) = serve().await;
    let mut ask = async |request: GetGraphRequest| {
        owners(&client.get_graph(request).await.unwrap().into_inner().nodes)
    };
    let early = GetGraphRequest {
        range: range(START + 10 * MINUTE, START + 15 * MINUTE),
        ..GetGraphRequest::default()
    };
    assert_eq!(ask(early).await, ["cart red 2", "db  ", "web red 2"]);
    let late = GetGraphRequest {
        range: range(START + 22 * MINUTE, START + 25 * MINUTE),
        ..GetGraphRequest::default()
    };
    let today = ["cart red 2", "db  ", "web blue 2"];
    assert_eq!(ask(late.clone()).await, today, "the tier is that of the namespace");
    let then = i64::from(START + 28 * MINUTE) * 1_000_000;
    let known_then = GetGraphRequest { known_at_unix_us: then, ..late };
    assert_eq!(ask(known_then).await, ["cart red 2", "db  ", "web red 2"]);
    assert_eq!(ask(GetGraphRequest::default()).await, today);
}

#[tokio::test]
async fn labels_and_links_are_in_walks_and_searches_too() {
    let (_disk, _server, mut client) = serve().await;
    let request = TraverseRequest {
        start: vec!["shop/web".into()],
        range: range(START, START + 10 * MINUTE),
        ..TraverseRequest::default()
    };
    let walk = client.traverse(request).await.unwrap().into_inner();
    let web = walk.nodes[0].entity.clone().unwrap();
    assert_eq!(web.labels["lang"], "go");
    assert_eq!(web.domain, "sales");
    let (from, to) = (START, START + 10 * MINUTE);
    assert_eq!(web.links[0].url, format!("https://logs.example/web?from={from}&to={to}"));
    let request = SearchRequest { query: "web".into(), ..SearchRequest::default() };
    let found = client.search(request).await.unwrap().into_inner();
    assert_eq!(owners(&found.entities), ["web blue 2"]);
}

#[tokio::test]
async fn edges_are_filtered_by_who_owned_them_at_the_time() {
    let (_disk, _server, mut client) = serve().await;
    let mut total = async |range, filter: Filter| {
        let request = GetGraphRequest { range, filter: Some(filter), ..GetGraphRequest::default() };
        client.get_graph(request).await.unwrap().into_inner().total_edges
    };
    let blue = || Filter { owners: vec!["blue".into()], ..Filter::default() };
    assert_eq!(total(range(START, START + 10 * MINUTE), blue()).await, 0);
    assert_eq!(total(range(START + 30 * MINUTE, START + 40 * MINUTE), blue()).await, 1);
    let tier =
        Filter { tiers: vec!["2".into()], domains: vec!["sales".into()], ..Filter::default() };
    assert_eq!(total(range(START, START + 10 * MINUTE), tier).await, 2);
}

#[tokio::test]
async fn a_difference_shows_whose_owner_changed() {
    let (_disk, _server, mut client) = serve().await;
    let halves = |filter| DiffRequest {
        before: range(START, START + 20 * MINUTE),
        after: range(START + 20 * MINUTE, START + 40 * MINUTE),
        filter,
        ..DiffRequest::default()
    };
    let answer = client.diff(halves(None)).await.unwrap().into_inner();
    let shown = |answer: &v1::DiffResponse| -> Vec<String> {
        let one = |d: &v1::CatalogueDiff| {
            let name = &d.entity.as_ref().unwrap().name;
            format!("{name} {} {} {}", d.what, d.before, d.after)
        };
        answer.catalogue.iter().map(one).collect()
    };
    assert_eq!(shown(&answer), ["web owner red blue"]);
    assert_eq!((answer.total_catalogue, answer.total_edges), (1, 0));
    let of = |owner: &str| Some(Filter { owners: vec![owner.into()], ..Filter::default() });
    for (owner, count) in [("red", 1), ("blue", 1), ("pink", 0)] {
        let answer = client.diff(halves(of(owner))).await.unwrap().into_inner();
        assert_eq!(answer.total_catalogue, count, "{owner}");
    }
}

#[tokio::test]
async fn deploys_and_configuration_stand_beside_what_happened_to_edges() {
    let (_disk, _server, mut client) = serve().await;
    let mut ask = async |filter: Option<Filter>, limit| {
        let range = range(START + 20 * MINUTE, START + 40 * MINUTE);
        let request = ChangesRequest { range, filter, limit, ..ChangesRequest::default() };
        client.changes(request).await.unwrap().into_inner()
    };
    let shown = |answer: &v1::ChangesResponse| -> Vec<String> {
        let one = |c: &v1::MadeChange| {
            let meant: Vec<&str> = c.entities.iter().map(|e| e.name.as_str()).collect();
            format!("{} {} {} {}", c.id, c.kind, c.name, meant.join(","))
        };
        answer.made.iter().map(one).collect()
    };
    let all = ask(None, 0).await;
    assert_eq!(
        shown(&all),
        ["x-1 other new ", "c-1 configuration db db", "d-1 deploy web web"],
        "the latest first, and none of another range"
    );
    let deploy = &all.made[2];
    assert_eq!((deploy.version.as_str(), deploy.author.as_str()), ("v2", "kim"));
    assert_eq!(deploy.told_unix_us - deploy.at_unix_us, 5_000_000);
    let few = ask(None, 1).await;
    assert_eq!((shown(&few), few.total_made), (vec!["x-1 other new ".to_owned()], 3));
    let data = Filter { namespaces: vec!["data".into()], ..Filter::default() };
    assert_eq!(shown(&ask(Some(data), 0).await), ["c-1 configuration db db"]);
    // Who was never seen is known by what is told of it.
    let red = Filter { owners: vec!["red".into()], ..Filter::default() };
    assert_eq!(shown(&ask(Some(red), 0).await), ["x-1 other new "]);
}

#[tokio::test]
async fn coverage_can_be_asked_of_a_moment_and_as_known_at_one() {
    let (_disk, _server, mut client) = serve().await;
    let micros = |minute: u32| i64::from(START + minute * MINUTE) * 1_000_000;
    let request = CoverageRequest { at_unix_us: micros(25), ..CoverageRequest::default() };
    let answer = client.coverage(request.clone()).await.unwrap().into_inner();
    assert_eq!(answer.total_edges, 2);
    let web = answer.edges.iter().find_map(|e| e.client.clone().filter(|c| c.name == "web"));
    assert_eq!(web.unwrap().owner, "blue");
    let asked = answer.coverage.unwrap().asked.unwrap();
    assert_eq!(asked.to_unix_us, micros(25));
    let then = CoverageRequest { known_at_unix_us: micros(28), ..request.clone() };
    let then = client.coverage(then).await.unwrap().into_inner();
    let web = then.edges.iter().find_map(|e| e.client.clone().filter(|c| c.name == "web"));
    assert_eq!(web.map(|web| web.owner), Some("red".into()));
    let both = CoverageRequest { range: range(START, START + 60), ..request };
    assert!(client.coverage(both).await.unwrap_err().message().contains("at_unix_us"));
}
