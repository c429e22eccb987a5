use portolan_model::{Flags, FlowColumns, FlowRow, Ip, Nanos, Proto, Reject, ScopeId, Xlat};
use prost::Message;

use super::*;
use crate::pbflow;

mod json;
mod oracle;

/// 2026-11-23T12:00:00Z, about when the records below were made.
const NOW: Nanos = 1_795_435_200_000_000_000;
const SCOPE: ScopeId = ScopeId(7);

/// What a message came to: rows, and reasons with details.
fn decode_as(encoding: FlowEncoding, payload: &[u8]) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    let mut out = FlowColumns::default();
    let mut refused = Vec::new();
    let count = FlowDecoder::default().decode(encoding, SCOPE, NOW, payload, &mut out, &mut |why| {
        refused.push((why.reason, why.detail));
    });
    assert_eq!(count, out.len());
    (out.rows().collect(), refused)
}

fn decode(payload: &[u8]) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    decode_as(FlowEncoding::NetobservPb, payload)
}

/// The reason of a message of one record.
fn reason(record: &pbflow::Record) -> Option<Reject> {
    let (rows, refused) = decode(&record.encode_to_vec());
    assert_eq!(rows.len() + refused.len(), 1);
    refused.first().map(|(reason, _)| *reason)
}

/// TCP 10.0.0.1:40000 -> 10.0.0.2:80, byte by byte.
const GOLDEN: &[u8] = &[
    0x08, 0x80, 0x10, // eth_protocol: 2048
    0x10, 0x01, // direction: egress
    0x1a, 0x0b, 0x08, 0x80, 0x8f, 0x90, 0xd8, 0x06, 0x10, 0x80, 0xca, 0xb5, 0xee, // start
    0x01, // … (nanos of the start are five bytes: see the length)
];

fn ip(address: &str) -> pbflow::Ip {
    let ip = address.parse::<Ip>().unwrap();
    let family = match ip.as_v4() {
        Some(v4) => pbflow::ip::IpFamily::Ipv4(v4),
        None => pbflow::ip::IpFamily::Ipv6(ip.bytes().to_vec()),
    };
    pbflow::Ip { ip_family: Some(family) }
}
