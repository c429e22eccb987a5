//! What a connection counts for, and whose word is taken for it.

use portolan_model::{Counters, Ip, Measure, Proto, Source};

use super::orient;
use super::party::Seen;
use super::table::{Conn, Side, Tally};

/// The reporter whose word counts for what `from` sends: of the best kind of source, unsampled before
/// sampled, the one on the sender's node, else the one on the receiver's, else the one that saw most
/// (flow semantics, sections 3.3 and 3.7).
///
/// `best_elsewhere` is the standing of the best source that tells of the connection in another
/// window: what a weaker one spreads over its longer interval is the same traffic, and totals of
/// different sources never mix (flow semantics, section 3.3).
///
/// `home_is_near` says that the sender's node reported the connection in a neighbouring window. Then
/// this window's part is in its count there: slices are cut, and clocks read, differently on two
/// nodes, and a part must not count on both.
pub(super) fn designated<'a>(
    conn: &'a Conn,
    from: Side,
    node: [Ip; 2],
    seen: &Seen,
    home_is_near: &mut dyn FnMut(Source) -> bool,
    best_elsewhere: u8,
) -> Option<&'a Tally> {
    let is_on = |agent: Ip, side: Side| !agent.is_none() && agent == node[side as usize];
    let rank = |tally: &Tally, agent: Ip| {
        let (home, away) = (is_on(agent, from), is_on(agent, from.other()));
        let place = if home { 2 } else { u8::from(away) };
        let kind = (standing(tally.source), tally.sampled == 0);
        (kind, place, tally.bytes, std::cmp::Reverse(agent))
    };
    let heard = conn.tallies.iter().zip(&seen.agents).filter(|(tally, _)| tally.from == from);
    let (best, agent) = heard.max_by_key(|(tally, agent)| rank(tally, **agent))?;
    if standing(best.source) < best_elsewhere {
        return None;
    }
    (is_on(*agent, from) || !home_is_near(best.source)).then_some(best)
}

/// How much a kind of source is worth for counts: where the packets pass, before who forwards them,
/// before what a cloud or a router sums up, before what counts nothing.
pub(super) const fn standing(source: Source) -> u8 {
    match source {
        Source::Ebpf => 4,
        Source::Proxy => 3,
        Source::CloudLog => 2,
        Source::Router => 1,
        Source::Events => 0,
    }
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
    // Each drop happens in one place, whoever is designated for the bytes.
    counters[Measure::DropBytes] = conn.extra.drop_bytes as i64;
    counters[Measure::DropPackets] = i64::from(conn.extra.drop_packets);
    counters[Measure::RttCount] = i64::from(conn.extra.rtt_count);
    counters[Measure::RttSumMicros] = conn.extra.rtt_sum_micros as i64;
    for tally in &conn.tallies {
        let counted = [ahead, back].into_iter().flatten().any(|t| std::ptr::eq(t, tally));
        if !counted {
            counters[Measure::FlowsSeenTwice] += tally.marks.len() as i64;
        }
    }
}

/// What both directions say about opening and closing.
pub(super) struct Life {
    pub(super) opened: u32,
    pub(super) open_after: bool,
    /// What opened was not answered within the window.
    pub(super) unanswered: bool,
}

/// Connections that opened in the window. TCP: by the SYNs of the client, or, where only the
/// server's direction was seen, by its answer to one. Others: unless the window before had it. Of
/// sampled packets every opening stands for as many as were not looked at (flow semantics, section
/// 3.7).
pub(super) fn life(proto: Proto, conn: &Conn, ahead: Option<&Tally>, client: Side) -> Life {
    if proto != Proto::TCP {
        let opened = u32::from(!conn.continued);
        return Life { opened, open_after: false, unanswered: false };
    }
    let marks = || conn.tallies.iter().flat_map(|t| &t.marks);
    let answered = marks().any(|m| m.flags.syn_ack());
    if let Some(ahead) = ahead {
        let (opened, open) = orient::opened(&ahead.marks, conn.open_before);
        // An answer that the window did not see may be all that the next one sees of it.
        let unanswered = opened > 0 && !answered;
        let opened = opened.saturating_mul(ahead.scale);
        return Life { opened, open_after: open || unanswered, unanswered };
    }
    let unseen = conn.tallies.iter().all(|t| t.from != client);
    let opened = u32::from(unseen && answered && !conn.open_before);
    let closed = marks().any(|m| m.flags.closes());
    let open_after = (conn.open_before || opened > 0) && !closed;
    Life { opened, open_after, unanswered: false }
}

pub(super) fn count_connections(
    counters: &mut Counters,
    proto: Proto,
    conn: &Conn,
    all_seen: bool,
    opened: u32,
    server: Side,
) {
    counters[Measure::ConnectionsActive] = 1;
    counters[Measure::Connections] = i64::from(opened);
    let answers =
        |t: &Tally| t.flags.syn_ack() || (t.from == server && t.bytes > 0 && !t.flags.reset());
    if proto == Proto::TCP && opened > 0 && all_seen && !conn.tallies.iter().any(answers) {
        counters[Measure::ConnectionsFailed] = i64::from(opened);
    }
}
