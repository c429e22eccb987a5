//! One column of numbers: the distance of each from the least, in as few bits as most of them need;
//! the few that need more stand apart.
//!
//! Width (u8), least (signed), number of exceptions (varint); each exception as the distance of its place
//! from the one before and its number (varints); then the bits.

use super::bits::{BitWriter, get, low, unpack};
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

/// Reads a column of `len` numbers off the front. No number is farther from zero than the one that comes back.
pub(super) fn take(at: &mut &[u8], len: usize, values: &mut Vec<i64>) -> Option<u64> {
    let width = u32::from(take_u8(at)?);
    let least = take_signed(at)?;
    let apart = take_varint(at)?;
    if width > 64 || apart > len as u64 {
        return None;
    }
    let exceptions = *at;
    let mut most = least.unsigned_abs().saturating_add(low(width));
    let mut place = 0;
    for _ in 0..apart {
        let (_, number) = take_exception(at, least, &mut place)?;
        most = most.max(number.unsigned_abs());
    }
    let bits = *at;
    (_, *at) = at.split_at_checked((len * width as usize).div_ceil(8))?;
    values.resize(len, 0);
    unpack(bits, width, least, values);
    let (mut again, mut place) = (exceptions, 0);
    for _ in 0..apart {
        let (place, number) = take_exception(&mut again, least, &mut place)?;
        *values.get_mut(place)? = number;
    }
    Some(most)
}

/// Reads some of a column of `len` numbers off the front, by their places in order: numbers of one width are found
/// without reading those before. No number of the column is farther from zero than the one that comes back.
pub(super) fn take_some(
    at: &mut &[u8],
    len: usize,
    places: &[usize],
    values: &mut Vec<i64>,
) -> Option<u64> {
    let width = u32::from(take_u8(at)?);
    let least = take_signed(at)?;
    let apart = take_varint(at)?;
    if width > 64 || apart > len as u64 {
        return None;
    }
    let mut exceptions = *at;
    let mut place = 0;
    for _ in 0..apart {
        take_exception(at, least, &mut place)?;
    }
    let bits = *at;
    (_, *at) = at.split_at_checked((len * width as usize).div_ceil(8))?;
    values.clear();
    let number = |place: &usize| get(bits, place * width as usize, width) as i64;
    values.extend(places.iter().map(|place| least.wrapping_add(number(place))));
    let mut most = least.unsigned_abs().saturating_add(low(width));
    let mut place = 0;
    for _ in 0..apart {
        let (place, number) = take_exception(&mut exceptions, least, &mut place)?;
        most = most.max(number.unsigned_abs());
        (place < len).then_some(())?;
        if let Ok(at) = places.binary_search(&place) {
            values[at] = number;
        }
    }
    Some(most)
}

/// The place of an exception, behind the one before, and its number.
fn take_exception(at: &mut &[u8], least: i64, place: &mut usize) -> Option<(usize, i64)> {
    *place = place.checked_add(usize::try_from(take_varint(at)?).ok()?)?;
    Some((*place, least.wrapping_add(take_varint(at)? as i64)))
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
