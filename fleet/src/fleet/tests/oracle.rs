//! A naive reader: it keeps every record, knows nothing but sockets, and takes the word of the
//! agent on the client's node, else of the one on the server's.

use std::collections::{BTreeMap, BTreeSet};

use portolan_model::{FlowRow, Ip, OwnerEvent, OwnerKind, Proto};

/// What the reader knows of addresses.
#[derive(Default)]
pub(super) struct Oracle {
    node_of: BTreeMap<Ip, Ip>,
    services: BTreeSet<Ip>,
    balancers: BTreeSet<Ip>,
    served: BTreeSet<(Ip, u16)>,
}

/// What the reader counts on the collapsed map.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) connections: BTreeSet<(Ip, u16, Ip, u16)>,
    pub(super) bytes: u64,
    /// Slices with an opening packet.
    pub(super) openings: u64,
}

impl Oracle {
    pub(super) fn new(events: &[OwnerEvent]) -> Self {
        let mut oracle = Self::default();
        for event in events {
            let OwnerEvent::Upsert(record) = event else { continue };
            for ip in &record.ips {
                oracle.node_of.insert(*ip, record.node);
                oracle.served.extend(record.ports.iter().map(|served| (*ip, served.port)));
                match record.kind {
                    OwnerKind::Service => oracle.services.insert(*ip),
                    OwnerKind::LoadBalancer => oracle.balancers.insert(*ip),
                    _ => false,
                };
            }
        }
        oracle
    }

    pub(super) fn count(&self, rows: &[FlowRow]) -> Counted {
        let mut counted = Counted::default();
        let mut seen = BTreeSet::new();
        for row in rows {
            let (src, dst) = ((row.src, row.src_port), (row.dst, row.dst_port));
            if !seen.insert((row.agent, src, dst, row.start)) {
                continue;
            }
            let forward = self.serves(dst);
            assert_ne!(forward, self.serves(src), "this seed has no port on both sides: {row:?}");
            let (client, server) = if forward { (src, dst) } else { (dst, src) };
            // The leg behind a balancer is no edge of the collapsed map, and what goes to a service
            // address is seen again behind it.
            if self.services.contains(&server.0) || self.balancers.contains(&client.0) {
                continue;
            }
            if row.agent != self.designated(client.0, server.0) {
                continue;
            }
            counted.bytes += row.bytes;
            if forward && (row.proto == Proto::UDP || row.flags.syn()) {
                counted.openings += 1;
                counted.connections.insert((client.0, client.1, server.0, server.1));
            }
        }
        counted
    }

    /// Ephemeral ports belong to clients, unless the owner of the address declared them.
    fn serves(&self, (ip, port): (Ip, u16)) -> bool {
        port < 32_768 || self.served.contains(&(ip, port))
    }

    fn designated(&self, client: Ip, server: Ip) -> Ip {
        let agent = |ip| self.node_of.get(&ip).copied().filter(|node| !node.is_none());
        agent(client).or_else(|| agent(server)).expect("one of the ends is in the cluster")
    }
}
