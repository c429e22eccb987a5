//! The front of the line: what turns records into rows, around one identity directory.
//!
//! ```text
//! flows, owners ─► FlowResolver ──┐
//!                      │ owners   │
//! spans ─────────► SpanLinker ────┤
//!                      │ names    ├─► Hops
//! metrics ───────► MetricMapper ──┤
//! notes ─────────► Notebook ──────┘
//! ```
//!
//! One directory in memory, one set of names, one thread, one order: the resolver settles what the
//! epoch said of owners, and then whoever else names ends asks the same directory.

use portolan_model::Barrier;
use rustc_hash::FxHashSet;

use crate::linker::Known;
use crate::naming::Names;
use crate::{
    FlowResolver, Hops, Intake, LineConfig, MetricMapper, Notebook, Restored, SpanLinker, Stage,
    tally,
};

/// See the module.
pub struct Front {
    /// Flows and owners.
    pub flows: FlowResolver,
    /// Spans.
    pub spans: SpanLinker,
    /// What is said of entities.
    pub notes: Notebook,
    /// Metrics.
    pub metrics: MetricMapper,
    /// Ends that spans and metrics have named.
    names: Names,
}

impl Front {
    /// A front that knows what the store remembers.
    pub fn new(config: &LineConfig, restored: &Restored) -> Self {
        let traces = &config.traces;
        let bounds = (traces.max_names, traces.max_operations);
        Self {
            flows: FlowResolver::new(config, restored),
            notes: Notebook::new(&config.notes, restored),
            spans: SpanLinker::new(config, restored),
            metrics: MetricMapper::new(config),
            names: Names::new(&config.environment, &traces.user, bounds, &restored.named),
        }
    }
}

#[cfg(test)]
impl Front {
    /// All that is counted in it.
    pub(crate) fn counts(&mut self) -> Vec<tally::Count<'_>> {
        let Self { flows, spans, notes, metrics, names } = self;
        let flows = flows.counts().into_iter().chain(spans.counts()).chain(metrics.counts());
        flows.chain(notes.counts()).chain([names.count()]).collect()
    }
}

impl Stage for Front {
    type In = Intake;
    type Out = Hops;
    const NAME: &'static str = FlowResolver::NAME;

    fn apply(&mut self, batch: Intake) -> Option<Hops> {
        match batch {
            Intake::Spans(batch) => {
                self.spans.gather(&batch);
                None
            }
            Intake::Metrics(batch) => {
                self.metrics.gather(&batch);
                None
            }
            Intake::Notes(notes) => {
                self.notes.gather(notes);
                None
            }
            other => self.flows.apply(other),
        }
    }

    fn barrier(&mut self, barrier: &mut Barrier) -> Option<Hops> {
        let mut hops = self.flows.barrier(barrier)?;
        let out = &mut hops.deltas;
        let (directory, moved, strangers) = self.flows.shared();
        let mut known = Known {
            names: &mut self.names,
            directory,
            moved,
            strangers,
            displaced: FxHashSet::default(),
        };
        self.spans.barrier(&mut known, barrier, out);
        // A name that made room for another is judged anew wherever it stands. What is displaced once
        // never comes back, so this ends.
        self.metrics.barrier(&mut known, barrier, out);
        loop {
            let displaced = std::mem::take(&mut known.displaced);
            if displaced.is_empty() {
                break;
            }
            self.spans.rename(&displaced, &mut known, barrier.watermark, out);
            self.metrics.rename(&displaced, &mut known, out);
        }
        if barrier.rebuild {
            out.calls.clear();
            // Counted when it was emitted; what was named meanwhile is told when it is named again.
            self.names.forget();
        } else {
            out.entities.extend(self.names.take_fresh());
        }
        tally::tell([self.names.count()], barrier);
        out.notes = self.notes.barrier(barrier);
        Some(hops)
    }

    fn records(batch: &Intake) -> usize {
        FlowResolver::records(batch)
    }
}
