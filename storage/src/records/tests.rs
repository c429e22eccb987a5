use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = Arc<str>> {
    ".{0,12}".prop_map(Arc::from)
}

fn ip() -> impl Strategy<Value = Ip> {
    prop_oneof![any::<u32>().prop_map(Ip::v4), any::<u128>().prop_map(Ip), Just(Ip::NONE)]
}

prop_compose! {
    fn backend()(front_port: u16, proto: u8, ip in ip(), port: u16) -> Backend {
        Backend { front_port, proto: Proto(proto), ip, port }
    }
}

prop_compose! {
    fn owner()(
        names in proptest::array::uniform7(text()),
        kind in 0_u8..11,
        phase_code in 0_u8..3,
        node in ip(),
        host_network: bool,
        ips in proptest::collection::vec(ip(), 0..4),
        cidrs in proptest::collection::vec((ip(), any::<u8>()), 0..4),
        ports in proptest::collection::vec((any::<u8>(), any::<u16>()), 0..4),
        backends in proptest::collection::vec(backend(), 0..4),
        more in proptest::collection::vec((any::<u8>(), any::<u16>(), any::<u16>()), 0..3),
        observer in ip(),
        times in proptest::array::uniform5(any::<u64>()),
    ) -> OwnerRecord {
        let [scope, uid, environment, namespace, name, owner_name, owner_kind_word] = names;
        let [from, to, from_lo, to_hi, observed_at] = times;
        let ports = ports.into_iter().map(|(p, port)| DeclaredPort { proto: Proto(p), port });
        let node_ports = more.iter().map(|(p, node_port, port)| NodePort {
            proto: Proto(*p),
            node_port: *node_port,
            port: *port,
        });
        let host_ports =
            more.iter().skip(1).map(|(p, port, _)| DeclaredPort { proto: Proto(*p), port: *port });
        OwnerRecord {
            node_ports: node_ports.collect(),
            host_ports: host_ports.collect(),
            observer,
            scope, uid, environment, namespace, name, owner_name,
            owner_kind: owner_kind_word,
            kind: OwnerKind::from_code(kind).unwrap(),
            phase: phase(phase_code).unwrap(),
            node, host_network, ips, cidrs, backends,
            ports: ports.collect(),
            valid: ValidTime { from, to, from_lo, to_hi },
            observed_at,
        }
    }
}

fn bytes<T>(put: impl Fn(&mut Vec<u8>, &T), value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, value);
    out
}

proptest! {
    #[test]
    fn owner_comes_back_as_it_went(owner in owner()) {
        let stored = bytes(put_owner, &owner);
        prop_assert_eq!(read_owner(&stored), Some(owner));
        for cut in 0..stored.len() {
            prop_assert_eq!(read_owner(&stored[..cut]), None);
        }
    }

    #[test]
    fn owner_keys_are_in_the_order_of_scope_uid_and_start(a in owner(), b in owner()) {
        let order = |o: &OwnerRecord| (o.scope.clone(), o.uid.clone(), o.valid.from);
        prop_assert_eq!(order(&a).cmp(&order(&b)), owner_key(&a.key()).cmp(&owner_key(&b.key())));
    }

    #[test]
    fn entity_comes_back_as_it_went(names in proptest::array::uniform4(text()), kind in 0_u8..18) {
        let [environment, namespace, name, detail] = names;
        let kind = EntityKind::from_code(kind).unwrap();
        let entity = Entity { environment, namespace, name, kind, detail };
        let stored = bytes(put_entity, &entity);
        prop_assert_eq!(read_entity(&stored), Some(entity.clone()));
        prop_assert_eq!(read_entity_key(&entity_key(entity.id())), Some(entity.id()));
    }

    #[test]
    fn position_and_loss_come_back_as_they_went(
        cluster in text(), topic in text(), partition: i32, numbers: (i64, i64), at: u64,
    ) {
        let partition = TopicPartition { cluster, topic, partition };
        let (next, reread) = numbers;
        let position = Position { partition: partition.clone(), next, reread };
        prop_assert_eq!(read_position(&bytes(put_position, &position)), Some(position));
        let loss = Loss { partition, from: next, to: reread, at };
        prop_assert_eq!(read_loss(&bytes(put_loss, &loss)), Some(loss));
    }

    #[test]
    fn position_keys_are_in_the_order_of_partitions(
        a in (text(), text(), any::<i32>()), b in (text(), text(), any::<i32>()),
    ) {
        let partition = |(cluster, topic, partition)| TopicPartition { cluster, topic, partition };
        let (a, b) = (partition(a), partition(b));
        prop_assert_eq!(a.cmp(&b), position_key(&a).cmp(&position_key(&b)));
    }

    #[test]
    fn any_bytes_are_a_record_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
        read_owner(&bytes);
        read_entity(&bytes);
        read_position(&bytes);
        read_loss(&bytes);
        read_head(&bytes);
        read_tally(&bytes);
    }
}

#[test]
fn head_comes_back_as_it_went() {
    let head = Head {
        epoch: 7,
        clock: u64::MAX,
        watermark: 9,
        folded: Window(10),
        expired: Window(u32::MAX),
        next_loss: 3,
        written: 12,
    };
    let all = bytes(put_head, &head);
    assert_eq!(read_head(&all), Some(head));
    // In format 1 the head ends before.
    assert_eq!(read_head(&all[..all.len() - 1]), Some(Head { written: 7, ..head }));
}

#[test]
fn list_longer_than_its_bytes_is_refused_before_it_allocates() {
    let mut claimed = Vec::new();
    put_varint(&mut claimed, u64::MAX);
    assert_eq!(take_list(&mut &*claimed, take_u8), None);
}

#[test]
fn learned_ports_of_an_earlier_version_are_as_sure_as_the_least() {
    let port = |confidence| LearnedPort {
        server: EntityId(7),
        proto: Proto::TCP,
        port: 50_051,
        until: 600_000_000_000,
        confidence,
    };
    let mut written = Vec::new();
    put_learned(&mut written, &[port(170), port(180)]);
    assert_eq!(read_learned(&written), Some(vec![port(170), port(180)]));
    let earlier = &written[..written.len() - 2];
    assert_eq!(read_learned(earlier), Some(vec![port(120), port(120)]));
    assert_eq!(read_learned(&written[..written.len() - 1]), None, "cut");
}
