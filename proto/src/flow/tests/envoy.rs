//! Envoy's access log.

use portolan_model::{Role, Source};

use super::*;
use crate::FlowEncoding::EnvoyJson;

const LINE: &str = r#"{"start_time":"2026-11-23T11:59:50.250Z","duration":120,"method":"GET",
    "path":"/","protocol":"HTTP/1.1","response_code":200,"response_flags":"-",
    "downstream_remote_address":"10.0.0.1:40000","downstream_local_address":"10.0.0.8:443",
    "upstream_local_address":"10.0.0.8:51000","upstream_host":"10.0.0.2:8080",
    "upstream_cluster":"outbound|80||web","bytes_received":17,"bytes_sent":900}"#;

fn leg(src: &str, dst: &str, bytes: u64, role: Role) -> FlowRow {
    let end = |text: &str| text.parse::<std::net::SocketAddr>().unwrap();
    let (src, dst) = (end(src), end(dst));
    FlowRow {
        scope: SCOPE,
        src: src.ip().into(),
        dst: dst.ip().into(),
        src_port: src.port(),
        dst_port: dst.port(),
        proto: Proto::TCP,
        start: 1_795_435_190_250_000_000,
        end: 1_795_435_190_370_000_000,
        bytes,
        source: Source::Proxy,
        role,
        ..FlowRow::default()
    }
}

fn downstream() -> [FlowRow; 2] {
    [
        leg("10.0.0.1:40000", "10.0.0.8:443", 17, Role::SourceDialled),
        leg("10.0.0.8:443", "10.0.0.1:40000", 900, Role::SourceAccepted),
    ]
}

fn upstream() -> FlowRow {
    leg("10.0.0.8:51000", "10.0.0.2:8080", 0, Role::SourceDialled)
}

fn with(from: &str, to: &str) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    assert!(LINE.contains(from), "{from}");
    decode_as(EnvoyJson, LINE.replace(from, to).as_bytes())
}

#[test]
fn request_is_a_leg_from_the_client_and_one_to_the_host() {
    let (rows, refused) = with("", "");
    assert_eq!(refused, []);
    assert_eq!(rows, [&downstream()[..], &[upstream()]].concat());
}

#[test]
fn leg_to_the_host_has_the_bytes_that_were_counted_on_it_or_none() {
    let wire = "\"upstream_wire_bytes_sent\":300,\"upstream_wire_bytes_received\":2000,\"method\"";
    let (rows, _) = with("\"method\"", wire);
    assert_eq!((rows[2].bytes, rows[3].bytes), (300, 2_000));
    assert_eq!(rows[3].role, Role::SourceAccepted);
}

#[test]
fn request_that_went_nowhere_is_the_first_leg_alone() {
    for absent in ["null", "\"-\"", "\"\""] {
        let (rows, refused) = with("\"10.0.0.2:8080\"", absent);
        assert_eq!((rows, refused), (downstream().to_vec(), vec![]));
    }
}

#[test]
fn client_is_the_peer_and_not_what_a_header_says() {
    let (rows, refused) = with("10.0.0.1:40000", "203.0.113.9:0");
    assert_eq!((rows, refused[0].0), (vec![upstream()], Reject::BadField));
    let direct = "\"downstream_direct_remote_address\":\"10.0.0.1:40000\",\"method\"";
    let line = LINE.replace("10.0.0.1:40000", "203.0.113.9:0").replace("\"method\"", direct);
    let (rows, refused) = decode_as(EnvoyJson, line.as_bytes());
    assert_eq!((&rows[..2], &refused[..]), (&downstream()[..], &[][..]));
}

#[test]
fn leg_inside_a_host_is_no_edge() {
    let (rows, refused) = with("10.0.0.8:51000", "127.0.0.6:51000");
    assert_eq!((rows, refused[0].0), (downstream().to_vec(), Reject::Derived));
    let (rows, refused) = with("10.0.0.2:8080", "envoy://internal_client_address/");
    assert_eq!((rows, refused[0].0), (downstream().to_vec(), Reject::BadField));
}

#[test]
fn http3_comes_over_udp() {
    let (rows, _) = with("HTTP/1.1", "HTTP/3");
    assert_eq!((rows[0].proto, rows[2].proto), (Proto::UDP, Proto::TCP));
}

#[test]
fn record_without_time_or_addresses_is_refused_once() {
    assert_eq!(with("start_time", "x").1.len(), 1);
    assert_eq!(with("start_time", "x").1[0].0, Reject::NoTime);
    let (rows, refused) = with("stream_", "_");
    assert_eq!((rows.len(), refused.len(), refused[0].0), (0, 1, Reject::NoAddress));
    assert_eq!(with("120", "-5").1[0].0, Reject::BadField);
    assert_eq!(with("2026-", "2036-").1.len(), 2, "one for each leg");
}
