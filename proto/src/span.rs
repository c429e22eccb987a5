//! Spans: from the bytes of a message to columns.
//!
//! Only what linking needs is read. A message whose framing is broken is refused as a whole; a bad
//! span inside intact framing is refused alone.

use portolan_model::{Nanos, Reject, SpanColumns};

use crate::flow::MAX_AHEAD_NANOS;
use crate::{Refused, SpanEncoding};

mod attributes;
mod jaeger;
mod jaeger_json;
mod jaeger_pb;
mod otlp_json;
mod otlp_pb;
mod plain;
#[cfg(test)]
mod tests;
mod write;
mod zipkin_json;
mod zipkin_pb;
mod zipkin_thrift;
mod zipkin_v1;
mod zipkin_v1_json;

pub use write::{ForeignSpan, write_spans};

/// Appends the spans of one message to `out`. What is not appended is handed to `refused`. `now` is
/// the time of arrival.
pub fn decode_spans(
    encoding: SpanEncoding,
    now: Nanos,
    max_message_bytes: usize,
    payload: &[u8],
    out: &mut SpanColumns,
    refused: &mut dyn FnMut(Refused),
) {
    if let Err(why) = crate::refused::check_size(payload, max_message_bytes) {
        return refused(why);
    }
    let latest = now.saturating_add(MAX_AHEAD_NANOS);
    let (before, mut any_refused) = (out.len(), false);
    let mut refuse_one = |why| {
        any_refused = true;
        refused(why);
    };
    let decode = match encoding {
        SpanEncoding::OtlpProto => otlp_pb::decode,
        SpanEncoding::OtlpJson => otlp_json::decode,
        SpanEncoding::ZipkinJson => zipkin_json::decode,
        SpanEncoding::ZipkinJsonV1 => zipkin_v1_json::decode,
        SpanEncoding::ZipkinProto => zipkin_pb::decode,
        SpanEncoding::ZipkinThrift => zipkin_thrift::decode,
        SpanEncoding::JaegerProto => jaeger_pb::decode,
        SpanEncoding::JaegerJson => jaeger_json::decode,
    };
    decode(payload, latest, out, &mut refuse_one);
    if out.len() == before && !any_refused {
        refuse(Reject::Empty, "a message without a span", refused);
    }
}

/// Refuses one span of a message.
#[cold]
fn refuse(reason: Reject, detail: &str, refused: &mut dyn FnMut(Refused)) {
    refused(Refused::new(reason, detail));
}
