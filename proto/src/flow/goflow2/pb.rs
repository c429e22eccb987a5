//! The protobuf form, read in place. On Kafka a message has its length in front, as a varint.

use portolan_model::{FlowColumns, Ip, Reject};

use super::{Times, finish};
use crate::Refused;
use crate::flow::raw::{Address, RawFlow};
use crate::flow::{Context, admit, refuse};
use crate::wire::{Broken, LEN, Reader, VARINT, key};

/// Appends the flow of a message.
pub(in crate::flow) fn decode(
    payload: &[u8],
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    match read(undelimited(payload)) {
        Ok(raw) => admit(&raw, context, None, out, refused),
        Err(broken) => refuse(Reject::Undecodable, &broken.to_string(), None, refused),
    }
}

/// The message without its length: there is one if it is that of all the rest. (A bare message of
/// nine bytes that begins with field 1 would look so, too; with fields for two addresses and a
/// time a flow is far longer.)
fn undelimited(payload: &[u8]) -> &[u8] {
    let mut reader = Reader::new(payload);
    match reader.varint() {
        Ok(len) if len == (payload.len() - reader.at()) as u64 => &payload[reader.at()..],
        _ => payload,
    }
}

const SAMPLING_RATE: u32 = key(3, VARINT);
const SRC_ADDR: u32 = key(6, LEN);
const DST_ADDR: u32 = key(7, LEN);
const BYTES: u32 = key(9, VARINT);
const PACKETS: u32 = key(10, VARINT);
const SAMPLER_ADDRESS: u32 = key(11, LEN);
const PROTO: u32 = key(20, VARINT);
const SRC_PORT: u32 = key(21, VARINT);
const DST_PORT: u32 = key(22, VARINT);
const TCP_FLAGS: u32 = key(26, VARINT);
const ETYPE: u32 = key(30, VARINT);
const ICMP_TYPE: u32 = key(31, VARINT);
const TIME_RECEIVED_NS: u32 = key(110, VARINT);
const TIME_FLOW_START_NS: u32 = key(111, VARINT);
const TIME_FLOW_END_NS: u32 = key(112, VARINT);

/// The fields below 64 that are read, by number: with another wire type they are errors.
const READ: u64 = {
    let numbers = [3, 6, 7, 9, 10, 11, 20, 21, 22, 26, 30, 31];
    let mut set = 0_u64;
    let mut at = 0;
    while at < numbers.len() {
        set |= 1 << numbers[at];
        at += 1;
    }
    set
};

fn read(message: &[u8]) -> Result<RawFlow, Broken> {
    let mut reader = Reader::new(message);
    let mut raw = RawFlow::default();
    let mut times = Times::default();
    while reader.at() < message.len() {
        match reader.key()? {
            SAMPLING_RATE => {
                raw.sampling = u32::try_from(reader.varint()?).unwrap_or(u32::MAX);
            }
            SRC_ADDR => raw.set(Address::Src, address(reader.delimited()?)),
            DST_ADDR => raw.set(Address::Dst, address(reader.delimited()?)),
            BYTES => raw.bytes = reader.varint()?,
            PACKETS => raw.packets = reader.varint()?,
            SAMPLER_ADDRESS => raw.set(Address::Agent, address(reader.delimited()?)),
            PROTO => raw.proto = reader.varint()? as u32,
            SRC_PORT => raw.src_port = reader.varint()? as u32,
            DST_PORT => raw.dst_port = reader.varint()? as u32,
            TCP_FLAGS => raw.flags = reader.varint()? as u32,
            ETYPE => raw.ether_type = reader.varint()? as u32,
            ICMP_TYPE => raw.icmp_type = reader.varint()? as u32,
            TIME_RECEIVED_NS => times.received = reader.varint()?,
            TIME_FLOW_START_NS => times.start = reader.varint()?,
            TIME_FLOW_END_NS => times.end = reader.varint()?,
            key if matches!(key >> 3, 110..=112) => return Err(Broken::WireType),
            key => reader.skip_unless(key, READ)?,
        }
    }
    finish(&mut raw, times);
    Ok(raw)
}

/// Four bytes or sixteen; none are no address.
fn address(bytes: &[u8]) -> Option<Ip> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ip::v4(u32::from_be_bytes(v4)));
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(v6) => Some(Ip::v6(v6)),
        Err(_) => bytes.is_empty().then_some(Ip::NONE),
    }
}
