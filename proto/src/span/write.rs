//! Spans as foreign exporters write them: for simulated fleets, tests and benchmarks.

use portolan_model::{Nanos, SpanKind};

use crate::SpanEncoding;

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

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field with a length.
fn field(number: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 4);
    varint(&mut out, u64::from(number << 3 | 2));
    varint(&mut out, body.len() as u64);
    out.extend(body);
    out
}

fn fixed(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}
