//! The naive fold: what the accepted records come to, counted by code that shares nothing with the
//! line. It knows the fleet (who has which address when, on which node) and the plain rules: a
//! slice of a reporter counts once; the sender's own node has the word, else whoever saw it; a slice
//! over several windows is divided by time, with the rest in the last.

use std::collections::{BTreeMap, BTreeSet};

use portolan_model::{
    EdgeDelta, Entity, EntityId, EntityKind, EpochCommit, FlowRow, HopClass, Ip, Measure, Nanos,
    Window, WindowLen,
};

use crate::broker::{Log, Payload};
use crate::oracle::replay::is_lost;
use crate::world::{BACKEND_PORT, Fleet, SECOND_HAND_PORT, SERVICE_PORT};

/// A connection: client and server socket.
type Pair = (Ip, u16, Ip, u16);
/// An edge: window, client, server, server port.
pub(crate) type Key = (Window, EntityId, EntityId, u16);
/// Flows, seen twice, bytes sent and received, packets sent and received, opened, failed, active.
pub(crate) type Sums = [i64; 9];

const MEASURES: [Measure; 9] = [
    Measure::Flows,
    Measure::FlowsSeenTwice,
    Measure::BytesSent,
    Measure::BytesReceived,
    Measure::PacketsSent,
    Measure::PacketsReceived,
    Measure::Connections,
    Measure::ConnectionsFailed,
    Measure::ConnectionsActive,
];

/// What the fold comes to.
pub(crate) struct Folded {
    pub(crate) edges: BTreeMap<Key, Sums>,
    /// The connections behind each edge.
    behind: BTreeMap<Key, Vec<(Pair, Sums)>>,
    /// Edges of connections of which some records were lost: their counts can only be bounded.
    pub(crate) torn: BTreeSet<Key>,
}

/// Every record that the commits say is in the graph, once for each time it was accepted. `begin`
/// says where logs were first met: what lies before was never there to be read.
fn accepted(
    logs: &[Log],
    begin: &BTreeMap<usize, i64>,
    history: &[EpochCommit],
) -> (Vec<FlowRow>, BTreeSet<Pair>) {
    let mut next: BTreeMap<usize, i64> = BTreeMap::new();
    for commit in history {
        for position in &commit.positions {
            if let Some(at) = logs.iter().position(|l| l.name == position.partition) {
                next.insert(at, position.next);
            }
        }
    }
    let mut kept = Vec::new();
    let mut torn = BTreeSet::new();
    for (at, log) in logs.iter().enumerate() {
        let end = next.get(&at).copied().unwrap_or(0);
        let begin = begin.get(&at).copied().unwrap_or(0);
        for message in &log.messages {
            let Payload::Flows(rows) = &message.payload else { continue };
            let lost = message.offset < begin
                || message.offset >= end
                || history.iter().any(|c| is_lost(c, &log.name, message.offset));
            if lost {
                torn.extend(rows.iter().map(pair));
            } else {
                kept.extend(rows.iter().copied());
            }
        }
    }
    (kept, torn)
}

/// Servers listen on known ports, so any record says which of its ends is one.
fn is_ahead(row: &FlowRow) -> bool {
    [BACKEND_PORT, SERVICE_PORT, SECOND_HAND_PORT].contains(&row.dst_port)
}

fn pair(row: &FlowRow) -> Pair {
    if is_ahead(row) {
        (row.src, row.src_port, row.dst, row.dst_port)
    } else {
        (row.dst, row.dst_port, row.src, row.src_port)
    }
}

/// Folds all that the commits cover.
pub(crate) fn fold(
    fleet: &Fleet,
    logs: &[Log],
    begin: &BTreeMap<usize, i64>,
    history: &[EpochCommit],
    len: WindowLen,
) -> Folded {
    let (rows, lost) = accepted(logs, begin, history);
    let mut by_pair: BTreeMap<Pair, Vec<FlowRow>> = BTreeMap::new();
    for row in rows {
        by_pair.entry(pair(&row)).or_default().push(row);
    }
    let mut folded =
        Folded { edges: BTreeMap::new(), behind: BTreeMap::new(), torn: BTreeSet::new() };
    for (pair, mut rows) in by_pair {
        // One that only a second hand saw counts or not by when it came: the replay checks it.
        if pair.3 == SECOND_HAND_PORT {
            continue;
        }
        rows.sort();
        rows.dedup();
        for (key, sums) in connection(fleet, pair, &rows, len) {
            if lost.contains(&pair) {
                folded.torn.insert(key);
            }
            folded.behind.entry(key).or_default().push((pair, sums));
            let total = folded.edges.entry(key).or_default();
            total.iter_mut().zip(sums).for_each(|(t, s)| *t += s);
        }
    }
    folded
}

/// What one connection comes to.
fn connection(fleet: &Fleet, pair: Pair, rows: &[FlowRow], len: WindowLen) -> Vec<(Key, Sums)> {
    let begin = rows.iter().map(|r| r.start).min().unwrap_or(0);
    let (client, server) = (name(fleet, pair.0, begin), name(fleet, pair.2, begin));
    let answered = rows.iter().any(|r| !is_ahead(r));
    let mut by_window: BTreeMap<Window, Vec<(FlowRow, u64, u64, bool)>> = BTreeMap::new();
    for row in rows {
        for (window, bytes, packets, first) in split(row, len) {
            by_window.entry(window).or_default().push((*row, bytes, packets, first));
        }
    }
    let mut edges = Vec::new();
    for (window, parts) in by_window {
        let mut sums = Sums::default();
        for ahead in [true, false] {
            let of: Vec<_> = parts.iter().filter(|p| is_ahead(&p.0) == ahead).collect();
            let sender = if ahead { pair.0 } else { pair.2 };
            let home = fleet.owner(sender, begin).map(|p| p.node);
            let agents: BTreeSet<Ip> = of.iter().map(|p| p.0.agent).collect();
            let word = home.filter(|h| agents.contains(h)).or(agents.first().copied());
            for (row, bytes, packets, first) in of {
                if Some(row.agent) != word {
                    sums[1] += 1;
                    continue;
                }
                sums[0] += 1;
                let at = if ahead { (2, 4) } else { (3, 5) };
                sums[at.0] += *bytes as i64;
                sums[at.1] += *packets as i64;
                if ahead && *first && row.flags.syn() {
                    sums[6] += 1;
                    sums[7] += i64::from(!answered);
                }
            }
        }
        sums[8] = 1;
        edges.push(((window, client, server, pair.3), sums));
    }
    edges
}

pub(crate) fn name(fleet: &Fleet, ip: Ip, at: Nanos) -> EntityId {
    let entity = |kind, detail: &str, name: &str| {
        let mut entity = Entity::new(kind, "", name);
        entity.detail = detail.into();
        entity.id()
    };
    if let Some(vip) = fleet.vips.iter().find(|v| v.ip == ip) {
        return entity(EntityKind::Hop(HopClass::ClusterIp), "Service", &vip.name);
    }
    match fleet.owner(ip, at) {
        Some(pod) => entity(EntityKind::Workload, "", &pod.workload),
        None if ip.is_private() => entity(EntityKind::Unresolved, "", &ip.to_string()),
        None => entity(EntityKind::External, "", &ip.to_string()),
    }
}

/// Divides a record by time over its windows.
fn split(row: &FlowRow, len: WindowLen) -> Vec<(Window, u64, u64, bool)> {
    let (first, last) = (len.window(row.start), len.window(row.end.max(row.start + 1) - 1));
    let span = u128::from((row.end - row.start).max(1));
    let (mut parts, mut left) = (Vec::new(), (row.bytes, row.packets));
    let mut window = first;
    while window < last {
        let from = window.start().max(row.start);
        let time = u128::from(window.end(len) - from);
        let part = |n: u64| (u128::from(n) * time / span) as u64;
        let (bytes, packets) = (part(row.bytes), part(row.packets));
        left = (left.0 - bytes, left.1 - packets);
        parts.push((window, bytes, packets, window == first));
        window = window.next(len);
    }
    parts.push((last, left.0, left.1, first == last));
    parts
}

/// Holds the rows of a store against the fold, in those windows that can be judged.
pub(crate) fn check(
    folded: &Folded,
    rows: &[EdgeDelta],
    judged: impl Fn(Window) -> bool,
) -> Result<(), String> {
    let mut stored: BTreeMap<Key, Sums> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.key.port != SECOND_HAND_PORT) {
        let key = (row.key.window, row.key.client, row.key.server, row.key.port);
        let total = stored.entry(key).or_default();
        total.iter_mut().zip(MEASURES).for_each(|(t, m)| *t += row.counters[m]);
    }
    let keys: BTreeSet<Key> = folded.edges.keys().chain(stored.keys()).copied().collect();
    for key in keys.into_iter().filter(|k| judged(k.0) && !folded.torn.contains(k)) {
        let should = folded.edges.get(&key).copied().unwrap_or_default();
        let is = stored.get(&key).copied().unwrap_or_default();
        if should != is {
            return Err(format!(
                "window {} {} -> {} port {}:\n  should be {should:?}\n  is        {is:?}\n  of {:?}",
                key.0.0,
                key.1,
                key.2,
                key.3,
                folded.behind.get(&key)
            ));
        }
    }
    Ok(())
}
