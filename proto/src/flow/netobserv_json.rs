//! NetObserv flows as JSON, as flowlogs-pipeline writes them (formats, 4.2): one flat object a
//! flow, absent is zero, unknown names are passed over.

use std::fmt;

use portolan_model::FlowColumns;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::raw::{Address, RawFlow, WireTime};
use super::{Context, FlowDecoder, admit, refuse};
use crate::Refused;
use crate::json::{self, Number, Text, Truth};

/// The names of the object that are read.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct JsonFlow<'a> {
    #[serde(borrow)]
    src_addr: Text<'a>,
    #[serde(borrow)]
    dst_addr: Text<'a>,
    src_port: Number,
    dst_port: Number,
    proto: Number,
    etype: Number,
    bytes: Number,
    packets: Number,
    sampling: Number,
    flags: FlagNames,
    icmp_type: Number,
    time_flow_start_ms: Number,
    time_flow_end_ms: Number,
    #[serde(borrow, rename = "AgentIP")]
    agent_ip: Text<'a>,
    time_flow_rtt_ns: Number,
    pkt_drop_bytes: Number,
    pkt_drop_packets: Number,
    #[serde(borrow)]
    xlat_src_addr: Text<'a>,
    #[serde(borrow)]
    xlat_dst_addr: Text<'a>,
    xlat_src_port: Number,
    xlat_dst_port: Number,
    #[serde(borrow, rename = "K8S_ClusterName")]
    cluster: Text<'a>,
    duplicate: Truth,
    #[serde(borrow, rename = "_RecordType")]
    record_type: Text<'a>,
}

/// TCP flags: a number, a name, or an array of either.
#[derive(Copy, Clone, Default)]
struct FlagNames(u32);

/// Appends the flows of a message.
pub(super) fn decode(
    decoder: &mut FlowDecoder,
    payload: &[u8],
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    // One object is the rule, and needs one pass.
    if json::is_object(payload)
        && let Ok(flow) = serde_json::from_slice::<JsonFlow<'_>>(payload)
    {
        return take(decoder, &flow, context, None, out, refused);
    }
    json::each_value(payload, &mut |place, value| match value.and_then(json::object) {
        Ok(flow) => take(decoder, &flow, context, place, out, refused),
        Err(why) => refuse(why.reason, &why.detail, place, refused),
    });
}

fn take(
    decoder: &mut FlowDecoder,
    flow: &JsonFlow<'_>,
    context: Context,
    place: Option<usize>,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    let scope = if decoder.scope_from_cluster && !flow.cluster.is_empty() {
        decoder.scope_of(&flow.cluster)
    } else {
        context.scope
    };
    admit(&flow.raw(), Context { scope, ..context }, place, out, refused);
}

// === impl JsonFlow ===

impl JsonFlow<'_> {
    fn raw(&self) -> RawFlow {
        let mut raw = RawFlow {
            ether_type: self.etype.narrow(),
            start: WireTime::from_units(self.time_flow_start_ms.0, 1_000),
            end: WireTime::from_units(self.time_flow_end_ms.0, 1_000),
            src_port: self.src_port.narrow(),
            dst_port: self.dst_port.narrow(),
            proto: self.proto.narrow(),
            bytes: self.bytes.0,
            packets: self.packets.0,
            flags: self.flags.0,
            icmp_type: self.icmp_type.narrow(),
            drop_bytes: self.pkt_drop_bytes.0,
            drop_packets: self.pkt_drop_packets.0,
            rtt: WireTime::from_units(self.time_flow_rtt_ns.0, 1_000_000_000),
            xlat_src_port: self.xlat_src_port.narrow(),
            xlat_dst_port: self.xlat_dst_port.narrow(),
            sampling: self.sampling.narrow(),
            // Conversation records sum up flow logs that come by themselves; a duplicate is the
            // same packets at another interface.
            derived: self.duplicate.0 || !matches!(&*self.record_type, "" | "flowLog"),
            ..RawFlow::default()
        };
        raw.set_text(Address::Src, &self.src_addr);
        raw.set_text(Address::Dst, &self.dst_addr);
        raw.set_text(Address::Agent, &self.agent_ip);
        raw.set_text(Address::XlatSrc, &self.xlat_src_addr);
        raw.set_text(Address::XlatDst, &self.xlat_dst_addr);
        raw
    }
}

// === impl FlagNames ===

impl FlagNames {
    /// The bit of a name, as flowlogs-pipeline writes them. An unknown name has none.
    fn bit(name: &str) -> u32 {
        const NAMES: [(&str, u32); 11] = [
            ("FIN", 0x01),
            ("SYN", 0x02),
            ("RST", 0x04),
            ("PSH", 0x08),
            ("ACK", 0x10),
            ("URG", 0x20),
            ("ECE", 0x40),
            ("CWR", 0x80),
            ("SYN_ACK", 0x100),
            ("FIN_ACK", 0x200),
            ("RST_ACK", 0x400),
        ];
        let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map_or_else(|| name.parse().unwrap_or(0), |(_, bit)| *bit)
    }
}

impl<'de> Deserialize<'de> for FlagNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = FlagNames;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("TCP flags: a number, or names")
            }
            fn visit_u64<E: Error>(self, bits: u64) -> Result<FlagNames, E> {
                Ok(FlagNames(bits as u32))
            }
            fn visit_f64<E: Error>(self, bits: f64) -> Result<FlagNames, E> {
                Ok(FlagNames(bits as u32))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<FlagNames, E> {
                Ok(FlagNames(FlagNames::bit(name)))
            }
            fn visit_unit<E: Error>(self) -> Result<FlagNames, E> {
                Ok(FlagNames(0))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<FlagNames, A::Error> {
                let mut bits = 0;
                while let Some(FlagNames(bit)) = seq.next_element()? {
                    bits |= bit;
                }
                Ok(FlagNames(bits))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}
