//! Senders that are not written in Rust, where they are there (`.ci/senders` fetches them).

use std::path::PathBuf;
use std::process::Command;

use crate::{start, stop, until, until_some};

/// Two services with Python's SDK: spans over gRPC, metrics over HTTP.
const PYTHON: &str = r#"
import sys
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

grpc, http = sys.argv[1:]
def service(name):
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=grpc, insecure=True)))
    return provider
web, api = service("py-web"), service("py-api")
for _ in range(3):
    with web.get_tracer("t").start_as_current_span("GET /", kind=SpanKind.CLIENT):
        with api.get_tracer("t").start_as_current_span("GET /", kind=SpanKind.SERVER):
            pass
web.shutdown(); api.shutdown()
reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=http + "/v1/metrics"))
meters = MeterProvider([reader], resource=Resource.create({"service.name": "py-web"}))
took = meters.get_meter("t").create_histogram("http.client.request.duration", unit="s")
for _ in range(4):
    took.record(0.1, {"service.peer.name": "py-api"})
meters.shutdown()
"#;

/// Where a program may be: the cache of `.ci/senders`, and the path.
fn candidates(name: &str) -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache =
        std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    vec![cache.join("portolan/senders/bin").join(name), PathBuf::from(name)]
}

/// The first that does what is asked of it without a complaint.
fn found(mut candidates: Vec<PathBuf>, args: &[&str]) -> Option<PathBuf> {
    candidates.retain(|path| {
        Command::new(path).args(args).output().is_ok_and(|out| out.status.success())
    });
    candidates.into_iter().next()
}

async fn done(mut command: Command) {
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sdk_of_python_sends_draws_its_edge() {
    let mut pythons = candidates("python");
    pythons.push(std::env::var_os("PORTOLAN_TEST_PYTHON").unwrap_or("python3".into()).into());
    let imports = "import opentelemetry.exporter.otlp.proto.grpc, opentelemetry.sdk.trace";
    let Some(python) = found(pythons, &["-c", imports]) else {
        eprintln!("skipped: no python here has opentelemetry-sdk and its exporter of OTLP");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path()).await;
    let [grpc, http] =
        [server.otlp_grpc, server.otlp_http].map(|addr| format!("http://{}", addr.unwrap()));
    let mut command = Command::new(python);
    command.args(["-c", PYTHON, &grpc, &http]);
    done(command).await;
    until(&server, "py-web -> py-api", "trace_pair", 3).await;
    until(&server, "py-web -> py-api", "rpc_client", 4).await;
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_telemetrygen_sends_draws_its_edge() {
    let Some(telemetrygen) = found(candidates("telemetrygen"), &["--help"]) else {
        eprintln!("skipped: telemetrygen is not here");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path()).await;
    let [grpc, http] = [server.otlp_grpc, server.otlp_http].map(|addr| addr.unwrap().to_string());
    let mut command = Command::new(&telemetrygen);
    command.args(["traces", "--otlp-insecure", "--otlp-endpoint", &grpc]);
    command.args(["--traces", "5", "--rate", "100", "--service", "gen"]);
    done(command).await;
    // Both halves are of the one service that it plays.
    until(&server, "gen -> gen", "trace_pair", 5).await;
    let mut command = Command::new(&telemetrygen);
    command.args(["metrics", "--otlp-insecure", "--otlp-http", "--otlp-endpoint", &http]);
    command.args([
        "--metrics",
        "1",
        "--rate",
        "100",
        "--service",
        "gen",
        "--metric-type",
        "Histogram",
    ]);
    command.args(["--aggregation-temporality", "delta", "--telemetry-attributes"]);
    command.args([
        "service.peer.name=\"api\"",
        "--otlp-metric-name",
        "http.client.request.duration",
    ]);
    done(command).await;
    // How many calls its histogram has is its own affair.
    until_some(&server, "gen -> api", "rpc_client", |calls| calls > 0).await;
    stop(server).await;
}
