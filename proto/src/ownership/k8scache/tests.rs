//! Against bytes written by the numbers of the `.proto` file, not by the decoder's own structs.

use expect_test::{Expect, expect};
use portolan_model::OwnerEvent;

use crate::{OwnerEncoding, decode_owners};

const SECOND: u64 = 1_000_000_000;
const RECEIVED: u64 = 1_795_420_300 * SECOND;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn text(field: u64, value: &str) -> Vec<u8> {
    bytes(field, value.as_bytes())
}

/// An entry of a pod on node 192.168.0.1, created 100 s before the message, and more fields.
fn pod(ip: &str, more: &[Vec<u8>]) -> Vec<u8> {
    let label = [text(1, "app"), text(2, "web")].concat();
    let fields = [
        text(1, "Pod"),
        text(2, "shop"),
        text(3, "web-6d9f-x2k"),
        text(4, "uid-1"),
        text(5, "web"),
        text(6, "Deployment"),
        text(7, "node-1"),
        text(8, "192.168.0.1"),
        text(10, ip),
        text(11, "~~~10.99.0.1"),
        bytes(12, &label),
        number(14, RECEIVED / SECOND - 100),
        text(15, "4711"),
    ];
    [fields.concat(), more.concat()].concat()
}

fn update(operation: u64, entries: &[Vec<u8>]) -> Vec<u8> {
    let entries: Vec<u8> = entries.iter().flat_map(|entry| bytes(3, entry)).collect();
    [number(1, 17), entries, number(4, operation)].concat()
}

/// Events as text; times as seconds before the message.
fn check(payload: &[u8], expected: &Expect) {
    let (events, refused) = decode_owners(
        OwnerEncoding::NetobservK8scache,
        "cluster/a/pod",
        RECEIVED,
        1 << 20,
        payload,
    );
    let ago = |at: u64| (RECEIVED - at) / SECOND;
    let mut lines: Vec<_> = events
        .iter()
        .map(|event| match event {
            OwnerEvent::Upsert(o) => format!(
                "{} {} {:?} {}/{} of {}/{} on {} ips {:?} host {} since {} (possibly {})",
                o.scope,
                o.uid,
                o.kind,
                o.namespace,
                o.name,
                o.owner_kind,
                o.owner_name,
                o.node,
                o.ips,
                o.host_network,
                ago(o.valid.from),
                ago(o.valid.from_lo),
            ),
            OwnerEvent::Delete { scope, uid, at, .. } => format!("{scope} {uid} gone {}", ago(*at)),
            OwnerEvent::Heartbeat { .. } | OwnerEvent::Gap { .. } => "of a watch".to_owned(),
        })
        .collect();
    lines.extend(refused.iter().map(|r| format!("{}: {}", r.reason.as_str(), r.detail)));
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_pod_has_its_address_since_the_message_and_possibly_since_it_was_created() {
    let added = expect![[r#"
        cluster/a/pod uid-1 Pod shop/web-6d9f-x2k of Deployment/web on 192.168.0.1 ips [10.0.0.1] host false since 0 (possibly 100)"#]];
    check(&update(1, &[pod("10.0.0.1", &[])]), &added);
    // An entry alone says the same.
    check(&pod("10.0.0.1", &[]), &added);
    check(&update(2, &[pod("10.0.0.1", &[])]), &added);
}

#[test]
fn a_snapshot_tells_of_nodes_and_services_since_they_were_created() {
    let made = number(14, RECEIVED / SECOND - 100);
    let node = [text(1, "Node"), text(3, "node-1"), text(4, "n"), text(10, "192.168.0.1")].concat();
    let service = [
        text(1, "Service"),
        text(2, "shop"),
        text(3, "api"),
        text(4, "s"),
        text(5, "api"),
        text(6, "Service"),
        text(10, "172.30.0.7"),
    ]
    .concat();
    let entries = [[node, made.clone()].concat(), [service, made].concat()];
    let entries: Vec<u8> = entries.iter().flat_map(|entry| bytes(3, entry)).collect();
    check(
        &[number(1, 1), number(2, 1), entries].concat(),
        &expect![[r#"
        cluster/a/pod n Node /node-1 of / on :: ips [192.168.0.1] host false since 100 (possibly 100)
        cluster/a/pod s Service shop/api of / on :: ips [172.30.0.7] host false since 100 (possibly 100)"#]],
    );
}

#[test]
fn what_is_deleted_or_has_terminated_is_gone() {
    check(&update(3, &[pod("10.0.0.1", &[])]), &expect!["cluster/a/pod uid-1 gone 0"]);
    check(&update(2, &[pod("10.0.0.1", &[number(17, 1)])]), &expect!["cluster/a/pod uid-1 gone 0"]);
}

#[test]
fn a_pod_on_the_network_of_its_node_or_on_one_of_its_own_takes_no_address_from_others() {
    check(
        &update(1, &[pod("192.168.0.1", &[])]),
        &expect![
            "cluster/a/pod uid-1 Pod shop/web-6d9f-x2k of Deployment/web on 192.168.0.1 ips [192.168.0.1] host true since 0 (possibly 100)"
        ],
    );
    check(
        &update(1, &[pod("10.0.0.1", &[text(9, "blue")])]),
        &expect![
            "udn/cluster/a/pod/blue uid-1 Pod shop/web-6d9f-x2k of Deployment/web on 192.168.0.1 ips [10.0.0.1] host false since 0 (possibly 100)"
        ],
    );
    check(
        &update(1, &[pod("10.0.0.1", &[text(9, "primary")])]),
        &expect![
            "cluster/a/pod uid-1 Pod shop/web-6d9f-x2k of Deployment/web on 192.168.0.1 ips [10.0.0.1] host false since 0 (possibly 100)"
        ],
    );
}

#[test]
fn what_means_nothing_is_refused_and_what_has_no_address_is_not_told() {
    let bare = [text(1, "Pod"), text(4, "uid-2")].concat();
    check(&update(1, &[bare]), &expect!["derived: record 0: it has no address yet"]);
    let odd = [text(1, "Route"), text(4, "r"), text(10, "10.0.0.1")].concat();
    let nameless = [text(1, "Pod"), text(10, "10.0.0.1")].concat();
    check(
        &update(1, &[odd, nameless, pod("10.0.0", &[])]),
        &expect![[r#"
        bad_field: record 0: kind "Route" is not known
        bad_field: record 1: uid is empty
        bad_field: record 2: ips: "10.0.0" is not an address"#]],
    );
    check(&update(9, &[pod("10.0.0.1", &[])]), &expect!["bad_field: operation 9 is not known"]);
    check(&[0x08], &expect!["undecodable: failed to decode Protobuf message: invalid varint"]);
    check(b"", &expect!["undecodable: empty message"]);
}
