//! The naive pairing: what the accepted spans come to, by code that shares nothing with the linker. It knows which
//! spans came in which epoch, and judges them all at once.
//!
//! What the order of arrival decides by specification, and is followed here: a trace is known until the watermark has
//! passed its last span by the horizon, and what comes later is judged by itself; one that falls silent for half of the
//! horizon goes on as another.

use std::collections::BTreeMap;

use portolan_model::{CallDelta, CallKey, EntityId, EpochCommit, Layer, Nanos, SpanKind, Window};
use portolan_pipeline::LineConfig;

use super::replay::{differ, is_lost};
use super::untimed_call;
use crate::broker::{Log, Payload};
use crate::world::trace::Said;
use crate::world::{Fleet, SECOND};

mod judge;

use judge::{Judge, queued};

/// What the pairing comes to.
#[derive(Default)]
pub(crate) struct Paired {
    pub(crate) rows: BTreeMap<CallKey, CallDelta>,
    /// Spans that were known already, that came after their window was forgotten, and links to what never came.
    duplicates: i64,
    late: i64,
    missing: i64,
}

/// What is linked to, and what links to it.
#[derive(Default)]
struct Target {
    to: Option<Said>,
    from: Vec<Said>,
}

/// What is known in some epoch.
struct Known<'a> {
    fleet: &'a Fleet,
    line: &'a LineConfig,
    traces: BTreeMap<u128, Vec<Said>>,
    targets: BTreeMap<(u128, u64), Target>,
    /// Windows before this one are forgotten.
    folded: Window,
    watermark: Nanos,
    paired: Paired,
}

/// Pairs all spans that the commits cover.
pub(crate) fn pair(
    fleet: &Fleet,
    logs: &[Log],
    begin: &BTreeMap<usize, i64>,
    history: &[EpochCommit],
    line: &LineConfig,
) -> Paired {
    let mut next = begin.clone();
    let mut known = Known {
        fleet,
        line,
        traces: BTreeMap::new(),
        targets: BTreeMap::new(),
        folded: Window(0),
        watermark: 0,
        paired: Paired::default(),
    };
    for commit in history {
        for position in &commit.positions {
            let Some(at) = logs.iter().position(|l| l.name == position.partition) else { continue };
            let from = next.insert(at, position.next).unwrap_or(0);
            for message in logs[at].within(from, position.next) {
                let Payload::Spans(spans) = &message.payload else { continue };
                if !is_lost(commit, &logs[at].name, message.offset) {
                    for span in spans {
                        known.take(span);
                    }
                }
            }
        }
        known.end_epoch(commit.watermark);
    }
    known.end()
}

/// Holds the rows of a store, and what the commits counted, against the pairing. `apart` says whether operations are to
/// be told apart.
pub(crate) fn check(
    paired: &Paired,
    stored: &[CallDelta],
    history: &[EpochCommit],
    apart: bool,
    judged: impl Fn(Window) -> bool,
) -> Result<(), String> {
    let should = plain(paired.rows.values().filter(|row| judged(row.key.window)), apart);
    let is = plain(stored.iter().filter(|row| judged(row.key.window)), apart);
    differ("calls", &should, &is)?;
    for (name, should) in [
        ("spans_duplicate", paired.duplicates),
        ("spans_late", paired.late),
        ("span_links_missing", paired.missing),
    ] {
        let tallies = history.iter().flat_map(|commit| &commit.tallies);
        let is: i64 = tallies.filter(|(n, _)| **n == *name).map(|(_, count)| count).sum();
        if should != is {
            return Err(format!("{name} should be {should} and is {is}"));
        }
    }
    Ok(())
}

/// Rows without their times, and without operations where these are not told apart.
fn plain<'a>(rows: impl Iterator<Item = &'a CallDelta>, apart: bool) -> Vec<CallDelta> {
    let mut sums: BTreeMap<CallKey, CallDelta> = BTreeMap::new();
    for row in rows.filter(|row| row.key.source.layer() == Layer::Trace) {
        let mut row = untimed_call(row);
        if !apart {
            row.key.operation = EntityId::NONE;
        }
        sums.entry(row.key).and_modify(|sum| sum.merge(&row)).or_insert(row);
    }
    sums.into_values().collect()
}

// === impl Known ===

impl Known<'_> {
    fn take(&mut self, span: &Said) {
        let paired = &mut self.paired;
        paired.late += i64::from(self.line.window.window(span.end) < self.folded);
        let spans = self.traces.entry(span.trace).or_default();
        if spans.contains(span) {
            paired.duplicates += 1;
        } else {
            spans.push(span.clone());
        }
        if span.kind == SpanKind::Producer {
            self.targets.entry((span.trace, span.id)).or_default().to = Some(span.clone());
        }
        if let Some(to) = span.link {
            let target = self.targets.entry(to).or_default();
            // What is linked to may be forgotten as such, and its trace not yet.
            if let Some(known) =
                self.traces.get(&to.0).and_then(|s| s.iter().find(|s| s.id == to.1))
            {
                target.to = Some(known.clone());
            }
            if !target.from.contains(span) {
                target.from.push(span.clone());
            }
        }
    }

    /// The watermark moves, and what it has passed is judged for good.
    fn end_epoch(&mut self, watermark: Nanos) {
        let window = self.line.window;
        let horizon = Nanos::from(self.line.traces.horizon_secs) * SECOND;
        self.watermark = watermark;
        self.folded = self.folded.max(window.window(watermark.saturating_sub(horizon)));
        for (trace, spans) in std::mem::take(&mut self.traces) {
            for run in runs(spans, horizon / 2) {
                let newest = run.iter().map(|span| span.end).max().unwrap_or(0);
                if window.window(newest) < self.folded {
                    self.judge(&run);
                } else {
                    self.traces.entry(trace).or_default().extend(run);
                }
            }
        }
        let (ttl, folded) = (self.ttl(), self.folded.start());
        let keeps = |target: &Target| match &target.to {
            Some(to) if to.end + ttl >= folded => true,
            _ => target.from.iter().any(|from| from.end >= folded),
        };
        for (place, target) in std::mem::take(&mut self.targets) {
            if keeps(&target) {
                self.targets.insert(place, target);
                continue;
            }
            let found = self.link(&target);
            self.paired.missing += (target.from.len() - found) as i64;
        }
    }

    fn end(mut self) -> Paired {
        let horizon = Nanos::from(self.line.traces.horizon_secs) * SECOND;
        for spans in std::mem::take(&mut self.traces).into_values() {
            for run in runs(spans, horizon / 2) {
                self.judge(&run);
            }
        }
        for target in std::mem::take(&mut self.targets).into_values() {
            self.link(&target);
        }
        self.paired.rows.retain(|_, row| !row.is_zero());
        self.paired
    }

    fn judge(&mut self, spans: &[Said]) {
        let Self { fleet, line, watermark, .. } = *self;
        let judge = Judge { fleet, window: line.window, traces: &line.traces, watermark, spans };
        judge.judge(&mut |call| self.paired.add(&call));
    }

    /// The calls to what is linked to: how many.
    fn link(&mut self, target: &Target) -> usize {
        let Some(to) = &target.to else { return 0 };
        let near = target.from.iter().filter(|from| from.start <= to.end + self.ttl());
        let calls: Vec<_> = near.map(|from| queued(self.line.window, to, from, true)).collect();
        for call in &calls {
            self.paired.add(call);
        }
        calls.len()
    }

    fn ttl(&self) -> Nanos {
        Nanos::from(self.line.traces.link_secs) * SECOND
    }
}

/// Spans by silences longer than `quiet` between their ends.
fn runs(mut spans: Vec<Said>, quiet: Nanos) -> Vec<Vec<Said>> {
    spans.sort_by_key(|span| span.end);
    let runs = spans.chunk_by(|a, b| b.end - a.end <= quiet);
    runs.map(<[Said]>::to_vec).collect()
}

// === impl Paired ===

impl Paired {
    fn add(&mut self, call: &CallDelta) {
        self.rows.entry(call.key).or_insert_with(|| CallDelta::new(call.key)).merge(call);
    }
}
