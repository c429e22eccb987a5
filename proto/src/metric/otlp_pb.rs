//! OTLP metrics as protobuf (`opentelemetry/proto/metrics/v1`), read in place.

use portolan_model::Reject;

use super::canon::{Canon, Metric, Point, PointShape, stream};
use super::labels::{Label, Value};
use crate::Refused;
use crate::wire::{Broken, FIXED64, LEN, Reader, VARINT, key, zigzag};

/// `AGGREGATION_TEMPORALITY_DELTA` and `_CUMULATIVE`.
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;
/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`: the series has ended, and the point says nothing.
const NO_VALUE: u64 = 1;
/// Buckets of a point that are read: exporters are told 160 at most by default, bounds are dozens.
const MAX_BUCKETS: usize = 4_096;
/// Scales of exponential histograms (OpenTelemetry's data model).
const SCALES: std::ops::RangeInclusive<i64> = -10..=20;

/// Memory that points share.
#[derive(Default)]
struct Scratch<'a> {
    labels: Vec<Label<'a>>,
    counts: Vec<u64>,
    bounds: Vec<f64>,
    buckets: Vec<(f64, u64)>,
}

/// Appends the points of an `ExportMetricsServiceRequest` (or `MetricsData`: the same bytes).
pub(super) fn decode(payload: &[u8], canon: &mut Canon<'_>) {
    // Once to see that it is whole, once to take: what stands before a break is not to be trusted.
    let walked = each_metric(payload, &mut |_, _, _| Ok(()));
    let walked = walked.and_then(|()| {
        let mut scratch = Scratch::default();
        each_metric(payload, &mut |resource, scope, metric| {
            let read = read_metric(resource, scope, metric, &mut scratch, canon);
            if let Err(broken) = read {
                (canon.refused)(Refused::new(Reject::Undecodable, broken.to_string()));
            }
            Ok(())
        })
    });
    if let Err(broken) = walked {
        (canon.refused)(Refused::new(Reject::Undecodable, broken.to_string()));
    }
}

type EachMetric<'a, 'f> = &'f mut dyn FnMut(&[Label<'a>], &'a str, &'a [u8]) -> Result<(), Broken>;

/// `.resource_metrics` (1): `.resource` (1), `.scope_metrics` (2): `.scope` (1), `.metrics` (2).
fn each_metric<'a>(payload: &'a [u8], each: EachMetric<'a, '_>) -> Result<(), Broken> {
    let mut resource = Vec::new();
    each_field(payload, key(1, LEN), &mut |of| {
        resource.clear();
        each_field(of, key(1, LEN), &mut |said| {
            each_field(said, key(1, LEN), &mut |label| {
                resource.extend(read_label(label)?);
                Ok(())
            })
        })?;
        each_field(of, key(2, LEN), &mut |scope| {
            let mut name = "";
            each_field(scope, key(1, LEN), &mut |said| {
                each_field(said, key(1, LEN), &mut |said| {
                    name = std::str::from_utf8(said).unwrap_or_default();
                    Ok(())
                })
            })?;
            each_field(scope, key(2, LEN), &mut |metric| each(&resource, name, metric))
        })
    })
}

type Each<'a, 'f> = &'f mut dyn FnMut(&'a [u8]) -> Result<(), Broken>;

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
fn read_label(message: &[u8]) -> Result<Option<Label<'_>>, Broken> {
    const KEY: u32 = key(1, LEN);
    const VALUE: u32 = key(2, LEN);
    let mut reader = Reader::new(message);
    let (mut name, mut value) = (&[][..], None);
    while reader.at() < message.len() {
        match reader.key()? {
            KEY => name = reader.delimited()?,
            VALUE => value = read_value(reader.delimited()?)?,
            key => reader.skip_unless(key, 0b110)?,
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
            INT => Some(Value::Int(reader.varint()? as i64)),
            DOUBLE => Some(Value::Double(f64::from_le_bytes(reader.fixed()?))),
            key => {
                reader.skip_unless(key, 0b1_1110)?;
                None
            }
        };
    }
    Ok(value)
}

/// How a metric keeps its points.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Form {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

/// `Metric`: name (1), unit (3), and one of gauge (5), sum (7), histogram (9), exponential histogram
/// (10), summary (11).
fn read_metric<'a>(
    resource: &[Label<'a>],
    scope: &str,
    message: &'a [u8],
    scratch: &mut Scratch<'a>,
    canon: &mut Canon<'_>,
) -> Result<(), Broken> {
    const NAME: u32 = key(1, LEN);
    const UNIT: u32 = key(3, LEN);
    let mut reader = Reader::new(message);
    let (mut name, mut unit, mut data) = ("", "", None);
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    while reader.at() < message.len() {
        let form = match reader.key()? {
            NAME => {
                name = text(reader.delimited()?);
                continue;
            }
            UNIT => {
                unit = text(reader.delimited()?);
                continue;
            }
            of if of == key(5, LEN) => Form::Gauge,
            of if of == key(7, LEN) => Form::Sum,
            of if of == key(9, LEN) => Form::Histogram,
            of if of == key(10, LEN) => Form::Exponential,
            of if of == key(11, LEN) => Form::Summary,
            key => {
                reader.skip_unless(key, 0b1110_1010_1010)?;
                continue;
            }
        };
        data = Some((form, reader.delimited()?));
    }
    let Some((form, data)) = data else { return Ok(()) };
    let is_known = canon.knows(name);
    let metric = Metric {
        name,
        unit,
        resource,
        stream: if is_known { stream(resource, scope) } else { 0 },
        skip: "",
    };
    let temporality = temporality(form, data)?;
    each_field(data, key(1, LEN), &mut |message| {
        if !is_known {
            canon.out.other += 1;
            return Ok(());
        }
        let Some(delta) = temporality else {
            let why = format!("{name}: neither delta nor cumulative");
            (canon.refused)(Refused::new(Reject::BadField, why));
            return Ok(());
        };
        match read_point(form, message, scratch)? {
            Some(point) => {
                let point = Point { delta, buckets: &scratch.buckets, ..point };
                canon.take(metric, &scratch.labels, &point);
            }
            // It says that the series has ended.
            None => canon.out.other += 1,
        }
        Ok(())
    })
}

/// Whether points are deltas: aggregation temporality is (2) of a sum and a histogram. A gauge is a
/// reading, and a summary counts since a start.
fn temporality(form: Form, data: &[u8]) -> Result<Option<bool>, Broken> {
    const TEMPORALITY: u32 = key(2, VARINT);
    match form {
        Form::Gauge => return Ok(Some(true)),
        Form::Summary => return Ok(Some(false)),
        Form::Sum | Form::Histogram | Form::Exponential => {}
    }
    let mut reader = Reader::new(data);
    let mut said = 0;
    while reader.at() < data.len() {
        match reader.key()? {
            TEMPORALITY => said = reader.varint()?,
            key => reader.skip_unless(key, 1 << 2)?,
        }
    }
    Ok(match said {
        DELTA => Some(true),
        CUMULATIVE => Some(false),
        _ => None,
    })
}

/// A point of any form; nothing if it has no value. Labels and buckets are left in the scratch.
fn read_point<'a>(
    form: Form,
    message: &'a [u8],
    scratch: &mut Scratch<'a>,
) -> Result<Option<Point<'static>>, Broken> {
    // Field numbers that differ: (count, sum, labels, flags).
    let (count, sum, labels, flags) = match form {
        Form::Gauge | Form::Sum => (0, 0, 7, 8),
        Form::Histogram => (4, 5, 9, 10),
        Form::Exponential => (4, 5, 1, 10),
        Form::Summary => (4, 5, 7, 8),
    };
    let is_number = matches!(form, Form::Gauge | Form::Sum);
    let Scratch { labels: found, counts, bounds, buckets } = scratch;
    found.clear();
    counts.clear();
    bounds.clear();
    buckets.clear();
    let mut point = Point::default();
    let (mut scale, mut zero, mut positive, mut said) = (0, 0, None, 0);
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        let key = reader.key()?;
        match (key >> 3, key & 7) {
            (2, FIXED64) => point.start = u64::from_le_bytes(reader.fixed()?),
            (3, FIXED64) => point.time = u64::from_le_bytes(reader.fixed()?),
            (4, FIXED64) if is_number => point.count = Some(f64::from_le_bytes(reader.fixed()?)),
            (6, FIXED64) if is_number => {
                point.count = Some(i64::from_le_bytes(reader.fixed()?) as f64);
            }
            (n, LEN) if n == labels => found.extend(read_label(reader.delimited()?)?),
            (n, VARINT) if n == flags => said = reader.varint()?,
            (n, FIXED64) if n == count && !is_number => {
                point.count = Some(u64::from_le_bytes(reader.fixed()?) as f64);
            }
            (n, FIXED64) if n == sum && !is_number => {
                point.sum = Some(f64::from_le_bytes(reader.fixed()?));
            }
            (6, LEN) if form == Form::Histogram => {
                words(reader.delimited()?, &mut |word| push(counts, u64::from_le_bytes(word)))?;
            }
            (6, FIXED64) if form == Form::Histogram => {
                push(counts, u64::from_le_bytes(reader.fixed()?));
            }
            (7, LEN) if form == Form::Histogram => {
                words(reader.delimited()?, &mut |word| push(bounds, f64::from_le_bytes(word)))?;
            }
            (7, FIXED64) if form == Form::Histogram => {
                push(bounds, f64::from_le_bytes(reader.fixed()?));
            }
            (6, VARINT) if form == Form::Exponential => scale = zigzag(reader.varint()?),
            (7, FIXED64) if form == Form::Exponential => {
                zero = u64::from_le_bytes(reader.fixed()?);
            }
            (8, LEN) if form == Form::Exponential => positive = Some(reader.delimited()?),
            _ => reader.skip(key)?,
        }
    }
    if said & NO_VALUE != 0 {
        return Ok(None);
    }
    match form {
        Form::Histogram if counts.len() == bounds.len() + 1 => {
            let upper = bounds.iter().copied().chain([f64::INFINITY]);
            // Empty ones, too: each bound is the lower end of the next.
            buckets.extend(upper.zip(counts.iter().copied()));
            point.shape = PointShape::Bounds;
        }
        Form::Exponential if SCALES.contains(&scale) => {
            if zero > 0 {
                buckets.push((f64::NEG_INFINITY, zero));
            }
            if let Some(positive) = positive {
                read_buckets(positive, buckets)?;
            }
            point.shape = PointShape::Scale(scale as i8);
        }
        _ => {}
    }
    Ok(Some(point))
}

/// `Buckets`: offset (1, zigzag), bucket counts (2, packed varints).
fn read_buckets(message: &[u8], out: &mut Vec<(f64, u64)>) -> Result<(), Broken> {
    const OFFSET: u32 = key(1, VARINT);
    const COUNTS: u32 = key(2, LEN);
    const COUNT: u32 = key(2, VARINT);
    let mut counts = Vec::new();
    let mut offset = 0_i64;
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            OFFSET => offset = zigzag(reader.varint()?),
            COUNTS => {
                let packed = reader.delimited()?;
                let mut inner = Reader::new(packed);
                while inner.at() < packed.len() {
                    push(&mut counts, inner.varint()?);
                }
            }
            COUNT => push(&mut counts, reader.varint()?),
            key => reader.skip_unless(key, 0b110)?,
        }
    }
    let indexed = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
    out.extend(indexed.map(|(at, count)| ((offset + at as i64) as f64, count)));
    Ok(())
}

fn words(packed: &[u8], each: &mut dyn FnMut([u8; 8])) -> Result<(), Broken> {
    let mut reader = Reader::new(packed);
    while reader.at() < packed.len() {
        each(reader.fixed()?);
    }
    Ok(())
}

/// Appends, up to the bound: a point with more has no whole shape, and is taken without.
fn push<T>(to: &mut Vec<T>, value: T) {
    if to.len() <= MAX_BUCKETS {
        to.push(value);
    }
}
