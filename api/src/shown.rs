//! Graphs ready for queries: of now, kept until the next epoch; of a range, made for the question.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use portolan_graph::{CallsBuilder, Fused, Graph, Meeting, ViewBuilder};
use portolan_model::{Collapse, Entity, EntityId, EntityKind, HopClass};
use tokio::sync::Mutex;

use crate::reader::{Past, Snapshot, TopologyReader};
use crate::scan::Places;
use crate::{Cancel, Error, Limits, names};

/// A graph, and what it is made of.
pub(crate) struct Shown {
    pub(crate) graph: Graph,
    pub(crate) snapshot: Snapshot,
}

/// Where graphs come from.
pub(crate) struct Graphs {
    reader: Arc<dyn TopologyReader>,
    scans: Places,
    most: usize,
    now: [Slot; MODES],
}

/// The graph of now in one mode.
#[derive(Default)]
struct Slot {
    current: ArcSwapOption<Shown>,
    /// Held by the one query that makes it; the others wait for its work.
    making: Mutex<()>,
}

const MODES: usize = Collapse::Possible as usize + 1;

/// A mode that nobody asked for in so many epochs gives its memory back.
const FORGET_AFTER: u64 = 60;

// === impl Graphs ===

impl Graphs {
    pub(crate) fn new(reader: Arc<dyn TopologyReader>, limits: &Limits) -> Self {
        Self {
            reader,
            scans: Places::new(limits.scans, limits.wait),
            most: limits.max_edges,
            now: Default::default(),
        }
    }

    /// The graph of the past, or of now.
    pub(crate) async fn get(
        &self,
        past: Option<Past>,
        collapse: Collapse,
    ) -> Result<Arc<Shown>, Error> {
        match past {
            None => self.now(collapse).await,
            Some(past) => self.past(past, collapse).await.map(Arc::new),
        }
    }

    /// Calls laid beside a graph that was shown for the same range.
    pub(crate) async fn fuse(
        &self,
        past: Option<Past>,
        shown: Arc<Shown>,
    ) -> Result<(Fused, Meeting), Error> {
        let (reader, most) = (self.reader.clone(), self.most);
        let work = self.scans.run(move |cancel| {
            let mut rows = CallsBuilder::default();
            reader.calls(past.as_ref(), most, cancel, &mut rows)?;
            cancel.check()?;
            let meeting = meeting(&*reader);
            Ok((Fused::new(shown.graph.edges(), rows.finish(), &meeting), meeting))
        });
        work.await
    }

    /// Work that reads the past, when there is a place for it. It is told how many different edges it
    /// may hold.
    pub(crate) async fn scan<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn TopologyReader, usize, &Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reader, most) = (self.reader.clone(), self.most);
        self.scans.run(move |cancel| work(&*reader, most, cancel)).await
    }

    async fn now(&self, collapse: Collapse) -> Result<Arc<Shown>, Error> {
        let slot = &self.now[collapse as usize];
        if let Some(shown) = slot.fresh(self.reader.version()) {
            return Ok(shown);
        }
        let _one = slot.making.lock().await;
        let version = self.reader.version();
        if let Some(shown) = slot.fresh(version) {
            return Ok(shown);
        }
        for other in &self.now {
            other.forget(version);
        }
        let (reader, most) = (self.reader.clone(), self.most);
        let shown = self.scans.run(move |cancel| {
            let mut rows = ViewBuilder::new(collapse);
            let snapshot = reader.now(&mut rows)?;
            let mut calls = CallsBuilder::default();
            reader.calls(None, most, cancel, &mut calls)?;
            Ok(show(&*reader, rows, calls, snapshot, "now"))
        });
        let shown = Arc::new(shown.await?);
        slot.current.store(Some(shown.clone()));
        Ok(shown)
    }

    async fn past(&self, past: Past, collapse: Collapse) -> Result<Shown, Error> {
        let (reader, most) = (self.reader.clone(), self.most);
        let work = self.scans.run(move |cancel| {
            let mut rows = ViewBuilder::new(collapse);
            let snapshot = reader.past(&past, most, cancel, &mut rows)?;
            let mut calls = CallsBuilder::default();
            reader.calls(Some(&past), most, cancel, &mut calls)?;
            Ok(show(&*reader, rows, calls, snapshot, "range"))
        });
        work.await
    }
}

// === impl Slot ===

impl Slot {
    fn fresh(&self, version: u64) -> Option<Arc<Shown>> {
        self.current.load_full().filter(|shown| shown.snapshot.version >= version)
    }

    fn forget(&self, version: u64) {
        let old = |shown: &Shown| shown.snapshot.version.saturating_add(FORGET_AFTER) < version;
        if self.current.load().as_ref().is_some_and(|shown| old(shown)) {
            self.current.store(None);
        }
    }
}

/// Which services and workloads are the same.
pub(crate) fn meeting(reader: &dyn TopologyReader) -> Meeting {
    let mut known: Vec<(EntityId, Arc<Entity>)> = Vec::new();
    reader.entities(&mut |id, entity| {
        if matches!(entity.kind, EntityKind::Service | EntityKind::Workload) {
            known.push((id, entity.clone()));
        }
    });
    Meeting::of(known.iter().map(|(id, entity)| (*id, entity)))
}

/// Which class of hops an entity is, if it is one.
pub(crate) fn hop_class(reader: &dyn TopologyReader, id: EntityId) -> Option<HopClass> {
    match reader.entity(id)?.kind {
        EntityKind::Hop(class) => Some(class),
        _ => None,
    }
}

/// Folds, names and indexes.
fn show(
    reader: &dyn TopologyReader,
    rows: ViewBuilder,
    calls: CallsBuilder,
    snapshot: Snapshot,
    of: &'static str,
) -> Shown {
    let class = |id| hop_class(reader, id);
    let mut view = rows.finish(&class);
    if !calls.is_empty() {
        view.lay_calls(calls.finish(), &meeting(reader));
    }
    let graph = Graph::new(view, &|id| reader.entity(id));
    metrics::counter!(names::FOLDINGS, "of" => of).increment(1);
    let doubts = graph.doubts();
    metrics::counter!(names::INCONSISTENT).increment(doubts.inconsistent());
    if doubts.inconsistent() > 0 || graph.unnamed() > 0 {
        tracing::warn!(?doubts, unnamed = graph.unnamed(), of, "rows contradict each other");
    }
    Shown { graph, snapshot }
}
