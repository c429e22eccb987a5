//! Jaeger's protobuf (`jaeger-idl`, `api_v2/model.proto`): one span a message, its process inside.

use portolan_model::{Nanos, Reject, SpanColumns, SpanId, TraceId};

use super::attributes::Value;
use super::jaeger::{Parts, Reference};
use super::plain::{number, text};
use super::refuse;
use crate::Refused;
use crate::wire::{Broken, FIXED64, LEN, Reader, VARINT, key};

type Tag<'a> = (&'a str, Value<'a>);

/// Appends the span of a message.
pub(super) fn decode(
    payload: &[u8],
    latest: Nanos,
    out: &mut SpanColumns,
    refused: &mut dyn FnMut(Refused),
) {
    match read_span(payload) {
        Err(broken) => refuse(Reject::Undecodable, &broken.to_string(), refused),
        Ok(parts) => {
            if let Err((reason, why)) = parts.put(latest, out) {
                refuse(reason, why, refused);
            }
        }
    }
}

fn read_span(message: &[u8]) -> Result<Parts<'_>, Broken> {
    const TRACE_ID: u32 = key(1, LEN);
    const SPAN_ID: u32 = key(2, LEN);
    const NAME: u32 = key(3, LEN);
    const REFERENCE: u32 = key(4, LEN);
    const START: u32 = key(6, LEN);
    const DURATION: u32 = key(7, LEN);
    const TAG: u32 = key(8, LEN);
    const PROCESS: u32 = key(10, LEN);
    const READ: u64 = 0b101_1101_1110;
    let mut parts = Parts::default();
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            TRACE_ID => parts.plain.trace = TraceId(number(reader.delimited()?)),
            SPAN_ID => parts.plain.span = SpanId(number(reader.delimited()?) as u64),
            NAME => parts.plain.name = text(reader.delimited()?),
            REFERENCE => parts.references.push(read_reference(reader.delimited()?)?),
            START => parts.plain.start = read_time(reader.delimited()?)?,
            DURATION => parts.duration = read_time(reader.delimited()?)?,
            TAG => parts.plain.attributes.extend(read_tag(reader.delimited()?)?),
            PROCESS => read_process(reader.delimited()?, &mut parts)?,
            key => reader.skip_unless(key, READ)?,
        }
    }
    Ok(parts)
}

/// `SpanRef`: trace (1), span (2), type (3; 1 is `FOLLOWS_FROM`).
fn read_reference(message: &[u8]) -> Result<Reference, Broken> {
    const TRACE_ID: u32 = key(1, LEN);
    const SPAN_ID: u32 = key(2, LEN);
    const TYPE: u32 = key(3, VARINT);
    let mut reader = Reader::new(message);
    let mut reference = Reference::default();
    while reader.at() < message.len() {
        match reader.key()? {
            TRACE_ID => reference.trace = TraceId(number(reader.delimited()?)),
            SPAN_ID => reference.span = SpanId(number(reader.delimited()?) as u64),
            TYPE => reference.follows = reader.varint()? == 1,
            key => reader.skip_unless(key, 0b1110)?,
        }
    }
    Ok(reference)
}

/// `Timestamp` and `Duration`: seconds (1), nanoseconds (2). What is negative is 0.
fn read_time(message: &[u8]) -> Result<Nanos, Broken> {
    const SECONDS: u32 = key(1, VARINT);
    const NANOS: u32 = key(2, VARINT);
    let mut reader = Reader::new(message);
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    while reader.at() < message.len() {
        match reader.key()? {
            SECONDS => seconds = reader.varint()? as i64,
            NANOS => nanos = reader.varint()? as i64,
            key => reader.skip_unless(key, 0b110)?,
        }
    }
    let all = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    Ok(Nanos::try_from(all).unwrap_or(0))
}

/// `KeyValue`: key (1), type (2), text (3), truth (4), whole number (5), number (6).
fn read_tag(message: &[u8]) -> Result<Option<Tag<'_>>, Broken> {
    const KEY: u32 = key(1, LEN);
    const TYPE: u32 = key(2, VARINT);
    const TEXT: u32 = key(3, LEN);
    const TRUTH: u32 = key(4, VARINT);
    const WHOLE: u32 = key(5, VARINT);
    const NUMBER: u32 = key(6, FIXED64);
    let mut reader = Reader::new(message);
    let (mut name, mut kind) = ("", 0);
    let (mut said, mut truth, mut value) = ("", false, 0.0);
    while reader.at() < message.len() {
        match reader.key()? {
            KEY => name = text(reader.delimited()?),
            TYPE => kind = reader.varint()?,
            TEXT => said = text(reader.delimited()?),
            TRUTH => truth = reader.varint()? != 0,
            WHOLE => value = reader.varint()? as i64 as f64,
            NUMBER => value = f64::from_le_bytes(reader.fixed()?),
            key => reader.skip_unless(key, 0b111_1110)?,
        }
    }
    Ok(match kind {
        0 => Some((name, Value::Text(said))),
        1 => Some((name, Value::Bool(truth))),
        2 | 3 => Some((name, Value::Number(value))),
        _ => None,
    })
}

/// `Process`: service (1), tags (2).
fn read_process<'a>(message: &'a [u8], parts: &mut Parts<'a>) -> Result<(), Broken> {
    const SERVICE: u32 = key(1, LEN);
    const TAG: u32 = key(2, LEN);
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            SERVICE => parts.service = text(reader.delimited()?),
            TAG => parts.plain.resource.extend(read_tag(reader.delimited()?)?),
            key => reader.skip_unless(key, 0b110)?,
        }
    }
    Ok(())
}
