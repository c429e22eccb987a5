//! Jaeger's `api_v2.Span`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use portolan_model::{Nanos, SpanKind};
use serde_json::{Value, json};

use super::ForeignSpan;
use super::bytes::{field, varint};

pub(super) fn proto(span: &ForeignSpan) -> Vec<u8> {
    let reference = |trace: u128, span: u64, kind: u8| {
        let ids = [field(1, &trace.to_be_bytes()), field(2, &span.to_be_bytes())].concat();
        field(4, &[&ids[..], &[3 << 3, kind]].concat())
    };
    let time = |number: u32, nanos: Nanos| {
        let mut out = vec![1 << 3];
        varint(&mut out, nanos / 1_000_000_000);
        out.push(2 << 3);
        varint(&mut out, nanos % 1_000_000_000);
        field(number, &out)
    };
    let tag = |key: &str, value: &str| {
        field(8, &[field(1, key.as_bytes()), field(3, value.as_bytes())].concat())
    };
    let mut out = [
        field(1, &span.trace.to_be_bytes()),
        field(2, &span.span.to_be_bytes()),
        field(3, span.name.as_bytes()),
        time(6, span.start),
        time(7, span.end - span.start),
    ]
    .concat();
    if span.parent != 0 {
        out.extend(reference(span.trace, span.parent, 0));
    }
    for (trace, span) in &span.links {
        out.extend(reference(*trace, *span, 1));
    }
    if span.kind != SpanKind::Internal {
        out.extend(tag("span.kind", &format!("{:?}", span.kind).to_lowercase()));
    }
    for (key, value) in &span.attributes {
        out.extend(tag(key, value));
    }
    if span.error {
        let truth = [field(1, b"error"), vec![2 << 3, 1, 4 << 3, 1]].concat();
        out.extend(field(8, &truth));
    }
    out.extend(field(10, &field(1, span.service.as_bytes())));
    out
}

pub(super) fn json(span: &ForeignSpan) -> Value {
    let reference = |trace: u128, span: u64, kind: &str| {
        let (trace, span) =
            (STANDARD.encode(trace.to_be_bytes()), STANDARD.encode(span.to_be_bytes()));
        json!({"traceId": trace, "spanId": span, "refType": kind})
    };
    let parent = (span.parent != 0).then(|| reference(span.trace, span.parent, "CHILD_OF"));
    let links = span.links.iter().map(|(trace, span)| reference(*trace, *span, "FOLLOWS_FROM"));
    let tag = |key: &str, value: &str| json!({"key": key, "vType": "STRING", "vStr": value});
    let kind = (span.kind != SpanKind::Internal)
        .then(|| tag("span.kind", &format!("{:?}", span.kind).to_lowercase()));
    let error = span.error.then(|| json!({"key": "error", "vType": "BOOL", "vBool": true}));
    let tags = span.attributes.iter().map(|(key, value)| tag(key, value));
    let start = Timestamp::from_nanosecond(i128::from(span.start)).unwrap_or_default();
    let took = span.end - span.start;
    json!({
        "traceId": STANDARD.encode(span.trace.to_be_bytes()),
        "spanId": STANDARD.encode(span.span.to_be_bytes()),
        "operationName": span.name,
        "references": parent.into_iter().chain(links).collect::<Vec<_>>(),
        "startTime": start.to_string(),
        "duration": format!("{}.{:09}s", took / 1_000_000_000, took % 1_000_000_000),
        "tags": kind.into_iter().chain(tags).chain(error).collect::<Vec<_>>(),
        "process": {"serviceName": span.service},
    })
}
