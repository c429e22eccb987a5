//! A flow record as the wire had it: every field read, nothing judged.

use portolan_model::Ip;

/// Fields of one record, in the widths of the wire. Absent is zero, as in proto3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RawFlow {
    /// Ethernet type; 0 if not said.
    pub(super) ether_type: u32,
    pub(super) start: WireTime,
    pub(super) end: WireTime,
    pub(super) src: WireIp,
    pub(super) dst: WireIp,
    pub(super) src_port: u64,
    pub(super) dst_port: u64,
    pub(super) proto: u64,
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) flags: u32,
    pub(super) icmp_type: u64,
    pub(super) drop_bytes: u64,
    pub(super) drop_packets: u64,
    pub(super) rtt: WireTime,
    pub(super) agent: WireIp,
    pub(super) xlat_src: WireIp,
    pub(super) xlat_dst: WireIp,
    pub(super) xlat_src_port: u64,
    pub(super) xlat_dst_port: u64,
    pub(super) sampling: u64,
    /// A view of records that also come by themselves, or a copy of one.
    pub(super) derived: bool,
}

/// Seconds and nanoseconds, as `google.protobuf.Timestamp` and `Duration` have them.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WireTime {
    pub(super) secs: i64,
    pub(super) nanos: i32,
}

/// An address, or the knowledge that there is one that cannot be read.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WireIp {
    pub(super) ip: Ip,
    pub(super) malformed: bool,
}

// === impl WireTime ===

impl WireTime {
    /// From a whole number of units of which a second has `per_sec` (a divisor of 10^9).
    pub(super) const fn from_units(units: u64, per_sec: u64) -> Self {
        let nanos = (units % per_sec) * (1_000_000_000 / per_sec);
        Self { secs: (units / per_sec) as i64, nanos: nanos as i32 }
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

// === impl WireIp ===

impl WireIp {
    /// From the big-endian reading of an IPv4 address.
    #[inline]
    pub(super) const fn v4(address: u32) -> Self {
        Self { ip: Ip::v4(address), malformed: false }
    }

    /// From the bytes of an IPv6 address; none at all is an absent one.
    #[inline]
    pub(super) fn v6(bytes: &[u8]) -> Self {
        match <[u8; 16]>::try_from(bytes) {
            Ok(bytes) => Self { ip: Ip::v6(bytes), malformed: false },
            Err(_) => Self { ip: Ip::NONE, malformed: !bytes.is_empty() },
        }
    }

    /// From text; empty text is an absent one.
    pub(super) fn text(text: &str) -> Self {
        match text.parse() {
            Ok(ip) => Self { ip, malformed: false },
            Err(_) => Self { ip: Ip::NONE, malformed: !text.is_empty() },
        }
    }

    /// The address, with both ways of writing "none" as one.
    #[inline]
    pub(super) const fn known(self) -> Ip {
        if self.ip.is_none() { Ip::NONE } else { self.ip }
    }
}
