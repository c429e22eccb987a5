//! Where hops forward to: what the collapser needs to know of a connection towards one.

use std::sync::Arc;

use portolan_model::{
    Backend, EdgeKey, EntityId, Evidence, HopClass, Ip, Nanos, Proto, ScopeId, Socket, ValidTime,
    Via,
};
use smallvec::SmallVec;

use crate::directory::{Found, Lookup, OwnerIdx};
use crate::{HopConnection, HopTarget};

use super::judge::{Emitted, Judge};
use super::key::{ConnKey, End, Side};
use super::party::Party;
use super::table::{Conn, Rewrite};

/// A hop's next version is told at most this long after its backends changed: a controller's resync
/// and a health check's interval are a few seconds.
const TOLD_LATE: Nanos = 5_000_000_000;

/// Longest chain of hops (flow semantics, section 4.5).
const MAX_HOPS: usize = 8;

/// The hops of a chain, as far as it was followed.
type Trail = SmallVec<[OwnerIdx; 4]>;

/// What a balancer's connection is to those that the balancer forwards.
pub(super) enum Onward {
    /// It ends at the one place that they go to.
    There,
    /// It leads to a hop on the way to that place.
    Through(EntityId),
}

impl Judge<'_> {
    /// Whether some hop is declared to forward to it.
    pub(super) fn is_target(&self, end: End, proto: Proto) -> bool {
        let addr = self.addrs.get(end.addr);
        let asked = |index| self.directory.at(index).is_target(proto, end.port);
        addr.targets.have(proto, end.port).unwrap_or_else(|| addr.claims().is_some_and(asked))
    }

    pub(super) fn is_landing(&self, server: End, proto: Proto) -> bool {
        self.is_target(server, proto) || self.rewritten_to.contains(&server)
    }

    pub(super) fn hop(
        &mut self,
        key: ConnKey,
        conn: &Conn,
        server: Side,
        party: &Party,
        emitted: &Emitted,
        begin: Nanos,
    ) -> Option<HopConnection> {
        let class = party.hop;
        let proto = key.proto();
        let end = key.end(server);
        let rewrite = match conn.rewrites[server as usize] {
            Rewrite::To(to) => Some((self.target(to, proto, begin), Evidence::Rewrite)),
            Rewrite::None | Rewrite::Conflict => None,
        };
        if class.is_none() && rewrite.is_none() {
            return None;
        }
        let targets: Arc<[HopTarget]> = match party.owner {
            Some(owner) => self.targets(owner, end.port, proto, self.addrs.get(end.addr).scope),
            None => Arc::new([]),
        };
        Some(HopConnection {
            client: emitted.key.client,
            hop: emitted.key.server,
            class: class.unwrap_or(HopClass::ClusterIp),
            targets,
            beyond: None,
            rewrite,
            counters: emitted.counters,
            certainty: emitted.certainty,
            provisional: emitted.provisional,
            sampler: emitted.sampler,
            first_ns: emitted.first_ns,
            last_ns: emitted.last_ns,
        })
    }

    fn target(&mut self, to: End, proto: Proto, at: Nanos) -> HopTarget {
        let addr = *self.addrs.get(to.addr);
        let look = Lookup {
            scope: addr.scope,
            ip: addr.ip,
            port: to.port,
            proto,
            at,
            until: at,
            sends: false,
            tolerance: self.tolerance,
            seen_on: [Ip::NONE; 2],
            peer: Ip::NONE,
        };
        let party = self.resolve(&addr, &look);
        self.doubted |= party.resolution.is_provisional();
        HopTarget::at(Socket::new(addr.ip, to.port), party.id)
    }

    /// Where the hop forwards a connection to its `port`.
    fn targets(
        &mut self,
        hop: OwnerIdx,
        port: u16,
        proto: Proto,
        scope: ScopeId,
    ) -> Arc<[HopTarget]> {
        let key = (hop, port, proto, self.window);
        if let Some((known, doubted)) = self.names.targets.get(&key) {
            self.doubted |= doubted;
            return known.clone();
        }
        let trail = Trail::from_slice(&[hop]);
        let targets: Arc<[HopTarget]> = self.beyond(&trail, port, proto, scope).into();
        // Nobody is known at one of them, yet.
        let doubted = targets.iter().any(|target| target.entity == EntityId::NONE);
        self.doubted |= doubted;
        self.names.targets.insert(key, (targets.clone(), doubted));
        targets
    }

    /// Where the last hop of a trail forwards to. A target that is a hop with one place to forward to
    /// itself is followed there: what is declared of both holds for every connection, so nothing is
    /// multiplied that was only counted (flow semantics, section 4.5).
    fn beyond(&mut self, trail: &Trail, port: u16, proto: Proto, scope: ScopeId) -> Vec<HopTarget> {
        let Some(&hop) = trail.last() else { return Vec::new() };
        let (valid, backends, port) = {
            let owner = self.directory.owner(hop);
            (owner.valid, owner.backends.clone(), owner.front_port(proto, port))
        };
        let matches =
            |b: &&Backend| b.proto == proto && (b.front_port == 0 || b.front_port == port);
        let matching: Vec<&Backend> = backends.iter().filter(matches).collect();
        let asked: Vec<(ScopeId, Ip)> = matching.iter().map(|b| (scope, b.ip)).collect();
        let mut indexes = Vec::with_capacity(asked.len());
        self.directory.indexes_of(&asked, &mut indexes);
        let mut targets = Vec::with_capacity(asked.len());
        for (backend, index) in matching.into_iter().zip(indexes) {
            let socket = Socket::new(backend.ip, backend.port);
            let Some(owner) = self.backend((scope, index), valid, backend) else {
                targets.push(HopTarget::at(socket, EntityId::NONE));
                continue;
            };
            let entity = self.names.owner(self.directory.owner(owner));
            let mut target = HopTarget::at(socket, entity);
            if let Some(end) = self.end_of_chain(trail, owner, backend, scope) {
                target.via.push(entity);
                target.via.extend(end.via);
                (target.entity, target.port) = (end.entity, end.port);
            }
            targets.push(target);
        }
        targets.sort_unstable();
        targets
    }

    /// The one place that a backend forwards to, if it is a hop; a loop, like a chain that is too
    /// long, ends nowhere.
    fn end_of_chain(
        &mut self,
        trail: &Trail,
        next: OwnerIdx,
        backend: &Backend,
        scope: ScopeId,
    ) -> Option<HopTarget> {
        let is_hop = self.directory.owner(next).hop.is_some();
        let id = |owner: OwnerIdx| self.directory.owner(owner).id;
        let again = trail.iter().any(|hop| id(*hop) == id(next));
        if !is_hop || again || trail.len() >= MAX_HOPS {
            return None;
        }
        let mut trail = trail.clone();
        trail.push(next);
        single(&self.beyond(&trail, backend.port, backend.proto, scope))
    }

    /// Who owns a backend as long as it is one, within the window: an address that changes hands
    /// meanwhile proves nothing about where a connection went.
    fn backend(
        &self,
        (scope, index): (ScopeId, Option<u32>),
        valid: ValidTime,
        backend: &Backend,
    ) -> Option<OwnerIdx> {
        let directory = self.directory;
        let owner_at = |at: Nanos| {
            let look = Lookup {
                scope,
                ip: backend.ip,
                port: backend.port,
                proto: backend.proto,
                at,
                until: at,
                sends: false,
                tolerance: self.tolerance,
                seen_on: [Ip::NONE; 2],
                peer: Ip::NONE,
            };
            directory.find(index, &look)
        };
        // The last moments of a version that ended are left out: its backend was already gone, and
        // the address may have been another's before the next version was told. If it ended while
        // nobody watched, so is all that time.
        let seen = directory.last_seen(scope, valid.to);
        let told = match valid.to {
            Nanos::MAX => Nanos::MAX,
            to if seen < to => seen,
            to => to.saturating_sub(TOLD_LATE),
        };
        let latest = told.max(valid.from);
        let from = self.window.start().clamp(valid.from, latest);
        let to = self.window.end(self.len).clamp(from + 1, latest.max(from + 1));
        let ends = [owner_at(from), owner_at(to - 1)];
        match ends {
            [Found::One(a, _), Found::One(b, _)]
                if directory.owner(a).id == directory.owner(b).id =>
            {
                Some(a)
            }
            [Found::One(one, _), Found::Nobody] | [Found::Nobody, Found::One(one, _)] => Some(one),
            _ => None,
        }
    }

    /// Where the client forwards to, if it is a balancer and the server stands on its only way.
    pub(super) fn way(&mut self, client: &Party, edge: EdgeKey) -> Option<Onward> {
        let owner = client.owner?;
        if client.hop.is_none() || client.hop == Some(HopClass::ClusterIp) {
            return None;
        }
        let owned = self.directory.owner(owner);
        let fronts: Vec<u16> = owned.ports.iter().map(|p| p.port).collect();
        let scope = owned.scope;
        fronts.into_iter().find_map(|port| {
            let targets = self.targets(owner, port, edge.proto, scope);
            let end = single(&targets)?;
            if end.via.contains(&edge.server) {
                return Some(Onward::Through(end.entity));
            }
            let there = end.entity == edge.server && targets.iter().any(|t| t.port == edge.port);
            there.then_some(Onward::There)
        })
    }
}

/// The one entity behind all targets, if it is one and known.
pub(crate) fn single(targets: &[HopTarget]) -> Option<HopTarget> {
    let first = targets.first()?;
    let same = targets.iter().all(|t| t.entity == first.entity);
    if !same || first.entity == EntityId::NONE {
        return None;
    }
    // Replicas behind different hops: those are passed, but which, nobody can tell.
    let one_way = targets.iter().all(|t| t.via == first.via);
    Some(HopTarget { via: if one_way { first.via.clone() } else { Via::new() }, ..first.clone() })
}

// === impl HopTarget ===

impl HopTarget {
    /// A target that is an end itself.
    fn at(socket: Socket, entity: EntityId) -> Self {
        Self { socket, entity, via: Via::new(), port: socket.port }
    }
}
