//! Network metrics of OBI and Beyla. The messages are put together from bytes by hand.

use portolan_model::{Role, Source};

use super::*;
use crate::FlowEncoding::ObiOtlp;

fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut out);
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    [out, bytes.to_vec()].concat()
}

fn fixed(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn text(key: &str, value: &str) -> Vec<u8> {
    let value = field(2, &field(1, value.as_bytes()));
    field(7, &[field(1, key.as_bytes()), value].concat())
}

fn int(key: &str, value: u8) -> Vec<u8> {
    field(7, &[field(1, key.as_bytes()), field(2, &[0x18, value])].concat())
}

fn request(name: &str, temporality: u8, points: &[Vec<u8>]) -> Vec<u8> {
    let points: Vec<u8> = points.iter().flat_map(|point| field(1, point)).collect();
    let sum = [points, vec![0x10, temporality, 0x18, 0x01]].concat();
    let metric = [field(1, name.as_bytes()), field(3, b"By"), field(7, &sum)].concat();
    let scope = [field(1, &field(1, b"obi")), field(2, &metric)].concat();
    field(1, &[field(1, &[]), field(2, &scope)].concat())
}

fn base() -> Vec<u8> {
    [
        fixed(2, 1_795_435_130_000_000_000),
        fixed(3, 1_795_435_190_000_000_000),
        fixed(6, 4_096),
        text("transport", "TCP"),
        text("obi.ip", "10.0.0.9"),
        text("k8s.src.owner.name", "web"),
    ]
    .concat()
}

fn ends() -> Vec<u8> {
    [text("src.address", "10.0.0.1"), text("dst.address", "10.0.0.2")].concat()
}

fn point() -> Vec<u8> {
    [base(), ends(), text("src.port", "40000"), int("dst.port", 80)].concat()
}

fn row() -> FlowRow {
    FlowRow {
        scope: SCOPE,
        src: Ip::v4(0x0a00_0001),
        dst: Ip::v4(0x0a00_0002),
        src_port: 40_000,
        dst_port: 80,
        proto: Proto::TCP,
        start: 1_795_435_130_000_000_000,
        end: 1_795_435_190_000_000_000,
        bytes: 4_096,
        agent: Ip::v4(0x0a00_0009),
        source: Source::Ebpf,
        role: Role::Unknown,
        ..FlowRow::default()
    }
}

fn read(points: &[Vec<u8>]) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    decode_as(ObiOtlp, &request("obi.network.flow.bytes", 1, points))
}

fn reason(point: Vec<u8>) -> Reject {
    let (rows, refused) = read(&[point]);
    assert_eq!((rows, refused.len()), (vec![], 1));
    refused[0].0
}

#[test]
fn point_with_addresses_is_a_flow() {
    assert_eq!(read(&[point(), point()]), (vec![row(); 2], vec![]));
    let beyla = request("beyla.network.flow.bytes", 1, &[point()]);
    assert_eq!(decode_as(ObiOtlp, &beyla), (vec![row()], vec![]));
    let double = [point(), fixed(4, 12.0_f64.to_bits())].concat();
    assert_eq!(read(&[double]).0[0].bytes, 12);
}

#[test]
fn point_without_addresses_is_refused_with_what_to_do() {
    let (rows, refused) = read(&[point(), base()]);
    assert_eq!(rows, [row()]);
    let detail = "record 1: no src.address and dst.address: select these attributes for the metric";
    assert_eq!(refused, [(Reject::BadField, detail.to_owned())]);
}

#[test]
fn ports_of_client_and_server_stand_by_the_direction() {
    let ports = |direction: &str| {
        let ports = [int("client.port", 100), int("server.port", 80)].concat();
        let row = read(&[[base(), ends(), ports, text("direction", direction)].concat()]).0[0];
        (row.src_port, row.dst_port, row.role)
    };
    assert_eq!(ports("request"), (100, 80, Role::Unknown));
    assert_eq!(ports("response"), (80, 100, Role::Unknown));
    assert_eq!(ports("unknown"), (0, 0, Role::Unknown));
}

#[test]
fn cumulative_sum_is_refused_as_a_whole() {
    for temporality in [0, 2] {
        let message = request("obi.network.flow.bytes", temporality, &[point(), point()]);
        let (rows, refused) = decode_as(ObiOtlp, &message);
        assert_eq!((rows, refused.len()), (vec![], 1));
        assert!(refused[0].1.ends_with("export it as a delta"), "{refused:?}");
    }
}

#[test]
fn other_metrics_are_refused_each_by_name() {
    let message = [
        request("obi.network.inter.zone.bytes", 1, &[point()]),
        request("obi.network.flow.bytes", 1, &[point()]),
    ]
    .concat();
    let (rows, refused) = decode_as(ObiOtlp, &message);
    assert_eq!(rows, [row()]);
    let detail = "record 0: obi.network.inter.zone.bytes: not the bytes of flows".to_owned();
    assert_eq!(refused, [(Reject::Derived, detail)]);
    assert_eq!(read(&[]).1[0].0, Reject::Empty);
    assert_eq!(decode_as(ObiOtlp, &field(1, &[])).1[0].0, Reject::Derived);
}

#[test]
fn value_that_is_none_is_refused_by_its_reason() {
    let more = |more: Vec<u8>| reason([point(), more].concat());
    assert_eq!(more(text("src.port", "http")), Reject::BadField);
    assert_eq!(more(text("dst.port", "70000")), Reject::BadField);
    assert_eq!(more(text("src.address", "web")), Reject::BadField);
    assert_eq!(more(int("dst.address", 7)), Reject::BadField);
    assert_eq!(more(text("transport", "")), Reject::BadField);
    assert_eq!(more(text("transport", "ICMP")), Reject::Derived);
    assert_eq!(more(fixed(6, u64::MAX)), Reject::BadField, "-1");
    assert_eq!(more(fixed(4, 1.5_f64.to_bits())), Reject::BadField);
    assert_eq!(more(fixed(4, f64::NAN.to_bits())), Reject::BadField);
    assert_eq!(more(fixed(2, 0)), Reject::NoTime);
    assert_eq!(more(fixed(6, 0)), Reject::Empty);
}

#[test]
fn break_anywhere_refuses_the_message_once() {
    let good = request("obi.network.flow.bytes", 1, &[point(), point()]);
    for end in 1..good.len() {
        let (rows, refused) = decode_as(ObiOtlp, &good[..end]);
        assert_eq!((rows.len(), refused.len()), (0, 1), "cut at {end}");
        assert_eq!(refused[0].0, Reject::Undecodable);
    }
    // A point of another wire type deep inside, after one that is good.
    let bad = request("obi.network.flow.bytes", 1, &[point(), vec![0x18, 0x01]]);
    let (rows, refused) = decode_as(ObiOtlp, &bad);
    assert_eq!((rows.len(), refused[0].0), (0, Reject::Undecodable));
}
