//! A flow record as the wire had it: every field read, nothing judged.

#![expect(
    clippy::inline_always,
    reason = "measured: a call for each byte or two costs more than it does"
)]

use portolan_model::{Ip, Role, Source};

/// Fields of one record, in the widths of the wire. Absent is zero, as in proto3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RawFlow {
    /// Ethernet type; 0 if not said.
    pub(super) ether_type: u32,
    pub(super) start: WireTime,
    pub(super) end: WireTime,
    pub(super) src: Ip,
    pub(super) dst: Ip,
    pub(super) src_port: u32,
    pub(super) dst_port: u32,
    pub(super) proto: u32,
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) flags: u32,
    pub(super) icmp_type: u32,
    pub(super) drop_bytes: u64,
    pub(super) drop_packets: u64,
    pub(super) rtt: WireTime,
    pub(super) agent: Ip,
    pub(super) xlat_src: Ip,
    pub(super) xlat_dst: Ip,
    pub(super) xlat_src_port: u32,
    pub(super) xlat_dst_port: u32,
    pub(super) sampling: u32,
    /// A view of records that also come by themselves, or a copy of one.
    pub(super) derived: bool,
    pub(super) source: Source,
    pub(super) role: Role,
    /// The addresses that are there and cannot be read.
    pub(super) malformed: Malformed,
}

/// A set of addresses of a record.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Malformed(u8);

/// Which address of a record.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Address {
    Src,
    Dst,
    Agent,
    XlatSrc,
    XlatDst,
}

/// Seconds and nanoseconds, as `google.protobuf.Timestamp` and `Duration` have them.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WireTime {
    pub(super) secs: i64,
    pub(super) nanos: i32,
}

// === impl WireTime ===

impl WireTime {
    /// From a whole number of units of which a second has `per_sec` (a divisor of 10^9).
    pub(super) const fn from_units(units: u64, per_sec: u64) -> Self {
        let nanos = (units % per_sec) * (1_000_000_000 / per_sec);
        Self { secs: (units / per_sec) as i64, nanos: nanos as i32 }
    }

    /// From nanoseconds.
    pub(super) const fn from_nanos(nanos: u64) -> Self {
        Self::from_units(nanos, 1_000_000_000)
    }

    /// Nanoseconds, if they are neither negative nor past the year 2554, where 64 bits end.
    #[inline]
    pub(super) fn nanos(self) -> Option<u64> {
        if !(0..1_000_000_000).contains(&self.nanos) {
            return None;
        }
        let secs = u64::try_from(self.secs).ok()?;
        secs.checked_mul(1_000_000_000)?.checked_add(self.nanos as u64)
    }
}

// === impl RawFlow ===

impl RawFlow {
    /// Sets an address, or notes that it is one that cannot be read. The last word counts.
    #[inline(always)]
    pub(super) fn set(&mut self, address: Address, ip: Option<Ip>) {
        let bit = 1 << address as u8;
        let place = match address {
            Address::Src => &mut self.src,
            Address::Dst => &mut self.dst,
            Address::Agent => &mut self.agent,
            Address::XlatSrc => &mut self.xlat_src,
            Address::XlatDst => &mut self.xlat_dst,
        };
        *place = ip.unwrap_or(Ip::NONE);
        if ip.is_some() { self.malformed.0 &= !bit } else { self.malformed.0 |= bit }
    }

    /// Sets an address from text; empty text is an absent one.
    pub(super) fn set_text(&mut self, address: Address, text: &str) {
        self.set(address, if text.is_empty() { Some(Ip::NONE) } else { text.parse().ok() });
    }
}

// === impl Malformed ===

impl Malformed {
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn has(self, address: Address) -> bool {
        self.0 & 1 << address as u8 != 0
    }
}
