//! Zipkin's JSON of version 2 (`zipkin2-api.yaml`): a list of spans, or one.

use std::borrow::Cow;

use portolan_model::{Nanos, SpanColumns, SpanId, SpanKind, SpanStatus, TraceId};
use serde::Deserialize;

use super::attributes::Value;
use super::plain::{Fault, Plain, Remote, hex};
use super::refuse;
use crate::Refused;
use crate::json::{Number, Text, Truth, each_value, object};

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
    kind: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    timestamp: Number,
    duration: Number,
    shared: Truth,
    #[serde(borrow)]
    local_endpoint: Option<Endpoint<'a>>,
    #[serde(borrow)]
    remote_endpoint: Option<Endpoint<'a>>,
    #[serde(borrow)]
    tags: Option<std::collections::BTreeMap<Cow<'a, str>, Text<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Endpoint<'a> {
    #[serde(borrow)]
    service_name: Text<'a>,
    #[serde(borrow)]
    ipv4: Text<'a>,
    #[serde(borrow)]
    ipv6: Text<'a>,
    port: Number,
}

/// Appends the spans of a message.
pub(super) fn decode(
    payload: &[u8],
    latest: Nanos,
    out: &mut SpanColumns,
    refused: &mut dyn FnMut(Refused),
) {
    each_value(payload, &mut |_, value| {
        let span = value.and_then(object::<Span<'_>>);
        match span.map(|span| put(&span, latest, out)) {
            Ok(Ok(())) => {}
            Ok(Err((reason, why))) => refuse(reason, why, refused),
            Err(why) => refused(why),
        }
    });
}

fn put(span: &Span<'_>, latest: Nanos, out: &mut SpanColumns) -> Result<(), Fault> {
    let remote = span.remote_endpoint.as_ref().map_or_else(Remote::default, |end| Remote {
        service: &end.service_name,
        address: if end.ipv4.is_empty() { &end.ipv6 } else { &end.ipv4 },
        port: u16::try_from(end.port.0).unwrap_or(0),
    });
    let kind = match &*span.kind {
        "CLIENT" => SpanKind::Client,
        "SERVER" => SpanKind::Server,
        "PRODUCER" => SpanKind::Producer,
        "CONSUMER" => SpanKind::Consumer,
        // Zipkin takes a span without a kind that names another service for a client.
        _ if !remote.service.is_empty() => SpanKind::Client,
        _ => SpanKind::Internal,
    };
    let tags = span.tags.as_ref();
    let local = span.local_endpoint.as_ref().map_or("", |end| &end.service_name);
    let has_error = tags.is_some_and(|tags| tags.contains_key("error"));
    let start = span.timestamp.0.saturating_mul(1_000);
    let plain = Plain {
        trace: TraceId(hex(&span.trace_id, 32)?),
        span: SpanId(hex(&span.id, 16)? as u64),
        parent: SpanId(hex(&span.parent_id, 16)? as u64),
        kind,
        shared: span.shared.0,
        status: if has_error { SpanStatus::Error } else { SpanStatus::Unset },
        start,
        end: start.saturating_add(span.duration.0.saturating_mul(1_000)),
        name: &span.name,
        resource: vec![("service.name", Value::Text(local))],
        attributes: tags
            .into_iter()
            .flatten()
            .map(|(key, value)| (&**key, Value::Text(value)))
            .collect(),
        remote,
        may_be_nameless: true,
        ..Plain::default()
    };
    plain.put(latest, out)
}
