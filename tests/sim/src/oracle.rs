//! What the store must hold, worked out without any of the troubles.

use std::collections::BTreeMap;

use portolan_model::{EdgeDelta, EpochCommit, PathDelta, Window};

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
