//! Zipkin's JSON of version 1 (`zipkin-api.yaml`): a list of spans, or one.

use std::borrow::Cow;

use portolan_model::{Nanos, SpanColumns, SpanId, TraceId};
use serde::Deserialize;
use serde_json::Value as Json;

use super::plain::{Fault, each_span, hex};
use super::zipkin_json::Endpoint;
use super::zipkin_v1::{self as v1, Old, Said};
use crate::Refused;
use crate::json::{Number, Text};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Span<'a> {
    #[serde(borrow)]
    trace_id: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    parent_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    timestamp: Number,
    duration: Number,
    #[serde(borrow)]
    annotations: Option<Vec<Annotation<'a>>>,
    #[serde(borrow)]
    binary_annotations: Option<Vec<Tag<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotation<'a> {
    timestamp: Number,
    #[serde(borrow)]
    value: Text<'a>,
    #[serde(borrow)]
    endpoint: Option<Endpoint<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tag<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    value: Json,
    #[serde(borrow)]
    endpoint: Option<Endpoint<'a>>,
}

/// Appends the spans of a message.
pub(super) fn decode(
    payload: &[u8],
    latest: Nanos,
    out: &mut SpanColumns,
    refused: &mut dyn FnMut(Refused),
) {
    each_span(payload, refused, |span: &Span<'_>| put(span, latest, out));
}

fn put(span: &Span<'_>, latest: Nanos, out: &mut SpanColumns) -> Result<(), Fault> {
    let annotations = span.annotations.iter().flatten().map(|it| v1::Annotation {
        at: it.timestamp.0,
        value: Cow::Borrowed(&it.value),
        host: it.endpoint.as_ref().map(Endpoint::remote),
    });
    let tags = span.binary_annotations.iter().flatten().map(|it| v1::Tag {
        key: Cow::Borrowed(&it.key),
        value: said(&it.value),
        host: it.endpoint.as_ref().map(Endpoint::remote),
    });
    let old = Old {
        trace: TraceId(hex(&span.trace_id, 32)?),
        span: SpanId(hex(&span.id, 16)? as u64),
        parent: SpanId(hex(&span.parent_id, 16)? as u64),
        name: &span.name,
        timestamp: span.timestamp.0,
        duration: span.duration.0,
        annotations: annotations.collect(),
        tags: tags.collect(),
    };
    old.put(latest, out)
}

fn said(value: &Json) -> Said<'_> {
    match value {
        Json::String(text) => Said::Text(Cow::Borrowed(text)),
        Json::Bool(truth) => Said::Bool(*truth),
        Json::Number(number) => number.as_f64().map_or(Said::Nothing, Said::Number),
        Json::Null | Json::Array(_) | Json::Object(_) => Said::Nothing,
    }
}
