//! The naive count of metrics: what each process says in the end, whatever came when. How a stretch of time is divided
//! over windows is left to the epochs that are compared; here only sums count.

use std::collections::BTreeMap;

use portolan_model::{
    CallDelta, CallMeasure, Entity, EntityId, EntityKind, EpochCommit, Layer, Nanos,
};

use crate::broker::{Log, Payload};
use crate::oracle::replay::is_lost;
use crate::world::metric::Point;

/// Calls in thousandths, failed ones, bytes: by client and server.
type Sums = BTreeMap<(EntityId, EntityId), [i64; 3]>;

const MEASURES: [CallMeasure; 3] =
    [CallMeasure::CallsMilli, CallMeasure::ErrorsMilli, CallMeasure::BytesSent];

/// Holds all that a store has of metrics against what was said; how many edges come back.
pub(crate) fn check(
    logs: &[Log],
    begin: &BTreeMap<usize, i64>,
    history: &[EpochCommit],
    stored: &[CallDelta],
) -> Result<u64, String> {
    let tally = |name: &str| -> i64 {
        let all = history.iter().flat_map(|commit| &commit.tallies);
        all.filter(|(n, _)| **n == *name).map(|(_, count)| count).sum()
    };
    // What comes after its window is settled is told by the next point, or by none.
    if tally("metric_points_late") > 0 {
        return Ok(0);
    }
    let (series, twice) = accepted(logs, begin, history);
    if tally("metric_points_duplicate") != twice {
        let is = tally("metric_points_duplicate");
        return Err(format!("metric_points_duplicate should be {twice} and is {is}"));
    }
    let mut should = Sums::new();
    for points in series.values() {
        let Some(last) = points.values().next_back().filter(|point| point.rank == 0) else {
            continue;
        };
        let counted = if last.delta { points.values().map(|p| p.count).sum() } else { last.count };
        let service = |name: &str| Entity::new(EntityKind::Service, "", name).id();
        let sums = should.entry((service(&last.client), service(&last.server))).or_default();
        sums[0] += if last.bytes { 0 } else { counted * 1_000 };
        sums[1] += if last.failed { counted * 1_000 } else { 0 };
        sums[2] += if last.bytes { counted } else { 0 };
    }
    should.retain(|_, sums| *sums != [0; 3]);
    let mut is = Sums::new();
    for row in stored.iter().filter(|row| row.key.source.layer() == Layer::Ipc) {
        let sums = is.entry((row.key.client, row.key.server)).or_default();
        sums.iter_mut().zip(MEASURES).for_each(|(sum, of)| *sum += row.counters[of]);
    }
    let pairs = |sums: Sums| sums.into_iter().collect::<Vec<_>>();
    let edges = should.len() as u64;
    super::replay::differ("metrics", &pairs(should), &pairs(is))?;
    Ok(edges)
}

/// The points of every series that the commits cover, by time, and how many came again.
fn accepted<'a>(
    logs: &'a [Log],
    begin: &BTreeMap<usize, i64>,
    history: &[EpochCommit],
) -> (BTreeMap<u128, BTreeMap<Nanos, &'a Point>>, i64) {
    let (mut next, mut twice) = (begin.clone(), 0);
    let mut series: BTreeMap<u128, BTreeMap<Nanos, &Point>> = BTreeMap::new();
    for commit in history {
        for position in &commit.positions {
            let Some(at) = logs.iter().position(|l| l.name == position.partition) else { continue };
            let from = next.insert(at, position.next).unwrap_or(0);
            for message in logs[at].within(from, position.next) {
                let Payload::Metrics(points) = &message.payload else { continue };
                if is_lost(commit, &logs[at].name, message.offset) {
                    continue;
                }
                for point in points {
                    let known = series.entry(point.series).or_default().insert(point.time, point);
                    twice += i64::from(known.is_some());
                }
            }
        }
    }
    (series, twice)
}
