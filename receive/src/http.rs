//! OTLP/HTTP: `POST /v1/traces` with protobuf, plain or gzipped.

use std::io::Read as _;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tokio::net::TcpListener;

use crate::inbox::{Inbox, Refusal};
use crate::otlp::{self, Failed};

const PROTOBUF: &str = "application/x-protobuf";

/// The one metric of this crate: name, labels, and what it says.
pub const REQUESTS: (&str, &[&str], &str) = (
    "portolan_receive_requests_total",
    &["way", "outcome"],
    "Exports of senders, by way (grpc, http) and what became of them",
);

/// Serves until `shutdown` is done.
pub async fn serve_http(
    listener: TcpListener,
    inbox: Inbox,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    describe();
    let most = inbox.bounds().message_bytes;
    let app = Router::new()
        .route("/v1/traces", post(traces))
        .layer(DefaultBodyLimit::max(most))
        .with_state(inbox);
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await
}

/// Tells the recorder what the metric is.
pub(crate) fn describe() {
    metrics::describe_counter!(REQUESTS.0, REQUESTS.2);
}

/// Counts a request.
pub(crate) fn count(way: &'static str, done: &Result<otlp::Response, Failed>) {
    let outcome = match done {
        Ok(_) => "taken",
        Err(Failed::Malformed(_)) => "malformed",
        Err(Failed::Refused(Refusal::Busy)) => "busy",
        Err(Failed::Refused(Refusal::Late)) => "late",
        Err(Failed::Refused(Refusal::Broken(_))) => "broken",
    };
    metrics::counter!(REQUESTS.0, "way" => way, "outcome" => outcome).increment(1);
}

async fn traces(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim() != PROTOBUF {
        let why = format!("content type {kind:?} is not taken: send {PROTOBUF}");
        return answer(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &otlp::Status { message: why, ..Default::default() },
        );
    }
    let body = match plain(&headers, body, inbox.bounds().message_bytes) {
        Ok(body) => body,
        Err((code, message)) => {
            return answer(code, &otlp::Status { message, ..Default::default() });
        }
    };
    let done = otlp::export_traces(&inbox, body).await;
    count("http", &done);
    match done {
        Ok(response) => answer(StatusCode::OK, &response),
        Err(Failed::Malformed(why)) => {
            let message = format!("not a trace export: {why}");
            answer(
                StatusCode::BAD_REQUEST,
                &otlp::Status { code: 3, message, ..Default::default() },
            )
        }
        Err(Failed::Refused(refusal)) => {
            let (code, message) = match &refusal {
                Refusal::Busy => (StatusCode::TOO_MANY_REQUESTS, refusal.to_string()),
                Refusal::Late => (StatusCode::SERVICE_UNAVAILABLE, refusal.to_string()),
                Refusal::Broken(_) => {
                    (StatusCode::SERVICE_UNAVAILABLE, "not taken: see the server's log".to_owned())
                }
            };
            let mut response = answer(code, &otlp::Status { message, ..Default::default() });
            response.headers_mut().insert(RETRY_AFTER, otlp::COME_AGAIN.as_secs().into());
            response
        }
    }
}

/// The body without its compression, never longer than allowed.
fn plain(headers: &HeaderMap, body: Bytes, most: usize) -> Result<Bytes, (StatusCode, String)> {
    let coding = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    match coding {
        None | Some(b"" | b"identity") => Ok(body),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            let read = MultiGzDecoder::new(&*body).take(most as u64 + 1).read_to_end(&mut plain);
            match read {
                Ok(_) if plain.len() <= most => Ok(plain.into()),
                Ok(_) => Err((StatusCode::PAYLOAD_TOO_LARGE, format!("more than {most} bytes"))),
                Err(error) => Err((StatusCode::BAD_REQUEST, format!("not gzip: {error}"))),
            }
        }
        Some(_) => Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "only gzip is taken".to_owned())),
    }
}

fn answer(code: StatusCode, message: &impl prost::Message) -> Response {
    (code, [(CONTENT_TYPE, PROTOBUF)], Body::from(message.encode_to_vec())).into_response()
}
