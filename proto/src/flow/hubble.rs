//! Cilium Hubble's exporter: one object a line, each an event of the datapath (formats, 4.4).
//!
//! One packet gives events at many points of its way; it counts where it leaves its source or
//! reaches its destination. Not every packet is an event, so there is never a volume: events say
//! that a connection is there, which way it was opened, and what was dropped.

use portolan_model::{Flags, FlowColumns, Proto, Reject, Role, Source};
use serde::Deserialize;

use super::raw::{Address, RawFlow, WireTime};
use super::{Context, admit, refuse, reporter};
use crate::json::{self, Number, Text, Truth};
use crate::{Refused, time};

/// `observer.ExportEvent`, with names as in the proto. One of the events is there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ExportEvent<'a> {
    #[serde(borrow)]
    flow: Option<Flow<'a>>,
    #[serde(borrow)]
    lost_events: Option<LostEvents<'a>>,
    #[serde(borrow)]
    node_name: Text<'a>,
    #[serde(borrow)]
    time: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LostEvents<'a> {
    #[serde(borrow)]
    source: Text<'a>,
    num_events_lost: Number,
}

/// `flow.Flow`: the names that are read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Flow<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    #[serde(borrow)]
    verdict: Text<'a>,
    #[serde(borrow, rename = "IP")]
    ip: Option<Addresses<'a>>,
    l4: Option<Layer4>,
    #[serde(borrow, rename = "Type")]
    kind: Text<'a>,
    event_type: Option<EventType>,
    #[serde(borrow)]
    trace_observation_point: Text<'a>,
    is_reply: Option<Truth>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Addresses<'a> {
    #[serde(borrow)]
    source: Text<'a>,
    #[serde(borrow)]
    destination: Text<'a>,
}

#[derive(Copy, Clone, Deserialize)]
enum Layer4 {
    #[serde(rename = "TCP")]
    Tcp(Ports),
    #[serde(rename = "UDP")]
    Udp(Ports),
    #[serde(rename = "SCTP")]
    Sctp(Ports),
    #[serde(rename = "ICMPv4")]
    Icmp(Icmp),
    #[serde(rename = "ICMPv6")]
    Icmp6(Icmp),
}

#[derive(Copy, Clone, Default, Deserialize)]
#[serde(default)]
struct Ports {
    source_port: Number,
    destination_port: Number,
    flags: Option<TcpFlags>,
}

#[derive(Copy, Clone, Default, Deserialize)]
#[serde(default)]
struct Icmp {
    r#type: Number,
}

/// Of one packet. Those that are false are absent.
#[derive(Copy, Clone, Default, Deserialize)]
#[serde(default, rename_all = "UPPERCASE")]
struct TcpFlags {
    fin: Truth,
    syn: Truth,
    rst: Truth,
    ack: Truth,
}

#[derive(Copy, Clone, Default, Deserialize)]
#[serde(default)]
struct EventType {
    r#type: Number,
}

/// `MessageTypeDrop` of the datapath. A denied packet gives a policy verdict (5) as well.
const DROP: u64 = 1;

/// Appends the events of a message.
pub(super) fn decode(
    payload: &[u8],
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    json::each_value(payload, &mut |place, value| match value
        .and_then(json::object::<ExportEvent<'_>>)
        .and_then(|event| event.raw())
    {
        Ok(raw) => admit(&raw, context, place, out, refused),
        Err(why) => refuse(why.reason, &why.detail, place, refused),
    });
}

// === impl ExportEvent ===

impl ExportEvent<'_> {
    fn raw(&self) -> Result<RawFlow, Refused> {
        if let Some(lost) = &self.lost_events {
            let (count, source, node) = (lost.num_events_lost.0, &*lost.source, &*self.node_name);
            let detail = format!("{node} lost {count} events in {source}");
            return Err(Refused::new(Reject::SourceLost, detail));
        }
        let Some(flow) = &self.flow else {
            return Err(Refused::new(Reject::Derived, "an event that is no flow"));
        };
        let mut raw = flow.raw()?;
        let written = if flow.time.is_empty() { &self.time } else { &flow.time };
        raw.start = match time::rfc3339(written) {
            Some(at) => WireTime::from_nanos(at),
            None if written.is_empty() => WireTime::default(),
            None => return Err(bad(format!("time {:?} is none", &**written))),
        };
        raw.end = raw.start;
        raw.agent = reporter::stand_in(&self.node_name);
        Ok(raw)
    }
}

// === impl Flow ===

impl Flow<'_> {
    fn raw(&self) -> Result<RawFlow, Refused> {
        let is_dropped = &*self.verdict == "DROPPED";
        self.counts(is_dropped)?;
        let mut raw = RawFlow {
            drop_packets: u64::from(is_dropped),
            source: Source::Events,
            role: match self.is_reply {
                Some(Truth(false)) => Role::Original,
                Some(Truth(true)) => Role::Reply,
                None => Role::Unknown,
            },
            ..RawFlow::default()
        };
        if let Some(ip) = &self.ip {
            // `source_xlated` comes without its port, so it names no socket to look for.
            raw.set_text(Address::Src, &ip.source);
            raw.set_text(Address::Dst, &ip.destination);
        }
        match self.l4 {
            Some(Layer4::Tcp(ports)) => {
                raw.flags = ports.flags.unwrap_or_default().bits();
                set_ports(&mut raw, Proto::TCP, ports);
            }
            Some(Layer4::Udp(ports)) => set_ports(&mut raw, Proto::UDP, ports),
            Some(Layer4::Sctp(ports)) => set_ports(&mut raw, Proto::SCTP, ports),
            Some(Layer4::Icmp(icmp)) => set_icmp(&mut raw, Proto::ICMP, icmp),
            Some(Layer4::Icmp6(icmp)) => set_icmp(&mut raw, Proto::ICMP6, icmp),
            None => return Err(bad("no layer 4".to_owned())),
        }
        Ok(raw)
    }

    /// Whether the event is the one of its packet that counts. A dropped packet has no point.
    fn counts(&self, is_dropped: bool) -> Result<(), Refused> {
        let point = &*self.trace_observation_point;
        let derived = |detail: String| Err(Refused::new(Reject::Derived, detail));
        if &*self.kind == "L7" {
            return derived("a request: its packets come by themselves".to_owned());
        }
        match self.event_type.unwrap_or_default().r#type.0 {
            0 | DROP if is_dropped => Ok(()),
            other if is_dropped => derived(format!("a drop told by an event of type {other}")),
            _ if matches!(point, "TO_ENDPOINT" | "FROM_ENDPOINT") => Ok(()),
            _ => derived(format!("seen at {point:?}, counted at its endpoints")),
        }
    }
}

fn bad(detail: String) -> Refused {
    Refused::new(Reject::BadField, detail)
}

fn set_ports(raw: &mut RawFlow, proto: Proto, ports: Ports) {
    raw.proto = proto.0.into();
    raw.src_port = ports.source_port.narrow();
    raw.dst_port = ports.destination_port.narrow();
}

fn set_icmp(raw: &mut RawFlow, proto: Proto, icmp: Icmp) {
    raw.proto = proto.0.into();
    raw.icmp_type = icmp.r#type.narrow();
}

// === impl TcpFlags ===

impl TcpFlags {
    /// One event is one packet: its flags are exact (flow semantics, section 2).
    fn bits(self) -> u32 {
        let bit = |truth: Truth, bit: u16| if truth.0 { u32::from(bit) } else { 0 };
        let opens = if self.ack.0 { Flags::SYN_ACK } else { Flags::SYN };
        bit(self.syn, opens) | bit(self.fin, Flags::FIN) | bit(self.rst, Flags::RST)
    }
}
