//! The flow resolver's actor: the only one whose mailbox holds raw records, on a thread of its own.

use actix::ArbiterHandle;
use portolan_pipeline::{Hops, Intake, Stage};

use crate::envelope::Downstream;
use crate::stage_actor::{Crew, StageActor};

/// Starts it with the whole `capacity`: here back pressure reaches the sources.
pub(crate) fn start<S: Stage<In = Intake, Out = Hops>>(
    stage: S,
    crew: &Crew,
    arbiter: &ArbiterHandle,
    capacity: usize,
    collapser: Downstream<Hops>,
) -> Downstream<Intake> {
    StageActor::start(stage, crew, arbiter, capacity, collapser)
}
