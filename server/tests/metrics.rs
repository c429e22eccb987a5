//! `docs/METRICS.md` against the metrics that the code names, and those against what is emitted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use portolan_actors::embedded::EmbeddedBroker;
use portolan_actors::publish::Publisher;
use portolan_fleet::{Fleet, FleetSpec, Topic};
use portolan_proto::v1;
use portolan_proto::v1::topology_service_server::TopologyService as _;
use portolan_server::config::{Config, Kafka};
use portolan_server::{http, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const DOCUMENT: &str = include_str!("../../docs/METRICS.md");

/// Name, kind, labels and help of every metric in the code.
fn named() -> BTreeMap<String, String> {
    let actors = portolan_actors::names::ALL.iter().map(|m| {
        let kind = format!("{:?}", m.kind).to_lowercase();
        (m.name, row(m.name, &kind, m.labels, m.help))
    });
    let api = portolan_api::METRICS.iter().map(|m| {
        let kind = format!("{:?}", m.kind).to_lowercase();
        (m.name, row(m.name, &kind, m.labels, m.help))
    });
    let (name, labels, help) = portolan_receive::REQUESTS;
    let receive = [(name, row(name, "counter", labels, help))];
    actors.chain(api).chain(receive).map(|(name, row)| (name.to_owned(), row)).collect()
}

fn row(name: &str, kind: &str, labels: &[&str], help: &str) -> String {
    let labels: Vec<String> = labels.iter().map(|l| format!("`{l}`")).collect();
    format!("| `{name}` | {kind} | {} | {} |", labels.join(", "), help.trim_end_matches('.'))
}

#[test]
fn document_lists_every_metric_as_the_code_has_it() {
    let documented: BTreeSet<&str> =
        DOCUMENT.lines().filter(|l| l.starts_with("| `portolan_")).collect();
    let rows = named();
    let wanted: BTreeSet<&str> = rows.values().map(String::as_str).collect();
    let missing: Vec<_> = wanted.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&wanted).collect();
    assert!(missing.is_empty(), "add to docs/METRICS.md:\n{missing:#?}");
    assert!(stale.is_empty(), "remove from docs/METRICS.md:\n{stale:#?}");
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    for (name, row) in named() {
        assert!(name.starts_with("portolan_"), "{name}");
        assert_eq!(row.contains("| counter |"), name.ends_with("_total"), "{row}");
    }
}

/// Emitted only when something goes wrong, when the broker is away, or when somebody sends.
const OF_TROUBLE: [&str; 7] = [
    portolan_receive::REQUESTS.0,
    "portolan_api_inconsistent_rows_total",
    "portolan_restarts_total",
    "portolan_source_lost_offsets_total",
    "portolan_source_pauses_total",
    "portolan_stage_fenced_total",
    "portolan_store_retries_total",
];

#[tokio::test(flavor = "multi_thread")]
async fn running_server_emits_what_is_named_and_nothing_else() {
    let broker = EmbeddedBroker::start().expect("works in a test");
    broker.create_topic("network-flows", 2).expect("works in a test");
    broker.create_topic("portolan.ownership", 1).expect("works in a test");
    let directory = tempfile::tempdir().expect("works in a test");
    let mut config = Config::default();
    config.listen.grpc = "127.0.0.1:0".parse().expect("works in a test");
    config.listen.http = "127.0.0.1:0".parse().expect("works in a test");
    config.store.path = directory.path().join("store");
    config.line.commit_interval = Duration::from_millis(100);
    config.kafka = vec![Kafka { brokers: broker.brokers().to_owned(), ..Kafka::default() }];
    let server =
        serve::start(&config, http::install_recorder().expect("works in a test")).await.unwrap();
    publish(broker.brokers());

    let named: BTreeSet<String> = named().into_keys().collect();
    let wanted: BTreeSet<&str> =
        named.iter().map(String::as_str).filter(|n| !OF_TROUBLE.contains(n)).collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    let seen = loop {
        let request = v1::GetGraphRequest::default();
        server.topology.get_graph(tonic::Request::new(request)).await.expect("works in a test");
        let seen = scrape(server.http).await;
        let complete = wanted.iter().all(|name| seen.contains(*name));
        if complete || Instant::now() > deadline {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let missing: Vec<_> = wanted.iter().filter(|name| !seen.contains(**name)).collect();
    assert!(missing.is_empty(), "named, and not emitted: {missing:?}");
    let unnamed: Vec<_> = seen.difference(&named).collect();
    assert!(unnamed.is_empty(), "emitted, and not named: {unnamed:?}");
    server.running.stop();
    assert!(server.running.wait().await.is_stop());
    server.close().await.expect("works in a test");
}

/// A few seconds of a fleet, and one record that is none.
fn publish(brokers: &str) {
    let publisher = Publisher::new(brokers, &BTreeMap::new()).expect("works in a test");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("works in a test");
    let start = now.as_nanos() as u64 - 5_000_000_000;
    let mut fleet = Fleet::try_new(FleetSpec::demo(1), start).expect("works in a test");
    let mut messages = fleet.ownership();
    messages.extend(fleet.tick(start + 3_000_000_000));
    for message in messages {
        let topic = match message.topic {
            Topic::Flows => "network-flows",
            Topic::Ownership => "portolan.ownership",
            Topic::Spans | Topic::Metrics => continue,
        };
        publisher.send(topic, Some(0), None, &message.payload).expect("works in a test");
    }
    publisher.send("network-flows", Some(1), None, b"not a record").expect("works in a test");
    publisher.flush(Duration::from_secs(30)).expect("works in a test");
}

/// The families of a scrape.
async fn scrape(addr: std::net::SocketAddr) -> BTreeSet<String> {
    let mut stream = tokio::net::TcpStream::connect(addr).await.expect("works in a test");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("works in a test");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("works in a test");
    let families = answer.lines().filter_map(|l| l.strip_prefix("# TYPE "));
    families.filter_map(|l| l.split(' ').next()).map(str::to_owned).collect()
}
