//! What ownership records mean, in both encodings.

use std::sync::Arc;

use expect_test::{Expect, expect};
use portolan_model::{
    Backend, DeclaredPort, Ip, NodePort, OwnerKind, OwnerRecord, Phase, Proto, ValidTime,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NANOS: u64 = 1_000_000_000;
/// When the messages below arrive.
const RECEIVED: Nanos = 1_795_420_300 * NANOS;

fn decode(payload: &[u8], encoding: OwnerEncoding) -> (Vec<OwnerEvent>, Vec<Refused>) {
    decode_owners(encoding, "default/pod", RECEIVED, DEFAULT_MAX_OWNER_BYTES, payload)
}

fn json(text: &str) -> (Vec<OwnerEvent>, Vec<Refused>) {
    decode(text.as_bytes(), OwnerEncoding::PortolanJson)
}

/// The one owner that a JSON text says.
fn owner(text: &str) -> OwnerRecord {
    match json(text) {
        (events, refused) if refused.is_empty() => match &events[..] {
            [OwnerEvent::Upsert(owner)] => (**owner).clone(),
            other => panic!("{other:?}"),
        },
        (_, refused) => panic!("{refused:?}"),
    }
}

/// The reasons and details of the refusals of a JSON text that says nothing else.
fn check_refused(text: &str, expected: &Expect) {
    let (events, refused) = json(text);
    assert_eq!(events, []);
    let lines: Vec<_> =
        refused.iter().map(|why| format!("{}: {}", why.reason.as_str(), why.detail)).collect();
    expected.assert_eq(&lines.join("\n"));
}

/// A pod with one field more.
fn pod(field: &str) -> String {
    format!(r#"{{"uid": "p1", "name": "web-1", {field}}}"#)
}

#[test]
fn pod_in_json_is_read_field_by_field() {
    let text = r#"{
        "scope": "cluster/a/pod", "uid": "p1", "operation": "upsert", "kind": "pod",
        "environment": "prod", "namespace": "shop", "name": "web-1", "owner_name": "web",
        "owner_kind": "Deployment", "node_ip": "192.168.77.1", "host_network": true,
        "ips": ["10.128.0.10", "2001:db8::10"], "ports": [{"port": 8080, "name": "http"},
        {"port": "53", "protocol": "UDP"}], "observed_at": "2026-11-23T07:51:00.5Z",
        "valid_from": 1795420225.376947, "some_future_field": {"x": 1}
    }"#;
    let from = 1_795_420_225_376_947_000;
    let expected = OwnerRecord {
        scope: "cluster/a/pod".into(),
        uid: "p1".into(),
        kind: OwnerKind::Pod,
        environment: "prod".into(),
        namespace: "shop".into(),
        name: "web-1".into(),
        owner_name: "web".into(),
        owner_kind: "Deployment".into(),
        node: Ip::v4(0xc0a8_4d01),
        host_network: true,
        phase: Phase::Running,
        ips: vec![Ip::v4(0x0a80_000a), "2001:db8::10".parse().unwrap()],
        cidrs: vec![],
        ports: vec![
            DeclaredPort { proto: Proto::TCP, port: 8080 },
            DeclaredPort { proto: Proto::UDP, port: 53 },
        ],
        backends: vec![],
        node_ports: vec![],
        host_ports: vec![],
        observer: Ip::NONE,
        valid: ValidTime::since(from),
        observed_at: 1_795_420_260 * NANOS + NANOS / 2,
    };
    assert_eq!(owner(text), expected);
}

#[test]
fn service_has_backends_and_an_external_has_ranges() {
    let service = owner(
        r#"{"uid": "s1", "kind": "service", "name": "api", "ips": ["172.30.0.7"],
            "ports": [{"port": 80}],
            "backends": [{"ip": "10.128.0.11", "port": 8080, "front_port": 80}]}"#,
    );
    assert_eq!(service.kind, OwnerKind::Service);
    let backend =
        Backend { front_port: 80, proto: Proto::TCP, ip: Ip::v4(0x0a80_000b), port: 8080 };
    assert_eq!(service.backends, [backend]);
    let office = owner(
        r#"{"uid": "e1", "kind": "external", "name": "office", "cidrs":
            ["203.0.113.77/24", "198.51.100.7", "2001:db8::1/32", "::ffff:10.0.0.9/104", "0.0.0.0/0"]}"#,
    );
    let ip = |text: &str| text.parse::<Ip>().unwrap();
    assert_eq!(
        office.cidrs,
        [
            (ip("203.0.113.0"), 24),
            (ip("198.51.100.7"), 32),
            (ip("2001:db8::"), 32),
            (ip("10.0.0.0"), 8),
            (ip("0.0.0.0"), 0),
        ]
    );
}

#[test]
fn enums_are_words_full_names_or_numbers() {
    for kind in ["\"load_balancer\"", "\"OWNER_KIND_LOAD_BALANCER\"", "\"Load_Balancer\"", "3"] {
        assert_eq!(owner(&pod(&format!("\"kind\": {kind}"))).kind, OwnerKind::LoadBalancer);
    }
    check_refused(
        &pod("\"kind\": \"podd\""),
        &expect![[r#"bad_field: kind: "podd" is not known"#]],
    );
    check_refused(&pod("\"kind\": 99"), &expect!["bad_field: kind 99 is not known"]);
    check_refused(&pod("\"phase\": []"), &expect!["bad_field: phase: [] is not known"]);
}

#[test]
fn absent_times_come_from_the_times_before_them() {
    assert_eq!(owner(&pod("\"ips\": []")).observed_at, RECEIVED);
    assert_eq!(owner(&pod("\"ips\": []")).valid, ValidTime::since(RECEIVED));
    let observed = owner(&pod("\"observed_at\": 1795420000"));
    assert_eq!(observed.valid, ValidTime::since(1_795_420_000 * NANOS));
    let full = owner(&pod(
        r#""valid_from_lo": 100, "valid_from": 101, "valid_to": 102, "valid_to_hi": 103"#,
    ));
    let [from_lo, from, to, to_hi] = [100, 101, 102, 103].map(|secs: u64| secs * NANOS);
    assert_eq!(full.valid, ValidTime { from, to, from_lo, to_hi });
}

#[test]
fn ended_pod_has_lost_its_address_when_that_was_seen() {
    let seen = r#""phase": "succeeded", "valid_from": 100, "observed_at": 200"#;
    assert_eq!(owner(&pod(seen)).valid, ValidTime::between(100 * NANOS, 200 * NANOS));
    let early = r#""phase": "failed", "valid_from": 300, "observed_at": 200"#;
    assert_eq!(owner(&pod(early)).valid, ValidTime::between(300 * NANOS, 300 * NANOS));
    let told = r#""phase": "failed", "valid_from": 100, "valid_to": 150, "observed_at": 200"#;
    assert_eq!(owner(&pod(told)).valid, ValidTime::between(100 * NANOS, 150 * NANOS));
}

#[test]
fn times_that_contradict_each_other_are_refused() {
    check_refused(
        &pod(r#""valid_from": 101, "valid_to": 100"#),
        &expect!["ends_before_start: valid_to is before valid_from"],
    );
    check_refused(
        &pod(r#""valid_from": 101, "valid_from_lo": 102"#),
        &expect!["bad_field: valid_from_lo is after valid_from"],
    );
    check_refused(
        &pod(r#""valid_from": 1, "valid_to": 102, "valid_to_hi": 101"#),
        &expect!["bad_field: valid_to_hi is before valid_to"],
    );
    check_refused(
        &pod(r#""valid_from": "noon""#),
        &expect![[
            r#"bad_field: valid_from: "noon" is neither RFC 3339 nor seconds since the epoch"#
        ]],
    );
    // A record from next year would win over every other one until then.
    check_refused(
        &pod("\"observed_at\": 1795423901"),
        &expect!["future: observed_at is 3601 s ahead"],
    );
}

#[test]
fn gap_says_from_when_to_when() {
    let (events, refused) = json(
        r#"{"operation": "gap", "valid_from": 90, "valid_to": 98, "scope": "s"}
           {"operation": "gap", "valid_from": 90, "observed_at": 99}"#,
    );
    let gap = |scope: &str, from, to| OwnerEvent::Gap {
        scope: scope.into(),
        from: from * NANOS,
        to: to * NANOS,
    };
    assert_eq!(events, [gap("s", 90, 98), gap("default/pod", 90, 99)]);
    assert_eq!(refused, []);
    check_refused(
        r#"{"operation": "gap", "valid_to": 99}"#,
        &expect!["bad_field: valid_from is absent"],
    );
    check_refused(
        r#"{"operation": "gap", "valid_from": 99, "valid_to": 99}"#,
        &expect!["bad_field: valid_to is not after valid_from"],
    );
}

#[test]
fn delete_and_heartbeat_say_since_when() {
    let (events, refused) = json(
        r#"{"uid": "p1", "operation": "delete", "valid_to": 100, "valid_to_hi": 105}
           {"uid": "p1", "operation": "delete", "observed_at": 99, "scope": "s"}
           {"operation": "heartbeat", "observed_at": 98}"#,
    );
    let uid = Arc::from("p1");
    let gone = |scope: &str, at, at_hi| OwnerEvent::Delete {
        scope: scope.into(),
        uid: Arc::clone(&uid),
        at: at * NANOS,
        at_hi: at_hi * NANOS,
    };
    let heartbeat = OwnerEvent::Heartbeat { scope: "default/pod".into(), watermark: 98 * NANOS };
    assert_eq!(events, [gone("default/pod", 100, 105), gone("s", 99, 99), heartbeat]);
    assert_eq!(refused, []);
    check_refused(
        r#"{"uid": "p1", "operation": "delete", "valid_to": 100, "valid_to_hi": 99}"#,
        &expect!["bad_field: valid_to_hi is before valid_to"],
    );
}

#[test]
fn owner_needs_a_uid_and_names_that_can_be_shown() {
    check_refused(r#"{"name": "web"}"#, &expect!["bad_field: uid is empty"]);
    check_refused(r#"{"uid": "p1"}"#, &expect!["bad_field: name and owner_name are both empty"]);
    check_refused(
        &pod(&format!("\"namespace\": \"{}\"", "n".repeat(256))),
        &expect!["bad_field: namespace has 256 bytes, at most 255"],
    );
    assert_eq!(
        owner(&pod(&format!("\"namespace\": \"{}\"", "n".repeat(255)))).namespace.len(),
        255
    );
    check_refused(
        &pod(r#""owner_name": "a\u001b[2J""#),
        &expect!["bad_field: owner_name has control characters"],
    );
}

#[test]
fn address_or_port_that_is_none_is_refused() {
    check_refused(
        &pod(r#""ips": ["web"]"#),
        &expect![[r#"bad_field: ips: "web" is not an address"#]],
    );
    check_refused(
        &pod(r#""ips": ["0.0.0.0"]"#),
        &expect![[r#"bad_field: ips: "0.0.0.0" is not an address"#]],
    );
    check_refused(
        &pod(r#""node_ip": "10.0.0""#),
        &expect![[r#"bad_field: node_ip: "10.0.0" is not an address"#]],
    );
    for cidr in ["10.0.0.0/33", "10.0.0.0/-1", "::/129", "::ffff:10.0.0.0/8", "/8", ""] {
        let (events, refused) = json(&pod(&format!("\"cidrs\": [\"{cidr}\"]")));
        assert_eq!((events.len(), refused[0].reason), (0, Reject::BadField), "{cidr}");
    }
    check_refused(
        &pod(r#""ports": [{"port": 65536}]"#),
        &expect!["bad_field: ports: 65536 is not a port"],
    );
    check_refused(&pod(r#""ports": [{}]"#), &expect!["bad_field: ports: 0 is not a port"]);
    check_refused(
        &pod(r#""ports": [{"port": 1, "protocol": "tcpp"}]"#),
        &expect![[r#"bad_field: protocol "tcpp" is not known"#]],
    );
    check_refused(
        &pod(r#""backends": [{"ip": "10.0.0.1", "port": 1, "front_port": 65536}]"#),
        &expect!["bad_field: backends: front_port 65536 is not a port"],
    );
    check_refused(
        &pod(r#""backends": [{"port": 1}]"#),
        &expect![[r#"bad_field: backends: "" is not an address"#]],
    );
}

#[test]
fn lists_are_bounded() {
    let many = |count| pod(&format!("\"ips\": [{}]", vec!["\"10.0.0.1\""; count].join(",")));
    assert_eq!(owner(&many(MAX_LIST)).ips.len(), MAX_LIST);
    check_refused(&many(MAX_LIST + 1), &expect!["bad_field: ips has 10001 entries, at most 10000"]);
}

#[test]
fn bad_record_among_many_is_refused_alone() {
    let (events, refused) =
        json("{\"uid\": \"a\", \"name\": \"a\"}\n{\"uid\"\n\n7\n{\"uid\": \"b\", \"name\": \"b\"}");
    assert_eq!(events.len(), 2);
    let reasons: Vec<_> = refused.iter().map(|why| why.reason).collect();
    assert_eq!(reasons, [Reject::Undecodable, Reject::Undecodable]);
    assert!(refused[0].detail.starts_with("record 1: EOF"), "{}", refused[0].detail);
    assert_eq!(refused[1].detail, "record 3: not a JSON object");
    let (events, refused) = json(r#"[{"uid": "a", "name": "a"}, {"uid": "b"}]"#);
    assert_eq!(events.len(), 1);
    assert_eq!(refused[0].detail, "record 1: name and owner_name are both empty");
}

#[test]
fn every_refusal_is_counted_but_only_the_first_are_explained() {
    let (_, refused) = json(&"7\n".repeat(MAX_DETAILED + 50));
    assert_eq!(refused.len(), MAX_DETAILED + 50);
    assert_eq!(refused.iter().filter(|why| !why.detail.is_empty()).count(), MAX_DETAILED);
}

#[test]
fn bytes_that_are_no_record_are_refused() {
    let (_, refused) = decode(&[0x0a, 0x7f], OwnerEncoding::PortolanPb);
    assert_eq!(refused[0].reason, Reject::Undecodable);
    let (_, refused) = decode(&[0x0a, 0x01, 0xff], OwnerEncoding::PortolanPb);
    assert_eq!(refused[0].reason, Reject::Undecodable, "a scope that is not UTF-8");
    let (_, refused) = decode(&[], OwnerEncoding::PortolanPb);
    assert_eq!(refused[0].reason, Reject::Undecodable);
    let (_, refused) = decode_owners(OwnerEncoding::PortolanPb, "", RECEIVED, 3, &[0; 4]);
    assert_eq!(refused[0].reason, Reject::TooLarge);
}

fn any_ip() -> impl Strategy<Value = Ip> {
    prop_oneof![(1..u32::MAX).prop_map(Ip::v4), (1_u128 << 64..u128::MAX).prop_map(Ip)]
}

fn any_proto() -> impl Strategy<Value = Proto> {
    prop_oneof![Just(Proto::TCP), Just(Proto::UDP), Just(Proto::SCTP), Just(Proto(33))]
}

prop_compose! {
    fn any_valid()(times in vec(0..RECEIVED, 4), open in 0..3_u8) -> ValidTime {
        let mut times = times;
        times.sort_unstable();
        let [from_lo, from, to, to_hi] = times[..] else { unreachable!() };
        match open {
            0 => ValidTime { from, to, from_lo, to_hi },
            1 => ValidTime { from, to, from_lo, to_hi: Nanos::MAX },
            _ => ValidTime { from, to: Nanos::MAX, from_lo, to_hi: Nanos::MAX },
        }
    }
}

prop_compose! {
    fn any_owner()(
        names in vec("[ -~é]{1,20}", 7),
        (kind, phase) in (0..10_i32, 0..3_i32),
        host_network in any::<bool>(),
        ips in vec(any_ip(), 0..4),
        cidrs in vec((any_ip(), 0..=32_u8), 0..3),
        ports in vec((any_proto(), 1..u16::MAX), 0..3),
        backends in vec((any::<u16>(), any_proto(), any_ip(), 1..u16::MAX), 0..3),
        node_ports in vec((any_proto(), 1..u16::MAX, 1..u16::MAX), 0..3),
        observer in any_ip(),
        (valid, observed_at) in (any_valid(), 1..RECEIVED),
    ) -> OwnerRecord {
        let [scope, uid, environment, namespace, name, owner_name, owner_kind] =
            &names[..] else { unreachable!() };
        // An owner that is not running has an end.
        let open = valid.to == Nanos::MAX;
        OwnerRecord {
            scope: scope.as_str().into(),
            uid: uid.as_str().into(),
            kind: judge::kind(kind).unwrap(),
            environment: environment.as_str().into(),
            namespace: namespace.as_str().into(),
            name: name.as_str().into(),
            owner_name: owner_name.as_str().into(),
            owner_kind: owner_kind.as_str().into(),
            node: ips.first().copied().unwrap_or_default(),
            host_network,
            phase: if open { Phase::Running } else { judge::phase(phase).unwrap() },
            ips,
            cidrs: cidrs.into_iter().map(|(ip, prefix)| (ip.masked(prefix), prefix)).collect(),
            ports: ports.into_iter().map(|(proto, port)| DeclaredPort { proto, port }).collect(),
            backends: backends
                .into_iter()
                .map(|(front_port, proto, ip, port)| Backend { front_port, proto, ip, port })
                .collect(),
            host_ports: node_ports
                .iter()
                .map(|(proto, port, _)| DeclaredPort { proto: *proto, port: *port })
                .collect(),
            node_ports: node_ports
                .into_iter()
                .map(|(proto, node_port, port)| NodePort { proto, node_port, port })
                .collect(),
            observer,
            valid,
            observed_at,
        }
    }
}

fn any_event() -> impl Strategy<Value = OwnerEvent> {
    prop_oneof![
        4 => any_owner().prop_map(|owner| OwnerEvent::Upsert(Box::new(owner))),
        1 => ("[a-z]{1,9}", "[a-z]{1,9}", 1..RECEIVED, 0..NANOS).prop_map(
            |(scope, uid, at, more)| OwnerEvent::Delete {
                scope: scope.as_str().into(), uid: uid.as_str().into(), at, at_hi: at + more,
            }
        ),
        1 => ("[a-z]{1,9}", 1..RECEIVED).prop_map(|(scope, watermark)| OwnerEvent::Heartbeat {
            scope: scope.as_str().into(), watermark,
        }),
        1 => ("[a-z]{1,9}", 1..RECEIVED - NANOS, 1..NANOS).prop_map(
            |(scope, from, len)| OwnerEvent::Gap {
                scope: scope.as_str().into(), from, to: from + len,
            }
        ),
    ]
}

proptest! {
    #[test]
    fn event_comes_back_as_it_went_in_by_either_encoding(event in any_event()) {
        let record = encode_event(&event);
        let expected = (vec![event], vec![]);
        prop_assert_eq!(&decode(&record.encode_to_vec(), OwnerEncoding::PortolanPb), &expected);
        prop_assert_eq!(&json(&serde_json::to_string(&record).unwrap()), &expected);
    }
}
