//! One connection, slice by slice, as the agents on its way report it.

use portolan_model::{Flags, FlowRow, Ip, Nanos, Role, Socket};

use super::{
    BACKEND_PORT, DELAY, Fleet, MILLI, SECOND, SECOND_HAND_PORT, SERVICE_PORT, START, row,
};
use crate::dice::Dice;
use crate::scenario::Scenario;

/// What a connection is like.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Both nodes report both directions, soon.
    Plain,
    /// One record, by the client's node, long after its time.
    Late,
    /// One record, by the server's node, long after its time.
    SecondHand,
}

/// Slices are cut this long, as agents do by default.
const SLICE: Nanos = 5 * SECOND;

struct Ends {
    client: Socket,
    client_node: Option<Ip>,
    server: Socket,
    server_node: Option<Ip>,
    /// The service address that the client dials.
    front: Option<Socket>,
    from: Nanos,
    to: Nanos,
}

/// The records of connection `number`, each with the time at which it is produced.
pub(crate) fn draw(
    fleet: &Fleet,
    scenario: &Scenario,
    number: u64,
    dice: &mut Dice,
) -> Vec<(Nanos, FlowRow)> {
    let kind = match dice.below(20) {
        0 if scenario.late_records => Kind::Late,
        1 if scenario.late_records => Kind::SecondHand,
        _ => Kind::Plain,
    };
    let Some(ends) = ends(fleet, scenario, number, kind, dice) else { return Vec::new() };
    match kind {
        Kind::Plain => plain(&ends, dice),
        Kind::Late => single(&ends, ends.client_node, scenario, dice),
        Kind::SecondHand => single(&ends, ends.server_node, scenario, dice),
    }
}

/// Who talks to whom, and when: both are there for all of it.
fn ends(
    fleet: &Fleet,
    scenario: &Scenario,
    number: u64,
    kind: Kind,
    dice: &mut Dice,
) -> Option<Ends> {
    let server = dice.pick(&fleet.pods);
    let port = if kind == Kind::SecondHand { SECOND_HAND_PORT } else { BACKEND_PORT };
    let mut ends = Ends {
        client: Socket::default(),
        client_node: None,
        server: Socket::new(server.ip, port),
        server_node: Some(server.node),
        front: None,
        from: server.from,
        to: server.to,
    };
    let client_port = 40_000 + (number % 20_000) as u16;
    let outside = kind == Kind::Plain && dice.one_in(8);
    if outside {
        // Somebody on the internet, or an address of ours that nobody claims.
        let base = if dice.one_in(3) { 0x0ac8_0000 } else { 0xcb00_7100 };
        ends.client = Socket::new(Ip::v4(base + dice.below(12) as u32), client_port);
    } else {
        let client = dice.pick(&fleet.pods);
        ends.client = Socket::new(client.ip, client_port);
        ends.client_node = Some(client.node);
        ends.from = ends.from.max(client.from);
        ends.to = ends.to.min(client.to);
        if client.ip == server.ip {
            return None;
        }
        let fronts = fleet.vips.iter().filter(|v| {
            kind == Kind::Plain && v.pods.iter().any(|p| fleet.pods[*p].ip == server.ip)
        });
        if dice.one_in(2) {
            ends.front = fronts.map(|v| Socket::new(v.ip, SERVICE_PORT)).next();
        }
    }
    let (lo, hi) = (ends.from.max(START), ends.to.min(START + scenario.span));
    let length = if dice.one_in(3) { dice.below(40 * SECOND) } else { dice.below(4 * SECOND) };
    let length = length.max(MILLI);
    if lo + length >= hi {
        return None;
    }
    let from = scenario.in_burst(lo + dice.below(hi - lo - length), length)?;
    if from < lo || from + length > hi {
        return None;
    }
    Some(Ends { from, to: from + length, ..ends })
}

fn plain(ends: &Ends, dice: &mut Dice) -> Vec<(Nanos, FlowRow)> {
    let mut records = Vec::new();
    let mut from = ends.from;
    let mut agents: Vec<Ip> = ends.client_node.into_iter().chain(ends.server_node).collect();
    agents.dedup();
    while from < ends.to {
        let to = (from + SLICE).min(ends.to);
        let first = if from == ends.from { (Flags::SYN, Flags::SYN_ACK) } else { (0, 0) };
        let last = if to == ends.to { (Flags::FIN, Flags::FIN_ACK) } else { (0, 0) };
        let bytes = (60 + dice.below(5_000), dice.below(50_000) + 60);
        let mut say = |dice: &mut Dice, agent: Ip, server: Socket| {
            let base = row(from, to, agent);
            let (c, s) = (ends.client, server);
            let ahead = FlowRow {
                src: c.ip,
                dst: s.ip,
                src_port: c.port,
                dst_port: s.port,
                bytes: bytes.0,
                packets: 1 + bytes.0 / 1_000,
                flags: Flags(first.0 | last.0),
                ..base
            };
            let back = FlowRow {
                src: s.ip,
                dst: c.ip,
                src_port: s.port,
                dst_port: c.port,
                bytes: bytes.1,
                packets: 1 + bytes.1 / 1_000,
                flags: Flags(first.1 | last.1),
                ..base
            };
            for record in [ahead, back] {
                records.push((to + dice.below(DELAY), record));
            }
        };
        for agent in &agents {
            say(dice, *agent, ends.server);
            if let Some(front) = ends.front
                && Some(*agent) == ends.client_node
            {
                // The client's node sees the packets before and after their address is rewritten.
                say(dice, *agent, front);
            }
        }
        from = to;
    }
    records
}

/// One record of one agent, which opens the connection and is all that is said of it.
fn single(
    ends: &Ends,
    agent: Option<Ip>,
    scenario: &Scenario,
    dice: &mut Dice,
) -> Vec<(Nanos, FlowRow)> {
    let Some(agent) = agent else { return Vec::new() };
    let to = (ends.from + SECOND).min(ends.to);
    let record = FlowRow {
        src: ends.client.ip,
        dst: ends.server.ip,
        src_port: ends.client.port,
        dst_port: ends.server.port,
        bytes: 60 + dice.below(1_000),
        packets: 1,
        flags: Flags(Flags::SYN),
        role: Role::SourceDialled,
        ..row(ends.from, to, agent)
    };
    vec![(to + dice.below(scenario.span), record)]
}
