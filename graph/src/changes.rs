//! What happened to edges in a range: seen for the first time, gone, seen again.
//!
//! ```text
//! all before the range ─► known edges ─┐
//! the range, step by step ─────────────┴─► a gap between two sightings of at least `quiet` is an absence
//! ```
//!
//! First and last events of windows are exact, so with steps no longer than `quiet` every absence is found,
//! and its ends are those of the events themselves.

use portolan_model::{Direction, Nanos, TimeRange};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{Ends, EvidenceBits, Sighting};

/// What happened to an edge.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    /// It was never seen before.
    FirstSeen,
    /// It was seen again after a silence of so long.
    Returned(Nanos),
    /// It was not seen any more for long enough.
    Gone,
}

/// A change of the topology.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Happening {
    /// The event at which it happened: the first, the first after the silence, the last before it.
    pub at: Nanos,
    /// Which edge.
    pub ends: Ends,
    /// What.
    pub what: Happened,
    /// Who saw the edge, as far as it is known here.
    pub evidence: EvidenceBits,
}

/// Follows edges through time.
pub struct Changes {
    range: TimeRange,
    quiet: Nanos,
    known: FxHashMap<Ends, Known>,
    found: Vec<Happening>,
}

#[derive(Copy, Clone)]
struct Known {
    last: Nanos,
    evidence: EvidenceBits,
}

// === impl Changes ===

impl Changes {
    /// Nothing is known before `range`. An edge that is silent for `quiet` is gone.
    pub fn new(range: TimeRange, quiet: Nanos) -> Self {
        Self { range, quiet, known: FxHashMap::default(), found: Vec::new() }
    }

    /// An edge that was there before the range.
    pub fn before(&mut self, seen: &Sighting) {
        let known = Known { last: seen.last_ns, evidence: seen.evidence };
        self.known.insert(seen.ends, known);
    }

    /// An edge of a step. Steps come in order of time.
    pub fn step(&mut self, seen: &Sighting) {
        let Sighting { evidence, last_ns: last, .. } = *seen;
        // An edge that only retractions timed has no first event: its last stands for it.
        let first = seen.first_ns.min(last);
        if let Some(known) = self.known.get_mut(&seen.ends)
            && first.saturating_sub(known.last) < self.quiet
        {
            known.last = known.last.max(last);
            known.evidence = known.evidence.and(evidence);
            return;
        }
        let ends = self.adopt(seen.ends);
        let happened = |at, what| Happening { at, ends, what, evidence };
        let known = match self.known.get(&ends).copied() {
            None => {
                self.found.push(happened(first, Happened::FirstSeen));
                Known { last, evidence }
            }
            Some(known) => {
                let silent = first.saturating_sub(known.last);
                if silent >= self.quiet {
                    self.gone(ends, known);
                    self.found.push(happened(first, Happened::Returned(silent)));
                }
                Known { last: known.last.max(last), evidence: known.evidence.and(evidence) }
            }
        };
        self.known.insert(ends, known);
    }

    /// What happened, the latest first. `until` is how far time has come; `ever` are the edges of all that
    /// was read as a whole: what only a part shows, for want of its neighbours, did not happen.
    pub fn finish(mut self, until: Nanos, ever: &FxHashSet<Ends>) -> Vec<Happening> {
        let until = until.min(self.range.to);
        for (ends, known) in std::mem::take(&mut self.known) {
            if known.last.saturating_add(self.quiet) <= until {
                self.gone(ends, known);
            }
        }
        let range = self.range;
        let mut found = self.found;
        found.retain(|happening| {
            let inside = happening.what == Happened::Gone || happening.at >= range.from;
            inside && happening.at < range.to && ever.contains(&happening.ends)
        });
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }

    /// An edge is gone when it has been silent for long enough, and that is told if it is in the range.
    fn gone(&mut self, ends: Ends, known: Known) {
        if known.last.saturating_add(self.quiet) >= self.range.from {
            let (at, evidence) = (known.last, known.evidence);
            self.found.push(Happening { at, ends, what: Happened::Gone, evidence });
        }
    }

    /// An edge by the direction that is known of it: learning it is no change.
    fn adopt(&mut self, ends: Ends) -> Ends {
        let (client, server, direction) = ends;
        if self.known.contains_key(&ends) {
            return ends;
        }
        let there = (client, server, Direction::Known);
        let back = (server, client, Direction::Known);
        match direction {
            Direction::Known => {
                // Those without a direction stand in the order of their ids.
                let unknown = (client.min(server), client.max(server), Direction::Unknown);
                if let Some(known) = self.known.remove(&unknown) {
                    self.known.insert(ends, known);
                }
                ends
            }
            Direction::Unknown => {
                match (self.known.contains_key(&there), self.known.contains_key(&back)) {
                    (true, false) => there,
                    (false, true) => back,
                    _ => ends,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portolan_model::{Counters, Entity, EntityId, EntityKind};

    use super::*;
    use crate::{FusedEdge, NetworkPart};

    const QUIET: Nanos = 100;

    fn id(name: &str) -> EntityId {
        Entity::new(EntityKind::Workload, "", name).id()
    }

    fn edge(
        client: &str,
        server: &str,
        direction: Direction,
        (first_ns, last_ns): (u64, u64),
    ) -> FusedEdge {
        let (mut client, mut server) = (id(client), id(server));
        if direction == Direction::Unknown {
            (client, server) = (client.min(server), client.max(server));
        }
        let counters = Counters::ZERO;
        let network = Some(NetworkPart { counters, edges: Vec::new(), first_ns, last_ns });
        FusedEdge { client, server, direction, network, calls: Vec::new() }
    }

    fn seen(times: (u64, u64)) -> FusedEdge {
        edge("a", "b", Direction::Known, times)
    }

    fn changes() -> Changes {
        Changes::new(TimeRange { from: 1_000, to: 2_000 }, QUIET)
    }

    /// Time and event, the first first.
    fn told(changes: Changes, until: Nanos) -> Vec<(Nanos, Happened)> {
        let ever = [Direction::Known, Direction::Unknown]
            .into_iter()
            .flat_map(|direction| [(id("a"), id("b"), direction), (id("b"), id("a"), direction)]);
        let mut all = changes.finish(until, &ever.collect());
        all.reverse();
        all.into_iter().map(|happening| (happening.at, happening.what)).collect()
    }

    #[test]
    fn edge_is_first_seen_gone_and_back_at_its_own_events() {
        let mut changes = changes();
        for times in [(1_010, 1_050), (1_120, 1_130), (1_400, 1_420)] {
            changes.step(&(&seen(times)).into());
        }
        let all = told(changes, 2_000);
        assert_eq!(
            all,
            [
                (1_010, Happened::FirstSeen),
                (1_130, Happened::Gone),
                (1_400, Happened::Returned(270)),
                (1_420, Happened::Gone),
            ]
        );
    }

    #[test]
    fn edge_of_before_is_not_new_and_goes_when_its_silence_is_long_enough() {
        let mut here = changes();
        here.before(&(&seen((10, 950))).into());
        assert_eq!(told(here, 1_049), []);
        let mut here = changes();
        here.before(&(&seen((10, 950))).into());
        assert_eq!(told(here, 1_050), [(950, Happened::Gone)]);
    }

    #[test]
    fn edge_gone_before_the_range_only_returns_in_it() {
        let mut changes = changes();
        changes.before(&(&seen((10, 500))).into());
        changes.step(&(&seen((1_300, 1_950))).into());
        assert_eq!(told(changes, 2_000), [(1_300, Happened::Returned(800))]);
    }

    #[test]
    fn edge_that_goes_on_has_no_changes() {
        let mut changes = changes();
        changes.before(&(&seen((10, 950))).into());
        for times in [(1_000, 1_040), (1_030, 1_130), (1_229, 1_950)] {
            changes.step(&(&seen(times)).into());
        }
        assert_eq!(told(changes, 2_000), []);
    }

    #[test]
    fn direction_that_is_learned_or_forgotten_is_no_change() {
        let mut changes = changes();
        changes.before(&(&edge("a", "b", Direction::Unknown, (10, 990))).into());
        changes.step(&(&seen((1_010, 1_040))).into());
        changes.step(&(&edge("a", "b", Direction::Unknown, (1_060, 1_970))).into());
        assert_eq!(told(changes, 2_000), []);
    }

    #[test]
    fn what_only_a_part_shows_did_not_happen() {
        let mut changes = changes();
        changes.step(&(&seen((1_010, 1_950))).into());
        assert_eq!(changes.finish(2_000, &FxHashSet::default()), []);
    }
}
