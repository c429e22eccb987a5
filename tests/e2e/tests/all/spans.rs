//! The same spans by every way that they can come: one graph.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use portolan_e2e::{Broker, Portolan, Setup, free_port};
use portolan_model::SpanKind;
use portolan_proto::{ForeignSpan, SpanEncoding, v1, write_spans};

use super::crowd::now;

/// Longer than a loaded machine takes to read a few spans.
const PATIENCE: Duration = Duration::from_secs(120);
/// Way of the spans that come straight from an exporter.
const DIRECT: &str = "direct";
const MILLI: u64 = 1_000_000;

/// A shop of one way: its names begin with it.
struct Shop<'a> {
    way: &'a str,
    begin: u64,
}

impl Shop<'_> {
    fn span(&self, trace: u64, id: u64, kind: SpanKind, service: &str) -> ForeignSpan {
        let start = self.begin + (trace * 100 + id) * MILLI;
        ForeignSpan {
            // Traces of two ways must not meet: all begin with the way.
            trace: self.way.bytes().fold(1, |sum, byte| (sum << 5) ^ u128::from(byte)) << 64
                | u128::from(trace),
            span: trace << 8 | id,
            parent: if id == 1 { 0 } else { trace << 8 | (id - 1) },
            kind,
            name: "get".into(),
            service: format!("{}.{service}", self.way),
            start,
            end: start + (20 - id) * MILLI,
            error: trace == 3,
            ..ForeignSpan::default()
        }
    }

    /// Three times: the user asks `web`, which asks `api`, which asks a cache and then tells a topic.
    fn spans(&self) -> Vec<ForeignSpan> {
        let tag = |key: &str, value: String| (key.to_owned(), value);
        let mut spans = Vec::new();
        for trace in 1..=3 {
            spans.push(self.span(trace, 1, SpanKind::Server, "web"));
            spans.push(self.span(trace, 2, SpanKind::Client, "web"));
            spans.push(self.span(trace, 3, SpanKind::Server, "api"));
            let mut cache = self.span(trace, 4, SpanKind::Client, "api");
            cache.attributes = vec![
                tag("db.system", "redis".into()),
                tag("server.address", format!("{}.cache", self.way)),
            ];
            let mut tell = self.span(trace, 5, SpanKind::Producer, "api");
            tell.attributes = vec![
                tag("messaging.system", "kafka".into()),
                tag("messaging.operation.type", "send".into()),
                tag("messaging.destination.name", format!("{}.orders", self.way)),
            ];
            spans.extend([cache, tell]);
        }
        spans
    }

    /// A minute later: what moves time on, so that nobody waits for more.
    fn later(&self) -> ForeignSpan {
        Shop { way: self.way, begin: self.begin + 60_000 * MILLI }.span(
            1,
            1,
            SpanKind::Server,
            "clock",
        )
    }
}

/// Edges of a way as text, without what is its own: names, and health, which is judged as time passes and not
/// again for what comes behind the watermark, as the ways do of each other.
fn drawn(graph: &v1::GetGraphResponse, way: &str) -> Vec<String> {
    let own = format!("{way}.");
    let is_its = |entity: &Option<v1::Entity>| {
        entity.as_ref().is_some_and(|entity| entity.name.starts_with(&own))
    };
    let theirs = graph.edges.iter().filter(|edge| is_its(&edge.client) || is_its(&edge.server));
    let text = |edge: &v1::Edge| {
        let mut edge = edge.clone();
        for entity in [&mut edge.client, &mut edge.server].into_iter().flatten() {
            entity.id = String::new();
            entity.health = None;
        }
        edge.health = None;
        super::maps::json(&edge).replace(&own, "")
    };
    let mut lines: Vec<String> = theirs.map(text).collect();
    lines.sort();
    lines
}

fn post(addr: SocketAddr, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\
         Content-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn spans_give_the_same_graph_by_whatever_way_they_come() {
    let broker = Broker::shared();
    let topics = broker.topics();
    // Whole windows, and whole microseconds, which is all that some formats have.
    let begin = now() / (10_000 * MILLI) * (10_000 * MILLI) - 120_000 * MILLI;
    let receiver = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let mut setup =
        Setup::new(broker.bootstrap()).set("receive.otlp_http", &format!("\"{receiver}\""));
    let mut ways = BTreeMap::new();
    for encoding in SpanEncoding::ALL {
        let (way, topic) = (encoding.to_string(), format!("spans-{encoding}"));
        topics.create(&topic, 2, &[]).unwrap();
        let word: &'static str = way.clone().leak();
        setup = setup.topic(&topic, word, "");
        ways.insert(way, (*encoding, topic));
    }
    let mut portolan = Portolan::start(&setup).unwrap();
    for (way, (encoding, topic)) in &ways {
        let shop = Shop { way, begin };
        let messages = write_spans(*encoding, &shop.spans());
        // A trace may lie in several messages and on both partitions.
        let placed = messages.iter().zip((0..2).cycle()).map(|(m, at)| (at, &b""[..], &m[..]));
        topics.produce(topic, placed).unwrap();
        let later = write_spans(*encoding, &[shop.later()]);
        topics.produce(topic, (0..2).map(|at| (at, &b""[..], &later[0][..]))).unwrap();
    }
    let shop = Shop { way: DIRECT, begin };
    let [spans, later] = [shop.spans(), vec![shop.later()]]
        .map(|spans| write_spans(SpanEncoding::OtlpProto, &spans).remove(0));
    for body in [spans, later] {
        let answer = post(receiver, &body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    // The user's, the call, the cache's, the topic's, and the one that moves time.
    let all: Vec<&str> = ways.keys().map(String::as_str).chain([DIRECT]).collect();
    let graph = portolan
        .wait_for_graph("five edges by every way", PATIENCE, |graph| {
            all.iter().all(|way| drawn(graph, way).len() == 5)
        })
        .unwrap();
    let first = drawn(&graph, DIRECT);
    for way in all {
        assert_eq!(drawn(&graph, way), first, "{way}");
    }
    let paired = first.iter().find(|edge| edge.contains("trace_pair")).unwrap();
    assert!(paired.contains("\"calls\":3.0"), "{paired}");
}
