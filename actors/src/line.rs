//! The four actors of the line, and how they share the threads.
//!
//! ```text
//! source thread ─► [resolver] ─► [collapser ─► aggregator ─► compactor] ─► [committer]
//! ```
//!
//! Brackets are threads. Nearly all work is the resolver's, so it has one for itself; the three
//! behind it see what is left after reduction and share one; the committer waits for the disk (its
//! slowest commits take tens of milliseconds) and must hold nobody up.

use actix::{Arbiter, ArbiterHandle};
use portolan_model::EpochCommit;
use portolan_pipeline::{Deltas, Hops, Intake, Line, LineConfig, Restored, Stage};

use crate::envelope::Downstream;
use crate::stage_actor::Crew;

mod edge_aggregator;
mod flow_resolver;
mod path_collapser;
mod window_compactor;

/// The stages of one generation.
pub struct Stages<R, P, E, W> {
    /// Flow resolver.
    pub resolver: R,
    /// Path collapser.
    pub collapser: P,
    /// Edge aggregator.
    pub aggregator: E,
    /// Window compactor.
    pub compactor: W,
}

/// Builds the stages of a generation from what the store remembers.
pub trait Blueprint: Send + 'static {
    /// First stage.
    type Resolver: Stage<In = Intake, Out = Hops>;
    /// Second stage.
    type Collapser: Stage<In = Hops, Out = Deltas>;
    /// Third stage.
    type Aggregator: Stage<In = Deltas, Out = Deltas>;
    /// Fourth stage.
    type Compactor: Stage<In = Deltas, Out = EpochCommit>;

    /// Builds them.
    fn build(
        &mut self,
        config: &LineConfig,
        restored: &Restored,
    ) -> Stages<Self::Resolver, Self::Collapser, Self::Aggregator, Self::Compactor>;
}

/// The real stages.
#[derive(Debug, Default)]
pub struct RealStages;

/// The threads of the line. They outlive generations.
pub(crate) struct Threads {
    resolver: Arbiter,
    rest: Arbiter,
    committer: Arbiter,
}

// === impl RealStages ===

impl Blueprint for RealStages {
    type Resolver = portolan_pipeline::Front;
    type Collapser = portolan_pipeline::PathCollapser;
    type Aggregator = portolan_pipeline::EdgeAggregator;
    type Compactor = portolan_pipeline::WindowCompactor;

    fn build(
        &mut self,
        config: &LineConfig,
        restored: &Restored,
    ) -> Stages<Self::Resolver, Self::Collapser, Self::Aggregator, Self::Compactor> {
        let Line { front: resolver, collapser, aggregator, compactor } =
            Line::new(config, restored);
        Stages { resolver, collapser, aggregator, compactor }
    }
}

// === impl Threads ===

impl Threads {
    /// Starts them. Must be called on an actix system.
    pub(crate) fn start() -> Self {
        Self { resolver: Arbiter::new(), rest: Arbiter::new(), committer: Arbiter::new() }
    }

    /// Where the committer runs.
    pub(crate) fn committer(&self) -> ArbiterHandle {
        self.committer.handle()
    }

    /// Asks them to end, and waits until they have.
    pub(crate) fn join(self) {
        for arbiter in [self.resolver, self.rest, self.committer] {
            arbiter.stop();
            // An arbiter that panicked has ended, too.
            let _ = arbiter.join();
        }
    }
}

/// Starts the actors from the last to the first, and returns the address of the first.
pub(crate) fn start<R, P, E, W>(
    stages: Stages<R, P, E, W>,
    crew: &Crew,
    threads: &Threads,
    capacity: usize,
    committer: Downstream<EpochCommit>,
) -> Downstream<Intake>
where
    R: Stage<In = Intake, Out = Hops>,
    P: Stage<In = Hops, Out = Deltas>,
    E: Stage<In = Deltas, Out = Deltas>,
    W: Stage<In = Deltas, Out = EpochCommit>,
{
    let rest = threads.rest.handle();
    let compactor = window_compactor::start(stages.compactor, crew, &rest, capacity, committer);
    let aggregator = edge_aggregator::start(stages.aggregator, crew, &rest, capacity, compactor);
    let collapser = path_collapser::start(stages.collapser, crew, &rest, capacity, aggregator);
    flow_resolver::start(stages.resolver, crew, &threads.resolver.handle(), capacity, collapser)
}
