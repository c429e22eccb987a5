//! A column of sparse histograms: a stream of bits, and how far each sum lies from what its buckets say.
//!
//! Each histogram: the number of its buckets + 1, the first bucket (11 bits: there are 1,920), each next one as its
//! distance, and each count as zig-zag, all in gamma codes. A duration is within 1.6 % of the middle of its
//! bucket, so that the sum, which is exact, takes few bits beside.

use portolan_model::Latency;

use super::bits::{BitReader, BitWriter};
use super::column;
use crate::codec::{put_varint, take_varint};

const BUCKET_BITS: u32 = 11;

/// Appends a column.
pub(super) fn put<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = &'a Latency>) {
    let mut bits = BitWriter::default();
    let mut rests = Vec::new();
    for latency in rows {
        let buckets = latency.buckets();
        bits.put_gamma(buckets.len() as u64 + 1);
        let mut before = None;
        for (bucket, count) in buckets {
            match before {
                None => bits.put(u64::from(*bucket), BUCKET_BITS),
                Some(before) => bits.put_gamma(u64::from(bucket - before)),
            }
            // Never zero, so the zig-zag form is above it, but for the least number of all.
            bits.put_gamma((((count << 1) ^ (count >> 63)) as u64).max(1));
            before = Some(*bucket);
        }
        rests.push(latency.sum_ns().wrapping_sub(estimate(buckets)));
    }
    let bits = bits.finish();
    put_varint(out, bits.len() as u64);
    out.extend_from_slice(&bits);
    column::put(out, &rests);
}

/// Reads a column of `len` histograms off the front.
pub(super) fn take(
    at: &mut &[u8],
    len: usize,
    scratch: &mut Vec<i64>,
    mut each: impl FnMut(usize, &Latency),
) -> Option<()> {
    let bytes = usize::try_from(take_varint(at)?).ok()?;
    let (bits, rest) = at.split_at_checked(bytes)?;
    *at = rest;
    column::take(at, len, scratch)?;
    let mut bits = BitReader::new(bits, 0);
    let mut buckets: Vec<(u16, i64)> = Vec::new();
    for (row, rest) in scratch.iter().enumerate() {
        buckets.clear();
        let mut bucket = 0_u16;
        for at in 1..bits.take_gamma()? {
            bucket = match at {
                1 => bits.take(BUCKET_BITS)? as u16,
                _ => bucket.checked_add(bits.take_gamma()?.try_into().ok()?)?,
            };
            let raw = bits.take_gamma()?;
            buckets.push((bucket, (raw >> 1) as i64 ^ -((raw & 1) as i64)));
        }
        let sum_ns = estimate(&buckets).wrapping_add(*rest);
        if !buckets.is_empty() || sum_ns != 0 {
            each(row, &Latency::from_parts(buckets.iter().copied(), sum_ns));
        }
    }
    Some(())
}

fn estimate(buckets: &[(u16, i64)]) -> i64 {
    buckets.iter().fold(0, |sum: i64, (bucket, count)| {
        sum.wrapping_add((Latency::middle(*bucket) as i64).wrapping_mul(*count))
    })
}
