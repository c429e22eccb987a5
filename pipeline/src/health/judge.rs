//! The judgement of one window: a pure function of the row before and of what was seen.

use portolan_model::{Health, HealthRow, Latency, Window};

/// What was seen in a window, by the best source.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// What chance is reckoned by: spans, or calls that metrics count one by one.
    pub(super) samples: u64,
    /// How many of them failed.
    pub(super) failed: u64,
    pub(super) latency: Latency,
    /// See [`HealthRow::latency_of`].
    pub(super) latency_of: u8,
}

/// One, in parts per billion.
const ONE: u64 = 1_000_000_000;
/// Fewer samples than this wait for the next windows …
const FEW: u64 = 10;
/// … but no longer than for so many.
const WAITS: u32 = 6;
/// A percentile of fewer durations than this is chance.
const FEW_DURATIONS: i64 = 20;
/// What is usual is known after so many windows (five minutes of base windows), and is the mean of
/// about as many, the later ones weighing more.
const LEARNT: u32 = 30;
/// While it does worse than usual, the usual follows by so much slower: what stays is usual one day.
const SLOWER: u64 = 8;
/// Windows in a row until it is said to do worse, and until it is said to do better again.
const WORSE: u32 = 2;
const BETTER: u32 = 6;
/// Fewer failures than this are chance.
const FEW_ERRORS: u64 = 3;
/// So much more than usual must fail, in parts per billion, and by so many standard errors.
const DEGRADED: u64 = ONE / 50;
const UNHEALTHY: u64 = ONE / 10;
const SIGMAS: f64 = 3.0;
/// Nobody fails as seldom as never: the least that is taken for usual when chance is reckoned.
const RARE: f64 = 0.001;
/// By so many times, and so many ns, the 95th percentile must be over the usual one.
const SLOW: (u64, u64) = (2, 1_000_000);
const VERY_SLOW: (u64, u64) = (5, 5_000_000);

/// Judges a window.
pub(super) fn judge(row: &mut HealthRow, window: Window, seen: &Seen) {
    row.judged = window;
    let mut by_errors = None;
    row.waiting = (row.waiting.0 + seen.samples, row.waiting.1 + seen.failed);
    row.waiting_windows += 1;
    if row.waiting.0 >= FEW || row.waiting_windows >= WAITS {
        let (samples, failed) = std::mem::take(&mut row.waiting);
        row.waiting_windows = 0;
        row.errors = failed.saturating_mul(ONE) / samples.max(1);
        by_errors = Some(of_errors(row, samples, failed));
    }
    if row.latency_of != seen.latency_of {
        (row.latency_of, row.usual_latency, row.latency_learnt) = (seen.latency_of, 0, 0);
    }
    let mut by_latency = None;
    if seen.latency.count() >= FEW_DURATIONS {
        row.latency = seen.latency.quantile(0.95).unwrap_or(0);
        by_latency = Some(of_latency(row));
    }
    // The worse of the two; where neither has enough to say, the window says nothing.
    let Some(level) = by_errors.max(by_latency) else { return };
    if by_errors.is_some() {
        learn(&mut row.usual_errors, row.errors, &mut row.learnt, level);
    }
    if by_latency.is_some() {
        learn(&mut row.usual_latency, row.latency, &mut row.latency_learnt, level);
    }
    turn(row, window, level);
}

/// What the errors say. Until the usual is known, none are usual.
fn of_errors(row: &HealthRow, samples: u64, failed: u64) -> Health {
    let usual = if row.learnt < LEARNT { 0 } else { row.usual_errors };
    let more = row.errors.saturating_sub(usual);
    if failed < FEW_ERRORS || more < DEGRADED {
        return Health::Healthy;
    }
    let part = (usual as f64 / ONE as f64).max(RARE);
    let error = (part * (1.0 - part).max(0.0) / samples as f64).sqrt();
    if more as f64 / (ONE as f64) < SIGMAS * error {
        return Health::Healthy;
    }
    if more < UNHEALTHY { Health::Degraded } else { Health::Unhealthy }
}

/// What the latency says. Until the usual is known, nothing.
fn of_latency(row: &HealthRow) -> Health {
    if row.latency_learnt < LEARNT {
        return Health::Healthy;
    }
    let over = |(times, by): (u64, u64)| {
        row.latency >= row.usual_latency.saturating_mul(times)
            && row.latency >= row.usual_latency.saturating_add(by)
    };
    match (over(VERY_SLOW), over(SLOW)) {
        (true, _) => Health::Unhealthy,
        (_, true) => Health::Degraded,
        _ => Health::Healthy,
    }
}

/// Moves the usual towards what was seen.
fn learn(usual: &mut u64, seen: u64, learnt: &mut u32, level: Health) {
    let known = *learnt >= LEARNT;
    let by = if known && level > Health::Healthy {
        u64::from(LEARNT) * SLOWER
    } else {
        u64::from(*learnt + 1).min(u64::from(LEARNT))
    };
    if seen >= *usual {
        *usual += (seen - *usual) / by;
    } else {
        *usual -= (*usual - seen) / by;
    }
    *learnt = (*learnt + 1).min(LEARNT);
}

/// Turns to another state once enough windows in a row say so.
fn turn(row: &mut HealthRow, window: Window, level: Health) {
    let way = level.cmp(&row.state);
    if way.is_eq() {
        (row.leaning, row.streak) = (row.state, 0);
        return;
    }
    let goes_on = row.streak > 0 && row.leaning.cmp(&row.state) == way;
    row.streak = if goes_on { row.streak + 1 } else { 1 };
    // The nearest to the state of all that was said.
    row.leaning = match goes_on {
        false => level,
        true if way.is_gt() => level.min(row.leaning),
        true => level.max(row.leaning),
    };
    let needed = if way.is_gt() { WORSE } else { BETTER };
    if row.streak >= needed {
        (row.state, row.since) = (row.leaning, window);
        row.streak = 0;
    }
}
