//! The quick ways to an answer give the answer of the long one.

use portolan_model::{DeclaredPort, Ip, NodePort, OwnerKind, OwnerRecord, Proto, ValidTime};
use proptest::prelude::*;

use super::*;

const SECOND: Nanos = 1_000_000_000;
const SCOPE: &str = "lab";
const PORT: u16 = 8080;

/// What happens: a version is told, an end is told, all of it is worked in, what is old is let go.
#[derive(Clone, Debug)]
enum Event {
    Told { uid: u8, kind: OwnerKind, ip: u8, from: u8, lives: Option<u8> },
    Gone { uid: u8, at: u8 },
    Expired { before: u8 },
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        6 => Just(OwnerKind::Pod),
        2 => Just(OwnerKind::Node),
        2 => Just(OwnerKind::Service),
        1 => Just(OwnerKind::LoadBalancer),
    ];
    prop_oneof![
        8 => (0..6_u8, kind, 0..4_u8, 0..60_u8, prop::option::of(0..30_u8))
            .prop_map(|(uid, kind, ip, from, lives)| Event::Told { uid, kind, ip, from, lives }),
        2 => (0..6_u8, 0..70_u8).prop_map(|(uid, at)| Event::Gone { uid, at }),
        1 => (0..60_u8).prop_map(|before| Event::Expired { before }),
    ]
}

/// Two addresses of each family; those of version 6 do not fit into a short key.
fn ip(number: u8) -> Ip {
    match number {
        0 | 1 => Ip::v4(0x0a00_0001 + u32::from(number)),
        _ => Ip(0x2001_0db8 << 96 | u128::from(number)),
    }
}

fn scope(number: u8) -> String {
    format!("scope-{number}")
}

fn ip_of((_, number, is_v6): (u8, u16, bool)) -> Ip {
    if is_v6 { Ip(0x2001_0db8 << 96 | u128::from(number)) } else { Ip::v4(u32::from(number)) }
}

fn instant(second: u8) -> Nanos {
    // Late enough that something is older than what is kept, after a few of them.
    1_000_000 * SECOND + Nanos::from(second) * 60 * SECOND
}

impl Event {
    fn happen(&self, directory: &mut Directory) {
        match *self {
            Self::Told { uid, kind, ip: number, from, lives } => {
                let (from, to) = (instant(from), lives.map(|lives| instant(from + lives)));
                let valid = to.map_or(ValidTime::since(from), |to| ValidTime::between(from, to));
                // Some services have the port that is asked for, some of those on every node.
                let port = if from % 2 == 0 { PORT } else { 80 };
                let ports = vec![DeclaredPort { proto: Proto::TCP, port }];
                let node_port = NodePort { proto: Proto::TCP, node_port: port, port };
                let is_service = kind == OwnerKind::Service;
                directory.tell(OwnerEvent::Upsert(Box::new(OwnerRecord {
                    ips: vec![ip(number)],
                    ports: if is_service { ports } else { Vec::new() },
                    node_ports: if is_service && uid > 3 { vec![node_port] } else { Vec::new() },
                    owner_name: format!("service-{}", uid / 2).into(),
                    ..OwnerRecord::blank(SCOPE, &format!("uid-{uid}"), kind, valid)
                })));
            }
            Self::Gone { uid, at } => directory.tell(OwnerEvent::Delete {
                scope: SCOPE.into(),
                uid: format!("uid-{uid}").into(),
                at: instant(at),
                at_hi: instant(at) + SECOND,
            }),
            Self::Expired { before } => {
                directory.settle();
                directory.expire(instant(before));
            }
        }
    }
}

fn look(number: u8, at: Nanos) -> Lookup {
    Lookup {
        scope: ScopeId::of(SCOPE),
        ip: ip(number),
        port: PORT,
        proto: Proto::TCP,
        at,
        until: at,
        sends: true,
        tolerance: 2 * SECOND,
        seen_on: [Ip::NONE; 2],
        peer: Ip::NONE,
    }
}

proptest! {
    #[test]
    fn plain_answers_are_those_that_all_the_claims_give(
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut directory = Directory::new("", &[]);
        for event in events {
            event.happen(&mut directory);
        }
        directory.settle();
        for number in 0..4 {
            let index = directory.index_of(ScopeId::of(SCOPE), ip(number));
            for second in 0..100 {
                for at in [instant(second) - 1, instant(second), instant(second) + 30 * SECOND] {
                    let look = look(number, at);
                    let found = directory.find(index, &look);
                    prop_assert_eq!(found, directory.find_further(index, &look), "{:?}", look);
                }
            }
        }
    }

    #[test]
    fn many_addresses_have_the_numbers_that_each_has(
        told in prop::collection::vec((0..3_u8, any::<u16>(), any::<bool>()), 0..400),
        asked in prop::collection::vec((0..3_u8, any::<u16>(), any::<bool>()), 0..200),
    ) {
        let key = |it: &(u8, u16, bool)| (ScopeId::of(&scope(it.0)), ip_of(*it));
        let mut directory = Directory::new("", &[]);
        for (at, it) in told.iter().enumerate() {
            let blank = OwnerRecord::blank(
                &scope(it.0),
                &at.to_string(),
                OwnerKind::Pod,
                ValidTime::since(SECOND),
            );
            directory.tell(OwnerEvent::Upsert(Box::new(OwnerRecord { ips: vec![ip_of(*it)], ..blank })));
        }
        directory.settle();
        let asked: Vec<(ScopeId, Ip)> = asked.iter().chain(&told).map(key).collect();
        let mut indexes = Vec::new();
        directory.indexes_of(&asked, &mut indexes);
        let each: Vec<Option<u32>> =
            asked.iter().map(|(scope, ip)| directory.index_of(*scope, *ip)).collect();
        prop_assert_eq!(&indexes, &each);
        let told: FxHashSet<(ScopeId, Ip)> = told.iter().map(key).collect();
        for (key, index) in asked.iter().zip(indexes) {
            prop_assert_eq!(index.is_some(), told.contains(key));
        }
    }
}
