//! How sure a connection's ends and direction are.

use crate::{Counters, Measure, Resolution};

/// The class of evidence that told which end is the client (flow semantics, section 2). The order is that
/// of strength.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Orientation {
    /// E1: the socket itself, or the proxy that dialled.
    Socket = 0,
    /// E2: a handshake.
    Handshake = 1,
    /// E3: connection tracking.
    Tracked = 2,
    /// E4: one end is declared to serve its port.
    Declared = 3,
    /// E5: one end was learned to serve its port.
    Learned = 4,
    /// E6: one port is well known.
    WellKnown = 5,
    /// E7: one port is of those that systems hand to clients.
    Ephemeral = 6,
    /// E8: who spoke first.
    First = 7,
    /// E9: nothing.
    None = 8,
}

/// How sure a connection is. 255 is the highest confidence.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Certainty {
    /// How the less sure of both ends was found.
    pub resolution: Resolution,
    /// What told the direction.
    pub orientation: Orientation,
    /// How sure that is: of the class, but for [`Orientation::Learned`], which has a range.
    pub confidence: u8,
}

/// The direction of an edge in short.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Oriented {
    /// The weakest class that any of its connections has.
    pub weakest: Orientation,
    /// The confidence of that class.
    pub least: u8,
    /// Mean confidence, by bytes; where there are none, that of the weakest class.
    pub mean: u8,
    /// Every connection is in it. Otherwise some are of windows that an earlier version counted, of which
    /// neither this nor how the ends were found was kept.
    pub whole: bool,
}

// === impl Orientation ===

impl Orientation {
    /// Every value, in the order of its code.
    pub const ALL: &'static [Self] = &[
        Self::Socket,
        Self::Handshake,
        Self::Tracked,
        Self::Declared,
        Self::Learned,
        Self::WellKnown,
        Self::Ephemeral,
        Self::First,
        Self::None,
    ];

    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Handshake => "handshake",
            Self::Tracked => "tracked",
            Self::Declared => "declared",
            Self::Learned => "learned",
            Self::WellKnown => "well_known",
            Self::Ephemeral => "ephemeral",
            Self::First => "first",
            Self::None => "none",
        }
    }

    /// How sure the class is; of [`Self::Learned`], at least.
    pub const fn confidence(self) -> u8 {
        match self {
            Self::Socket => 255,
            Self::Handshake => 250,
            Self::Tracked => 230,
            Self::Declared => 200,
            Self::Learned => 120,
            Self::WellKnown => 100,
            Self::Ephemeral => 60,
            Self::First => 30,
            Self::None => 0,
        }
    }

    /// How far its confidence is below the highest.
    pub const fn doubt(self) -> i64 {
        (u8::MAX - self.confidence()) as i64
    }

    /// Where its connections (counted once a window) are summed up.
    pub const fn measure(self) -> Measure {
        match self {
            Self::Socket => Measure::OrientedSocket,
            Self::Handshake => Measure::OrientedHandshake,
            Self::Tracked => Measure::OrientedTracked,
            Self::Declared => Measure::OrientedDeclared,
            Self::Learned => Measure::OrientedLearned,
            Self::WellKnown => Measure::OrientedWellKnown,
            Self::Ephemeral => Measure::OrientedEphemeral,
            Self::First => Measure::OrientedFirst,
            Self::None => Measure::OrientedNone,
        }
    }
}

// === impl Resolution ===

impl Resolution {
    /// Where bytes of this kind are counted; exact ones are all the others.
    pub const fn bytes(self) -> Option<Measure> {
        Some(match self {
            Self::Exact => return None,
            Self::Tolerant => Measure::BytesTolerant,
            Self::Early => Measure::BytesEarly,
            Self::Lingering => Measure::BytesLingering,
            Self::Ambiguous => Measure::BytesAmbiguous,
            Self::Unresolved => Measure::BytesUnresolved,
            Self::Outside => Measure::BytesOutside,
        })
    }

    /// Where connections of this kind are counted; exact ones are all the others.
    pub const fn connections(self) -> Option<Measure> {
        Some(match self {
            Self::Exact => return None,
            Self::Tolerant => Measure::ConnectionsTolerant,
            Self::Early => Measure::ConnectionsEarly,
            Self::Lingering => Measure::ConnectionsLingering,
            Self::Ambiguous => Measure::ConnectionsAmbiguous,
            Self::Unresolved => Measure::ConnectionsUnresolved,
            Self::Outside => Measure::ConnectionsOutside,
        })
    }

    /// The bytes, both ways, and the connections opened of these sums whose less sure end was found so.
    pub fn of(self, counters: &Counters) -> (i64, i64) {
        let all = Self::ALL.iter().copied();
        let sum = |of: fn(Self) -> Option<Measure>| {
            let of = |it: Self| of(it).map_or(0, |measure| counters[measure]);
            if self == Self::Exact { all.clone().map(of).sum() } else { of(self) }
        };
        let (bytes, connections): (i64, i64) = (sum(Self::bytes), sum(Self::connections));
        if self != Self::Exact {
            return (bytes, connections);
        }
        let all = counters[Measure::BytesSent].saturating_add(counters[Measure::BytesReceived]);
        (all.saturating_sub(bytes), counters[Measure::Connections].saturating_sub(connections))
    }
}

// === impl Oriented ===

impl Oriented {
    /// Of these sums; nothing where no connection is among them.
    pub fn of(counters: &Counters) -> Option<Self> {
        let weakest = *Orientation::ALL.iter().rev().find(|class| counters[class.measure()] > 0)?;
        let told: i64 = Orientation::ALL.iter().map(|class| counters[class.measure()]).sum();
        let least = weakest.confidence();
        let bytes = counters[Measure::BytesSent].saturating_add(counters[Measure::BytesReceived]);
        let doubted = counters[Measure::BytesDoubted];
        let mean = match bytes {
            ..=0 => least,
            // In favour of the doubt.
            bytes => {
                let doubt = doubted / bytes + i64::from(doubted % bytes > 0);
                u8::MAX - u8::try_from(doubt.clamp(0, 255)).unwrap_or(u8::MAX)
            }
        };
        let whole = told >= counters[Measure::ConnectionsActive];
        Some(Self { weakest, least, mean, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plain;

    fn connection(bytes: i64, orientation: Orientation, resolution: Resolution) -> Counters {
        let mut plain = Plain::ZERO;
        plain[Measure::BytesSent] = bytes;
        plain[Measure::Connections] = 1;
        plain[Measure::ConnectionsActive] = 1;
        let confidence = orientation.confidence();
        let mut sums = Counters::ZERO;
        sums.add_plain(&plain, Certainty { resolution, orientation, confidence });
        sums
    }

    #[test]
    fn edge_is_as_sure_as_its_weakest_connection_and_by_bytes_in_the_mean() {
        let mut sums = connection(900, Orientation::Socket, Resolution::Exact);
        let sure = Oriented { weakest: Orientation::Socket, least: 255, mean: 255, whole: true };
        assert_eq!(Oriented::of(&sums), Some(sure));
        sums.add(&connection(100, Orientation::WellKnown, Resolution::Early));
        let (weakest, least) = (Orientation::WellKnown, 100);
        // 15.5 below the most, in favour of the doubt.
        let both = Oriented { weakest, least, mean: 239, whole: true };
        assert_eq!(Oriented::of(&sums), Some(both));
        sums[Measure::ConnectionsActive] += 1;
        assert_eq!(Oriented::of(&sums), Some(Oriented { whole: false, ..both }));
        sums[Measure::ConnectionsActive] -= 1;
        assert_eq!(Resolution::Exact.of(&sums), (900, 1));
        assert_eq!(Resolution::Early.of(&sums), (100, 1));
        // What is taken back leaves no trace.
        sums.subtract(&connection(100, Orientation::WellKnown, Resolution::Early));
        assert_eq!(Oriented::of(&sums), Some(sure));
        assert_eq!(Oriented::of(&Counters::ZERO), None);
    }
}
