//! Which tests an edge is put to, and what of them stands when all are made.

use super::side::{CallTally, EdgeTally, Ends};
use super::significance::{Tally, cutoff, means_differ, rates_differ};
use super::{Change, Diff, DiffEdge, Thresholds, What, Which};
use portolan_model::CallSource;

/// Makes tests, and remembers all that it made.
pub(super) struct Judge<'a> {
    thresholds: &'a Thresholds,
    /// Seconds of the two sides.
    secs: (f64, f64),
    tests: Vec<f64>,
    unjudged: u64,
}

/// What may be said of an edge, if it is no chance.
pub(super) struct Candidate {
    ends: Ends,
    which: Which,
    /// The test of its coming or going; nothing if there is none to make.
    presence: Option<f64>,
    changes: Vec<Change>,
}

// === impl Judge ===

impl<'a> Judge<'a> {
    pub(super) fn new(thresholds: &'a Thresholds, secs: (f64, f64)) -> Self {
        Self { thresholds, secs, tests: Vec::new(), unjudged: 0 }
    }

    /// Puts an edge to its tests. Nothing if there is nothing to say of it, whatever they come to.
    pub(super) fn edge(
        &mut self,
        ends: Ends,
        which: Which,
        sides: (Option<&EdgeTally>, Option<&EdgeTally>),
    ) -> Option<Candidate> {
        let (presence, changes) = match (which, sides) {
            (Which::Changed, (Some(before), Some(after))) => (None, self.changes(before, after)),
            (Which::Removed, (Some(seen), _)) => (self.presence(seen, self.secs.1), Vec::new()),
            (Which::Added { .. }, (_, Some(seen))) => {
                (self.presence(seen, self.secs.0), Vec::new())
            }
            _ => (None, Vec::new()),
        };
        let new = which == Which::Added { new: true };
        let said = new || presence.is_some() || !changes.is_empty();
        said.then_some(Candidate { ends, which, presence, changes })
    }

    /// What stands when all tests are made.
    pub(super) fn settle(self, candidates: Vec<Candidate>) -> Diff {
        let tests = self.tests.len() as u64;
        let cutoff = cutoff(self.tests, self.thresholds.false_discoveries);
        let mut found = Diff { tests, unjudged: self.unjudged, ..Diff::default() };
        for Candidate { ends, which, presence, mut changes } in candidates {
            let all = changes.len();
            changes.retain(|change| change.p <= cutoff);
            changes.sort_by(|a, b| a.p.total_cmp(&b.p).then(a.what.cmp(&b.what)));
            found.by_chance += (all - changes.len()) as u64;
            let stands = match which {
                Which::Changed => !changes.is_empty(),
                // What was never seen before is a fact, and no matter of chance.
                Which::Added { new: true } => true,
                _ => presence.is_some_and(|p| p <= cutoff),
            };
            if stands {
                let p = changes.first().map(|change| change.p).or(presence).unwrap_or(0.0);
                let edge = DiffEdge { ends, which, before: None, after: None, changes, p };
                found.edges.push(edge);
            } else if which != Which::Changed {
                found.by_chance += 1;
            }
        }
        found.edges.sort_by(|a, b| {
            let rank = |edge: &DiffEdge| match edge.which {
                Which::Added { .. } => 0,
                Which::Removed => 1,
                Which::Changed => 2,
            };
            rank(a).cmp(&rank(b)).then(a.p.total_cmp(&b.p)).then(a.ends.cmp(&b.ends))
        });
        found
    }

    /// Whether an edge that one side has alone could have been silent in the other, for so many seconds,
    /// by chance: by calls, where there are any, else by connections, else by flow records.
    fn presence(&mut self, seen: &EdgeTally, silent_secs: f64) -> Option<f64> {
        let calls = seen.calls.iter().map(|(_, tally)| tally.calls);
        let busiest = calls.max_by(|a, b| a.sum.total_cmp(&b.sum));
        let tally = busiest
            .filter(|calls| calls.sum > 0.0)
            .or(Some(seen.connections).filter(|connections| connections.sum > 0.0))
            .unwrap_or(seen.flows);
        let silent = Tally::silent(silent_secs);
        self.test(rates_differ(&tally, &silent))
    }

    fn changes(&mut self, before: &EdgeTally, after: &EdgeTally) -> Vec<Change> {
        let mut found = Vec::new();
        found.extend(self.rate(What::Connections, &before.connections, &after.connections));
        found.extend(self.rate(What::Bytes, &before.bytes, &after.bytes));
        found.extend(self.part(
            What::Failed,
            &before.failed,
            &after.failed,
            self.thresholds.errors,
        ));
        let common = |of: fn(&CallTally) -> bool| {
            let in_both = |(source, tally): &&(CallSource, CallTally)| {
                of(tally) && after.of(*source).is_some_and(of)
            };
            let best = before.calls.iter().filter(in_both).min_by_key(|(source, _)| *source);
            best.and_then(|(source, tally)| Some((*source, tally, after.of(*source)?)))
        };
        if let Some((source, a, b)) = common(|tally| tally.calls.sum > 0.0) {
            found.extend(self.rate(What::Calls(source), &a.calls, &b.calls));
            let least = self.thresholds.errors;
            found.extend(self.part(What::Errors(source), &a.errors, &b.errors, least));
        }
        if let Some((source, a, b)) = common(|tally| tally.p50.mean() > 0.0) {
            found.extend(self.latency(What::P50(source), a, b));
            found.extend(self.latency(What::P99(source), a, b));
        }
        found.extend(self.paths(before, after));
        found
    }

    fn rate(&mut self, what: What, a: &Tally, b: &Tally) -> Option<Change> {
        if a.sum + b.sum <= 0.0 {
            return None;
        }
        let p = self.test(rates_differ(a, b))?;
        let (low, high) = (a.rate().min(b.rate()), a.rate().max(b.rate()));
        let far = high >= low * self.thresholds.ratio && a.sum.max(b.sum) >= self.thresholds.events;
        far.then_some(Change { what, before: a.rate(), after: b.rate(), p, hops: Vec::new() })
    }

    /// A part of a whole. It is judged as a Poisson count: for parts near 1 that errs to the side of chance.
    fn part(&mut self, what: What, a: &Tally, b: &Tally, least: f64) -> Option<Change> {
        if a.exposure <= 0.0 || b.exposure <= 0.0 || a.sum + b.sum <= 0.0 {
            return None;
        }
        let p = self.test(rates_differ(a, b))?;
        let far = (a.rate() - b.rate()).abs() >= least;
        far.then_some(Change { what, before: a.rate(), after: b.rate(), p, hops: Vec::new() })
    }

    fn latency(&mut self, what: What, a: &CallTally, b: &CallTally) -> Option<Change> {
        let (a, b) = match what {
            What::P99(_) => (&a.p99, &b.p99),
            _ => (&a.p50, &b.p50),
        };
        let p = self.test(means_differ(a, b))?;
        let far = (a.mean() - b.mean()).abs() >= self.thresholds.latency.ln();
        let micros = |log: f64| log.exp() / 1e3;
        let (before, after) = (micros(a.mean()), micros(b.mean()));
        far.then_some(Change { what, before, after, p, hops: Vec::new() })
    }

    fn paths(&mut self, before: &EdgeTally, after: &EdgeTally) -> Vec<Change> {
        let mut all: Vec<&Vec<_>> =
            before.paths.iter().chain(&after.paths).map(|(hops, _)| hops).collect();
        all.sort_unstable();
        all.dedup();
        let mut found = Vec::new();
        for hops in all {
            let of = |side: &EdgeTally| {
                let none = Tally::silent(side.flows.sum);
                side.path(hops).copied().unwrap_or(none)
            };
            let change = self.part(What::Path, &of(before), &of(after), self.thresholds.share);
            found.extend(change.map(|change| Change { hops: hops.clone(), ..change }));
        }
        found
    }

    /// Remembers a test; one that could not be made is counted.
    fn test(&mut self, p: Option<f64>) -> Option<f64> {
        match p {
            Some(p) => self.tests.push(p),
            None => self.unjudged += 1,
        }
        p
    }
}
