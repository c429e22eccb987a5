//! OTLP traces as JSON (the OTLP specification, "JSON Protobuf Encoding": ids are hexadecimal).

use portolan_model::{Nanos, SpanColumns, SpanId, SpanKind, SpanStatus, TraceId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::attributes::Value;
use super::plain::{Fault, Plain, hex};
use super::refuse;
use crate::Refused;
use crate::json::{Number, NumberOr, Text, each_value, object};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow)]
    resource_spans: Vec<ResourceSpans<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceSpans<'a> {
    #[serde(borrow)]
    resource: Resource<'a>,
    #[serde(borrow)]
    scope_spans: Vec<ScopeSpans<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource<'a> {
    #[serde(borrow)]
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScopeSpans<'a> {
    #[serde(borrow)]
    spans: Vec<Span<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the format")]
struct Span<'a> {
    #[serde(borrow)]
    trace_id: Text<'a>,
    #[serde(borrow)]
    span_id: Text<'a>,
    #[serde(borrow)]
    parent_span_id: Text<'a>,
    #[serde(borrow)]
    trace_state: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    kind: NumberOr<'a>,
    start_time_unix_nano: Number,
    end_time_unix_nano: Number,
    #[serde(borrow)]
    attributes: Vec<KeyValue<'a>>,
    #[serde(borrow)]
    links: Vec<Link<'a>>,
    #[serde(borrow)]
    status: Status<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Link<'a> {
    #[serde(borrow)]
    trace_id: Text<'a>,
    #[serde(borrow)]
    span_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status<'a> {
    #[serde(borrow)]
    code: NumberOr<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyValue<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    value: AnyValue<'a>,
}

/// Lists and maps are not read.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the format")]
struct AnyValue<'a> {
    #[serde(borrow)]
    string_value: Option<Text<'a>>,
    bool_value: Option<bool>,
    /// 64-bit numbers are text in protobuf's JSON.
    #[serde(borrow)]
    int_value: Option<&'a RawValue>,
    double_value: Option<f64>,
}

/// Appends the spans of a message.
pub(super) fn decode(
    payload: &[u8],
    latest: Nanos,
    out: &mut SpanColumns,
    refused: &mut dyn FnMut(Refused),
) {
    each_value(payload, &mut |_, value| {
        let request = match value.and_then(object::<Request<'_>>) {
            Ok(request) => request,
            Err(why) => return refused(why),
        };
        for of in &request.resource_spans {
            for span in of.scope_spans.iter().flat_map(|scope| &scope.spans) {
                if let Err((reason, why)) = put(span, &of.resource, latest, out) {
                    refuse(reason, why, refused);
                }
            }
        }
    });
}

fn put(
    span: &Span<'_>,
    resource: &Resource<'_>,
    latest: Nanos,
    out: &mut SpanColumns,
) -> Result<(), Fault> {
    let links = span.links.iter().map(|link| {
        Ok((TraceId(hex(&link.trace_id, 32)?), SpanId(hex(&link.span_id, 16)? as u64)))
    });
    let plain = Plain {
        trace: TraceId(hex(&span.trace_id, 32)?),
        span: SpanId(hex(&span.span_id, 16)? as u64),
        parent: SpanId(hex(&span.parent_span_id, 16)? as u64),
        kind: kind(&span.kind),
        status: status(&span.status.code),
        start: span.start_time_unix_nano.0,
        end: span.end_time_unix_nano.0,
        name: &span.name,
        trace_state: &span.trace_state,
        resource: resource.attributes.iter().filter_map(KeyValue::read).collect(),
        attributes: span.attributes.iter().filter_map(KeyValue::read).collect(),
        links: links.collect::<Result<_, Fault>>()?,
        ..Plain::default()
    };
    plain.put(latest, out)
}

/// By number, or by name as protobuf's own JSON has it.
fn kind(said: &NumberOr<'_>) -> SpanKind {
    match said {
        NumberOr::Number(Number(2)) => SpanKind::Server,
        NumberOr::Number(Number(3)) => SpanKind::Client,
        NumberOr::Number(Number(4)) => SpanKind::Producer,
        NumberOr::Number(Number(5)) => SpanKind::Consumer,
        NumberOr::Number(_) => SpanKind::Internal,
        NumberOr::Text(text) => match &**text {
            "SPAN_KIND_SERVER" => SpanKind::Server,
            "SPAN_KIND_CLIENT" => SpanKind::Client,
            "SPAN_KIND_PRODUCER" => SpanKind::Producer,
            "SPAN_KIND_CONSUMER" => SpanKind::Consumer,
            _ => SpanKind::Internal,
        },
    }
}

fn status(said: &NumberOr<'_>) -> SpanStatus {
    match said {
        NumberOr::Number(Number(1)) => SpanStatus::Ok,
        NumberOr::Number(Number(2)) => SpanStatus::Error,
        NumberOr::Text(text) if &**text == "STATUS_CODE_OK" => SpanStatus::Ok,
        NumberOr::Text(text) if &**text == "STATUS_CODE_ERROR" => SpanStatus::Error,
        _ => SpanStatus::Unset,
    }
}

impl KeyValue<'_> {
    fn read(&self) -> Option<(&str, Value<'_>)> {
        let value = &self.value;
        let value = match (&value.string_value, value.bool_value, value.int_value) {
            (Some(text), ..) => Value::Text(text),
            (_, Some(truth), _) => Value::Bool(truth),
            (_, _, Some(digits)) => Value::Text(digits.get().trim_matches('"')),
            _ => Value::Number(value.double_value?),
        };
        Some((&self.key, value))
    }
}
