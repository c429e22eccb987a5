//! goflow2, both forms.

use portolan_model::{Role, Source};

use super::*;
use crate::FlowEncoding::{Goflow2Json, Goflow2Pb};

/// NetFlow v9, TCP 10.0.0.1:40000 -> 10.0.0.2:80, by hand from the table of fields.
#[rustfmt::skip]
const GOLDEN: &[u8] = &[
    0x08, 0x03, // 1 type: NETFLOW_V9
    0x18, 0xe8, 0x07, // 3 sampling_rate: 1000
    0x20, 0x07, // 4 sequence_num
    0x32, 0x04, 10, 0, 0, 1, // 6 src_addr
    0x3a, 0x04, 10, 0, 0, 2, // 7 dst_addr
    0x48, 0xdc, 0x0b, // 9 bytes: 1500
    0x50, 0x03, // 10 packets: 3
    0x5a, 0x04, 192, 168, 0, 1, // 11 sampler_address
    0x90, 0x01, 0x05, // 18 in_if
    0xa0, 0x01, 0x06, // 20 proto: TCP
    0xa8, 0x01, 0xc0, 0xb8, 0x02, // 21 src_port: 40000
    0xb0, 0x01, 0x50, // 22 dst_port: 80
    0xd0, 0x01, 0x02, // 26 tcp_flags: SYN alone
    0xf0, 0x01, 0x80, 0x10, // 30 etype: 2048
    0xb8, 0x06, 0x00, // 103 layer_stack
    0xf0, 0x06, 0x80, 0xec, 0x82, 0xad, 0xd0, 0xd9, 0xaa, 0xf5, 0x18, // 110 time_received_ns
    0xf8, 0x06, 0x80, 0x90, 0xe8, 0xaf, 0xa7, 0xd9, 0xaa, 0xf5, 0x18, // 111 time_flow_start_ns
    0x80, 0x07, 0x80, 0xc2, 0xe4, 0xcd, 0xbc, 0xd9, 0xaa, 0xf5, 0x18, // 112 time_flow_end_ns
];

const JSON: &str = r#"{"type":"NETFLOW_V9","time_received_ns":1795435199000000000,
    "sequence_num":7,"sampling_rate":1000,"sampler_address":"192.168.0.1",
    "time_flow_start_ns":1795435188000000000,"time_flow_end_ns":1795435193700000000,
    "bytes":1500,"packets":3,"src_addr":"10.0.0.1","dst_addr":"10.0.0.2","etype":"IPv4",
    "proto":"TCP","src_port":40000,"dst_port":80,"tcp_flags":2,"src_mac":"00:00:00:00:00:00"}"#;

fn row() -> FlowRow {
    FlowRow {
        scope: SCOPE,
        src: Ip::v4(0x0a00_0001),
        dst: Ip::v4(0x0a00_0002),
        src_port: 40_000,
        dst_port: 80,
        proto: Proto::TCP,
        start: 1_795_435_188_000_000_000,
        end: 1_795_435_193_700_000_000,
        bytes: 1_500,
        packets: 3,
        flags: Flags(Flags::SYN),
        agent: Ip::v4(0xc0a8_0001),
        sampling: 1_000,
        source: Source::Router,
        role: Role::Unknown,
        ..FlowRow::default()
    }
}

fn json(from: &str, to: &str) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    assert!(JSON.contains(from), "{from}");
    decode_as(Goflow2Json, JSON.replace(from, to).as_bytes())
}

/// The message with one field more, which counts instead of an earlier one of the same number.
fn with(field: &[u8]) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    decode_as(Goflow2Pb, &[GOLDEN, field].concat())
}

#[test]
fn message_is_read_field_by_field_in_both_forms() {
    assert_eq!(decode_as(Goflow2Pb, GOLDEN), (vec![row()], vec![]));
    assert_eq!(json("TCP", "TCP"), (vec![row()], vec![]));
}

#[test]
fn length_in_front_is_taken_off_if_it_is_that_of_the_rest() {
    let delimited = [&[GOLDEN.len() as u8][..], GOLDEN].concat();
    assert_eq!(decode_as(Goflow2Pb, &delimited), (vec![row()], vec![]));
    // Any other number in front is the key of a field, and not one that was sent.
    let wrong = [&[GOLDEN.len() as u8 - 1][..], GOLDEN].concat();
    assert_eq!(decode_as(Goflow2Pb, &wrong).0, []);
}

#[test]
fn syn_counts_only_where_it_is_the_only_flag() {
    let flags = |bits: u32| json("\"tcp_flags\":2", &format!("\"tcp_flags\":{bits}")).0[0].flags.0;
    assert_eq!(flags(0x02), Flags::SYN);
    assert_eq!(flags(0x12), 0x10, "a SYN-ACK, or a SYN and an ACK: who knows");
    assert_eq!(flags(0x1b), 0x19);
    assert_eq!(flags(0x102), Flags::SYN, "the reserved bits are not those of agents");
    assert_eq!(flags(0x700), 0);
    assert_eq!(with(&[0xd0, 0x01, 0x1b]).0[0].flags, Flags(0x19));
}

#[test]
fn flow_without_times_lies_at_its_arrival() {
    let (rows, _) = json("_flow_start_ns", "_x");
    let end = row().end;
    assert_eq!((rows[0].start, rows[0].end), (end, end));
    let start = row().start;
    let (rows, _) = json("_flow_end_ns", "_x");
    assert_eq!((rows[0].start, rows[0].end), (start, start));
    let flow = JSON.replace("_flow_start_ns", "_x").replace("_flow_end_ns", "_y");
    let (rows, _) = decode_as(Goflow2Json, flow.as_bytes());
    assert_eq!(
        (rows[0].start, rows[0].end),
        (1_795_435_199_000_000_000, 1_795_435_199_000_000_000)
    );
}

#[test]
fn what_is_no_flow_is_refused_by_its_reason() {
    assert_eq!(json("\"IPv4\"", "\"ARP\"").1[0].0, Reject::NotIp);
    assert_eq!(json("\"IPv4\"", "\"\"").0, [row()], "the addresses decide");
    assert_eq!(json("\"10.0.0.2\"", "\"\"").1[0].0, Reject::NoAddress);
    assert_eq!(json("40000", "70000").1[0].0, Reject::BadField);
    assert_eq!(json("1000,", "18446744073709551615,").1[0].0, Reject::Implausible);
    let unnamed = json("\"TCP\"", "\"\"").1;
    assert_eq!(unnamed, [(Reject::BadField, "protocol \"\" is not known".to_owned())]);
    assert_eq!(json("\"TCP\"", "47").0[0].proto, Proto(47));
}

#[test]
fn broken_message_is_refused_whole() {
    for (field, reason) in [
        (&[0x32, 0x04, 10, 0][..], Reject::Undecodable),
        (&[0x30, 0x04], Reject::Undecodable),
        (&[0xf2, 0x06, 0x00], Reject::Undecodable),
        (&[0x32, 0x03, 10, 0, 0], Reject::BadField),
        (&[0x32, 0x00], Reject::NoAddress),
        (&[0xa0, 0x01, 0x80, 0x02], Reject::BadField),
        (&[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Reject::Implausible),
    ] {
        let (rows, refused) = with(field);
        assert_eq!((rows, refused[0].0, refused.len()), (vec![], reason, 1), "{field:?}");
    }
    // Fields that nobody reads may be of any kind.
    assert_eq!(with(&[0xc8, 0x01, 0x01, 0xfa, 0x07, 0x01, 0x00]).0, [row()]);
}
