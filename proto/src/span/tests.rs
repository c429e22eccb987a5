use portolan_model::{SpanColumns, SpanKind, SpanStatus};

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

/// A span of the first model is one call with both its ends, and comes apart.
#[test]
fn a_span_of_zipkins_first_model_comes_apart_into_its_halves() {
    let json = r#"[{"traceId":"1","id":"2","parentId":"1","name":"get","timestamp":1556604172000000,"duration":900,
        "annotations":[
          {"timestamp":1556604172000000,"value":"cs","endpoint":{"serviceName":"web"}},
          {"timestamp":1556604172000200,"value":"sr","endpoint":{"serviceName":"api"}},
          {"timestamp":1556604172000700,"value":"ss","endpoint":{"serviceName":"api"}},
          {"timestamp":1556604172000900,"value":"cr","endpoint":{"serviceName":"web"}}],
        "binaryAnnotations":[
          {"key":"error","value":"503","endpoint":{"serviceName":"api"}},
          {"key":"http.status_code","value":"503","endpoint":{"serviceName":"api"}}]},
       {"traceId":"1","id":"3","parentId":"2","name":"get","annotations":[
          {"timestamp":1556604172000300,"value":"sr","endpoint":{"serviceName":"db"}}],
        "binaryAnnotations":[{"key":"ca","value":true,"endpoint":{"serviceName":"api","ipv4":"10.0.0.9","port":4711}}]},
       {"traceId":"1","id":"4","parentId":"2","name":"query","timestamp":1556604172000300,"duration":5,
        "binaryAnnotations":[{"key":"lc","value":"jdbc","endpoint":{"serviceName":"api"}},
          {"key":"sa","value":true,"endpoint":{"serviceName":"mysql","ipv4":"10.0.0.7","port":3306}}]}]"#;
    let mut out = SpanColumns::default();
    let now = 1_556_604_173_000_000_000;
    let refused = &mut |why| panic!("{why:?}");
    decode_spans(SpanEncoding::ZipkinJsonV1, now, 1 << 20, json.as_bytes(), &mut out, refused);
    let shown: Vec<String> = out
        .rows()
        .iter()
        .map(|row| {
            let [service, peer, network] = [row.service, row.peer, row.network].map(|t| out.say(t));
            let took = (row.end - row.start) / 1_000;
            let shared = if row.shared { " shared" } else { "" };
            let (id, kind, status) = (row.span.0, row.kind, row.status);
            format!("{id} {service} {kind:?}{shared} {took} {status:?} -> {peer} {network}")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "2 web Client 900 Unset ->  ",
            "2 api Server shared 500 Error ->  ",
            "3 db Server shared 0 Unset -> api 10.0.0.9",
            "4 api Client 5 Unset -> mysql 10.0.0.7",
        ]
    );
}

/// A message that a collector of the first days wrote: one struct, without a list around it.
#[test]
fn one_span_of_thrift_may_come_without_a_list() {
    let span = ForeignSpan {
        trace: 1 << 64 | 5,
        span: 7,
        kind: SpanKind::Server,
        service: "web".into(),
        start: 1_000_000,
        end: 3_000_000,
        ..ForeignSpan::default()
    };
    let message = write_spans(SpanEncoding::ZipkinThrift, &[span]).remove(0);
    let read = |payload: &[u8]| {
        let (mut out, mut reasons) = (SpanColumns::default(), Vec::new());
        let refused = &mut |why: Refused| reasons.push(why.reason);
        decode_spans(SpanEncoding::ZipkinThrift, 9_000_000, 1 << 20, payload, &mut out, refused);
        (out.rows().iter().map(|row| (row.trace.0, row.span.0)).collect::<Vec<_>>(), reasons)
    };
    // A list's head is its type and its length.
    assert_eq!(read(&message), read(&message[5..]));
    assert_eq!(read(&message), (vec![(1 << 64 | 5, 7)], vec![]));
    assert_eq!(read(&message[..message.len() - 1]), (vec![], vec![Reject::Undecodable]));
    let nested = [vec![15, 0, 77], [15, 0, 0, 0, 1].repeat(40)].concat();
    assert_eq!(read(&nested), (vec![], vec![Reject::Undecodable]));
}

/// As `jsonpb` of Jaeger's model writes a span.
#[test]
fn jaeger_json_has_its_ids_in_base64() {
    let json = r#"{"traceId":"AAAAAAAAAAAAAAAAAAAAEQ==","spanId":"AAAAAAAAAAM=","operationName":"get",
        "references":[{"traceId":"AAAAAAAAAAAAAAAAAAAAEQ==","spanId":"AAAAAAAAAAQ="}],
        "startTime":"2017-01-26T16:46:31.639875-05:00","duration":"5000ns",
        "tags":[{"key":"span.kind","vStr":"client"},{"key":"error","vType":"BOOL","vBool":true},
          {"key":"http.status_code","vType":"INT64","vInt64":"503"}],
        "process":{"serviceName":"web"}}"#;
    let mut out = SpanColumns::default();
    let now = 1_795_435_200_000_000_000;
    let refused = &mut |why| panic!("{why:?}");
    decode_spans(SpanEncoding::JaegerJson, now, 1 << 20, json.as_bytes(), &mut out, refused);
    let [row] = out.rows() else { panic!("one span") };
    assert_eq!((row.trace.0, row.span.0, row.parent.0), (17, 3, 4));
    assert_eq!((row.kind, row.status, row.http_status), (SpanKind::Client, SpanStatus::Error, 503));
    assert_eq!((row.start, row.end - row.start), (1_485_467_191_639_875_000, 5_000));
}

/// One service may hand on 8 bytes of a trace id, another 16: with zeros in front they are the same
/// trace, with anything else in front they are not (trace semantics, C.3).
#[test]
fn an_id_of_eight_bytes_is_that_of_sixteen_with_zeros_in_front() {
    let at = 1_795_435_200_000_000_000;
    let read = |encoding: SpanEncoding, trace: u128| {
        let span = ForeignSpan {
            trace,
            span: 1,
            service: "web".into(),
            start: at,
            end: at + 1_000,
            ..ForeignSpan::default()
        };
        let mut out = SpanColumns::default();
        for message in write_spans(encoding, &[span]) {
            let refused = &mut |why| panic!("{why:?}");
            decode_spans(encoding, at + 9_000, 1 << 20, &message, &mut out, refused);
        }
        out.rows()[0].trace
    };
    let (short, long) = (0x0a0b_0c0d_0e0f_1011, 0x77 << 64 | 0x0a0b_0c0d_0e0f_1011);
    let json =
        br#"[{"traceId":"0a0b0c0d0e0f1011","id":"1","timestamp":1795435200000000,"duration":1,
        "localEndpoint":{"serviceName":"web"}}]"#;
    let mut out = SpanColumns::default();
    let refused = &mut |why| panic!("{why:?}");
    decode_spans(SpanEncoding::ZipkinJson, at + 9_000, 1 << 20, json, &mut out, refused);
    for encoding in SpanEncoding::ALL {
        assert_eq!(read(*encoding, short), out.rows()[0].trace, "{encoding}");
        assert_eq!(read(*encoding, long).0, long, "{encoding}");
    }
}
