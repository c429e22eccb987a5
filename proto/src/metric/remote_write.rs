//! Prometheus remote write, versions 1 and 2, as a payload: protobuf, usually compressed with snappy
//! (prometheus.io, "Prometheus Remote-Write Specification").

use std::borrow::Cow;

use portolan_model::{Nanos, Reject};

use super::canon::{Canon, Metric, Point, PointShape, scraped_stream};
use super::labels::{Label, Value};
use super::native::{self, Native};
use crate::Refused;
use crate::wire::{Broken, FIXED64, LEN, Reader, VARINT, key};

/// Symbols of a message of version 2 that are read: more than labels can refer to in 16 MiB.
const MAX_SYMBOLS: usize = 1 << 20;
const MILLI: u64 = 1_000_000;

/// Appends the samples of a message.
pub(super) fn decode(payload: &[u8], max_bytes: usize, canon: &mut Canon<'_>) {
    let message = match plain(payload, max_bytes) {
        Ok(message) => message,
        Err(why) => return (canon.refused)(Refused::new(Reject::TooLarge, why)),
    };
    let walked = read(&message, &mut |_, _| {}).and_then(|()| {
        read(&message, &mut |labels, sample| match sample {
            Sample::Value { value, time, start } => take(labels, value, time, start, canon),
            Sample::Native(native) => take_native(labels, &native, canon),
        })
    });
    if let Err(broken) = walked {
        (canon.refused)(Refused::new(Reject::Undecodable, broken.to_string()));
    }
}

/// The message without its compression, if it has any. Its length stands in front, and is believed no
/// further than the bound.
fn plain(payload: &[u8], max_bytes: usize) -> Result<Cow<'_, [u8]>, String> {
    match snap::raw::decompress_len(payload) {
        Ok(len) if len <= max_bytes => {
            let plain = snap::raw::Decoder::new().decompress_vec(payload);
            Ok(plain.map_or(Cow::Borrowed(payload), Cow::Owned))
        }
        // The first bytes of a plain message may be a large number, too.
        Ok(_) if read(payload, &mut |_, _| {}).is_ok() => Ok(payload.into()),
        Ok(len) => Err(format!("{len} bytes without compression, at most {max_bytes}")),
        Err(_) => Ok(payload.into()),
    }
}

/// What a series has.
enum Sample {
    Value {
        value: f64,
        /// Milliseconds.
        time: i64,
        /// Milliseconds; 0 is unknown.
        start: i64,
    },
    /// A native histogram.
    Native(Native),
}

type Each<'a, 'f> = &'f mut dyn FnMut(&[Label<'a>], Sample);

/// `WriteRequest.timeseries` (1), or `Request.symbols` (4) and `.timeseries` (5).
fn read<'a>(message: &'a [u8], each: Each<'a, '_>) -> Result<(), Broken> {
    const SERIES: u32 = key(1, LEN);
    const SYMBOL: u32 = key(4, LEN);
    const SERIES_2: u32 = key(5, LEN);
    let mut symbols = Vec::new();
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            SYMBOL if symbols.len() < MAX_SYMBOLS => symbols.push(text(reader.delimited()?)),
            key => reader.skip(key)?,
        }
    }
    let mut labels = Vec::new();
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            SERIES => series_1(reader.delimited()?, &mut labels, each)?,
            SERIES_2 => series_2(reader.delimited()?, &symbols, &mut labels, each)?,
            key => reader.skip_unless(key, 0b10_0010)?,
        }
    }
    Ok(())
}

/// `TimeSeries` of version 1: labels (1), samples (2), histograms (4).
fn series_1<'a>(
    message: &'a [u8],
    labels: &mut Vec<Label<'a>>,
    each: Each<'a, '_>,
) -> Result<(), Broken> {
    const LABEL: u32 = key(1, LEN);
    const SAMPLE: u32 = key(2, LEN);
    const NATIVE: u32 = key(4, LEN);
    labels.clear();
    // Labels first, wherever they stand.
    for is_labels in [true, false] {
        let mut reader = Reader::new(message);
        while reader.at() < message.len() {
            match (reader.key()?, is_labels) {
                (LABEL, true) => labels.push(label(reader.delimited()?)?),
                (SAMPLE, false) => {
                    let (value, time, start) = sample(reader.delimited()?)?;
                    each(labels, Sample::Value { value, time, start });
                }
                (NATIVE, false) => {
                    each(labels, Sample::Native(native::read(reader.delimited()?)?));
                }
                (key, _) => reader.skip(key)?,
            }
        }
    }
    Ok(())
}

/// `TimeSeries` of version 2: references to names and values (1, packed), samples (2), histograms (3),
/// when it was created (6).
fn series_2<'a>(
    message: &'a [u8],
    symbols: &[&'a str],
    labels: &mut Vec<Label<'a>>,
    each: Each<'a, '_>,
) -> Result<(), Broken> {
    const REFS: u32 = key(1, LEN);
    const REF: u32 = key(1, VARINT);
    const SAMPLE: u32 = key(2, LEN);
    const NATIVE: u32 = key(3, LEN);
    const CREATED: u32 = key(6, VARINT);
    labels.clear();
    let (mut refs, mut created) = (Vec::new(), 0);
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            REFS => {
                let packed = reader.delimited()?;
                let mut inner = Reader::new(packed);
                while inner.at() < packed.len() {
                    refs.push(inner.varint()?);
                }
            }
            REF => refs.push(reader.varint()?),
            CREATED => created = reader.varint()? as i64,
            key => reader.skip(key)?,
        }
    }
    let said = |place: u64| symbols.get(place as usize).copied().unwrap_or_default();
    let pairs = refs.chunks_exact(2);
    labels.extend(pairs.map(|pair| (said(pair[0]), Value::Text(said(pair[1])))));
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            SAMPLE => {
                let (value, time, start) = sample(reader.delimited()?)?;
                let start = if start == 0 { created } else { start };
                each(labels, Sample::Value { value, time, start });
            }
            NATIVE => {
                let mut native = native::read(reader.delimited()?)?;
                if native.start == 0 {
                    native.start = created;
                }
                each(labels, Sample::Native(native));
            }
            key => reader.skip(key)?,
        }
    }
    Ok(())
}

/// `Label`: name (1), value (2).
fn label(message: &[u8]) -> Result<Label<'_>, Broken> {
    const NAME: u32 = key(1, LEN);
    const VALUE: u32 = key(2, LEN);
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            NAME => name = text(reader.delimited()?),
            VALUE => value = text(reader.delimited()?),
            key => reader.skip_unless(key, 0b110)?,
        }
    }
    Ok((name, Value::Text(value)))
}

/// `Sample`: value (1), time (2), and in version 2 since when it counts (3).
fn sample(message: &[u8]) -> Result<(f64, i64, i64), Broken> {
    const VALUE: u32 = key(1, FIXED64);
    const TIME: u32 = key(2, VARINT);
    const START: u32 = key(3, VARINT);
    let mut found = (0.0, 0, 0);
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            VALUE => found.0 = f64::from_le_bytes(reader.fixed()?),
            TIME => found.1 = reader.varint()? as i64,
            START => found.2 = reader.varint()? as i64,
            key => reader.skip_unless(key, 0b1110)?,
        }
    }
    Ok(found)
}

/// What is not UTF-8 is no label of ours.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// A native histogram is all of a histogram in one.
fn take_native(labels: &[Label<'_>], native: &Native, canon: &mut Canon<'_>) {
    let Some(name) = name(labels) else {
        canon.out.other += 1;
        return;
    };
    // A sum that is no number marks the end of a series, or has seen one.
    if !canon.knows(name) || native.is_gauge || native.sum.is_nan() {
        canon.out.other += 1;
        return;
    }
    let point = Point {
        time: nanos(native.time),
        start: nanos(native.start),
        count: Some(native.count),
        sum: Some(native.sum),
        shape: native.shape,
        buckets: &native.buckets,
        ..Point::default()
    };
    put(name, labels, &point, canon);
}

fn name<'a>(labels: &[Label<'a>]) -> Option<&'a str> {
    match labels.iter().find(|(key, _)| *key == "__name__") {
        Some((_, Value::Text(name))) => Some(*name),
        _ => None,
    }
}

fn nanos(milli: i64) -> Nanos {
    u64::try_from(milli).unwrap_or(0).saturating_mul(MILLI)
}

/// A sample is a counter, or a part of a histogram by the end of its name.
fn take(labels: &[Label<'_>], value: f64, time: i64, start: i64, canon: &mut Canon<'_>) {
    let Some(name) = name(labels) else {
        canon.out.other += 1;
        return;
    };
    // A value that is no number marks the end of a series.
    if !canon.knows(name) || value.is_nan() {
        canon.out.other += 1;
        return;
    }
    let mut point = Point { time: nanos(time), start: nanos(start), ..Point::default() };
    let le = labels.iter().find(|(key, _)| *key == "le").map(|(_, value)| value.text());
    let bucket;
    if let (true, Some(le)) = (name.ends_with("_bucket"), le) {
        let Ok(upper) = le.parse::<f64>() else {
            let why = format!("{name}: le={le:?} is no number");
            return (canon.refused)(Refused::new(Reject::BadField, why));
        };
        bucket = [(upper, value.max(0.0) as u64)];
        (point.shape, point.buckets) = (PointShape::Upto, &bucket);
    } else if name.ends_with("_sum") {
        point.sum = Some(value);
    } else if name.ends_with("_count") {
        // Of bytes, the sum is asked for, and this is none.
        (point.count, point.shape) = (Some(value), PointShape::Upto);
    } else {
        point.count = Some(value);
    }
    put(name, labels, &point, canon);
}

fn put(name: &str, labels: &[Label<'_>], point: &Point<'_>, canon: &mut Canon<'_>) {
    let resource: Vec<Label<'_>> =
        labels.iter().filter(|(key, _)| *key != "__name__").copied().collect();
    let metric = Metric {
        name,
        unit: "",
        resource: &resource,
        stream: scraped_stream(&resource),
        skip: "le",
    };
    canon.take(metric, &[], point);
}
