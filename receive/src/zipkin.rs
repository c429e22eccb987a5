//! Zipkin's `POST /api/v2/spans`: JSON or protobuf, plain or gzipped, answered with 202 as Zipkin
//! does (its API says nothing of spans that are refused alone: the line counts them).

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use portolan_proto::{Encoding, SpanEncoding};
use tokio::net::TcpListener;

use crate::body::{kind, plain};
use crate::export::{self, COME_AGAIN, Failed, export};
use crate::http::{JSON, PROTOBUF, come_again};
use crate::inboxes::Inboxes;

/// Serves until `shutdown` is done.
pub async fn serve_zipkin(
    listener: TcpListener,
    inboxes: Inboxes,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    export::describe();
    let most = inboxes.bounds().message_bytes;
    let app = Router::new()
        .route("/api/v2/spans", post(spans))
        .layer(DefaultBodyLimit::max(most))
        .with_state(inboxes);
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await
}

async fn spans(State(inboxes): State<Inboxes>, headers: HeaderMap, body: Bytes) -> Response {
    let encoding = match kind(&headers) {
        // Zipkin takes what says nothing of itself for JSON.
        JSON | "" => SpanEncoding::ZipkinJson,
        PROTOBUF => SpanEncoding::ZipkinProto,
        other => {
            let why = format!("content type {other:?} is not taken: send {JSON} or {PROTOBUF}\n");
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, why).into_response();
        }
    };
    let body = match plain(&headers, body, inboxes.bounds().message_bytes) {
        Ok(body) => body,
        Err((code, why)) => return (code, why).into_response(),
    };
    match export(&inboxes, "zipkin", Encoding::Span(encoding), body).await {
        Ok(_) => StatusCode::ACCEPTED.into_response(),
        Err(Failed::Malformed(why)) => {
            (StatusCode::BAD_REQUEST, format!("not a list of spans: {why}\n")).into_response()
        }
        Err(Failed::Refused(refusal)) => {
            let (code, why) = come_again(&refusal);
            (code, [(RETRY_AFTER, COME_AGAIN.as_secs().to_string())], why).into_response()
        }
    }
}
