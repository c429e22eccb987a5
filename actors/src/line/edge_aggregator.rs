//! The edge aggregator's actor: one row per key leaves it at every barrier.

use actix::ArbiterHandle;
use portolan_pipeline::{Deltas, Stage};

use crate::envelope::Downstream;
use crate::stage_actor::{Crew, StageActor};

/// Starts it beside the collapser and the compactor.
pub(crate) fn start<S: Stage<In = Deltas, Out = Deltas>>(
    stage: S,
    crew: &Crew,
    arbiter: &ArbiterHandle,
    capacity: usize,
    compactor: Downstream<Deltas>,
) -> Downstream<Deltas> {
    StageActor::start(stage, crew, arbiter, capacity, compactor)
}
