//! The parts beside the slices: the head, which says who is in a window, and the reverse index.

use super::bits::{BitReader, BitWriter};
use super::{COUNTERS, COUNTERS_OF_1, body, seal, unseal};
use crate::codec::{put_signed, put_varint, take_signed, take_varint};

/// The head of a packed window: rows, numbers of entities, tails and slices (varints); sum of each counter over all
/// rows (signed); entities, sorted (u64, little-endian); of each slice its rows and the code of its first client (varints);
/// tails, sorted, each behind its length.
pub(crate) struct Head<'a> {
    pub(crate) rows: u64,
    /// Sum of each counter over all rows: for checks across levels.
    pub(crate) totals: [i64; COUNTERS],
    ids: &'a [u8],
    /// Code of the first client of each slice.
    slices: Vec<u64>,
    pub(super) tails: Vec<&'a [u8]>,
}

/// The reverse index: for each group of 64 entities where its bits begin (u32, little-endian), then for each
/// entity the number of slices in which it is a server, and their distances, each + 1, in gamma codes.
pub(crate) struct Reverse<'a> {
    starts: &'a [u8],
    bits: &'a [u8],
}

/// Entities that share an entry of the directory: reading over 64 of them takes less than a microsecond each.
const GROUP: usize = 64;

/// What a head is made of.
pub(super) struct Contents<'a> {
    pub(super) rows: u64,
    pub(super) totals: [i64; COUNTERS],
    pub(super) ids: &'a [u64],
    /// Rows and code of the first client of each slice.
    pub(super) slices: Vec<(u64, u64)>,
    pub(super) tails: &'a [&'a [u8]],
}

// === impl Head ===

impl<'a> Head<'a> {
    pub(super) fn put(contents: &Contents<'_>) -> Vec<u8> {
        let Contents { rows, totals, ids, slices, tails } = contents;
        let mut out = Vec::with_capacity(ids.len() * 8 + 64);
        for number in [*rows, ids.len() as u64, tails.len() as u64, slices.len() as u64] {
            put_varint(&mut out, number);
        }
        for sum in totals {
            put_signed(&mut out, *sum);
        }
        for id in *ids {
            out.extend_from_slice(&id.to_le_bytes());
        }
        for (rows, client) in slices {
            put_varint(&mut out, *rows);
            put_varint(&mut out, *client);
        }
        for tail in *tails {
            put_varint(&mut out, tail.len() as u64);
            out.extend_from_slice(tail);
        }
        seal(&out)
    }

    /// Reads a head, if its bytes are those that were written.
    pub(crate) fn read(part: &'a [u8]) -> Option<Self> {
        let head = unseal(part).and_then(|_| Self::read_checked(part))?;
        let sorted = head.ids().is_sorted_by(|a, b| a < b) && head.tails.is_sorted_by(|a, b| a < b);
        sorted.then_some(head)
    }

    /// Reads a head that was read before.
    pub(crate) fn read_checked(part: &'a [u8]) -> Option<Self> {
        let mut body = body(part);
        let at = &mut body;
        let rows = take_varint(at)?;
        let mut count = || usize::try_from(take_varint(at)?).ok().filter(|n| *n <= part.len());
        let (ids, tails, slices) = (count()?, count()?, count()?);
        let counters = if part.first() == Some(&1) { COUNTERS_OF_1 } else { COUNTERS };
        let mut totals = [0; COUNTERS];
        for sum in &mut totals[..counters] {
            *sum = take_signed(at)?;
        }
        let (ids, rest) = at.split_at_checked(ids * 8)?;
        *at = rest;
        let slice = |at: &mut &[u8]| take_varint(at).and_then(|_| take_varint(at));
        let slices = (0..slices).map(|_| slice(at)).collect::<Option<_>>()?;
        let tail = |at: &mut &'a [u8]| {
            let len = usize::try_from(take_varint(at)?).ok()?;
            let (tail, rest) = at.split_at_checked(len)?;
            *at = rest;
            Some(tail)
        };
        let tails: Vec<&[u8]> = (0..tails).map(|_| tail(at)).collect::<Option<_>>()?;
        at.is_empty().then_some(Self { rows, totals, ids, slices, tails })
    }

    /// How many entities.
    pub(crate) fn entities(&self) -> usize {
        self.ids.len() / 8
    }

    /// The entities, ascending.
    pub(super) fn ids(&self) -> impl Iterator<Item = u64> + 'a {
        let (ids, _) = self.ids.as_chunks();
        ids.iter().map(|id| u64::from_le_bytes(*id))
    }

    /// Whether it has the same entities and tails: then codes of one are codes of the other.
    pub(super) fn has_names_of(&self, other: &Self) -> bool {
        self.ids == other.ids && self.tails == other.tails
    }

    /// How many slices.
    pub(crate) fn slices(&self) -> usize {
        self.slices.len()
    }

    /// Code of the first client of a slice.
    pub(super) fn first_client(&self, slice: usize) -> Option<i64> {
        self.slices.get(slice).map(|client| *client as i64)
    }

    /// The entity of a code.
    #[inline]
    pub(crate) fn entity(&self, code: usize) -> Option<u64> {
        let bytes = self.ids.get(code * 8..code * 8 + 8)?;
        Some(u64::from_le_bytes(*bytes.first_chunk()?))
    }

    /// The code of an entity, if it is in the window.
    pub(crate) fn code(&self, id: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.entities());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.entity(middle)?.cmp(&id) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The slices in which an entity can be a client.
    pub(crate) fn as_client(&self, code: usize) -> std::ops::Range<usize> {
        let code = code as u64;
        let from = self.slices.partition_point(|first| *first < code).saturating_sub(1);
        from..self.slices.partition_point(|first| *first <= code)
    }
}

// === impl Reverse ===

impl<'a> Reverse<'a> {
    /// `slices`, for each entity, are those in which it is a server, ascending.
    pub(super) fn put(slices: &[Vec<u32>]) -> Vec<u8> {
        let mut bits = BitWriter::default();
        let mut starts = Vec::new();
        for (code, slices) in slices.iter().enumerate() {
            if code % GROUP == 0 {
                starts.extend_from_slice(&(bits.len() as u32).to_le_bytes());
            }
            bits.put_gamma(slices.len() as u64 + 1);
            let mut next = 0;
            for slice in slices {
                bits.put_gamma(u64::from(slice - next) + 1);
                next = slice + 1;
            }
        }
        let mut out = Vec::new();
        put_varint(&mut out, starts.len() as u64);
        out.extend_from_slice(&starts);
        out.extend_from_slice(&bits.finish());
        seal(&out)
    }

    /// Reads an index, if its bytes are those that were written.
    pub(crate) fn read(part: &'a [u8]) -> Option<Self> {
        let mut body = unseal(part)?;
        let len = usize::try_from(take_varint(&mut body)?).ok()?;
        let (starts, bits) = body.split_at_checked(len)?;
        Some(Self { starts, bits })
    }

    /// The slices in which an entity is a server.
    pub(crate) fn as_server(&self, code: usize) -> Option<Vec<usize>> {
        let group = code / GROUP * 4;
        let start = self.starts.get(group..group + 4)?;
        let start = u32::from_le_bytes(*start.first_chunk()?) as usize;
        let mut bits = BitReader::new(self.bits, start);
        for _ in 0..code % GROUP {
            for _ in 1..bits.take_gamma()? {
                bits.take_gamma()?;
            }
        }
        let mut slices = Vec::new();
        let mut next = 0;
        for _ in 1..bits.take_gamma()? {
            let slice = next + usize::try_from(bits.take_gamma()? - 1).ok()?;
            slices.push(slice);
            next = slice + 1;
        }
        Some(slices)
    }
}
