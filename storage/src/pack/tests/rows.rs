//! Rows of every kind, from few keys and any counts.

use portolan_model::{
    CallCounters, CallDelta, CallKey, CallProtocol, CallSource, Counters, Direction, EdgeDelta,
    EdgeKey, EntityId, Evidence, Latency, Layer, MEASURES, Measure, Nanos, PLAIN, PathDelta,
    PathKey, PathKind, Proto,
};
use proptest::prelude::*;

use super::WINDOW;

pub(super) fn edge(client: u64, server: u64) -> EdgeDelta {
    let mut counters = Counters::ZERO;
    counters[Measure::Flows] = 1 + client as i64;
    counters[Measure::BytesSent] = 100 * server as i64;
    EdgeDelta {
        key: EdgeKey {
            window: WINDOW,
            layer: Layer::Network,
            client: EntityId(client),
            server: EntityId(server),
            proto: Proto::TCP,
            port: 443,
            direction: Direction::Known,
        },
        counters,
        first_ns: WINDOW.start() + client,
        last_ns: WINDOW.start() + 2 * client,
    }
}

fn counters() -> impl Strategy<Value = [i64; MEASURES]> {
    let small =
        prop_oneof![3 => Just(0_i64), 2 => -3_i64..300, 1 => -1_000_000_000_i64..1_000_000_000_000];
    // Those that say how sure the others are are often not there at all.
    let plain = prop::collection::vec(small.clone(), PLAIN);
    let sure = prop_oneof![
        Just(vec![0; MEASURES - PLAIN]),
        prop::collection::vec(small, MEASURES - PLAIN)
    ];
    (plain, sure).prop_map(|(plain, sure)| {
        let all: Vec<i64> = plain.into_iter().chain(sure).collect();
        std::array::from_fn(|at| all[at])
    })
}

fn times() -> impl Strategy<Value = (Nanos, Nanos)> {
    let offset = prop_oneof![(0_u64..10_000).prop_map(|ms| ms * 1_000_000), 0_u64..10_000_000_000];
    prop_oneof![
        Just((Nanos::MAX, 0)),
        (offset.clone(), offset).prop_map(|(a, b)| (WINDOW.start() + a, WINDOW.start() + a + b)),
        (any::<u64>(), any::<u64>()),
    ]
}

pub(super) fn any_edge() -> impl Strategy<Value = EdgeDelta> {
    let key = (0_u8..3, 0_u64..5, 0_u64..5, 0_u16..3, 0_u8..2);
    (key, counters(), times()).prop_map(
        |((layer, client, server, port, direction), counters, (first_ns, last_ns))| EdgeDelta {
            key: EdgeKey {
                window: WINDOW,
                layer: Layer::from_code(layer).unwrap(),
                client: EntityId(client << 61),
                server: EntityId(server << 61 | 1),
                proto: Proto::TCP,
                port: port * 300,
                direction: Direction::from_code(direction).unwrap(),
            },
            counters: Counters::from_array(counters),
            first_ns,
            last_ns,
        },
    )
}

pub(super) fn any_path() -> impl Strategy<Value = PathDelta> {
    let via = prop::collection::vec(0_u64..3, 0..3);
    (any_edge(), via, 0_u8..3, 0_u8..6).prop_map(|(edge, via, kind, evidence)| PathDelta {
        key: PathKey {
            window: WINDOW,
            layer: edge.key.layer,
            client: edge.key.client,
            server: edge.key.server,
            proto: edge.key.proto,
            front_port: 80,
            port: edge.key.port,
            via: via.into_iter().map(EntityId).collect(),
            kind: PathKind::from_code(kind).unwrap(),
            evidence: Evidence::from_code(evidence).unwrap(),
        },
        counters: edge.counters,
        first_ns: edge.first_ns,
        last_ns: edge.last_ns,
    })
}

pub(super) fn any_call() -> impl Strategy<Value = CallDelta> {
    let latency = || {
        let buckets = prop::collection::vec((0_u16..1_920, -3_i64..60), 0..6);
        (buckets, -10_000_000_i64..1_000_000_000_000)
            .prop_map(|(b, sum)| Latency::from_parts(b, sum))
    };
    (any_edge(), 0_usize..10, 0_usize..8, 0_u64..3, [latency(), latency(), latency()]).prop_map(
        |(edge, source, protocol, operation, [client, server, gap])| CallDelta {
            key: CallKey {
                window: WINDOW,
                client: edge.key.client,
                server: edge.key.server,
                source: CallSource::ALL[source],
                protocol: CallProtocol::ALL[protocol],
                operation: EntityId(operation),
            },
            counters: CallCounters::from_array(std::array::from_fn(|at| {
                edge.counters.as_array()[at]
            })),
            client,
            server,
            gap,
            first_ns: edge.first_ns,
            last_ns: edge.last_ns,
        },
    )
}
