//! Who the ends of a connection are.

use portolan_model::{EntityId, Ip, Nanos, Proto, Resolution, Source};

use crate::directory::{Found, Lookup, OwnerIdx};

use super::addrs::Addr;
use super::judge::Judge;
use super::table::{Conn, ConnKey, Side};

/// Start and end of a cloud flow log's record may be this far off (flow semantics, section 1.3.3).
const CLOUD_TOLERANCE: Nanos = 60_000_000_000;

/// An end with its owner.
pub(super) struct Party {
    pub(super) id: EntityId,
    pub(super) owner: Option<OwnerIdx>,
    pub(super) resolution: Resolution,
}

impl Judge<'_> {
    pub(super) fn seen_on(&self, conn: &Conn) -> [Ip; 2] {
        let mut agents = [Ip::NONE; 2];
        for tally in &conn.tallies {
            let ip = self.addrs.get(tally.agent).ip;
            if !agents.contains(&ip)
                && let Some(free) = agents.iter_mut().find(|a| a.is_none())
            {
                *free = ip;
            }
        }
        agents
    }

    pub(super) fn party(
        &mut self,
        key: ConnKey,
        conn: &Conn,
        side: Side,
        begin: Nanos,
        seen_on: [Ip; 2],
    ) -> Party {
        let end = key.end(side);
        let addr = *self.addrs.get(end.addr);
        let is_tcp = key.proto() == Proto::TCP;
        let last = conn.tallies.iter().map(|t| t.last).max().unwrap_or(begin);
        let cloud = conn.tallies.iter().all(|t| t.source == Source::CloudLog);
        let look = Lookup {
            scope: addr.scope,
            ip: addr.ip,
            port: end.port,
            proto: key.proto(),
            at: begin,
            // TCP does not survive a change of owner; what has no connection may cross one.
            until: if is_tcp { begin } else { last.max(begin) },
            sends: conn.tallies.iter().any(|t| t.from == side),
            tolerance: if cloud { CLOUD_TOLERANCE.max(self.tolerance) } else { self.tolerance },
            seen_on,
            peer: self.addrs.get(key.end(side.other()).addr).ip,
        };
        self.resolve(&addr, &look)
    }

    pub(super) fn resolve(&mut self, addr: &Addr, look: &Lookup) -> Party {
        match self.directory.find(addr.claims(), look) {
            Found::One(owner, resolution) => Party {
                id: self.names.owner(self.directory.owner(owner)),
                owner: Some(owner),
                resolution,
            },
            Found::Many(owners) => {
                let candidates = owners.iter().map(|o| &*self.directory.owner(*o).entity);
                Party {
                    id: self.names.ambiguous(candidates),
                    owner: None,
                    resolution: Resolution::Ambiguous,
                }
            }
            Found::Builtin(what) => {
                Party { id: self.names.builtin(what), owner: None, resolution: Resolution::Exact }
            }
            Found::Nobody if !addr.ip.is_private() => Party {
                id: self.names.unknown(addr.ip),
                owner: None,
                resolution: Resolution::Outside,
            },
            Found::Nobody => Party {
                id: self.names.unknown(addr.ip),
                owner: None,
                resolution: Resolution::Unresolved,
            },
        }
    }

    /// The node that an end lives on: an unresolved or host address may be a node's own.
    pub(super) fn node(&self, key: ConnKey, side: Side, party: &Party) -> Ip {
        match party.owner {
            Some(owner) => self.directory.owner(owner).node,
            None => self.addrs.get(key.end(side).addr).ip,
        }
    }
}
