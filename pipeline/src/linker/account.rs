//! What the linker says of itself at a barrier: from where it must read again, what it has counted.

use portolan_model::Barrier;

use super::SpanLinker;
use super::traces::Trace;
use crate::naming::Names;

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

    pub(super) fn report(&mut self, barrier: &mut Barrier) {
        let tally = std::mem::take(&mut self.tally);
        let named = [
            ("spans_duplicate", tally.duplicates),
            ("spans_late", tally.late),
            ("spans_folded_early", tally.folded_early),
            ("span_halves_folded_early", tally.halves_folded_early),
            ("span_links_missing", tally.links_missing),
            ("span_links_folded_early", tally.links_folded_early),
            ("exemplars_dropped", self.exemplars.take_dropped()),
        ];
        let named = named.into_iter().filter(|(_, n)| *n != 0);
        barrier.tallies.extend(named.map(|(name, n)| (name.into(), n)));
    }
}
