use proptest::prelude::*;

use super::*;

/// Numbers that differ in few bits, in each byte: where a wrong byte order shows.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..4, (0_u32..64).prop_map(|bit| 1 << bit), any::<u64>()]
}

fn edge() -> impl Strategy<Value = EdgeKey> {
    let ends = (number(), number());
    (number(), 0_u8..3, ends, any::<u8>(), number(), 0_u8..2).prop_map(
        |(window, layer, (client, server), proto, port, direction)| EdgeKey {
            window: Window(window as u32),
            layer: Layer::from_code(layer).unwrap(),
            client: EntityId(client),
            server: EntityId(server),
            proto: Proto(proto),
            port: port as u16,
            direction: Direction::from_code(direction).unwrap(),
        },
    )
}

fn path() -> impl Strategy<Value = PathKey> {
    let via = proptest::collection::vec(number(), 0..4);
    (edge(), number(), via, 0_u8..3, 0_u8..6).prop_map(|(edge, front, via, kind, evidence)| {
        PathKey {
            window: edge.window,
            layer: edge.layer,
            client: edge.client,
            server: edge.server,
            proto: edge.proto,
            front_port: front as u16,
            port: edge.port,
            via: via.into_iter().map(EntityId).collect(),
            kind: PathKind::from_code(kind).unwrap(),
            evidence: Evidence::from_code(evidence).unwrap(),
        }
    })
}

fn call() -> impl Strategy<Value = CallKey> {
    let ends = (number(), number(), number());
    (number(), ends, 0_u8..10, 0_u8..8).prop_map(
        |(window, (client, server, operation), source, protocol)| CallKey {
            window: Window(window as u32),
            client: EntityId(client),
            server: EntityId(server),
            source: CallSource::from_code(source).unwrap(),
            protocol: CallProtocol::from_code(protocol).unwrap(),
            operation: EntityId(operation),
        },
    )
}

fn call_bytes(key: &CallKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_call(&mut bytes, key);
    bytes
}

fn edge_bytes(key: &EdgeKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_edge(&mut bytes, key);
    bytes
}

fn path_bytes(key: &PathKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_path(&mut bytes, key);
    bytes
}

fn text_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_text(&mut bytes, text);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]);
    digits.map(|d| char::from(b"0123456789abcdef"[usize::from(d)])).collect()
}

proptest! {
    #[test]
    fn order_of_edge_keys_is_the_order_of_their_bytes(a in edge(), b in edge()) {
        prop_assert_eq!(a.cmp(&b), edge_bytes(&a).cmp(&edge_bytes(&b)));
        prop_assert_eq!(read_edge(&edge_bytes(&a)), Some(a));
    }

    #[test]
    fn order_of_path_keys_is_the_order_of_their_bytes(a in path(), b in path()) {
        prop_assert_eq!(a.cmp(&b), path_bytes(&a).cmp(&path_bytes(&b)));
        prop_assert_eq!(read_path(&path_bytes(&a)), Some(a.clone()));
        // Random keys differ early: the same key with another list of hops differs there.
        let twin = PathKey { via: b.via, ..a.clone() };
        prop_assert_eq!(a.cmp(&twin), path_bytes(&a).cmp(&path_bytes(&twin)));
    }

    #[test]
    fn order_of_texts_is_the_order_of_their_bytes(a in "[\u{0}a\u{1}\u{7f}]{0,6}", b in "[\u{0}a\u{1}\u{7f}]{0,6}") {
        prop_assert_eq!(a.cmp(&b), text_bytes(&a).cmp(&text_bytes(&b)));
        // A text is told from one that it begins, whatever follows.
        prop_assert_eq!(a == b, text_bytes(&a).starts_with(&text_bytes(&b)));
    }

    #[test]
    fn any_bytes_are_a_key_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Some(key) = read_edge(&bytes) {
            prop_assert_eq!(edge_bytes(&key), bytes.clone());
        }
        if let Some(key) = read_path(&bytes) {
            prop_assert_eq!(path_bytes(&key), bytes);
        }
    }

    #[test]
    fn key_cut_or_grown_is_no_key(key in path(), cut in 1_usize..30) {
        let bytes = path_bytes(&key);
        prop_assert_eq!(read_path(&bytes[..bytes.len() - cut.min(bytes.len())]), None);
        let grown = [&bytes[..], &[0]].concat();
        prop_assert_eq!(read_path(&grown), None);
    }
}

proptest! {
    #[test]
    fn order_of_call_keys_is_the_order_of_their_bytes(a in call(), b in call()) {
        prop_assert_eq!(a.cmp(&b), call_bytes(&a).cmp(&call_bytes(&b)));
        prop_assert_eq!(read_call(&call_bytes(&a)), Some(a));
    }
}

#[test]
fn bytes_of_format_2_are_these() {
    let key = CallKey {
        window: Window(0x6b03_d500),
        client: EntityId(0x0102_0304_0506_0708),
        server: EntityId(0x1112_1314_1516_1718),
        source: CallSource::TraceAddress,
        protocol: CallProtocol::Tcp,
        operation: EntityId(0x2122_2324_2526_2728),
    };
    let expected = "03006b03d5000102030405060708111213141516171809072122232425262728";
    assert_eq!(hex(&call_bytes(&key)), expected);
}

#[test]
fn bytes_of_format_1_are_these() {
    let key = EdgeKey {
        window: Window(0x6b03_d500),
        layer: Layer::Ipc,
        client: EntityId(0x0102_0304_0506_0708),
        server: EntityId(0x1112_1314_1516_1718),
        proto: Proto::TCP,
        port: 443,
        direction: Direction::Unknown,
    };
    let expected = "01006b03d50001010203040506070811121314151617180601bb01";
    assert_eq!(hex(&edge_bytes(&key)), expected);
    let key = PathKey {
        window: key.window,
        layer: key.layer,
        client: key.client,
        server: key.server,
        proto: key.proto,
        front_port: 80,
        port: 443,
        via: [EntityId(7), EntityId(8)].into_iter().collect(),
        kind: PathKind::Leg,
        evidence: Evidence::Trace,
    };
    let expected = "02006b03d5000101020304050607081112131415161718060050\
                    01bb010000000000000007010000000000000008000205";
    assert_eq!(hex(&path_bytes(&key)), expected);
}

#[test]
fn long_texts_that_begin_alike_are_told_apart() {
    let long = "x".repeat(100_000);
    let (a, b) = (text_bytes(&format!("{long}a")), text_bytes(&format!("{long}b")));
    assert_ne!(a, b);
    assert!(a.len() < 1_024);
}
