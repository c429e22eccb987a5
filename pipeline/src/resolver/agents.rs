//! Agents: when each was heard of, and whether it looks at every packet.

use std::ops::RangeInclusive;

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
    /// Windows in which some agent counts as one that samples, and did not before.
    moved: Vec<RangeInclusive<Window>>,
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

// === impl Agent ===

impl Agent {
    /// The windows that it reported about, and one more to either side.
    fn windows(&self, len: WindowLen) -> RangeInclusive<Window> {
        len.window(self.first).previous(len)..=len.window(self.last).next(len)
    }
}

// === impl Agents ===

impl Agents {
    /// Those that were alive. What they reported about is read again, or forgotten.
    pub(super) fn restored(alive: &[(Ip, Nanos)]) -> Self {
        let silent = |until| Agent { first: Nanos::MAX, last: 0, until, samples: false };
        let by_ip = alive.iter().map(|(ip, until)| (*ip, silent(*until))).collect();
        Self { by_ip, moved: Vec::new() }
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
        let silent = Agent { first: Nanos::MAX, last: 0, until: 0, samples: false };
        let known = self.by_ip.entry(ip).or_insert(silent);
        let was = known.samples.then(|| known.windows(len));
        known.first = known.first.min(news.first);
        known.last = known.last.max(news.last);
        known.until = known.until.max(news.until);
        known.samples |= news.samples;
        if known.samples {
            let now = known.windows(len);
            let Some(was) = was else { return self.moved.push(now) };
            if now.start() < was.start() {
                self.moved.push(*now.start()..=was.start().previous(len));
            }
            if was.end() < now.end() {
                self.moved.push(was.end().next(len)..=*now.end());
            }
        }
    }

    /// Windows in which other agents came to sample since the last call, or were found to.
    pub(super) fn take_moved(&mut self) -> Vec<RangeInclusive<Window>> {
        let mut moved = std::mem::take(&mut self.moved);
        moved.sort_unstable_by_key(|windows| (*windows.start(), *windows.end()));
        moved.dedup();
        moved
    }

    /// Whether an agent there is counted on.
    pub(super) fn knows(&self, node: Ip) -> bool {
        self.by_ip.contains_key(&node)
    }

    /// Whether an agent there reported about a window, give or take one, and samples (flow semantics,
    /// section 3.3).
    pub(super) fn samples(&self, node: Ip, window: Window, len: WindowLen) -> bool {
        let agent = self.by_ip.get(&node).filter(|agent| !node.is_none() && agent.samples);
        agent.is_some_and(|agent| agent.windows(len).contains(&window))
    }

    /// Forgets those that have been silent for long.
    pub(super) fn forget(&mut self, watermark: Nanos) {
        self.by_ip.retain(|_, agent| agent.until.saturating_add(TTL) > watermark);
    }
}

// === impl FlowResolver ===

impl super::FlowResolver {
    /// Which agents sample in a window decides how much each one's word counts for in it.
    pub(super) fn touch_sampled(&mut self) {
        for moved in self.agents.take_moved() {
            for (_, table) in self.tables.iter_mut().filter(|(window, _)| moved.contains(window)) {
                for place in 0..table.len() as u32 {
                    if table.conns[place].tallies.iter().any(|tally| tally.sampled > 0) {
                        table.touch(place);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn heard(agents: &mut Agents, from: u64, to: u64, sampling: u32) -> Vec<(u64, u64)> {
        let mut flows = FlowColumns::default();
        flows.push(&portolan_model::FlowRow {
            agent: Ip::v4(1),
            start: from * SECOND,
            end: to * SECOND,
            sampling,
            ..portolan_model::FlowRow::default()
        });
        agents.note(&flows, WindowLen::BASE);
        let start = |window: &Window| u64::from(window.0);
        agents.take_moved().iter().map(|w| (start(w.start()), start(w.end()))).collect()
    }

    #[test]
    fn sampling_agent_counts_for_windows_that_it_reported_about_give_or_take_one() {
        let mut agents = Agents::default();
        let samples = |agents: &Agents, second: u64| {
            let window = WindowLen::BASE.window(second * SECOND);
            agents.samples(Ip::v4(1), window, WindowLen::BASE)
        };
        assert_eq!(heard(&mut agents, 100, 105, 1), [], "it looks at all");
        assert!(!samples(&agents, 100));
        assert_eq!(heard(&mut agents, 106, 109, 50), [(90, 110)], "now it does not");
        assert_eq!(
            [80, 90, 100, 110, 119, 120].map(|s| samples(&agents, s)),
            [false, true, true, true, true, false]
        );
        assert_eq!(heard(&mut agents, 108, 109, 50), [], "nothing new");
        assert_eq!(heard(&mut agents, 110, 118, 50), [(120, 120)], "it goes on");
        assert_eq!(heard(&mut agents, 140, 145, 50), [(130, 150)], "it was away");
        assert_eq!(heard(&mut agents, 85, 88, 1), [(70, 80)], "what is late");
    }
}
