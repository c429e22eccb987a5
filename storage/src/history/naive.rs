//! The history of a store that keeps its base windows as rows: adds them up one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_model::{CallDelta, EdgeDelta, PathDelta, TimeRange, Window, WindowLen};

use super::{Answer, History, Level, Plan, Select};
use crate::row::{Row, Sum};
use crate::{Checkpoint, Error, ReadEdges};

/// See the module. `T` must not change while it is read.
pub(crate) struct Naive<T> {
    store: T,
    checkpoint: Arc<Checkpoint>,
}

/// Rows between two looks at whether anybody still waits: a millisecond.
const LOOK_EVERY: usize = 4_096;

// === impl Naive ===

impl<T: ReadEdges> Naive<T> {
    pub(crate) fn new(store: T, checkpoint: Checkpoint) -> Self {
        Self { store, checkpoint: Arc::new(checkpoint) }
    }

    fn len(&self) -> WindowLen {
        self.store.window_len()
    }

    /// Sums what `scan` visits.
    fn sum<R: Row>(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        scan: impl Fn(TimeRange, &mut dyn FnMut(&R)) -> Result<(), Error>,
        visit: &mut dyn FnMut(&R),
    ) -> Result<Answer, Error> {
        let mut answer = Answer::default();
        let Some(covered) = plan.covered() else { return Ok(answer) };
        let first = self.len().window(covered.from);
        let mut sums: BTreeMap<R::Key, R::Sums> = BTreeMap::new();
        let (mut looked, mut stop) = (0_usize, None);
        for span in &plan.spans {
            if select.known_at.is_some_and(|at| at < self.checkpoint.clock) {
                // Rows say nothing of when they came.
                answer.unknown.push(span.range);
                continue;
            }
            scan(span.range, &mut |row| {
                looked += 1;
                if looked.is_multiple_of(LOOK_EVERY) && select.is_cancelled() {
                    stop = Some(Error::Cancelled);
                }
                if stop.is_some() || !select.wants(R::ends(row.key())) {
                    return;
                }
                let key = R::moved(row.key(), first);
                sums.entry(key).or_insert_with(R::Sums::zero).merge(&row.sums());
                if select.max_rows.is_some_and(|most| sums.len() > most) {
                    stop = Some(Error::TooManyRows { most: select.max_rows.unwrap_or(0) });
                }
            })?;
        }
        if let Some(stop) = stop {
            return Err(stop);
        }
        for (key, sums) in sums.into_iter().filter(|(_, sums)| !sums.is_zero()) {
            visit(&R::new(key, sums));
        }
        Ok(answer)
    }
}

impl<T: ReadEdges> History for Naive<T> {
    fn checkpoint(&self) -> Arc<Checkpoint> {
        self.checkpoint.clone()
    }

    fn levels(&self) -> Vec<Level> {
        vec![Level {
            len: self.len(),
            first: self.checkpoint.expired,
            end: Window(u32::MAX),
            sealed: Window(0),
            disk_bytes: self.store.disk_bytes(),
        }]
    }

    fn extent(&self) -> Result<Option<TimeRange>, Error> {
        let span = self.store.span()?;
        Ok(span.map(|(from, to)| TimeRange { from: from.start(), to: to.end(self.len()) }))
    }

    fn edges(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&EdgeDelta),
    ) -> Result<Answer, Error> {
        self.sum(plan, select, |range, row| self.store.edges(range, row), visit)
    }

    fn paths(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&PathDelta),
    ) -> Result<Answer, Error> {
        self.sum(plan, select, |range, row| self.store.paths(range, row), visit)
    }

    fn calls(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&CallDelta),
    ) -> Result<Answer, Error> {
        self.sum(plan, select, |range, row| self.store.calls(range, row), visit)
    }
}
