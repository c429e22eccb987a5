//! Fault classes: the hard cases by name, so that a map can be judged under each alone.

use super::{Features, FleetSpec, XlatNodes};

/// A class of faults. Each is a few settings of [`FleetSpec`]; several add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// No agent sees address translation.
    NoXlat,
    /// Rolling deploys, and jobs that take turns on one address: addresses change hands in a second.
    Churn,
    /// Connections refused, and connections that nobody answers.
    Failures,
    /// Records twice, out of order, late.
    Disorder,
    /// Ownership is published five seconds after the fact.
    OwnershipLag,
    /// The ownership watch breaks, loses what happens meanwhile, and lists all again.
    Relist,
    /// Agents' clocks are up to two seconds off.
    Skew,
    /// Only every other node has an agent.
    HalfAgents,
    /// Agents lose records.
    Lossy,
    /// Every other agent samples one packet in 50.
    Sampling,
    /// Daemons on the network of their nodes.
    HostNetwork,
    /// Three clusters with the same pod addresses.
    Clusters,
    /// A load balancer with targets of several services.
    SharedBalancer,
    /// Load balancers before service addresses and before each other.
    Chains,
    /// Pods that call themselves through their service.
    Hairpin,
    /// Masquerading nodes, and callers behind a NAT gateway.
    Nat,
    /// Connections of minutes, open since before anybody watched.
    LongLived,
    /// Gossip with one port at both ends.
    Gossip,
}

// === impl Fault ===

impl Fault {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::NoXlat,
        Self::Churn,
        Self::Failures,
        Self::Disorder,
        Self::OwnershipLag,
        Self::Relist,
        Self::Skew,
        Self::HalfAgents,
        Self::Lossy,
        Self::Sampling,
        Self::HostNetwork,
        Self::Clusters,
        Self::SharedBalancer,
        Self::Chains,
        Self::Hairpin,
        Self::Nat,
        Self::LongLived,
        Self::Gossip,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoXlat => "no-xlat",
            Self::Churn => "churn",
            Self::Failures => "failures",
            Self::Disorder => "disorder",
            Self::OwnershipLag => "ownership-lag",
            Self::Relist => "relist",
            Self::Skew => "skew",
            Self::HalfAgents => "half-agents",
            Self::Lossy => "lossy",
            Self::Sampling => "sampling",
            Self::HostNetwork => "host-network",
            Self::Clusters => "clusters",
            Self::SharedBalancer => "shared-balancer",
            Self::Chains => "chains",
            Self::Hairpin => "hairpin",
            Self::Nat => "nat",
            Self::LongLived => "long-lived",
            Self::Gossip => "gossip",
        }
    }

    /// The class of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// Switches the class on, at rates that a minute of simulation meets many times.
    pub fn apply(self, spec: &mut FleetSpec) {
        let hard = Features::hard();
        let f = &mut spec.features;
        match self {
            Self::NoXlat => f.xlat = XlatNodes::None,
            Self::Churn => (f.deploy_every_ms, f.jobs) = (1_000, true),
            Self::Failures => {
                f.refused_permille = hard.refused_permille;
                f.unanswered_permille = hard.unanswered_permille;
            }
            Self::Disorder => {
                f.duplicate_permille = hard.duplicate_permille;
                f.reorder_permille = hard.reorder_permille;
                f.late_permille = hard.late_permille;
            }
            Self::OwnershipLag => f.ownership_lag_ms = 5_000,
            // Something has to change for a gap to hide it.
            Self::Relist => (f.relist_every_ms, f.deploy_every_ms, f.jobs) = (20_000, 1_000, true),
            // The shortest rest in which no two owners meet on any clock.
            Self::Skew => (f.skew_ms, f.reuse_after_ms) = (2_000, 4_000),
            Self::HalfAgents => f.half_agents = true,
            // One in 50: what a full ring buffer costs in a burst.
            Self::Lossy => f.lost_permille = 20,
            Self::Sampling => f.sampling = 50,
            Self::HostNetwork => f.host_network = true,
            Self::Clusters => spec.clusters = 3,
            Self::SharedBalancer => f.shared_balancer = true,
            Self::Chains => f.chains = true,
            Self::Hairpin => f.hairpin = true,
            Self::Nat => f.nat = true,
            Self::LongLived => f.long_lived = true,
            Self::Gossip => f.gossip = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_of_its_own_and_can_be_simulated() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(Fault::ALL.iter().position(|f| f.name() == fault.name()), Some(place));
            assert_eq!(Fault::parse(fault.name()), Some(fault));
            let mut spec = FleetSpec::random(1, 10, 100);
            fault.apply(&mut spec);
            assert_eq!(spec.check(), Ok(()));
            assert_ne!(spec, FleetSpec::random(1, 10, 100), "{fault:?} changes something");
        }
    }

    #[test]
    fn all_classes_together_can_be_simulated() {
        let mut spec = FleetSpec::random(1, 10, 100);
        for fault in Fault::ALL {
            fault.apply(&mut spec);
        }
        assert_eq!(spec.check(), Ok(()));
    }
}
