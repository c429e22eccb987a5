//! Zipkin's JSON of version 2 (`zipkin2-api.yaml`): a list of spans, or one.

use std::borrow::Cow;

use portolan_model::{Nanos, SpanColumns, SpanId, SpanStatus, TraceId};
use serde::Deserialize;

use super::attributes::Value;
use super::plain::{Fault, Plain, Remote, each_span, hex, zipkin_kind};
use crate::Refused;
use crate::json::{Number, Text, Truth};

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
pub(super) struct Endpoint<'a> {
    #[serde(borrow)]
    pub(super) service_name: Text<'a>,
    #[serde(borrow)]
    ipv4: Text<'a>,
    #[serde(borrow)]
    ipv6: Text<'a>,
    port: Number,
}

impl Endpoint<'_> {
    pub(super) fn remote(&self) -> Remote<'_> {
        Remote {
            service: &self.service_name,
            address: Cow::Borrowed(if self.ipv4.is_empty() { &self.ipv6 } else { &self.ipv4 }),
            port: u16::try_from(self.port.0).unwrap_or(0),
        }
    }
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
    let remote = span.remote_endpoint.as_ref().map_or_else(Remote::default, Endpoint::remote);
    let kind = zipkin_kind(&span.kind, &remote);
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
