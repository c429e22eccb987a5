//! From what was counted in a stretch of time to rows of windows.

use portolan_model::{
    CallDelta, CallKey, CallMeasure, Latency, MetricWhat, Nanos, Outcome, Window, WindowLen,
};
use rustc_hash::FxHashMap;

use super::series::{Label, Told};

/// Rows of an epoch.
pub(super) type Rows = FxHashMap<CallKey, CallDelta>;

/// Adds a stretch to its rows, or takes it away. What was counted in a stretch over several windows is
/// divided by time, whole calls where calls are whole: a metric says that they happened, not when.
pub(super) fn count(told: &Told, label: &Label, sign: i64, len: WindowLen, out: &mut Rows) {
    let counted = told.counted();
    let (begin, end) = (told.begin, told.point.time);
    let unit = if counted.count % 1_000 == 0 { 1_000 } else { 1 };
    let mut before = Share::default();
    for (window, upto) in windows(len, begin, end) {
        let share = |of: i64| part(of, upto - begin, end - begin);
        let now = Share {
            count: share(counted.count / unit) * unit,
            sum: counted.sum.map_or(0, share),
            took: counted.took.iter().map(|(_, n)| share(*n)).collect(),
        };
        let key = told.key(label, window);
        let mut row = CallDelta::new(key);
        let took = counted.took.iter().zip(&now.took).enumerate();
        let took = took
            .map(|(at, ((bucket, _), n))| (*bucket, n - before.took.get(at).copied().unwrap_or(0)));
        let took: Vec<(u16, i64)> = took.filter(|(_, n)| *n != 0).collect();
        put(&mut row, told, label, now.count - before.count, now.sum - before.sum, &took);
        before = now;
        if row.is_zero() {
            continue;
        }
        (row.first_ns, row.last_ns) = (begin.max(window.start()).min(upto), upto);
        let sum = out.entry(key).or_insert_with(|| CallDelta::new(key));
        if sign > 0 {
            sum.merge(&row);
        } else {
            sum.counters.subtract(&row.counters);
            sum.client.subtract(&row.client);
            sum.server.subtract(&row.server);
        }
    }
}

/// What was counted up to a moment of a stretch.
#[derive(Default)]
struct Share {
    count: i64,
    sum: i64,
    took: Vec<i64>,
}

fn put(row: &mut CallDelta, told: &Told, label: &Label, count: i64, sum: i64, took: &[(u16, i64)]) {
    use CallMeasure as M;
    let sums = &mut row.counters;
    let has = |bit| label.outcome.has(bit);
    if told.counts {
        match label.what {
            MetricWhat::Calls => {
                sums[M::CallsMilli] = count;
                if has(Outcome::FAILED) {
                    failed(sums, label, count);
                }
                for (bit, measure) in [
                    (Outcome::STATUS_4XX, M::Status4xxMilli),
                    (Outcome::STATUS_5XX, M::Status5xxMilli),
                    (Outcome::RETRY, M::RetriesMilli),
                ] {
                    if has(bit) {
                        sums[measure] = count;
                    }
                }
            }
            MetricWhat::Errors => failed(sums, label, count),
            MetricWhat::BytesSent => sums[M::BytesSent] = sum,
            MetricWhat::BytesReceived => sums[M::BytesReceived] = sum,
            MetricWhat::Presence => {}
        }
    }
    if told.times && label.what == MetricWhat::Calls && !took.is_empty() {
        let latency = Latency::from_parts(took.iter().copied(), sum);
        *(if label.by_server { &mut row.server } else { &mut row.client }) = latency;
    }
    let is_there = !row.is_zero() || (label.what == MetricWhat::Presence && count > 0);
    let sums = &mut row.counters;
    if is_there && told.names.whole {
        sums[M::Raw] = 1;
    } else if is_there && told.counts && label.what == MetricWhat::Calls {
        // Nobody is at the other end: it says how much is missing, and is no edge.
        let alone = if label.by_server { M::UnpairedServer } else { M::UnpairedClient };
        sums[alone] = count / 1_000;
    }
}

fn failed(sums: &mut portolan_model::CallCounters, label: &Label, count: i64) {
    let by = if label.by_server {
        CallMeasure::ServerErrorsMilli
    } else {
        CallMeasure::ClientErrorsMilli
    };
    sums[CallMeasure::ErrorsMilli] = count;
    sums[by] = count;
}

/// The part of a whole that the first `upto` of `all` nanoseconds have, rounded down; so the parts of
/// all windows add up to the whole.
fn part(whole: i64, upto: Nanos, all: Nanos) -> i64 {
    if all == 0 {
        return whole;
    }
    let share = i128::from(whole) * i128::from(upto) / i128::from(all);
    share as i64
}

/// The windows of a stretch, each with the moment up to which it has a part of it.
fn windows(len: WindowLen, begin: Nanos, end: Nanos) -> impl Iterator<Item = (Window, Nanos)> {
    let mut next = Some(len.window(begin));
    std::iter::from_fn(move || {
        let window = next?;
        let after = window.next(len);
        // What ends at the first moment of a window has no part in it.
        let is_last = end <= after.start();
        next = (!is_last).then_some(after);
        Some((window, if is_last { end } else { after.start() }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn parts_of_a_stretch_add_up_to_the_whole() {
        let len = WindowLen::BASE;
        for (begin, end) in [(3, 63), (0, 10), (7, 7), (10, 10), (9, 11), (0, 300)] {
            let (begin, end) = (begin * SECOND, end * SECOND);
            let parts: Vec<_> = windows(len, begin, end).collect();
            assert_eq!(parts.last().map(|(_, upto)| *upto), Some(end));
            let shares = parts.iter().map(|(_, upto)| part(7, upto - begin, end - begin));
            assert!(shares.clone().is_sorted(), "no part is negative");
            assert_eq!(shares.max(), Some(7));
        }
        let of = |begin: u64, end: u64| windows(len, begin * SECOND, end * SECOND).count();
        assert_eq!((of(0, 10), of(0, 11), of(9, 11), of(10, 10)), (1, 2, 2, 1));
    }
}
