//! OTLP/HTTP: `POST /v1/traces` and `/v1/metrics`, protobuf or JSON, plain or gzipped.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use portolan_proto::{Encoding, MetricEncoding, SpanEncoding};
use tokio::net::TcpListener;

use crate::body::{kind, plain};
use crate::export::{self, COME_AGAIN, Failed, export, signal};
use crate::inbox::Refusal;
use crate::inboxes::Inboxes;
use crate::otlp;

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";
/// `google.rpc.Code` of what does not decode.
const INVALID_ARGUMENT: i32 = 3;

/// Serves until `shutdown` is done.
pub async fn serve_http(
    listener: TcpListener,
    inboxes: Inboxes,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    export::describe();
    let most = inboxes.bounds().message_bytes;
    let app = Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/metrics", post(metrics))
        .layer(DefaultBodyLimit::max(most))
        .with_state(inboxes);
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await
}

async fn traces(State(inboxes): State<Inboxes>, headers: HeaderMap, body: Bytes) -> Response {
    let [proto, json] = [SpanEncoding::OtlpProto, SpanEncoding::OtlpJson].map(Encoding::Span);
    answer(&inboxes, &headers, body, proto, json).await
}

async fn metrics(State(inboxes): State<Inboxes>, headers: HeaderMap, body: Bytes) -> Response {
    let [proto, json] = [MetricEncoding::OtlpProto, MetricEncoding::OtlpJson].map(Encoding::Metric);
    answer(&inboxes, &headers, body, proto, json).await
}

/// Answers in the form that the request is written in.
async fn answer(
    inboxes: &Inboxes,
    headers: &HeaderMap,
    body: Bytes,
    proto: Encoding,
    json: Encoding,
) -> Response {
    let (kind, encoding) = match kind(headers) {
        PROTOBUF => (PROTOBUF, proto),
        JSON => (JSON, json),
        other => {
            let why = format!("content type {other:?} is not taken: send {PROTOBUF} or {JSON}");
            return refused(PROTOBUF, StatusCode::UNSUPPORTED_MEDIA_TYPE, 0, &why);
        }
    };
    let body = match plain(headers, body, inboxes.bounds().message_bytes) {
        Ok(body) => body,
        Err((code, why)) => return refused(kind, code, 0, &why),
    };
    match export(inboxes, "http", encoding, body).await {
        Ok(verdict) if kind == JSON => {
            said(kind, StatusCode::OK, otlp::taken_json(&verdict, rejected(encoding)))
        }
        Ok(verdict) => said(kind, StatusCode::OK, otlp::taken(&verdict)),
        Err(Failed::Malformed(why)) => {
            let why = format!("not an export of {}: {why}", signal(encoding));
            refused(kind, StatusCode::BAD_REQUEST, INVALID_ARGUMENT, &why)
        }
        Err(Failed::Refused(refusal)) => {
            let (code, why) = come_again(&refusal);
            let mut response = refused(kind, code, 0, &why);
            response.headers_mut().insert(RETRY_AFTER, COME_AGAIN.as_secs().into());
            response
        }
    }
}

/// The name that the answer has for what was refused.
fn rejected(encoding: Encoding) -> &'static str {
    if matches!(encoding, Encoding::Metric(_)) { "rejectedDataPoints" } else { "rejectedSpans" }
}

/// What HTTP calls it when a sender is to come again.
pub(crate) fn come_again(refusal: &Refusal) -> (StatusCode, String) {
    match refusal {
        Refusal::Busy => (StatusCode::TOO_MANY_REQUESTS, refusal.to_string()),
        Refusal::Late => (StatusCode::SERVICE_UNAVAILABLE, refusal.to_string()),
        // What the disk says is nobody's business outside.
        Refusal::Broken(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not taken: see the server's log".to_owned())
        }
    }
}

fn refused(kind: &'static str, code: StatusCode, status: i32, why: &str) -> Response {
    let body =
        if kind == JSON { otlp::status_json(status, why) } else { otlp::status(status, why) };
    said(kind, code, body)
}

fn said(kind: &'static str, code: StatusCode, body: Vec<u8>) -> Response {
    (code, [(CONTENT_TYPE, kind)], Body::from(body)).into_response()
}
