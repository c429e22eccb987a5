//! The time-window compactor's actor: turns every barrier into one commit for the store.

use actix::ArbiterHandle;
use portolan_model::EpochCommit;
use portolan_pipeline::{Deltas, Stage};

use crate::envelope::Downstream;
use crate::stage_actor::{Crew, StageActor};

/// Starts it beside the collapser and the aggregator.
pub(crate) fn start<S: Stage<In = Deltas, Out = EpochCommit>>(
    stage: S,
    crew: &Crew,
    arbiter: &ArbiterHandle,
    capacity: usize,
    committer: Downstream<EpochCommit>,
) -> Downstream<Deltas> {
    StageActor::start(stage, crew, arbiter, capacity, committer)
}
