//! The fleet: clusters side by side, with the same addresses and nothing in common but time.

use std::sync::Arc;

use portolan_model::{Nanos, OwnerRecord};

use crate::cluster::Cluster;
use crate::spec::{FleetSpec, SpecError};
use crate::telemetry::CallEdge;
use crate::truth::Truth;
use crate::wire::Message;

#[cfg(test)]
mod tests;

/// A running fleet. See the crate.
#[derive(Debug)]
pub struct Fleet {
    spec: FleetSpec,
    clusters: Vec<Cluster>,
    now: Nanos,
}

// === impl Fleet ===

impl Fleet {
    /// A fleet at `start`, with all pods up. Refuses a specification that cannot be simulated.
    pub fn try_new(spec: FleetSpec, start: Nanos) -> Result<Self, SpecError> {
        spec.check()?;
        let clusters =
            (0..spec.clusters).map(|number| Cluster::try_new(spec.cluster(number), start));
        Ok(Self { clusters: clusters.collect::<Result<_, _>>()?, spec, now: start })
    }

    /// Everything that ownership lists now: publish this first.
    pub fn ownership(&self) -> Vec<Message> {
        self.owners().iter().map(Message::owner).collect()
    }

    /// The same as values.
    pub fn owners(&self) -> Vec<OwnerRecord> {
        self.clusters.iter().flat_map(Cluster::owners).collect()
    }

    /// Lets the fleet run until `now`: what was published on the way, of each cluster in its order.
    /// Going back in time gives nothing.
    pub fn tick(&mut self, now: Nanos) -> Vec<Message> {
        self.now = self.now.max(now);
        self.clusters.iter_mut().flat_map(|cluster| cluster.tick(now)).collect()
    }

    /// Lets it run until `now`, closes every connection there, and lets everything out that was
    /// still on its way. Afterwards nothing happens any more, and the truth is final.
    pub fn close(&mut self, now: Nanos) -> Vec<Message> {
        self.now = self.now.max(now);
        self.clusters.iter_mut().flat_map(|cluster| cluster.close(now)).collect()
    }

    /// The true map of everything that was published so far.
    pub fn truth(&self) -> Truth {
        Truth::of_all(self.clusters.iter().map(Cluster::truth))
    }

    /// The true calls so far, by client, server, kind and operation: nothing unless
    /// [`crate::TelemetrySpec`] asks for it. Sorted.
    pub fn calls(&self) -> Vec<CallEdge> {
        let mut calls: Vec<CallEdge> = self.clusters.iter().flat_map(Cluster::calls).collect();
        let order = |c: &CallEdge| (c.client.clone(), c.server.clone(), c.operation.clone());
        calls.sort_by_cached_key(order);
        calls
    }

    /// Scopes of its records: empty for the default one.
    pub fn scopes(&self) -> Vec<Arc<str>> {
        self.clusters.iter().map(Cluster::scope).collect()
    }

    /// How far it ran.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// What it was made of.
    pub fn spec(&self) -> &FleetSpec {
        &self.spec
    }
}
