//! The front of the line: what turns records into rows, around one identity directory.
//!
//! ```text
//! flows, owners ─► FlowResolver ─┐
//!                      │ owners  ├─► Hops
//! spans ─────────► SpanLinker ───┤
//! notes ─────────► Notebook ─────┘
//! ```
//!
//! One directory in memory, one thread, one order: the resolver settles what the epoch said of
//! owners, and then whoever else names ends asks the same directory.

use portolan_model::Barrier;

use crate::{FlowResolver, Hops, Intake, LineConfig, Notebook, Restored, SpanLinker, Stage};

/// See the module.
pub struct Front {
    /// Flows and owners.
    pub flows: FlowResolver,
    /// Spans.
    pub spans: SpanLinker,
    /// What is said of entities.
    pub notes: Notebook,
}

impl Front {
    /// A front that knows what the store remembers.
    pub fn new(config: &LineConfig, restored: &Restored) -> Self {
        Self {
            flows: FlowResolver::new(config, restored),
            spans: SpanLinker::new(config, restored),
            notes: Notebook::new(&config.notes, restored),
        }
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
            Intake::Notes(notes) => {
                self.notes.gather(notes);
                None
            }
            other => self.flows.apply(other),
        }
    }

    fn barrier(&mut self, barrier: &mut Barrier) -> Option<Hops> {
        let mut hops = self.flows.barrier(barrier)?;
        let (directory, moved) = (self.flows.directory(), self.flows.moved());
        self.spans.barrier(directory, moved, barrier, &mut hops.deltas);
        hops.deltas.notes = self.notes.barrier(barrier);
        Some(hops)
    }

    fn records(batch: &Intake) -> usize {
        FlowResolver::records(batch)
    }
}
