//! What a fleet is made of, and which of the hard cases of reality it shows.

use serde::{Deserialize, Serialize};

/// Most nodes: their pod ranges fill 10.128.0.0/9, 256 addresses each.
const MAX_NODES: u32 = 32_768;
/// Most services: service addresses come from 172.30.0.0/16.
const MAX_SERVICES: u32 = 10_000;
/// Pods keep 100 ms between a change of ownership and their next packet; a skew up to half of that
/// can never carry a packet over the change.
const MAX_SKEW_MS: u32 = 50;
/// Latest that a late record may be: half of it under the shortest horizon in use (60 s).
const MAX_LATE_MS: u32 = 20_000;

/// A fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetSpec {
    /// Seed of everything random.
    pub seed: u64,
    /// Who calls whom.
    pub topology: Topology,
    /// Nodes, each with an agent; 0 picks one for every 40 pods, at least 3.
    pub nodes: u32,
    /// Flow records a second over the whole fleet, on average and before duplicates.
    pub flows_per_sec: u32,
    /// How often an agent exports what it saw, in milliseconds (`NetObserv`'s default is 5000).
    pub export_ms: u32,
    /// Records in one Kafka message: 1 gives a bare `Record`, more give `Records`.
    pub records_per_message: u32,
    /// Scope that ownership records name; empty leaves it to the topic's default scope.
    pub scope: String,
    /// Environment of every entity; empty for none.
    pub environment: String,
    /// The hard cases.
    pub features: Features,
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// A web shop of a dozen services: named, small, the same for every seed.
    Shop,
    /// A random fleet with zipf popularity and zipf traffic.
    Random {
        /// How many services.
        services: u32,
    },
}

/// The hard cases of reality, each of which can be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

/// Why a specification cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A value is outside what the simulation can hold.
    #[error("{name} is {value}, allowed is {min} to {max}")]
    OutOfRange {
        /// Name of the setting.
        name: &'static str,
        /// What was asked for.
        value: u64,
        /// Least allowed.
        min: u64,
        /// Most allowed.
        max: u64,
    },
    /// The pods do not fit on the nodes.
    #[error("{pods} pods do not fit on {nodes} nodes; ask for at least {needed} nodes")]
    TooFewNodes {
        /// Pods of the topology.
        pods: u64,
        /// Nodes asked for.
        nodes: u64,
        /// Nodes needed.
        needed: u64,
    },
}

// === impl FleetSpec ===

impl FleetSpec {
    /// The demo: a web shop on three nodes, half of the agents with `Xlat`, now and then a deploy.
    /// Exports every second, so that the map is fresh.
    pub fn demo(seed: u64) -> Self {
        Self {
            seed,
            topology: Topology::Shop,
            nodes: 3,
            flows_per_sec: 2_000,
            export_ms: 1_000,
            records_per_message: 1,
            scope: String::new(),
            environment: String::new(),
            features: Features::demo(),
        }
    }

    /// The shop with every hard case on.
    pub fn hard(seed: u64) -> Self {
        Self { features: Features::hard(), ..Self::demo(seed) }
    }

    /// A random fleet of `services` services, without faults: for benchmarks.
    pub fn random(seed: u64, services: u32, flows_per_sec: u32) -> Self {
        Self {
            topology: Topology::Random { services },
            nodes: 0,
            flows_per_sec,
            export_ms: 5_000,
            records_per_message: 500,
            features: Features::calm(),
            ..Self::demo(seed)
        }
    }

    /// Refuses what cannot be simulated.
    pub fn check(&self) -> Result<(), SpecError> {
        let f = &self.features;
        within("nodes", self.nodes, 0, MAX_NODES)?;
        // Below one record in ten seconds nothing happens; ten million a second is past any broker.
        within("flows_per_sec", self.flows_per_sec, 1, 10_000_000)?;
        within("export_ms", self.export_ms, 10, 600_000)?;
        // 119 bytes a record: 8,000 stay under the broker's default limit of 1 MiB a message.
        within("records_per_message", self.records_per_message, 1, 8_000)?;
        for (name, share) in [
            ("refused_permille", f.refused_permille),
            ("unanswered_permille", f.unanswered_permille),
            ("duplicate_permille", f.duplicate_permille),
            ("reorder_permille", f.reorder_permille),
            ("late_permille", f.late_permille),
        ] {
            within(name, u32::from(share), 0, 1_000)?;
        }
        within("late_max_ms", f.late_max_ms, 5_000, MAX_LATE_MS)?;
        within("skew_ms", f.skew_ms, 0, MAX_SKEW_MS)?;
        // Twice the largest skew: two owners never meet on one address, on any clock.
        within("reuse_after_ms", f.reuse_after_ms, 2 * MAX_SKEW_MS, 3_600_000)?;
        within("ownership_lag_ms", f.ownership_lag_ms, 0, 600_000)?;
        if f.deploy_every_ms != 0 {
            within("deploy_every_ms", f.deploy_every_ms, 100, u32::MAX)?;
        }
        if let Topology::Random { services } = self.topology {
            within("services", services, 2, MAX_SERVICES)?;
        }
        Ok(())
    }
}

impl Default for FleetSpec {
    fn default() -> Self {
        Self::demo(7)
    }
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

    /// Everything at once, at rates that a minute of simulation meets many times.
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

fn within(name: &'static str, value: u32, min: u32, max: u32) -> Result<(), SpecError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(SpecError::OutOfRange { name, value: value.into(), min: min.into(), max: max.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_value_is_refused_by_name() {
        let spec = FleetSpec { export_ms: 0, ..FleetSpec::default() };
        let said = spec.check().unwrap_err().to_string();
        assert_eq!(said, "export_ms is 0, allowed is 10 to 600000");
    }

    #[test]
    fn every_ready_made_fleet_is_possible() {
        for spec in [FleetSpec::demo(1), FleetSpec::hard(1), FleetSpec::random(1, 10_000, 1_000)] {
            assert_eq!(spec.check(), Ok(()));
        }
    }
}
