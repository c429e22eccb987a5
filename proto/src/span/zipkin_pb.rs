//! Zipkin's protobuf (`zipkin-api`, `zipkin.proto`): a list of spans.

use portolan_model::{Nanos, Reject, SpanColumns, SpanId, SpanStatus, TraceId};

use super::attributes::Value;
use super::plain::{Fault, Plain, Remote, address, number, text, zipkin_kind};
use super::refuse;
use crate::Refused;
use crate::wire::{Broken, FIXED64, LEN, Reader, VARINT, key};

/// Kinds by number, by the names that the JSON has for them.
const KINDS: [&str; 5] = ["", "CLIENT", "SERVER", "PRODUCER", "CONSUMER"];

/// Appends the spans of a message (`ListOfSpans`).
pub(super) fn decode(
    payload: &[u8],
    latest: Nanos,
    out: &mut SpanColumns,
    refused: &mut dyn FnMut(Refused),
) {
    // Once to see that it is whole: a message whose framing is broken is refused as a whole.
    if let Err(broken) = each_span(payload, &mut |span| read_span(span).map(drop)) {
        return refuse(Reject::Undecodable, &broken.to_string(), refused);
    }
    let walked = each_span(payload, &mut |span| {
        if let Err((reason, why)) = read_span(span)?.put(latest, out) {
            refuse(reason, why, refused);
        }
        Ok(())
    });
    debug_assert!(walked.is_ok(), "it was whole before");
}

fn each_span<'a>(
    payload: &'a [u8],
    each: &mut dyn FnMut(&'a [u8]) -> Result<(), Broken>,
) -> Result<(), Broken> {
    const SPAN: u32 = key(1, LEN);
    let mut reader = Reader::new(payload);
    while reader.at() < payload.len() {
        match reader.key()? {
            SPAN => each(reader.delimited()?)?,
            key => reader.skip_unless(key, 0b10)?,
        }
    }
    Ok(())
}

/// A span as it is read.
#[derive(Default)]
struct Parts<'a> {
    plain: Plain<'a>,
    kind: usize,
    local: Remote<'a>,
    duration_micros: u64,
}

impl Parts<'_> {
    fn put(self, latest: Nanos, out: &mut SpanColumns) -> Result<(), Fault> {
        let Self { mut plain, kind, local, duration_micros } = self;
        plain.kind = zipkin_kind(KINDS.get(kind).copied().unwrap_or(""), &plain.remote);
        plain.end = plain.start.saturating_add(duration_micros.saturating_mul(1_000));
        plain.resource.push(("service.name", Value::Text(local.service)));
        plain.may_be_nameless = true;
        plain.put(latest, out)
    }
}

fn read_span(message: &[u8]) -> Result<Parts<'_>, Broken> {
    const TRACE_ID: u32 = key(1, LEN);
    const PARENT_ID: u32 = key(2, LEN);
    const SPAN_ID: u32 = key(3, LEN);
    const KIND: u32 = key(4, VARINT);
    const NAME: u32 = key(5, LEN);
    const TIMESTAMP: u32 = key(6, FIXED64);
    const DURATION: u32 = key(7, VARINT);
    const LOCAL: u32 = key(8, LEN);
    const REMOTE: u32 = key(9, LEN);
    const TAG: u32 = key(11, LEN);
    const SHARED: u32 = key(13, VARINT);
    const READ: u64 = 0b10_1011_1111_1110;
    let mut parts = Parts::default();
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        let plain = &mut parts.plain;
        match reader.key()? {
            TRACE_ID => plain.trace = TraceId(number(reader.delimited()?)),
            PARENT_ID => plain.parent = SpanId(number(reader.delimited()?) as u64),
            SPAN_ID => plain.span = SpanId(number(reader.delimited()?) as u64),
            KIND => parts.kind = reader.varint()? as usize,
            NAME => plain.name = text(reader.delimited()?),
            TIMESTAMP => {
                plain.start = u64::from_le_bytes(reader.fixed()?).saturating_mul(1_000);
            }
            DURATION => parts.duration_micros = reader.varint()?,
            LOCAL => parts.local = read_endpoint(reader.delimited()?)?,
            REMOTE => plain.remote = read_endpoint(reader.delimited()?)?,
            TAG => {
                let (name, value) = read_tag(reader.delimited()?)?;
                if name == "error" {
                    plain.status = SpanStatus::Error;
                }
                plain.attributes.push((name, Value::Text(value)));
            }
            SHARED => plain.shared = reader.varint()? != 0,
            key => reader.skip_unless(key, READ)?,
        }
    }
    Ok(parts)
}

/// `Endpoint`: service (1), IPv4 (2), IPv6 (3), port (4).
fn read_endpoint(message: &[u8]) -> Result<Remote<'_>, Broken> {
    const SERVICE: u32 = key(1, LEN);
    const IPV4: u32 = key(2, LEN);
    const IPV6: u32 = key(3, LEN);
    const PORT: u32 = key(4, VARINT);
    let mut reader = Reader::new(message);
    let mut end = Remote::default();
    let (mut v4, mut v6): (&[u8], &[u8]) = (&[], &[]);
    while reader.at() < message.len() {
        match reader.key()? {
            SERVICE => end.service = text(reader.delimited()?),
            IPV4 => v4 = reader.delimited()?,
            IPV6 => v6 = reader.delimited()?,
            PORT => end.port = u16::try_from(reader.varint()?).unwrap_or(0),
            key => reader.skip_unless(key, 0b1_1110)?,
        }
    }
    end.address = address(v4, v6);
    Ok(end)
}

/// An entry of the map of tags: key (1), value (2).
fn read_tag(message: &[u8]) -> Result<(&str, &str), Broken> {
    const KEY: u32 = key(1, LEN);
    const VALUE: u32 = key(2, LEN);
    let mut reader = Reader::new(message);
    let (mut name, mut value) = ("", "");
    while reader.at() < message.len() {
        match reader.key()? {
            KEY => name = text(reader.delimited()?),
            VALUE => value = text(reader.delimited()?),
            key => reader.skip_unless(key, 0b110)?,
        }
    }
    Ok((name, value))
}
