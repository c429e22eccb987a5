//! Jaeger's `api_v2.Span` as protobuf's JSON: one span a message, its process inside, ids in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portolan_model::{Nanos, Reject, SpanColumns, SpanId, TraceId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::attributes::Value;
use super::jaeger::{Parts, Reference};
use super::plain::{Fault, Plain, each_span, hex, number};
use crate::Refused;
use crate::json::{NumberOr, Text};
use crate::time::rfc3339;

/// Units of a duration: protobuf's JSON has seconds, Go's own has the others as well.
const UNITS: [(&str, f64); 5] = [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the format")]
struct Span<'a> {
    #[serde(borrow)]
    trace_id: Text<'a>,
    #[serde(borrow)]
    span_id: Text<'a>,
    #[serde(borrow)]
    operation_name: Text<'a>,
    #[serde(borrow)]
    references: Option<Vec<Referred<'a>>>,
    #[serde(borrow)]
    start_time: Text<'a>,
    #[serde(borrow)]
    duration: Text<'a>,
    #[serde(borrow)]
    tags: Option<Vec<Tag<'a>>>,
    #[serde(borrow)]
    process: Option<Process<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Referred<'a> {
    #[serde(borrow)]
    trace_id: Text<'a>,
    #[serde(borrow)]
    span_id: Text<'a>,
    #[serde(borrow)]
    ref_type: NumberOr<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Process<'a> {
    #[serde(borrow)]
    service_name: Text<'a>,
    #[serde(borrow)]
    tags: Option<Vec<Tag<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tag<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    v_type: NumberOr<'a>,
    #[serde(borrow)]
    v_str: Text<'a>,
    v_bool: Option<bool>,
    /// 64-bit numbers are text in protobuf's JSON.
    #[serde(borrow)]
    v_int64: Option<&'a RawValue>,
    v_float64: Option<f64>,
}

/// Appends the span of a message.
pub(super) fn decode(
    payload: &[u8],
    latest: Nanos,
    out: &mut SpanColumns,
    refused: &mut dyn FnMut(Refused),
) {
    each_span(payload, refused, |span: &Span<'_>| parts(span)?.put(latest, out));
}

fn parts<'a>(span: &'a Span<'_>) -> Result<Parts<'a>, Fault> {
    let references = span.references.iter().flatten().map(|it| {
        Ok(Reference {
            trace: TraceId(id(&it.trace_id, 16)?),
            span: SpanId(id(&it.span_id, 8)? as u64),
            follows: match &it.ref_type {
                NumberOr::Number(number) => number.0 == 1,
                NumberOr::Text(word) => &**word == "FOLLOWS_FROM",
            },
        })
    });
    let start = rfc3339(&span.start_time).ok_or((Reject::NoTime, "no start"))?;
    let duration = duration(&span.duration).ok_or((Reject::BadField, "a duration that is none"))?;
    let process = span.process.as_ref();
    let resource = process.and_then(|it| it.tags.as_ref()).into_iter().flatten();
    Ok(Parts {
        plain: Plain {
            trace: TraceId(id(&span.trace_id, 16)?),
            span: SpanId(id(&span.span_id, 8)? as u64),
            name: &span.operation_name,
            start,
            resource: resource.filter_map(Tag::read).collect(),
            attributes: span.tags.iter().flatten().filter_map(Tag::read).collect(),
            ..Plain::default()
        },
        references: references.collect::<Result<_, Fault>>()?,
        service: process.map_or("", |it| &it.service_name),
        duration,
    })
}

impl Tag<'_> {
    fn read(&self) -> Option<(&str, Value<'_>)> {
        let kind = match &self.v_type {
            NumberOr::Number(number) => number.0,
            NumberOr::Text(word) => match &**word {
                "" | "STRING" => 0,
                "BOOL" => 1,
                "INT64" => 2,
                "FLOAT64" => 3,
                _ => return None,
            },
        };
        let value = match kind {
            0 => Value::Text(&self.v_str),
            1 => Value::Bool(self.v_bool.unwrap_or(false)),
            2 => Value::Number(self.v_int64.map_or(Some(0.0), whole)?),
            3 => Value::Number(self.v_float64.unwrap_or(0.0)),
            _ => return None,
        };
        Some((&self.key, value))
    }
}

fn whole(value: &RawValue) -> Option<f64> {
    value.get().trim_matches('"').parse::<i64>().ok().map(|number| number as f64)
}

/// An id of at most `bytes`: base64, as protobuf's JSON has bytes, or hexadecimal, which no base64 of
/// as many bytes is as long as.
fn id(text: &str, bytes: usize) -> Result<u128, Fault> {
    const WRONG: Fault = (Reject::BadField, "an id that is neither base64 nor hexadecimal");
    if matches!(text.len(), 0 | 16 | 32) {
        return hex(text, 2 * bytes);
    }
    let read = STANDARD.decode(text).map_err(|_| WRONG)?;
    if read.len() > bytes { Err(WRONG) } else { Ok(number(&read)) }
}

/// A number and its unit; absent is 0.
fn duration(text: &str) -> Option<Nanos> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == &text[digits.len()..])?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let whole: u64 = whole.parse().ok()?;
    let is_digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: f64 = is_digits.then(|| format!("0.{fraction}").parse().ok())??;
    whole.checked_mul(*unit as u64)?.checked_add((fraction * unit).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_one_unit() {
        let read = ["5000ns", "0.000005s", "1.5ms", "2µs", "100s", ""].map(duration);
        assert_eq!(read, [5_000, 5_000, 1_500_000, 2_000, 100_000_000_000, 0].map(Some));
        assert_eq!(["5", "-1s", "1.s", "1m2s", "s", "1e3s"].map(duration), [None; 6]);
    }
}
