//! What the store must hold, worked out without any of the troubles.

use std::collections::BTreeMap;

use portolan_model::{
    CallDelta, CallKey, EdgeDelta, EdgeKey, EpochCommit, PathDelta, Window, WindowLen,
};

pub(crate) mod calls;
pub(crate) mod fold;
pub(crate) mod metrics;
pub(crate) mod replay;

/// What the commits add up to, in the windows from `expired` on. A row that came to nothing is gone,
/// and begins anew.
pub(crate) fn sum(history: &[EpochCommit], expired: Window) -> (Vec<EdgeDelta>, Vec<PathDelta>) {
    let (mut edges, mut paths) = (BTreeMap::new(), BTreeMap::new());
    for commit in history {
        for row in &commit.edges {
            let sum = edges.entry(row.key).and_modify(|s: &mut EdgeDelta| s.merge(row));
            if sum.or_insert(*row).counters.is_zero() {
                edges.remove(&row.key);
            }
        }
        for row in &commit.paths {
            let sum = paths.entry(row.key.clone()).and_modify(|s: &mut PathDelta| s.merge(row));
            if sum.or_insert_with(|| row.clone()).counters.is_zero() {
                paths.remove(&row.key);
            }
        }
    }
    let edges = edges.into_values().filter(|r| r.key.window >= expired);
    let paths = paths.into_values().filter(|r| r.key.window >= expired);
    (edges.collect(), paths.collect())
}

/// The same of calls.
pub(crate) fn sum_calls(history: &[EpochCommit], expired: Window) -> Vec<CallDelta> {
    let mut calls = BTreeMap::new();
    for row in history.iter().flat_map(|commit| &commit.calls) {
        let sum = calls.entry(row.key).and_modify(|s: &mut CallDelta| s.merge(row));
        if sum.or_insert_with(|| row.clone()).is_zero() {
            calls.remove(&row.key);
        }
    }
    calls.into_values().filter(|r| r.key.window >= expired).collect()
}

/// Holds the calls of a store against what the commits add up to. A row that came to nothing in between keeps its first
/// times where they are packed already, and is then wider.
pub(crate) fn same_calls(should: &[CallDelta], is: &[CallDelta]) -> Result<(), String> {
    let untimed = |rows: &[CallDelta]| rows.iter().map(untimed_call).collect::<Vec<_>>();
    replay::differ("calls of the store", &untimed(should), &untimed(is))?;
    let wide =
        |(a, b): &(&CallDelta, &CallDelta)| b.first_ns <= a.first_ns && b.last_ns >= a.last_ns;
    match should.iter().zip(is).find(|pair| !wide(pair)) {
        Some((a, b)) => Err(format!("times of {:?}: should be {a:?}\n  is        {b:?}", a.key)),
        None => Ok(()),
    }
}

/// What the commits add up to in windows of this length, without times: a row that came to nothing in between may
/// keep its first ones.
pub(crate) fn windows(history: &[EpochCommit], len: WindowLen) -> BTreeMap<Window, Vec<EdgeDelta>> {
    let mut sums: BTreeMap<EdgeKey, EdgeDelta> = BTreeMap::new();
    for row in history.iter().flat_map(|commit| &commit.edges) {
        let key = EdgeKey { window: len.window(row.key.window.start()), ..row.key };
        let row = untimed(&EdgeDelta { key, ..*row });
        sums.entry(key).and_modify(|sum| sum.merge(&row)).or_insert(row);
    }
    let mut windows: BTreeMap<Window, Vec<EdgeDelta>> = BTreeMap::new();
    for sum in sums.into_values() {
        let window = windows.entry(sum.key.window).or_default();
        window.extend((!sum.counters.is_zero()).then_some(sum));
    }
    windows
}

/// The same of calls.
pub(crate) fn call_windows(
    history: &[EpochCommit],
    len: WindowLen,
) -> BTreeMap<Window, Vec<CallDelta>> {
    let mut sums: BTreeMap<CallKey, CallDelta> = BTreeMap::new();
    for row in history.iter().flat_map(|commit| &commit.calls) {
        let key = CallKey { window: len.window(row.key.window.start()), ..row.key };
        let row = untimed_call(&CallDelta { key, ..row.clone() });
        sums.entry(key).and_modify(|sum| sum.merge(&row)).or_insert(row);
    }
    let mut windows: BTreeMap<Window, Vec<CallDelta>> = BTreeMap::new();
    for sum in sums.into_values() {
        let window = windows.entry(sum.key.window).or_default();
        window.extend((!sum.is_zero()).then_some(sum));
    }
    windows
}

/// A row without its times.
pub(crate) fn untimed_call(row: &CallDelta) -> CallDelta {
    CallDelta { first_ns: 0, last_ns: 0, ..row.clone() }
}

/// A row without its times.
pub(crate) fn untimed(row: &EdgeDelta) -> EdgeDelta {
    EdgeDelta { first_ns: 0, last_ns: 0, ..*row }
}
