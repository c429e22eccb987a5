//! The access log of ztunnel, both forms.

use portolan_model::{Role, Source};

use super::*;
use crate::FlowEncoding::{ZtunnelJson, ZtunnelText};

const TEXT: &str = concat!(
    "2026-11-23T11:59:58.500000Z\tinfo\taccess\tconnection complete\t",
    r#"src.addr=10.0.0.1:40000 src.workload="curl-1" src.namespace="shop" "#,
    r#"src.identity="spiffe://cluster.local/ns/shop/sa/curl" dst.addr=10.0.0.2:15008 "#,
    r#"dst.hbone_addr=10.0.0.2:9080 dst.service="details.shop.svc.cluster.local" "#,
    r#"direction="outbound" bytes_sent=84 bytes_recv=358 duration="15ms""#
);

const JSON: &str = r#"{"level":"info","time":"2026-11-23T11:59:58.500000Z","scope":"access",
    "message":"connection complete","src.addr":"10.0.0.1:40000","src.workload":"curl-1",
    "dst.addr":"10.0.0.2:15008","dst.hbone_addr":"10.0.0.2:9080","direction":"outbound",
    "bytes_sent":"84","bytes_recv":358,"duration":"15ms"}"#;

fn ahead() -> FlowRow {
    FlowRow {
        scope: SCOPE,
        src: Ip::v4(0x0a00_0001),
        dst: Ip::v4(0x0a00_0002),
        src_port: 40_000,
        dst_port: 9_080,
        proto: Proto::TCP,
        start: 1_795_435_198_485_000_000,
        end: 1_795_435_198_500_000_000,
        bytes: 84,
        flags: Flags(Flags::SYN | Flags::FIN),
        source: Source::Proxy,
        role: Role::SourceDialled,
        ..FlowRow::default()
    }
}

fn back() -> FlowRow {
    let ahead = ahead();
    FlowRow {
        src: ahead.dst,
        dst: ahead.src,
        src_port: ahead.dst_port,
        dst_port: ahead.src_port,
        bytes: 358,
        flags: Flags(Flags::SYN_ACK | Flags::FIN),
        role: Role::SourceAccepted,
        ..ahead
    }
}

/// `TEXT` with one text replaced.
fn with(from: &str, to: &str) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    assert!(TEXT.contains(from), "{from}");
    decode_as(ZtunnelText, TEXT.replace(from, to).as_bytes())
}

fn reason(from: &str, to: &str) -> Reject {
    let (rows, refused) = with(from, to);
    assert_eq!((rows, refused.len()), (vec![], 1), "{from} {to}");
    refused[0].0
}

#[test]
fn connection_is_read_in_both_forms_and_directions() {
    assert_eq!(with("", ""), (vec![ahead(), back()], vec![]));
    assert_eq!(decode_as(ZtunnelJson, JSON.as_bytes()), (vec![ahead(), back()], vec![]));
    let lines = format!("{TEXT}\n2026-11-23T11:59:58Z stderr F {TEXT}\n");
    assert_eq!(decode_as(ZtunnelText, lines.as_bytes()).0.len(), 4);
}

#[test]
fn waypoint_is_where_a_connection_passed_on_its_way() {
    let (rows, refused) = with("hbone_addr=10.0.0.2:9080", "hbone_addr=10.96.0.7:80");
    let vip = Socket::new(Ip::v4(0x0a60_0007), 80);
    assert_eq!(refused, []);
    assert_eq!(rows[0].dst_port, 15_008);
    let xlat = Xlat { dst: vip.ip, dst_port: vip.port, ..Xlat::default() };
    assert_eq!(rows[0].xlat, Some(xlat));
    let xlat = Xlat { src: vip.ip, src_port: vip.port, ..Xlat::default() };
    assert_eq!(rows[1].xlat, Some(xlat));
    // A name behind the tunnel is no address.
    let named = with("hbone_addr=10.0.0.2:9080", "hbone_addr=mysql.db.svc:3306").0[0];
    assert_eq!((named.dst_port, named.xlat), (15_008, None));
}

#[test]
fn connection_of_the_mesh_counts_at_its_client() {
    assert_eq!(reason("outbound", "inbound"), Reject::Derived);
    // Nobody else has seen a client without a ztunnel. Sent is what the server sent.
    let plain = TEXT.replace("dst.hbone_addr=10.0.0.2:9080 ", "").replace("outbound", "inbound");
    let (rows, refused) = decode_as(ZtunnelText, plain.as_bytes());
    assert_eq!(refused, []);
    assert_eq!((rows[0].bytes, rows[1].bytes, rows[0].dst_port), (358, 84, 15_008));
    assert_eq!((rows[0].src, rows[0].role), (ahead().src, Role::SourceDialled));
}

#[test]
fn connection_that_failed_has_no_answer() {
    let failed = TEXT.replace("bytes_recv=358", "bytes_recv=0");
    let refused = format!(r#"{failed} error="io error: \"refused\" (os error 111)""#);
    let (rows, _) = decode_as(ZtunnelText, refused.as_bytes());
    assert_eq!(rows, [ahead()]);
    // What broke later had been answered.
    let broken = format!(r#"{TEXT} error="io error: reset""#);
    assert_eq!(decode_as(ZtunnelText, broken.as_bytes()).0, [ahead(), back()]);
    // Without an error it was answered, if by nothing.
    let (rows, _) = decode_as(ZtunnelText, failed.as_bytes());
    assert_eq!(rows, [ahead(), FlowRow { bytes: 0, ..back() }]);
}

#[test]
fn connection_of_days_is_taken_as_its_last() {
    let rows = with("15ms", "259200000ms").0;
    assert_eq!(rows[0].start, rows[0].end - MAX_SLICE_NANOS);
}

#[test]
fn what_is_no_connection_is_refused_by_its_reason() {
    assert_eq!(reason("complete", "opened"), Reject::Derived);
    assert_eq!(reason("10.0.0.1:40000", "10.0.0.1"), Reject::BadField);
    assert_eq!(reason("10.0.0.2:15008", "unknown"), Reject::BadField);
    assert_eq!(reason("15ms", "fast"), Reject::BadField);
    assert_eq!(reason("15ms", "1.5s"), Reject::BadField);
    assert_eq!(reason("outbound", "sideways"), Reject::BadField);
    assert_eq!(reason("bytes_sent=84", "bytes_sent=-1"), Reject::BadField);
    assert_eq!(reason("2026-11-23T", "2036-11-23T"), Reject::Future);
    assert_eq!(reason("2026-11-23T11:59:58.500000Z", ""), Reject::NoTime);
    assert_eq!(reason("direction=", "direction "), Reject::Undecodable);
    assert_eq!(reason("\"15ms\"", "\"15ms"), Reject::Undecodable);
    assert_eq!(decode_as(ZtunnelText, b" \n ").1[0].0, Reject::Undecodable);
    assert_eq!(decode_as(ZtunnelText, &[0xff]).1[0].0, Reject::Undecodable);
    let other = br#"{"level":"info","time":"2026-11-23T11:59:58Z","message":"started"}"#;
    assert_eq!(decode_as(ZtunnelJson, other).1[0].0, Reject::Derived);
}
