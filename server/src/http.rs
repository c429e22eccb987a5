//! The HTTP port: metrics for Prometheus, liveness, readiness.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use portolan_actors::Status;
use portolan_actors::status::LineState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Bounds of the latency histograms in seconds: from a tenth of a millisecond to half a minute.
const SECONDS: [f64; 14] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Bounds of the histograms of counts: from one to what an epoch may hold.
const COUNTS: [f64; 8] =
    [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0];

/// What the handlers answer from.
#[derive(Clone)]
struct Port {
    metrics: PrometheusHandle,
    status: Arc<Status>,
}

/// Installs the recorder. Once a process; a second call gives an error.
pub fn install_recorder() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &COUNTS))
        .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_rows".to_owned()), &COUNTS))
        .context("metrics: histogram bounds")?
        .install_recorder()
        .context("metrics: recorder")?;
    portolan_actors::names::describe();
    portolan_api::describe_metrics();
    Ok(handle)
}

/// Serves until the future is done.
pub async fn serve(
    listener: TcpListener,
    metrics: PrometheusHandle,
    status: Arc<Status>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let port = Port { metrics, status };
    let app = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(port);
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await.context("http server")
}

async fn render(State(port): State<Port>) -> impl IntoResponse {
    port.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], port.metrics.render())
}

/// Alive: the process answers and the line has not ended.
async fn healthz(State(port): State<Port>) -> impl IntoResponse {
    match port.status.state() {
        LineState::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped\n".to_owned()),
        state => (StatusCode::OK, format!("{}\n", crate::vitals::state(&state).0.as_str())),
    }
}

/// Ready: queries are answered and new records reach the map.
async fn readyz(State(port): State<Port>) -> impl IntoResponse {
    let (state, reason) = crate::vitals::state(&port.status.state());
    let ready = state == portolan_api::LineState::Running;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    (code, format!("{}{reason}\n", state.as_str()))
}

/// `portolan healthcheck`: asks `/readyz` of a running server, without any other program.
pub async fn healthcheck(addr: &str) -> anyhow::Result<()> {
    let ask = async {
        let mut stream = TcpStream::connect(addr).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        // The answer is a line; whoever else listens there may send what it likes.
        stream.take(4_096).read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), ask)
        .await
        .with_context(|| format!("{addr} does not answer"))?
        .with_context(|| format!("cannot ask {addr}: is portolan running there?"))?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim();
    if answer.starts_with("HTTP/1.1 200") {
        crate::output::say(body)?;
        return Ok(());
    }
    bail!("not ready: {body}");
}
