//! What a stage is.

use portolan_model::Barrier;

/// A pure, synchronous, total state machine: batches change its state, and a barrier ends an epoch.
///
/// Everything a stage emits leaves by return value. The outcome of an epoch depends on the set of
/// batches between two barriers, never on their order or grouping.
pub trait Stage: Send + 'static {
    /// What it reads.
    type In: Send + 'static;
    /// What it emits.
    type Out: Send + 'static;

    /// Its name in metrics and logs.
    const NAME: &'static str;

    /// Takes a batch in. May emit at once, or keep all for the barrier.
    fn apply(&mut self, batch: Self::In) -> Option<Self::Out>;

    /// Ends the epoch: emits what the epoch came to, and amends the barrier with its own account.
    /// With [`Barrier::rebuild`] it takes the state as already emitted, and emits nothing.
    fn barrier(&mut self, barrier: &mut Barrier) -> Option<Self::Out>;

    /// How many records a batch holds, for metrics.
    fn records(batch: &Self::In) -> usize;
}
