//! One range of a comparison: its edges as a whole, and what each of its steps says of them.

use portolan_model::{
    CallMeasure, CallSource, Collapse, Direction, EntityId, HopClass, Latency, Measure, Nanos,
};
use rustc_hash::FxHashMap;

use super::significance::{Spread, Tally};
use crate::fused::{Joint, join};
use crate::{CallsBuilder, Edge, Fused, FusedEdge, Meeting, SourceCalls, ViewBuilder};

/// Which edge: client, server and whether the direction is known.
pub type Ends = (EntityId, EntityId, Direction);

/// A range, taken step by step.
pub struct Side {
    rows: ViewBuilder,
    calls: CallsBuilder,
    steps: u32,
    secs: f64,
    /// Steps have their edges in one order: most are where the last step had them.
    tallies: Vec<(Ends, EdgeTally)>,
    places: FxHashMap<Ends, u32>,
}

/// Places behind the expected one that are looked at before an edge is looked up.
const AHEAD: usize = 3;

/// A range, ready to be compared.
pub struct Ready {
    pub(super) secs: f64,
    pub(super) fused: FxHashMap<Ends, FusedEdge>,
    pub(super) tallies: FxHashMap<Ends, EdgeTally>,
}

/// What the steps say of an edge.
#[derive(Clone, Debug, Default)]
pub(super) struct EdgeTally {
    /// Flow records, connections opened and bytes, over seconds.
    pub(super) flows: Tally,
    pub(super) connections: Tally,
    pub(super) bytes: Tally,
    /// Connections that failed, over those opened.
    pub(super) failed: Tally,
    /// Flow records by list of hops, over all.
    pub(super) paths: Vec<(Vec<EntityId>, Tally)>,
    /// What each source of calls says.
    pub(super) calls: Vec<(CallSource, CallTally)>,
}

/// What the steps of one source of calls say of an edge.
#[derive(Clone, Debug, Default)]
pub(super) struct CallTally {
    /// Calls over seconds.
    pub(super) calls: Tally,
    /// Calls that failed, over all.
    pub(super) errors: Tally,
    /// Logarithms of the median and of the 99th percentile, in nanoseconds.
    pub(super) p50: Spread,
    pub(super) p99: Spread,
}

/// Fewest calls of which a median, and a 99th percentile, say something.
const LEAST_P50: i64 = 10;
const LEAST_P99: i64 = 100;

/// Most lists of hops of an edge that are told apart.
const MAX_PATHS: usize = 64;

// === impl Side ===

impl Side {
    /// A range of nothing yet.
    pub fn new(collapse: Collapse) -> Self {
        Self {
            rows: ViewBuilder::new(collapse),
            calls: CallsBuilder::default(),
            steps: 0,
            secs: 0.0,
            tallies: Vec::new(),
            places: FxHashMap::default(),
        }
    }

    /// Adds a step that lasts so long. Its rows are taken, and the memory stays.
    pub fn step(
        &mut self,
        nanos: Nanos,
        rows: &mut ViewBuilder,
        calls: CallsBuilder,
        meeting: &Meeting,
        hop_class: &dyn Fn(EntityId) -> Option<HopClass>,
    ) {
        let secs = nanos as f64 / 1e9;
        self.steps += 1;
        self.secs += secs;
        self.rows.absorb(rows);
        self.calls.absorb(&calls);
        let view = rows.take(hop_class);
        let mut next = 0;
        join(&view.edges, calls.finish(), meeting, &mut |joint| {
            let at = self.tally(joint.ends, next);
            self.tallies[at].1.add(secs, &joint);
            next = at + 1;
        });
        rows.reuse(view);
    }

    /// The place of an edge's tally, `next` if all goes on as it did.
    fn tally(&mut self, of: Ends, next: usize) -> usize {
        let mut ahead = self.tallies.iter().enumerate().skip(next).take(AHEAD);
        if let Some((at, _)) = ahead.find(|(_, (ends, _))| *ends == of) {
            return at;
        }
        let at = *self.places.entry(of).or_insert(self.tallies.len() as u32) as usize;
        if at == self.tallies.len() {
            self.tallies.push((of, EdgeTally::default()));
        }
        at
    }

    /// How many different edges there are so far, before folding.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Its edges, as steps showed them.
    pub fn ends(&self) -> impl Iterator<Item = Ends> {
        self.tallies.iter().map(|(ends, _)| *ends)
    }

    /// Whether there is no flow in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Makes it ready to be compared.
    pub fn ready(
        self,
        meeting: &Meeting,
        hop_class: &dyn Fn(EntityId) -> Option<HopClass>,
    ) -> Ready {
        let view = self.rows.finish(hop_class);
        let fused = Fused::new(&view.edges, self.calls.finish(), meeting).edges;
        let edges = fused.into_iter().map(|mut edge| {
            // Places in a view that goes away here.
            edge.network.iter_mut().for_each(|part| part.edges.clear());
            (ends(&edge), edge)
        });
        let fused = edges.collect();
        let mut ready = Ready { secs: self.secs, fused, tallies: FxHashMap::default() };
        for (found, tally) in self.tallies {
            // A direction that one step did not know is that of the whole.
            let known = ready.known(found);
            ready.tallies.entry(known).or_default().merge(tally);
        }
        for tally in ready.tallies.values_mut() {
            tally.complete(self.steps, self.secs);
        }
        ready
    }
}

// === impl Ready ===

impl Ready {
    /// An edge as this side has it: where it knows the direction of one that has none, that one.
    pub(super) fn known(&self, found: Ends) -> Ends {
        let (client, server, direction) = found;
        if direction == Direction::Known || self.fused.contains_key(&found) {
            return found;
        }
        let there = (client, server, Direction::Known);
        let back = (server, client, Direction::Known);
        match (self.fused.contains_key(&there), self.fused.contains_key(&back)) {
            (true, false) => there,
            (false, true) => back,
            _ => found,
        }
    }

    /// Gives edges without a direction the one that the other side knows.
    pub(super) fn learn(&mut self, other: &Self) {
        let unknown: Vec<Ends> =
            self.fused.keys().filter(|ends| ends.2 == Direction::Unknown).copied().collect();
        for found in unknown {
            let known = other.known(found);
            if known == found || self.fused.contains_key(&known) {
                continue;
            }
            if let Some(mut edge) = self.fused.remove(&found) {
                (edge.client, edge.server, edge.direction) = known;
                self.fused.insert(known, edge);
            }
            if let Some(tally) = self.tallies.remove(&found) {
                self.tallies.insert(known, tally);
            }
        }
    }
}

// === impl EdgeTally ===

impl EdgeTally {
    fn add(&mut self, secs: f64, joint: &Joint<'_>) {
        if joint.flows().next().is_some() {
            let sum = |measure: Measure| {
                joint.flows().fold(0_i64, |sum, edge| sum.saturating_add(edge.counters[measure]))
            };
            let of = |measure: Measure| sum(measure).max(0) as f64;
            self.flows.add(of(Measure::Flows), secs);
            self.connections.add(of(Measure::Connections), secs);
            // Both ways: whichever way round the edge is.
            self.bytes.add(of(Measure::BytesSent) + of(Measure::BytesReceived), secs);
            self.failed.add(of(Measure::ConnectionsFailed), of(Measure::Connections));
            self.paths(of(Measure::Flows), joint.flows());
        }
        for said in &joint.calls {
            let place = self.calls.iter().position(|(source, _)| *source == said.source);
            let place = place.unwrap_or_else(|| {
                self.calls.push((said.source, CallTally::default()));
                self.calls.len() - 1
            });
            self.calls[place].1.add(secs, said);
        }
    }

    fn paths<'a>(&mut self, flows: f64, edges: impl Iterator<Item = &'a Edge>) {
        let mut here: Vec<(Vec<EntityId>, f64)> = Vec::new();
        for path in edges.flat_map(|edge| &edge.paths) {
            let hops: Vec<EntityId> = path.hops.iter().map(|(hop, _)| *hop).collect();
            let count = path.counters[Measure::Flows].max(0) as f64;
            match here.iter_mut().find(|(known, _)| *known == hops) {
                Some((_, sum)) => *sum += count,
                None => here.push((hops, count)),
            }
        }
        for (hops, count) in here {
            if let Some((_, tally)) = self.paths.iter_mut().find(|(known, _)| *known == hops) {
                tally.add(count, flows);
            } else if self.paths.len() < MAX_PATHS {
                let mut tally = Tally::default();
                tally.add(count, flows);
                self.paths.push((hops, tally));
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.flows.merge(&other.flows);
        self.connections.merge(&other.connections);
        self.bytes.merge(&other.bytes);
        self.failed.merge(&other.failed);
        for (hops, tally) in other.paths {
            match self.paths.iter_mut().find(|(known, _)| *known == hops) {
                Some((_, mine)) => mine.merge(&tally),
                None => self.paths.push((hops, tally)),
            }
        }
        for (source, tally) in other.calls {
            // Two names of one edge in the same steps: the figures of one of them stand for latency.
            match self.calls.iter_mut().find(|(known, _)| *known == source) {
                Some((_, mine)) => {
                    mine.calls.merge(&tally.calls);
                    mine.errors.merge(&tally.errors);
                }
                None => self.calls.push((source, tally)),
            }
        }
    }

    /// Steps in which the edge was silent count as well.
    fn complete(&mut self, steps: u32, secs: f64) {
        // A path's share is of all the edge's flows, in the steps that had any.
        let seen = self.flows;
        for (_, tally) in &mut self.paths {
            tally.complete(seen.steps(), seen.sum);
        }
        for tally in [&mut self.flows, &mut self.connections, &mut self.bytes] {
            tally.complete(steps, secs);
        }
        for (_, tally) in &mut self.calls {
            tally.calls.complete(steps, secs);
        }
    }

    pub(super) fn of(&self, source: CallSource) -> Option<&CallTally> {
        self.calls.iter().find(|(known, _)| *known == source).map(|(_, tally)| tally)
    }

    pub(super) fn path(&self, hops: &[EntityId]) -> Option<&Tally> {
        self.paths.iter().find(|(known, _)| known == hops).map(|(_, tally)| tally)
    }
}

impl CallTally {
    fn add(&mut self, secs: f64, said: &SourceCalls) {
        let of = |measure: CallMeasure| said.counters[measure].max(0) as f64 / 1e3;
        let calls = of(CallMeasure::CallsMilli);
        self.calls.add(calls, secs);
        self.errors.add(of(CallMeasure::ErrorsMilli), calls);
        let latency = said.told();
        for (spread, q, least) in
            [(&mut self.p50, 0.5, LEAST_P50), (&mut self.p99, 0.99, LEAST_P99)]
        {
            if let Some(ns) = latency.filter(|l| l.count() >= least).and_then(|l| l.quantile(q)) {
                spread.add((ns.max(1) as f64).ln());
            }
        }
    }
}

impl SourceCalls {
    /// The latency to believe: the server's own, without the network, where there is one.
    pub fn told(&self) -> Option<&Latency> {
        [&self.server, &self.client].into_iter().find(|latency| latency.count() > 0)
    }
}

fn ends(edge: &FusedEdge) -> Ends {
    (edge.client, edge.server, edge.direction)
}
