//! Span linker: from spans to calls between services.
//!
//! ```text
//! spans ─► traces ─► (barrier) ─► judgement ─► difference to the last one
//!                        ▲
//! directory, watermark ──┘
//! ```
//!
//! Spans of an epoch are only gathered. At the barrier every trace that was touched is judged, which
//! is a pure function of its spans, and what is emitted is the difference to the last judgement
//! (trace semantics, C.2 to C.9). A trace is remembered until the watermark has passed its last span
//! by the horizon; what comes later is judged on its own. What a span may be linked to from another
//! trace is remembered by itself, and longer.

mod account;
mod call;
mod climb;
mod ends;
mod exemplars;
mod forget;
mod gather;
mod judge;
mod links;
mod span;
#[cfg(test)]
pub(crate) mod tests;
mod traces;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use portolan_model::{Barrier, EntityId, Ip, Nanos, SpanBatch, Window, WindowLen};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::directory::Directory;
use crate::naming::{Names, Naming};
use crate::resolver::Strangers;
use crate::{Deltas, LineConfig, Restored, tally};

use call::{Rows, difference};
use ends::Ends;
use exemplars::Exemplars;
use forget::Settled;
use gather::{Pools, Reader};
use judge::{Judge, Rules};
use links::Links;
use span::{Role, Span};
use traces::{Trace, Traces, name_the_nameless};

/// Traces that are brought near together before they are worked with.
const WARM: usize = 32;

/// See the module.
pub struct SpanLinker {
    window: WindowLen,
    rules: Rules,
    horizon: Nanos,
    tolerance: Nanos,
    max_spans: usize,
    max_links: usize,
    environment: Arc<str>,
    pools: Pools,
    links: Links,
    exemplars: Exemplars,
    traces: Traces,
    /// Traces to judge at the barrier.
    touched: Vec<u128>,
    /// When traces are looked at: each under the window that it says, and maybe under later ones that it said before.
    by_window: BTreeMap<Window, Vec<u128>>,
    /// When a trace with a half that waits is to be judged again.
    due: BinaryHeap<Reverse<(Nanos, u128)>>,
    /// Lowest offset by partition that a window has spans from.
    reread: BTreeMap<Window, FxHashMap<u32, i64>>,
    /// Empty between barriers; its memory is kept.
    rows: Rows,
    /// Traces that lose a part at the end of a judgement.
    settled: BTreeMap<u128, Settled>,
    /// What is read again was offered to be kept before the restart.
    rebuilding: bool,
    /// How many spans are remembered.
    spans: usize,
    /// Traces whose last span ended before this window are forgotten.
    folded: Window,
    tally: Tallies,
}

/// What the linker counts of itself in an epoch.
#[derive(Default)]
struct Tallies {
    duplicates: i64,
    late: i64,
    folded_early: i64,
    halves_folded_early: i64,
    links_missing: i64,
    links_folded_early: i64,
}

/// Whose owner may be another one since the last barrier.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// These addresses.
    pub(crate) ips: FxHashSet<Ip>,
    /// And any other: a range has, or nobody watched for a while.
    pub(crate) any: bool,
}

/// What whoever names ends at a barrier shares.
pub(crate) struct Known<'a> {
    pub(crate) names: &'a mut Names,
    pub(crate) directory: &'a Directory,
    pub(crate) moved: &'a Moved,
    pub(crate) strangers: &'a mut Strangers,
    /// Names that made room for others at this barrier.
    pub(crate) displaced: FxHashSet<EntityId>,
}

// === impl Known ===

impl Known<'_> {
    pub(crate) fn naming(&mut self, tolerance: Nanos) -> Naming<'_> {
        let Self { names, directory, strangers, .. } = self;
        Naming { names, directory, strangers, tolerance }
    }
}

// === impl SpanLinker ===

impl SpanLinker {
    /// A linker that remembers no span yet.
    pub fn new(config: &LineConfig, restored: &Restored) -> Self {
        let traces = &config.traces;
        let secs = |secs: u32| Nanos::from(secs) * 1_000_000_000;
        Self {
            window: config.window,
            rules: Rules {
                half: secs(traces.wait_secs),
                database: secs(traces.database_wait_secs),
                strict: traces.strict,
            },
            horizon: secs(traces.horizon_secs),
            tolerance: Nanos::from(config.clock_tolerance_ms) * 1_000_000,
            max_spans: traces.max_spans,
            max_links: traces.max_links,
            environment: config.environment.as_str().into(),
            pools: Pools::new(),
            links: Links::new(secs(traces.link_secs), traces.all_links),
            exemplars: Exemplars::new(traces.max_exemplars, &restored.traces),
            traces: Traces::default(),
            touched: Vec::new(),
            by_window: BTreeMap::new(),
            due: BinaryHeap::new(),
            reread: BTreeMap::new(),
            rows: Rows::default(),
            settled: BTreeMap::new(),
            rebuilding: false,
            spans: 0,
            folded: Window(0),
            tally: Tallies::default(),
        }
    }

    /// How many spans are remembered.
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// Takes spans in.
    pub fn gather(&mut self, batch: &SpanBatch) {
        let columns = &batch.spans;
        let reader = Reader::new(columns, &mut self.pools, &self.environment, batch.scope);
        let spans = reader.spans();
        let mut seen = None;
        for (place, (row, span)) in columns.rows().iter().zip(spans).enumerate() {
            if place % WARM == 0 {
                self.warm(columns.rows()[place..].iter().take(WARM).map(|row| row.trace.0));
            }
            let window = self.window.window(span.end);
            if seen != Some(window) {
                seen = Some(window);
                let offsets = self.reread.entry(window).or_default();
                let lowest = offsets.entry(batch.partition.0).or_insert(batch.first_offset);
                *lowest = batch.first_offset.min(*lowest);
            }
            self.tally.late += i64::from(window < self.folded);
            self.keep(row.trace.0, span, window);
            if columns.links(place).next().is_some() {
                let links = columns.links(place).map(|(trace, span)| (trace.0, span.0));
                self.link(row.trace.0, &span, links);
            }
        }
    }

    /// Reads what working with traces reads first, so that those of a block wait for memory together; the sum is for
    /// the compiler, which must not leave it out.
    fn warm(&self, ids: impl Iterator<Item = u128>) {
        let found: SmallVec<[&Trace; WARM]> = ids.filter_map(|id| self.traces.get(&id)).collect();
        let sum = found.iter().fold(0, |sum, trace| sum ^ trace.warm());
        std::hint::black_box(sum);
    }

    fn keep(&mut self, id: u128, span: Span, window: Window) {
        let trace = self.traces.entry(id).or_default();
        if trace.look_at.is_none_or(|before| window < before) {
            trace.look_at = Some(window);
            self.by_window.entry(window).or_default().push(id);
        }
        trace.push(span);
        self.spans += 1;
        if !trace.touched {
            trace.touched = true;
            self.touched.push(id);
        }
        if self.links.wants((id, span.id), &span) {
            self.links.target((id, span.id), &span, &self.pools);
        }
    }

    fn link(&mut self, trace: u128, from: &Span, links: impl Iterator<Item = (u128, u64)>) {
        if !self.links.takes(from.role) {
            return;
        }
        for to in links {
            self.links.link(to, trace, from, &self.pools);
            if let Some(target) = self.traces.get(&to.0) {
                for span in target.spans.iter().filter(|s| s.id == to.1) {
                    self.links.target(to, span, &self.pools);
                }
            }
            // What a message's maker and who only fetched it come to depends on this link.
            let kin: Vec<u128> = match from.role {
                Role::Process => self.links.kin(to).collect(),
                _ => vec![to.0],
            };
            for trace in kin {
                self.touch(trace);
            }
        }
    }

    fn touch(&mut self, id: u128) {
        if let Some(trace) = self.traces.get_mut(&id)
            && !trace.touched
        {
            trace.touched = true;
            self.touched.push(id);
        }
    }

    /// Ends the epoch: adds what it came to.
    pub(crate) fn barrier(
        &mut self,
        known: &mut Known<'_>,
        barrier: &mut Barrier,
        out: &mut Deltas,
    ) {
        let behind = self.window.window(barrier.watermark.saturating_sub(self.horizon));
        self.folded = self.folded.max(behind);
        self.rebuilding = barrier.rebuild;
        self.touch_due(barrier.watermark);
        self.touch_moved(known.moved);
        let mut leaving = self.leaving();
        if barrier.rebuild {
            // Forgotten before the restart, and maybe not read again whole.
            self.forget(std::mem::take(&mut leaving));
        }
        self.judge_touched(known, barrier.watermark);
        self.offer(&mut leaving);
        self.forget(leaving);
        self.shed(known, barrier.watermark);
        self.tally.links_missing += self.links.forget(self.folded.start(), barrier.watermark);
        self.tally.links_folded_early += self.links.shed(self.max_links);
        self.say_reread(barrier);
        self.sweep(known.names);
        if barrier.rebuild {
            // Counted when it was emitted.
            self.rows.clear();
        } else {
            out.calls.reserve(self.rows.len());
            out.calls.extend(self.rows.drain().map(|(_, row)| row).filter(|row| !row.is_zero()));
            (out.traces, out.traces_gone) = self.exemplars.take_changes();
        }
        tally::tell(self.counts(), barrier);
    }

    /// Halves have waited enough.
    fn touch_due(&mut self, watermark: Nanos) {
        while let Some(Reverse((due, id))) = self.due.peek().copied() {
            if due > watermark {
                break;
            }
            self.due.pop();
            if self.traces.get(&id).is_some_and(|trace| trace.waiting > 0) {
                self.touch(id);
            }
        }
    }

    /// Addresses have other owners.
    fn touch_moved(&mut self, moved: &Moved) {
        if moved.ips.is_empty() && !moved.any {
            return;
        }
        for (id, trace) in &mut self.traces {
            let is_moved = |span: &Span| {
                let ip = self.pools.far.get(span.far).ip;
                !ip.is_none() && (moved.any || moved.ips.contains(&ip))
            };
            if !trace.touched && trace.asked && trace.spans.iter().any(is_moved) {
                trace.touched = true;
                self.touched.push(*id);
            }
        }
    }

    /// Judges what was touched. Names that made room for others meanwhile are told to whoever else
    /// may bear them.
    fn judge_touched(&mut self, known: &mut Known<'_>, watermark: Nanos) {
        loop {
            if known.strangers.may_run_out(self.pools.far.len()) {
                self.touched.sort_unstable();
            }
            for block in std::mem::take(&mut self.touched).chunks(WARM) {
                self.warm(block.iter().copied());
                for id in block {
                    self.judge(*id, known, watermark);
                }
            }
            let mut ends = Ends { naming: known.naming(self.tolerance), pools: &self.pools };
            self.links.judge(self.window, &mut ends, &mut self.rows);
            let displaced = known.names.take_displaced();
            if displaced.is_empty() {
                return self.settle();
            }
            self.touch_naming(&displaced);
            known.displaced.extend(displaced);
        }
    }

    /// Names made room for others: whatever bears one of them is judged again.
    fn touch_naming(&mut self, displaced: &FxHashSet<EntityId>) {
        self.links.touch_naming(displaced);
        for (id, trace) in &mut self.traces {
            let names = |c: &call::Call| {
                let key = &c.key;
                [key.client, key.server, key.operation].iter().any(|id| displaced.contains(id))
            };
            if !trace.touched && trace.emitted.iter().any(names) {
                trace.touched = true;
                self.touched.push(*id);
            }
        }
    }

    /// Judges once more what bears names that metrics have displaced since the barrier.
    pub(crate) fn rename(
        &mut self,
        displaced: &FxHashSet<EntityId>,
        known: &mut Known<'_>,
        watermark: Nanos,
        out: &mut Deltas,
    ) {
        self.touch_naming(displaced);
        self.judge_touched(known, watermark);
        out.calls.extend(self.rows.drain().map(|(_, row)| row).filter(|row| !row.is_zero()));
    }

    /// Judges a trace and emits the difference.
    fn judge(&mut self, id: u128, known: &mut Known<'_>, watermark: Nanos) {
        let quiet = self.quiet();
        let Some(trace) = self.traces.get_mut(&id) else { return };
        trace.touched = false;
        let mut ends = Ends { naming: known.naming(self.tolerance), pools: &self.pools };
        // Of two versions of one span, too: either may have been judged alone.
        for span in trace.fresh() {
            ends.note(span);
        }
        let twice = trace.order(&self.pools);
        self.spans -= twice;
        self.tally.duplicates += twice as i64;
        let mut judge = Judge::new(&mut ends, &self.links, self.window, self.rules, watermark);
        if !trace.may_pause(quiet) {
            judge_run(&mut judge, id, &trace.spans);
            let mut found = judge.found;
            difference(&mut trace.emitted, &mut found.calls, &mut self.rows);
            (trace.waiting, trace.asked) = (found.waiting, found.asked);
            trace.emitted = found.calls;
            self.due.extend(found.due.map(|due| Reverse((due, id))));
            return;
        }
        let (mut all, mut settled) = (Vec::new(), Settled::default());
        (trace.waiting, trace.asked) = (0, false);
        for run in trace.runs(quiet) {
            judge_run(&mut judge, id, &run);
            let found = std::mem::take(&mut judge.found);
            all.extend_from_slice(&found.calls);
            let newest = run.iter().map(|s| s.end).max().unwrap_or(0);
            if self.window.window(newest) < self.folded {
                settled.gone.push(found.calls);
            } else {
                settled.calls.extend(found.calls);
                settled.spans.extend(run);
                trace.waiting += found.waiting;
                trace.asked |= found.asked;
                self.due.extend(found.due.map(|due| Reverse((due, id))));
            }
        }
        difference(&mut trace.emitted, &mut all, &mut self.rows);
        trace.emitted = all;
        self.settled.insert(id, settled);
    }
}

fn judge_run(judge: &mut Judge<'_, '_>, trace: u128, spans: &[Span]) {
    if spans.iter().all(|s| s.who != 0) {
        return judge.trace(trace, spans);
    }
    let mut spans = spans.to_vec();
    name_the_nameless(&mut spans);
    judge.trace(trace, &spans);
}
