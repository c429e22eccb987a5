//! Hubble's exporter.

use portolan_model::{Role, Source};

use super::*;
use crate::FlowEncoding::HubbleJson;
use crate::flow::reporter;

const EVENT: &str = r#"{"flow":{"time":"2026-11-23T11:59:58.500000001Z","uuid":"x",
    "verdict":"FORWARDED","ethernet":{"source":"aa:bb","destination":"cc:dd"},
    "IP":{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"},
    "l4":{"TCP":{"source_port":40000,"destination_port":8080,"flags":{"SYN":true}}},
    "source":{"ID":7,"identity":1234,"namespace":"shop","pod_name":"web-1"},
    "Type":"L3_L4","node_name":"east/node-1","event_type":{"type":4,"sub_type":3},
    "traffic_direction":"INGRESS","trace_observation_point":"TO_ENDPOINT","is_reply":false,
    "Summary":"TCP Flags: SYN"},"node_name":"east/node-1","time":"2026-11-23T11:59:58.6Z"}"#;

fn row() -> FlowRow {
    FlowRow {
        scope: SCOPE,
        src: Ip::v4(0x0a00_0001),
        dst: Ip::v4(0x0a00_0002),
        src_port: 40_000,
        dst_port: 8_080,
        proto: Proto::TCP,
        start: 1_795_435_198_500_000_001,
        end: 1_795_435_198_500_000_001,
        flags: Flags(Flags::SYN),
        agent: reporter::stand_in("east/node-1"),
        source: Source::Events,
        role: Role::Original,
        ..FlowRow::default()
    }
}

fn with(from: &str, to: &str) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    assert!(EVENT.contains(from), "{from}");
    decode_as(HubbleJson, EVENT.replace(from, to).as_bytes())
}

fn refusal(from: &str, to: &str) -> (Reject, String) {
    let (rows, mut refused) = with(from, to);
    assert_eq!((rows.len(), refused.len()), (0, 1), "{from} {to}");
    refused.remove(0)
}

#[test]
fn event_says_that_a_connection_is_there_and_nothing_of_its_volume() {
    assert_eq!(decode_as(HubbleJson, EVENT.as_bytes()), (vec![row()], vec![]));
}

#[test]
fn reply_is_told_by_connection_tracking_or_not_at_all() {
    let role = |to: &str| with("\"is_reply\":false", to).0[0].role;
    assert_eq!(role("\"is_reply\":true"), Role::Reply);
    assert_eq!(role("\"is_reply\":null"), Role::Unknown);
    assert_eq!(role("\"x\":0"), Role::Unknown);
}

#[test]
fn flags_are_those_of_one_packet() {
    let flags = |to: &str| with("{\"SYN\":true}", to).0[0].flags;
    assert_eq!(flags(r#"{"SYN":true,"ACK":true}"#), Flags(Flags::SYN_ACK));
    assert_eq!(flags(r#"{"ACK":true,"PSH":true}"#), Flags(0));
    assert_eq!(flags(r#"{"ACK":true,"FIN":true}"#), Flags(Flags::FIN));
    assert_eq!(flags(r#"{"RST":true}"#), Flags(Flags::RST));
    assert_eq!(flags("null"), Flags(0));
}

#[test]
fn packet_counts_at_its_endpoints_only() {
    assert_eq!(with("TO_ENDPOINT", "FROM_ENDPOINT").0, [row()]);
    for point in ["TO_OVERLAY", "TO_PROXY", "FROM_NETWORK", "UNKNOWN_POINT", ""] {
        assert_eq!(refusal("TO_ENDPOINT", point).0, Reject::Derived, "{point}");
    }
    assert_eq!(refusal("L3_L4", "L7").0, Reject::Derived);
}

#[test]
fn dropped_packet_is_counted_once_where_it_was_dropped() {
    let drop = EVENT.replace("FORWARDED", "DROPPED").replace("TO_ENDPOINT", "UNKNOWN_POINT");
    let event = |kind: u8| drop.replace("\"type\":4", &format!("\"type\":{kind}"));
    let row = FlowRow { drop_packets: 1, ..row() };
    assert_eq!(decode_as(HubbleJson, event(1).as_bytes()), (vec![row], vec![]));
    let (rows, refused) = decode_as(HubbleJson, event(5).as_bytes());
    assert_eq!((rows, refused[0].0), (vec![], Reject::Derived), "the verdict of the same packet");
}

#[test]
fn lost_events_are_visible_as_losses() {
    let lost = r#"{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"512"},
        "node_name":"east/node-1","time":"2026-11-23T11:59:58Z"}"#;
    let (rows, refused) = decode_as(HubbleJson, lost.as_bytes());
    assert_eq!(rows, []);
    let detail = "east/node-1 lost 512 events in PERF_EVENT_RING_BUFFER".to_owned();
    assert_eq!(refused, [(Reject::SourceLost, detail)]);
    let agent = r#"{"agent_event":{"type":"POLICY_UPDATED"},"node_name":"n"}"#;
    assert_eq!(decode_as(HubbleJson, agent.as_bytes()).1[0].0, Reject::Derived);
}

#[test]
fn other_protocols_are_read() {
    let tcp = r#""TCP":{"source_port":40000,"destination_port":8080,"flags":{"SYN":true}}"#;
    let udp = with(tcp, r#""UDP":{"source_port":5000,"destination_port":53}"#).0[0];
    assert_eq!((udp.proto, udp.src_port, udp.dst_port), (Proto::UDP, 5_000, 53));
    let icmp = with(tcp, r#""ICMPv6":{"type":128}"#).0[0];
    assert_eq!((icmp.proto, icmp.icmp_type, icmp.src_port), (Proto::ICMP6, 128, 0));
    let nat = with("\"ipVersion\"", "\"source_xlated\":\"192.0.2.1\",\"ipVersion\"").0[0];
    assert_eq!(nat, row(), "an address without its port is no socket");
}

#[test]
fn event_that_cannot_be_read_is_refused_by_its_reason() {
    assert_eq!(refusal("\"10.0.0.2\"", "\"\"").0, Reject::NoAddress);
    assert_eq!(refusal("\"IP\"", "\"IP\":null,\"x\"").0, Reject::NoAddress);
    assert_eq!(refusal("\"10.0.0.2\"", "\"web\"").0, Reject::BadField);
    assert_eq!(refusal("8080", "80800").0, Reject::BadField);
    assert_eq!(refusal("\"TCP\"", "\"DCCP\"").0, Reject::BadField);
    assert_eq!(refusal("\"l4\"", "\"l5\""), (Reject::BadField, "no layer 4".to_owned()));
    assert_eq!(refusal("11:59:58.500000001Z", "noon").0, Reject::BadField);
    assert_eq!(refusal("2026-11-23T11:59:58.5", "2036-11-23T11:59:58.5").0, Reject::Future);
    assert_eq!(refusal("{\"flow\"", "[\"flow\"").0, Reject::Undecodable);
    let timeless = EVENT.replace("\"time\"", "\"when\"");
    assert_eq!(decode_as(HubbleJson, timeless.as_bytes()).1[0].0, Reject::NoTime);
}
