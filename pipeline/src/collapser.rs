//! Path collapser: joins what a client sent to a hop with where it came out.

use portolan_model::Barrier;

use crate::{Deltas, Hops, LineConfig, Stage};

/// See the module.
pub struct PathCollapser {}

impl PathCollapser {
    /// A collapser that remembers nothing yet.
    pub fn new(_config: &LineConfig) -> Self {
        Self {}
    }
}

impl Stage for PathCollapser {
    type In = Hops;
    type Out = Deltas;
    const NAME: &'static str = "path_collapser";

    fn apply(&mut self, batch: Hops) -> Option<Deltas> {
        Some(batch.deltas)
    }

    fn barrier(&mut self, _barrier: &mut Barrier) -> Option<Deltas> {
        None
    }

    fn records(batch: &Hops) -> usize {
        batch.deltas.edges.len() + batch.hops.len() + batch.landings.len()
    }
}
