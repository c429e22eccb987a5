//! Where hops forward to: what the collapser needs to know of a connection towards one.

use std::sync::Arc;

use portolan_model::{
    Backend, EdgeKey, EntityId, Evidence, HopClass, Ip, Nanos, Proto, ScopeId, Socket, ValidTime,
};

use crate::directory::{Found, Lookup, OwnerIdx};
use crate::{HopConnection, HopTarget};

use super::addrs::Addr;
use super::judge::{Emitted, Judge};
use super::party::Party;
use super::table::{Conn, ConnKey, End, Rewrite, Side};

/// A hop's next version is told at most this long after its backends changed: a controller's resync
/// and a health check's interval are a few seconds.
const TOLD_LATE: Nanos = 5_000_000_000;

impl Judge<'_> {
    pub(super) fn is_landing(&self, server: End, proto: Proto) -> bool {
        let declared = self
            .addrs
            .get(server.addr)
            .claims()
            .is_some_and(|c| self.directory.at(c).is_target(proto, server.port));
        declared || self.rewritten_to.contains(&server)
    }

    pub(super) fn hop(
        &mut self,
        key: ConnKey,
        conn: &Conn,
        server: Side,
        party: &Party,
        emitted: &Emitted,
        begin: Nanos,
    ) -> Option<Box<HopConnection>> {
        let class = party.owner.and_then(|o| self.directory.owner(o).hop);
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
            Some(owner) => self.targets(owner, end.port, proto, self.addrs.get(end.addr)),
            None => Arc::new([]),
        };
        Some(Box::new(HopConnection {
            client: emitted.key.client,
            hop: emitted.key.server,
            class: class.unwrap_or(HopClass::ClusterIp),
            targets,
            rewrite,
            counters: emitted.counters,
            first_ns: emitted.first_ns,
            last_ns: emitted.last_ns,
        }))
    }

    fn target(&mut self, to: End, proto: Proto, at: Nanos) -> HopTarget {
        let addr = *self.addrs.get(to.addr);
        let party = self.resolve(&addr, to.port, proto, at, false, [Ip::NONE; 2]);
        HopTarget { socket: Socket::new(addr.ip, to.port), entity: party.id }
    }

    /// Where the hop forwards a connection to its `port`.
    fn targets(
        &mut self,
        hop: OwnerIdx,
        port: u16,
        proto: Proto,
        front: &Addr,
    ) -> Arc<[HopTarget]> {
        let key = (hop, port, proto, self.window);
        if let Some(known) = self.names.targets.get(&key) {
            return known.clone();
        }
        let (valid, backends) = {
            let owner = self.directory.owner(hop);
            (owner.valid, owner.backends.clone())
        };
        let matching = backends
            .iter()
            .filter(|b| b.proto == proto && (b.front_port == 0 || b.front_port == port));
        let mut targets = Vec::new();
        for backend in matching {
            let entity = self.backend(front.scope, valid, backend);
            targets.push(HopTarget { socket: Socket::new(backend.ip, backend.port), entity });
        }
        targets.sort_unstable();
        let targets: Arc<[HopTarget]> = targets.into();
        self.names.targets.insert(key, targets.clone());
        targets
    }

    /// Who owns a backend as long as it is one, within the window: an address that changes hands
    /// meanwhile proves nothing about where a connection went.
    fn backend(&mut self, scope: ScopeId, valid: ValidTime, backend: &Backend) -> EntityId {
        let directory = self.directory;
        let index = directory.index_of(scope, backend.ip);
        let owner_at = |at: Nanos| {
            let look = Lookup {
                scope,
                ip: backend.ip,
                port: backend.port,
                proto: backend.proto,
                at,
                sends: false,
                tolerance: self.tolerance,
                seen_on: [Ip::NONE; 2],
            };
            directory.find(index, &look)
        };
        // The last moments of a version that ended are left out: its backend was already gone, and
        // the address may have been another's before the next version was told.
        let told =
            if valid.to == Nanos::MAX { Nanos::MAX } else { valid.to.saturating_sub(TOLD_LATE) };
        let latest = told.max(valid.from);
        let from = self.window.start().clamp(valid.from, latest);
        let to = self.window.end(self.len).clamp(from + 1, latest.max(from + 1));
        let ends = [owner_at(from), owner_at(to - 1)];
        match ends {
            [Found::One(a, _), Found::One(b, _)]
                if directory.owner(a).id == directory.owner(b).id =>
            {
                self.names.owner(directory.owner(a))
            }
            [Found::One(one, _), Found::Nobody] | [Found::Nobody, Found::One(one, _)] => {
                self.names.owner(directory.owner(one))
            }
            _ => EntityId::NONE,
        }
    }

    /// Whether the client is a balancer and the server the one service that it forwards to.
    pub(super) fn is_leg(&mut self, client: &Party, edge: EdgeKey) -> bool {
        let Some(owner) = client.owner else { return false };
        let owned = self.directory.owner(owner);
        if owned.hop.is_none() || owned.hop == Some(HopClass::ClusterIp) {
            return false;
        }
        let fronts: Vec<u16> = owned.ports.iter().map(|p| p.port).collect();
        let scope = owned.scope;
        let front = Addr::unclaimed(scope, Ip::NONE);
        fronts.into_iter().any(|port| {
            let targets = self.targets(owner, port, edge.proto, &front);
            single(&targets).is_some_and(|t| t.entity == edge.server)
                && targets.iter().any(|t| t.socket.port == edge.port)
        })
    }
}

/// The one entity behind all targets, if it is one and known.
pub(crate) fn single(targets: &[HopTarget]) -> Option<HopTarget> {
    let first = targets.first()?;
    let same = targets.iter().all(|t| t.entity == first.entity);
    (same && first.entity != EntityId::NONE).then_some(*first)
}
