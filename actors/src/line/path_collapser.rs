//! The path collapser's actor: takes what the resolver changed, once a batch or once an epoch.

use actix::ArbiterHandle;
use portolan_pipeline::{Deltas, Hops, Stage};

use crate::envelope::Downstream;
use crate::stage_actor::{Crew, StageActor};

/// Starts it beside the aggregator and the compactor.
pub(crate) fn start<S: Stage<In = Hops, Out = Deltas>>(
    stage: S,
    crew: &Crew,
    arbiter: &ArbiterHandle,
    capacity: usize,
    aggregator: Downstream<Deltas>,
) -> Downstream<Hops> {
    StageActor::start(stage, crew, arbiter, capacity, aggregator)
}
