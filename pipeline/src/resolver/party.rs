//! Who the ends of a connection are.

use portolan_model::{EntityId, HopClass, Ip, Nanos, Proto, Resolution, Source, Window};
use smallvec::SmallVec;

use crate::directory::{Found, Lookup, OwnerIdx};

use super::addrs::{Addr, Addrs};
use super::judge::Judge;
use super::key::{ConnKey, Side};
use super::table::Conn;

/// Start and end of a cloud flow log's record may be this far off (flow semantics, section 1.3.3).
const CLOUD_TOLERANCE: Nanos = 60_000_000_000;

/// An end with its owner.
pub(super) struct Party {
    pub(super) id: EntityId,
    pub(super) owner: Option<OwnerIdx>,
    pub(super) resolution: Resolution,
    /// The node that it lives on: an unresolved or host address may be a node's own.
    pub(super) node: Ip,
    /// What kind of hop it is, if it is one.
    pub(super) hop: Option<HopClass>,
}

/// What all reporters together say of a connection in a window.
pub(super) struct Seen {
    /// Start of the earliest slice, also where it lies in an earlier window.
    pub(super) begin: Nanos,
    pub(super) first: Nanos,
    pub(super) last: Nanos,
    /// A SYN, or an answer to one.
    pub(super) opens: bool,
    /// By low and high.
    pub(super) sends: [bool; 2],
    /// Nobody but clouds and their logs.
    cloud: bool,
    /// Some of it by who left packets out.
    pub(super) sampled: bool,
    /// Addresses of the agents, by tally.
    pub(super) agents: SmallVec<[Ip; 4]>,
}

// === impl Seen ===

impl Seen {
    /// Of nothing, nothing.
    pub(super) fn of(conn: &Conn, window: Window, addrs: &Addrs) -> Option<Self> {
        if conn.tallies.is_empty() {
            return None;
        }
        let mut seen = Self {
            begin: Nanos::MAX,
            first: Nanos::MAX,
            last: 0,
            opens: false,
            sends: [false; 2],
            cloud: true,
            sampled: false,
            agents: SmallVec::new(),
        };
        for tally in &conn.tallies {
            seen.begin = seen.begin.min(tally.begin);
            seen.first = seen.first.min(tally.first(window));
            seen.last = seen.last.max(tally.last);
            seen.opens |= tally.flags.syn() || tally.flags.syn_ack();
            seen.sends[tally.from as usize] = true;
            seen.sampled |= tally.sampled > 0;
            seen.cloud &= tally.source == Source::CloudLog;
            seen.agents.push(addrs.get(tally.agent).ip);
        }
        Some(seen)
    }

    /// The first two agents.
    fn seen_on(&self) -> [Ip; 2] {
        let mut agents = [Ip::NONE; 2];
        for ip in &self.agents {
            if !agents.contains(ip)
                && let Some(free) = agents.iter_mut().find(|a| a.is_none())
            {
                *free = *ip;
            }
        }
        agents
    }
}

// === impl Judge ===

impl Judge<'_> {
    pub(super) fn party(&mut self, key: ConnKey, seen: &Seen, side: Side, begin: Nanos) -> Party {
        let end = key.end(side);
        let addr = self.addrs.get(end.addr);
        let is_tcp = key.proto() == Proto::TCP;
        // TCP does not survive a change of owner; what has no connection may cross one.
        let until = if is_tcp { begin } else { seen.last.max(begin) };
        if let Some(sole) = &addr.sole
            && sole.answers(key.proto(), end.port, begin, until)
            && self.names.knows(sole.id)
        {
            let (id, node, hop) = (sole.id, sole.node, sole.hop);
            let (owner, resolution) = (Some(sole.owner), Resolution::Exact);
            return Party { id, owner, resolution, node, hop };
        }
        let look = self.look(key, seen, side, begin);
        self.resolve(&addr.clone(), &look)
    }

    /// What the directory is asked of an end.
    pub(super) fn look(&self, key: ConnKey, seen: &Seen, side: Side, begin: Nanos) -> Lookup {
        let end = key.end(side);
        let addr = self.addrs.get(end.addr);
        // TCP does not survive a change of owner; what has no connection may cross one.
        let until = if key.proto() == Proto::TCP { begin } else { seen.last.max(begin) };
        Lookup {
            scope: addr.scope,
            ip: addr.ip,
            port: end.port,
            proto: key.proto(),
            at: begin,
            until,
            sends: seen.sends[side as usize],
            tolerance: if seen.cloud {
                CLOUD_TOLERANCE.max(self.tolerance)
            } else {
                self.tolerance
            },
            seen_on: seen.seen_on(),
            peer: self.addrs.get(key.end(side.other()).addr).ip,
        }
    }

    pub(super) fn resolve(&mut self, addr: &Addr, look: &Lookup) -> Party {
        let (id, resolution) = match self.directory.find(addr.claims(), look) {
            Found::One(owner, resolution) => {
                let found = self.directory.owner(owner);
                let (id, node, hop) = (self.names.owner(found), found.node, found.hop);
                return Party { id, owner: Some(owner), resolution, node, hop };
            }
            Found::Many(owners) => {
                let candidates = owners.iter().map(|o| &*self.directory.owner(*o).entity);
                (self.names.ambiguous(candidates), Resolution::Ambiguous)
            }
            Found::Builtin(what) => (self.names.builtin(what), Resolution::Exact),
            Found::Nobody if !addr.ip.is_private() => {
                (self.names.unknown(addr.ip), Resolution::Outside)
            }
            Found::Nobody => (self.names.unknown(addr.ip), Resolution::Unresolved),
        };
        Party { id, owner: None, resolution, node: addr.ip, hop: None }
    }
}
