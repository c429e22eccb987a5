//! Flow resolver: from raw records to raw edges between entities.

use portolan_model::Barrier;

use crate::{Hops, Intake, LineConfig, Restored, Stage};

/// See the module.
pub struct FlowResolver {}

impl FlowResolver {
    /// A resolver that knows the owners of the store.
    pub fn new(_config: &LineConfig, _restored: &Restored) -> Self {
        Self {}
    }
}

impl Stage for FlowResolver {
    type In = Intake;
    type Out = Hops;
    const NAME: &'static str = "flow_resolver";

    fn apply(&mut self, _batch: Intake) -> Option<Hops> {
        None
    }

    fn barrier(&mut self, _barrier: &mut Barrier) -> Option<Hops> {
        None
    }

    fn records(batch: &Intake) -> usize {
        match batch {
            Intake::Flows(batch) => batch.flows.len(),
            Intake::Owners(events) => events.len(),
        }
    }
}
