//! Counters of an edge: a fixed set of signed sums.
//!
//! Signed, so that a correction is a delta like any other: what moves from one edge to another is
//! subtracted here and added there, and the order does not matter.
//!
//! The first [`PLAIN`] are counted of each connection. The others say how sure these are: they follow
//! from the first and from the [`Certainty`] of the connection, and are made where rows are.

use std::ops::{Index, IndexMut};

use crate::{Certainty, Orientation};

/// How many measures there are.
pub const MEASURES: usize = 38;

/// How many of them are counted of a connection as it is; the rest says how sure it is.
pub const PLAIN: usize = 16;

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
    /// Connections active in the window whose direction a handshake told (class E2 of flow semantics, section
    /// 2). What is in none of the nine `Oriented…` is of windows that an earlier version counted.
    OrientedHandshake = 16,
    /// Likewise, one end was declared to serve its port (E4).
    OrientedDeclared = 17,
    /// Likewise, the socket itself told (E1).
    OrientedSocket = 18,
    /// Likewise, connection tracking knew it (E3).
    OrientedTracked = 19,
    /// Bytes of which an end is a public address that nobody claims, and no end is less sure. What is in none
    /// of the `Bytes…` of this kind was exact.
    BytesOutside = 20,
    /// Connections opened likewise.
    ConnectionsOutside = 21,
    /// Oriented by a well-known port (E6).
    OrientedWellKnown = 22,
    /// Not oriented (E9).
    OrientedNone = 23,
    /// Oriented by what was learned of who serves (E5).
    OrientedLearned = 24,
    /// Oriented by a port that systems hand to clients (E7).
    OrientedEphemeral = 25,
    /// Oriented by who spoke first (E8).
    OrientedFirst = 26,
    /// Bytes whose less sure end was found within the tolerance of clocks.
    BytesTolerant = 27,
    /// Likewise, before its claim began.
    BytesEarly = 28,
    /// Likewise, after its claim had ended.
    BytesLingering = 29,
    /// Likewise, had several possible owners.
    BytesAmbiguous = 30,
    /// Likewise, had none.
    BytesUnresolved = 31,
    /// Connections opened, as [`Self::BytesTolerant`].
    ConnectionsTolerant = 32,
    /// As [`Self::BytesEarly`].
    ConnectionsEarly = 33,
    /// As [`Self::BytesLingering`].
    ConnectionsLingering = 34,
    /// As [`Self::BytesAmbiguous`].
    ConnectionsAmbiguous = 35,
    /// As [`Self::BytesUnresolved`].
    ConnectionsUnresolved = 36,
    /// Bytes, each times how far the confidence of its orientation is below 255: what the mean by bytes is
    /// made of.
    BytesDoubted = 37,
}

/// The first `N` sums.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Sums<const N: usize>([i64; N]);

/// The sums of an edge in a window.
pub type Counters = Sums<MEASURES>;

/// Those of one connection, beside which its [`Certainty`] stands.
pub type Plain = Sums<PLAIN>;

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
        Self::OrientedHandshake,
        Self::OrientedDeclared,
        Self::OrientedSocket,
        Self::OrientedTracked,
        Self::BytesOutside,
        Self::ConnectionsOutside,
        Self::OrientedWellKnown,
        Self::OrientedNone,
        Self::OrientedLearned,
        Self::OrientedEphemeral,
        Self::OrientedFirst,
        Self::BytesTolerant,
        Self::BytesEarly,
        Self::BytesLingering,
        Self::BytesAmbiguous,
        Self::BytesUnresolved,
        Self::ConnectionsTolerant,
        Self::ConnectionsEarly,
        Self::ConnectionsLingering,
        Self::ConnectionsAmbiguous,
        Self::ConnectionsUnresolved,
        Self::BytesDoubted,
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
            Self::OrientedHandshake => "oriented_handshake",
            Self::OrientedDeclared => "oriented_declared",
            Self::OrientedSocket => "oriented_socket",
            Self::OrientedTracked => "oriented_tracked",
            Self::BytesOutside => "bytes_outside",
            Self::ConnectionsOutside => "connections_outside",
            Self::OrientedWellKnown => "oriented_well_known",
            Self::OrientedNone => "oriented_none",
            Self::OrientedLearned => "oriented_learned",
            Self::OrientedEphemeral => "oriented_ephemeral",
            Self::OrientedFirst => "oriented_first",
            Self::BytesTolerant => "bytes_tolerant",
            Self::BytesEarly => "bytes_early",
            Self::BytesLingering => "bytes_lingering",
            Self::BytesAmbiguous => "bytes_ambiguous",
            Self::BytesUnresolved => "bytes_unresolved",
            Self::ConnectionsTolerant => "connections_tolerant",
            Self::ConnectionsEarly => "connections_early",
            Self::ConnectionsLingering => "connections_lingering",
            Self::ConnectionsAmbiguous => "connections_ambiguous",
            Self::ConnectionsUnresolved => "connections_unresolved",
            Self::BytesDoubted => "bytes_doubted",
        }
    }
}

// === impl Counters ===

impl<const N: usize> Sums<N> {
    /// All zero.
    pub const ZERO: Self = Self([0; N]);

    /// From the raw sums, in the order of [`Measure::ALL`].
    pub const fn from_array(sums: [i64; N]) -> Self {
        Self(sums)
    }

    /// The raw sums, in the order of [`Measure::ALL`].
    pub const fn as_array(&self) -> &[i64; N] {
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

impl<const N: usize> Default for Sums<N> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Plain {
    /// As sums of a row.
    pub fn with(&self, certainty: Certainty) -> Counters {
        let mut counters = Counters::ZERO;
        counters.add_plain(self, certainty);
        counters
    }
}

impl Counters {
    /// Adds what a connection counts for, and how sure that is.
    pub fn add_plain(&mut self, plain: &Plain, certainty: Certainty) {
        for (sum, more) in self.0.iter_mut().zip(&plain.0) {
            *sum = sum.saturating_add(*more);
        }
        let mut add = |measure: Option<Measure>, more: i64| {
            if let Some(measure) = measure {
                self[measure] = self[measure].saturating_add(more);
            }
        };
        let Certainty { resolution, orientation, confidence } = certainty;
        let bytes = plain[Measure::BytesSent].saturating_add(plain[Measure::BytesReceived]);
        add(resolution.bytes(), bytes);
        add(resolution.connections(), plain[Measure::Connections]);
        add(Some(orientation.measure()), plain[Measure::ConnectionsActive]);
        let doubt = i64::from(u8::MAX - confidence);
        add(Some(Measure::BytesDoubted), bytes.saturating_mul(doubt));
    }

    /// What [`Measure::BytesDoubted`] would be if bytes were spread evenly over the connections, each with
    /// the confidence of its class: of a row of one class, what it is. A disk keeps the difference.
    pub fn doubt_expected(&self) -> i64 {
        let doubt = Orientation::ALL.iter().fold(0_i64, |sum, class| {
            sum.wrapping_add(self[class.measure()].wrapping_mul(class.doubt()))
        });
        let bytes = self[Measure::BytesSent].wrapping_add(self[Measure::BytesReceived]);
        doubt_expected(self[Measure::ConnectionsActive], bytes, doubt)
    }
}

/// See [`Counters::doubt_expected`]. `doubt` is the sum over the connections. What is out of range is cut: who
/// adds the difference again cuts likewise.
pub fn doubt_expected(active: i64, bytes: i64, doubt: i64) -> i64 {
    match bytes.checked_mul(doubt) {
        Some(0) => 0,
        _ if active == 0 => 0,
        Some(product) if active != -1 => product / active,
        _ => (i128::from(bytes) * i128::from(doubt) / i128::from(active)) as i64,
    }
}

impl<const N: usize> Index<Measure> for Sums<N> {
    type Output = i64;
    fn index(&self, measure: Measure) -> &i64 {
        &self.0[measure as usize]
    }
}

impl<const N: usize> IndexMut<Measure> for Sums<N> {
    fn index_mut(&mut self, measure: Measure) -> &mut i64 {
        &mut self.0[measure as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resolution;

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
    #[test]
    fn of_rows_of_one_class_the_doubt_is_what_is_expected() {
        for orientation in Orientation::ALL.iter().copied() {
            let mut plain = Plain::ZERO;
            plain[Measure::BytesSent] = 1_001;
            plain[Measure::ConnectionsActive] = 3;
            let confidence = orientation.confidence();
            let mut sums = Counters::ZERO;
            sums.add_plain(
                &plain,
                Certainty { resolution: Resolution::Exact, orientation, confidence },
            );
            assert_eq!(sums[Measure::BytesDoubted], sums.doubt_expected(), "{orientation:?}");
        }
    }

    #[test]
    fn each_certainty_has_sums_of_its_own() {
        for (at, a) in Resolution::ALL.iter().enumerate() {
            assert_eq!(a.bytes().is_none(), *a == Resolution::Exact);
            for b in &Resolution::ALL[at + 1..] {
                assert!(a.bytes() != b.bytes() && a.connections() != b.connections());
            }
        }
        for (at, a) in Orientation::ALL.iter().enumerate() {
            assert!(Orientation::ALL[at + 1..].iter().all(|b| a.measure() != b.measure()));
        }
    }
}
