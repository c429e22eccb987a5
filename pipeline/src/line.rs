//! The whole line on one thread: what `portolan map`, the tests and the benchmarks run.

use portolan_model::{
    Barrier, CallDelta, Entity, EpochCommit, FlowBatch, HealthRow, Ip, LearnedPort, Nanos, Notes,
    OwnerEvent, OwnerRecord, SpanBatch, TraceRow, Window,
};

use crate::{EdgeAggregator, Front, Intake, LineConfig, PathCollapser, Stage, WindowCompactor};

/// What the store remembers for the stages.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Every stored version of every owner.
    pub owners: Vec<OwnerRecord>,
    /// Windows before this one were folded.
    pub folded: Window,
    /// Agents that were alive, and when they were last heard of.
    pub agents: Vec<(Ip, Nanos)>,
    /// Ports that were learned to be servers'.
    pub learned: Vec<LearnedPort>,
    /// Unowned addresses that have an entity of their own: they keep it, and their place under the
    /// bound. See [`stranger`].
    pub strangers: Vec<Ip>,
    /// Entities that spans and metrics may have named: they keep their place under the bounds, too.
    pub named: Vec<Entity>,
    /// All rows of the catalogue and all changes.
    pub notes: Notes,
    /// Watermark of the last epoch.
    pub watermark: Nanos,
    /// What was judged of edges and services.
    pub health: Vec<HealthRow>,
    /// Traces that are kept as exemplars.
    pub traces: Vec<TraceRow>,
    /// Rows of calls of the windows that are not judged yet: all from [`unjudged`](crate::unjudged) on.
    pub calls: Vec<CallDelta>,
}

/// The four stages, wired.
pub struct Line {
    /// First stage.
    pub front: Front,
    /// Second stage.
    pub collapser: PathCollapser,
    /// Third stage.
    pub aggregator: EdgeAggregator,
    /// Fourth stage.
    pub compactor: WindowCompactor,
}

impl Line {
    /// A line that goes on from what the store remembers.
    pub fn new(config: &LineConfig, restored: &Restored) -> Self {
        Self {
            front: Front::new(config, restored),
            collapser: PathCollapser::new(config),
            aggregator: EdgeAggregator::new(config, restored),
            compactor: WindowCompactor::new(config),
        }
    }

    /// Feeds flow records.
    pub fn flows(&mut self, batch: FlowBatch) {
        let hops = self.front.apply(Intake::Flows(batch));
        self.pass(hops);
    }

    /// Feeds ownership events.
    pub fn owners(&mut self, events: Vec<OwnerEvent>) {
        let hops = self.front.apply(Intake::Owners(events));
        self.pass(hops);
    }

    /// Feeds spans.
    pub fn spans(&mut self, batch: SpanBatch) {
        self.intake(Intake::Spans(batch));
    }

    /// Feeds whatever comes.
    pub fn intake(&mut self, intake: Intake) {
        let hops = self.front.apply(intake);
        self.pass(hops);
    }

    /// Ends an epoch: what it changes, or nothing if it only rebuilt memory.
    pub fn barrier(&mut self, mut barrier: Barrier) -> Option<EpochCommit> {
        let hops = self.front.barrier(&mut barrier);
        self.pass(hops);
        let deltas = self.collapser.barrier(&mut barrier);
        let deltas = deltas.and_then(|d| self.aggregator.apply(d));
        if let Some(deltas) = deltas {
            self.compactor.apply(deltas);
        }
        if let Some(deltas) = self.aggregator.barrier(&mut barrier) {
            self.compactor.apply(deltas);
        }
        self.compactor.barrier(&mut barrier)
    }

    fn pass(&mut self, hops: Option<crate::Hops>) {
        let deltas = hops.and_then(|h| self.collapser.apply(h));
        let deltas = deltas.and_then(|d| self.aggregator.apply(d));
        if let Some(deltas) = deltas {
            self.compactor.apply(deltas);
        }
    }
}
