//! Zipkin's four formats. None has links, and all name the other end apart from the tags.

use portolan_model::SpanKind;
use serde_json::{Value, json};

use super::ForeignSpan;
use super::bytes::{field, varint};

/// What names the other end in tags of ours.
const PEER: &str = "peer.service";

pub(super) fn json_v2(spans: &[ForeignSpan]) -> Value {
    let spans = spans.iter().map(|span| {
        let mut tags: serde_json::Map<String, Value> =
            span.attributes.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        if span.error {
            tags.insert("error".into(), json!("true"));
        }
        let mut out = json!({
            "traceId": format!("{:032x}", span.trace),
            "id": format!("{:016x}", span.span),
            "name": span.name,
            "timestamp": span.start / 1_000,
            "duration": (span.end - span.start) / 1_000,
            "localEndpoint": {"serviceName": span.service},
        });
        if span.parent != 0 {
            out["parentId"] = json!(format!("{:016x}", span.parent));
        }
        if span.kind != SpanKind::Internal {
            out["kind"] = json!(format!("{:?}", span.kind).to_uppercase());
        }
        if let Some(peer) = tags.remove(PEER) {
            out["remoteEndpoint"] = json!({"serviceName": peer});
        }
        out["tags"] = Value::Object(tags);
        out
    });
    Value::Array(spans.collect())
}

pub(super) fn proto(spans: &[ForeignSpan]) -> Vec<u8> {
    let endpoint = |number: u32, service: &str| field(number, &field(1, service.as_bytes()));
    let spans = spans.iter().map(|span| {
        let mut out = [
            field(1, &span.trace.to_be_bytes()),
            field(3, &span.span.to_be_bytes()),
            field(5, span.name.as_bytes()),
            super::fixed(6, span.start / 1_000),
            endpoint(8, &span.service),
        ]
        .concat();
        if span.parent != 0 {
            out.extend(field(2, &span.parent.to_be_bytes()));
        }
        let kind = match span.kind {
            SpanKind::Internal => 0,
            SpanKind::Client => 1,
            SpanKind::Server => 2,
            SpanKind::Producer => 3,
            SpanKind::Consumer => 4,
        };
        out.extend([4 << 3, kind, 7 << 3]);
        varint(&mut out, (span.end - span.start) / 1_000);
        let error = span.error.then_some(("error", "true"));
        let tags = span.attributes.iter().map(|(key, value)| (&**key, &**value));
        for (key, value) in tags.chain(error) {
            if key == PEER {
                out.extend(endpoint(9, value));
            } else {
                out.extend(field(
                    11,
                    &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat(),
                ));
            }
        }
        field(1, &out)
    });
    spans.flatten().collect()
}

/// What begins and ends a half of the first model, and what names its other end.
fn marks(kind: SpanKind) -> Option<[&'static str; 3]> {
    match kind {
        SpanKind::Internal => None,
        SpanKind::Client => Some(["cs", "cr", "sa"]),
        SpanKind::Server => Some(["sr", "ss", "ca"]),
        SpanKind::Producer => Some(["ms", "ws", "ma"]),
        SpanKind::Consumer => Some(["wr", "mr", "ma"]),
    }
}

pub(super) fn json_v1(spans: &[ForeignSpan]) -> Value {
    let spans = spans.iter().map(|span| {
        let own = json!({"serviceName": span.service});
        let marks = marks(span.kind);
        let annotations = marks.into_iter().flat_map(|[begin, end, _]| {
            [(begin, span.start), (end, span.end)].map(
                |(value, at)| json!({"timestamp": at / 1_000, "value": value, "endpoint": own}),
            )
        });
        let other = marks.map_or("sa", |[.., other]| other);
        let mut tags: Vec<Value> = (span.attributes.iter())
            .map(|(key, value)| match &**key {
                PEER => json!({"key": other, "value": true, "endpoint": {"serviceName": value}}),
                _ => json!({"key": key, "value": value, "endpoint": own}),
            })
            .collect();
        if span.error {
            tags.push(json!({"key": "error", "value": "true", "endpoint": own}));
        }
        if marks.is_none() {
            tags.push(json!({"key": "lc", "value": "", "endpoint": own}));
        }
        let mut out = json!({
            "traceId": format!("{:032x}", span.trace),
            "id": format!("{:016x}", span.span),
            "name": span.name,
            "timestamp": span.start / 1_000,
            "duration": (span.end - span.start) / 1_000,
            "annotations": annotations.collect::<Vec<_>>(),
            "binaryAnnotations": tags,
        });
        if span.parent != 0 {
            out["parentId"] = json!(format!("{:016x}", span.parent));
        }
        out
    });
    Value::Array(spans.collect())
}

pub(super) fn thrift(spans: &[ForeignSpan]) -> Vec<u8> {
    structs(spans.iter().map(thrift_span))
}

fn thrift_span(span: &ForeignSpan) -> Vec<u8> {
    let host = |number: u8, service: &str| {
        [&[12, 0, number][..], &binary(3, service.as_bytes()), &[0]].concat()
    };
    let marks = marks(span.kind);
    let annotations = marks.into_iter().flat_map(|[begin, end, _]| {
        [(begin, span.start), (end, span.end)].map(|(value, at)| {
            [long(1, at / 1_000), binary(2, value.as_bytes()), host(3, &span.service)].concat()
        })
    });
    let other = marks.map_or("sa", |[.., other]| other);
    let tag = |key: &str, value: &[u8], kind: u8, service: &str| {
        let kind = [8, 0, 3, 0, 0, 0, kind];
        [&binary(1, key.as_bytes())[..], &binary(2, value), &kind, &host(4, service)].concat()
    };
    let attributes = span.attributes.iter().map(|(key, value)| match &**key {
        PEER => tag(other, &[1], 0, value),
        key => tag(key, value.as_bytes(), 6, &span.service),
    });
    let error = span.error.then(|| tag("error", b"true", 6, &span.service));
    let local = marks.is_none().then(|| tag("lc", b"", 6, &span.service));
    let mut out = [
        long(1, span.trace as u64),
        long(12, (span.trace >> 64) as u64),
        long(4, span.span),
        binary(3, span.name.as_bytes()),
        long(10, span.start / 1_000),
        long(11, (span.end - span.start) / 1_000),
        [&[15, 0, 6][..], &structs(annotations)].concat(),
        [&[15, 0, 8][..], &structs(attributes.chain(error).chain(local))].concat(),
    ]
    .concat();
    if span.parent != 0 {
        out.extend(long(5, span.parent));
    }
    out
}

/// A list of structs, without the field that it is in.
fn structs(each: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let each: Vec<Vec<u8>> = each.collect();
    let mut out = vec![12];
    out.extend((each.len() as u32).to_be_bytes());
    for fields in each {
        out.extend(fields);
        out.push(0);
    }
    out
}

fn long(number: u8, value: u64) -> Vec<u8> {
    [&[10, 0, number][..], &value.to_be_bytes()].concat()
}

fn binary(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[11, 0, number][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
}
