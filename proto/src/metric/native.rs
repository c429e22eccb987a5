//! Native histograms of Prometheus (`prometheus.Histogram`, alike in both versions of remote write).
//!
//! Bucket `i` of schema `s` ends at 2^(i · 2^-s): it is the bucket `i - 1` of OTLP's exponential
//! histogram of that scale, which begins there. With custom bounds (schema -53) it is a histogram like
//! any other.

use super::canon::PointShape;
use crate::wire::{Broken, FIXED64, LEN, Reader, VARINT, key, zigzag};

/// Schemas whose buckets grow exponentially.
const EXPONENTIAL: std::ops::RangeInclusive<i64> = -4..=8;
const CUSTOM: i64 = -53;
/// `ResetHint.GAUGE`: it counts nothing.
const GAUGE: u64 = 3;
/// The most bounds that are read: Prometheus itself takes 160 buckets by default.
const MAX_BOUNDS: usize = 10_000;

/// A native histogram.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Native {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) shape: PointShape,
    /// Upper bound (or index) and count.
    pub(super) buckets: Vec<(f64, u64)>,
    /// Milliseconds.
    pub(super) time: i64,
    /// Milliseconds; 0 is unknown.
    pub(super) start: i64,
    /// It is a gauge.
    pub(super) is_gauge: bool,
}

/// Which buckets there are, and what they count.
#[derive(Default)]
struct Parts {
    spans: Vec<(i64, u64)>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
    bounds: Vec<f64>,
}

/// `Histogram`: count (1, 2), sum (3), schema (4), count around zero (6, 7), positive spans (11), their
/// counts as differences (12) or as they are (13), reset hint (14), time (15), bounds (16), start (17).
/// What is negative is no duration, and is left out.
pub(super) fn read(message: &[u8]) -> Result<Native, Broken> {
    let (mut native, mut parts) = (Native::default(), Parts::default());
    let (mut schema, mut zero) = (0, 0);
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        let tag = reader.key()?;
        match (tag >> 3, tag & 7) {
            (1, VARINT) => native.count = reader.varint()? as f64,
            (2, FIXED64) => native.count = f64::from_le_bytes(reader.fixed()?),
            (3, FIXED64) => native.sum = f64::from_le_bytes(reader.fixed()?),
            (4, VARINT) => schema = zigzag(reader.varint()?),
            (6, VARINT) => zero = reader.varint()?,
            (7, FIXED64) => zero = whole(f64::from_le_bytes(reader.fixed()?)),
            (11, LEN) => parts.spans.push(span(reader.delimited()?)?),
            (12, LEN) => packed(reader.delimited()?, |of| {
                parts.deltas.push(zigzag_64(of.varint()?));
                Ok(())
            })?,
            (12, VARINT) => parts.deltas.push(zigzag_64(reader.varint()?)),
            (13, LEN) => doubles(reader.delimited()?, &mut parts.counts)?,
            (13, FIXED64) => parts.counts.push(f64::from_le_bytes(reader.fixed()?)),
            (14, VARINT) => native.is_gauge = reader.varint()? == GAUGE,
            (15, VARINT) => native.time = reader.varint()? as i64,
            (16, LEN) => doubles(reader.delimited()?, &mut parts.bounds)?,
            (16, FIXED64) => parts.bounds.push(f64::from_le_bytes(reader.fixed()?)),
            (17, VARINT) => native.start = reader.varint()? as i64,
            _ => reader.skip(tag)?,
        }
    }
    if EXPONENTIAL.contains(&schema) {
        native.shape = PointShape::Scale(schema as i8);
        if zero > 0 {
            native.buckets.push((f64::NEG_INFINITY, zero));
        }
        let found = parts.buckets().into_iter().filter(|(_, count)| *count > 0);
        native.buckets.extend(found.map(|(at, count)| ((at - 1) as f64, count)));
    } else if schema == CUSTOM && parts.bounds.len() <= MAX_BOUNDS {
        native.shape = PointShape::Bounds;
        let upper = parts.bounds.iter().copied().chain([f64::INFINITY]);
        native.buckets = upper.map(|upper| (upper, 0)).collect();
        for (at, count) in parts.buckets() {
            let bucket = usize::try_from(at).ok().and_then(|at| native.buckets.get_mut(at));
            if let Some((_, counted)) = bucket {
                *counted = count;
            }
        }
    }
    Ok(native)
}

// === impl Parts ===

impl Parts {
    /// Every bucket that is there by its index, with its count.
    fn buckets(&self) -> Vec<(i64, u64)> {
        let mut sum = 0_i64;
        let by_deltas = self.deltas.iter().map(|delta| {
            sum = sum.saturating_add(*delta);
            u64::try_from(sum).unwrap_or(0)
        });
        let mut counts = by_deltas.chain(self.counts.iter().copied().map(whole));
        let (mut found, mut at) = (Vec::new(), 0_i64);
        for (offset, length) in &self.spans {
            at = at.saturating_add(*offset);
            for _ in 0..*length {
                // A span cannot be longer than what there are counts for.
                let Some(count) = counts.next() else { return found };
                found.push((at, count));
                at = at.saturating_add(1);
            }
        }
        found
    }
}

/// `BucketSpan`: how far after the one before (1, zigzag), how many (2).
fn span(message: &[u8]) -> Result<(i64, u64), Broken> {
    const OFFSET: u32 = key(1, VARINT);
    const LENGTH: u32 = key(2, VARINT);
    let mut found = (0, 0);
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        match reader.key()? {
            OFFSET => found.0 = zigzag(reader.varint()?),
            LENGTH => found.1 = reader.varint()?,
            key => reader.skip_unless(key, 0b110)?,
        }
    }
    Ok(found)
}

fn doubles(message: &[u8], out: &mut Vec<f64>) -> Result<(), Broken> {
    packed(message, |of| {
        out.push(f64::from_le_bytes(of.fixed()?));
        Ok(())
    })
}

fn packed(
    message: &[u8],
    mut each: impl FnMut(&mut Reader<'_>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        each(&mut reader)?;
    }
    Ok(())
}

/// A count that is written as a fraction.
fn whole(count: f64) -> u64 {
    count.max(0.0).round() as u64
}

const fn zigzag_64(word: u64) -> i64 {
    (word >> 1) as i64 ^ -((word & 1) as i64)
}
