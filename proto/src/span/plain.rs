//! A span as any format has it, before it becomes a row.

use std::borrow::Cow;

use portolan_model::{
    Ip, Nanos, Reject, SpanColumns, SpanId, SpanKind, SpanRow, SpanStatus, Text, TraceId,
};

use serde::Deserialize;

use super::attributes::{BadName, Extra, Resource, Value, named, weight};
use super::refuse;
use crate::Refused;
use crate::json::{each_value, object};

/// Why a span is not taken: the reason, and in words.
pub(super) type Fault = (Reject, &'static str);

/// Mermin writes flows as spans with these names (formats, 4.3).
const FLOW_SPANS: [&str; 2] = ["flow_ipv4_", "flow_ipv6_"];

/// See the module. Texts are empty where nothing is said.
#[derive(Default)]
pub(super) struct Plain<'a> {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) parent: SpanId,
    pub(super) kind: SpanKind,
    pub(super) shared: bool,
    pub(super) status: SpanStatus,
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    pub(super) name: &'a str,
    pub(super) trace_state: &'a str,
    /// Attributes of the resource, the service's name among them.
    pub(super) resource: Vec<(&'a str, Value<'a>)>,
    pub(super) attributes: Vec<(&'a str, Value<'a>)>,
    pub(super) links: Vec<(TraceId, SpanId)>,
    /// The other end as Zipkin has it.
    pub(super) remote: Remote<'a>,
    /// A span may leave its own service out: it is that of the span above.
    pub(super) may_be_nameless: bool,
}

/// The other end as Zipkin has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Remote<'a> {
    pub(super) service: &'a str,
    pub(super) address: Cow<'a, str>,
    pub(super) port: u16,
}

impl From<BadName> for (Reject, &'static str) {
    fn from(_: BadName) -> Self {
        (Reject::BadField, "a name of more than 255 bytes, or with control characters")
    }
}

impl Plain<'_> {
    /// Appends the row that the span is.
    pub(super) fn put(&self, latest: Nanos, out: &mut SpanColumns) -> Result<(), Fault> {
        if FLOW_SPANS.iter().any(|flow| self.name.starts_with(flow)) {
            return Err((Reject::Derived, "a flow, written as a span"));
        }
        let mut row = SpanRow {
            trace: self.trace,
            span: self.span,
            parent: self.parent,
            kind: self.kind,
            shared: self.shared,
            status: self.status,
            start: self.start,
            end: self.end,
            weight_milli: 1_000,
            ..SpanRow::default()
        };
        self.check(latest)?;
        let mut resource = Resource::default();
        for (key, value) in &self.resource {
            resource.take(out, key, *value)?;
        }
        if !resource.name(&mut row) && !self.may_be_nameless {
            return Err((Reject::BadField, "nothing names the service"));
        }
        let mut extra = Extra::default();
        for (key, value) in &self.attributes {
            extra.take(&mut row, out, key, *value)?;
        }
        extra.finish(&mut row, out);
        self.take_remote(&mut row, out)?;
        row.operation = match self.kind {
            SpanKind::Server | SpanKind::Client => named(out, self.name).unwrap_or_default(),
            _ => Text::NONE,
        };
        row.weight_milli = weight(self.trace_state).unwrap_or(row.weight_milli);
        out.push(&row, &self.links);
        Ok(())
    }

    /// What no span can be without.
    fn check(&self, latest: Nanos) -> Result<(), Fault> {
        if self.trace.0 == 0 || self.span.0 == 0 {
            return Err((Reject::BadField, "no trace id or span id"));
        }
        if self.start == 0 {
            return Err((Reject::NoTime, "no start"));
        }
        if self.end < self.start {
            return Err((Reject::EndsBeforeStart, "it ends before it starts"));
        }
        if self.end > latest {
            return Err((Reject::Future, "it ends in the future"));
        }
        Ok(())
    }

    fn take_remote(&self, row: &mut SpanRow, out: &mut SpanColumns) -> Result<(), BadName> {
        if row.peer.is_none() {
            row.peer = named(out, self.remote.service).ok_or(BadName)?;
        }
        if row.network.is_none() {
            row.network = named(out, &self.remote.address).ok_or(BadName)?;
            row.network_port = self.remote.port;
        }
        Ok(())
    }
}

/// An id in hexadecimal, of at most `digits`.
pub(super) fn hex(text: &str, digits: usize) -> Result<u128, Fault> {
    if text.is_empty() {
        return Ok(0);
    }
    if text.len() > digits || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err((Reject::BadField, "an id that is not hexadecimal, or too long"));
    }
    u128::from_str_radix(text, 16).map_err(|_| (Reject::BadField, "an id that is not hexadecimal"))
}

/// Takes every JSON object of a message for a span; what is none, or is not taken, is refused alone.
pub(super) fn each_span<'a, S: Deserialize<'a>>(
    payload: &'a [u8],
    refused: &mut dyn FnMut(Refused),
    mut put: impl FnMut(&S) -> Result<(), Fault>,
) {
    each_value(payload, &mut |_, value| match value.and_then(object::<S>).map(|span| put(&span)) {
        Ok(Ok(())) => {}
        Ok(Err((reason, why))) => refuse(reason, why, refused),
        Err(why) => refused(why),
    });
}

/// An address of 4 or 16 bytes as text; of any other length it says nothing.
pub(super) fn address(v4: &[u8], v6: &[u8]) -> Cow<'static, str> {
    let ip = match (<[u8; 4]>::try_from(v4), <[u8; 16]>::try_from(v6)) {
        (Ok(v4), _) if v4 != [0; 4] => Ip::v4(u32::from_be_bytes(v4)),
        (_, Ok(v6)) if v6 != [0; 16] => Ip(u128::from_be_bytes(v6)),
        _ => return Cow::Borrowed(""),
    };
    Cow::Owned(ip.to_string())
}

/// An id of bytes: the last 16 at most, because ids of 8 bytes may have zeros in front.
pub(super) fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |id, byte| id << 8 | u128::from(*byte))
}

/// What is not UTF-8 says nothing.
pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Zipkin takes a span without a kind that names another service for a client.
pub(super) fn zipkin_kind(word: &str, remote: &Remote<'_>) -> SpanKind {
    match word {
        "CLIENT" => SpanKind::Client,
        "SERVER" => SpanKind::Server,
        "PRODUCER" => SpanKind::Producer,
        "CONSUMER" => SpanKind::Consumer,
        _ if !remote.service.is_empty() => SpanKind::Client,
        _ => SpanKind::Internal,
    }
}
