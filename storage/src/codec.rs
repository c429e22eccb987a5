//! Values: what a row holds, in few bytes.
//!
//! A sum is a head (which counters are not zero, and whether the times are known), then the
//! counters as zig-zag varints, then the times as distances from the start of the window. Of the doubted
//! bytes it has what they are more than others lead to expect: nothing, where a row has one class. A reader
//! returns nothing at the first byte that does not fit, and for bytes left over.

use portolan_model::{Counters, MEASURES, Measure, Nanos, Window};

mod calls;

pub(crate) use calls::{CallSums, put as put_call_sums, take as take_call_sums};

/// What a row holds beside its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) counters: Counters,
    pub(crate) first_ns: Nanos,
    pub(crate) last_ns: Nanos,
}

/// The head has two flags below the counters: first known, last known.
const FLAGS: u32 = 2;

/// Appends an unsigned varint (LEB128): at most 10 bytes.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a varint off the front.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends a signed varint: small magnitudes of either sign are short.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads a signed varint off the front.
pub(crate) fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    let raw = take_varint(bytes)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// Appends a string with its length.
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads a string off the front.
pub(crate) fn take_str<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(take_varint(bytes)?).ok()?;
    let text = bytes.get(..len)?;
    *bytes = &bytes[len..];
    std::str::from_utf8(text).ok()
}

/// Reads a byte off the front.
pub(crate) fn take_u8(bytes: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*byte)
}

/// Appends the sums of a row of `window`.
pub(crate) fn put_sums(out: &mut Vec<u8>, window: Window, sums: &Sums) {
    let counters = told(&sums.counters);
    let counters = counters.as_array();
    let mut head = u64::from(sums.first_ns != Nanos::MAX) | u64::from(sums.last_ns != 0) << 1;
    for (place, sum) in counters.iter().enumerate() {
        head |= u64::from(*sum != 0) << (FLAGS + place as u32);
    }
    put_varint(out, head);
    for sum in counters.iter().filter(|sum| **sum != 0) {
        put_signed(out, *sum);
    }
    if sums.first_ns != Nanos::MAX {
        put_signed(out, sums.first_ns.wrapping_sub(window.start()) as i64);
    }
    if sums.last_ns != 0 {
        put_signed(out, sums.last_ns.wrapping_sub(window.start()) as i64);
    }
}

/// Reads the sums of a row of `window` off the front.
pub(crate) fn take_sums(bytes: &mut &[u8], window: Window) -> Option<Sums> {
    let head = take_varint(bytes)?;
    // A counter that this version does not know would be lost by the next write of the row. A new
    // measure is therefore a new format, which is refused at the door.
    if head >> FLAGS >> MEASURES != 0 {
        return None;
    }
    let mut counters = [0; MEASURES];
    for (place, sum) in counters.iter_mut().enumerate() {
        if head & 1 << (FLAGS + place as u32) != 0 {
            *sum = take_signed(bytes)?;
        }
    }
    let first_ns = if head & 1 == 0 {
        Nanos::MAX
    } else {
        window.start().wrapping_add(take_signed(bytes)? as u64)
    };
    let last_ns =
        if head & 2 == 0 { 0 } else { window.start().wrapping_add(take_signed(bytes)? as u64) };
    Some(Sums { counters: whole(Counters::from_array(counters)), first_ns, last_ns })
}

/// Counters as they are written: the doubted bytes less those expected.
fn told(counters: &Counters) -> Counters {
    let mut told = *counters;
    told[Measure::BytesDoubted] = told[Measure::BytesDoubted].wrapping_sub(told.doubt_expected());
    told
}

/// Counters as they were before [`told`].
fn whole(mut counters: Counters) -> Counters {
    let expected = counters.doubt_expected();
    counters[Measure::BytesDoubted] = counters[Measure::BytesDoubted].wrapping_add(expected);
    counters
}

// === impl Sums ===

impl Sums {
    /// Nothing counted, no time known.
    pub(crate) const ZERO: Self =
        Self { counters: Counters::ZERO, first_ns: Nanos::MAX, last_ns: 0 };
}

#[cfg(test)]
mod tests;
