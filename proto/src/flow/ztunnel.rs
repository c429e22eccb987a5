//! The access log of Istio's ztunnel: a record for each connection, written as it ends (formats,
//! 4.7).
//!
//! Both ends log a connection of the mesh, each with a socket of its own in front: of the two the
//! client's record counts (flow semantics, section 3.5). A record of the server's side counts where
//! the client is not of the mesh, and no other ztunnel has seen the connection.

use portolan_model::{FlowColumns, Proto, Reject};
use serde::Deserialize;

use super::legs::{Leg, Life, socket};
use super::{Context, refuse};
use crate::json::{self, Number, Text as JsonText};
use crate::{Refused, time};

mod text;

/// The fields of a record that are read, as the JSON form has them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Access<'a> {
    #[serde(borrow)]
    time: JsonText<'a>,
    #[serde(borrow)]
    message: JsonText<'a>,
    #[serde(borrow, rename = "src.addr")]
    src: JsonText<'a>,
    #[serde(borrow, rename = "dst.addr")]
    dst: JsonText<'a>,
    #[serde(borrow, rename = "dst.hbone_addr")]
    hbone: JsonText<'a>,
    #[serde(borrow)]
    direction: JsonText<'a>,
    bytes_sent: Number,
    bytes_recv: Number,
    #[serde(borrow)]
    duration: JsonText<'a>,
    #[serde(borrow)]
    error: JsonText<'a>,
}

const COMPLETE: &str = "connection complete";

/// Appends the records of a message of JSON.
pub(super) fn decode_json(
    payload: &[u8],
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    json::each_value(payload, &mut |place, value| match value
        .and_then(json::object::<Access<'_>>)
        .and_then(|access| access.leg())
    {
        Ok(leg) => leg.admit(context, place, out, refused),
        Err(why) => refuse(why.reason, &why.detail, place, refused),
    });
}

/// Appends the records of a message of text: one a line.
pub(super) fn decode_text(
    payload: &[u8],
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    let Ok(text) = std::str::from_utf8(payload) else {
        return refuse(Reject::Undecodable, "not UTF-8 text", None, refused);
    };
    let is_one = text.trim().lines().nth(1).is_none();
    if text.trim().is_empty() {
        return refuse(Reject::Undecodable, "nothing but white space", None, refused);
    }
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = (!is_one).then_some(place);
        match text::parse(line).and_then(|access| access.leg()) {
            Ok(leg) => leg.admit(context, place, out, refused),
            Err(why) => refuse(why.reason, &why.detail, place, refused),
        }
    }
}

// === impl Access ===

impl Access<'_> {
    fn leg(&self) -> Result<Leg, Refused> {
        let derived = |detail: &str| Err(Refused::new(Reject::Derived, detail));
        if &*self.message != COMPLETE {
            return derived("not the record of a connection that ended");
        }
        let is_tunnelled = !self.hbone.is_empty();
        let (sent, received) = match (&*self.direction, is_tunnelled) {
            ("outbound", _) => (self.bytes_sent.0, self.bytes_recv.0),
            // Sent and received are meant from the side that logs.
            ("inbound", false) => (self.bytes_recv.0, self.bytes_sent.0),
            ("inbound", true) => return derived("the client's side of the tunnel counts"),
            (other, _) => return Err(bad("direction", other)),
        };
        let client = socket(&self.src).ok_or_else(|| bad("src.addr", &self.src))?;
        let mut server = socket(&self.dst).ok_or_else(|| bad("dst.addr", &self.dst))?;
        // The tunnel's own port says nothing of the service; a name behind it is no address.
        let mut landed = socket(&self.hbone);
        if let Some(inner) = landed.filter(|inner| inner.ip == server.ip) {
            server = inner;
            landed = None;
        }
        let end = time::rfc3339(&self.time);
        let is_failed = !self.error.is_empty() && received == 0;
        Ok(Leg {
            client,
            server,
            landed,
            proto: Proto::TCP,
            end: end.ok_or_else(|| Refused::new(Reject::NoTime, "no time in front"))?,
            took: duration(&self.duration).ok_or_else(|| bad("duration", &self.duration))?,
            sent,
            received,
            life: if is_failed { Life::Failed } else { Life::Whole },
        })
    }
}

/// `15ms`: a whole number with its unit, in nanoseconds.
fn duration(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn bad(name: &str, value: &str) -> Refused {
    Refused::new(Reject::BadField, format!("{name} is {value:?}"))
}
