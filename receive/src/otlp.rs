//! What an export of OTLP is answered with, by either way (OTLP specification, "OTLP/gRPC" and
//! "OTLP/HTTP").

use std::time::Duration;

use bytes::Bytes;
use portolan_model::{Reject, SpanColumns};
use portolan_proto::{SpanEncoding, decode_spans};
use prost::Message;

use crate::inbox::{Inbox, Refusal};

/// When a sender that met a full inbox is to come again: an epoch later.
pub(crate) const COME_AGAIN: Duration = Duration::from_secs(1);

/// `ExportTraceServiceResponse` (and the responses of the other signals, which are alike).
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Response {
    #[prost(message, optional, tag = "1")]
    pub(crate) partial_success: Option<PartialSuccess>,
}

/// `ExportTracePartialSuccess`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(crate) rejected: i64,
    #[prost(string, tag = "2")]
    pub(crate) error_message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// Why an export failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It does not decode: sending it again does not help.
    Malformed(String),
    /// It was not taken.
    Refused(Refusal),
}

/// Takes an export of traces; done once it is committed.
pub(crate) async fn export_traces(inbox: &Inbox, payload: Bytes) -> Result<Response, Failed> {
    if payload.is_empty() {
        // No spans at all: allowed, and nothing to wait for.
        return Ok(Response::default());
    }
    let Some(response) = judge_traces(&payload, inbox.bounds().message_bytes)? else {
        return Ok(Response::default());
    };
    inbox.put(payload).await.map_err(Failed::Refused)?;
    Ok(response)
}

/// What of it will be refused; none if there is nothing in it. It is decoded once more by the line,
/// where refusals are counted: here the sender is told.
fn judge_traces(payload: &[u8], max_bytes: usize) -> Result<Option<Response>, Failed> {
    let mut spans = SpanColumns::default();
    let (mut rejected, mut first, mut whole, mut is_empty) = (0, None, None, false);
    let mut refused = |why: portolan_proto::Refused| match why.reason {
        Reject::Empty => is_empty = true,
        reason => {
            rejected += 1;
            if matches!(reason, Reject::Undecodable | Reject::TooLarge) {
                whole.get_or_insert_with(|| why.detail.clone());
            }
            first.get_or_insert(why.detail);
        }
    };
    // Judged without a clock: what is too far ahead is refused by the line, and counted there.
    decode_spans(SpanEncoding::OtlpProto, u64::MAX, max_bytes, payload, &mut spans, &mut refused);
    match whole {
        Some(why) if spans.is_empty() => Err(Failed::Malformed(why)),
        _ if rejected == 0 => Ok((!is_empty).then(Response::default)),
        _ => {
            let error_message = first.unwrap_or_default();
            Ok(Some(Response { partial_success: Some(PartialSuccess { rejected, error_message }) }))
        }
    }
}

/// `google.rpc.RetryInfo` in a status: without it exporters do not come again.
pub(crate) fn retry_status(code: i32, message: &str) -> Status {
    // RetryInfo { retry_delay = 1: Duration { seconds = 1 } }
    let seconds = COME_AGAIN.as_secs() as u8;
    let retry = vec![0x0a, 2, 0x08, seconds];
    let details =
        vec![Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: retry }];
    Status { code, message: message.into(), details }
}
