//! Spans as foreign exporters write them: for simulated fleets, tests and benchmarks.

mod bytes;
mod jaeger;
mod zipkin;

use portolan_model::{Nanos, SpanKind};
use serde_json::{Value, json};

use crate::SpanEncoding;

use bytes::{field, fixed};

/// A span to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignSpan {
    /// Trace.
    pub trace: u128,
    /// Span.
    pub span: u64,
    /// Parent; 0 is none.
    pub parent: u64,
    /// Kind.
    pub kind: SpanKind,
    /// Name.
    pub name: String,
    /// `service.name`.
    pub service: String,
    /// Start, in nanoseconds; formats of microseconds lose the rest.
    pub start: Nanos,
    /// End.
    pub end: Nanos,
    /// It failed.
    pub error: bool,
    /// Attributes or tags, as text.
    pub attributes: Vec<(String, String)>,
    /// What it links to.
    pub links: Vec<(u128, u64)>,
}

/// Writes spans as messages of an encoding: one message, or, where the format has one span a message,
/// one each.
pub fn write_spans(encoding: SpanEncoding, spans: &[ForeignSpan]) -> Vec<Vec<u8>> {
    match encoding {
        SpanEncoding::OtlpProto => vec![otlp_proto(spans)],
        SpanEncoding::OtlpJson => vec![otlp_json(spans).to_string().into_bytes()],
        SpanEncoding::ZipkinJson => vec![zipkin::json_v2(spans).to_string().into_bytes()],
        SpanEncoding::ZipkinJsonV1 => vec![zipkin::json_v1(spans).to_string().into_bytes()],
        SpanEncoding::ZipkinProto => vec![zipkin::proto(spans)],
        SpanEncoding::ZipkinThrift => vec![zipkin::thrift(spans)],
        SpanEncoding::JaegerProto => spans.iter().map(jaeger::proto).collect(),
        SpanEncoding::JaegerJson => {
            spans.iter().map(|span| jaeger::json(span).to_string().into_bytes()).collect()
        }
    }
}

/// One `ResourceSpans` for each run of spans of one service.
fn otlp_proto(spans: &[ForeignSpan]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in spans.chunk_by(|a, b| a.service == b.service) {
        let resource = field(1, &otlp_attribute(1, "service.name", &run[0].service));
        let spans: Vec<u8> = run.iter().flat_map(|span| field(2, &otlp_span(span))).collect();
        out.extend(field(1, &[resource, field(2, &spans)].concat()));
    }
    out
}

fn otlp_json(spans: &[ForeignSpan]) -> Value {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let resources = spans.chunk_by(|a, b| a.service == b.service).map(|run| {
        let spans: Vec<Value> = run
            .iter()
            .map(|span| {
                let links = span.links.iter().map(|(trace, span)| {
                    json!({"traceId": format!("{trace:032x}"), "spanId": format!("{span:016x}")})
                });
                let attributes = span.attributes.iter().map(|(key, value)| attribute(key, value));
                let parent = match span.parent {
                    0 => String::new(),
                    parent => format!("{parent:016x}"),
                };
                json!({
                    "traceId": format!("{:032x}", span.trace),
                    "spanId": format!("{:016x}", span.span),
                    "parentSpanId": parent,
                    "name": span.name,
                    "kind": span.kind as u8 + 1,
                    "startTimeUnixNano": span.start.to_string(),
                    "endTimeUnixNano": span.end.to_string(),
                    "attributes": attributes.collect::<Vec<_>>(),
                    "links": links.collect::<Vec<_>>(),
                    "status": if span.error { json!({"code": 2}) } else { json!({}) },
                })
            })
            .collect();
        let service = attribute("service.name", &run[0].service);
        json!({"resource": {"attributes": [service]}, "scopeSpans": [{"spans": spans}]})
    });
    json!({"resourceSpans": resources.collect::<Vec<_>>()})
}

fn otlp_attribute(number: u32, key: &str, value: &str) -> Vec<u8> {
    let value = field(2, &field(1, value.as_bytes()));
    field(number, &[field(1, key.as_bytes()), value].concat())
}

fn otlp_span(span: &ForeignSpan) -> Vec<u8> {
    let kind = match span.kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    };
    let mut out = [
        field(1, &span.trace.to_be_bytes()),
        field(2, &span.span.to_be_bytes()),
        field(5, span.name.as_bytes()),
        vec![6 << 3, kind],
        fixed(7, span.start),
        fixed(8, span.end),
    ]
    .concat();
    if span.parent != 0 {
        out.extend(field(4, &span.parent.to_be_bytes()));
    }
    for (key, value) in &span.attributes {
        out.extend(otlp_attribute(9, key, value));
    }
    for (trace, span) in &span.links {
        let link = [field(1, &trace.to_be_bytes()), field(2, &span.to_be_bytes())];
        out.extend(field(13, &link.concat()));
    }
    if span.error {
        out.extend(field(15, &[3 << 3, 2]));
    }
    out
}
