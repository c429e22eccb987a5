//! Counters of an edge: a fixed set of signed sums.
//!
//! Signed, so that a correction is a delta like any other: what moves from one edge to another is
//! subtracted here and added there, and the order does not matter.

use std::ops::{Index, IndexMut};

/// How many measures there are.
pub const MEASURES: usize = 16;

/// One sum that an edge keeps. The numeric value is the disk format: append, never reorder.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Measure {
    /// Flow records that were counted (both directions; the designated reporter's only).
    Flows = 0,
    /// Connections opened in the window (TCP: a SYN of the client; UDP: a first request).
    Connections = 1,
    /// Of these, the ones that the server never answered or reset at once.
    ConnectionsFailed = 2,
    /// Connections seen active in the window, opened in it or before.
    ConnectionsActive = 3,
    /// Bytes from client to server.
    BytesSent = 4,
    /// Bytes from server to client.
    BytesReceived = 5,
    /// Packets from client to server.
    PacketsSent = 6,
    /// Packets from server to client.
    PacketsReceived = 7,
    /// Bytes dropped by the kernel, both directions.
    DropBytes = 8,
    /// Packets dropped by the kernel, both directions.
    DropPackets = 9,
    /// How many round-trip times were measured.
    RttCount = 10,
    /// Their sum in microseconds.
    RttSumMicros = 11,
    /// Flow records seen by reporters that were not designated: the cross-check, never added.
    FlowsSeenTwice = 12,
    /// Bytes of ends that were resolved with doubt (tolerant, early, lingering).
    BytesInferred = 13,
    /// Flow records whose bytes are scaled up from a sample. Each stands on one packet at least: what
    /// the error of the estimate is bounded by (flow semantics, section 3.7).
    FlowsSampled = 14,
    /// Connections whose direction is below the confidence of a handshake or declaration.
    ConnectionsGuessed = 15,
}

/// The sums of an edge in a window.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Counters([i64; MEASURES]);

// === impl Measure ===

impl Measure {
    /// All of them, in the order of the disk format.
    pub const ALL: [Self; MEASURES] = [
        Self::Flows,
        Self::Connections,
        Self::ConnectionsFailed,
        Self::ConnectionsActive,
        Self::BytesSent,
        Self::BytesReceived,
        Self::PacketsSent,
        Self::PacketsReceived,
        Self::DropBytes,
        Self::DropPackets,
        Self::RttCount,
        Self::RttSumMicros,
        Self::FlowsSeenTwice,
        Self::BytesInferred,
        Self::FlowsSampled,
        Self::ConnectionsGuessed,
    ];

    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Connections => "connections",
            Self::ConnectionsFailed => "connections_failed",
            Self::ConnectionsActive => "connections_active",
            Self::BytesSent => "bytes_sent",
            Self::BytesReceived => "bytes_received",
            Self::PacketsSent => "packets_sent",
            Self::PacketsReceived => "packets_received",
            Self::DropBytes => "drop_bytes",
            Self::DropPackets => "drop_packets",
            Self::RttCount => "rtt_count",
            Self::RttSumMicros => "rtt_sum_micros",
            Self::FlowsSeenTwice => "flows_seen_twice",
            Self::BytesInferred => "bytes_inferred",
            Self::FlowsSampled => "flows_sampled",
            Self::ConnectionsGuessed => "connections_guessed",
        }
    }
}

// === impl Counters ===

impl Counters {
    /// All zero.
    pub const ZERO: Self = Self([0; MEASURES]);

    /// From the raw sums, in the order of [`Measure::ALL`].
    pub const fn from_array(sums: [i64; MEASURES]) -> Self {
        Self(sums)
    }

    /// The raw sums, in the order of [`Measure::ALL`].
    pub const fn as_array(&self) -> &[i64; MEASURES] {
        &self.0
    }

    /// Whether nothing is left: an edge whose counters are all zero is not there.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|sum| *sum == 0)
    }

    /// Whether the edge exists: something was counted (a cross-check alone is nothing).
    pub fn is_present(&self) -> bool {
        self[Measure::Flows] > 0
    }

    /// Adds the other's sums.
    pub fn add(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a = a.saturating_add(*b);
        }
    }

    /// Takes the other's sums away.
    pub fn subtract(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a = a.saturating_sub(*b);
        }
    }
}

impl Index<Measure> for Counters {
    type Output = i64;
    fn index(&self, measure: Measure) -> &i64 {
        &self.0[measure as usize]
    }
}

impl IndexMut<Measure> for Counters {
    fn index_mut(&mut self, measure: Measure) -> &mut i64 {
        &mut self.0[measure as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_the_list_is_the_disk_format() {
        for (place, measure) in Measure::ALL.iter().enumerate() {
            assert_eq!(*measure as usize, place);
        }
    }

    #[test]
    fn what_is_added_and_taken_away_leaves_nothing() {
        let mut sums = Counters::ZERO;
        let mut one = Counters::ZERO;
        one[Measure::BytesSent] = 7;
        sums.add(&one);
        assert!(!sums.is_zero());
        sums.subtract(&one);
        assert!(sums.is_zero());
    }
}
