//! What must hold of every commit, by name. Checked before each write, in production and in the
//! simulation, by the same code; a commit that breaks one is not written.

use std::collections::BTreeMap;

use crate::{EpochCommit, Nanos, TopicPartition, Window};

/// A property of consecutive commits.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Each epoch is the one after the last.
    EpochsFollow,
    /// A partition's next offset never goes back, unless a loss of the same epoch says why.
    PositionsAdvance,
    /// What is remembered of a partition was read.
    RereadWithinRead,
    /// The watermark never goes back.
    WatermarkAdvances,
    /// What is forgotten stays so.
    FoldedAdvances,
    /// Rows are sorted by key, one a key.
    RowsSorted,
}

/// Where the commits so far leave the line. An empty one takes any first commit.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    epoch: Option<u64>,
    watermark: Nanos,
    folded: Window,
    next: BTreeMap<TopicPartition, i64>,
}

// === impl Invariant ===

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::EpochsFollow,
        Self::PositionsAdvance,
        Self::RereadWithinRead,
        Self::WatermarkAdvances,
        Self::FoldedAdvances,
        Self::RowsSorted,
    ];

    /// The word that metrics and people see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EpochsFollow => "epochs_follow",
            Self::PositionsAdvance => "positions_advance",
            Self::RereadWithinRead => "reread_within_read",
            Self::WatermarkAdvances => "watermark_advances",
            Self::FoldedAdvances => "folded_advances",
            Self::RowsSorted => "rows_sorted",
        }
    }
}

// === impl Standing ===

impl Standing {
    /// What a commit breaks: nothing, if all is well.
    pub fn broken_by(&self, commit: &EpochCommit) -> Vec<Invariant> {
        let follows = self.epoch.is_none_or(|epoch| epoch + 1 == commit.epoch);
        let advances = commit.positions.iter().all(|p| {
            let was = self.next.get(&p.partition).copied().unwrap_or(p.next);
            p.next >= was || commit.losses.iter().any(|l| l.partition == p.partition)
        });
        let within = commit.positions.iter().all(|p| p.reread <= p.next);
        let sorted = commit.edges.is_sorted_by(|a, b| a.key < b.key)
            && commit.paths.is_sorted_by(|a, b| a.key < b.key)
            && commit.calls.is_sorted_by(|a, b| a.key < b.key);
        let held = [
            (Invariant::EpochsFollow, follows),
            (Invariant::PositionsAdvance, advances),
            (Invariant::RereadWithinRead, within),
            (Invariant::WatermarkAdvances, commit.watermark >= self.watermark),
            (Invariant::FoldedAdvances, commit.folded >= self.folded),
            (Invariant::RowsSorted, sorted),
        ];
        held.into_iter().filter(|(_, holds)| !holds).map(|(invariant, _)| invariant).collect()
    }

    /// The commit is in the store.
    pub fn advance(&mut self, commit: &EpochCommit) {
        self.epoch = Some(commit.epoch);
        self.watermark = commit.watermark;
        self.folded = commit.folded;
        for position in &commit.positions {
            match self.next.get_mut(&position.partition) {
                Some(next) => *next = position.next,
                None => {
                    self.next.insert(position.partition.clone(), position.next);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Loss, Position};

    fn commit(epoch: u64, next: i64) -> EpochCommit {
        let partition = TopicPartition { cluster: "c".into(), topic: "t".into(), partition: 0 };
        let positions = vec![Position { partition, next, reread: next }];
        EpochCommit {
            epoch,
            watermark: 10,
            folded: Window(10),
            positions,
            ..EpochCommit::default()
        }
    }

    fn standing() -> Standing {
        let mut standing = Standing::default();
        standing.advance(&commit(7, 100));
        standing
    }

    #[test]
    fn a_commit_that_goes_on_breaks_nothing() {
        assert_eq!(Standing::default().broken_by(&commit(7, 100)), []);
        assert_eq!(standing().broken_by(&commit(8, 100)), []);
    }

    #[test]
    fn each_way_to_go_back_has_its_name() {
        assert_eq!(standing().broken_by(&commit(9, 100)), [Invariant::EpochsFollow]);
        assert_eq!(standing().broken_by(&commit(8, 99)), [Invariant::PositionsAdvance]);
        let early = EpochCommit { watermark: 9, ..commit(8, 100) };
        assert_eq!(standing().broken_by(&early), [Invariant::WatermarkAdvances]);
        let unfolded = EpochCommit { folded: Window(0), ..commit(8, 100) };
        assert_eq!(standing().broken_by(&unfolded), [Invariant::FoldedAdvances]);
        let mut ahead = commit(8, 100);
        ahead.positions[0].reread = 101;
        assert_eq!(standing().broken_by(&ahead), [Invariant::RereadWithinRead]);
    }

    #[test]
    fn a_topic_made_anew_goes_back_with_a_loss_that_says_so() {
        let mut anew = commit(8, 0);
        let partition = anew.positions[0].partition.clone();
        anew.losses = vec![Loss { partition, from: 7, to: 100, at: 1 }];
        assert_eq!(standing().broken_by(&anew), []);
    }
}
