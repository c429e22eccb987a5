//! Zipkin's thrift (`zipkinCore.thrift`, binary protocol): a list of spans of the first model.

use std::borrow::Cow;

use portolan_model::{Nanos, Reject, SpanColumns, SpanId, TraceId};

use super::plain::{Remote, address, text};
use super::refuse;
use super::zipkin_v1::{Annotation, Old, Said, Tag};
use crate::Refused;
use crate::thrift::{BINARY, Broken, I16, I32, I64, LIST, Reader, STRUCT};

/// Annotations of a span of each sort that are kept.
const MAX_ANNOTATIONS: usize = 1_024;

/// Appends the spans of a message.
pub(super) fn decode(
    payload: &[u8],
    latest: Nanos,
    out: &mut SpanColumns,
    refused: &mut dyn FnMut(Refused),
) {
    // Once to see that it is whole, once to take: spans in memory could be many times the message.
    if let Err(broken) = each_span(payload, &mut |_| {}) {
        return refuse(Reject::Undecodable, &broken.to_string(), refused);
    }
    let walked = each_span(payload, &mut |span| {
        if let Err((reason, why)) = span.put(latest, out) {
            refuse(reason, why, refused);
        }
    });
    debug_assert!(walked.is_ok(), "it was whole before");
}

/// A message without a list's head is one span alone, as the first collectors wrote it.
fn each_span<'a>(payload: &'a [u8], each: &mut dyn FnMut(&Old<'a>)) -> Result<(), Broken> {
    let mut reader = Reader::new(payload);
    if payload.first() == Some(&STRUCT) {
        each_struct(&mut reader, &mut |reader| read_span(reader).map(|span| each(&span)))?;
    } else {
        each(&read_span(&mut reader)?);
    }
    if reader.is_empty() { Ok(()) } else { Err(Broken::Truncated) }
}

fn each_struct<'a>(
    reader: &mut Reader<'a>,
    each: &mut dyn FnMut(&mut Reader<'a>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let (kind, len) = reader.list()?;
    if kind != STRUCT && len > 0 {
        return Err(Broken::Type);
    }
    (0..len).try_for_each(|_| each(reader))
}

fn read_list<'a, T>(
    reader: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, Broken>,
) -> Result<Vec<T>, Broken> {
    let mut list = Vec::new();
    each_struct(reader, &mut |reader| {
        let read = read(reader)?;
        if list.len() < MAX_ANNOTATIONS {
            list.push(read);
        }
        Ok(())
    })?;
    Ok(list)
}

fn read_span<'a>(reader: &mut Reader<'a>) -> Result<Old<'a>, Broken> {
    let mut span = Old::default();
    let (mut low, mut high) = (0_u64, 0_u64);
    while let Some(field) = reader.field()? {
        match field {
            (1, I64) => low = reader.i64()? as u64,
            (3, BINARY) => span.name = text(reader.binary()?),
            (4, I64) => span.span = SpanId(reader.i64()? as u64),
            (5, I64) => span.parent = SpanId(reader.i64()? as u64),
            (6, LIST) => span.annotations = read_list(reader, read_annotation)?,
            (8, LIST) => span.tags = read_list(reader, read_tag)?,
            (10, I64) => span.timestamp = micros(reader.i64()?),
            (11, I64) => span.duration = micros(reader.i64()?),
            (12, I64) => high = reader.i64()? as u64,
            (_, kind) => reader.skip(kind)?,
        }
    }
    span.trace = TraceId(u128::from(high) << 64 | u128::from(low));
    Ok(span)
}

fn read_annotation<'a>(reader: &mut Reader<'a>) -> Result<Annotation<'a>, Broken> {
    let mut read = Annotation { at: 0, value: Cow::Borrowed(""), host: None };
    while let Some(field) = reader.field()? {
        match field {
            (1, I64) => read.at = micros(reader.i64()?),
            (2, BINARY) => read.value = Cow::Borrowed(text(reader.binary()?)),
            (3, STRUCT) => read.host = Some(read_endpoint(reader)?),
            (_, kind) => reader.skip(kind)?,
        }
    }
    Ok(read)
}

fn read_tag<'a>(reader: &mut Reader<'a>) -> Result<Tag<'a>, Broken> {
    let mut read = Tag { key: Cow::Borrowed(""), value: Said::Nothing, host: None };
    let (mut kind, mut value): (i32, &[u8]) = (-1, &[]);
    while let Some(field) = reader.field()? {
        match field {
            (1, BINARY) => read.key = Cow::Borrowed(text(reader.binary()?)),
            (2, BINARY) => value = reader.binary()?,
            (3, I32) => kind = reader.i32()?,
            (4, STRUCT) => read.host = Some(read_endpoint(reader)?),
            (_, kind) => reader.skip(kind)?,
        }
    }
    read.value = said(kind, value);
    Ok(read)
}

/// By `AnnotationType`: truth, bytes, numbers of 2, 4 and 8 bytes, a float, text.
fn said(kind: i32, value: &[u8]) -> Said<'_> {
    let number = |number: Option<f64>| number.map_or(Said::Nothing, Said::Number);
    match kind {
        0 => Said::Bool(value == [1]),
        2 => number(value.try_into().ok().map(|be| f64::from(i16::from_be_bytes(be)))),
        3 => number(value.try_into().ok().map(|be| f64::from(i32::from_be_bytes(be)))),
        4 => number(value.try_into().ok().map(|be| i64::from_be_bytes(be) as f64)),
        5 => number(value.try_into().ok().map(f64::from_be_bytes)),
        6 => Said::Text(Cow::Borrowed(text(value))),
        _ => Said::Nothing,
    }
}

fn read_endpoint<'a>(reader: &mut Reader<'a>) -> Result<Remote<'a>, Broken> {
    let mut end = Remote::default();
    let (mut v4, mut v6): (i32, &[u8]) = (0, &[]);
    while let Some(field) = reader.field()? {
        match field {
            (1, I32) => v4 = reader.i32()?,
            // Thrift has no number without a sign: ports over 32,767 come as negative ones.
            (2, I16) => end.port = reader.i16()? as u16,
            (3, BINARY) => end.service = text(reader.binary()?),
            (4, BINARY) => v6 = reader.binary()?,
            (_, kind) => reader.skip(kind)?,
        }
    }
    end.address = address(&v4.to_be_bytes(), v6);
    Ok(end)
}

fn micros(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}
