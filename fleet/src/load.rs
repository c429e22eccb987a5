//! Flow records in bulk for benchmarks: made once, then fed as fast as the reader can.
//!
//! Unlike the fleet it has no truth and no course of time worth the name: connections between pods,
//! chosen with zipf popularity, each seen by the agents of both nodes in several slices. What makes
//! a reader slow is all there: many edges, few of them busy, the same connections again and again,
//! service addresses in front of a part of them.

use portolan_model::{
    Backend, DeclaredPort, Flags, FlowColumns, FlowRow, Ip, Nanos, OwnerKind, OwnerRecord, Proto,
    ScopeId, Socket, ValidTime, Xlat,
};
use portolan_proto::pbflow;
use prost::Message as _;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::plan::random::Ranks;
use crate::wire::Observed;

const SECOND: u64 = 1_000_000_000;
/// Between two slices of a connection: `NetObserv`'s export interval.
const SLICE: u64 = 5 * SECOND;
/// Slices of one connection: enough to repeat a connection within and across windows.
const SLICES: u64 = 4;
/// Scope of addresses and owners alike: the one of a topic without a default scope.
const SCOPE: &str = "";
const SERVER_PORT: u16 = 8_080;
const SERVICE_PORT: u16 = 80;

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadSpec {
    /// Seed of everything random.
    pub seed: u64,
    /// Services, each with a service address.
    pub services: u32,
    /// Pods, dealt out to the services in turn; at most 60,000.
    pub pods: u32,
    /// Pairs of services that talk.
    pub edges: u32,
    /// Flow records in all.
    pub records: u32,
    /// Connections in a hundred that go through the service address.
    pub service_percent: u32,
    /// Connections that begin in a second of event time. Each makes about nine records.
    pub per_second: u32,
    /// Which part of a longer load: parts have the services, edges and owners of the seed in common
    /// and connections of their own.
    pub part: u64,
    /// Start of the first slice.
    pub start: Nanos,
}

/// Records and the ownership that explains them.
#[derive(Clone, Debug)]
pub struct Load {
    /// Nodes, pods and services, in that order. Their scope is the one that [`Load::batches`] has,
    /// and that a decoder gives to a topic whose default scope is empty.
    pub owners: Vec<OwnerRecord>,
    /// Records in the order in which agents would export them.
    records: Vec<Observed>,
    /// Latest end of a record.
    pub end: Nanos,
}

// === impl LoadSpec ===

impl Default for LoadSpec {
    /// The working set of the measured floor: 16.9 k edges between a thousand services, a million
    /// records.
    fn default() -> Self {
        Self {
            seed: 1,
            services: 1_000,
            pods: 3_000,
            edges: 16_900,
            records: 1_000_000,
            service_percent: 30,
            per_second: 1_000,
            part: 0,
            // 2026-11-23T08:00:00Z, the start of a window of every level up to an hour.
            start: 1_795_420_800 * SECOND,
        }
    }
}

// === impl Load ===

impl Load {
    /// Makes a load. Values out of range are brought into it: at least two services, one pod each,
    /// one edge.
    pub fn new(spec: &LoadSpec) -> Self {
        let services = spec.services.clamp(2, 60_000);
        let pods = spec.pods.clamp(services, 60_000);
        let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
        let mut records = Vec::with_capacity(spec.records as usize + 32);
        let ranks = Ranks::new(spec.edges.max(1) as usize);
        let edges: Vec<(u32, u32)> = (0..spec.edges.max(1))
            .map(|_| {
                let client = rng.random_range(0..services);
                (client, (client + rng.random_range(1..services)) % services)
            })
            .collect();
        rng.set_stream(spec.part);
        let mut serial = 0_u64;
        while records.len() < spec.records as usize {
            let (client, server) = edges[ranks.draw(&mut rng)];
            let a = instance(client, services, pods, &mut rng);
            let b = instance(server, services, pods, &mut rng);
            let vip = rng.random_ratio(spec.service_percent.min(100), 100);
            let vip = vip.then(|| Socket::new(service_ip(server), SERVICE_PORT));
            // Ports count up through the ephemeral range, so that connections differ.
            let port = 32_768 + (serial % 28_232) as u16;
            serial += 1;
            let at = spec.start + serial * SECOND / u64::from(spec.per_second.max(1));
            let client = Socket::new(pod_ip(a), port);
            let server = Socket::new(pod_ip(b), SERVER_PORT);
            let nodes = [node_of(a), node_of(b)];
            connect(&mut records, &mut rng, at, [client, server], vip, nodes);
        }
        records.truncate(spec.records as usize);
        records.sort_by_key(|observed| observed.row.end);
        let end = records.last().map_or(spec.start, |observed| observed.row.end);
        Self { owners: owners(services, pods, spec.start), records, end }
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// As `pbflow.Records` messages of `per_message` records.
    pub fn messages(&self, per_message: usize) -> Vec<Vec<u8>> {
        let chunk = |chunk: &[Observed]| {
            let entries = chunk.iter().map(Observed::record).collect();
            pbflow::Records { entries }.encode_to_vec()
        };
        self.records.chunks(per_message.max(1)).map(chunk).collect()
    }

    /// As bare `pbflow.Record` messages, with their keys.
    pub fn singles(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.records.iter().map(|it| (it.key(), it.record().encode_to_vec())).collect()
    }

    /// As decoded columns of `per_batch` records.
    pub fn batches(&self, per_batch: usize) -> Vec<FlowColumns> {
        let chunks = self.records.chunks(per_batch.max(1));
        chunks.map(|chunk| chunk.iter().map(|observed| observed.row).collect()).collect()
    }
}

/// A pod of a service: service `s` has the pods `s`, `s + services`, `s + 2 * services` and so on.
fn instance(service: u32, services: u32, pods: u32, rng: &mut ChaCha8Rng) -> u32 {
    let replicas = (pods - service).div_ceil(services);
    service + services * rng.random_range(0..replicas)
}

/// All slices of one connection, as the agents of both nodes see them.
fn connect(
    records: &mut Vec<Observed>,
    rng: &mut ChaCha8Rng,
    at: Nanos,
    [client, server]: [Socket; 2],
    vip: Option<Socket>,
    nodes: [Ip; 2],
) {
    let slices = rng.random_range(1..=SLICES);
    let watchers: &[Ip] = if nodes[0] == nodes[1] { &nodes[..1] } else { &nodes };
    for slice in 0..slices {
        let start = at + slice * SLICE;
        let end = start + rng.random_range(1..SLICE);
        let sizes = [rng.random_range(80..4_000), rng.random_range(80..60_000)];
        for (place, agent) in watchers.iter().enumerate() {
            let front = vip.filter(|_| place == 0);
            for direction in [0, 1] {
                let mut flags = 0x10;
                if slice == 0 {
                    flags |= [Flags::SYN, Flags::SYN_ACK][direction];
                }
                if slice + 1 == slices {
                    flags |= Flags::FIN_ACK;
                }
                let bytes = sizes[direction];
                let mut row = FlowRow {
                    scope: ScopeId::of(SCOPE),
                    proto: Proto::TCP,
                    start,
                    end,
                    bytes,
                    packets: bytes / 1_000 + 2,
                    flags: Flags(flags),
                    agent: *agent,
                    rtt: 250_000,
                    ..FlowRow::default()
                };
                let mut see = |server: Socket, xlat| {
                    let (src, dst) =
                        if direction == 0 { (client, server) } else { (server, client) };
                    (row.src, row.src_port, row.dst, row.dst_port) =
                        (src.ip, src.port, dst.ip, dst.port);
                    let row = FlowRow { xlat, ..row };
                    records.push(Observed {
                        row,
                        egress: direction == 1,
                        interface: dst.ip.0 as u32,
                    });
                };
                see(server, None);
                if let Some(front) = front {
                    let xlat = Xlat {
                        src: client.ip,
                        src_port: client.port,
                        dst: server.ip,
                        dst_port: server.port,
                    };
                    see(front, (direction == 0).then_some(xlat));
                }
            }
        }
    }
}

fn owners(services: u32, pods: u32, start: Nanos) -> Vec<OwnerRecord> {
    let since = ValidTime::since(start.saturating_sub(60 * SECOND));
    let blank = |kind, uid: String, name: String| OwnerRecord {
        name: name.into(),
        ..OwnerRecord::blank(SCOPE, &uid, kind, since)
    };
    let served = |port| vec![DeclaredPort { proto: Proto::TCP, port }];
    let namespace = |service: u32| format!("team-{:02}", service % 50).into();
    let mut owners = Vec::new();
    for (at, ip) in NODES.into_iter().enumerate() {
        let record = blank(OwnerKind::Node, format!("node-{at}"), format!("node-{at}"));
        owners.push(OwnerRecord { node: ip, ips: vec![ip], ..record });
    }
    for pod in 0..pods {
        let service = pod % services;
        owners.push(OwnerRecord {
            namespace: namespace(service),
            owner_name: format!("svc-{service:05}").into(),
            owner_kind: "Deployment".into(),
            node: node_of(pod),
            ips: vec![pod_ip(pod)],
            ports: served(SERVER_PORT),
            ..blank(OwnerKind::Pod, format!("pod-{pod}"), format!("svc-{service:05}-{pod}"))
        });
    }
    for service in 0..services {
        let backend = |pod| Backend {
            front_port: SERVICE_PORT,
            proto: Proto::TCP,
            ip: pod_ip(pod),
            port: SERVER_PORT,
        };
        let name = format!("svc-{service:05}");
        owners.push(OwnerRecord {
            namespace: namespace(service),
            ips: vec![service_ip(service)],
            ports: served(SERVICE_PORT),
            backends: (service..pods).step_by(services as usize).map(backend).collect(),
            ..blank(OwnerKind::Service, format!("service-{service}"), name)
        });
    }
    owners
}

/// Two agents, as many as reported in the measured lab.
const NODES: [Ip; 2] = [Ip::v4(0xC0A8_0001), Ip::v4(0xC0A8_0002)];

fn node_of(pod: u32) -> Ip {
    // Not `pod % 2`: replicas of one service would share a node where the services are even.
    NODES[(pod.wrapping_mul(0x9E37_79B1) >> 31) as usize]
}

fn pod_ip(pod: u32) -> Ip {
    Ip::v4(0x0A80_0000 + pod)
}

fn service_ip(service: u32) -> Ip {
    Ip::v4(0xAC1E_0000 + service)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use portolan_proto::{FlowDecoder, FlowEncoding};

    use super::*;

    fn small() -> LoadSpec {
        LoadSpec { services: 100, pods: 300, edges: 1_000, records: 20_000, ..LoadSpec::default() }
    }

    #[test]
    fn messages_decode_to_the_same_records_as_the_columns() {
        let load = Load::new(&small());
        let mut decoded = FlowColumns::default();
        let mut decoder = FlowDecoder::new(1 << 20);
        for payload in load.messages(500) {
            let mut refused = |why| panic!("{why:?}");
            let encoding = FlowEncoding::NetobservPb;
            let scope = ScopeId::of(SCOPE);
            decoder.decode(encoding, scope, load.end, &payload, &mut decoded, &mut refused);
        }
        let columns: Vec<FlowRow> = load.batches(777).iter().flat_map(FlowColumns::rows).collect();
        assert_eq!(decoded.rows().collect::<Vec<_>>(), columns);
        assert_eq!((columns.len(), load.singles().len()), (20_000, 20_000));
    }

    #[test]
    fn parts_of_a_load_share_owners_and_edges_but_no_connection() {
        let [one, two] = [0, 1].map(|part| Load::new(&LoadSpec { part, ..small() }));
        assert_eq!(one.owners, two.owners);
        let pairs = |load: &Load| -> BTreeSet<(Ip, Ip)> {
            let rows = load.batches(load.len());
            let services = rows.iter().flat_map(FlowColumns::rows);
            services.map(|row| (row.src, row.dst)).collect()
        };
        let (some, others) = (pairs(&one), pairs(&two));
        let shared = some.intersection(&others).count();
        // Pods are drawn anew for every connection: loads of other edges share one pair in twenty.
        assert!(shared > some.len() / 4, "{shared} of {} pairs of pods", some.len());
        assert_ne!(one.messages(500), two.messages(500));
    }

    #[test]
    fn load_repeats_connections_and_names_every_address() {
        let load = Load::new(&small());
        let owned: BTreeSet<Ip> = load.owners.iter().flat_map(|owner| owner.ips.clone()).collect();
        let mut connections = BTreeSet::new();
        for row in load.batches(load.len()).iter().flat_map(FlowColumns::rows) {
            assert!(owned.contains(&row.src) && owned.contains(&row.dst));
            connections.insert((row.src.min(row.dst), row.src_port.max(row.dst_port)));
        }
        assert!(load.len() > 5 * connections.len(), "{} connections", connections.len());
        assert_eq!(Load::new(&small()).messages(500), load.messages(500));
    }
}
