//! Which records are flows: the rules that hold whatever the encoding (formats, sections 4.1 and
//! 4.13). The first rule that is broken names the reason.

use portolan_model::{Flags, FlowRow, Ip, Nanos, Proto, Reject, Source, Xlat};

use super::Context;
use super::raw::{Address, RawFlow};

/// How far ahead of the time of arrival a record may lie: one hour. More is a broken clock.
pub const MAX_AHEAD_NANOS: Nanos = 3_600 * NANOS;

/// The longest slice that a record may cover: a day. Agents report a flow every few seconds, cloud
/// flow logs every ten minutes; a slice of years is a broken clock and would touch every window.
pub const MAX_SLICE_NANOS: Nanos = 86_400 * NANOS;

/// The most bytes or packets that one record may count, scaled up by its sampling: 2^48, which is
/// 100 s of 22 Tbit/s. With it, 2^15 records of the worst kind fit into a signed 64-bit sum.
pub const MAX_COUNT: u64 = 1 << 48;

/// The longest round-trip time: the kernel keeps it in 32 bits of microseconds.
pub const MAX_RTT_NANOS: Nanos = (u32::MAX as u64) * 1_000;

const NANOS: u64 = 1_000_000_000;
const ETHER_TYPE_IPV4: u32 = 0x0800;
const ETHER_TYPE_IPV6: u32 = 0x86dd;

/// The record as a row, or why it is none.
#[inline]
pub(super) fn judge(raw: &RawFlow, context: Context) -> Result<FlowRow, Reject> {
    if !matches!(raw.ether_type, 0 | ETHER_TYPE_IPV4 | ETHER_TYPE_IPV6) {
        return Err(Reject::NotIp);
    }
    if raw.derived {
        return Err(Reject::Derived);
    }
    if has_bad_field(raw) {
        return Err(Reject::BadField);
    }
    if raw.src.is_none() || raw.dst.is_none() {
        return Err(Reject::NoAddress);
    }
    if is_empty(raw) {
        return Err(Reject::Empty);
    }
    let (start, end) = times(raw, context.latest)?;
    let rtt = raw.rtt.nanos().filter(|rtt| *rtt <= MAX_RTT_NANOS).ok_or(Reject::Implausible)?;
    let factor = u64::from(raw.sampling).max(1);
    let largest = raw.bytes.max(raw.packets).max(raw.drop_bytes).max(raw.drop_packets);
    if largest.saturating_mul(factor) > MAX_COUNT || raw.sampling == u32::MAX {
        return Err(Reject::Implausible);
    }
    let proto = Proto(raw.proto as u8);
    let is_icmp = matches!(proto, Proto::ICMP | Proto::ICMP6);
    Ok(FlowRow {
        scope: context.scope,
        src: raw.src,
        dst: raw.dst,
        src_port: raw.src_port as u16,
        dst_port: raw.dst_port as u16,
        proto,
        start,
        end,
        bytes: raw.bytes,
        packets: raw.packets,
        // Bits over the sixteenth mean nothing yet.
        flags: Flags(raw.flags as u16),
        agent: known(raw.agent),
        sampling: raw.sampling,
        rtt,
        drop_bytes: raw.drop_bytes,
        drop_packets: raw.drop_packets,
        icmp_type: if is_icmp { raw.icmp_type as u8 } else { 0 },
        source: raw.source,
        role: raw.role,
        xlat: xlat(raw),
    })
}

/// Whether no packet stands behind the record: then it is what some feature of the agent (DNS,
/// translation) saw of a flow that is reported elsewhere. TCP flags come from packets: a record
/// with flags and without counters is a drop whose counters were not exported. Events and proxies
/// report what happened, not what it weighed: they need no counters.
#[inline]
fn is_empty(raw: &RawFlow) -> bool {
    let counts = raw.bytes | raw.packets | raw.drop_bytes | raw.drop_packets;
    counts == 0 && raw.flags as u16 == 0 && !matches!(raw.source, Source::Events | Source::Proxy)
}

/// Start and end, if they are times at all and in order.
#[inline]
fn times(raw: &RawFlow, latest: Nanos) -> Result<(Nanos, Nanos), Reject> {
    // Zero is what an absent time looks like, and 1970 is no time of a flow.
    let start = raw.start.nanos().filter(|at| *at > 0).ok_or(Reject::NoTime)?;
    let end = raw.end.nanos().filter(|at| *at > 0).ok_or(Reject::NoTime)?;
    if end < start {
        Err(Reject::EndsBeforeStart)
    } else if start > latest || end > latest {
        Err(Reject::Future)
    } else if end - start > MAX_SLICE_NANOS {
        Err(Reject::Implausible)
    } else {
        Ok((start, end))
    }
}

/// Whether a number does not fit its protocol field, or an address is not one.
#[inline]
fn has_bad_field(raw: &RawFlow) -> bool {
    let ports = raw.src_port | raw.dst_port | raw.xlat_src_port | raw.xlat_dst_port;
    let bytes = raw.proto | raw.icmp_type;
    ports > 0xffff || bytes > 0xff || !raw.malformed.is_empty()
}

/// The address, with both ways of writing "none" as one.
#[inline]
fn known(ip: Ip) -> Ip {
    if ip.is_none() { Ip::NONE } else { ip }
}

/// The translation, unless both its addresses are absent: then there was none.
#[inline]
fn xlat(raw: &RawFlow) -> Option<Xlat> {
    let (src, dst) = (known(raw.xlat_src), known(raw.xlat_dst));
    if src == Ip::NONE && dst == Ip::NONE {
        return None;
    }
    let (src_port, dst_port) = (raw.xlat_src_port as u16, raw.xlat_dst_port as u16);
    Some(Xlat { src, dst, src_port, dst_port })
}

/// The sentence that goes with a reason.
#[cold]
pub(super) fn explain(reason: Reject, raw: &RawFlow) -> String {
    match reason {
        Reject::NotIp => format!("ethernet type {:#06x}", raw.ether_type),
        Reject::Derived => "a view or a copy of other records".to_owned(),
        Reject::BadField => bad_field(raw),
        Reject::NoAddress => format!("source {}, destination {}", raw.src, raw.dst),
        Reject::Empty => "no bytes, no packets, no drops, no flags".to_owned(),
        Reject::Implausible => format!(
            "{} bytes, {} packets, drops {} bytes, {} packets, 1 in {}, {} to {} s, rtt {} s",
            raw.bytes,
            raw.packets,
            raw.drop_bytes,
            raw.drop_packets,
            raw.sampling,
            raw.start.secs,
            raw.end.secs,
            raw.rtt.secs
        ),
        _ => format!(
            "starts at {} s {} ns, ends at {} s {} ns",
            raw.start.secs, raw.start.nanos, raw.end.secs, raw.end.nanos
        ),
    }
}

/// Names the first field that does not fit.
fn bad_field(raw: &RawFlow) -> String {
    let numbers = [
        ("source port", raw.src_port, 0xffff),
        ("destination port", raw.dst_port, 0xffff),
        ("translated source port", raw.xlat_src_port, 0xffff),
        ("translated destination port", raw.xlat_dst_port, 0xffff),
        ("protocol", raw.proto, 0xff),
        ("icmp type", raw.icmp_type, 0xff),
    ];
    if let Some((name, value, most)) = numbers.iter().find(|(_, value, most)| value > most) {
        return format!("{name} {value}, at most {most}");
    }
    let addresses = [
        ("source", Address::Src),
        ("destination", Address::Dst),
        ("agent", Address::Agent),
        ("translated source", Address::XlatSrc),
        ("translated destination", Address::XlatDst),
    ];
    let name = addresses.iter().find(|(_, address)| raw.malformed.has(*address));
    format!("{} address is not an IP address", name.map_or("an", |(name, _)| *name))
}
