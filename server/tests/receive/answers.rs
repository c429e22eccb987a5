//! What a sender is answered, by every way over HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use portolan_model::SpanKind;
use portolan_proto::{
    ForeignPoint, ForeignSpan, ForeignValue, MetricEncoding, SpanEncoding, write_metrics,
    write_spans,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{start, stop, until};

/// Status and headers of an answer, and its body.
async fn post(
    addr: std::net::SocketAddr,
    path: &str,
    headers: &str,
    body: &[u8],
) -> (String, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap().to_ascii_lowercase(), body)
}

const PROTOBUF: &str = "Content-Type: application/x-protobuf\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

/// As [`nameless`].
const NAMELESS: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":
    {"stringValue":"web"}}]},"scopeSpans":[{"spans":[{"traceId":"07070707070707070707070707070707",
    "name":"GET /"}]}]}]}"#;

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    assert!(value.len() < 128);
    [&[number << 3 | 2, value.len() as u8][..], value].concat()
}

/// An export of one span of `web` without an id, which is refused alone.
fn nameless() -> Vec<u8> {
    let span = [field(1, &[7; 16]), field(5, b"GET /")].concat();
    let name = [field(1, b"service.name"), field(2, &field(1, b"web"))].concat();
    field(1, &[field(1, &field(1, &name)), field(2, &field(2, &span))].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_every_export_is_answered_as_the_protocol_says() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path()).await;
    let addr = server.otlp_http.unwrap();
    let (empty, body) = post(addr, "/v1/traces", PROTOBUF, b"").await;
    assert!(empty.starts_with("http/1.1 200") && body.is_empty(), "{empty}");
    let (partial, body) = post(addr, "/v1/traces", PROTOBUF, &nameless()).await;
    assert!(partial.starts_with("http/1.1 200"), "{partial}");
    // ExportTraceServiceResponse { partial_success { rejected_spans: 1, .. } }
    assert!(body[0] == 0x0a && body[2..4] == [0x08, 1], "{body:?}");
    let gzipped = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    let (plain, _) = post(addr, "/v1/traces", &gzipped, b"not gzip").await;
    assert!(plain.starts_with("http/1.1 400"), "{plain}");
    let (broken, _) = post(addr, "/v1/traces", PROTOBUF, b"\x0a\xff").await;
    assert!(broken.starts_with("http/1.1 400"), "{broken}");
    let (text, _) = post(addr, "/v1/traces", "Content-Type: text/plain\r\n", b"x").await;
    assert!(text.starts_with("http/1.1 415"), "{text}");
    for path in ["/v1/traces", "/v1/metrics"] {
        let (empty, body) = post(addr, path, JSON, b"{}").await;
        assert!(empty.starts_with("http/1.1 200") && body == b"{}", "{empty}");
        assert!(empty.contains("content-type: application/json"), "{empty}");
        let (broken, body) = post(addr, path, JSON, b"{\"resource").await;
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(broken.starts_with("http/1.1 400") && said["code"] == 3, "{broken} {said}");
    }
    let (partial, body) = post(addr, "/v1/traces", JSON, NAMELESS.as_bytes()).await;
    let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(partial.starts_with("http/1.1 200"), "{partial}");
    assert_eq!(said["partialSuccess"]["rejectedSpans"], "1", "{said}");
    let (logs, _) = post(addr, "/v1/logs", PROTOBUF, b"").await;
    assert!(logs.starts_with("http/1.1 404"), "{logs}");
    stop(server).await;
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// `client` calls `server` once.
fn pair(trace: u128, client: &str, server: &str) -> Vec<ForeignSpan> {
    let start = now() / 1_000_000 * 1_000_000;
    let half = |span, parent, kind, service: &str| ForeignSpan {
        trace,
        span,
        parent,
        kind,
        name: "get".into(),
        service: service.into(),
        start,
        end: start + 1_000_000,
        ..ForeignSpan::default()
    };
    vec![half(1, 0, SpanKind::Client, client), half(2, 1, SpanKind::Server, server)]
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_zipkin_draw_their_edges() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path()).await;
    let (otlp, zipkin) = (server.otlp_http.unwrap(), server.zipkin.unwrap());
    let ways = [
        (otlp, "/v1/traces", JSON, SpanEncoding::OtlpJson, "200"),
        (zipkin, "/api/v2/spans", JSON, SpanEncoding::ZipkinJson, "202"),
        (zipkin, "/api/v2/spans", PROTOBUF, SpanEncoding::ZipkinProto, "202"),
    ];
    for (number, (addr, path, kind, encoding, code)) in ways.into_iter().enumerate() {
        let spans = pair(number as u128 + 1, &format!("c{number}"), &format!("s{number}"));
        let (said, _) = post(addr, path, kind, &write_spans(encoding, &spans)[0]).await;
        assert!(said.starts_with(&format!("http/1.1 {code}")), "{encoding}: {said}");
        until(&server, &format!("c{number} -> s{number}"), "trace_pair", 1).await;
    }
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let point = ForeignPoint {
        resource: vec![label("service.name", "c")],
        scope: String::new(),
        name: "http.client.request.duration".into(),
        unit: "s".into(),
        attributes: vec![label("service.peer.name", "s")],
        delta: true,
        start: now() - 1_000_000,
        time: now(),
        value: ForeignValue::Histogram { sum: 0.4, bounds: vec![1.0], counts: vec![4, 0] },
    };
    let body = write_metrics(MetricEncoding::OtlpJson, &[point]);
    let (said, _) = post(otlp, "/v1/metrics", JSON, &body).await;
    assert!(said.starts_with("http/1.1 200"), "{said}");
    until(&server, "c -> s", "rpc_client", 4).await;
    let (broken, _) = post(zipkin, "/api/v2/spans", JSON, b"[{").await;
    assert!(broken.starts_with("http/1.1 400"), "{broken}");
    let (text, _) = post(zipkin, "/api/v2/spans", "Content-Type: text/plain\r\n", b"[]").await;
    assert!(text.starts_with("http/1.1 415"), "{text}");
    stop(server).await;
}
