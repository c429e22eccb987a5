//! What a connection counts for, and whose word is taken for it.

use portolan_model::{Ip, Measure, Plain, Proto, Source};

use crate::Sampler;

use super::key::Side;
use super::orient;
use super::party::Seen;
use super::table::{Conn, Tally};

/// The reporter whose word counts for what `from` sends: of the best kind of source, unsampled before
/// sampled, the one on the sender's node, else the one on the receiver's, else the one that saw most
/// (flow semantics, sections 3.3 and 3.7).
///
/// `best_elsewhere` is the standing of the best source that tells of the connection in another
/// window: what a weaker one spreads over its longer interval is the same traffic, and totals of
/// different sources never mix (flow semantics, section 3.3).
///
/// `is_near` says that the node of an end reported, of every packet, what `from` sends in a neighbouring
/// window. Then this window's part is in its count there: slices are cut, and clocks read, differently
/// on two nodes, and a part must not count on both. So the sender's node is heard before the other,
/// and either before one that samples.
pub(super) fn designated<'a>(
    conn: &'a Conn,
    from: Side,
    node: [Ip; 2],
    seen: &Seen,
    is_near: &mut dyn FnMut(Side, Source) -> bool,
    (best_elsewhere, halves): (u8, bool),
) -> Option<Word<'a>> {
    let is_on = |agent: Ip, side: Side| !agent.is_none() && agent == node[side as usize];
    let rank = |tally: &Tally, agent: Ip| {
        let (home, away) = (is_on(agent, from), is_on(agent, from.other()));
        let place = if home { 2 } else { u8::from(away) };
        let kind = (standing(tally.source), tally.sampled == 0);
        (kind, place, tally.bytes, std::cmp::Reverse(agent))
    };
    let heard = conn.tallies.iter().zip(&seen.agents).filter(|(tally, _)| tally.from == from);
    let (best, agent) = heard.clone().max_by_key(|(tally, agent)| rank(tally, **agent))?;
    if standing(best.source) < best_elsewhere {
        return None;
    }
    let halves = halves && best.sampled > 0 && node.contains(agent);
    if halves {
        let twin = |(it, at): &(&Tally, &Ip)| {
            it.source == best.source && it.sampled > 0 && *at != agent && node.contains(at)
        };
        let other = heard.clone().find(twin).map(|(tally, _)| tally);
        return Some(Word { of: best, other, halves });
    }
    let mut counts = is_on(*agent, from) || !is_near(from, best.source);
    if best.sampled > 0 {
        counts = counts && ![from, from.other()].into_iter().any(|at| is_near(at, best.source));
    }
    counts.then_some(Word { of: best, other: None, halves })
}

/// What is counted of a direction: one reporter's word, or half of each of two that sample, which
/// then need not both have looked.
#[derive(Copy, Clone)]
pub(super) struct Word<'a> {
    pub(super) of: &'a Tally,
    other: Option<&'a Tally>,
    halves: bool,
}

impl Word<'_> {
    fn sum(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        let sum = of(self.of).saturating_add(self.other.map_or(0, &of));
        if self.halves { sum / 2 } else { sum }
    }

    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        std::iter::once(self.of).chain(self.other)
    }
}

/// The agent whose sample the counters are, if it is one.
pub(super) fn sampler(words: [Option<Word>; 2], seen: &Seen, conn: &Conn) -> Sampler {
    let sampled = words.into_iter().flatten().map(|word| word.of).find(|tally| tally.sampled > 0);
    let Some(sampled) = sampled else { return Sampler::NONE };
    let place = conn.tallies.iter().position(|tally| std::ptr::eq(tally, sampled));
    place.map_or(Sampler::NONE, |place| Sampler::at(seen.agents[place]))
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

pub(super) fn count(counters: &mut Plain, conn: &Conn, words: [Option<Word>; 2]) {
    let measures = [
        (Measure::BytesSent, Measure::PacketsSent),
        (Measure::BytesReceived, Measure::PacketsReceived),
    ];
    for (word, (bytes, packets)) in words.iter().zip(measures) {
        let Some(word) = word else { continue };
        counters[bytes] = word.sum(|tally| tally.bytes) as i64;
        counters[packets] = word.sum(|tally| tally.packets) as i64;
        for tally in word.tallies() {
            counters[Measure::Flows] += tally.marks.len() as i64;
            counters[Measure::FlowsSampled] += i64::from(tally.sampled);
        }
    }
    // Each drop happens in one place, whoever is designated for the bytes.
    counters[Measure::DropBytes] = conn.extra.drop_bytes as i64;
    counters[Measure::DropPackets] = i64::from(conn.extra.drop_packets);
    counters[Measure::RttCount] = i64::from(conn.extra.rtt_count);
    counters[Measure::RttSumMicros] = conn.extra.rtt_sum_micros as i64;
    for tally in &conn.tallies {
        let counted =
            words.iter().flatten().flat_map(Word::tallies).any(|t| std::ptr::eq(t, tally));
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
///
/// `opens_elsewhere` says that the opening of what is only answered here was seen, by another's clock, in a
/// neighbouring window.
pub(super) fn life(
    proto: Proto,
    conn: &Conn,
    ahead: Option<Word>,
    client: Side,
    opens_elsewhere: bool,
) -> Life {
    if proto != Proto::TCP {
        let opened = u32::from(!conn.continued);
        return Life { opened, open_after: false, unanswered: false };
    }
    let marks = || conn.tallies.iter().flat_map(|t| &t.marks);
    let answered = marks().any(|m| m.flags.syn_ack());
    if let Some(ahead) = ahead {
        let (opened, open) = orient::opened(&ahead.of.marks, conn.open_before);
        // An answer that the window did not see may be all that the next one sees of it.
        let unanswered = opened > 0 && !answered;
        let scaled = |tally: &Tally| {
            let (opened, _) = orient::opened(&tally.marks, conn.open_before);
            u64::from(opened.saturating_mul(tally.scale))
        };
        let opened = u32::try_from(ahead.sum(scaled)).unwrap_or(u32::MAX);
        return Life { opened, open_after: open || unanswered, unanswered };
    }
    let unseen = conn.tallies.iter().all(|t| t.from != client);
    // One answer in a sample would stand for many: openings are counted where they are looked for.
    let sampled = conn.tallies.iter().any(|t| t.sampled > 0);
    let opened = unseen && answered && !conn.open_before && !sampled && !opens_elsewhere;
    let opened = u32::from(opened);
    let closed = marks().any(|m| m.flags.closes());
    let open_after = (conn.open_before || opened > 0) && !closed;
    Life { opened, open_after, unanswered: false }
}

pub(super) fn count_connections(
    counters: &mut Plain,
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
