//! One column of numbers: the distance of each from the least, in as few bits as most of them need;
//! the few that need more stand apart.
//!
//! Width (u8), least (signed), number of exceptions (varint); each exception as the distance of its place
//! from the one before and its number (varints); then the bits.

use super::bits::{self, BitWriter, get, low, unpack};
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

/// A column that was found, and is not unpacked yet.
pub(super) struct Column<'a> {
    len: usize,
    width: u32,
    /// No number is less.
    pub(super) least: i64,
    bits: &'a [u8],
    apart: u64,
    exceptions: &'a [u8],
    /// No number is farther from zero.
    pub(super) most: u64,
}

// === impl Column ===

impl<'a> Column<'a> {
    /// Reads a column of `len` numbers off the front.
    pub(super) fn read(at: &mut &'a [u8], len: usize) -> Option<Self> {
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
            let above = take_exception(at, &mut place)?;
            most = most.max(least.wrapping_add(above).unsigned_abs());
            (place < len).then_some(())?;
        }
        let bits = *at;
        (_, *at) = at.split_at_checked((len * width as usize).div_ceil(8))?;
        Some(Self { len, width, least, bits, apart, exceptions, most })
    }

    /// All its numbers.
    pub(super) fn unpack(&self, values: &mut Vec<i64>) {
        values.resize(self.len, 0);
        unpack(self.bits, self.width, self.least, values);
        for (place, above) in self.apart() {
            values[place] = self.least.wrapping_add(above);
        }
    }

    /// Some of its numbers, by their places in order: those of one width are found without reading those before.
    pub(super) fn pick(&self, places: &[usize], values: &mut Vec<i64>) {
        values.clear();
        let width = self.width;
        let number = |place: &usize| get(self.bits, place * width as usize, width) as i64;
        values.extend(places.iter().map(|place| self.least.wrapping_add(number(place))));
        for (place, above) in self.apart() {
            if let Ok(at) = places.binary_search(&place) {
                values[at] = self.least.wrapping_add(above);
            }
        }
    }

    /// Adds its numbers to sums, as many, which hold what comes of it.
    pub(super) fn add_to(&self, sums: &mut [i64]) {
        bits::add(self.bits, self.width, self.least, &mut sums[..self.len]);
        // The bits of an exception are zero: the least is added already.
        for (place, above) in self.apart() {
            sums[place] = sums[place].wrapping_add(above);
        }
    }

    /// Adds each of its numbers to the sum of its slot.
    pub(super) fn add_at(&self, slots: &[u32], sums: &mut [i64]) {
        bits::add_at(self.bits, self.width, self.least, &slots[..self.len], sums);
        for (place, above) in self.apart() {
            let sum = &mut sums[slots[place] as usize];
            *sum = sum.wrapping_add(above);
        }
    }

    /// The exceptions: the place of each, and how far it is from the least.
    fn apart(&self) -> impl Iterator<Item = (usize, i64)> + 'a {
        let (mut at, mut place) = (self.exceptions, 0);
        let next = move |_| take_exception(&mut at, &mut place).map(|above| (place, above));
        (0..self.apart).map_while(next)
    }
}

/// Reads a column of `len` numbers off the front.
pub(super) fn take(at: &mut &[u8], len: usize, values: &mut Vec<i64>) -> Option<()> {
    Column::read(at, len)?.unpack(values);
    Some(())
}

/// Moves on to the next exception: its place, and how far it is from the least.
fn take_exception(at: &mut &[u8], place: &mut usize) -> Option<i64> {
    *place = place.checked_add(usize::try_from(take_varint(at)?).ok()?)?;
    Some(take_varint(at)? as i64)
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
