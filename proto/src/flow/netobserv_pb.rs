//! NetObserv's `pbflow.Record` and `pbflow.Records`, read straight from the wire (formats, 4.1).
//!
//! The hot path of the line. Against `prost` on the same bytes: what this decoder accepts, `prost`
//! reads as the same record, unless the fault lies in a field that is only passed over here
//! (strings that are not UTF-8, the inside of interface lists); what `prost` accepts, this decoder
//! reads, unless it holds a group.

#![expect(
    clippy::inline_always,
    reason = "measured: a call for each byte or two costs more than it does"
)]

use portolan_model::{FlowColumns, Ip, Reject};

use super::raw::{Address, RawFlow, WireTime};
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
    let mut reader = Reader::new(payload);
    // A `Records` has no field but 1, so whatever else comes first begins a `Record`.
    if Reader::new(payload).key() != Ok(ENTRY) {
        return decode_record(reader, payload.len(), context, None, out, refused);
    }
    if let Err((broken, entries, at)) = check_framing(payload) {
        let detail = format!("records: {broken}, at byte {at}, after {entries} entries");
        return refused(Refused::new(Reject::Undecodable, detail));
    }
    let mut place = 0;
    while reader.at() < payload.len() {
        let Ok(key) = reader.key() else { return };
        if key == ENTRY {
            let Ok(end) = reader.open() else { return };
            decode_record(reader, end, context, Some(place), out, refused);
            // Whatever was wrong inside, the next entry begins where this one ends.
            reader.go_to(end);
            place += 1;
        } else if reader.skip(key).is_err() {
            return;
        }
    }
}

/// Walks a `Records` from entry to entry. Says where its framing breaks: the fault, the entries
/// before it, and the byte.
fn check_framing(payload: &[u8]) -> Result<(), (Broken, usize, usize)> {
    let mut reader = Reader::new(payload);
    let mut entries = 0;
    while reader.at() < payload.len() {
        let at = reader.at();
        let step = reader.key().and_then(|key| {
            entries += usize::from(key == ENTRY);
            if key >> 3 == 1 && key != ENTRY { Err(Broken::WireType) } else { reader.skip(key) }
        });
        step.map_err(|broken| (broken, entries - 1, at))?;
    }
    Ok(())
}

/// Reads one record, from where the reader stands to `end`.
fn decode_record(
    reader: Reader<'_>,
    end: usize,
    context: Context,
    place: Option<usize>,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    let mut raw = RawFlow::default();
    match read_record(reader, end, &mut raw) {
        Ok(()) => admit(&raw, context, place, out, refused),
        Err(broken) => refuse(Reject::Undecodable, &broken.to_string(), place, refused),
    }
}

#[inline]
fn read_record(mut reader: Reader<'_>, end: usize, raw: &mut RawFlow) -> Result<(), Broken> {
    // In the order in which agents write them; any other order goes through the loop below.
    if reader.next_is::<ETH_PROTOCOL>(end) {
        raw.ether_type = uint32(&mut reader)?;
    }
    if reader.next_is::<DIRECTION>(end) {
        reader.skip(DIRECTION)?;
    }
    if reader.next_is::<TIME_FLOW_START>(end) {
        read_time(&mut reader, &mut raw.start)?;
    }
    if reader.next_is::<TIME_FLOW_END>(end) {
        read_time(&mut reader, &mut raw.end)?;
    }
    if reader.next_is::<DATA_LINK>(end) {
        reader.skip(DATA_LINK)?;
    }
    if reader.next_is::<NETWORK>(end) {
        read_network(&mut reader, raw)?;
    }
    if reader.next_is::<TRANSPORT>(end) {
        read_transport(&mut reader, raw)?;
    }
    if reader.next_is::<BYTES>(end) {
        raw.bytes = reader.varint()?;
    }
    if reader.next_is::<PACKETS>(end) {
        raw.packets = reader.varint()?;
    }
    if reader.next_is::<AGENT_IP>(end) {
        read_ip(&mut reader, raw, Address::Agent)?;
    }
    if reader.next_is::<FLAGS>(end) {
        raw.flags = uint32(&mut reader)?;
    }
    if reader.next_is::<TIME_FLOW_RTT>(end) {
        read_time(&mut reader, &mut raw.rtt)?;
    }
    while reader.next_is::<DUP_LIST>(end) {
        reader.skip(DUP_LIST)?;
    }
    if reader.next_is::<XLAT>(end) {
        read_xlat(&mut reader, raw)?;
    }
    if reader.next_is::<SAMPLING>(end) {
        raw.sampling = uint32(&mut reader)?;
    }
    while reader.at() < end {
        match reader.key()? {
            ETH_PROTOCOL => raw.ether_type = uint32(&mut reader)?,
            TIME_FLOW_START => read_time(&mut reader, &mut raw.start)?,
            TIME_FLOW_END => read_time(&mut reader, &mut raw.end)?,
            NETWORK => read_network(&mut reader, raw)?,
            TRANSPORT => read_transport(&mut reader, raw)?,
            BYTES => raw.bytes = reader.varint()?,
            PACKETS => raw.packets = reader.varint()?,
            DUPLICATE => raw.derived = reader.varint()? != 0,
            AGENT_IP => read_ip(&mut reader, raw, Address::Agent)?,
            FLAGS => raw.flags = uint32(&mut reader)?,
            ICMP_TYPE => raw.icmp_type = uint32(&mut reader)?,
            PKT_DROP_BYTES => raw.drop_bytes = reader.varint()?,
            PKT_DROP_PACKETS => raw.drop_packets = reader.varint()?,
            TIME_FLOW_RTT => read_time(&mut reader, &mut raw.rtt)?,
            XLAT => read_xlat(&mut reader, raw)?,
            SAMPLING => raw.sampling = uint32(&mut reader)?,
            key => reader.skip_unless(key, RECORD_FIELDS)?,
        }
    }
    reader.close(end)
}

const ETH_PROTOCOL: u32 = key(1, VARINT);
const DIRECTION: u32 = key(2, VARINT);
const TIME_FLOW_START: u32 = key(3, LEN);
const TIME_FLOW_END: u32 = key(4, LEN);
const DATA_LINK: u32 = key(5, LEN);
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
const DUP_LIST: u32 = key(26, LEN);
const XLAT: u32 = key(28, LEN);
const SAMPLING: u32 = key(29, VARINT);

/// A `uint32`: the wire may carry 64 bits, of which the low 32 count.
#[inline(always)]
fn uint32(reader: &mut Reader<'_>) -> Result<u32, Broken> {
    Ok(reader.short_varint()? as u32)
}

/// `Timestamp` or `Duration`: seconds (1), nanoseconds (2).
#[inline(always)]
fn read_time(reader: &mut Reader<'_>, time: &mut WireTime) -> Result<(), Broken> {
    const SECONDS: u32 = key(1, VARINT);
    const NANOS: u32 = key(2, VARINT);
    let end = reader.open()?;
    if reader.next_is::<SECONDS>(end) {
        time.secs = reader.varint()? as i64;
    }
    if reader.next_is::<NANOS>(end) {
        time.nanos = reader.varint()? as i32;
    }
    while reader.at() < end {
        match reader.key()? {
            SECONDS => time.secs = reader.varint()? as i64,
            NANOS => time.nanos = reader.varint()? as i32,
            key => reader.skip_unless(key, bits(&[1, 2]))?,
        }
    }
    reader.close(end)
}

/// `IP`: one of IPv4 (1, fixed 32 bits) and IPv6 (2, bytes); the last one counts.
#[inline(always)]
fn read_ip(reader: &mut Reader<'_>, raw: &mut RawFlow, address: Address) -> Result<(), Broken> {
    const IPV4: u32 = key(1, FIXED32);
    const IPV6: u32 = key(2, LEN);
    // Length, key and address at once, in the two forms that agents write.
    if let Some([5, 0x0d, v4 @ ..]) = reader.peek::<6>() {
        raw.set(address, Some(Ip::v4(u32::from_le_bytes(*v4))));
        return reader.fixed::<6>().map(drop);
    }
    if let Some([18, 0x12, 16, v6 @ ..]) = reader.peek::<19>() {
        raw.set(address, Some(Ip::v6(*v6)));
        return reader.fixed::<19>().map(drop);
    }
    let end = reader.open()?;
    while reader.at() < end {
        match reader.key()? {
            IPV4 => raw.set(address, Some(Ip::v4(u32::from_le_bytes(reader.fixed()?)))),
            IPV6 => {
                let bytes = reader.delimited()?;
                let ip = match <[u8; 16]>::try_from(bytes) {
                    Ok(bytes) => Some(Ip::v6(bytes)),
                    // No bytes are no address.
                    Err(_) => bytes.is_empty().then_some(Ip::NONE),
                };
                raw.set(address, ip);
            }
            key => reader.skip_unless(key, bits(&[1, 2]))?,
        }
    }
    reader.close(end)
}

/// `Network`: source (1) and destination (2).
#[inline(always)]
fn read_network(reader: &mut Reader<'_>, raw: &mut RawFlow) -> Result<(), Broken> {
    const SRC_ADDR: u32 = key(1, LEN);
    const DST_ADDR: u32 = key(2, LEN);
    let end = reader.open()?;
    if reader.next_is::<SRC_ADDR>(end) {
        read_ip(reader, raw, Address::Src)?;
    }
    if reader.next_is::<DST_ADDR>(end) {
        read_ip(reader, raw, Address::Dst)?;
    }
    while reader.at() < end {
        match reader.key()? {
            SRC_ADDR => read_ip(reader, raw, Address::Src)?,
            DST_ADDR => read_ip(reader, raw, Address::Dst)?,
            key => reader.skip_unless(key, bits(&[1, 2]))?,
        }
    }
    reader.close(end)
}

/// `Transport`: source port (1), destination port (2), protocol (3).
#[inline(always)]
fn read_transport(reader: &mut Reader<'_>, raw: &mut RawFlow) -> Result<(), Broken> {
    const SRC_PORT: u32 = key(1, VARINT);
    const DST_PORT: u32 = key(2, VARINT);
    const PROTOCOL: u32 = key(3, VARINT);
    let end = reader.open()?;
    if reader.next_is::<SRC_PORT>(end) {
        raw.src_port = reader.varint()? as u32;
    }
    if reader.next_is::<DST_PORT>(end) {
        raw.dst_port = reader.varint()? as u32;
    }
    if reader.next_is::<PROTOCOL>(end) {
        raw.proto = uint32(reader)?;
    }
    while reader.at() < end {
        match reader.key()? {
            SRC_PORT => raw.src_port = reader.varint()? as u32,
            DST_PORT => raw.dst_port = reader.varint()? as u32,
            PROTOCOL => raw.proto = uint32(reader)?,
            key => reader.skip_unless(key, bits(&[1, 2, 3]))?,
        }
    }
    reader.close(end)
}

/// `Xlat`: addresses (1, 2) and ports (3, 4) after translation.
fn read_xlat(reader: &mut Reader<'_>, raw: &mut RawFlow) -> Result<(), Broken> {
    const SRC_ADDR: u32 = key(1, LEN);
    const DST_ADDR: u32 = key(2, LEN);
    const SRC_PORT: u32 = key(3, VARINT);
    const DST_PORT: u32 = key(4, VARINT);
    let end = reader.open()?;
    while reader.at() < end {
        match reader.key()? {
            SRC_ADDR => read_ip(reader, raw, Address::XlatSrc)?,
            DST_ADDR => read_ip(reader, raw, Address::XlatDst)?,
            SRC_PORT => raw.xlat_src_port = uint32(reader)?,
            DST_PORT => raw.xlat_dst_port = uint32(reader)?,
            key => reader.skip_unless(key, bits(&[1, 2, 3, 4]))?,
        }
    }
    reader.close(end)
}
