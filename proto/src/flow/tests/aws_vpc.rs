//! AWS VPC flow logs.

use portolan_model::{Role, Source};

use super::*;
use crate::FlowEncoding::AwsVpc;
use crate::flow::reporter;
use crate::{DEFAULT_VPC_FIELDS, UnknownVpcFields, is_vpc_header};

const LINE: &str = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 \
                    4249 1795435130 1795435190 ACCEPT OK";

/// The packet's addresses are not those of the interface: a pod behind the node's.
const WIDE: &str = "${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} \
                    ${tcp-flags} ${type} ${pkt-srcaddr} ${pkt-dstaddr} ${flow-direction} ${bytes} \
                    ${packets} ${start} ${end} ${action} ${log-status}";
const WIDE_LINE: &str = "eni-1 10.0.0.5 10.0.0.9 40000 443 6 3 IPv4 10.0.1.7 10.0.2.8 egress 100 2 \
                         1795435130 1795435190 ACCEPT OK";

fn row() -> FlowRow {
    FlowRow {
        scope: SCOPE,
        src: "172.31.16.139".parse().unwrap(),
        dst: "172.31.16.21".parse().unwrap(),
        src_port: 20_641,
        dst_port: 22,
        proto: Proto::TCP,
        start: 1_795_435_130_000_000_000,
        end: 1_795_435_190_000_000_000,
        bytes: 4_249,
        packets: 20,
        agent: reporter::stand_in("eni-1235b8ca123456789"),
        source: Source::CloudLog,
        role: Role::Unknown,
        ..FlowRow::default()
    }
}

fn plain(text: &str) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    decode_as(AwsVpc, text.as_bytes())
}

fn refusal(from: &str, to: &str) -> (Reject, String) {
    assert!(LINE.contains(from), "{from}");
    let (rows, mut refused) = plain(&LINE.replace(from, to));
    assert_eq!((rows.len(), refused.len()), (0, 1), "{from} {to}");
    refused.remove(0)
}

/// `WIDE_LINE` with one text replaced, read by `WIDE`.
fn wide(from: &str, to: &str) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    assert!(WIDE_LINE.contains(from), "{from}");
    let mut out = FlowColumns::default();
    let mut refused = Vec::new();
    let mut decoder = FlowDecoder::default().with_vpc_fields(WIDE).unwrap();
    let line = WIDE_LINE.replace(from, to);
    decoder.decode(AwsVpc, SCOPE, NOW, line.as_bytes(), &mut out, &mut |why| {
        refused.push((why.reason, why.detail));
    });
    (out.rows().collect(), refused)
}

#[test]
fn record_of_the_default_format_is_read_field_by_field() {
    assert_eq!(plain(LINE), (vec![row()], vec![]));
    assert_eq!(plain(&format!("{LINE}\r\n\n{LINE}\n")), (vec![row(); 2], vec![]));
}

#[test]
fn header_says_the_columns_of_its_message() {
    assert!(is_vpc_header(DEFAULT_VPC_FIELDS) && !is_vpc_header(LINE));
    assert_eq!(plain(&format!("{DEFAULT_VPC_FIELDS}\n{LINE}")), (vec![row()], vec![]));
    let other = "dstaddr srcaddr start end srcport dstport protocol bytes\n\
                 10.0.0.2 10.0.0.1 1795435130 1795435190 1 2 17 9";
    let (rows, refused) = plain(other);
    assert_eq!(refused, []);
    assert_eq!((rows[0].src, rows[0].dst_port, rows[0].bytes), (Ip::v4(0x0a00_0001), 2, 9));
    let alone = plain(DEFAULT_VPC_FIELDS);
    assert_eq!(alone, (vec![], vec![(Reject::Derived, "a header and no record".to_owned())]));
}

#[test]
fn ends_are_those_of_the_packets_and_the_reporter_is_the_interface() {
    let row = wide("eni", "eni").0[0];
    assert_eq!((row.src.to_string(), row.dst.to_string()), ("10.0.1.7".into(), "10.0.2.8".into()));
    assert_eq!(row.agent.to_string(), "10.0.0.5", "the sender's interface");
    assert_eq!(wide("egress", "ingress").0[0].agent.to_string(), "10.0.0.9");
    assert_eq!(wide("egress", "-").0[0].agent, reporter::stand_in("eni-1"));
    assert_eq!(wide("10.0.1.7", "-").0[0].src.to_string(), "10.0.0.5");
}

#[test]
fn ored_flags_tell_the_client_from_the_server() {
    let flags = |bits: &str| wide(" 3 IPv4", &format!(" {bits} IPv4")).0[0].flags.0;
    assert_eq!(flags("2"), Flags::SYN);
    assert_eq!(flags("3"), Flags::SYN | Flags::FIN);
    assert_eq!(flags("18"), Flags::SYN_ACK | 0x10);
    assert_eq!(flags("19"), Flags::SYN_ACK | Flags::FIN | 0x10);
    assert_eq!(flags("0"), 0);
    assert_eq!(flags("-"), 0);
    assert_eq!(flags("1"), Flags::FIN);
}

#[test]
fn rejected_traffic_was_dropped() {
    let (rows, refused) = plain(&LINE.replace("ACCEPT", "REJECT"));
    let dropped = FlowRow { bytes: 0, packets: 0, drop_bytes: 4_249, drop_packets: 20, ..row() };
    assert_eq!((rows, refused), (vec![dropped], vec![]));
}

#[test]
fn loss_is_visible_and_silence_is_no_flow() {
    let nodata = "2 123456789010 eni-1 - - - - - - - 1795435130 1795435190 - NODATA";
    assert_eq!(plain(nodata).1[0].0, Reject::Derived);
    let lost = plain(&nodata.replace("NODATA", "SKIPDATA"));
    let detail = "records of eni-1 were skipped".to_owned();
    assert_eq!(lost, (vec![], vec![(Reject::SourceLost, detail)]));
}

#[test]
fn line_that_cannot_be_read_is_refused_alone() {
    let (rows, refused) = plain(&format!("{LINE}\n{LINE} more\n{LINE}"));
    assert_eq!(rows, [row(); 2]);
    let detail = "record 1: 15 columns where the format has 14".to_owned();
    assert_eq!(refused, [(Reject::Undecodable, detail)]);
    assert_eq!(refusal("20641", "x"), (Reject::BadField, "srcport is \"x\"".to_owned()));
    assert_eq!(refusal("20641", "70000").0, Reject::BadField);
    assert_eq!(refusal("ACCEPT", "MAYBE").0, Reject::BadField);
    assert_eq!(refusal("172.31.16.21", "-").0, Reject::NoAddress);
    assert_eq!(refusal(" 22 6 ", " 22 - ").0, Reject::BadField);
    assert_eq!(refusal("20641 22 6", "0 0 1").0, Reject::Derived, "icmp");
    assert_eq!(refusal("1795435190", "1795435129").0, Reject::EndsBeforeStart);
    assert_eq!(refusal("1795435190", "-1").0, Reject::BadField);
    assert_eq!(wide("IPv4", "EFA").1[0].0, Reject::NotIp);
    assert_eq!(plain(" \n").1.len(), 1);
    assert_eq!(decode_as(AwsVpc, &[0xff]).1[0].0, Reject::Undecodable);
}

#[test]
fn format_string_is_checked_word_by_word() {
    let refused = |fields: &str| FlowDecoder::default().with_vpc_fields(fields).unwrap_err();
    let error = refused(&WIDE.replace("bytes", "octets"));
    assert!(
        error.to_string().starts_with("unknown field \"${octets}\", allowed: version account-")
    );
    assert_eq!(refused(&format!("{WIDE} start")), UnknownVpcFields::Twice("start".to_owned()));
    assert_eq!(refused(&WIDE.replace("${end}", "")), UnknownVpcFields::Missing("end"));
    let no_ends = WIDE.replace("${srcaddr}", "").replace("${pkt-srcaddr}", "");
    assert_eq!(refused(&no_ends), UnknownVpcFields::Missing("srcaddr"));
    assert!(FlowDecoder::default().with_vpc_fields(&WIDE.replace('-', "_")).is_ok(), "Parquet");
}
