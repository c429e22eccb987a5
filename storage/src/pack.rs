//! Packed windows: the rows of one window as columns, for few bytes a row and fast sums.
//!
//! ```text
//! head      who is in it (a sorted dictionary of entities and one of key tails), and its slices
//! slice     1,024 rows in the order of keys: ends and tail as codes, each counter a column
//! reverse   for each entity, the slices in which it is a server
//! ```
//!
//! A row of an edge, a path or a call is here a client, a server, the *tail* (all else in its key), its
//! counters, two times and, for calls, three histograms. Each part carries its version and a checksum
//! and is read by itself. Nothing here knows where parts are kept.

mod bits;
mod column;
mod histogram;
mod names;
mod parts;
mod slice;
mod slots;
mod sum;
mod table;
mod times;

pub(crate) use parts::{Head, Reverse};
pub(crate) use sum::{Opened, Packed, Summer, Unread};

/// Counters of a row.
pub(crate) const COUNTERS: usize = portolan_model::MEASURES;

/// Rows of a slice: at 20 bytes each, a part of 20 KB is read in microseconds; the 200 bytes that its
/// columns cost beside are 0.2 a row.
pub(crate) const SLICE_ROWS: usize = 1_024;

/// Counters of a row in parts of version 1.
const COUNTERS_OF_1: usize = 16;

/// The version of every part.
const VERSION: u8 = 2;

/// One for each counter.
struct Each<T>([T; COUNTERS]);

// === impl Each ===

impl<T: Default> Default for Each<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| T::default()))
    }
}

impl<T> std::ops::Deref for Each<T> {
    type Target = [T; COUNTERS];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> std::ops::DerefMut for Each<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

// === parts ===

/// Bytes of version and checksum.
const SEAL: usize = 5;

/// Puts version and checksum before a part.
fn seal(body: &[u8]) -> Vec<u8> {
    let mut part = Vec::with_capacity(body.len() + SEAL);
    part.push(VERSION);
    part.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    part.extend_from_slice(body);
    part
}

/// Checks version and checksum of a part. But for the head, parts of version 1 read as those of version 2.
pub(crate) fn unseal(part: &[u8]) -> Option<&[u8]> {
    let (version, rest) = part.split_first()?;
    let (crc, body) = rest.split_first_chunk()?;
    let known = (1..=VERSION).contains(version);
    (known && u32::from_le_bytes(*crc) == crc32fast::hash(body)).then_some(body)
}

/// A part that was checked, without version and checksum.
pub(crate) fn body(part: &[u8]) -> &[u8] {
    part.get(SEAL..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
