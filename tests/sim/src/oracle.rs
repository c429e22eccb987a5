//! What the store must hold, worked out without any of the troubles.

use std::collections::BTreeMap;

use portolan_model::{EdgeDelta, EdgeKey, EpochCommit, PathDelta, Window, WindowLen};

pub(crate) mod fold;
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

/// A row without its times.
pub(crate) fn untimed(row: &EdgeDelta) -> EdgeDelta {
    EdgeDelta { first_ns: 0, last_ns: 0, ..*row }
}
