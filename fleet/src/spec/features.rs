//! The hard cases of reality, as settings.

use serde::{Deserialize, Serialize};

/// The hard cases of reality, each of which can be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each hard case is there or it is not")]
pub struct Features {
    /// Which agents see address translation on the record (`Xlat`).
    pub xlat: XlatNodes,
    /// Name look-ups over UDP before some calls.
    pub dns: bool,
    /// Health probes from each node to its pods.
    pub probes: bool,
    /// Connections refused by the server, in a thousand.
    pub refused_permille: u16,
    /// Connections that nobody answers (three SYNs over three seconds), in a thousand.
    pub unanswered_permille: u16,
    /// Mean time between rolling deploys, in milliseconds; 0 for none.
    pub deploy_every_ms: u32,
    /// Two jobs that take turns on one address, each living a few seconds.
    pub jobs: bool,
    /// How long an address rests before the next pod on the node gets it, in milliseconds.
    pub reuse_after_ms: u32,
    /// How long after the fact ownership is published, in milliseconds.
    pub ownership_lag_ms: u32,
    /// Records published twice, in a thousand.
    pub duplicate_permille: u16,
    /// Records held back up to two seconds, so that they arrive out of order, in a thousand.
    pub reorder_permille: u16,
    /// Records held back from five seconds to `late_max_ms`, in a thousand.
    pub late_permille: u16,
    /// Bound of lateness, in milliseconds.
    pub late_max_ms: u32,
    /// Largest error of an agent's clock, in milliseconds.
    pub skew_ms: u32,
    /// Only every other node has an agent.
    pub half_agents: bool,
    /// Records that an agent loses before they leave, in a thousand.
    pub lost_permille: u16,
    /// Every other agent looks at one packet in this many; 1 is all.
    pub sampling: u32,
    /// Pods on the network of their node: two daemons a node, called and calling.
    pub host_network: bool,
    /// A load balancer with targets of several services.
    pub shared_balancer: bool,
    /// Load balancers before a service address, and before another load balancer.
    pub chains: bool,
    /// Pods that call themselves through their own service.
    pub hairpin: bool,
    /// Nodes that masquerade what leaves the cluster, and callers behind a NAT gateway.
    pub nat: bool,
    /// From one relist of ownership to the next, in milliseconds; 0 for none.
    pub relist_every_ms: u32,
    /// How long before a relist the watch was broken: what it would have said is lost.
    pub relist_gap_ms: u32,
    /// Connections of minutes, some of them open since before the fleet was watched.
    pub long_lived: bool,
    /// Peers that gossip over UDP, with one port at both ends.
    pub gossip: bool,
}

/// Which agents see address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum XlatNodes {
    /// None: a call through a service address has to be proven by its client socket.
    None,
    /// Every other node.
    Half,
    /// All.
    All,
}

// === impl Features ===

impl Features {
    /// No fault, no change, nothing but calls.
    pub const fn calm() -> Self {
        Self {
            xlat: XlatNodes::Half,
            dns: true,
            probes: false,
            refused_permille: 0,
            unanswered_permille: 0,
            deploy_every_ms: 0,
            jobs: false,
            reuse_after_ms: 1_000,
            ownership_lag_ms: 200,
            duplicate_permille: 0,
            reorder_permille: 0,
            late_permille: 0,
            late_max_ms: 18_000,
            skew_ms: 0,
            half_agents: false,
            lost_permille: 0,
            sampling: 1,
            host_network: false,
            shared_balancer: false,
            chains: false,
            hairpin: false,
            nat: false,
            relist_every_ms: 0,
            relist_gap_ms: 8_000,
            long_lived: false,
            gossip: false,
        }
    }

    /// What an ordinary cluster shows.
    pub const fn demo() -> Self {
        Self {
            probes: true,
            refused_permille: 2,
            deploy_every_ms: 30_000,
            jobs: true,
            skew_ms: 1,
            ..Self::calm()
        }
    }

    /// What changes while it runs and what comes twice, late or out of order, at rates that a minute
    /// of simulation meets many times.
    pub const fn hard() -> Self {
        Self {
            unanswered_permille: 3,
            refused_permille: 10,
            deploy_every_ms: 4_000,
            duplicate_permille: 10,
            reorder_permille: 30,
            late_permille: 5,
            skew_ms: 20,
            ..Self::demo()
        }
    }
}

impl Default for Features {
    fn default() -> Self {
        Self::demo()
    }
}
