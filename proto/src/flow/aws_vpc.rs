//! AWS VPC flow logs: one record a line, its columns separated by spaces (formats, 4.6).
//!
//! Which columns, and in which order, is the user's choice: the configuration says it, or a header
//! line. The ends of a record are those of its packets (`pkt-srcaddr`, `pkt-dstaddr`), where the
//! log has them: the interface's own address is only where they passed.

use std::sync::LazyLock;

use portolan_model::{Flags, FlowColumns, Proto, Reject, Source};

use super::raw::{Address, RawFlow, WireTime};
use super::{Context, admit, refuse, reporter};
use crate::Refused;

mod fields;

pub(super) use fields::VpcFields;
pub use fields::{DEFAULT_VPC_FIELDS, UnknownVpcFields, is_vpc_header};

/// The columns where nothing is said. Parsed once, so that making a decoder costs nothing.
static DEFAULT: LazyLock<VpcFields> = LazyLock::new(VpcFields::default);

/// The columns of one line that are read. `-` is empty.
#[derive(Default)]
struct Line<'a> {
    interface: &'a str,
    srcaddr: &'a str,
    dstaddr: &'a str,
    pkt_srcaddr: &'a str,
    pkt_dstaddr: &'a str,
    srcport: &'a str,
    dstport: &'a str,
    protocol: &'a str,
    packets: &'a str,
    bytes: &'a str,
    start: &'a str,
    end: &'a str,
    action: &'a str,
    status: &'a str,
    tcp_flags: &'a str,
    kind: &'a str,
    direction: &'a str,
}

/// Appends the records of a message.
pub(super) fn decode(
    fields: Option<&VpcFields>,
    payload: &[u8],
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    let Ok(text) = std::str::from_utf8(payload) else {
        return refuse(Reject::Undecodable, "not UTF-8 text", None, refused);
    };
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    let header = lines.peek().and_then(|(_, line)| line.parse::<VpcFields>().ok());
    if header.is_some() {
        lines.next();
    }
    let fields = header.as_ref().or(fields).unwrap_or(&DEFAULT);
    if lines.peek().is_none() {
        let what = if header.is_some() { "a header and no record" } else { "no record" };
        return refuse(Reject::Derived, what, None, refused);
    }
    let is_one = text.trim().lines().nth(1).is_none();
    for (place, line) in lines {
        let place = (!is_one).then_some(place);
        match Line::split(line, fields).and_then(|line| line.raw()) {
            Ok(raw) => admit(&raw, context, place, out, refused),
            Err(why) => refuse(why.reason, &why.detail, place, refused),
        }
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    fn split(text: &'a str, fields: &VpcFields) -> Result<Self, Refused> {
        let mut line = Self::default();
        let mut columns = text.split_ascii_whitespace();
        let mut count = 0;
        for name in fields.names() {
            let Some(column) = columns.next() else { break };
            count += 1;
            let column = if column == "-" { "" } else { column };
            match name {
                "interface-id" => line.interface = column,
                "srcaddr" => line.srcaddr = column,
                "dstaddr" => line.dstaddr = column,
                "pkt-srcaddr" => line.pkt_srcaddr = column,
                "pkt-dstaddr" => line.pkt_dstaddr = column,
                "srcport" => line.srcport = column,
                "dstport" => line.dstport = column,
                "protocol" => line.protocol = column,
                "packets" => line.packets = column,
                "bytes" => line.bytes = column,
                "start" => line.start = column,
                "end" => line.end = column,
                "action" => line.action = column,
                "log-status" => line.status = column,
                "tcp-flags" => line.tcp_flags = column,
                "type" => line.kind = column,
                "flow-direction" => line.direction = column,
                _ => {}
            }
        }
        let (count, wanted) = (count + columns.count(), fields.names().len());
        if count == wanted {
            Ok(line)
        } else {
            let detail = format!("{count} columns where the format has {wanted}");
            Err(Refused::new(Reject::Undecodable, detail))
        }
    }

    fn raw(&self) -> Result<RawFlow, Refused> {
        match self.status {
            "" | "OK" => {}
            "NODATA" => return Err(Refused::new(Reject::Derived, "no data in the interval")),
            "SKIPDATA" => {
                let detail = format!("records of {} were skipped", self.interface);
                return Err(Refused::new(Reject::SourceLost, detail));
            }
            other => return Err(bad("log-status", other)),
        }
        let flags = number("tcp-flags", self.tcp_flags)?;
        let mut raw = RawFlow {
            ether_type: match self.kind {
                "" => 0,
                "IPv4" => 0x0800,
                "IPv6" => 0x86dd,
                _ => u32::MAX,
            },
            start: WireTime::from_units(number("start", self.start)?, 1),
            end: WireTime::from_units(number("end", self.end)?, 1),
            src_port: narrow(number("srcport", self.srcport)?),
            dst_port: narrow(number("dstport", self.dstport)?),
            proto: narrow(number("protocol", self.protocol)?),
            flags: evidence(narrow(flags)),
            source: Source::CloudLog,
            ..RawFlow::default()
        };
        if self.protocol.is_empty() {
            return Err(bad("protocol", "-"));
        }
        if raw.proto == u32::from(Proto::ICMP.0) || raw.proto == u32::from(Proto::ICMP6.0) {
            let detail = "icmp without its type: it may speak of another flow";
            return Err(Refused::new(Reject::Derived, detail));
        }
        self.count(&mut raw)?;
        raw.set_text(Address::Src, first(self.pkt_srcaddr, self.srcaddr));
        raw.set_text(Address::Dst, first(self.pkt_dstaddr, self.dstaddr));
        self.set_agent(&mut raw);
        Ok(raw)
    }

    /// What was refused by a security group or a network list never arrived: it was dropped.
    fn count(&self, raw: &mut RawFlow) -> Result<(), Refused> {
        let (bytes, packets) = (number("bytes", self.bytes)?, number("packets", self.packets)?);
        match self.action {
            "" | "ACCEPT" => (raw.bytes, raw.packets) = (bytes, packets),
            "REJECT" => (raw.drop_bytes, raw.drop_packets) = (bytes, packets),
            other => return Err(bad("action", other)),
        }
        Ok(())
    }

    /// The interface that reports: by its own address, where the direction tells which end that is
    /// (its side of `srcaddr` and `dstaddr` is always its primary private address), else by name.
    fn set_agent(&self, raw: &mut RawFlow) {
        match self.direction {
            "ingress" if !self.dstaddr.is_empty() => raw.set_text(Address::Agent, self.dstaddr),
            "egress" if !self.srcaddr.is_empty() => raw.set_text(Address::Agent, self.srcaddr),
            _ => raw.set(Address::Agent, Some(reporter::stand_in(self.interface))),
        }
    }
}

/// What OR-ed flags prove (flow semantics, section 2): a packet that only acknowledges adds no
/// flag, so a SYN without ACK is the client's direction, and a SYN with one the server's.
fn evidence(ored: u32) -> u32 {
    const SYN: u32 = Flags::SYN as u32;
    const ACK: u32 = 0x10;
    let rest = ored & 0xff & !SYN;
    match (ored & SYN != 0, ored & ACK != 0) {
        (true, false) => rest | SYN,
        (true, true) => rest | u32::from(Flags::SYN_ACK),
        (false, _) => rest,
    }
}

fn first<'a>(inner: &'a str, outer: &'a str) -> &'a str {
    if inner.is_empty() { outer } else { inner }
}

/// A number; a column that is null is 0.
fn number(name: &str, column: &str) -> Result<u64, Refused> {
    if column.is_empty() { Ok(0) } else { column.parse().map_err(|_| bad(name, column)) }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn bad(name: &str, column: &str) -> Refused {
    Refused::new(Reject::BadField, format!("{name} is {column:?}"))
}
