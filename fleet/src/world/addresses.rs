//! Addresses of everything, and those of pods given out again soon after they were freed.

use portolan_model::{Ip, Nanos};

/// Addresses of a node's /24 that pods get: .2 to .251.
const FIRST: u32 = 2;
const LAST: u32 = 251;

/// Free addresses by node.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// Rest between two owners.
    rest: Nanos,
    nodes: Vec<Range>,
}

#[derive(Clone, Debug)]
struct Range {
    /// The next address that nobody ever had.
    fresh: u32,
    /// Freed ones, in the order of their freeing.
    freed: Vec<(Nanos, Ip)>,
}

// === impl Addresses ===

impl Addresses {
    /// All free.
    pub(super) fn new(nodes: u32, rest: Nanos) -> Self {
        Self { rest, nodes: vec![Range { fresh: FIRST, freed: Vec::new() }; nodes as usize] }
    }

    /// An address on `node`: the one freed last, if it has rested, so that reuse happens within
    /// seconds; else one that nobody had.
    pub(super) fn take(&mut self, node: u32, at: Nanos) -> Option<Ip> {
        let range = &mut self.nodes[node as usize];
        let rest = self.rest;
        let rested = range.freed.iter().rposition(|(freed, _)| freed + rest <= at);
        if let Some(place) = rested {
            return Some(range.freed.remove(place).1);
        }
        if range.fresh > LAST {
            return None;
        }
        range.fresh += 1;
        Some(Ip::v4(0x0A80_0000 | node << 8 | (range.fresh - 1)))
    }

    /// The address is free since `at`.
    pub(super) fn give(&mut self, node: u32, ip: Ip, at: Nanos) {
        self.nodes[node as usize].freed.push((at, ip));
    }
}

/// 192.168.0.0/16, none ending in 0 or 255.
pub(super) fn node(node: u32) -> Ip {
    Ip::v4(0xC0A8_0000 | (node / 250) << 8 | (node % 250 + 1))
}

/// 172.30.0.0/16, as OpenShift has it.
pub(super) fn service(at: u32) -> Ip {
    Ip::v4(0xAC1E_0000 + at + 10)
}

/// 10.0.0.0/24: a subnet of load balancers.
pub(super) fn balancer(at: u32) -> Ip {
    Ip::v4(0x0A00_0000 + at + 10)
}

/// 10.64.0.0/10: databases and hosts outside the cluster.
pub(super) fn outside(workload: u32, instance: u32) -> Ip {
    Ip::v4(0x0A40_0000 + (workload << 4) + instance % 16)
}

/// A /28 of 198.18.0.0/15 (RFC 2544) for each external service.
pub(super) fn external(workload: u32, instance: u32) -> Ip {
    Ip::v4(0xC612_0000 + (workload % 8_192) * 16 + instance % 16)
}

/// The range that [`external`] takes from.
pub(super) fn external_range(workload: u32) -> (Ip, u8) {
    (external(workload, 0), 28)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_address_rests_before_the_next_pod_has_it() {
        let mut addresses = Addresses::new(1, 10);
        let first = addresses.take(0, 0).unwrap();
        addresses.give(0, first, 100);
        assert_ne!(addresses.take(0, 109).unwrap(), first);
        assert_eq!(addresses.take(0, 110).unwrap(), first);
    }

    #[test]
    fn full_node_gives_none() {
        let mut addresses = Addresses::new(1, 10);
        assert_eq!((0..300).filter_map(|_| addresses.take(0, 0)).count(), 250);
    }
}
