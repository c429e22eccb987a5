//! The truth of calls: how many there were, and how much of them was told.

use std::collections::BTreeMap;

use portolan_model::{CallProtocol, Entity};
use serde::Serialize;

use crate::truth::EntityIx;

/// Calls between two entities by one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEdge {
    /// Who calls: the entity that flows know.
    pub client: Entity,
    /// Who is called.
    pub server: Entity,
    /// Kind of call.
    pub protocol: CallProtocol,
    /// Method and route (`GET /items/{id}`), full gRPC method (`fleet.Items/Get`), or verb and
    /// table (`SELECT items`), as the server knows it.
    pub operation: String,
    /// How many.
    pub counts: CallCounts,
}

/// What happened, and what was told of it. Telling is counted when it is made; after
/// [`crate::Fleet::close`] all of it has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallCounts {
    /// Calls, told of or not.
    pub calls: u64,
    /// Of these, the ones that failed as the client saw it.
    pub client_errors: u64,
    /// And as the server saw it.
    pub server_errors: u64,
    /// Sum of their lengths as the client saw them, in nanoseconds.
    pub client_nanos: u64,
    /// And as the server saw them.
    pub server_nanos: u64,
    /// Calls whose trace was kept.
    pub sampled: u64,
    /// Of these, the ones with the spans of both ends.
    pub paired: u64,
    /// With the client's span alone.
    pub client_only: u64,
    /// With the server's span alone.
    pub server_only: u64,
    /// Calls in the metrics of the client.
    pub reported_client: u64,
    /// Calls in the metrics of the server.
    pub reported_server: u64,
}

/// Calls by ends, kind and operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(BTreeMap<([EntityIx; 2], CallProtocol, String), CallCounts>);

// === impl CallCounts ===

impl CallCounts {
    /// Adds the other's.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.client_errors += other.client_errors;
        self.server_errors += other.server_errors;
        self.client_nanos += other.client_nanos;
        self.server_nanos += other.server_nanos;
        self.sampled += other.sampled;
        self.paired += other.paired;
        self.client_only += other.client_only;
        self.server_only += other.server_only;
        self.reported_client += other.reported_client;
        self.reported_server += other.reported_server;
    }
}

// === impl Calls ===

impl Calls {
    pub(super) fn add(
        &mut self,
        ends: [EntityIx; 2],
        protocol: CallProtocol,
        operation: &str,
        counts: &CallCounts,
    ) {
        let key = (ends, protocol, operation.to_owned());
        self.0.entry(key).or_default().add(counts);
    }

    /// All of them, with the names that `entity` gives.
    pub(crate) fn edges<'a>(
        &'a self,
        entity: impl Fn(EntityIx) -> Entity + 'a,
    ) -> impl Iterator<Item = CallEdge> + 'a {
        self.0.iter().map(move |((ends, protocol, operation), counts)| CallEdge {
            client: entity(ends[0]),
            server: entity(ends[1]),
            protocol: *protocol,
            operation: operation.clone(),
            counts: *counts,
        })
    }
}
