//! One column of numbers: the distance of each from the least, in as few bits as most of them need;
//! the few that need more stand apart.
//!
//! Width (u8), least (signed), number of exceptions (varint); each exception as the distance of its place
//! from the one before and its number (varints); then the bits.

use super::bits::{BitWriter, get};
use crate::codec::{put_signed, put_varint, take_signed, take_u8, take_varint};

/// Appends a column.
pub(super) fn put(out: &mut Vec<u8>, values: &[i64]) {
    let least = values.iter().copied().min().unwrap_or(0);
    // Wrapping, as the range may be wider than a signed number.
    let above = |value: &i64| value.wrapping_sub(least) as u64;
    let width = best_width(values.iter().map(above));
    let fits = |number: u64| width >= 64 || number >> width == 0;
    out.push(width as u8);
    put_signed(out, least);
    let apart = || values.iter().map(above).enumerate().filter(|(_, number)| !fits(*number));
    put_varint(out, apart().count() as u64);
    let mut before = 0;
    for (place, number) in apart() {
        put_varint(out, (place - before) as u64);
        put_varint(out, number);
        before = place;
    }
    let mut bits = BitWriter::default();
    for value in values {
        let number = above(value);
        bits.put(if fits(number) { number } else { 0 }, width);
    }
    out.extend_from_slice(&bits.finish());
}

/// Reads a column of `len` numbers off the front.
pub(super) fn take(at: &mut &[u8], len: usize, values: &mut Vec<i64>) -> Option<()> {
    values.clear();
    let width = u32::from(take_u8(at)?);
    let least = take_signed(at)?;
    let apart = take_varint(at)?;
    if width > 64 || apart > len as u64 {
        return None;
    }
    let mut exceptions = Vec::with_capacity(apart as usize);
    let mut place = 0_usize;
    for _ in 0..apart {
        place = place.checked_add(usize::try_from(take_varint(at)?).ok()?)?;
        if place >= len {
            return None;
        }
        exceptions.push((place, take_varint(at)?));
    }
    let bytes = (len * width as usize).div_ceil(8);
    let (bits, rest) = at.split_at_checked(bytes)?;
    *at = rest;
    if width == 0 {
        values.resize(len, least);
    } else {
        let step = width as usize;
        values.extend((0..len).map(|n| least.wrapping_add(get(bits, n * step, width) as i64)));
    }
    for (place, number) in exceptions {
        values[place] = least.wrapping_add(number as i64);
    }
    Some(())
}

/// The width with the fewest bits in all.
fn best_width(numbers: impl Iterator<Item = u64>) -> u32 {
    let mut of_len = [0_u64; 65];
    let mut count = 0;
    for number in numbers {
        of_len[(64 - number.leading_zeros()) as usize] += 1;
        count += 1;
    }
    // What an exception costs: its place, and its number in groups of seven bits.
    let cost = |len: usize| 12 + 8 * (len as u64).div_ceil(7);
    let total = |width: usize| {
        let apart: u64 = (width + 1..=64).map(|len| of_len[len] * cost(len)).sum();
        count * width as u64 + apart
    };
    (0..=64).min_by_key(|width| total(*width)).unwrap_or(64) as u32
}
