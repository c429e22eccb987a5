//! Agents: when each was heard of, and whether it looks at every packet.

use portolan_model::{FlowColumns, Ip, Nanos, Window, WindowLen};
use rustc_hash::FxHashMap;

/// An agent that has not reported for this long, in event time, is no longer counted on.
const TTL: Nanos = 600_000_000_000;

/// Grain of what the store is told: once a minute of each agent, not with every epoch. It makes [`TTL`] a minute
/// longer for some.
const STEP: Nanos = 60_000_000_000;

/// See the module.
#[derive(Default)]
pub(super) struct Agents {
    by_ip: FxHashMap<Ip, Agent>,
    /// Some agent that samples came, went or came back since last asked.
    moved: bool,
}

#[derive(Copy, Clone)]
struct Agent {
    first: Nanos,
    last: Nanos,
    /// The last event, up to the next [`STEP`].
    until: Nanos,
    /// It leaves packets out.
    samples: bool,
}

// === impl Agents ===

impl Agents {
    /// Those that were alive. What they reported about is read again, or forgotten.
    pub(super) fn restored(alive: &[(Ip, Nanos)]) -> Self {
        let silent = |until| Agent { first: Nanos::MAX, last: 0, until, samples: false };
        let by_ip = alive.iter().map(|(ip, until)| (*ip, silent(*until))).collect();
        Self { by_ip, moved: false }
    }

    /// Those that are alive, and the end of the minute in which each was heard of last, sorted.
    pub(super) fn alive(&self) -> Vec<(Ip, Nanos)> {
        let mut alive: Vec<_> = self.by_ip.iter().map(|(ip, agent)| (*ip, agent.until)).collect();
        alive.sort_unstable();
        alive
    }

    /// Notes when each agent was heard of. Records of one agent come in runs.
    pub(super) fn note(&mut self, flows: &FlowColumns, len: WindowLen) {
        let rows = flows.agent.iter().zip(&flows.start).zip(&flows.end).zip(&flows.sampling);
        let mut rows = rows.map(|(((agent, start), end), n)| (*agent, *start, *end, *n)).peekable();
        while let Some((ip, mut first, mut last, sampling)) = rows.next() {
            let mut samples = sampling > 1;
            while let Some((_, start, end, sampling)) = rows.next_if(|row| row.0 == ip) {
                (first, last) = (first.min(start), last.max(end));
                samples |= sampling > 1;
            }
            let until = last.checked_next_multiple_of(STEP).unwrap_or(last);
            self.hear(ip, Agent { first, last, until, samples }, len);
        }
    }

    fn hear(&mut self, ip: Ip, news: Agent, len: WindowLen) {
        let known = self.by_ip.entry(ip).or_insert_with(|| {
            self.moved |= news.samples;
            news
        });
        let away = news.first > known.last.saturating_add(len.nanos())
            || known.first > news.last.saturating_add(len.nanos());
        let begins = news.samples && !known.samples;
        self.moved |= begins || (away && (known.samples || news.samples));
        known.first = known.first.min(news.first);
        known.last = known.last.max(news.last);
        known.until = known.until.max(news.until);
        known.samples |= news.samples;
    }

    /// Whether which agents sample has changed since the last call.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Whether an agent there is counted on.
    pub(super) fn knows(&self, node: Ip) -> bool {
        self.by_ip.contains_key(&node)
    }

    /// Whether an agent there reported about a window, give or take one, and samples (flow semantics,
    /// section 3.3).
    pub(super) fn samples(&self, node: Ip, window: Window, len: WindowLen) -> bool {
        let alive = |agent: &&Agent| {
            agent.first <= window.end(len).saturating_add(len.nanos())
                && agent.last.saturating_add(len.nanos()) >= window.start()
        };
        !node.is_none() && self.by_ip.get(&node).filter(alive).is_some_and(|agent| agent.samples)
    }

    /// Forgets those that have been silent for long.
    pub(super) fn forget(&mut self, watermark: Nanos) {
        self.by_ip.retain(|_, agent| agent.until.saturating_add(TTL) > watermark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn heard(agents: &mut Agents, from: u64, to: u64, sampling: u32) -> bool {
        let mut flows = FlowColumns::default();
        flows.push(&portolan_model::FlowRow {
            agent: Ip::v4(1),
            start: from * SECOND,
            end: to * SECOND,
            sampling,
            ..portolan_model::FlowRow::default()
        });
        agents.note(&flows, WindowLen::BASE);
        agents.take_moved()
    }

    #[test]
    fn sampling_agent_counts_for_windows_that_it_reported_about_give_or_take_one() {
        let mut agents = Agents::default();
        let samples = |agents: &Agents, second: u64| {
            let window = WindowLen::BASE.window(second * SECOND);
            agents.samples(Ip::v4(1), window, WindowLen::BASE)
        };
        assert!(!heard(&mut agents, 100, 105, 1), "it looks at all");
        assert!(!samples(&agents, 100));
        assert!(heard(&mut agents, 106, 109, 50), "now it does not");
        assert_eq!(
            [90, 100, 110, 119, 120].map(|s| samples(&agents, s)),
            [true, true, true, true, false]
        );
        assert!(!heard(&mut agents, 110, 118, 50), "it goes on");
        assert!(heard(&mut agents, 140, 145, 50), "it was away");
    }
}
