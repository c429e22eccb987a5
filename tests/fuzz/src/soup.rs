//! Bytes that look enough like messages to get far into a decoder.

use portolan_proto::{pbflow, v1};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use prost_types::{Duration, Timestamp};

pub mod formats;
pub mod metrics;
pub mod spans;

const NOW_SECS: i64 = 1_795_435_200;

/// Any bytes.
pub fn noise() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

/// Protobuf fields of all wire types, with lengths that lie and varints that do not end.
pub fn wire() -> impl Strategy<Value = Vec<u8>> {
    let varint = prop_oneof![
        6 => any::<u16>().prop_map(|n| encoded(n.into())),
        3 => any::<u64>().prop_map(encoded),
        1 => Just(vec![0xff; 11]),
        1 => Just(vec![0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
        1 => Just(vec![0x81, 0x00]),
    ];
    let key = prop_oneof![
        8 => (1..40_u64, 0..8_u64).prop_map(|(number, wire)| encoded(number << 3 | wire)),
        1 => any::<u64>().prop_map(encoded),
    ];
    let leaf = prop_oneof![varint.clone(), vec(any::<u8>(), 0..20), Just(vec![])];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        vec((key.clone(), option::weighted(0.9, Just(())), inner, varint.clone()), 0..8).prop_map(
            |fields| {
                let mut bytes = Vec::new();
                for (key, honest, value, lie) in fields {
                    bytes.extend(&key);
                    if key[0] & 7 == 2 {
                        let len = encoded(value.len() as u64);
                        bytes.extend(if honest.is_some() { len } else { lie });
                    }
                    bytes.extend(value);
                }
                bytes
            },
        )
    })
}

/// A message of `depth` messages, each the only field `number` of the one around it.
pub fn nested(number: u32, depth: usize) -> Vec<u8> {
    // Built from the inside, reversed: each layer puts its length and key in front.
    let mut reversed = Vec::new();
    for _ in 0..depth {
        let len = encoded(reversed.len() as u64);
        reversed.extend(len.iter().rev());
        let key = encoded(u64::from(number << 3 | 2));
        reversed.extend(key.iter().rev());
    }
    reversed.reverse();
    reversed
}

/// Protobuf flow messages that are well formed: one record, or many.
pub fn flows_pb() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        flow().prop_map(|record| record.encode_to_vec()),
        vec(flow(), 1..8).prop_map(|entries| pbflow::Records { entries }.encode_to_vec()),
    ]
}

/// Ownership records in protobuf that are well formed.
pub fn owner_pb() -> impl Strategy<Value = Vec<u8>> {
    owner().prop_map(|record| record.encode_to_vec())
}

/// Notes that are well formed, of both kinds and in both forms.
pub fn notes() -> impl Strategy<Value = Vec<u8>> {
    let text =
        || prop_oneof![16 => Just("shop"), 2 => Just(""), 1 => Just("a\u{7}"), 1 => Just("\u{fc}")];
    let link =
        prop_oneof![16 => Just("https://a/{name}"), 1 => Just("https://a/{pod}"), 1 => Just("x")];
    let secs = prop_oneof![16 => 1..1_795_435_000_u64, 1 => any::<u64>()];
    let kind = prop_oneof![16 => 0..3_i32, 1 => Just(-1), 1 => Just(3)];
    let catalogue = (text(), text(), text(), link, secs.clone(), any::<bool>()).prop_map(
        |(namespace, name, owner, link, secs, deleted)| v1::CatalogueRecord {
            namespace: namespace.into(),
            name: name.into(),
            owner: owner.into(),
            links: [("l".to_owned(), link.to_owned())].into(),
            valid_from: Some(v1::Time { unix_ns: secs.saturating_mul(1_000_000_000) }),
            deleted,
            ..v1::CatalogueRecord::default()
        },
    );
    let change = (text(), text(), text(), secs, kind).prop_map(|(id, name, title, secs, kind)| {
        v1::ChangeRecord {
            id: id.into(),
            name: name.into(),
            title: title.into(),
            kind,
            at: Some(v1::Time { unix_ns: secs.saturating_mul(1_000_000_000) }),
            ..v1::ChangeRecord::default()
        }
    });
    // Both JSON forms know the names and times of the messages.
    let json = |record: serde_json::Result<Vec<u8>>| record.expect("a message is JSON");
    prop_oneof![
        catalogue.clone().prop_map(|record| record.encode_to_vec()),
        catalogue.prop_map(move |record| json(serde_json::to_vec(&record))),
        change.clone().prop_map(|record| record.encode_to_vec()),
        change.prop_map(move |record| json(serde_json::to_vec(&record))),
    ]
}

/// JSON of flows or owners that is well formed, with values of any type now and then: one object,
/// an array, or lines.
pub fn json() -> impl Strategy<Value = Vec<u8>> {
    (vec(object(), 1..6), 0..3_u8).prop_map(|(objects, form)| {
        match form {
            0 => objects[0].clone(),
            1 => format!("[{}]", objects.join(",")),
            _ => objects.join("\n"),
        }
        .into_bytes()
    })
}

/// An inventory, in YAML or CSV.
pub fn inventory() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        4 => Just(("ips", "10.0.0.1")),
        2 => Just(("ports", "443;udp/53")),
        2 => Just(("backends", "443=10.0.0.2:80")),
        1 => Just(("cidrs", "10.0.0.0/8")),
        1 => Just(("valid_from", "1795420300")),
        1 => Just(("kind", "database")),
        1 => Just(("kind", "castle")),
        1 => Just(("host_network", "true")),
    ];
    (vec(vec(field, 1..4), 0..4), any::<bool>()).prop_map(|(entries, is_yaml)| {
        let mut lines = Vec::new();
        if is_yaml {
            for (number, fields) in entries.iter().enumerate() {
                lines.push(format!("- name: n{number}"));
                lines.extend(fields.iter().map(|(name, value)| format!("  {name}: {value}")));
            }
        } else {
            let fields = entries.first().map_or(&[][..], Vec::as_slice);
            let (names, values): (Vec<_>, Vec<_>) = fields.iter().copied().unzip();
            lines.push(format!("name,{}", names.join(",")));
            lines.extend((0..entries.len()).map(|n| format!("n{n},{}", values.join(","))));
        }
        lines.join("\n").into_bytes()
    })
}

/// Any of the above.
pub fn any_message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        noise(),
        wire(),
        flows_pb(),
        owner_pb(),
        notes(),
        json(),
        capture(),
        formats::goflow2_pb(),
        formats::otlp(),
        formats::k8scache(),
        formats::traces(),
        formats::lines(),
        formats::objects(),
    ]
}

/// Lines of a capture file.
pub fn capture() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "\\{\"key\": \"[A-Za-z0-9+/]{0,8}={0,2}\", \"value\": \"[A-Za-z0-9+/]{0,40}={0,2}\"\\}",
        object().prop_map(|object| format!("{{\"value\": {object}}}")),
        object(),
        "[ -~]{0,40}",
        Just(String::new()),
    ];
    vec(line, 0..8).prop_map(|lines| lines.join("\n").into_bytes())
}

/// Damage done to a message: bits flipped, bytes put in, a part doubled, the end cut off.
#[derive(Clone, Debug)]
pub struct Damage {
    flips: Vec<(usize, u8)>,
    put: Vec<(usize, u8)>,
    double: Option<usize>,
    cut: Option<usize>,
}

/// Any damage.
pub fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<usize>();
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\"{}[],:\n\\0-e\x0a\x08".to_vec())];
    (
        vec((place, any::<u8>()), 0..4),
        vec((place, byte), 0..3),
        option::weighted(0.2, place),
        option::weighted(0.3, place),
    )
        .prop_map(|(flips, put, double, cut)| Damage { flips, put, double, cut })
}

// === impl Damage ===

impl Damage {
    /// The bytes, damaged.
    pub fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for (at, bit) in &self.flips {
            let len = bytes.len();
            if len > 0 {
                bytes[at % len] ^= 1 << (bit % 8);
            }
        }
        for (at, byte) in &self.put {
            bytes.insert(at % (bytes.len() + 1), *byte);
        }
        if let Some(from) = self.double {
            bytes.extend_from_within(from % (bytes.len() + 1)..);
        }
        if let Some(cut) = self.cut {
            bytes.truncate(cut % (bytes.len() + 1));
        }
        bytes
    }
}

fn encoded(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(number, &mut bytes);
    bytes
}

fn address() -> impl Strategy<Value = Option<pbflow::Ip>> {
    let family = prop_oneof![
        3 => any::<u32>().prop_map(pbflow::ip::IpFamily::Ipv4),
        1 => vec(any::<u8>(), 16).prop_map(pbflow::ip::IpFamily::Ipv6),
    ];
    family.prop_map(|family| Some(pbflow::Ip { ip_family: Some(family) }))
}

/// Plausible as a rule.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..1_u64 << 32, 1 => 0..1_u64 << 49]
}

prop_compose! {
    fn flow()(
        (src_addr, dst_addr, agent_ip, xlat_dst) in (address(), address(), address(), address()),
        (src_port, dst_port, protocol) in (any::<u16>(), any::<u16>(), any::<u8>()),
        (bytes, packets, flags) in (count(), any::<u32>(), any::<u16>()),
        (back, length) in (0..100_i64, -1..20_i64),
        interfaces in vec("[a-z0-9]{1,12}", 0..6),
        (rtt, sampling) in (prop_oneof![3 => 0..1_000_000_000, 1 => any::<i32>()], 0..60_u32),
    ) -> pbflow::Record {
        let at = |seconds| Some(Timestamp { seconds, nanos: 5 });
        pbflow::Record {
            eth_protocol: 2048,
            time_flow_start: at(NOW_SECS - back),
            time_flow_end: at(NOW_SECS - back + length),
            network: Some(pbflow::Network { src_addr, dst_addr, dscp: 0 }),
            transport: Some(pbflow::Transport {
                src_port: src_port.into(), dst_port: dst_port.into(), protocol: protocol.into(),
            }),
            bytes,
            packets: packets.into(),
            flags: flags.into(),
            agent_ip,
            time_flow_rtt: Some(Duration { seconds: 0, nanos: rtt }),
            dup_list: interfaces.into_iter().map(|interface| pbflow::DupMapEntry {
                interface, ..pbflow::DupMapEntry::default()
            }).collect(),
            xlat: Some(pbflow::Xlat { dst_addr: xlat_dst, ..pbflow::Xlat::default() }),
            sampling,
            ..pbflow::Record::default()
        }
    }
}

prop_compose! {
    fn owner()(
        (uid, name, scope) in ("[a-z0-9-]{0,12}", "[ -~]{0,20}", "[a-z/]{0,12}"),
        (operation, kind, phase) in (-1..4_i32, -1..11_i32, -1..4_i32),
        ips in vec("[0-9]{1,3}\\.[0-9]{1,2}\\.0\\.[1-9]|[0-9a-f:]{0,12}", 0..3),
        cidrs in vec("10\\.[0-9]{1,3}\\.0\\.0/[0-9]{1,3}", 0..2),
        ports in vec((0..70_000_u32, "(tcp|udp|[a-z]{0,3})"), 0..3),
        times in vec(option::of(any::<u64>()), 5),
    ) -> v1::OwnershipRecord {
        let time = |at: usize| times[at].map(|unix_ns| v1::Time { unix_ns: unix_ns >> 1 });
        v1::OwnershipRecord {
            scope,
            uid,
            name,
            operation,
            kind,
            phase,
            ips: ips.clone(),
            cidrs,
            ports: ports.iter().map(|(port, protocol)| v1::Port {
                port: *port, protocol: protocol.clone(), name: String::new(),
            }).collect(),
            backends: ports.into_iter().zip(ips).map(|((port, protocol), ip)| v1::Backend {
                ip, port, protocol, front_port: port,
            }).collect(),
            observed_at: time(0),
            valid_from: time(1),
            valid_to: time(2),
            valid_from_lo: time(3),
            valid_to_hi: time(4),
            ..v1::OwnershipRecord::default()
        }
    }
}

/// A JSON object with the names of flows and owners.
fn object() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "SrcAddr",
        "DstAddr",
        "SrcPort",
        "DstPort",
        "Proto",
        "Etype",
        "Bytes",
        "Packets",
        "Flags",
        "AgentIP",
        "Sampling",
        "TimeFlowRttNs",
        "XlatDstAddr",
        "K8S_ClusterName",
        "Duplicate",
        "_RecordType",
        "Interfaces",
        "uid",
        "operation",
        "kind",
        "phase",
        "name",
        "owner_name",
        "ips",
        "cidrs",
        "ports",
        "backends",
        "observed_at",
        "valid_from",
        "valid_to",
        "scope",
        "node_ip",
        "host_network",
        "key",
        "value",
    ]);
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        prop::sample::select(vec![
            "null",
            "true",
            "1e999",
            "-0",
            "1e-400",
            "\"\\ud800\"",
            "\"\\u0000\"",
            "{}",
            "[]",
            "\"2026-11-23T12:00:00Z\"",
            "1795435000.123456789",
            "\"SYN\"",
            "[\"ACK\", 2]",
            "\"pod\"",
            "18446744073709551616",
            "[{\"port\": 80}]",
            "[\"10.0.0.0/8\"]",
            "\"10.0.0.1\"",
            "99999999999999999999999999999999",
            "\"::ffff:10.0.0.1\"",
            "[\"10.0.0.9\"]",
        ])
        .prop_map(str::to_owned),
        "\"[ -!#-\\[\\]-~]{0,20}\"",
        (0..200_usize).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth))),
    ];
    (any::<bool>(), vec((name, value), 0..5)).prop_map(|(good, fields)| {
        // Half of them begin as what a decoder accepts.
        let start = "\"SrcAddr\":\"10.0.0.1\",\"DstAddr\":\"10.0.0.2\",\"Bytes\":7,\
            \"TimeFlowStartMs\":1795435199000,\"TimeFlowEndMs\":1795435199500,\
            \"uid\":\"u\",\"name\":\"n\"";
        let mut parts: Vec<_> = if good { vec![start.to_owned()] } else { vec![] };
        parts.extend(fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")));
        format!("{{{}}}", parts.join(","))
    })
}
