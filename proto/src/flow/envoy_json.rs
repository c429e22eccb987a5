//! Envoy's access log as JSON objects, with the names of the command operators in lower case
//! (`%DOWNSTREAM_REMOTE_ADDRESS%` is `downstream_remote_address`), as Istio's default format has
//! them.
//!
//! A record is a request, or a TCP connection: one leg from the client to the listener and one from
//! Envoy to the host that it chose. Which legs belong together is not told to the line yet.

use portolan_model::{FlowColumns, Proto, Reject, Socket};
use serde::Deserialize;

use super::legs::{Leg, Life, socket};
use super::{Context, refuse};
use crate::json::{self, Number, Text};
use crate::{Refused, time};

/// The names that are read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Access<'a> {
    #[serde(borrow)]
    start_time: Text<'a>,
    /// Milliseconds.
    duration: Number,
    #[serde(borrow)]
    protocol: Text<'a>,
    #[serde(borrow)]
    upstream_protocol: Text<'a>,
    /// The peer of the connection, where the log has it: the other one may come from a header.
    #[serde(borrow)]
    downstream_direct_remote_address: Text<'a>,
    #[serde(borrow)]
    downstream_remote_address: Text<'a>,
    #[serde(borrow)]
    downstream_local_address: Text<'a>,
    #[serde(borrow)]
    upstream_local_address: Text<'a>,
    #[serde(borrow)]
    upstream_host: Text<'a>,
    /// From the client, and to it: bodies of HTTP, or the bytes of TCP.
    bytes_received: Number,
    bytes_sent: Number,
    upstream_wire_bytes_sent: Number,
    upstream_wire_bytes_received: Number,
}

/// Appends the legs of a message.
pub(super) fn decode(
    payload: &[u8],
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    json::each_value(payload, &mut |place, value| {
        let access = match value.and_then(json::object::<Access<'_>>) {
            Ok(access) => access,
            Err(why) => return refuse(why.reason, &why.detail, place, refused),
        };
        let Some(start) = time::rfc3339(&access.start_time) else {
            return refuse(Reject::NoTime, "no start_time", place, refused);
        };
        let legs = [access.downstream(start), access.upstream(start)];
        if legs.iter().all(Option::is_none) {
            refuse(Reject::NoAddress, "neither leg has its addresses", place, refused);
        }
        for leg in legs.into_iter().flatten() {
            match leg {
                Ok(leg) => leg.admit(context, place, out, refused),
                Err(why) => refuse(why.reason, &why.detail, place, refused),
            }
        }
    });
}

/// An end of a leg: the name of its field, and what stood in it.
type End<'a> = (&'static str, &'a str);

// === impl Access ===

impl Access<'_> {
    fn downstream(&self, start: u64) -> Option<Result<Leg, Refused>> {
        let client: End<'_> = if is_absent(&self.downstream_direct_remote_address) {
            ("downstream_remote_address", &self.downstream_remote_address)
        } else {
            ("downstream_direct_remote_address", &self.downstream_direct_remote_address)
        };
        let server = ("downstream_local_address", &*self.downstream_local_address);
        let bytes = (self.bytes_received.0, self.bytes_sent.0);
        self.leg(start, client, server, bytes, &self.protocol)
    }

    fn upstream(&self, start: u64) -> Option<Result<Leg, Refused>> {
        let client = ("upstream_local_address", &*self.upstream_local_address);
        let server = ("upstream_host", &*self.upstream_host);
        // What went out is not what came in (headers, TLS, filters): its own count, or none.
        let bytes = (self.upstream_wire_bytes_sent.0, self.upstream_wire_bytes_received.0);
        self.leg(start, client, server, bytes, &self.upstream_protocol)
    }

    /// A leg; none where one of its ends is absent.
    fn leg(
        &self,
        start: u64,
        client: End<'_>,
        server: End<'_>,
        (sent, received): (u64, u64),
        protocol: &str,
    ) -> Option<Result<Leg, Refused>> {
        if is_absent(client.1) || is_absent(server.1) {
            return None;
        }
        let (client, server) = match (end(client), end(server)) {
            (Ok(client), Ok(server)) => (client, server),
            (Err(why), _) | (_, Err(why)) => return Some(Err(why)),
        };
        if client.ip.to_std().is_loopback() || server.ip.to_std().is_loopback() {
            let why = "a leg between a proxy and its own host";
            return Some(Err(Refused::new(Reject::Derived, why)));
        }
        let took = self.duration.0.saturating_mul(1_000_000);
        Some(Ok(Leg {
            client,
            server,
            landed: None,
            proto: if protocol == "HTTP/3" { Proto::UDP } else { Proto::TCP },
            end: start.saturating_add(took),
            took,
            sent,
            received,
            life: Life::Part,
        }))
    }
}

/// Envoy writes null, or a dash, for what it does not have.
fn is_absent(text: &str) -> bool {
    matches!(text, "" | "-")
}

/// The socket of an end. An address that Envoy took from a header has the port 0: whoever sent the
/// header is not thereby the peer.
fn end((name, text): End<'_>) -> Result<Socket, Refused> {
    let socket = socket(text).filter(|socket| socket.port != 0);
    socket.ok_or_else(|| {
        Refused::new(Reject::BadField, format!("{name} {text:?} is not the socket of a peer"))
    })
}
