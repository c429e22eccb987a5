//! What a fleet is made of, and which of the hard cases of reality it shows.

use serde::{Deserialize, Serialize};

mod fault;
mod features;
mod telemetry;

pub use fault::Fault;
pub use features::{Features, XlatNodes};
pub use telemetry::{MetricForm, TelemetrySpec};

/// Most nodes: their pod ranges fill 10.128.0.0/9, 256 addresses each.
const MAX_NODES: u32 = 32_768;
/// Most services: service addresses come from 172.30.0.0/16.
const MAX_SERVICES: u32 = 10_000;
/// Addresses rest at least this long between two owners: more than the time that a packet takes.
const MIN_REST_MS: u32 = 100;
/// Clocks under NTP (flow semantics, section 1.3.3).
const MAX_SKEW_MS: u32 = 2_000;
/// Clusters share every pod address: 64 are more than anybody maps in one place.
const MAX_CLUSTERS: u32 = 64;
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
    /// Clusters, all with the same address ranges; each is a scope and an environment of its own.
    pub clusters: u32,
    /// Nodes of a cluster, each with an agent; 0 picks one for every 40 pods, at least 3.
    pub nodes: u32,
    /// Flow records a second over the whole fleet, on average and before duplicates.
    pub flows_per_sec: u32,
    /// How often an agent exports what it saw, in milliseconds (`NetObserv`'s default is 5000).
    pub export_ms: u32,
    /// Records in one Kafka message: 1 gives a bare `Record`, more give `Records`.
    pub records_per_message: u32,
    /// Scope that ownership records name; empty leaves it to the topic's default scope. Of several
    /// clusters each adds `cluster-N`.
    pub scope: String,
    /// Environment of every entity; empty for none. Of several clusters each adds
    /// `cluster-N`.
    pub environment: String,
    /// The hard cases.
    pub features: Features,
    /// What services tell of their calls.
    pub telemetry: TelemetrySpec,
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
            clusters: 1,
            nodes: 3,
            flows_per_sec: 2_000,
            export_ms: 1_000,
            records_per_message: 1,
            scope: String::new(),
            environment: String::new(),
            features: Features::demo(),
            telemetry: TelemetrySpec::off(),
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

    /// What one cluster of it is made of. A single cluster is the fleet itself; several share the
    /// traffic.
    pub(crate) fn cluster(&self, number: u32) -> Self {
        if self.clusters <= 1 {
            return self.clone();
        }
        let name = |name: &str| {
            format!("{name}{}cluster-{number}", if name.is_empty() { "" } else { "/" })
        };
        Self {
            // Any odd number far from small ones: seeds of neighbours must not meet.
            seed: self.seed.wrapping_add(u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            clusters: 1,
            flows_per_sec: (self.flows_per_sec / self.clusters).max(1),
            scope: name(&self.scope),
            environment: name(&self.environment),
            ..self.clone()
        }
    }

    /// Refuses what cannot be simulated.
    pub fn check(&self) -> Result<(), SpecError> {
        let f = &self.features;
        within("clusters", self.clusters, 1, MAX_CLUSTERS)?;
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
            ("lost_permille", f.lost_permille),
        ] {
            within(name, u32::from(share), 0, 1_000)?;
        }
        within("late_max_ms", f.late_max_ms, 5_000, MAX_LATE_MS)?;
        within("skew_ms", f.skew_ms, 0, MAX_SKEW_MS)?;
        // Twice the largest skew: two owners never meet on one address, on any clock.
        let rest = (2 * f.skew_ms).max(MIN_REST_MS);
        within("reuse_after_ms", f.reuse_after_ms, rest, 3_600_000)?;
        within("ownership_lag_ms", f.ownership_lag_ms, 0, 600_000)?;
        if f.deploy_every_ms != 0 {
            within("deploy_every_ms", f.deploy_every_ms, 100, u32::MAX)?;
        }
        within("sampling", f.sampling, 1, 100_000)?;
        let t = &self.telemetry;
        for (name, share) in [
            ("telemetry.sampled_permille", t.sampled_permille),
            ("telemetry.dark_permille", t.dark_permille),
            ("telemetry.lost_permille", t.lost_permille),
            ("telemetry.failed_permille", t.failed_permille),
            ("telemetry.duplicate_permille", t.duplicate_permille),
            ("telemetry.late_permille", t.late_permille),
        ] {
            within(name, u32::from(share), 0, 1_000)?;
        }
        within("telemetry.report_ms", t.report_ms, 100, 600_000)?;
        if f.relist_every_ms != 0 {
            within("relist_every_ms", f.relist_every_ms, 1_000, 3_600_000)?;
            within("relist_gap_ms", f.relist_gap_ms, 1, f.relist_every_ms - 1)?;
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
