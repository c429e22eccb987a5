//! What an answer is made of, and what is missing from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_model::{Nanos, TimeRange, WindowLen};
use portolan_storage::{Answer, Checkpoint, Plan, Span};

/// What rows a graph is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The range that was asked for; nothing where now was.
    pub asked: Option<TimeRange>,
    /// Whole windows; nothing if there is nothing in the range.
    pub covered: Option<TimeRange>,
    /// These windows by length, in order of time.
    pub spans: Vec<Span>,
    /// Inside `covered`, but past their retention.
    pub gaps: Vec<TimeRange>,
    /// Windows whose bytes do not read: the answer is without them.
    pub unreadable: Vec<TimeRange>,
    /// Windows that were not sealed yet at the time whose knowledge was asked for: the answer is without
    /// them.
    pub unknown: Vec<TimeRange>,
    /// Windows from here on are open: what is known of their connections may still move them.
    pub open_from: Nanos,
    /// The last epoch in it.
    pub epoch: u64,
    /// Event time below which everything that arrived is in it.
    pub watermark: Nanos,
    /// Records known to be lost.
    pub records_lost: u64,
    /// The topics that it is made of.
    pub sources: Vec<SourceFacts>,
    /// [`crate::TopologyReader::version`] of the rows, where they are those of now.
    pub version: u64,
}

/// How complete a topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFacts {
    /// Kafka cluster.
    pub cluster: Arc<str>,
    /// Topic.
    pub topic: Arc<str>,
    /// Partitions that are read.
    pub partitions: u64,
    /// Records whose loss was noticed after the range began: of these, some may be missing from it.
    pub records_lost: u64,
}

/// Most ranges of a list; what is over widens the last.
const MAX_RANGES: usize = 100;

// === impl Snapshot ===

impl Snapshot {
    /// Of rows that are ready in memory.
    pub(super) fn of_now(
        checkpoint: &Checkpoint,
        covered: Option<TimeRange>,
        len: WindowLen,
    ) -> Self {
        let spans = covered.map(|range| Span { len, range }).into_iter().collect();
        Self { spans, ..Self::of(checkpoint, covered) }
    }

    /// Of the windows of a plan.
    pub(super) fn of_past(
        checkpoint: &Checkpoint,
        asked: TimeRange,
        plan: &Plan,
        answer: Answer,
    ) -> Self {
        Self {
            asked: Some(asked),
            gaps: joined(plan.gaps().collect()),
            spans: plan.spans.clone(),
            unreadable: joined(answer.unreadable),
            unknown: joined(answer.unknown),
            ..Self::of(checkpoint, plan.covered())
        }
    }

    fn of(checkpoint: &Checkpoint, covered: Option<TimeRange>) -> Self {
        let since = covered.map_or(0, |covered| covered.from);
        Self {
            covered,
            open_from: checkpoint.folded.start(),
            epoch: checkpoint.epoch,
            watermark: checkpoint.watermark,
            records_lost: lost(checkpoint),
            sources: sources(checkpoint, since),
            ..Self::default()
        }
    }

    /// The coarsest windows in it.
    pub(crate) fn resolution(&self) -> Option<WindowLen> {
        self.spans.iter().map(|span| span.len).max()
    }
}

/// Offsets lost since the store was made (the tally of the compactor).
fn lost(checkpoint: &Checkpoint) -> u64 {
    let tally = checkpoint.tallies.iter().find(|(name, _)| &**name == "lost");
    tally.map_or(0, |(_, count)| u64::try_from(*count).unwrap_or(0))
}

fn sources(checkpoint: &Checkpoint, since: Nanos) -> Vec<SourceFacts> {
    let mut found: BTreeMap<(Arc<str>, Arc<str>), (u64, u64)> = BTreeMap::new();
    for position in &checkpoint.positions {
        let of = &position.partition;
        found.entry((of.cluster.clone(), of.topic.clone())).or_default().0 += 1;
    }
    for loss in checkpoint.losses.iter().filter(|loss| loss.at >= since) {
        let of = &loss.partition;
        let lost = u64::try_from(loss.to.saturating_sub(loss.from)).unwrap_or(0);
        let sum = &mut found.entry((of.cluster.clone(), of.topic.clone())).or_default().1;
        *sum = sum.saturating_add(lost);
    }
    let facts = |((cluster, topic), (partitions, records_lost))| SourceFacts {
        cluster,
        topic,
        partitions,
        records_lost,
    };
    found.into_iter().map(facts).collect()
}

/// Ranges in order, those that touch as one.
fn joined(mut ranges: Vec<TimeRange>) -> Vec<TimeRange> {
    ranges.sort_unstable_by_key(|range| (range.from, range.to));
    let mut all: Vec<TimeRange> = Vec::new();
    for range in ranges {
        let full = all.len() == MAX_RANGES;
        match all.last_mut().filter(|last| full || range.from <= last.to) {
            Some(last) => last.to = last.to.max(range.to),
            None => all.push(range),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one_and_a_long_list_ends_in_a_wide_range() {
        let range = |from, to| TimeRange { from, to };
        let all = joined(vec![range(20, 30), range(0, 10), range(10, 15), range(22, 25)]);
        assert_eq!(all, [range(0, 15), range(20, 30)]);
        let all = joined((0..500).map(|n| range(n * 10, n * 10 + 1)).collect());
        assert_eq!((all.len(), all[99]), (100, range(990, 4_991)));
    }
}
