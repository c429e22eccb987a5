//! What a flow message means, record by record. `GOLDEN` is written by hand from the table of
//! fields, so that it does not depend on any encoder.

use portolan_model::{
    Flags, FlowColumns, FlowRow, Ip, Nanos, Proto, Reject, ScopeId, Socket, Xlat,
};
use prost::Message;
use prost_types::{Duration, Timestamp};

use super::*;
use crate::pbflow;

mod aws_vpc;
mod captures;
mod envoy;
mod goflow2;
mod hubble;
mod json;
mod obi;
mod oracle;
mod ztunnel;

/// 2026-11-23T12:00:00Z, ten seconds after the golden record began.
const NOW: Nanos = 1_795_435_200_000_000_000;
const NOW_SECS: i64 = 1_795_435_200;
const SCOPE: ScopeId = ScopeId(7);

/// TCP 10.0.0.1:40000 -> 10.0.0.2:80.
#[rustfmt::skip]
const GOLDEN: &[u8] = &[
    0x08, 0x80, 0x10, // 1 eth_protocol: 2048
    0x10, 0x01, // 2 direction: egress
    0x1a, 0x0c, 0x08, 0xb6, 0xd5, 0x90, 0xd8, 0x06, // 3 start: 1795435190 s,
          0x10, 0x80, 0xca, 0xb5, 0xee, 0x01, // 500000000 ns
    0x22, 0x08, 0x08, 0xbb, 0xd5, 0x90, 0xd8, 0x06, 0x10, 0x01, // 4 end: 1795435195 s, 1 ns
    0x2a, 0x04, 0x08, 0x11, 0x10, 0x22, // 5 data_link
    0x32, 0x0e, 0x0a, 0x05, 0x0d, 0x01, 0x00, 0x00, 0x0a, // 6 network: 10.0.0.1,
          0x12, 0x05, 0x0d, 0x02, 0x00, 0x00, 0x0a, // 10.0.0.2
    0x3a, 0x08, 0x08, 0xc0, 0xb8, 0x02, 0x10, 0x50, 0x18, 0x06, // 7 transport: 40000, 80, TCP
    0x40, 0xdc, 0x0b, // 8 bytes: 1500
    0x48, 0x03, // 9 packets: 3
    0x52, 0x04, b'e', b't', b'h', b'0', // 10 interface
    0x62, 0x05, 0x0d, 0x09, 0x00, 0x00, 0x0a, // 12 agent_ip: 10.0.0.9
    0x68, 0x82, 0x02, // 13 flags: SYN, SYN-ACK
    0xc2, 0x01, 0x04, 0x10, 0x90, 0xa1, 0x0f, // 24 rtt: 250000 ns
    0xd2, 0x01, 0x08, 0x0a, 0x04, b'e', b't', b'h', b'0', 0x10, 0x01, // 26 dup_list
    0xe2, 0x01, 0x00, // 28 xlat: empty
    0xe8, 0x01, 0x01, // 29 sampling: 1
];

fn golden_row() -> FlowRow {
    FlowRow {
        scope: SCOPE,
        src: Ip::v4(0x0a00_0001),
        dst: Ip::v4(0x0a00_0002),
        src_port: 40_000,
        dst_port: 80,
        proto: Proto::TCP,
        start: 1_795_435_190_500_000_000,
        end: 1_795_435_195_000_000_001,
        bytes: 1_500,
        packets: 3,
        flags: Flags(0x102),
        agent: Ip::v4(0x0a00_0009),
        sampling: 1,
        rtt: 250_000,
        ..FlowRow::default()
    }
}

fn golden() -> pbflow::Record {
    pbflow::Record::decode(GOLDEN).unwrap()
}

/// What a message came to: rows, and reasons with details.
fn decode_as(encoding: FlowEncoding, payload: &[u8]) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    let mut out = FlowColumns::default();
    let mut refused = Vec::new();
    let count =
        FlowDecoder::default().decode(encoding, SCOPE, NOW, payload, &mut out, &mut |why| {
            refused.push((why.reason, why.detail));
        });
    assert_eq!(count, out.len());
    (out.rows().collect(), refused)
}

fn decode(payload: &[u8]) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    decode_as(FlowEncoding::NetobservPb, payload)
}

/// The row of a message that must be one good record.
fn row(record: &pbflow::Record) -> FlowRow {
    let (rows, refused) = decode(&record.encode_to_vec());
    assert_eq!(refused, []);
    rows[0]
}

/// The reason of a message that must be one bad record.
fn reason(record: &pbflow::Record) -> Reject {
    let (rows, refused) = decode(&record.encode_to_vec());
    assert_eq!(rows, []);
    refused[0].0
}

#[expect(clippy::unnecessary_wraps, reason = "the fields of the message are optional")]
fn ip(address: &str) -> Option<pbflow::Ip> {
    let ip = address.parse::<Ip>().unwrap();
    let family = match ip.as_v4() {
        Some(v4) => pbflow::ip::IpFamily::Ipv4(v4),
        None => pbflow::ip::IpFamily::Ipv6(ip.bytes().to_vec()),
    };
    Some(pbflow::Ip { ip_family: Some(family) })
}

#[expect(clippy::unnecessary_wraps, reason = "the fields of the message are optional")]
fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

#[test]
fn golden_record_is_read_field_by_field() {
    assert_eq!(decode(GOLDEN), (vec![golden_row()], vec![]));
}

#[test]
fn every_field_of_the_row_comes_from_its_field_of_the_record() {
    let record = pbflow::Record {
        eth_protocol: 34_525,
        network: Some(pbflow::Network {
            src_addr: ip("2001:db8::1"),
            dst_addr: ip("2001:db8::2"),
            dscp: 46,
        }),
        transport: Some(pbflow::Transport { src_port: 1, dst_port: 2, protocol: 58 }),
        bytes: 11,
        packets: 12,
        flags: 0x7ff,
        icmp_type: 128,
        icmp_code: 9,
        pkt_drop_bytes: 13,
        pkt_drop_packets: 14,
        time_flow_rtt: Some(Duration { seconds: 1, nanos: 15 }),
        xlat: Some(pbflow::Xlat {
            src_addr: ip("0.0.0.0"),
            dst_addr: ip("10.3.3.3"),
            src_port: 16,
            dst_port: 17,
            zone_id: 18,
        }),
        sampling: 19,
        agent_ip: ip("2001:db8::9"),
        ..golden()
    };
    let expected = FlowRow {
        src: "2001:db8::1".parse().unwrap(),
        dst: "2001:db8::2".parse().unwrap(),
        src_port: 1,
        dst_port: 2,
        proto: Proto::ICMP6,
        bytes: 11,
        packets: 12,
        flags: Flags(0x7ff),
        icmp_type: 128,
        drop_bytes: 13,
        drop_packets: 14,
        rtt: 1_000_000_015,
        xlat: Some(Xlat {
            src: Ip::NONE,
            dst: "10.3.3.3".parse().unwrap(),
            src_port: 16,
            dst_port: 17,
        }),
        sampling: 19,
        agent: "2001:db8::9".parse().unwrap(),
        ..golden_row()
    };
    assert_eq!(row(&record), expected);
}

#[test]
fn order_of_fields_and_unknown_fields_do_not_matter() {
    // The golden record with its ethernet type at the end and fields 2000 and 2001 at the front.
    let mut bytes = vec![0x82, 0x7d, 0x02, 0xff, 0xff, 0x89, 0x7d, 1, 2, 3, 4, 5, 6, 7, 8];
    bytes.extend(&GOLDEN[3..]);
    bytes.extend(&GOLDEN[..3]);
    assert_eq!(decode(&bytes), (vec![golden_row()], vec![]));
}

#[test]
fn embedded_message_ends_where_its_length_says() {
    // A start of whole seconds, then the direction (field 2), whose key is that of nanoseconds.
    let mut bytes = vec![0x1a, 0x06, 0x08, 0xb6, 0xd5, 0x90, 0xd8, 0x06, 0x10, 0x01];
    bytes.extend(&GOLDEN[..3]);
    bytes.extend(&GOLDEN[19..]);
    let row = FlowRow { start: 1_795_435_190_000_000_000, ..golden_row() };
    assert_eq!(decode(&bytes), (vec![row], vec![]));
    // The same with a length that is one byte short, or long, is no message.
    for length in [0x05, 0x07] {
        bytes[1] = length;
        assert_eq!(decode(&bytes).1[0].0, Reject::Undecodable);
    }
}

#[test]
fn last_word_on_an_address_counts() {
    // Agent addresses: one of three bytes, which is none, and a good one.
    let bad = [0x62, 0x05, 0x12, 0x03, 1, 2, 3];
    let good = [0x62, 0x05, 0x0d, 0x09, 0x00, 0x00, 0x0a];
    assert_eq!(decode(&[GOLDEN, &bad, &good].concat()), (vec![golden_row()], vec![]));
    assert_eq!(decode(&[GOLDEN, &good, &bad].concat()).1[0].0, Reject::BadField);
}

#[test]
fn many_records_come_in_one_message() {
    let records = pbflow::Records { entries: vec![golden(), golden(), golden()] };
    assert_eq!(decode(&records.encode_to_vec()), (vec![golden_row(); 3], vec![]));
}

#[test]
fn bad_record_among_many_is_refused_alone() {
    let arp = pbflow::Record { eth_protocol: 2_054, ..golden() };
    let mut bytes = pbflow::Records { entries: vec![golden(), arp] }.encode_to_vec();
    bytes.extend([0x0a, 0x02, 0x08, 0x80]); // a record that ends inside its first field
    bytes.extend(pbflow::Records { entries: vec![golden()] }.encode_to_vec());
    let refusals = vec![
        (Reject::NotIp, "record 1: ethernet type 0x0806".to_owned()),
        (Reject::Undecodable, "record 2: ends inside a field".to_owned()),
    ];
    assert_eq!(decode(&bytes), (vec![golden_row(); 2], refusals));
}

#[test]
fn message_with_broken_framing_is_refused_once_and_whole() {
    let mut bytes = pbflow::Records { entries: vec![golden(), golden()] }.encode_to_vec();
    bytes.pop();
    let (rows, refused) = decode(&bytes);
    assert_eq!(rows, []);
    let detail = "records: ends inside a field, at byte 108, after 1 entries".to_owned();
    assert_eq!(refused, [(Reject::Undecodable, detail)]);
}

#[test]
fn earlier_records_in_the_columns_stay() {
    let mut out = FlowColumns::from_iter([golden_row()]);
    let mut decoder = FlowDecoder::default();
    let encoding = FlowEncoding::NetobservPb;
    for payload in [&GOLDEN[..40], GOLDEN, &[0x0a, 0x7f], &[]] {
        decoder.decode(encoding, SCOPE, NOW, payload, &mut out, &mut |_| {});
    }
    assert_eq!(out.rows().collect::<Vec<_>>(), [golden_row(), golden_row()]);
}

#[test]
fn what_is_not_ip_or_has_no_address_is_no_flow() {
    let record = golden();
    assert_eq!(reason(&pbflow::Record { eth_protocol: 2_054, ..record.clone() }), Reject::NotIp);
    assert_eq!(reason(&pbflow::Record { network: None, ..record.clone() }), Reject::NoAddress);
    for zero in ["0.0.0.0", "::"] {
        let network = pbflow::Network { src_addr: ip("10.0.0.1"), dst_addr: ip(zero), dscp: 0 };
        let network = Some(network);
        assert_eq!(reason(&pbflow::Record { network, ..record.clone() }), Reject::NoAddress);
    }
    // An encoder that leaves the type out leaves the addresses to tell.
    assert_eq!(row(&pbflow::Record { eth_protocol: 0, ..record }), golden_row());
}

#[test]
fn record_without_packets_is_empty_but_drops_and_flags_are_packets() {
    let none = pbflow::Record { bytes: 0, packets: 0, flags: 0, ..golden() };
    assert_eq!(reason(&none), Reject::Empty);
    assert_eq!(row(&pbflow::Record { pkt_drop_packets: 1, ..none.clone() }).drop_packets, 1);
    assert_eq!(row(&pbflow::Record { packets: 1, ..none.clone() }).packets, 1);
    assert_eq!(row(&pbflow::Record { flags: 0x10, ..none }).flags, Flags(0x10));
}

#[test]
fn time_must_be_there_in_order_and_not_ahead() {
    let slice =
        |start, end| pbflow::Record { time_flow_start: start, time_flow_end: end, ..golden() };
    let (now, hour) = (NOW_SECS, 3_600);
    let cases = [
        (None, at(now, 0), Reject::NoTime),
        (at(now, 0), None, Reject::NoTime),
        (at(0, 0), at(now, 0), Reject::NoTime),
        (at(-1, 0), at(now, 0), Reject::NoTime),
        (at(now, -1), at(now, 0), Reject::NoTime),
        (at(now, 1_000_000_000), at(now + 2, 0), Reject::NoTime),
        (at(i64::MAX, 999_999_999), at(i64::MAX, 999_999_999), Reject::NoTime),
        (at(now, 1), at(now, 0), Reject::EndsBeforeStart),
        (at(now + hour, 1), at(now + hour, 1), Reject::Future),
        // An end years ahead would spread the record over all windows until then.
        (at(now, 0), at(now + hour, 1), Reject::Future),
        (at(now - 86_400, 0), at(now, 1), Reject::Implausible),
    ];
    for (start, end, expected) in cases {
        assert_eq!(reason(&slice(start, end)), expected, "{start:?} to {end:?}");
    }
    assert_eq!(row(&slice(at(now, 0), at(now, 0))).start, NOW);
    assert_eq!(row(&slice(at(now - 86_400, 0), at(now, 0))).end, NOW);
    assert_eq!(row(&slice(at(now + hour, 0), at(now + hour, 0))).start, NOW + MAX_AHEAD_NANOS);
}

#[test]
fn counter_that_no_flow_can_reach_is_implausible() {
    let record = golden();
    let most = pbflow::Record { bytes: MAX_COUNT, packets: MAX_COUNT, ..record.clone() };
    assert_eq!(row(&most).bytes, MAX_COUNT);
    let over = [
        pbflow::Record { bytes: MAX_COUNT + 1, ..record.clone() },
        pbflow::Record { packets: u64::MAX, ..record.clone() },
        pbflow::Record { pkt_drop_bytes: MAX_COUNT + 1, ..record.clone() },
        pbflow::Record { pkt_drop_packets: MAX_COUNT + 1, ..record.clone() },
        pbflow::Record { bytes: MAX_COUNT, sampling: 2, ..record.clone() },
        pbflow::Record {
            time_flow_rtt: Some(Duration { seconds: -1, nanos: 0 }),
            ..record.clone()
        },
        pbflow::Record { time_flow_rtt: Some(Duration { seconds: 5_000, nanos: 0 }), ..record },
    ];
    for record in &over {
        assert_eq!(reason(record), Reject::Implausible, "{record:?}");
    }
}

#[test]
fn number_that_does_not_fit_its_field_is_a_bad_field() {
    let transport = |src_port, dst_port, protocol| {
        let transport = Some(pbflow::Transport { src_port, dst_port, protocol });
        decode(&pbflow::Record { transport, ..golden() }.encode_to_vec()).1
    };
    let bad = |detail: &str| [(Reject::BadField, detail.to_owned())];
    assert_eq!(transport(65_536, 80, 6), bad("source port 65536, at most 65535"));
    assert_eq!(transport(1, u32::MAX, 6), bad("destination port 4294967295, at most 65535"));
    assert_eq!(transport(1, 80, 256), bad("protocol 256, at most 255"));
    let short = pbflow::Ip { ip_family: Some(pbflow::ip::IpFamily::Ipv6(vec![1; 15])) };
    let network = Some(pbflow::Network { src_addr: Some(short), dst_addr: None, dscp: 0 });
    let (_, refused) = decode(&pbflow::Record { network, ..golden() }.encode_to_vec());
    assert_eq!(refused, bad("source address is not an IP address"));
}

#[test]
fn all_zero_translation_is_none() {
    let zero = pbflow::Xlat { src_addr: ip("0.0.0.0"), src_port: 9, ..pbflow::Xlat::default() };
    assert_eq!(row(&pbflow::Record { xlat: Some(zero), ..golden() }).xlat, None);
}

#[test]
fn icmp_type_counts_for_icmp_only() {
    assert_eq!(row(&pbflow::Record { icmp_type: 3, ..golden() }).icmp_type, 0);
}

#[test]
fn record_marked_as_duplicate_is_a_copy() {
    assert_eq!(reason(&pbflow::Record { duplicate: true, ..golden() }), Reject::Derived);
}

#[test]
fn message_over_the_bound_is_not_looked_at() {
    let mut decoder = FlowDecoder::new(GOLDEN.len() - 1);
    let mut refused = Vec::new();
    let mut out = FlowColumns::default();
    let encoding = FlowEncoding::NetobservPb;
    decoder.decode(encoding, SCOPE, NOW, GOLDEN, &mut out, &mut |why| refused.push(why));
    assert_eq!(refused[0].reason, Reject::TooLarge);
    assert_eq!(refused[0].detail, "message of 106 bytes, at most 105");
}

#[test]
fn accepted_records_allocate_nothing_but_room_in_the_columns() {
    let payload = pbflow::Records { entries: vec![golden(); 100] }.encode_to_vec();
    let mut out = FlowColumns::with_capacity(100);
    let place = out.bytes.as_ptr();
    let mut decoder = FlowDecoder::default();
    let encoding = FlowEncoding::NetobservPb;
    let count = decoder.decode(encoding, SCOPE, NOW, &payload, &mut out, &mut |_| {});
    assert_eq!((count, out.bytes.as_ptr()), (100, place));
}
