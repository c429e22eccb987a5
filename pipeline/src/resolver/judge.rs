//! Judgement of one connection in one window: a pure function of what is known of it.
//!
//! The resolver emits the difference between this judgement and the one before. So a late record, a
//! second reporter, a later owner or a handshake that turns the direction round all move counters
//! by the same mechanism, and the sum over all epochs is the judgement of the whole set.

use std::sync::Arc;

use portolan_model::{
    Certainty, Direction, EdgeKey, Evidence, HopClass, Ip, Layer, Measure, Nanos, Orientation,
    Plain, Proto, Resolution, Source, Window, WindowLen,
};

use rustc_hash::FxHashSet;

use crate::directory::{Directory, OwnerIdx};
use crate::{HopConnection, Sampler};

use super::addrs::{AddrId, Addrs};
use super::agents::Agents;
use super::forward::Onward;
use super::key::{ConnKey, End, Side};
use super::learned::{Learned, Served};
use super::masks::Masks;
use super::measure::{count, count_connections, designated, life, sampler, standing};
use super::names::Names;
use super::orient;
use super::party::{Party, Seen};
use super::table::{Conn, Table, Tally, warm_keys};
use super::tables::Tables;

/// The longest interval that a source of whole connections sums up: cloud flow logs, by default
/// (AWS: ten minutes).
const LONGEST_SLICE: Nanos = 600_000_000_000;

/// What was emitted of a connection in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Emitted {
    pub(super) key: EdgeKey,
    pub(super) counters: Plain,
    pub(super) first_ns: Nanos,
    pub(super) last_ns: Nanos,
    /// The client's side of the connection key.
    pub(super) client: Side,
    /// The server side is a hop.
    pub(super) hop: Option<Arc<HopConnection>>,
    /// The server's socket is one that some hop forwards to.
    pub(super) landing: bool,
    /// How sure its ends and direction are.
    pub(super) certainty: Certainty,
    /// A claim that is yet to come may well change who is there.
    pub(super) provisional: bool,
    /// See [`HopConnection::sampler`].
    pub(super) sampler: Sampler,
    /// The edge is a leg that other rows account for, and how that is proven: a hop's own towards its
    /// only target, or a connection whose near side was seen under its own address.
    pub(super) leg: Option<Evidence>,
}

/// What judging needs to know beside the connection.
pub(super) struct Judge<'a> {
    pub(super) directory: &'a Directory,
    pub(super) addrs: &'a Addrs,
    pub(super) names: &'a mut Names,
    pub(super) window: Window,
    pub(super) len: WindowLen,
    /// The other windows that are remembered.
    pub(super) tables: &'a Tables,
    /// Of those only what was in doubt is remembered; these, beside them, are whole.
    pub(super) beside: Option<&'a Tables>,
    pub(super) tolerance: Nanos,
    /// Sockets that a record's own translation named as a destination.
    pub(super) rewritten_to: &'a FxHashSet<End>,
    /// What source NAT made.
    pub(super) masks: &'a Masks,
    pub(super) agents: &'a Agents,
    pub(super) learned: &'a mut Learned,
    /// Sources of different kinds tell of connections.
    pub(super) mixed: bool,
    /// Who stands behind a hop is in doubt: set by the judgement at hand.
    pub(super) doubted: bool,
    /// The window was forgotten before: only a designated reporter's word counts.
    pub(super) forgotten: bool,
}

/// Who is at an end, where.
fn served(key: ConnKey, side: Side, parties: &[Party; 2]) -> Served {
    (parties[side as usize].id, key.proto(), key.end(side).port)
}

impl Emitted {
    /// What was learned tells its direction, or may do so.
    pub(super) fn asks_learned(&self) -> bool {
        self.certainty.orientation >= Orientation::Learned
    }
}

impl<'a> Judge<'a> {
    /// Reads what judging the next connections will read ([`Table::warm`]).
    pub(super) fn warm(&self, table: &Table, places: &[u32]) {
        let mut sum = 0_u64;
        for &place in places {
            let conn = &table.conns[place];
            sum = sum.wrapping_add(conn.warm());
            for side in [Side::Low, Side::High] {
                sum ^= self.addrs.get(conn.key.end(side).addr).warm(self.directory);
            }
        }
        let before = self.tables.before(self.window).next_back();
        let asks = || places.iter().map(|place| &table.conns[*place]).filter(|conn| !conn.looked);
        if let Some(before) = before {
            warm_keys(asks().map(|conn| (before, conn.key)));
        }
        for conn in asks() {
            sum = sum.wrapping_add(self.warm_earlier(conn));
        }
        for &place in places {
            let counted = table.conns[place].emitted.as_ref().map_or(0, |it| it.last_ns);
            sum = sum.wrapping_add(counted);
        }
        std::hint::black_box(sum);
    }

    /// For what did not open here: the nearest earlier window that knows the connection.
    fn warm_earlier(&self, conn: &Conn) -> u64 {
        let key = conn.key;
        let opens = conn.tallies.iter().any(|t| t.flags.syn() || t.flags.syn_ack());
        if opens || key.proto() != Proto::TCP {
            return 0;
        }
        let mut earlier = self.tables.before(self.window).rev();
        earlier.find_map(|table| table.get(key)).map_or(0, |conn| conn.begin)
    }

    /// The judgement, or nothing where no reporter saw a flow that counts.
    pub(super) fn judge(&mut self, key: ConnKey, conn: &mut Conn) -> Option<Emitted> {
        let seen = Seen::of(conn, self.window, self.addrs)?;
        let masked = self.is_mask(key, conn, seen.sampled);
        self.look_around(key, conn, &seen);
        let begin = conn.begin;
        // Low and high are by number, which is by arrival; who is named first must not be.
        let first = self.lower_name(key);
        let lower = self.party(key, &seen, first, begin);
        let upper = self.party(key, &seen, first.other(), begin);
        let parties = if first == Side::Low { [lower, upper] } else { [upper, lower] };
        let proto = key.proto();
        let is_tcp = proto == Proto::TCP;
        let serves = |side| self.serves(key, side, &parties, proto);
        let learned = |side| self.learned.knows(served(key, side, &parties));
        let oriented = orient::client(key, conn, serves, learned);
        let (client, orientation, confidence) =
            oriented.unwrap_or_else(|| (self.lower_name(key), Orientation::None, 0));
        let server = client.other();
        self.learn(key, conn, &parties);

        let node = [parties[0].node, parties[1].node];
        let mut asks_near = false;
        let mut near = std::mem::take(&mut conn.near);
        let mut is_near = |from: Side, at: Side, source: Source| {
            asks_near = true;
            self.is_near(key, (from, source), node[at as usize], &mut near)
        };
        let better = conn.better;
        // Two agents that both leave packets out: how much each one's word counts for must not depend
        // on which of them happened to look.
        let samples = |node: Ip| self.agents.samples(node, self.window, self.len);
        let halves = seen.sampled && node[0] != node[1] && node.into_iter().all(samples);
        let mut word = |of: Side| {
            designated(conn, of, node, &seen, &mut |at, s| is_near(of, at, s), (better, halves))
        };
        let (ahead, back) = (word(client), word(server));
        let only_answered = is_tcp && ahead.is_none() && seen.opens;
        let opens_elsewhere = only_answered && self.is_opened_near(key, client);
        let life = life(proto, conn, ahead, client, opens_elsewhere);
        // Where packets were left out, that no answer was seen says nothing.
        let all_seen = ahead.is_none_or(|word| word.of.sampled == 0);
        let all_seen = all_seen && !(life.unanswered && self.is_answered_near(key, server));
        let second_hand =
            self.forgotten && self.is_second_hand(ahead.map(|word| word.of), client, node);
        let mut counters = Plain::ZERO;
        count(&mut counters, conn, [ahead, back]);
        let sampler = sampler([ahead, back], &seen, conn);
        (conn.near, conn.asks_near) = (near, asks_near || life.unanswered || only_answered);
        let counts = !second_hand && counters[Measure::Flows] != 0;
        // What has no handshake goes on from a window that counted it; one whose part counts elsewhere
        // opened nothing.
        conn.open_after = if is_tcp { life.open_after } else { counts };
        if !counts {
            return None;
        }
        let resolution = parties[0].resolution.or(parties[1].resolution);
        let doubt = |p: &Party| {
            matches!(p.resolution, Resolution::Tolerant | Resolution::Early | Resolution::Lingering)
        };
        if parties.iter().any(doubt) {
            counters[Measure::BytesInferred] =
                counters[Measure::BytesSent] + counters[Measure::BytesReceived];
        }
        count_connections(&mut counters, proto, conn, all_seen, life.opened, server);
        if orientation > Orientation::Declared {
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
        let mut emitted = Emitted {
            key: edge,
            counters,
            first_ns: seen.first,
            last_ns: seen.last,
            client,
            hop: None,
            landing: self.is_landing(key.end(server), proto),
            certainty: Certainty { resolution, orientation, confidence },
            provisional: resolution.is_provisional(),
            sampler,
            leg: masked.then_some(Evidence::Rewrite),
        };
        if oriented.is_some() {
            let mut hop = self.hop(key, conn, server, &parties[server as usize], &emitted, begin);
            match self.way(&parties[client as usize], edge) {
                Some(Onward::There) => emitted.leg = Some(Evidence::Declared),
                Some(Onward::Through(end)) => {
                    if let Some(hop) = &mut hop {
                        hop.beyond = Some(end);
                    }
                }
                None => {}
            }
            emitted.provisional |= std::mem::take(&mut self.doubted);
            if let Some(hop) = &mut hop {
                hop.provisional = emitted.provisional;
            }
            emitted.hop = hop.map(Arc::new);
        }
        Some(emitted)
    }

    /// Whether some record named it as what another connection became on its way out (source NAT). Masks are remembered
    /// as long as whole windows are; what is kept for longer stays what it was.
    fn is_mask(&self, key: ConnKey, conn: &Conn, sampled: bool) -> bool {
        let was = || conn.emitted.as_ref().is_some_and(|it| it.leg == Some(Evidence::Rewrite));
        self.masks.cover(key, self.window, sampled) || (self.beside.is_some() && was())
    }

    /// Who is seen to serve where that is not plain by the port.
    fn learn(&mut self, key: ConnKey, conn: &Conn, parties: &[Party; 2]) {
        for server in [Side::Low, Side::High] {
            let (party, end) = (&parties[server as usize], key.end(server));
            let named = party.owner.is_some() || party.resolution == Resolution::Unresolved;
            if named
                && end.port != 0
                && !orient::well_known(end.port)
                && orient::is_dialled(conn, server)
            {
                let from = key.end(server.other());
                let client = (self.addrs.get(from.addr).ip, from.port);
                self.learned.note(served(key, server, parties), client, self.window.start());
            }
        }
    }

    /// Takes over what other windows say of the connection, as long as they are remembered: when it
    /// began (owners are asked for that instant, because TCP does not survive a change of either),
    /// and how the window before ended. Without a SYN of its own, a window continues the nearest
    /// one before it. Looked up once, and again when another window has news.
    fn look_around(&self, key: ConnKey, conn: &mut Conn, seen: &Seen) {
        let own = seen.begin;
        let is_tcp = key.proto() == Proto::TCP;
        let opens = is_tcp && seen.opens;
        if conn.looked && conn.opens == opens {
            conn.begin = conn.begin.min(own);
            return;
        }
        conn.looked = true;
        conn.opens = opens;
        // What is not there may have been, where only some is remembered: what it said stands.
        let partial = self.beside.is_some();
        conn.begin = if partial && conn.begin != 0 { conn.begin.min(own) } else { own };
        if is_tcp && !opens {
            let earlier = self.tables.before(self.window).rev();
            let carried = earlier.filter_map(|t| t.get(key)).map(|c| c.begin).next();
            conn.begin = carried.filter(|b| *b != 0).map_or(conn.begin, |b| b.min(conn.begin));
        }
        if self.mixed {
            // From where the earliest slice begins: what it spreads over this window may have been
            // sent in another. An agent that was heard before that and no longer covers nothing.
            let (from, to) = (self.len.window(own), self.len.window(own + LONGEST_SLICE));
            let held = from..=to;
            let others = self.tables.iter().filter(|(window, _)| held.contains(window));
            let others = others.filter_map(|(_, table)| table.get(key));
            let best = others.flat_map(|c| &c.tallies).map(|t| standing(t.source)).max();
            // Kept, also when the window that it stands in is forgotten.
            conn.better = conn.better.max(best.unwrap_or(0));
        }
        if let Some(before) = self.tables.get(self.window.previous(self.len))
            && (!partial || before.has(key))
        {
            if !is_tcp {
                conn.continued = before.get(key).is_some_and(|c| c.open_after);
            } else if opens {
                conn.open_before = before.get(key).is_some_and(|c| c.open_after);
            }
        }
    }

    /// Whether the agent at `home` saw what `side` sends in a neighbouring window. Once seen, it
    /// stays known, also when that window is forgotten.
    fn is_near(
        &self,
        key: ConnKey,
        (side, source): (Side, Source),
        home: Ip,
        near: &mut Vec<(AddrId, Side, Source)>,
    ) -> bool {
        if home.is_none() {
            return false;
        }
        let ends = [self.window.previous(self.len), self.window + self.len];
        for window in ends {
            let Some(conn) = self.near(window, key) else { continue };
            for tally in &conn.tallies {
                let seen = (tally.agent, tally.from, tally.source);
                let reaches = tally.reach(window, self.len, self.tolerance);
                let touches = if window < self.window { reaches.end } else { reaches.start };
                let as_good = tally.source == source && tally.sampled == 0;
                let at_home = self.addrs.get(tally.agent).ip == home;
                if touches && as_good && at_home && !near.contains(&seen) {
                    near.push(seen);
                }
            }
        }
        let saw = |it: &(AddrId, Side, Source)| (it.1, it.2) == (side, source);
        near.iter().any(|it| saw(it) && self.addrs.get(it.0).ip == home)
    }

    /// The connection in a window beside this one.
    fn near(&self, window: Window, key: ConnKey) -> Option<&'a Conn> {
        let held = self.tables.get(window).and_then(|table| table.get(key));
        held.or_else(|| self.beside?.get(window)?.get(key))
    }

    /// Whether a window beside this one has the connection.
    pub(super) fn is_beside(&self, key: ConnKey) -> bool {
        let beside = [self.window.previous(self.len), self.window + self.len];
        beside.into_iter().any(|window| self.near(window, key).is_some())
    }

    /// Whether the answer to what opened here was seen in a neighbouring window.
    fn is_answered_near(&self, key: ConnKey, server: Side) -> bool {
        let next = self.near(self.window + self.len, key);
        let mut answers = next.into_iter().flat_map(|c| &c.tallies).filter(|t| t.from == server);
        let later = answers.any(|t| t.marks.iter().any(|m| m.answers_near_start(self.tolerance)));
        // By the clock of who saw it, it may have come before what it answers.
        let before = self.window.previous(self.len);
        let earlier = self.near(before, key);
        let mut answers = earlier.into_iter().flat_map(|c| &c.tallies).filter(|t| t.from == server);
        let reaches = |t: &Tally| t.reach(before, self.len, self.tolerance).end;
        later || answers.any(|t| t.flags.syn_ack() && reaches(t))
    }

    /// Whether somebody saw the client open in a neighbouring window, as near as two clocks may differ:
    /// an answer that was seen here, and no opening, then is the answer to that.
    fn is_opened_near(&self, key: ConnKey, client: Side) -> bool {
        let of = |window: Window| self.near(window, key);
        let opens = |t: &&Tally| t.from == client && t.flags.syn();
        let next = of(self.window + self.len).into_iter().flat_map(|c| &c.tallies);
        let later = |t: &Tally| t.marks.iter().any(|m| m.opens_near_start(self.tolerance));
        let before = self.window.previous(self.len);
        let earlier = |t: &Tally| t.reach(before, self.len, self.tolerance).end;
        next.filter(opens).any(later)
            || of(before).into_iter().flat_map(|c| &c.tallies).filter(opens).any(earlier)
    }

    fn serves(&self, key: ConnKey, side: Side, parties: &[Party; 2], proto: Proto) -> bool {
        let end = key.end(side);
        let party = &parties[side as usize];
        let addr = self.addrs.get(end.addr);
        let declared = |owner: OwnerIdx| {
            let sole = addr.sole.as_ref().filter(|sole| sole.owner == owner);
            sole.and_then(|sole| sole.declares(proto, end.port))
                .unwrap_or_else(|| self.directory.owner(owner).declares(proto, end.port))
        };
        party.hop == Some(HopClass::ClusterIp)
            || self.is_target(end, proto)
            || party.owner.is_some_and(declared)
    }

    /// With no evidence of direction, the ends stand in the order of their addresses.
    fn lower_name(&self, key: ConnKey) -> Side {
        let of = |side: Side| {
            let end = key.end(side);
            (self.addrs.get(end.addr).ip, end.port)
        };
        if of(Side::Low) <= of(Side::High) { Side::Low } else { Side::High }
    }

    /// Whether the word is not that of the sender's own node although that node has an agent: its
    /// word was counted when the window was still known.
    fn is_second_hand(&self, ahead: Option<&Tally>, client: Side, node: [Ip; 2]) -> bool {
        let home = node[client as usize];
        ahead.is_some_and(|t| self.addrs.get(t.agent).ip != home) && self.agents.knows(home)
    }
}
