//! Who the ends of a connection are.

use portolan_model::{EntityId, Ip, Nanos, Proto, Resolution};

use crate::directory::{Found, Lookup, OwnerIdx};

use super::addrs::Addr;
use super::judge::Judge;
use super::table::{Conn, ConnKey, Side};

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
        let sends = conn.tallies.iter().any(|t| t.from == side);
        self.resolve(&addr, end.port, key.proto(), begin, sends, seen_on)
    }

    pub(super) fn resolve(
        &mut self,
        addr: &Addr,
        port: u16,
        proto: Proto,
        at: Nanos,
        sends: bool,
        seen_on: [Ip; 2],
    ) -> Party {
        let look = Lookup {
            scope: addr.scope,
            ip: addr.ip,
            port,
            proto,
            at,
            sends,
            tolerance: self.tolerance,
            seen_on,
        };
        match self.directory.find(addr.claims(), &look) {
            Found::One(owner, resolution) => Party {
                id: self.names.owner(self.directory.owner(owner)),
                owner: Some(owner),
                resolution,
            },
            Found::Many(owners) => {
                let candidates = owners.iter().map(|o| &self.directory.owner(*o).entity);
                Party {
                    id: self.names.ambiguous(candidates),
                    owner: None,
                    resolution: Resolution::Ambiguous,
                }
            }
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
