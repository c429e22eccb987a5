//! The JSON form: the names of the protobuf fields; addresses, Ethernet types and protocols as text.

use portolan_model::{FlowColumns, Proto, Reject};
use serde::Deserialize;

use super::{Times, finish};
use crate::Refused;
use crate::flow::raw::{Address, RawFlow};
use crate::flow::{Context, admit, refuse};
use crate::json::{self, Number, NumberOr, Text};

/// The names of the object that are read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct FlowMessage<'a> {
    sampling_rate: Number,
    #[serde(borrow)]
    src_addr: Text<'a>,
    #[serde(borrow)]
    dst_addr: Text<'a>,
    bytes: Number,
    packets: Number,
    #[serde(borrow)]
    sampler_address: Text<'a>,
    #[serde(borrow)]
    proto: NumberOr<'a>,
    src_port: Number,
    dst_port: Number,
    tcp_flags: Number,
    #[serde(borrow)]
    etype: NumberOr<'a>,
    icmp_type: Number,
    time_received_ns: Number,
    time_flow_start_ns: Number,
    time_flow_end_ns: Number,
}

/// Appends the flows of a message.
pub(in crate::flow) fn decode(
    payload: &[u8],
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    json::each_value(payload, &mut |place, value| match value
        .and_then(json::object::<FlowMessage<'_>>)
        .and_then(|flow| flow.raw())
    {
        Ok(raw) => admit(&raw, context, place, out, refused),
        Err(why) => refuse(why.reason, &why.detail, place, refused),
    });
}

// === impl FlowMessage ===

impl FlowMessage<'_> {
    fn raw(&self) -> Result<RawFlow, Refused> {
        let mut raw = RawFlow {
            ether_type: ether_type(&self.etype),
            sampling: self.sampling_rate.narrow(),
            bytes: self.bytes.0,
            packets: self.packets.0,
            proto: proto(&self.proto)?,
            src_port: self.src_port.narrow(),
            dst_port: self.dst_port.narrow(),
            flags: self.tcp_flags.narrow(),
            icmp_type: self.icmp_type.narrow(),
            ..RawFlow::default()
        };
        raw.set_text(Address::Src, &self.src_addr);
        raw.set_text(Address::Dst, &self.dst_addr);
        raw.set_text(Address::Agent, &self.sampler_address);
        let times = Times {
            received: self.time_received_ns.0,
            start: self.time_flow_start_ns.0,
            end: self.time_flow_end_ns.0,
        };
        finish(&mut raw, times);
        Ok(raw)
    }
}

/// goflow2 has names for IPv4, IPv6 and ARP, and an empty text for everything else, 0 included:
/// then the addresses decide.
fn ether_type(etype: &NumberOr<'_>) -> u32 {
    match etype {
        NumberOr::Number(number) => number.narrow(),
        NumberOr::Text(name) => match &**name {
            "" => 0,
            "IPv4" => 0x0800,
            "IPv6" => 0x86dd,
            "ARP" => 0x0806,
            _ => u32::MAX,
        },
    }
}

/// goflow2 has names for five protocols and an empty text for the others: which one that was
/// cannot be known, so there is no edge to count it on.
fn proto(proto: &NumberOr<'_>) -> Result<u32, Refused> {
    match proto {
        NumberOr::Number(number) => Ok(number.narrow()),
        NumberOr::Text(name) => {
            Proto::parse(name).map(|proto| u32::from(proto.0)).ok_or_else(|| {
                Refused::new(Reject::BadField, format!("protocol {:?} is not known", &**name))
            })
        }
    }
}
