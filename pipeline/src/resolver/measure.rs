//! What a connection counts for, and whose word is taken for it.

use portolan_model::{Counters, Ip, Measure, Proto};

use super::addrs::Addrs;
use super::orient;
use super::table::{Conn, Side, Tally};

/// The reporter whose word counts for what `from` sends: the one on the sender's node, else the one
/// on the receiver's, else the one that saw most (flow semantics, section 3.3).
pub(super) fn designated<'a>(
    conn: &'a Conn,
    from: Side,
    node: [Ip; 2],
    addrs: &Addrs,
) -> Option<&'a Tally> {
    let rank = |tally: &Tally| {
        let agent = addrs.get(tally.agent).ip;
        let is_on = |side: Side| !agent.is_none() && agent == node[side as usize];
        let (home, away) = (is_on(from), is_on(from.other()));
        let place = if home { 2 } else { u8::from(away) };
        (place, tally.bytes, std::cmp::Reverse(agent))
    };
    conn.tallies.iter().filter(|t| t.from == from).max_by_key(|t| rank(t))
}

pub(super) fn count(
    counters: &mut Counters,
    conn: &Conn,
    ahead: Option<&Tally>,
    back: Option<&Tally>,
) {
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

pub(super) fn count_connections(
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
