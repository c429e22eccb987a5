//! The ends of spans: numbers of the linker become entities.

use portolan_model::{CallSource, EntityId};

use crate::naming::{Naming, Side};

use super::gather::Pools;
use super::span::{Marks, Role, Span};

/// Names the ends of the calls of an epoch.
pub(super) struct Ends<'a> {
    pub(super) naming: Naming<'a>,
    pub(super) pools: &'a Pools,
}

// === impl Ends ===

impl Ends<'_> {
    /// Makes sure that a service is on the map, even if no edge of it is (C.3), and that what it serves is
    /// among the operations that it may keep: also what no call bears in the end, because a call that
    /// was judged before it was whole may have.
    pub(super) fn note(&mut self, span: &Span) {
        if span.who == 0 {
            return;
        }
        let service = self.service(span.who);
        if span.role == Role::Callee {
            self.operation(service, span);
        }
    }

    /// The entity of a service.
    pub(super) fn service(&mut self, who: u32) -> EntityId {
        let service = self.pools.services.get(who);
        self.naming.service(service.id, &service.entity)
    }

    /// The operation that a span names, as one of those of a server.
    pub(super) fn operation(&mut self, server: EntityId, span: &Span) -> EntityId {
        if span.operation == 0 {
            return EntityId::NONE;
        }
        let key = (server, span.operation);
        if let Some(id) = self.naming.names.operations.get(&key) {
            return *id;
        }
        let id = self.naming.operation(server, self.pools.operations.get(span.operation));
        self.naming.names.operations.insert(key, id);
        id
    }

    /// Stands for whoever is not known.
    pub(super) fn unknown(&mut self) -> EntityId {
        self.naming.unknown()
    }

    /// The topic that a span sends to or takes from, or the broker where it names no topic (C.6).
    pub(super) fn topic(&mut self, span: &Span) -> Option<EntityId> {
        self.naming.topic(self.pools.far.get(span.far))
    }

    /// Whether naming the other end of a half asks the directory.
    pub(super) fn asks(&self, span: &Span) -> bool {
        self.pools.far.get(span.far).asks()
    }

    /// Who called a server that begins a trace (C.7).
    pub(super) fn root_caller(&mut self, server: &Span) -> (EntityId, CallSource) {
        if server.is(Marks::SYNTHETIC) {
            return (self.naming.user(Some("synthetic")), CallSource::TracePeer);
        }
        if let Some(known) = self.far(server, Side::Caller) {
            return known;
        }
        let ip = self.pools.far.get(server.far).ip;
        if !ip.is_none() && ip.is_private() {
            return (self.unknown(), CallSource::TracePeer);
        }
        (self.naming.user(None), CallSource::TracePeer)
    }

    /// The other end of a half, by what the half says of it.
    pub(super) fn far(&mut self, span: &Span, side: Side) -> Option<(EntityId, CallSource)> {
        self.naming.far(self.pools.far.get(span.far), span.start, side)
    }
}
