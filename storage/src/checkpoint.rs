//! How a commit moves the checkpoint: shared by all stores, so that they cannot disagree.

use std::borrow::Cow;

use portolan_model::{EpochCommit, Window, WindowLen};

use crate::row::{Row, tidy};
use crate::{Checkpoint, Error};

/// How many losses a store remembers. Each is one gap in one partition: a thousand of them fill a
/// screen many times over, and the tally `lost` counts every offset for ever.
pub(crate) const MAX_LOSSES: usize = 1_000;

/// The tally of rows that came for windows past their retention. They are not kept.
pub(crate) const EXPIRED_ROWS: &str = "expired/rows";

/// Refuses an epoch that is not the next one.
pub(crate) fn follows(checkpoint: &Checkpoint, commit: &EpochCommit) -> Result<(), Error> {
    if commit.epoch == checkpoint.epoch + 1 {
        Ok(())
    } else {
        Err(Error::OutOfOrder { last: checkpoint.epoch, got: commit.epoch })
    }
}

/// The first window that is kept after a commit.
pub(crate) fn expired(before: Window, commit: &EpochCommit, len: WindowLen) -> Window {
    before.max(len.window(commit.expire_before.start()))
}

/// The rows to write, sorted, one per key, and how many came too late.
pub(crate) fn admit<R: Row>(rows: &[R], expired: Window) -> (Cow<'_, [R]>, usize) {
    let rows = tidy(rows);
    let late = rows.partition_point(|row| R::window(row.key()) < expired);
    match (late, rows) {
        (0, rows) => (rows, 0),
        (_, Cow::Borrowed(rows)) => (Cow::Borrowed(&rows[late..]), late),
        (_, Cow::Owned(mut rows)) => {
            rows.drain(..late);
            (Cow::Owned(rows), late)
        }
    }
}

/// The checkpoint after a commit, of which `late` rows were not kept because they are `expired`.
pub(crate) fn advance(
    checkpoint: &mut Checkpoint,
    commit: &EpochCommit,
    expired: Window,
    late: usize,
) {
    checkpoint.expired = expired;
    checkpoint.epoch = commit.epoch;
    checkpoint.clock = commit.clock;
    checkpoint.watermark = commit.watermark;
    checkpoint.folded = checkpoint.folded.max(commit.folded);
    for position in &commit.positions {
        let places = &mut checkpoint.positions;
        match places.binary_search_by(|p| p.partition.cmp(&position.partition)) {
            Ok(at) => places[at] = position.clone(),
            Err(at) => places.insert(at, position.clone()),
        }
    }
    if let Some(agents) = &commit.agents {
        checkpoint.agents = agents.clone();
    }
    if let Some(learned) = &commit.learned {
        checkpoint.learned = learned.clone();
    }
    for (name, by) in &commit.tallies {
        add(checkpoint, name, *by);
    }
    if late > 0 {
        add(checkpoint, EXPIRED_ROWS, late as i64);
    }
    checkpoint.losses.extend(commit.losses.iter().cloned());
    let over = checkpoint.losses.len().saturating_sub(MAX_LOSSES);
    checkpoint.losses.drain(..over);
}

/// Adds to a total.
pub(crate) fn add(checkpoint: &mut Checkpoint, name: &str, by: i64) {
    let tallies = &mut checkpoint.tallies;
    match tallies.binary_search_by(|(n, _)| (**n).cmp(name)) {
        Ok(at) => tallies[at].1 = tallies[at].1.saturating_add(by),
        Err(at) => tallies.insert(at, (name.into(), by)),
    }
}
