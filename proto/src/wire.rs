//! The protobuf wire format, read in place (protobuf.dev/programming-guides/encoding).
//!
//! Plain safe slices, no allocation, no recursion. Groups (wire types 3 and 4, long deprecated) are
//! refused, so nothing on the wire can nest deeper than the caller goes.

#![expect(
    clippy::inline_always,
    reason = "measured: a call for each byte or two costs more than it does"
)]

use std::fmt;

/// A cursor over the bytes of a message.
///
/// Reads are checked against the end of all bytes; that they stayed inside an embedded message is
/// checked once, when it is left ([`Reader::close`]). So a varint can be read as one word.
#[derive(Copy, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Why bytes are not a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// They end inside a field.
    Truncated,
    /// A varint of more than 64 bits.
    Varint,
    /// A field number of 0, or a key of more than 32 bits.
    Key,
    /// A wire type that does not exist, is a group, or is not the field's.
    WireType,
}

/// Wire type of varints.
pub(crate) const VARINT: u32 = 0;
/// Wire type of eight bytes.
pub(crate) const FIXED64: u32 = 1;
/// Wire type of a length and as many bytes.
pub(crate) const LEN: u32 = 2;
/// Wire type of four bytes.
pub(crate) const FIXED32: u32 = 5;

/// The key of a field: its number and its wire type.
pub(crate) const fn key(number: u32, wire_type: u32) -> u32 {
    number << 3 | wire_type
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// Goes to a byte: how a caller steps over an embedded message that is broken inside.
    pub(crate) const fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Whether the next field of a message that ends at `end` has this key, and if so steps over
    /// the key. Encoders write fields in the order of their numbers, so asking for one after the
    /// other costs no dispatch.
    #[inline(always)]
    pub(crate) fn next_is<const KEY: u32>(&mut self, end: usize) -> bool {
        const { assert!(KEY < 1 << 14, "keys of one byte or two") };
        if self.at >= end {
            return false;
        }
        if KEY < 0x80 {
            let is = self.bytes.get(self.at).is_some_and(|byte| u32::from(*byte) == KEY);
            self.at += usize::from(is);
            is
        } else {
            let bytes = [KEY as u8 | 0x80, (KEY >> 7) as u8];
            let is = self.peek() == Some(&bytes);
            self.at += if is { 2 } else { 0 };
            is
        }
    }

    /// The bytes to come, if they are at least `N`.
    #[inline(always)]
    pub(crate) fn peek<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.bytes.get(self.at..).and_then(<[u8]>::first_chunk)
    }

    /// A varint whose length is almost always the same, one byte or two: a key, a length, a flag.
    #[inline(always)]
    pub(crate) fn short_varint(&mut self) -> Result<u64, Broken> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                return Ok(u64::from(*byte));
            }
            _ => {}
        }
        match self.peek() {
            Some([low, high]) if *high < 0x80 => {
                self.at += 2;
                Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.varint(),
        }
    }

    /// A varint of any length. Without branches on the length, which no predictor can learn.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, Broken> {
        const CONTINUED: u64 = 0x8080_8080_8080_8080;
        let word = self.peek().map_or(u64::MAX, |word| u64::from_le_bytes(*word));
        let stops = !word & CONTINUED;
        if stops == 0 {
            let (value, at) = long_varint(self.bytes, self.at)?;
            self.at = at;
            return Ok(value);
        }
        self.at += (stops.trailing_zeros() / 8 + 1) as usize;
        // The bytes up to the one that stops, without their top bits; then seven bits are moved
        // next to seven, fourteen to fourteen, twenty-eight to twenty-eight.
        let x = word & (stops ^ (stops - 1)) & !CONTINUED;
        let x = (x & 0x007f_007f_007f_007f) | ((x & 0x7f00_7f00_7f00_7f00) >> 1);
        let x = (x & 0x0000_3fff_0000_3fff) | ((x & 0x3fff_0000_3fff_0000) >> 2);
        Ok((x & 0x0fff_ffff) | ((x & 0x0fff_ffff_0000_0000) >> 4))
    }

    /// The key of the next field. Never that of field 0.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Result<u32, Broken> {
        let key = self.short_varint()?;
        if key < 8 || key > u64::from(u32::MAX) { Err(Broken::Key) } else { Ok(key as u32) }
    }

    /// The next `N` bytes.
    #[inline(always)]
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let bytes = self.peek().ok_or(Broken::Truncated)?;
        self.at += N;
        Ok(*bytes)
    }

    /// Enters an embedded message: where it ends.
    #[inline(always)]
    pub(crate) fn open(&mut self) -> Result<usize, Broken> {
        let len = self.short_varint()?;
        // A length over the address space is over what is left, too.
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        end.filter(|end| *end <= self.bytes.len()).ok_or(Broken::Truncated)
    }

    /// Leaves an embedded message that was read to its end, and not over it.
    #[inline(always)]
    pub(crate) const fn close(&self, end: usize) -> Result<(), Broken> {
        if self.at == end { Ok(()) } else { Err(Broken::Truncated) }
    }

    /// The bytes of a length-delimited field.
    #[inline(always)]
    pub(crate) fn delimited(&mut self) -> Result<&'a [u8], Broken> {
        let end = self.open()?;
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    /// Passes over the value of a field that is not read.
    #[inline(always)]
    pub(crate) fn skip(&mut self, key: u32) -> Result<(), Broken> {
        match key & 7 {
            LEN => self.at = self.open()?,
            VARINT => drop(self.short_varint()?),
            FIXED32 => drop(self.fixed::<4>()?),
            FIXED64 => drop(self.fixed::<8>()?),
            _ => return Err(Broken::WireType),
        }
        Ok(())
    }

    /// Passes over a field, unless its number is one of `read`, a set of bits by number (below 64):
    /// then it was not read because its wire type is wrong.
    #[inline(always)]
    pub(crate) fn skip_unless(&mut self, key: u32, read: u64) -> Result<(), Broken> {
        let number = key >> 3;
        if number < 64 && read >> number & 1 == 1 { Err(Broken::WireType) } else { self.skip(key) }
    }
}

/// A varint of nine or ten bytes, or near the end of the bytes: its value, and where it ends.
#[cold]
fn long_varint(bytes: &[u8], from: usize) -> Result<(u64, usize), Broken> {
    let rest = bytes.get(from..).unwrap_or_default();
    let mut value = 0_u64;
    for (place, byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            // The tenth byte holds the one bit that is left of 64.
            return if place == 9 && *byte > 1 {
                Err(Broken::Varint)
            } else {
                Ok((value, from + place + 1))
            };
        }
    }
    Err(if rest.len() < 10 { Broken::Truncated } else { Broken::Varint })
}

// === impl Broken ===

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "ends inside a field",
            Self::Varint => "varint of more than 64 bits",
            Self::Key => "invalid field number",
            Self::WireType => "wrong wire type",
        })
    }
}

/// A signed number of 32 bits as protobuf's `sint32` writes it.
pub(crate) const fn zigzag(word: u64) -> i64 {
    // Of 32 bits: what is longer is no number of the format.
    let word = word as u32;
    ((word >> 1) as i32 ^ -((word & 1) as i32)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &[u8]) -> Result<u64, Broken> {
        Reader::new(bytes).varint()
    }

    #[test]
    fn varint_holds_64_bits_and_no_more() {
        assert_eq!(varint(&[0x7f]), Ok(127));
        assert_eq!(varint(&[0x80, 0x01]), Ok(128));
        assert_eq!(varint(&[0x80, 0x80, 0x01]), Ok(1 << 14));
        let mut max = [0xff; 10];
        max[9] = 0x01;
        assert_eq!(varint(&max), Ok(u64::MAX));
        max[9] = 0x02;
        assert_eq!(varint(&max), Err(Broken::Varint));
        assert_eq!(varint(&[0xff; 11]), Err(Broken::Varint));
        assert_eq!(varint(&[0xff; 9]), Err(Broken::Truncated));
        assert_eq!(varint(&[]), Err(Broken::Truncated));
    }

    #[test]
    fn padded_varint_is_the_same_number() {
        assert_eq!(varint(&[0x81, 0x80, 0x80, 0x00]), Ok(1));
    }

    #[test]
    fn length_over_the_end_is_truncation_however_large() {
        assert_eq!(Reader::new(&[0x02, 0x00]).delimited(), Err(Broken::Truncated));
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00];
        assert_eq!(Reader::new(&huge).delimited(), Err(Broken::Truncated));
    }

    #[test]
    fn groups_and_unknown_wire_types_are_refused() {
        for wire_type in [3, 4, 6, 7] {
            assert_eq!(Reader::new(&[0; 16]).skip(key(9, wire_type)), Err(Broken::WireType));
        }
    }

    #[test]
    fn varint_is_the_same_with_and_without_bytes_after_it() {
        let mut numbers: Vec<u64> = (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1]).collect();
        numbers.extend([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX]);
        for number in numbers {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(number, &mut bytes);
            assert_eq!(varint(&bytes), Ok(number));
            let len = bytes.len();
            for after in [[0x00; 8], [0xff; 8]] {
                bytes.truncate(len);
                bytes.extend(after);
                let mut reader = Reader::new(&bytes);
                assert_eq!((reader.varint(), reader.at()), (Ok(number), len));
            }
        }
    }
}
