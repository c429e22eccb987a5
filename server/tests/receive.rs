//! Unmodified senders, a server without a Kafka, and the edge that their spans prove.

#![expect(clippy::unwrap_used, reason = "what a test sets up either works or fails the test")]

use std::path::Path;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::trace::{SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, trace::Status};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use portolan_proto::v1;
use portolan_proto::v1::topology_service_server::TopologyService as _;
use portolan_server::config::Config;
use portolan_server::serve::{self, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Nothing here takes as long, unless it never comes.
const NEVER: Duration = Duration::from_secs(60);

async fn start(store: &Path) -> Server {
    let mut config = Config::default();
    let any = "127.0.0.1:0".parse().unwrap();
    (config.listen.grpc, config.listen.http) = (any, any);
    (config.receive.otlp_grpc, config.receive.otlp_http) = (Some(any), Some(any));
    config.store.path = store.join("store");
    config.line.commit_interval = Duration::from_millis(100);
    // Every test has a recorder of its own; only the first of a process is the global one.
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    serve::start(&config, metrics).await.unwrap()
}

async fn stop(server: Server) {
    server.running.stop();
    assert!(server.running.wait().await.is_stop());
    server.close().await.unwrap();
}

/// An SDK as a service sets it up.
fn sdk(service: &str, server: &Server) -> SdkTracerProvider {
    let endpoint = format!("http://{}", server.otlp_grpc.unwrap());
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().unwrap();
    let resource = Resource::builder().with_service_name(service.to_owned()).build();
    SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()
}

/// `web` calls `api`, so many times; both export what they saw, and hear that it is committed.
async fn call(server: &Server, times: usize) {
    let (web, api) = (sdk("web", server), sdk("api", server));
    for _ in 0..times {
        let caller = web.tracer("t").span_builder("GET /").with_kind(SpanKind::Client);
        let caller = caller.start(&web.tracer("t"));
        let context = Context::new().with_span(caller);
        let remote = context.span().span_context().clone();
        let remote = Context::new().with_remote_span_context(remote);
        let callee = api.tracer("t").span_builder("GET /").with_kind(SpanKind::Server);
        let callee = callee.start_with_context(&api.tracer("t"), &remote);
        let callee = Context::new().with_span(callee);
        callee.span().set_status(Status::Ok);
        callee.span().end();
        context.span().end();
    }
    // Shutting down exports what is left and waits for the answers.
    tokio::task::spawn_blocking(move || {
        web.shutdown().unwrap();
        api.shutdown().unwrap();
    })
    .await
    .unwrap();
}

/// Calls of every edge, by its ends.
async fn calls(server: &Server) -> Vec<(String, i64)> {
    let request = tonic::Request::new(v1::CoverageRequest::default());
    let edges = server.topology.coverage(request).await.unwrap().into_inner().edges;
    let name = |entity: Option<v1::Entity>| entity.unwrap_or_default().name;
    let edges = edges.into_iter().map(|edge| {
        let calls = edge.calls.iter().map(|calls| calls.calls.round() as i64).max();
        (format!("{} -> {}", name(edge.client), name(edge.server)), calls.unwrap_or(0))
    });
    edges.collect()
}

async fn until_calls(server: &Server, wanted: i64) {
    let edge = ("web -> api".to_owned(), wanted);
    let came = async {
        while !calls(server).await.contains(&edge) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let came = tokio::time::timeout(NEVER, came).await;
    assert!(came.is_ok(), "never {wanted}: {:?}", calls(server).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_an_sdk_draw_the_edge_and_a_restart_counts_none_twice() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path()).await;
    call(&server, 5).await;
    until_calls(&server, 5).await;
    stop(server).await;
    let server = start(directory.path()).await;
    until_calls(&server, 5).await;
    call(&server, 2).await;
    until_calls(&server, 7).await;
    stop(server).await;
}

/// Status and headers of an answer, and its body.
async fn post(addr: std::net::SocketAddr, headers: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
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
    let (empty, body) = post(addr, PROTOBUF, b"").await;
    assert!(empty.starts_with("http/1.1 200") && body.is_empty(), "{empty}");
    let (partial, body) = post(addr, PROTOBUF, &nameless()).await;
    assert!(partial.starts_with("http/1.1 200"), "{partial}");
    // ExportTraceServiceResponse { partial_success { rejected_spans: 1, .. } }
    assert!(body[0] == 0x0a && body[2..4] == [0x08, 1], "{body:?}");
    let gzipped = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    let (plain, _) = post(addr, &gzipped, b"not gzip").await;
    assert!(plain.starts_with("http/1.1 400"), "{plain}");
    let (broken, _) = post(addr, PROTOBUF, b"\x0a\xff").await;
    assert!(broken.starts_with("http/1.1 400"), "{broken}");
    let (json, _) = post(addr, "Content-Type: application/json\r\n", b"{}").await;
    assert!(json.starts_with("http/1.1 415"), "{json}");
    stop(server).await;
}
