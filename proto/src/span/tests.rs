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

/// The same spans in every format.
#[test]
fn every_format_says_the_same_of_the_same_spans() {
    let at = 1_795_435_200_000_000_000;
    let span = |id: u64, parent: u64, kind, service: &str| ForeignSpan {
        trace: 0xfeed_beef,
        span: id,
        parent,
        kind,
        name: "get".into(),
        service: service.into(),
        start: at + id * 1_000_000,
        end: at + 90_000_000 - id * 1_000_000,
        ..ForeignSpan::default()
    };
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut spans = vec![
        span(1, 0, SpanKind::Server, "web"),
        span(2, 1, SpanKind::Client, "web"),
        span(3, 2, SpanKind::Server, "api"),
        span(4, 3, SpanKind::Internal, "api"),
        span(5, 4, SpanKind::Client, "api"),
        span(6, 4, SpanKind::Producer, "api"),
    ];
    spans[2].error = true;
    spans[2].attributes = vec![tag("http.response.status_code", "503")];
    spans[4].attributes = vec![tag("db.system", "redis"), tag("server.address", "cache")];
    spans[4].attributes.push(tag("server.port", "6379"));
    spans[1].attributes = vec![tag("peer.service", "api")];
    let rows = |encoding: SpanEncoding| {
        let mut out = SpanColumns::default();
        for message in write_spans(encoding, &spans) {
            decode_spans(encoding, at + 1_000_000_000, 1 << 20, &message, &mut out, &mut |why| {
                panic!("{encoding}: {why:?}")
            });
        }
        let say = |row: &portolan_model::SpanRow| {
            let texts = [row.service, row.peer, row.address, row.db_system, row.operation];
            let plain = (row.trace, row.span, row.parent, row.kind, row.start, row.end);
            let texts = texts.map(|text| out.say(text).to_owned());
            (plain, row.status, row.port, row.http_status, texts)
        };
        out.rows().iter().map(say).collect::<Vec<_>>()
    };
    let first = rows(SpanEncoding::OtlpProto);
    assert_eq!(first.len(), spans.len());
    for encoding in SpanEncoding::ALL {
        assert_eq!(rows(*encoding), first, "{encoding}");
    }
}

/// What Zipkin's own documentation shows (`zipkin2-api.yaml`, `Span`), in our words.
#[test]
fn zipkin_json_is_read_as_its_documentation_has_it() {
    let json = r#"[{"traceId":"5af7183fb1d4cf5f","id":"352bff9a74ca9ad2","parentId":"6b221d5bc9e6496c",
        "kind":"SERVER","shared":true,"name":"get /api","timestamp":1556604172355737,"duration":1431,
        "localEndpoint":{"serviceName":"backend","ipv4":"192.168.99.1","port":3306},
        "remoteEndpoint":{"ipv4":"172.19.0.2","port":58648},
        "tags":{"http.method":"GET","http.path":"/api"}},
        {"traceId":"463ac35c9f6413ad48485a3953bb6124","id":"a2fb4a1d1a96d312","name":"query",
        "timestamp":1556604172355737,"duration":10,"localEndpoint":{"serviceName":"frontend"},
        "remoteEndpoint":{"serviceName":"mysql","ipv6":"2001:db8::c001"}}]"#;
    let mut out = SpanColumns::default();
    let now = 1_556_604_173_000_000_000;
    let refused = &mut |why| panic!("{why:?}");
    decode_spans(SpanEncoding::ZipkinJson, now, 1 << 20, json.as_bytes(), &mut out, refused);
    let [server, client] = out.rows() else { panic!("two spans") };
    assert_eq!((server.trace.0, server.span.0), (0x5af7_183f_b1d4_cf5f, 0x352b_ff9a_74ca_9ad2));
    assert!(server.shared && server.http);
    assert_eq!((out.say(server.service), out.say(server.network)), ("backend", "172.19.0.2"));
    assert_eq!(server.end - server.start, 1_431_000);
    assert_eq!(client.trace.0, 0x463a_c35c_9f64_13ad_4848_5a39_53bb_6124);
    assert_eq!(client.kind, SpanKind::Client, "no kind and another service: a client");
    assert_eq!((out.say(client.peer), out.say(client.network)), ("mysql", "2001:db8::c001"));
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
