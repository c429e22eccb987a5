//! What queries read: the port, and the reader that has a store and its live graph behind it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use portolan_graph::{CallsBuilder, Catalogue, ViewBuilder, Visit};
use portolan_model::{
    ChangeRecord, Counters, Entity, EntityId, HealthRow, Nanos, TimeRange, TraceRow, WindowLen,
};
use portolan_storage::{CatalogueRows, Checkpoint, Live, ReadStore};

use crate::health::Healths;
use crate::{Cancel, Error};

mod past;
mod snapshot;

pub use past::{Cut, Past, Step, Steps};
pub use snapshot::{Snapshot, SourceFacts};

/// How the store is.
#[derive(Clone, Debug, Default)]
pub struct StoreFacts {
    /// The last commit.
    pub checkpoint: Checkpoint,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// The levels, finest first.
    pub levels: Vec<portolan_storage::Level>,
    /// Windows that are set apart, as they do not read.
    pub apart: Vec<portolan_storage::Apart>,
    /// Entities known.
    pub entities: u64,
    /// Oldest and newest stored window.
    pub span: Option<TimeRange>,
    /// The windows of now, the newest first, and the sums of all their edges as they were observed.
    pub recent: Vec<(TimeRange, Counters)>,
}

/// What queries read. All methods may block.
pub trait TopologyReader: Send + Sync {
    /// Length of a window.
    fn window_len(&self) -> WindowLen;

    /// Grows whenever what [`Self::now`] gives changes. Never blocks.
    fn version(&self) -> u64;

    /// Adds the rows of now.
    fn now(&self, rows: &mut ViewBuilder) -> Result<Snapshot, Error>;

    /// How far back "now" reaches.
    fn reach(&self) -> Nanos;

    /// Adds the rows of the past, at most `most` different edges, all of one epoch.
    fn past(
        &self,
        past: &Past,
        most: usize,
        cancel: &Cancel,
        rows: &mut ViewBuilder,
    ) -> Result<Snapshot, Error>;

    /// Visits the past step by step, in order of time, all of one epoch.
    fn steps(
        &self,
        past: &Past,
        steps: &Steps,
        cancel: &Cancel,
        visit: &mut dyn FnMut(&mut Step) -> Result<(), Error>,
    ) -> Result<Snapshot, Error>;

    /// Adds the rows of calls of now, or of the past, at most `most` different edges and sources. They
    /// are a look of their own, and may be of a later epoch than the flows.
    fn calls(
        &self,
        past: Option<&Past>,
        most: usize,
        cancel: &Cancel,
        rows: &mut CallsBuilder,
    ) -> Result<(), Error>;

    /// The entity of an id.
    fn entity(&self, id: EntityId) -> Option<Arc<Entity>>;

    /// Visits every entity.
    fn entities(&self, visit: &mut Visit<'_>);

    /// The catalogue, the same value until it changes, and the clock of the last epoch.
    fn catalogue(&self) -> Result<(Arc<Catalogue>, Nanos), Error>;

    /// How edges and services do, under the identities that are shown; the same value until it changes.
    fn health(&self) -> Arc<Healths>;

    /// Visits the traces that are kept as exemplars.
    fn traces(&self, visit: &mut dyn FnMut(&TraceRow)) -> Result<(), Error>;

    /// Visits the changes that people made in a range, in the order of time, until told to stop.
    fn changes(
        &self,
        range: TimeRange,
        visit: &mut dyn FnMut(ChangeRecord) -> bool,
    ) -> Result<(), Error>;

    /// How the store is.
    fn facts(&self) -> Result<StoreFacts, Error>;
}

/// Reads a store, and the live graph beside it.
#[derive(Clone)]
pub struct StoreReader {
    store: Arc<dyn ReadStore>,
    live: Arc<Live>,
    /// The catalogue as it was asked for last, ready to be asked.
    catalogue: Arc<ArcSwapOption<Indexed>>,
    /// Health as it was asked for last.
    health: Arc<ArcSwapOption<Healths>>,
}

/// Rows of the store, and the catalogue made of them.
struct Indexed {
    rows: Arc<CatalogueRows>,
    catalogue: Arc<Catalogue>,
}

// === impl StoreReader ===

impl StoreReader {
    /// Reads this store; `live` holds its last minutes.
    pub fn new(store: Arc<dyn ReadStore>, live: Arc<Live>) -> Self {
        Self { store, live, catalogue: Arc::default(), health: Arc::default() }
    }
}

impl TopologyReader for StoreReader {
    fn window_len(&self) -> WindowLen {
        self.store.window_len()
    }

    fn version(&self) -> u64 {
        self.live.version()
    }

    fn now(&self, rows: &mut ViewBuilder) -> Result<Snapshot, Error> {
        let checkpoint = self.store.checkpoint()?;
        let snapshot = self.live.read(|now| {
            let (edges, paths) = now.counts();
            rows.reserve(edges, paths);
            now.edges().for_each(|row| rows.edge(&row));
            now.paths().for_each(|row| rows.path(&row));
            // Before the first epoch nothing is covered, not even silence.
            let covered = Some(now.covered()).filter(|covered| covered.from > 0);
            Snapshot {
                epoch: now.epoch(),
                watermark: now.watermark(),
                // Epochs wait while we look: the version is that of these rows.
                version: self.live.version(),
                ..Snapshot::of_now(&checkpoint, covered, self.store.window_len())
            }
        });
        Ok(snapshot)
    }

    fn reach(&self) -> Nanos {
        u64::from(self.live.range().secs) * 1_000_000_000
    }

    fn past(
        &self,
        past: &Past,
        most: usize,
        cancel: &Cancel,
        rows: &mut ViewBuilder,
    ) -> Result<Snapshot, Error> {
        past::whole(&*self.store.history(), &self.live, past, most, cancel, rows)
    }

    fn steps(
        &self,
        past: &Past,
        steps: &Steps,
        cancel: &Cancel,
        visit: &mut dyn FnMut(&mut Step) -> Result<(), Error>,
    ) -> Result<Snapshot, Error> {
        past::steps(&*self.store.history(), &self.live, past, steps, cancel, visit)
    }

    fn calls(
        &self,
        past: Option<&Past>,
        most: usize,
        cancel: &Cancel,
        rows: &mut CallsBuilder,
    ) -> Result<(), Error> {
        match past {
            Some(past) => {
                past::calls(&*self.store.history(), &self.live, past, most, cancel, rows)?;
            }
            None => self.live.read(|now| now.calls().for_each(|row| rows.add(&row))),
        }
        if rows.len() > most {
            return Err(Error::TooLarge { most });
        }
        cancel.check()
    }

    fn entity(&self, id: EntityId) -> Option<Arc<Entity>> {
        self.store.entity(id)
    }

    fn entities(&self, visit: &mut Visit<'_>) {
        self.store.entities(visit);
    }

    fn catalogue(&self) -> Result<(Arc<Catalogue>, Nanos), Error> {
        let clock = self.store.checkpoint()?.clock;
        let rows = self.store.catalogue();
        let held = self.catalogue.load_full();
        if let Some(held) = held.filter(|held| Arc::ptr_eq(&held.rows, &rows)) {
            return Ok((held.catalogue.clone(), clock));
        }
        let catalogue = Arc::new(Catalogue::new(rows.values().cloned()));
        let indexed = Indexed { rows, catalogue: catalogue.clone() };
        self.catalogue.store(Some(Arc::new(indexed)));
        Ok((catalogue, clock))
    }

    fn traces(&self, visit: &mut dyn FnMut(&TraceRow)) -> Result<(), Error> {
        Ok(self.store.traces(visit)?)
    }

    fn health(&self) -> Arc<Healths> {
        let version = self.live.version();
        let held = self.health.load_full();
        if let Some(held) = held.filter(|held| held.version() >= version) {
            return held;
        }
        let rows: Vec<HealthRow> = self.live.read(|now| now.health().copied().collect());
        let healths = Arc::new(Healths::new(rows, self, version));
        self.health.store(Some(Arc::clone(&healths)));
        healths
    }

    fn changes(
        &self,
        range: TimeRange,
        visit: &mut dyn FnMut(ChangeRecord) -> bool,
    ) -> Result<(), Error> {
        Ok(self.store.changes(range, visit)?)
    }

    fn facts(&self) -> Result<StoreFacts, Error> {
        let len = self.store.window_len();
        let mut entities = 0;
        self.store.entities(&mut |_, _| entities += 1);
        let span = self.store.span()?;
        Ok(StoreFacts {
            checkpoint: self.store.checkpoint()?,
            disk_bytes: self.store.disk_bytes(),
            levels: self.store.history().levels(),
            apart: self.store.history().apart(),
            entities,
            span: span.map(|(from, to)| TimeRange { from: from.start(), to: to.end(len) }),
            recent: self.live.read(|now| now.totals().collect()),
        })
    }
}

#[cfg(test)]
mod tests;
