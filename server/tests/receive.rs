//! Unmodified senders, a server without a Kafka, and the edge that their spans and metrics prove.

#![expect(clippy::unwrap_used, reason = "what a test sets up either works or fails the test")]

use std::path::Path;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, trace::Status};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use portolan_proto::v1;
use portolan_proto::v1::topology_service_server::TopologyService as _;
use portolan_server::config::Config;
use portolan_server::serve::{self, Server};

mod receive {
    mod answers;
    mod others;
}

/// Nothing here takes as long, unless it never comes.
const NEVER: Duration = Duration::from_secs(60);

async fn start(store: &Path) -> Server {
    let mut config = Config::default();
    let any = "127.0.0.1:0".parse().unwrap();
    (config.listen.grpc, config.listen.http) = (any, any);
    (config.receive.otlp_grpc, config.receive.otlp_http) = (Some(any), Some(any));
    config.receive.zipkin = Some(any);
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

/// Calls of every edge by its ends and the source of the count.
async fn calls(server: &Server) -> Vec<(String, String, i64)> {
    let request = tonic::Request::new(v1::CoverageRequest::default());
    let edges = server.topology.coverage(request).await.unwrap().into_inner().edges;
    let name = |entity: Option<v1::Entity>| entity.unwrap_or_default().name;
    let mut found = Vec::new();
    for edge in edges {
        let ends = format!("{} -> {}", name(edge.client), name(edge.server));
        for calls in edge.calls {
            found.push((ends.clone(), calls.source, calls.calls.round() as i64));
        }
    }
    found
}

/// Waits until an edge has so many calls by a source.
async fn until(server: &Server, edge: &str, source: &str, wanted: i64) {
    until_some(server, edge, source, |calls| calls == wanted).await;
}

/// Waits until the calls that an edge has by a source are as they should be.
async fn until_some(server: &Server, edge: &str, source: &str, wanted: impl Fn(i64) -> bool) {
    let is_it =
        |found: &(String, String, i64)| found.0 == edge && found.1 == source && wanted(found.2);
    let came = async {
        while !calls(server).await.iter().any(is_it) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let came = tokio::time::timeout(NEVER, came).await;
    assert!(came.is_ok(), "never {edge} by {source}: {:?}", calls(server).await);
}

async fn until_calls(server: &Server, wanted: i64) {
    until(server, "web -> api", "trace_pair", wanted).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_an_sdk_count_beside_its_spans_and_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path()).await;
    call(&server, 5).await;
    let endpoint = format!("http://{}", server.otlp_grpc.unwrap());
    let exporter = MetricExporter::builder().with_tonic().with_endpoint(endpoint).build().unwrap();
    let resource = Resource::builder().with_service_name("web").build();
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(exporter)
        .with_resource(resource)
        .build();
    let durations =
        provider.meter("t").f64_histogram("http.client.request.duration").with_unit("s").build();
    for _ in 0..9 {
        let labels = [("service.peer.name", "api"), ("http.request.method", "GET")]
            .map(|(k, v)| KeyValue::new(k, v));
        durations.record(0.02, &labels);
    }
    tokio::task::spawn_blocking(move || provider.shutdown().unwrap()).await.unwrap();
    until_calls(&server, 5).await;
    until(&server, "web -> api", "rpc_client", 9).await;
    stop(server).await;
    let server = start(directory.path()).await;
    until_calls(&server, 5).await;
    until(&server, "web -> api", "rpc_client", 9).await;
    stop(server).await;
}
