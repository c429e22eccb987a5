//! The calls of the fleet, by the names of their ends.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_e2e::Portolan;
use portolan_fleet::CallEdge;
use portolan_proto::v1;

/// Spans wait for their other halves, and the last ones until nothing comes any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// Calls of which both ends told, by the names of these.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Calls(BTreeMap<(String, String), u64>);

// === impl Calls ===

impl Calls {
    /// What the fleet did.
    pub(crate) fn of(calls: &[CallEdge]) -> Self {
        let mut pairs = BTreeMap::new();
        for edge in calls.iter().filter(|edge| edge.counts.paired > 0) {
            let ends = (edge.client.name.to_string(), edge.server.name.to_string());
            *pairs.entry(ends).or_default() += edge.counts.paired;
        }
        let calls = Self(pairs);
        assert!(calls.sum() > 100, "the fleet calls");
        calls
    }

    /// What a graph says.
    fn told(graph: &v1::GetGraphResponse) -> Self {
        let mut pairs = BTreeMap::new();
        for edge in &graph.edges {
            let name = |entity: &Option<v1::Entity>| entity.as_ref().unwrap().name.clone();
            for said in edge.calls.iter().filter(|said| said.source == "trace_pair") {
                let ends = (name(&edge.client), name(&edge.server));
                *pairs.entry(ends).or_default() += said.calls.round() as u64;
            }
        }
        Self(pairs)
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.values().sum()
    }

    /// Fails unless, once nothing waits any more, each is counted once, between its ends, and no other.
    pub(crate) fn assert_told(&self, portolan: &mut Portolan) {
        let found =
            portolan.wait_for_graph("the calls", PATIENCE, |graph| Self::told(graph) == *self);
        if let Err(error) = found {
            let told = Self::told(&portolan.whole_graph().unwrap());
            panic!("of {self:#?}\nit has {told:#?}\n{error:#}");
        }
        println!(
            "spans: {} calls between {} pairs: no difference to the truth",
            self.sum(),
            self.0.len()
        );
    }

    /// Fails unless it is so within a range, now.
    pub(crate) fn assert_told_within(&self, portolan: &Portolan, range: v1::TimeRange) {
        let request = v1::GetGraphRequest {
            range: Some(range),
            page_size: 10_000,
            ..v1::GetGraphRequest::default()
        };
        assert_eq!(Self::told(&portolan.graph(request).unwrap()), *self);
    }
}
