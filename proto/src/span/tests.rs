use portolan_model::{SpanColumns, SpanKind};

use super::attributes::weight;
use super::*;

fn field(number: u8, body: &[u8]) -> Vec<u8> {
    // The length as a varint of two bytes: enough for 16 KiB.
    let len = body.len();
    let mut bytes = vec![number << 3 | 2, (len & 0x7f) as u8 | 0x80, (len >> 7) as u8];
    bytes.extend(body);
    bytes
}

fn text(key: &str, value: &str) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, &field(1, value.as_bytes()))].concat()
}

fn span(name: &str) -> Vec<u8> {
    let times = |key: u8, at: u64| [&[key][..], &at.to_le_bytes()].concat();
    [
        field(1, &[1; 8]),
        field(2, &[2; 8]),
        field(5, name.as_bytes()),
        vec![6 << 3, 3],
        times(7 << 3 | 1, 10),
        times(8 << 3 | 1, 30),
    ]
    .concat()
}

fn request(service: &str, spans: &[Vec<u8>]) -> Vec<u8> {
    let resource = field(1, &field(1, &text("service.name", service)));
    let spans: Vec<u8> = spans.iter().flat_map(|span| field(2, span)).collect();
    field(1, &[resource, field(2, &spans)].concat())
}

fn read(payload: &[u8]) -> (SpanColumns, Vec<Reject>) {
    let (mut out, mut reasons) = (SpanColumns::default(), Vec::new());
    let encoding = SpanEncoding::OtlpProto;
    decode_spans(encoding, 100, 1 << 20, payload, &mut out, &mut |why| reasons.push(why.reason));
    (out, reasons)
}

#[test]
fn a_span_has_its_service_and_an_eight_byte_trace_id_is_padded() {
    let (out, refused) = read(&request("web", &[span("get")]));
    assert_eq!(refused, []);
    let row = out.rows()[0];
    assert_eq!(row.trace.0, 0x0101_0101_0101_0101);
    assert_eq!((row.kind, row.start, row.end), (SpanKind::Client, 10, 30));
    assert_eq!(out.say(row.service), "web");
}

#[test]
fn flows_written_as_spans_stay_out_and_are_counted() {
    let (out, refused) = read(&request("mermin", &[span("flow_ipv4_tcp"), span("get")]));
    assert_eq!((out.len(), refused), (1, vec![Reject::Derived]));
}

#[test]
fn a_span_that_nothing_names_is_refused_not_guessed() {
    let (out, refused) = read(&request("unknown_service:java", &[span("get")]));
    assert_eq!((out.len(), refused), (0, vec![Reject::BadField]));
}

#[test]
fn a_truncated_message_is_refused_whole() {
    let whole = request("web", &[span("a"), span("b")]);
    let (out, refused) = read(&whole[..whole.len() - 3]);
    assert_eq!((out.len(), refused), (0, vec![Reject::Undecodable]));
}

#[test]
fn the_weight_is_the_reciprocal_of_the_chance_to_be_kept() {
    assert_eq!(weight("ot=th:0"), Some(1_000));
    assert_eq!(weight("a=b, ot=rv:1;th:8"), Some(2_000));
    assert_eq!(weight("ot=th:fd70a"), Some(99_998));
    assert_eq!(weight("ot=th:"), None);
}
