//! What queries read: a port, and its implementation over a store and the live graph.

use std::sync::Arc;

use portolan_graph::{CallsBuilder, ViewBuilder, Visit};
use portolan_model::{EdgeDelta, Entity, EntityId, Nanos, PathDelta, TimeRange, WindowLen};
use portolan_storage::{Checkpoint, Live, ReadStore};

use crate::{Cancel, Error};

/// What rows a graph is made of.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Whole windows; nothing if there is nothing in the range.
    pub covered: Option<TimeRange>,
    /// The last epoch in it.
    pub epoch: u64,
    /// Event time below which everything that arrived is in it.
    pub watermark: Nanos,
    /// Records known to be lost.
    pub records_lost: u64,
    /// [`TopologyReader::version`] of the rows, where they are those of now.
    pub version: u64,
}

/// How the store is.
#[derive(Clone, Debug, Default)]
pub struct StoreFacts {
    /// The last commit.
    pub checkpoint: Checkpoint,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Entities known.
    pub entities: u64,
    /// Oldest and newest stored window.
    pub span: Option<TimeRange>,
}

/// What queries read. All methods may block.
pub trait TopologyReader: Send + Sync {
    /// Length of a window.
    fn window_len(&self) -> WindowLen;

    /// Grows whenever what [`Self::now`] gives changes. Never blocks.
    fn version(&self) -> u64;

    /// Adds the rows of now.
    fn now(&self, rows: &mut ViewBuilder) -> Result<Snapshot, Error>;

    /// Adds the rows of a range, at most `max_edges` different edges and `max_windows` windows.
    fn range(
        &self,
        range: TimeRange,
        max: (usize, u64),
        cancel: &Cancel,
        rows: &mut ViewBuilder,
    ) -> Result<Snapshot, Error>;

    /// Adds the rows of calls of now, or of whole windows of a range, at most `max_edges` different
    /// edges and sources. They are a look of their own, and may be of a later epoch than the flows.
    fn calls(
        &self,
        range: Option<TimeRange>,
        max_edges: usize,
        cancel: &Cancel,
        rows: &mut CallsBuilder,
    ) -> Result<(), Error>;

    /// The entity of an id.
    fn entity(&self, id: EntityId) -> Option<Arc<Entity>>;

    /// Visits every entity.
    fn entities(&self, visit: &mut Visit<'_>);

    /// How the store is.
    fn facts(&self) -> Result<StoreFacts, Error>;
}

/// Reads a store, and the live graph beside it.
#[derive(Clone)]
pub struct StoreReader {
    store: Arc<dyn ReadStore>,
    live: Arc<Live>,
}

/// Windows read between two looks at whether anybody still waits. An hour of windows of 10 s: at
/// 20 k rows each, three seconds of scanning at most.
const WINDOWS_A_SCAN: u64 = 360;

/// How often the newest windows are read anew because an epoch was committed meanwhile. An epoch is
/// a second and these windows take a few hundredths of one.
const ATTEMPTS: u32 = 4;

// === impl StoreReader ===

impl StoreReader {
    /// Reads this store; `live` holds its last minutes.
    pub fn new(store: Arc<dyn ReadStore>, live: Arc<Live>) -> Self {
        Self { store, live }
    }

    /// Reads the windows that no path changes any more, a few at a time.
    fn settled(
        &self,
        range: TimeRange,
        max_edges: usize,
        cancel: &Cancel,
        rows: &mut ViewBuilder,
    ) -> Result<(), Error> {
        let step = self.store.window_len().nanos() * WINDOWS_A_SCAN;
        let mut from = range.from;
        while from < range.to {
            let to = from.saturating_add(step).min(range.to);
            let part = TimeRange { from, to };
            self.store.paths(part, &mut |row| rows.path(row))?;
            cancel.check()?;
            self.store.edges(part, &mut |row| rows.edge(row))?;
            cancel.check()?;
            if rows.len() > max_edges {
                return Err(Error::TooLarge { most: max_edges });
            }
            from = to;
        }
        Ok(())
    }

    /// Reads the newest windows, edges and paths of one epoch. If commits are faster than reads,
    /// the last attempt stands: its paths are older than its edges and so never overdraw them.
    fn moving(&self, range: TimeRange, cancel: &Cancel) -> Result<Moving, Error> {
        let mut before = self.store.checkpoint()?;
        let mut attempt = 1;
        loop {
            let (mut edges, mut paths) = (Vec::new(), Vec::new());
            if range.from < range.to {
                self.store.paths(range, &mut |row| paths.push(row.clone()))?;
                cancel.check()?;
                self.store.edges(range, &mut |row| edges.push(*row))?;
                cancel.check()?;
            }
            let after = self.store.checkpoint()?;
            if after.epoch == before.epoch || attempt == ATTEMPTS {
                return Ok(Moving { checkpoint: before, edges, paths });
            }
            attempt += 1;
            before = after;
        }
    }

    /// Whole windows of a range that the store can have anything of.
    fn covered(
        &self,
        range: TimeRange,
        checkpoint: &Checkpoint,
    ) -> Result<Option<TimeRange>, Error> {
        let len = self.store.window_len();
        let Some((oldest, newest)) = self.store.span()? else { return Ok(None) };
        let from = len.window(range.from).start().max(oldest.start());
        let last = newest.max(len.window(checkpoint.watermark.min(checkpoint.clock)));
        let to = match len.window(range.to.saturating_sub(1)) {
            asked if asked < last => asked.end(len),
            _ => last.end(len),
        };
        Ok((from < to).then_some(TimeRange { from, to }))
    }
}

/// The newest windows of a range.
struct Moving {
    checkpoint: Checkpoint,
    edges: Vec<EdgeDelta>,
    paths: Vec<PathDelta>,
}

impl TopologyReader for StoreReader {
    fn window_len(&self) -> WindowLen {
        self.store.window_len()
    }

    fn version(&self) -> u64 {
        self.live.version()
    }

    fn now(&self, rows: &mut ViewBuilder) -> Result<Snapshot, Error> {
        let mut snapshot = self.live.read(|now| {
            let (edges, paths) = now.counts();
            rows.reserve(edges, paths);
            now.edges().for_each(|row| rows.edge(&row));
            now.paths().for_each(|row| rows.path(&row));
            Snapshot {
                // Before the first epoch nothing is covered, not even silence.
                covered: Some(now.covered()).filter(|covered| covered.from > 0),
                epoch: now.epoch(),
                watermark: now.watermark(),
                records_lost: 0,
                // Epochs wait while we look: the version is that of these rows.
                version: self.live.version(),
            }
        });
        snapshot.records_lost = lost(&self.store.checkpoint()?);
        Ok(snapshot)
    }

    fn range(
        &self,
        range: TimeRange,
        (max_edges, max_windows): (usize, u64),
        cancel: &Cancel,
        rows: &mut ViewBuilder,
    ) -> Result<Snapshot, Error> {
        let len = self.store.window_len();
        let checkpoint = self.store.checkpoint()?;
        let Some(covered) = self.covered(range, &checkpoint)? else {
            return Ok(snapshot(None, &checkpoint));
        };
        let windows = (covered.to - covered.from) / len.nanos();
        if windows > max_windows {
            let problem = format!(
                "has {windows} windows of {} s, at most {max_windows} are read at once",
                len.secs()
            );
            return Err(Error::invalid("range", problem));
        }
        // A folded window gets no more paths, so edges and paths of it may be read apart. One more
        // window back, because a leg and the edge that explains it may lie in neighbours.
        let folded = checkpoint.folded.previous(len).start();
        // Where nothing folds, at most as much as one look reads is held twice.
        let latest = covered.to.saturating_sub(len.nanos() * WINDOWS_A_SCAN);
        let split = folded.max(latest).clamp(covered.from, covered.to);
        self.settled(TimeRange { from: covered.from, to: split }, max_edges, cancel, rows)?;
        let moving = self.moving(TimeRange { from: split, to: covered.to }, cancel)?;
        moving.paths.iter().for_each(|row| rows.path(row));
        moving.edges.iter().for_each(|row| rows.edge(row));
        if rows.len() > max_edges {
            return Err(Error::TooLarge { most: max_edges });
        }
        Ok(snapshot(Some(covered), &moving.checkpoint))
    }

    fn calls(
        &self,
        range: Option<TimeRange>,
        max_edges: usize,
        cancel: &Cancel,
        rows: &mut CallsBuilder,
    ) -> Result<(), Error> {
        let bounded = |rows: &CallsBuilder| match rows.len() {
            len if len > max_edges => Err(Error::TooLarge { most: max_edges }),
            _ => cancel.check(),
        };
        let Some(range) = range else {
            self.live.read(|now| now.calls().for_each(|row| rows.add(&row)));
            return bounded(rows);
        };
        let step = self.store.window_len().nanos() * WINDOWS_A_SCAN;
        let mut from = range.from;
        while from < range.to {
            let to = from.saturating_add(step).min(range.to);
            self.store.calls(TimeRange { from, to }, &mut |row| rows.add(row))?;
            bounded(rows)?;
            from = to;
        }
        Ok(())
    }

    fn entity(&self, id: EntityId) -> Option<Arc<Entity>> {
        self.store.entity(id)
    }

    fn entities(&self, visit: &mut Visit<'_>) {
        self.store.entities(visit);
    }

    fn facts(&self) -> Result<StoreFacts, Error> {
        let len = self.store.window_len();
        let mut entities = 0;
        self.store.entities(&mut |_, _| entities += 1);
        let span = self.store.span()?;
        Ok(StoreFacts {
            checkpoint: self.store.checkpoint()?,
            disk_bytes: self.store.disk_bytes(),
            entities,
            span: span.map(|(from, to)| TimeRange { from: from.start(), to: to.end(len) }),
        })
    }
}

fn snapshot(covered: Option<TimeRange>, checkpoint: &Checkpoint) -> Snapshot {
    Snapshot {
        covered,
        epoch: checkpoint.epoch,
        watermark: checkpoint.watermark,
        records_lost: lost(checkpoint),
        version: 0,
    }
}

/// Offsets lost since the store was made (the tally of the compactor).
fn lost(checkpoint: &Checkpoint) -> u64 {
    let tally = checkpoint.tallies.iter().find(|(name, _)| &**name == "lost");
    tally.map_or(0, |(_, count)| u64::try_from(*count).unwrap_or(0))
}

#[cfg(test)]
mod tests;
