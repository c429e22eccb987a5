//! Messages of the formats that others write: well formed, with hostile values now and then.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::encoded;

/// Seconds, a little before the message arrives.
const AT: u64 = 1_795_435_190;
const NANOS: u64 = 1_000_000_000;

/// goflow2's `FlowMessage`, with its length in front or without.
pub fn goflow2_pb() -> impl Strategy<Value = Vec<u8>> {
    let more = vec((1..115_u64, number()), 0..6);
    (more, any::<bool>()).prop_map(|(more, is_delimited)| {
        let mut message = Vec::new();
        for address in [6, 7, 11] {
            message.extend([address << 3 | 2, 4, 10, 0, 0, address]);
        }
        let fields = [(9, 77), (20, 6), (21, 40_000), (22, 80), (111, AT * NANOS)];
        for (field, value) in fields.into_iter().chain(more) {
            message.extend([encoded(field << 3), encoded(value)].concat());
        }
        if is_delimited { [encoded(message.len() as u64), message].concat() } else { message }
    })
}

/// OTLP traces.
pub fn traces() -> impl Strategy<Value = Vec<u8>> {
    let span = (any::<u64>(), any::<u64>(), 0..7_u8, 0..3_u64, word(), option::of(value()))
        .prop_map(|(trace, id, kind, length, name, text)| {
            let fixed =
                |number: u8, value: u64| [&[number << 3 | 1][..], &value.to_le_bytes()].concat();
            let trace = [trace.to_le_bytes(), [7; 8]].concat();
            let value = field(1, text.as_deref().unwrap_or_default().as_bytes());
            let attribute = [field(1, name.as_bytes()), field(2, &value)].concat();
            [
                field(1, &trace),
                field(2, &id.to_le_bytes()),
                field(5, name.as_bytes()),
                vec![0x30, kind],
                fixed(7, (AT - length) * NANOS),
                fixed(8, AT * NANOS),
                field(9, &attribute),
            ]
            .concat()
        });
    vec(span, 0..4).prop_map(|spans| {
        let name = [field(1, b"service.name"), field(2, &field(1, b"web"))].concat();
        let scope: Vec<u8> = spans.iter().flat_map(|span| field(2, span)).collect();
        field(1, &[field(1, &field(1, &name)), field(2, &scope)].concat())
    })
}

/// NetObserv's `CacheUpdate`, or an entry alone.
pub fn k8scache() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![4 => Just("Pod"), 1 => Just("Node"), 1 => Just("Service"), 1 => word()];
    let entry = (kind, option::of("[0-9a-f:.]{0,9}"), number(), option::of(0..4_u64)).prop_map(
        |(kind, ip, created, terminated)| {
            let ip = ip.unwrap_or_else(|| "10.0.0.1".to_owned());
            let texts =
                [(1, kind), (2, "shop"), (3, "web"), (4, "uid"), (8, "10.1.0.1"), (10, &ip)];
            let mut entry = texts.map(|(number, text)| field(number, text.as_bytes())).concat();
            entry.extend([encoded(14 << 3), encoded(created)].concat());
            if let Some(terminated) = terminated {
                entry.extend([vec![0x88, 0x01], encoded(terminated)].concat());
            }
            entry
        },
    );
    (vec(entry, 1..4), 0..5_u8).prop_map(|(entries, operation)| match operation {
        0 => entries[0].clone(),
        operation => {
            let entries: Vec<u8> = entries.iter().flat_map(|entry| field(3, entry)).collect();
            [vec![0x08, 1], entries, vec![0x20, operation]].concat()
        }
    })
}

/// OTLP metrics.
pub fn otlp() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => Just("obi.network.flow.bytes"),
        1 => Just("beyla.network.flow.bytes"),
        1 => Just("http.server.request.duration"),
    ];
    let temporality = prop_oneof![4 => Just(1_u8), 1 => 0..4_u8];
    (name, temporality, vec(point(), 0..4)).prop_map(|(name, temporality, points)| {
        let points = points.iter().flat_map(|point| field(1, point));
        let sum: Vec<u8> = points.chain([0x10, temporality]).collect();
        let metric = [field(1, name.as_bytes()), field(7, &sum)].concat();
        field(1, &field(2, &field(2, &metric)))
    })
}

fn point() -> impl Strategy<Value = Vec<u8>> {
    let attribute = (word(), option::of(value())).prop_map(|(name, value)| {
        let value = value.map_or_else(|| vec![0x18, 80], |text| field(1, text.as_bytes()));
        field(7, &[field(1, name.as_bytes()), field(2, &value)].concat())
    });
    (vec(attribute, 0..4), any::<u32>(), 0..100_u64).prop_map(|(attributes, bytes, length)| {
        let text = |name: &str, value: &str| {
            let value = field(2, &field(1, value.as_bytes()));
            field(7, &[field(1, name.as_bytes()), value].concat())
        };
        let fixed =
            |number: u8, value: u64| [&[number << 3 | 1][..], &value.to_le_bytes()].concat();
        [
            fixed(2, (AT - length) * NANOS),
            fixed(3, AT * NANOS),
            fixed(6, bytes.into()),
            text("src.address", "10.0.0.1"),
            text("dst.address", "10.0.0.2"),
            text("transport", "TCP"),
            attributes.concat(),
        ]
        .concat()
    })
}

/// Lines of flow logs and of proxies.
pub fn lines() -> impl Strategy<Value = Vec<u8>> {
    let vpc = (mostly("10.0.0.1"), mostly("40000"), "(ACCEPT|REJECT|-)", "(OK|NODATA|SKIPDATA|-)")
        .prop_map(|(source, port, action, status)| {
            format!("2 1 eni-1 {source} 10.0.0.2 {port} 80 6 3 90 {AT} {AT} {action} {status}")
        });
    let header = Just("srcaddr dstaddr srcport dstport protocol bytes start end".to_owned());
    let tunnel = (mostly("10.0.0.2:80"), mostly("90"), "(in|out)bound").prop_map(
        |(hbone, sent, direction)| {
            format!(
                "2026-11-23T11:59:50Z info access connection complete src.addr=10.0.0.1:40000 \
             dst.addr=10.0.0.2:15008 dst.hbone_addr={hbone} direction=\"{direction}\" \
             bytes_sent={sent} bytes_recv=7 duration=\"15ms\""
            )
        },
    );
    let line = prop_oneof![3 => vpc, 1 => header, 3 => tunnel, 1 => "[ -~]{0,60}"];
    vec(line, 0..6).prop_map(|lines| lines.join("\n").into_bytes())
}

/// JSON objects of one of the formats, with names of others.
pub fn objects() -> impl Strategy<Value = Vec<u8>> {
    let goflow2 = r#""src_addr":"10.0.0.1","dst_addr":"10.0.0.2","proto":"TCP","bytes":7,
        "time_flow_start_ns":1795435190000000000"#;
    let hubble = r#""flow":{"time":"2026-11-23T11:59:50Z","IP":{"source":"10.0.0.1","destination":
        "10.0.0.2"},"l4":{"UDP":{"source_port":1,"destination_port":53}},
        "trace_observation_point":"TO_ENDPOINT"}"#;
    let tunnel = r#""time":"2026-11-23T11:59:50Z","message":"connection complete","duration":"15ms",
        "src.addr":"10.0.0.1:1","dst.addr":"10.0.0.2:2","direction":"outbound""#;
    let envoy = r#""start_time":"2026-11-23T11:59:50Z","duration":3,"upstream_local_address":
        "10.0.0.1:1","upstream_host":"10.0.0.2:2""#;
    let start = prop::sample::select(vec![goflow2, hubble, tunnel, envoy]);
    let object = (start, vec((word(), value()), 0..3)).prop_map(|(start, more)| {
        let more: Vec<_> =
            more.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        format!("{{{start}{}}}", more.concat()).replace('\n', " ")
    });
    vec(object, 1..4).prop_map(|objects| objects.join("\n").into_bytes())
}

/// Names of fields and of attributes.
fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "src.port",
        "dst.port",
        "client.port",
        "direction",
        "transport",
        "obi.ip",
        "src.address",
        "sampling_rate",
        "tcp_flags",
        "etype",
        "icmp_type",
        "lost_events",
        "node_name",
        "dst.hbone_addr",
        "bytes_sent",
        "error",
        "downstream_remote_address",
        "downstream_local_address",
        "upstream_wire_bytes_sent",
    ])
}

/// Values as they stand in text, in JSON and in attributes.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u16>().prop_map(|number| number.to_string()),
        number().prop_map(|number| number.to_string()),
        "(10\\.0\\.0\\.[0-9]{1,3}|-|null|\"TCP\"|\"\"|\\[\\]|\\{\\}|1e999|request)",
        "\"?(10\\.0\\.0\\.3|\\[::1\\]|web):[0-9]{0,6}\"?",
    ]
}

fn mostly(good: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(good.to_owned()), 1 => value()]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..70_000_u64, Just(AT), Just(AT * NANOS), any::<u64>()]
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &encoded(bytes.len() as u64), bytes].concat()
}
