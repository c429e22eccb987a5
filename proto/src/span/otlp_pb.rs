//! OTLP traces as protobuf (`opentelemetry/proto/trace/v1`), read in place.

use portolan_model::{
    Nanos, Reject, SpanColumns, SpanId, SpanKind, SpanRow, SpanStatus, Text, TraceId,
};

use super::attributes::{BadName, Extra, Resource, Value, named, weight};
use super::refuse;
use crate::Refused;
use crate::wire::{Broken, FIXED64, LEN, Reader, VARINT, key};

/// Mermin writes flows as spans with these names (formats, 4.3).
const FLOW_SPANS: [&[u8]; 2] = [b"flow_ipv4_", b"flow_ipv6_"];

/// Why a span is not taken.
enum Fault {
    Broken(Broken),
    Refused(Reject, &'static str),
}

/// Appends the spans of an `ExportTraceServiceRequest` (or `TracesData`: the same bytes).
pub(super) fn decode(
    payload: &[u8],
    latest: Nanos,
    out: &mut SpanColumns,
    refused: &mut dyn FnMut(Refused),
) {
    // Once to see that it is whole, once to take: what stands before a break is not to be trusted.
    if let Err(broken) = each_span(payload, &mut |_| Ok(()), &mut |_| Ok(())) {
        return refuse(Reject::Undecodable, &broken.to_string(), refused);
    }
    let walked = each_resource(payload, &mut |message| {
        let mut resource = Resource::default();
        let mut fault = None;
        each_field(message, key(1, LEN), &mut |said| {
            each_field(said, key(1, LEN), &mut |attribute| {
                if let Some((name, value)) = read_attribute(attribute)?
                    && resource.take(out, name, value).is_err()
                {
                    fault = Some("a name of the resource is too long, or has control characters");
                }
                Ok(())
            })
        })?;
        each_field(message, key(2, LEN), &mut |scope| {
            each_field(scope, key(2, LEN), &mut |span| {
                let read = fault.map_or_else(
                    || read_span(span, &resource, latest, out),
                    |why| Err(Fault::Refused(Reject::BadField, why)),
                );
                match read {
                    Ok(()) => {}
                    Err(Fault::Refused(reason, why)) => refuse(reason, why, refused),
                    Err(Fault::Broken(broken)) => {
                        refuse(Reject::Undecodable, &broken.to_string(), refused);
                    }
                }
                Ok(())
            })
        })
    });
    if let Err(broken) = walked {
        refuse(Reject::Undecodable, &broken.to_string(), refused);
    }
}

type Each<'a, 'f> = &'f mut dyn FnMut(&'a [u8]) -> Result<(), Broken>;

/// `ExportTraceServiceRequest.resource_spans` (1).
fn each_resource<'a>(payload: &'a [u8], each: Each<'a, '_>) -> Result<(), Broken> {
    each_field(payload, key(1, LEN), each)
}

/// `.resource` (1) and `.scope_spans` (2) `.spans` (2).
fn each_span<'a>(
    payload: &'a [u8],
    resource: Each<'a, '_>,
    span: Each<'a, '_>,
) -> Result<(), Broken> {
    each_resource(payload, &mut |message| {
        each_field(message, key(1, LEN), resource)?;
        each_field(message, key(2, LEN), &mut |scope| each_field(scope, key(2, LEN), span))
    })
}

fn each_field<'a>(message: &'a [u8], wanted: u32, each: Each<'a, '_>) -> Result<(), Broken> {
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        let key = reader.key()?;
        if key == wanted {
            each(reader.delimited()?)?;
        } else {
            reader.skip_unless(key, 1 << (wanted >> 3))?;
        }
    }
    Ok(())
}

/// `KeyValue`: key (1) and value (2); nothing if the value is a list, a map, or bytes, or if either
/// is not UTF-8.
fn read_attribute(message: &[u8]) -> Result<Option<(&str, Value<'_>)>, Broken> {
    const KEY: u32 = key(1, LEN);
    const VALUE: u32 = key(2, LEN);
    let mut reader = Reader::new(message);
    let (mut name, mut value) = (&[][..], None);
    while reader.at() < message.len() {
        match reader.key()? {
            KEY => name = reader.delimited()?,
            VALUE => value = read_value(reader.delimited()?)?,
            key => reader.skip_unless(key, 1 << 1 | 1 << 2)?,
        }
    }
    Ok(std::str::from_utf8(name).ok().zip(value))
}

/// `AnyValue`: string (1), bool (2), int (3), double (4).
fn read_value(message: &[u8]) -> Result<Option<Value<'_>>, Broken> {
    const STRING: u32 = key(1, LEN);
    const BOOL: u32 = key(2, VARINT);
    const INT: u32 = key(3, VARINT);
    const DOUBLE: u32 = key(4, FIXED64);
    let mut reader = Reader::new(message);
    let mut value = None;
    while reader.at() < message.len() {
        value = match reader.key()? {
            STRING => std::str::from_utf8(reader.delimited()?).ok().map(Value::Text),
            BOOL => Some(Value::Bool(reader.varint()? != 0)),
            INT => Some(Value::Number(reader.varint()? as i64 as f64)),
            DOUBLE => Some(Value::Number(f64::from_le_bytes(reader.fixed()?))),
            key => {
                reader.skip_unless(key, 0b1_1110)?;
                None
            }
        };
    }
    Ok(value)
}

fn read_span(
    message: &[u8],
    resource: &Resource,
    latest: Nanos,
    out: &mut SpanColumns,
) -> Result<(), Fault> {
    const TRACE_ID: u32 = key(1, LEN);
    const SPAN_ID: u32 = key(2, LEN);
    const TRACE_STATE: u32 = key(3, LEN);
    const PARENT: u32 = key(4, LEN);
    const NAME: u32 = key(5, LEN);
    const KIND: u32 = key(6, VARINT);
    const START: u32 = key(7, FIXED64);
    const END: u32 = key(8, FIXED64);
    const ATTRIBUTE: u32 = key(9, LEN);
    const LINK: u32 = key(13, LEN);
    const STATUS: u32 = key(15, LEN);
    const READ: u64 = 0b1010_0011_1111_1110;
    let mut row = SpanRow { weight_milli: 1_000, ..SpanRow::default() };
    let mut extra = Extra::default();
    let mut links = Vec::new();
    let mut threshold = None;
    let mut span_name = &[][..];
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            TRACE_ID => row.trace = trace_id(reader.delimited()?)?,
            SPAN_ID => row.span = span_id(reader.delimited()?)?,
            TRACE_STATE => {
                threshold = std::str::from_utf8(reader.delimited()?).ok().and_then(weight);
            }
            PARENT => row.parent = span_id(reader.delimited()?)?,
            NAME => {
                let name = reader.delimited()?;
                if FLOW_SPANS.iter().any(|flow| name.starts_with(flow)) {
                    return Err(Fault::Refused(Reject::Derived, "a flow, written as a span"));
                }
                span_name = name;
            }
            KIND => row.kind = kind(reader.varint()?),
            START => row.start = u64::from_le_bytes(reader.fixed()?),
            END => row.end = u64::from_le_bytes(reader.fixed()?),
            ATTRIBUTE => {
                if let Some((name, value)) = read_attribute(reader.delimited()?)? {
                    extra.take(&mut row, out, name, value)?;
                }
            }
            LINK => links.extend(read_link(reader.delimited()?)?),
            STATUS => row.status = read_status(reader.delimited()?)?,
            key => reader.skip_unless(key, READ)?,
        }
    }
    extra.finish(&mut row, out);
    row.operation = operation(&row, span_name, out);
    // The threshold is what the sampler did; an attribute is what somebody wrote of it.
    row.weight_milli = threshold.unwrap_or(row.weight_milli);
    check(&mut row, resource, latest)?;
    out.push(&row, &links);
    Ok(())
}

/// The name of a span, where it is that of an operation (semantic conventions: low cardinality).
fn operation(row: &SpanRow, name: &[u8], out: &mut SpanColumns) -> Text {
    if !matches!(row.kind, SpanKind::Server | SpanKind::Client) {
        return Text::NONE;
    }
    std::str::from_utf8(name).ok().and_then(|name| named(out, name)).unwrap_or_default()
}

/// What no span can be without.
fn check(row: &mut SpanRow, resource: &Resource, latest: Nanos) -> Result<(), Fault> {
    if row.trace.0 == 0 || row.span.0 == 0 {
        return Err(Fault::Refused(Reject::BadField, "no trace id or span id"));
    }
    if row.start == 0 {
        return Err(Fault::Refused(Reject::NoTime, "no start"));
    }
    if row.end < row.start {
        return Err(Fault::Refused(Reject::EndsBeforeStart, "it ends before it starts"));
    }
    if row.end > latest {
        return Err(Fault::Refused(Reject::Future, "it ends in the future"));
    }
    if !resource.name(row) {
        return Err(Fault::Refused(Reject::BadField, "nothing names the service"));
    }
    Ok(())
}

/// 16 bytes, or 8 with zeros in front; none is 0.
fn trace_id(bytes: &[u8]) -> Result<TraceId, Fault> {
    if bytes.len() > 16 {
        return Err(Fault::Refused(Reject::BadField, "a trace id of more than 16 bytes"));
    }
    Ok(TraceId(bytes.iter().fold(0, |id, byte| id << 8 | u128::from(*byte))))
}

fn span_id(bytes: &[u8]) -> Result<SpanId, Fault> {
    if bytes.len() > 8 {
        return Err(Fault::Refused(Reject::BadField, "a span id of more than 8 bytes"));
    }
    Ok(SpanId(bytes.iter().fold(0, |id, byte| id << 8 | u64::from(*byte))))
}

const fn kind(code: u64) -> SpanKind {
    match code {
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Internal,
    }
}

/// `Span.Link`: trace id (1), span id (2).
fn read_link(message: &[u8]) -> Result<Option<(TraceId, SpanId)>, Fault> {
    const TRACE_ID: u32 = key(1, LEN);
    const SPAN_ID: u32 = key(2, LEN);
    let mut reader = Reader::new(message);
    let mut link = (TraceId::default(), SpanId::default());
    while reader.at() < message.len() {
        match reader.key()? {
            TRACE_ID => link.0 = trace_id(reader.delimited()?)?,
            SPAN_ID => link.1 = span_id(reader.delimited()?)?,
            key => reader.skip_unless(key, 0b110)?,
        }
    }
    Ok((link.0.0 != 0 && link.1.0 != 0).then_some(link))
}

/// `Status.code` (3).
fn read_status(message: &[u8]) -> Result<SpanStatus, Broken> {
    const CODE: u32 = key(3, VARINT);
    let mut reader = Reader::new(message);
    let mut code = 0;
    while reader.at() < message.len() {
        match reader.key()? {
            CODE => code = reader.varint()?,
            key => reader.skip_unless(key, 1 << 3)?,
        }
    }
    Ok(match code {
        1 => SpanStatus::Ok,
        2 => SpanStatus::Error,
        _ => SpanStatus::Unset,
    })
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<BadName> for Fault {
    fn from(_: BadName) -> Self {
        Self::Refused(Reject::BadField, "a name of more than 255 bytes, or with control characters")
    }
}
