//! Rows of calls summed over windows, protocols and operations: one sum an edge and source.
//!
//! Counters of different sources are never added (trace semantics, section C.11).

use portolan_model::{
    CallCounters, CallDelta, CallMeasure, CallProtocol, CallSource, EntityId, Latency, Nanos,
};
use rustc_hash::FxHashMap;

/// What one source says of an edge over a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCalls {
    /// Which source.
    pub source: CallSource,
    /// The kinds of call, sorted, each once.
    pub protocols: Vec<CallProtocol>,
    /// The sums.
    pub counters: CallCounters,
    /// Latency as the client saw it.
    pub client: Latency,
    /// Latency as the server saw it.
    pub server: Latency,
    /// Client's less server's, of calls seen from both sides.
    pub gap: Latency,
    /// Earliest event.
    pub first_ns: Nanos,
    /// Latest event.
    pub last_ns: Nanos,
}

/// Takes rows one at a time, in any order.
#[derive(Clone, Debug, Default)]
pub struct CallsBuilder {
    sums: FxHashMap<(EntityId, EntityId, CallSource), SourceCalls>,
}

// === impl CallsBuilder ===

impl CallsBuilder {
    /// Adds a row.
    pub fn add(&mut self, row: &CallDelta) {
        let key = (row.key.client, row.key.server, row.key.source);
        let sum = self.sums.entry(key).or_insert_with(|| SourceCalls::new(row.key.source));
        sum.protocol(row.key.protocol);
        sum.counters.add(&row.counters);
        sum.client.add(&row.client);
        sum.server.add(&row.server);
        sum.gap.add(&row.gap);
        sum.first_ns = sum.first_ns.min(row.first_ns);
        sum.last_ns = sum.last_ns.max(row.last_ns);
    }

    /// Adds all that another one has taken.
    pub fn absorb(&mut self, other: &Self) {
        for (key, said) in &other.sums {
            let sum = self.sums.entry(*key).or_insert_with(|| SourceCalls::new(said.source));
            sum.merge(said);
        }
    }

    /// How many edges and sources there are so far.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether there is nothing yet.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// The sums by client, server and source, in that order. What has nothing left behind it
    /// ([`CallMeasure::Raw`]) is no evidence, and is left out.
    pub fn finish(self) -> Vec<(EntityId, EntityId, SourceCalls)> {
        let mut all: Vec<_> = self
            .sums
            .into_iter()
            .filter(|(_, sum)| sum.counters[CallMeasure::Raw] > 0)
            .map(|((client, server, _), sum)| (client, server, sum))
            .collect();
        all.sort_unstable_by_key(|(client, server, sum)| (*client, *server, sum.source));
        all
    }
}

// === impl SourceCalls ===

impl SourceCalls {
    fn new(source: CallSource) -> Self {
        Self {
            source,
            protocols: Vec::new(),
            counters: CallCounters::ZERO,
            client: Latency::default(),
            server: Latency::default(),
            gap: Latency::default(),
            first_ns: Nanos::MAX,
            last_ns: 0,
        }
    }

    /// Adds what the same source says of another part of the same edge.
    pub(crate) fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.source, other.source, "sources are never added up");
        other.protocols.iter().for_each(|protocol| self.protocol(*protocol));
        self.counters.add(&other.counters);
        self.client.add(&other.client);
        self.server.add(&other.server);
        self.gap.add(&other.gap);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }

    /// One standard error of the scaled count, in calls: what sampling may have got wrong. 0 where
    /// nothing was sampled.
    pub fn standard_error(&self) -> f64 {
        (self.counters[CallMeasure::VarianceMilli].max(0) as f64 / 1e3).sqrt()
    }

    fn protocol(&mut self, protocol: CallProtocol) {
        if let Err(place) = self.protocols.binary_search(&protocol) {
            self.protocols.insert(place, protocol);
        }
    }
}
