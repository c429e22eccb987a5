//! NetObserv's `pbflow.Record` and `pbflow.Records`, read straight from the wire (formats, 4.1).
//!
//! The hot path of the line. Against `prost` on the same bytes: what this decoder accepts, `prost`
//! reads as the same record, unless the fault lies in a field that is only passed over here
//! (strings that are not UTF-8, the inside of interface lists); what `prost` accepts, this decoder
//! reads, unless it holds a group.

use portolan_model::{FlowColumns, Reject};

use super::raw::{RawFlow, WireIp, WireTime};
use super::{Context, admit, refuse};
use crate::Refused;
use crate::wire::{Broken, FIXED32, LEN, Reader, VARINT, key};

/// Field 1 of `Records`, length-delimited; field 1 of `Record` is a varint.
const ENTRY: u32 = key(1, LEN);

/// The fields of `Record` that are read, by number: with another wire type they are errors.
const RECORD_FIELDS: u64 = bits(&[1, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 24, 28, 29]);

const fn bits(numbers: &[u32]) -> u64 {
    let mut set = 0;
    let mut at = 0;
    while at < numbers.len() {
        set |= 1 << numbers[at];
        at += 1;
    }
    set
}

/// Appends the records of a message.
pub(super) fn decode(
    payload: &[u8],
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    // A `Records` has no field but 1, so whatever else comes first begins a `Record`.
    if Reader::new(payload).key() == Ok(ENTRY) {
        match count_entries(payload) {
            Ok(entries) => decode_entries(payload, entries, context, out, refused),
            Err((broken, entry, at)) => refused(Refused::new(
                Reject::Undecodable,
                format!("records: {broken}, at byte {at}, after {entry} entries"),
            )),
        }
    } else {
        decode_record(payload, context, None, out, refused);
    }
}

/// How many entries a `Records` has, or where its framing breaks: the fault, the entries before
/// it, and the byte.
fn count_entries(payload: &[u8]) -> Result<usize, (Broken, usize, usize)> {
    let mut reader = Reader::new(payload);
    let mut entries = 0;
    while !reader.is_empty() {
        let at = payload.len() - reader.left();
        let entry = reader.key().and_then(|key| match key {
            ENTRY => reader.bytes().map(|_| 1),
            key => reader.skip_unless(key, bits(&[1])).map(|()| 0),
        });
        match entry {
            Ok(one) => entries += one,
            Err(broken) => return Err((broken, entries, at)),
        }
    }
    Ok(entries)
}

/// Appends the entries of a `Records` whose framing is intact.
fn decode_entries(
    payload: &[u8],
    entries: usize,
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    let mut reader = Reader::new(payload);
    let mut place = 0;
    while let Ok(key) = reader.key() {
        if key == ENTRY {
            let Ok(entry) = reader.bytes() else { return };
            decode_record(entry, context, Some(place), out, refused);
            place += 1;
        } else if reader.skip(key).is_err() {
            return;
        }
    }
    debug_assert_eq!(place, entries, "the framing was checked before");
}

fn decode_record(
    bytes: &[u8],
    context: Context,
    place: Option<usize>,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    let mut raw = RawFlow::default();
    match read_record(Reader::new(bytes), &mut raw) {
        Ok(()) => admit(&raw, context, place, out, refused),
        Err(broken) => refuse(Reject::Undecodable, &broken.to_string(), place, refused),
    }
}

#[inline]
fn read_record(mut reader: Reader<'_>, raw: &mut RawFlow) -> Result<(), Broken> {
    const ETH_PROTOCOL: u32 = key(1, VARINT);
    const TIME_FLOW_START: u32 = key(3, LEN);
    const TIME_FLOW_END: u32 = key(4, LEN);
    const NETWORK: u32 = key(6, LEN);
    const TRANSPORT: u32 = key(7, LEN);
    const BYTES: u32 = key(8, VARINT);
    const PACKETS: u32 = key(9, VARINT);
    const DUPLICATE: u32 = key(11, VARINT);
    const AGENT_IP: u32 = key(12, LEN);
    const FLAGS: u32 = key(13, VARINT);
    const ICMP_TYPE: u32 = key(14, VARINT);
    const PKT_DROP_BYTES: u32 = key(16, VARINT);
    const PKT_DROP_PACKETS: u32 = key(17, VARINT);
    const TIME_FLOW_RTT: u32 = key(24, LEN);
    const XLAT: u32 = key(28, LEN);
    const SAMPLING: u32 = key(29, VARINT);
    while !reader.is_empty() {
        match reader.key()? {
            ETH_PROTOCOL => raw.ether_type = reader.varint()? as u32,
            TIME_FLOW_START => read_time(reader.message()?, &mut raw.start)?,
            TIME_FLOW_END => read_time(reader.message()?, &mut raw.end)?,
            NETWORK => read_pair(reader.message()?, &mut raw.src, &mut raw.dst)?,
            TRANSPORT => read_transport(reader.message()?, raw)?,
            BYTES => raw.bytes = reader.varint()?,
            PACKETS => raw.packets = reader.varint()?,
            DUPLICATE => raw.derived = reader.varint()? != 0,
            AGENT_IP => read_ip(reader.message()?, &mut raw.agent)?,
            FLAGS => raw.flags = reader.varint()? as u32,
            ICMP_TYPE => raw.icmp_type = uint32(&mut reader)?,
            PKT_DROP_BYTES => raw.drop_bytes = reader.varint()?,
            PKT_DROP_PACKETS => raw.drop_packets = reader.varint()?,
            TIME_FLOW_RTT => read_time(reader.message()?, &mut raw.rtt)?,
            XLAT => read_xlat(reader.message()?, raw)?,
            SAMPLING => raw.sampling = uint32(&mut reader)?,
            key => reader.skip_unless(key, RECORD_FIELDS)?,
        }
    }
    Ok(())
}

/// A `uint32`: the wire may carry 64 bits, of which the low 32 count.
#[inline(always)]
fn uint32(reader: &mut Reader<'_>) -> Result<u64, Broken> {
    Ok(u64::from(reader.varint()? as u32))
}

/// `Timestamp` or `Duration`: seconds (1), nanoseconds (2).
#[inline(always)]
fn read_time(mut reader: Reader<'_>, time: &mut WireTime) -> Result<(), Broken> {
    const SECONDS: u32 = key(1, VARINT);
    const NANOS: u32 = key(2, VARINT);
    while !reader.is_empty() {
        match reader.key()? {
            SECONDS => time.secs = reader.varint()? as i64,
            NANOS => time.nanos = reader.varint()? as i32,
            key => reader.skip_unless(key, bits(&[1, 2]))?,
        }
    }
    Ok(())
}

/// `IP`: one of IPv4 (1, fixed 32 bits) and IPv6 (2, bytes); the last one counts.
#[inline(always)]
fn read_ip(mut reader: Reader<'_>, ip: &mut WireIp) -> Result<(), Broken> {
    const IPV4: u32 = key(1, FIXED32);
    const IPV6: u32 = key(2, LEN);
    while !reader.is_empty() {
        match reader.key()? {
            IPV4 => *ip = WireIp::v4(reader.fixed32()?),
            IPV6 => *ip = WireIp::v6(reader.bytes()?),
            key => reader.skip_unless(key, bits(&[1, 2]))?,
        }
    }
    Ok(())
}

/// `Network`: source (1) and destination (2).
#[inline(always)]
fn read_pair(mut reader: Reader<'_>, src: &mut WireIp, dst: &mut WireIp) -> Result<(), Broken> {
    const SRC_ADDR: u32 = key(1, LEN);
    const DST_ADDR: u32 = key(2, LEN);
    while !reader.is_empty() {
        match reader.key()? {
            SRC_ADDR => read_ip(reader.message()?, src)?,
            DST_ADDR => read_ip(reader.message()?, dst)?,
            key => reader.skip_unless(key, bits(&[1, 2]))?,
        }
    }
    Ok(())
}

/// `Transport`: source port (1), destination port (2), protocol (3).
#[inline(always)]
fn read_transport(mut reader: Reader<'_>, raw: &mut RawFlow) -> Result<(), Broken> {
    const SRC_PORT: u32 = key(1, VARINT);
    const DST_PORT: u32 = key(2, VARINT);
    const PROTOCOL: u32 = key(3, VARINT);
    while !reader.is_empty() {
        match reader.key()? {
            SRC_PORT => raw.src_port = uint32(&mut reader)?,
            DST_PORT => raw.dst_port = uint32(&mut reader)?,
            PROTOCOL => raw.proto = uint32(&mut reader)?,
            key => reader.skip_unless(key, bits(&[1, 2, 3]))?,
        }
    }
    Ok(())
}

/// `Xlat`: addresses (1, 2) and ports (3, 4) after translation.
fn read_xlat(mut reader: Reader<'_>, raw: &mut RawFlow) -> Result<(), Broken> {
    const SRC_ADDR: u32 = key(1, LEN);
    const DST_ADDR: u32 = key(2, LEN);
    const SRC_PORT: u32 = key(3, VARINT);
    const DST_PORT: u32 = key(4, VARINT);
    while !reader.is_empty() {
        match reader.key()? {
            SRC_ADDR => read_ip(reader.message()?, &mut raw.xlat_src)?,
            DST_ADDR => read_ip(reader.message()?, &mut raw.xlat_dst)?,
            SRC_PORT => raw.xlat_src_port = uint32(&mut reader)?,
            DST_PORT => raw.xlat_dst_port = uint32(&mut reader)?,
            key => reader.skip_unless(key, bits(&[1, 2, 3, 4]))?,
        }
    }
    Ok(())
}
