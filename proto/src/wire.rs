//! The protobuf wire format, read in place (protobuf.dev/programming-guides/encoding).
//!
//! Plain safe slices, no allocation, no recursion. Groups (wire types 3 and 4, long deprecated) are
//! refused, so nothing on the wire can nest deeper than the caller goes.

use std::fmt;

/// A cursor over the bytes of one message.
#[derive(Copy, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
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
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes not read yet.
    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, Broken> {
        // Most varints on the wire (keys, lengths, small numbers) are one byte or two.
        match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                Ok(u64::from(a))
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                Ok(u64::from(a & 0x7f) | u64::from(b) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0_u64;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                // The tenth byte holds the one bit that is left of 64.
                if at == 9 && *byte > 1 {
                    return Err(Broken::Varint);
                }
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { Broken::Truncated } else { Broken::Varint })
    }

    /// The key of the next field. Never that of field 0.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Result<u32, Broken> {
        let key = self.varint()?;
        if key < 8 || key > u64::from(u32::MAX) { Err(Broken::Key) } else { Ok(key as u32) }
    }

    #[inline(always)]
    pub(crate) fn fixed32(&mut self) -> Result<u32, Broken> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Broken::Truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    /// The bytes of a length-delimited field.
    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let len = self.varint()?;
        // A length over the address space is over what is left, too.
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Broken::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The fields of an embedded message.
    #[inline(always)]
    pub(crate) fn message(&mut self) -> Result<Reader<'a>, Broken> {
        self.bytes().map(Reader::new)
    }

    /// Passes over the value of a field that is not read.
    #[inline]
    pub(crate) fn skip(&mut self, key: u32) -> Result<(), Broken> {
        match key & 7 {
            VARINT => self.varint().map(drop),
            LEN => self.bytes().map(drop),
            FIXED32 => self.fixed32().map(drop),
            FIXED64 => {
                self.rest = self.rest.get(8..).ok_or(Broken::Truncated)?;
                Ok(())
            }
            _ => Err(Broken::WireType),
        }
    }

    /// Passes over a field, unless its number is one of `read`, a set of bits by number (below 64):
    /// then it was not read because its wire type is wrong.
    #[inline]
    pub(crate) fn skip_unless(&mut self, key: u32, read: u64) -> Result<(), Broken> {
        let number = key >> 3;
        if number < 64 && read >> number & 1 == 1 { Err(Broken::WireType) } else { self.skip(key) }
    }
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
        assert_eq!(Reader::new(&[0x02, 0x00]).bytes(), Err(Broken::Truncated));
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00];
        assert_eq!(Reader::new(&huge).bytes(), Err(Broken::Truncated));
    }

    #[test]
    fn groups_and_unknown_wire_types_are_refused() {
        for wire_type in [3, 4, 6, 7] {
            assert_eq!(Reader::new(&[0; 16]).skip(key(9, wire_type)), Err(Broken::WireType));
        }
    }
}
