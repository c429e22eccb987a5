//! Fusion: the union of what the layers say, each layer's word kept apart.
//!
//! ```text
//! graph (flows), calls (spans, metrics) ─► entities meet ─► one edge a pair of ends
//! ```
//!
//! Invariants:
//! 1. Counts of different layers, and of different sources of calls, are never added.
//! 2. No edge is made up: each has a row of some layer behind it.
//! 3. Flows whose direction nobody knows take it from calls, where those go one way only.

use std::collections::BTreeMap;

use portolan_model::{
    CallMeasure, CallSource, Counters, Direction, EntityId, Latency, Layer, Measure, Nanos,
};

use crate::{Edge, Meeting, SourceCalls};

/// Which kinds of evidence there are, as bits.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct EvidenceBits(pub u8);

/// What flows say of an edge: the sum over its ports and protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPart {
    /// The sums.
    pub counters: Counters,
    /// Places of the edges in the view or graph, sorted.
    pub edges: Vec<usize>,
    /// Earliest event.
    pub first_ns: Nanos,
    /// Latest event.
    pub last_ns: Nanos,
}

/// An edge with what each layer says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FusedEdge {
    /// The side that calls.
    pub client: EntityId,
    /// The side that is called.
    pub server: EntityId,
    /// Known, unless only flows without a direction were seen.
    pub direction: Direction,
    /// What flows say.
    pub network: Option<NetworkPart>,
    /// What the sources of calls say, best first.
    pub calls: Vec<SourceCalls>,
}

/// The edges of all layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fused {
    /// By client, server and direction.
    pub edges: Vec<FusedEdge>,
    /// The kinds of evidence that have any edge at all.
    pub evidence: EvidenceBits,
}

type Key = (EntityId, EntityId, Direction);

/// When an edge was seen, and by whom.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Client, server and whether the direction is known.
    pub ends: (EntityId, EntityId, Direction),
    /// Who saw it.
    pub evidence: EvidenceBits,
    /// Earliest event.
    pub first_ns: Nanos,
    /// Latest event.
    pub last_ns: Nanos,
}

/// An edge of which the layers' word is not summed yet.
pub(crate) struct Joint<'a> {
    pub(crate) ends: Key,
    /// Edges of flows by place, and whether they are to be turned round.
    flows: &'a [(Key, usize, bool)],
    all: &'a [Edge],
    /// What the sources of calls say.
    pub(crate) calls: Vec<SourceCalls>,
}

// === impl EvidenceBits ===

impl EvidenceBits {
    /// Flows.
    pub const NETWORK: Self = Self(1);
    /// Metrics that a process or its proxy counted itself.
    pub const IPC: Self = Self(2);
    /// Spans.
    pub const TRACE: Self = Self(4);
    /// Metrics that another system derived from spans or packets: no independent witness.
    pub const DERIVED: Self = Self(8);

    /// The kinds that bear witness on their own.
    const INDEPENDENT: u8 = Self::NETWORK.0 | Self::IPC.0 | Self::TRACE.0;

    /// The bit of a source of calls.
    pub const fn of(source: CallSource) -> Self {
        match (source, source.layer()) {
            (CallSource::Derived, _) => Self::DERIVED,
            (_, Layer::Trace) => Self::TRACE,
            (_, Layer::Ipc | Layer::Network) => Self::IPC,
        }
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Their words, strongest first.
    pub fn words(self) -> Vec<&'static str> {
        let all = [(1, "network"), (2, "ipc"), (4, "trace"), (8, "derived")];
        all.into_iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, word)| word).collect()
    }

    /// The bit of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::NETWORK, Self::IPC, Self::TRACE, Self::DERIVED]
            .into_iter()
            .find(|bit| bit.words() == [word])
    }

    const fn independent(self) -> u32 {
        (self.0 & Self::INDEPENDENT).count_ones()
    }
}

// === impl FusedEdge ===

impl FusedEdge {
    /// Which kinds of evidence it has.
    pub fn evidence(&self) -> EvidenceBits {
        let network = self.network.as_ref().map_or(EvidenceBits(0), |_| EvidenceBits::NETWORK);
        self.calls.iter().fold(network, |bits, calls| bits.and(EvidenceBits::of(calls.source)))
    }

    /// The source that counts calls and errors best; both from one, so that their ratio is one.
    pub fn best(&self) -> Option<&SourceCalls> {
        self.first(|calls| calls.counters[CallMeasure::CallsMilli] > 0)
    }

    /// The best source that has a latency (of the client, the server or the gap), and that latency.
    pub fn latency(&self, of: fn(&SourceCalls) -> &Latency) -> Option<(CallSource, &Latency)> {
        self.first(|calls| of(calls).count() > 0).map(|calls| (calls.source, of(calls)))
    }

    /// Earliest event of any layer.
    pub fn first_ns(&self) -> Nanos {
        let network = self.network.iter().map(|part| part.first_ns);
        network.chain(self.calls.iter().map(|c| c.first_ns)).min().unwrap_or(0)
    }

    /// Latest event of any layer.
    pub fn last_ns(&self) -> Nanos {
        let network = self.network.iter().map(|part| part.last_ns);
        network.chain(self.calls.iter().map(|c| c.last_ns)).max().unwrap_or(0)
    }

    /// What is derived bears witness to the edge only: its counts serve where there are no others.
    fn first(&self, has: impl Fn(&SourceCalls) -> bool) -> Option<&SourceCalls> {
        let derived = |calls: &&SourceCalls| calls.source == CallSource::Derived;
        let own = self.calls.iter().filter(|calls| !derived(calls)).find(|calls| has(calls));
        own.or_else(|| self.calls.iter().find(|calls| derived(calls) && has(calls)))
    }
}

// === impl Fused ===

impl Fused {
    /// Lays calls beside the edges of a view or a graph.
    pub fn new(
        flows: &[Edge],
        calls: Vec<(EntityId, EntityId, SourceCalls)>,
        meeting: &Meeting,
    ) -> Self {
        let mut edges = Vec::with_capacity(flows.len());
        join(flows, calls, meeting, &mut |joint| edges.push(joint.fused()));
        let evidence = edges.iter().fold(EvidenceBits(0), |all, edge| all.and(edge.evidence()));
        Self { edges, evidence }
    }

    /// How far the kinds of evidence agree that an edge is there: of those that saw any edge in the
    /// range, the part (0 to 1) that saw this one. What is derived is no witness of its own.
    pub fn agreement(&self, edge: &FusedEdge) -> f64 {
        let all = self.evidence.independent();
        if all == 0 { 0.0 } else { f64::from(edge.evidence().independent()) / f64::from(all) }
    }

    /// How many edges each set of evidence has.
    pub fn coverage(&self) -> BTreeMap<EvidenceBits, u64> {
        let mut counts = BTreeMap::new();
        for edge in &self.edges {
            *counts.entry(edge.evidence()).or_default() += 1;
        }
        counts
    }
}

/// Visits the edges of all layers by client, server and direction.
pub(crate) fn join(
    flows: &[Edge],
    calls: Vec<(EntityId, EntityId, SourceCalls)>,
    meeting: &Meeting,
    visit: &mut dyn FnMut(Joint<'_>),
) {
    let mut said: BTreeMap<Key, Vec<SourceCalls>> = BTreeMap::new();
    for (client, server, more) in calls {
        let key = (meeting.shown(client), meeting.shown(server), Direction::Known);
        let sources = said.entry(key).or_default();
        match sources.binary_search_by_key(&more.source, |calls| calls.source) {
            Ok(place) => sources[place].merge(&more),
            Err(place) => sources.insert(place, more),
        }
    }
    let mut parts: Vec<(Key, usize, bool)> = Vec::with_capacity(flows.len());
    for (place, edge) in flows.iter().enumerate() {
        let link = edge.link;
        if link.layer != Layer::Network {
            continue;
        }
        let (client, server) = (meeting.shown(link.client), meeting.shown(link.server));
        let there = (client, server, Direction::Known);
        let back = (server, client, Direction::Known);
        let key = match (link.direction, said.contains_key(&there), said.contains_key(&back)) {
            (Direction::Known, ..) | (Direction::Unknown, true, false) => there,
            (Direction::Unknown, false, true) => back,
            (Direction::Unknown, ..) => (client, server, Direction::Unknown),
        };
        parts.push((key, place, key == back && key != there));
    }
    // They stand in the order of their keys mostly: then this is one look at each.
    parts.sort_unstable();
    let mut said = said.into_iter().peekable();
    for parts in parts.chunk_by(|a, b| a.0 == b.0) {
        let ends = parts[0].0;
        while let Some((ends, calls)) = said.next_if(|(of, _)| *of < ends) {
            visit(Joint { ends, flows: &[], all: flows, calls });
        }
        let calls = said.next_if(|(of, _)| *of == ends).map(|(_, calls)| calls);
        visit(Joint { ends, flows: parts, all: flows, calls: calls.unwrap_or_default() });
    }
    said.for_each(|(ends, calls)| visit(Joint { ends, flows: &[], all: flows, calls }));
}

/// Visits when the edges of all layers were seen, by client, server and direction.
pub fn sightings(
    flows: &[Edge],
    calls: Vec<(EntityId, EntityId, SourceCalls)>,
    meeting: &Meeting,
    visit: &mut dyn FnMut(&Sighting),
) {
    join(flows, calls, meeting, &mut |joint| {
        let mut seen = Sighting {
            ends: joint.ends,
            evidence: EvidenceBits(0),
            first_ns: Nanos::MAX,
            last_ns: 0,
        };
        let mut see = |evidence, first: Nanos, last: Nanos| {
            seen.evidence = seen.evidence.and(evidence);
            (seen.first_ns, seen.last_ns) = (seen.first_ns.min(first), seen.last_ns.max(last));
        };
        joint.flows().for_each(|edge| see(EvidenceBits::NETWORK, edge.first_ns, edge.last_ns));
        let calls = joint.calls.iter();
        calls.for_each(|said| see(EvidenceBits::of(said.source), said.first_ns, said.last_ns));
        visit(&seen);
    });
}

// === impl Joint ===

impl<'a> Joint<'a> {
    /// What flows say of it, by ports and protocols.
    pub(crate) fn flows(&self) -> impl Iterator<Item = &'a Edge> + Clone {
        let all = self.all;
        self.flows.iter().map(move |(_, place, _)| &all[*place])
    }

    fn fused(self) -> FusedEdge {
        let mut edge = FusedEdge::new(self.ends);
        for (_, place, turned) in self.flows {
            edge.flows(&self.all[*place], *place, *turned);
        }
        edge.calls = self.calls;
        edge
    }
}

// === impl Sighting ===

impl From<&FusedEdge> for Sighting {
    fn from(edge: &FusedEdge) -> Self {
        let ends = (edge.client, edge.server, edge.direction);
        let (first_ns, last_ns) = (edge.first_ns(), edge.last_ns());
        Self { ends, evidence: edge.evidence(), first_ns, last_ns }
    }
}

impl FusedEdge {
    fn new((client, server, direction): Key) -> Self {
        Self { client, server, direction, network: None, calls: Vec::new() }
    }

    fn flows(&mut self, edge: &Edge, place: usize, turned: bool) {
        let counters = if turned { turned_round(&edge.counters) } else { edge.counters };
        let part = self.network.get_or_insert_with(|| NetworkPart {
            counters: Counters::ZERO,
            edges: Vec::new(),
            first_ns: Nanos::MAX,
            last_ns: 0,
        });
        part.counters.add(&counters);
        part.edges.push(place);
        part.first_ns = part.first_ns.min(edge.first_ns);
        part.last_ns = part.last_ns.max(edge.last_ns);
    }
}

/// The sums as the other side would have counted them.
fn turned_round(counters: &Counters) -> Counters {
    let mut turned = *counters;
    for (sent, received) in [
        (Measure::BytesSent, Measure::BytesReceived),
        (Measure::PacketsSent, Measure::PacketsReceived),
    ] {
        turned[sent] = counters[received];
        turned[received] = counters[sent];
    }
    turned
}

#[cfg(test)]
mod tests;
