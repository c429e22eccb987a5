//! What proxies log: a connection at its end, with both directions in one record.

use portolan_model::{Flags, FlowColumns, Ip, Proto, Role, Socket, Source};

use super::judge::MAX_SLICE_NANOS;
use super::raw::{RawFlow, WireTime};
use super::{Context, admit};
use crate::Refused;

/// One connection that a proxy accepted or dialled.
#[derive(Copy, Clone, Debug)]
pub(super) struct Leg {
    pub(super) client: Socket,
    pub(super) server: Socket,
    /// Where the proxy sent what was addressed to the server.
    pub(super) landed: Option<Socket>,
    pub(super) proto: Proto,
    /// Its end in nanoseconds, and how long it took.
    pub(super) end: u64,
    pub(super) took: u64,
    /// Bytes of the payload, from client to server and back.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// What is known of the connection itself.
    pub(super) life: Life,
}

/// What a record says of the life of its connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// The record is the whole of one connection.
    Whole,
    /// It is the whole of one that failed.
    Failed,
    /// It is one of perhaps many requests on a connection.
    Part,
}

// === impl Leg ===

impl Leg {
    /// Appends a row for each direction that carried something. The first is always there.
    pub(super) fn admit(
        &self,
        context: Context,
        place: Option<usize>,
        out: &mut FlowColumns,
        refused: &mut dyn FnMut(Refused),
    ) {
        let before = out.len();
        admit(&self.row(true), context, place, out, refused);
        // What keeps the first row out keeps out the second: one record is refused once.
        if out.len() > before && (self.received > 0 || self.life == Life::Whole) {
            admit(&self.row(false), context, place, out, refused);
        }
    }

    fn row(&self, is_ahead: bool) -> RawFlow {
        // A connection of more than a day is taken as its last day.
        let start = self.end.saturating_sub(self.took.min(MAX_SLICE_NANOS));
        let (src, dst) =
            if is_ahead { (self.client, self.server) } else { (self.server, self.client) };
        let mut raw = RawFlow {
            start: WireTime::from_nanos(start),
            end: WireTime::from_nanos(self.end),
            src: src.ip,
            dst: dst.ip,
            src_port: src.port.into(),
            dst_port: dst.port.into(),
            proto: self.proto.0.into(),
            bytes: if is_ahead { self.sent } else { self.received },
            flags: self.flags(is_ahead).into(),
            source: Source::Proxy,
            role: if is_ahead { Role::SourceDialled } else { Role::SourceAccepted },
            ..RawFlow::default()
        };
        match self.landed {
            Some(landed) if is_ahead => {
                (raw.xlat_dst, raw.xlat_dst_port) = (landed.ip, landed.port.into());
            }
            Some(landed) => (raw.xlat_src, raw.xlat_src_port) = (landed.ip, landed.port.into()),
            None => {}
        }
        raw
    }

    /// A connection that is whole was opened, answered and closed, whoever saw the packets.
    fn flags(&self, is_ahead: bool) -> u16 {
        match (self.life, is_ahead) {
            (Life::Part, _) => 0,
            (_, true) => Flags::SYN | Flags::FIN,
            (Life::Whole, false) => Flags::SYN_ACK | Flags::FIN,
            (Life::Failed, false) => Flags::FIN,
        }
    }
}

/// `ip:port` or `[ip]:port`.
pub(super) fn socket(text: &str) -> Option<Socket> {
    let address = text.parse::<std::net::SocketAddr>().ok()?;
    Some(Socket::new(Ip::from(address.ip()), address.port()))
}
