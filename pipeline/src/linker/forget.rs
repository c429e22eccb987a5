//! What is forgotten: traces, parts of traces, and both early under the bound.

use portolan_model::Nanos;

use super::call::Call;
use super::span::Span;
use super::{Known, SpanLinker};

/// What stays of a trace that loses a part.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) calls: Vec<Call>,
    pub(super) spans: Vec<Span>,
    /// What each part counts for that is lost.
    pub(super) gone: Vec<Vec<Call>>,
}

// === impl SpanLinker ===

impl SpanLinker {
    /// Traces of which nothing ends in a window that is remembered. Others that may lose a part are
    /// judged once more, each time a window is forgotten: what stays of one must not depend on when it
    /// was judged.
    pub(super) fn leaving(&mut self) -> Vec<u128> {
        let (mut leaving, quiet) = (Vec::new(), self.quiet());
        let kept = self.by_window.split_off(&self.folded);
        let past = std::mem::replace(&mut self.by_window, kept);
        for (at, ids) in past {
            for id in ids {
                let Some(trace) = self.traces.get_mut(&id) else { continue };
                if trace.look_at != Some(at) {
                    continue;
                }
                let newest = self.window.window(trace.newest());
                if newest < self.folded {
                    trace.look_at = None;
                    leaving.push(id);
                    continue;
                }
                let pauses = trace.may_pause(quiet);
                let next = if pauses { self.folded } else { newest };
                trace.look_at = Some(next);
                self.by_window.entry(next).or_default().push(id);
                if pauses {
                    self.touch(id);
                }
            }
        }
        leaving
    }

    /// After how long a silence a trace goes on as another: what arrives that much late, at most,
    /// still finds its trace.
    pub(super) fn quiet(&self) -> Nanos {
        self.horizon / 2
    }

    /// Of parts of traces that are too old, what they count for stays, and is no longer remembered.
    /// Not before names are final: until then another trace may take one from them.
    pub(super) fn settle(&mut self) {
        for (id, Settled { calls, mut spans, gone }) in std::mem::take(&mut self.settled) {
            let Some(trace) = self.traces.get_mut(&id) else { continue };
            if spans.is_empty() {
                // It is about to be forgotten as a whole.
                continue;
            }
            trace.emitted = calls;
            if spans.len() < trace.spans.len() {
                if !self.rebuilding {
                    for calls in &gone {
                        self.exemplars.offer(id, calls);
                    }
                }
                self.spans -= trace.spans.len() - spans.len();
                spans.sort_by_key(|s| (s.id, s.role));
                trace.keep(spans);
            }
        }
    }

    pub(super) fn forget(&mut self, leaving: Vec<u128>) {
        for id in leaving {
            if let Some(trace) = self.traces.remove(&id) {
                self.spans -= trace.spans.len();
            }
        }
    }

    /// Folds the oldest windows while more spans are remembered than may be.
    pub(super) fn shed(&mut self, known: &mut Known<'_>, watermark: Nanos) {
        while self.spans > self.max_spans {
            let Some(window) = self.by_window.keys().next().copied() else { break };
            self.folded = self.folded.max(window.next(self.window));
            let before = self.spans;
            let mut leaving = self.leaving();
            let waiting = leaving.iter().filter_map(|id| self.traces.get(id)).map(|t| t.waiting);
            self.tally.halves_folded_early += waiting.sum::<usize>() as i64;
            self.judge_touched(known, watermark);
            self.offer(&mut leaving);
            self.forget(leaving);
            self.tally.folded_early += (before - self.spans) as i64;
        }
    }
}
