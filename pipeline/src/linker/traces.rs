//! Traces that are remembered, and which spans of one belong together.

use portolan_model::{Nanos, Window};
use rustc_hash::FxHashMap;

use super::call::Call;
use super::climb;
use super::gather::Pools;
use super::span::{Role, Span};

/// A trace.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) spans: Vec<Span>,
    /// What it counts for, as told last.
    pub(super) emitted: Vec<Call>,
    /// It is on the list of those to judge.
    pub(super) touched: bool,
    /// The window under which it is listed to be looked at.
    pub(super) look_at: Option<Window>,
    /// Naming its ends asked the directory.
    pub(super) asked: bool,
    /// Halves that wait for their counterpart, when it was judged last.
    pub(super) waiting: usize,
    /// How many spans are in order, and known to differ.
    ordered: usize,
    /// The first and the last end of its spans.
    oldest: Nanos,
    newest: Nanos,
}

/// Traces by id.
pub(super) type Traces = FxHashMap<u128, Trace>;

// === impl Trace ===

impl Trace {
    /// Takes a span in.
    pub(super) fn push(&mut self, span: Span) {
        if self.spans.is_empty() {
            (self.oldest, self.newest) = (span.end, span.end);
        }
        self.oldest = self.oldest.min(span.end);
        self.newest = self.newest.max(span.end);
        self.spans.push(span);
    }

    /// Its first and its last span, and what it counts for; the sum is for the compiler.
    pub(super) fn warm(&self) -> u64 {
        let ends = self.spans.first().zip(self.spans.last()).map_or(0, |(a, b)| a.id ^ b.id);
        ends ^ self.emitted.first().map_or(0, |call| call.first)
    }

    /// When its last span ended.
    pub(super) fn newest(&self) -> Nanos {
        self.newest
    }

    /// When its first span ended.
    pub(super) fn oldest(&self) -> Nanos {
        self.oldest
    }

    /// Puts the spans in order of their ids, and drops those that came more than once: how many.
    pub(super) fn order(&mut self, pools: &Pools) -> usize {
        if self.ordered == self.spans.len() {
            return 0;
        }
        let service = |s: &Span| pools.services.get(s.who).id;
        self.spans.sort_by(|a, b| {
            (a.id, a.role)
                .cmp(&(b.id, b.role))
                .then_with(|| service(a).cmp(&service(b)))
                .then_with(|| rest(a, b, pools))
        });
        let before = self.spans.len();
        // Of two versions of one span the later in this order stays: the first is the greater.
        self.spans.dedup_by(|b, a| a.id == b.id && a.role == b.role && a.who == b.who);
        self.ordered = self.spans.len();
        before - self.spans.len()
    }

    /// What came since it was put in order.
    pub(super) fn fresh(&self) -> &[Span] {
        &self.spans[self.ordered..]
    }

    /// Whether it is silent for longer than `quiet` somewhere; see [`Self::runs`].
    pub(super) fn may_pause(&self, quiet: Nanos) -> bool {
        self.newest - self.oldest > quiet
    }

    /// The spans in runs: a trace that is silent for longer than `quiet` goes on as another. So what
    /// was forgotten, and what a restart reads again of it, never changes what comes later.
    pub(super) fn runs(&self, quiet: Nanos) -> Vec<Vec<Span>> {
        let mut by_end = self.spans.clone();
        by_end.sort_by_key(|s| s.end);
        let mut runs: Vec<Vec<Span>> = Vec::new();
        let mut last = None;
        for span in by_end {
            if last.is_none_or(|last: Nanos| span.end - last > quiet) {
                runs.push(Vec::new());
            }
            last = Some(span.end);
            runs.last_mut().expect("one was just pushed").push(span);
        }
        // The order of ids among equals is that of the whole.
        let place: FxHashMap<(u64, Role, u32), usize> =
            self.spans.iter().enumerate().map(|(at, s)| ((s.id, s.role, s.who), at)).collect();
        for run in &mut runs {
            run.sort_unstable_by_key(|s| place[&(s.id, s.role, s.who)]);
        }
        runs
    }

    /// Keeps only these spans, which are in order.
    pub(super) fn keep(&mut self, spans: Vec<Span>) {
        self.ordered = spans.len();
        self.oldest = spans.iter().map(|s| s.end).min().unwrap_or(0);
        self.newest = spans.iter().map(|s| s.end).max().unwrap_or(0);
        self.spans = spans;
    }
}

/// The order of two versions of one span: by what they say, never by number.
pub(super) fn rest(a: &Span, b: &Span, pools: &Pools) -> std::cmp::Ordering {
    let plain = |s: &Span| (s.start, s.end, s.parent, s.weight, s.marks, s.protocol as u8);
    let texts = |s: &Span| (pools.far.get(s.far), pools.operations.get(s.operation));
    plain(b).cmp(&plain(a)).then_with(|| texts(b).cmp(&texts(a)))
}

/// How often names are handed down: a chain of more spans without one is left as it is.
const HAND_DOWN: usize = 16;

/// Gives spans that nobody named the service of the span above them: Zipkin's clients may leave
/// themselves out. What has no name then has no role. What they name as an operation is left out:
/// whose it is may be another's as soon as more of the trace is there.
pub(super) fn name_the_nameless(spans: &mut [Span]) {
    for _ in 0..HAND_DOWN {
        let nameless = spans.iter().enumerate().filter(|(_, s)| s.who == 0);
        let above = |s: &Span| climb::parent(spans, s).map(|at| spans[at].who);
        let named: Vec<(usize, u32)> = nameless
            .filter_map(|(at, s)| above(s).filter(|who| *who != 0).map(|who| (at, who)))
            .collect();
        if named.is_empty() {
            break;
        }
        for (at, who) in named {
            (spans[at].who, spans[at].operation) = (who, 0);
        }
    }
    spans.iter_mut().filter(|s| s.who == 0).for_each(|s| s.role = Role::Inner);
}
