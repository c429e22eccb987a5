//! What the linker says of itself at a barrier: from where it must read again, what it has counted.

use portolan_model::Barrier;

use super::SpanLinker;
use super::traces::Trace;
use crate::naming::Names;
use crate::tally::{Count, count};

impl SpanLinker {
    /// Offers traces that are about to be forgotten as exemplars: they are whole now. In one order, because what is kept
    /// of a trace of which a part was kept before depends on what was offered in between.
    pub(super) fn offer(&mut self, leaving: &mut [u128]) {
        leaving.sort_unstable();
        for id in &*leaving {
            if let Some(trace) = self.traces.get(id) {
                self.exemplars.offer(*id, &trace.emitted);
            }
        }
    }

    /// Says from which offset each partition must be read again to rebuild the memory.
    pub(super) fn say_reread(&mut self, barrier: &mut Barrier) {
        let of_traces = self.traces.values().map(Trace::oldest).min();
        let oldest = of_traces.into_iter().chain(self.links.oldest()).min();
        let Some(oldest) = oldest else {
            self.reread.clear();
            return;
        };
        self.reread = self.reread.split_off(&self.window.window(oldest));
        for (partition, position) in &mut barrier.positions {
            let lowest = self.reread.values().filter_map(|of| of.get(&partition.0)).min();
            if let Some(lowest) = lowest {
                position.reread = position.reread.min(*lowest);
            }
        }
    }

    /// Forgets names that no remembered span bears.
    pub(super) fn sweep(&mut self, names: &mut Names) {
        if !self.pools.is_due() {
            return;
        }
        let (traces, links) = (&self.traces, &self.links);
        self.pools.sweep(|visit| {
            traces.values().flat_map(|t| &t.spans).for_each(&mut *visit);
            links.each(&mut |span| visit(span));
        });
        names.forget_numbers();
    }

    /// All that it counts.
    pub(crate) fn counts(&mut self) -> Vec<Count<'_>> {
        let tally = &mut self.tally;
        vec![
            count("spans_duplicate", &mut tally.duplicates),
            count("spans_late", &mut tally.late),
            count("spans_folded_early", &mut tally.folded_early),
            count("span_halves_folded_early", &mut tally.halves_folded_early),
            count("span_links_missing", &mut tally.links_missing),
            count("span_links_folded_early", &mut tally.links_folded_early),
            count("exemplars_dropped", &mut self.exemplars.dropped),
        ]
    }
}
