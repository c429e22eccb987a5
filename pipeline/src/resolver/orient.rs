//! Orientation: which end is the client (flow semantics, section 2).
//!
//! The decision is the strongest class of evidence whose two directions are not tied. It is taken
//! over a set, so the order of records cannot change it.

use portolan_model::{Flags, Orientation, Proto};

use super::key::{ConnKey, Side};
use super::table::Conn;

/// Ports above 1023 that are servers' by IANA registration or long custom: overlays (VXLAN 4789,
/// Geneve 6081, Cilium 8472, WireGuard 51820), databases, caches, brokers, and the usual HTTP ones.
const KNOWN_PORTS: [u16; 44] = [
    1433, 1521, 2049, 2181, 2379, 2380, 3000, 3100, 3306, 4222, 4317, 4318, 4789, 5000, 5044, 5353,
    5432, 5672, 6081, 6379, 6443, 7000, 8000, 8080, 8081, 8086, 8123, 8300, 8443, 8472, 8500, 8888,
    9042, 9090, 9092, 9093, 9100, 9200, 9411, 10250, 11211, 26257, 27017, 51820,
];

/// Linux's default `net.ipv4.ip_local_port_range`.
const EPHEMERAL_PORTS: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// Which side is the client, by what evidence, and how sure that is; none if nothing tells.
pub(super) fn client(
    key: ConnKey,
    conn: &Conn,
    serves: impl Fn(Side) -> bool,
    learned: impl Fn(Side) -> Option<u8>,
) -> Option<(Side, Orientation, u8)> {
    let clients = |side: Option<Side>, class| side.map(|side| (side, class));
    let servers = |side: Option<Side>, class| side.map(|side| (side.other(), class));
    let declared = || [Side::Low, Side::High].map(&serves);
    // A port that is declared is no less a server's than one that is learned: where both ends are known to serve, that
    // more clients were seen at one of them says nothing of this connection.
    let known = || [Side::Low, Side::High].map(|side| serves(side) || learned(side).is_some());
    clients(one_of(conn.dialled), Orientation::Socket)
        .or_else(|| clients(handshake(conn), Orientation::Handshake))
        .or_else(|| clients(one_of(conn.echo), Orientation::Handshake))
        .or_else(|| clients(one_of(conn.tracked), Orientation::Tracked))
        .or_else(|| servers(one_of(declared()), Orientation::Declared))
        .or_else(|| servers(one_of(known()), Orientation::Learned))
        .or_else(|| servers(by_port(key, well_known), Orientation::WellKnown))
        .or_else(|| clients(by_port(key, ephemeral), Orientation::Ephemeral))
        .or_else(|| clients(first_record(key.proto(), conn), Orientation::First))
        .map(|(side, class)| {
            let sure = learned(side.other()).filter(|_| class == Orientation::Learned);
            (side, class, sure.unwrap_or(class.confidence()))
        })
}

/// Whether there is a word that somebody dialled a side, by a socket, a handshake or connection tracking.
pub(super) fn is_dialled(conn: &Conn, server: Side) -> bool {
    let client = server.other() as usize;
    conn.dialled[client] || conn.tracked[client] || shaken(conn)[client]
}

/// A pure SYN names the client, a SYN-ACK the server; both sides opening is a tie.
fn handshake(conn: &Conn) -> Option<Side> {
    one_of(shaken(conn))
}

/// The same, each side by itself.
fn shaken(conn: &Conn) -> [bool; 2] {
    let mut opens = [false; 2];
    for tally in &conn.tallies {
        if tally.flags.syn() {
            opens[tally.from as usize] = true;
        }
        if tally.flags.syn_ack() {
            opens[tally.from.other() as usize] = true;
        }
    }
    opens
}

fn by_port(key: ConnKey, is: impl Fn(u16) -> bool) -> Option<Side> {
    if !key.proto().has_ports() {
        return None;
    }
    one_of([is(key.end(Side::Low).port), is(key.end(Side::High).port)])
}

pub(super) fn well_known(port: u16) -> bool {
    port != 0 && (port <= 1023 || KNOWN_PORTS.binary_search(&port).is_ok())
}

fn ephemeral(port: u16) -> bool {
    EPHEMERAL_PORTS.contains(&port)
}

/// Only where connections have no handshake: the middle of a TCP stream says nothing.
fn first_record(proto: Proto, conn: &Conn) -> Option<Side> {
    if proto == Proto::TCP {
        return None;
    }
    let begin = |side: Side| conn.tallies.iter().filter(|t| t.from == side).map(|t| t.begin).min();
    match (begin(Side::Low), begin(Side::High)) {
        (Some(low), Some(high)) if low == high => None,
        (Some(low), Some(high)) => Some(if low < high { Side::Low } else { Side::High }),
        (Some(_), None) => Some(Side::Low),
        (None, Some(_)) => Some(Side::High),
        (None, None) => None,
    }
}

fn one_of(sides: [bool; 2]) -> Option<Side> {
    match sides {
        [true, false] => Some(Side::Low),
        [false, true] => Some(Side::High),
        _ => None,
    }
}

/// How many connections a reporter saw open, and whether the last of them stays open: slices with a
/// SYN, where a SYN that follows another without a close between them is a retransmission. `open`
/// says how the window before ended.
pub(super) fn opened(marks: &[super::table::Mark], mut open: bool) -> (u32, bool) {
    let mut sorted: smallvec::SmallVec<[super::table::Mark; 4]> = marks.into();
    sorted.sort_unstable_by_key(|m| (m.start_ms, m.id));
    let mut count = 0;
    for mark in sorted {
        if mark.flags.syn() && !open {
            count += 1;
            open = true;
        }
        if mark.flags.closes() {
            open = false;
        }
    }
    (count, open)
}

/// Flags that a slice adds.
pub(super) fn with(old: Flags, new: Flags) -> Flags {
    Flags(old.0 | new.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ports_are_sorted_for_the_search() {
        assert!(KNOWN_PORTS.is_sorted());
    }
}
