//! Judgement of one connection in one window: a pure function of what is known of it.
//!
//! The resolver emits the difference between this judgement and the one before. So a late record, a
//! second reporter, a later owner or a handshake that turns the direction round all move counters
//! by the same mechanism, and the sum over all epochs is the judgement of the whole set.

use std::sync::Arc;

use portolan_model::{
    Backend, Counters, Direction, EdgeKey, EntityId, Evidence, HopClass, Ip, Layer, Measure, Nanos,
    Proto, Resolution, ScopeId, Window, WindowLen,
};

use crate::directory::{Directory, Found, Lookup, OwnerIdx};
use crate::{HopConnection, HopTarget};

use super::addrs::{Addr, Addrs};
use super::names::Names;
use super::orient;
use super::table::{Conn, ConnKey, End, Rewrite, Side, Tally};

/// What was emitted of a connection in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Emitted {
    pub(super) key: EdgeKey,
    pub(super) counters: Counters,
    pub(super) first_ns: Nanos,
    pub(super) last_ns: Nanos,
    /// The client's side of the connection key.
    pub(super) client: Side,
    /// The server side is a hop.
    pub(super) hop: Option<HopConnection>,
    /// The server's socket is one that some hop forwards to.
    pub(super) landing: bool,
    /// The edge is a hop's own leg towards its only target.
    pub(super) leg: bool,
}

/// What judging needs to know beside the connection.
pub(super) struct Judge<'a> {
    pub(super) directory: &'a Directory,
    pub(super) addrs: &'a Addrs,
    pub(super) names: &'a mut Names,
    pub(super) window: Window,
    pub(super) len: WindowLen,
    pub(super) tolerance: Nanos,
    /// Sockets that a record's own translation named as a destination.
    pub(super) rewritten_to: &'a rustc_hash::FxHashSet<End>,
    /// Live agents, for records that come after their window was forgotten.
    pub(super) agents: &'a rustc_hash::FxHashSet<Ip>,
    /// The window was forgotten before: only a designated reporter's word counts.
    pub(super) forgotten: bool,
}

/// An end with its owner.
struct Party {
    id: EntityId,
    owner: Option<OwnerIdx>,
    resolution: Resolution,
}

impl Judge<'_> {
    /// The judgement, or nothing where no reporter saw a flow that counts.
    pub(super) fn judge(&mut self, key: ConnKey, conn: &Conn, continued: bool) -> Option<Emitted> {
        let begin = conn.tallies.iter().map(|t| t.begin).min()?;
        let seen_on = self.seen_on(conn);
        let parties =
            [Side::Low, Side::High].map(|side| self.party(key, conn, side, begin, seen_on));
        let proto = key.proto();
        let serves = [Side::Low, Side::High].map(|side| self.serves(key, side, &parties, proto));
        let oriented = orient::client(key, conn, serves);
        let (client, confidence) = oriented.unwrap_or_else(|| (self.lower_name(key), 0));
        let server = client.other();

        let node =
            [Side::Low, Side::High].map(|side| self.node(key, side, &parties[side as usize]));
        let ahead = designated(conn, client, node, self.addrs);
        let back = designated(conn, server, node, self.addrs);
        if self.forgotten && self.is_second_hand(ahead, client, node) {
            return None;
        }
        let mut counters = Counters::ZERO;
        count(&mut counters, conn, ahead, back);
        if counters[Measure::Flows] == 0 {
            return None;
        }
        let doubt = parties.iter().any(|p| {
            matches!(p.resolution, Resolution::Tolerant | Resolution::Early | Resolution::Lingering)
        });
        if doubt {
            counters[Measure::BytesInferred] =
                counters[Measure::BytesSent] + counters[Measure::BytesReceived];
        }
        count_connections(&mut counters, proto, conn, ahead, back, continued);
        if confidence < orient::DECLARED {
            counters[Measure::ConnectionsGuessed] = counters[Measure::ConnectionsActive];
        }

        let port = if proto.has_ports() { key.end(server).port } else { 0 };
        let edge = EdgeKey {
            window: self.window,
            layer: Layer::Network,
            client: parties[client as usize].id,
            server: parties[server as usize].id,
            proto,
            port,
            direction: if oriented.is_some() { Direction::Known } else { Direction::Unknown },
        };
        let first_ns = conn.tallies.iter().map(|t| t.first).min().unwrap_or(0);
        let last_ns = conn.tallies.iter().map(|t| t.last).max().unwrap_or(0);
        let mut emitted = Emitted {
            key: edge,
            counters,
            first_ns,
            last_ns,
            client,
            hop: None,
            landing: self.is_landing(key.end(server), proto),
            leg: false,
        };
        if oriented.is_some() {
            emitted.hop = self.hop(key, conn, server, &parties[server as usize], &emitted, begin);
            emitted.leg = self.is_leg(&parties[client as usize], edge);
        }
        Some(emitted)
    }

    fn seen_on(&self, conn: &Conn) -> [Ip; 2] {
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

    fn party(
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

    fn resolve(
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

    fn serves(&self, key: ConnKey, side: Side, parties: &[Party; 2], proto: Proto) -> bool {
        let end = key.end(side);
        let party = &parties[side as usize];
        let is_vip = party.owner.is_some_and(|o| {
            let owner = self.directory.owner(o);
            owner.hop == Some(HopClass::ClusterIp)
        });
        is_vip
            || self.directory.serves(
                self.addrs.get(end.addr).claims(),
                party.owner,
                proto,
                end.port,
            )
    }

    /// With no evidence of direction, the ends stand in the order of their addresses.
    fn lower_name(&self, key: ConnKey) -> Side {
        let of = |side: Side| {
            let end = key.end(side);
            (self.addrs.get(end.addr).ip, end.port)
        };
        if of(Side::Low) <= of(Side::High) { Side::Low } else { Side::High }
    }

    /// The node that an end lives on: an unresolved or host address may be a node's own.
    fn node(&self, key: ConnKey, side: Side, party: &Party) -> Ip {
        match party.owner {
            Some(owner) => self.directory.owner(owner).node,
            None => self.addrs.get(key.end(side).addr).ip,
        }
    }

    /// Whether the word is not that of the sender's own node although that node has an agent: its
    /// word was counted when the window was still known.
    fn is_second_hand(&self, ahead: Option<&Tally>, client: Side, node: [Ip; 2]) -> bool {
        let home = node[client as usize];
        ahead.is_some_and(|t| self.addrs.get(t.agent).ip != home) && self.agents.contains(&home)
    }

    fn is_landing(&self, server: End, proto: Proto) -> bool {
        let declared = self
            .addrs
            .get(server.addr)
            .claims()
            .is_some_and(|c| self.directory.at(c).is_target(proto, server.port));
        declared || self.rewritten_to.contains(&server)
    }

    fn hop(
        &mut self,
        key: ConnKey,
        conn: &Conn,
        server: Side,
        party: &Party,
        emitted: &Emitted,
        begin: Nanos,
    ) -> Option<HopConnection> {
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
        Some(HopConnection {
            client: emitted.key.client,
            hop: emitted.key.server,
            class: class.unwrap_or(HopClass::ClusterIp),
            targets,
            rewrite,
            counters: emitted.counters,
            first_ns: emitted.first_ns,
            last_ns: emitted.last_ns,
        })
    }

    fn target(&mut self, to: End, proto: Proto, at: Nanos) -> HopTarget {
        let addr = *self.addrs.get(to.addr);
        let party = self.resolve(&addr, to.port, proto, at, false, [Ip::NONE; 2]);
        HopTarget { socket: portolan_model::Socket::new(addr.ip, to.port), entity: party.id }
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
        let backends = self.directory.owner(hop).backends.clone();
        let matching = backends
            .iter()
            .filter(|b| b.proto == proto && (b.front_port == 0 || b.front_port == port));
        let mut targets = Vec::new();
        for backend in matching {
            let entity = self.backend(front.scope, backend);
            targets.push(HopTarget {
                socket: portolan_model::Socket::new(backend.ip, backend.port),
                entity,
            });
        }
        targets.sort_unstable();
        let targets: Arc<[HopTarget]> = targets.into();
        self.names.targets.insert(key, targets.clone());
        targets
    }

    /// Who owns a backend throughout the window: an address that changes hands within it proves
    /// nothing about where a connection went.
    fn backend(&mut self, scope: ScopeId, backend: &Backend) -> EntityId {
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
        let ends = [owner_at(self.window.start()), owner_at(self.window.end(self.len) - 1)];
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
    fn is_leg(&mut self, client: &Party, edge: EdgeKey) -> bool {
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

/// The reporter whose word counts for what `from` sends: the one on the sender's node, else the one
/// on the receiver's, else the one that saw most (flow semantics, section 3.3).
fn designated<'a>(conn: &'a Conn, from: Side, node: [Ip; 2], addrs: &Addrs) -> Option<&'a Tally> {
    let rank = |tally: &Tally| {
        let agent = addrs.get(tally.agent).ip;
        let is_on = |side: Side| !agent.is_none() && agent == node[side as usize];
        let (home, away) = (is_on(from), is_on(from.other()));
        let place = if home { 2 } else { u8::from(away) };
        (place, tally.bytes, std::cmp::Reverse(agent))
    };
    conn.tallies.iter().filter(|t| t.from == from).max_by_key(|t| rank(t))
}

fn count(counters: &mut Counters, conn: &Conn, ahead: Option<&Tally>, back: Option<&Tally>) {
    for (tally, bytes, packets) in [
        (ahead, Measure::BytesSent, Measure::PacketsSent),
        (back, Measure::BytesReceived, Measure::PacketsReceived),
    ] {
        let Some(tally) = tally else { continue };
        counters[bytes] = tally.bytes as i64;
        counters[packets] = tally.packets as i64;
        counters[Measure::Flows] += tally.marks.len() as i64;
        counters[Measure::FlowsSampled] += i64::from(tally.sampled);
    }
    for tally in &conn.tallies {
        // Each drop happens in one place, whoever is designated for the bytes.
        counters[Measure::DropBytes] += tally.extra.drop_bytes as i64;
        counters[Measure::DropPackets] += i64::from(tally.extra.drop_packets);
        counters[Measure::RttCount] += i64::from(tally.extra.rtt_count);
        counters[Measure::RttSumMicros] += tally.extra.rtt_sum_micros as i64;
        let counted = [ahead, back].into_iter().flatten().any(|t| std::ptr::eq(t, tally));
        if !counted {
            counters[Measure::FlowsSeenTwice] += tally.marks.len() as i64;
        }
    }
}

fn count_connections(
    counters: &mut Counters,
    proto: Proto,
    conn: &Conn,
    ahead: Option<&Tally>,
    back: Option<&Tally>,
    continued: bool,
) {
    counters[Measure::ConnectionsActive] = 1;
    let opened = if proto == Proto::TCP {
        ahead.map_or_else(
            // The client's own direction was not seen: the answer to its SYN tells as well.
            || back.map_or(0, |t| u32::from(t.flags.syn_ack())),
            |t| orient::opened(&t.marks),
        )
    } else {
        u32::from(!continued)
    };
    counters[Measure::Connections] = i64::from(opened);
    let answered = conn.tallies.iter().any(|t| {
        t.flags.syn_ack()
            || (back.is_some_and(|b| b.from == t.from) && t.bytes > 0 && !t.flags.reset())
    });
    if proto == Proto::TCP && opened > 0 && !answered {
        counters[Measure::ConnectionsFailed] = i64::from(opened);
    }
}
