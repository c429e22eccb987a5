//! What a connection is known by.

use portolan_model::Proto;

use super::addrs::AddrId;

/// Both ends of a connection and its protocol, the smaller end first: both directions and all
/// reporters of one connection share it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ConnKey {
    /// Address, port.
    low: u64,
    /// Address, port, protocol.
    high: u64,
}

/// One end.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct End {
    pub(super) addr: AddrId,
    pub(super) port: u16,
}

/// Which end of the key sends.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Side {
    Low = 0,
    High = 1,
}

// === impl ConnKey ===

impl ConnKey {
    /// The key, and which side `src` is.
    pub(super) fn new(src: End, dst: End, proto: Proto) -> (Self, Side) {
        let pack = |low: End, high: End| Self {
            low: u64::from(low.addr) << 16 | u64::from(low.port),
            high: u64::from(high.addr) << 24 | u64::from(high.port) << 8 | u64::from(proto.0),
        };
        if src <= dst { (pack(src, dst), Side::Low) } else { (pack(dst, src), Side::High) }
    }

    pub(super) fn end(self, side: Side) -> End {
        match side {
            Side::Low => End { addr: (self.low >> 16) as u32, port: self.low as u16 },
            Side::High => End { addr: (self.high >> 24) as u32, port: (self.high >> 8) as u16 },
        }
    }

    pub(super) fn ports(self) -> [u16; 2] {
        [Side::Low, Side::High].map(|side| self.end(side).port)
    }

    pub(super) fn proto(self) -> Proto {
        Proto(self.high as u8)
    }
}

// === impl Side ===

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}
