//! Time-window compactor: turns the rows of an epoch into one commit, and says which windows end.

use portolan_model::{Barrier, EpochCommit, Window, WindowLen};

use crate::{Deltas, LineConfig, Stage};

/// See the module.
pub struct WindowCompactor {
    window: WindowLen,
    retention_secs: u32,
    pending: Deltas,
}

impl WindowCompactor {
    /// A compactor with nothing pending.
    pub fn new(config: &LineConfig) -> Self {
        Self {
            window: config.window,
            retention_secs: config.retention_secs,
            pending: Deltas::default(),
        }
    }

    /// The first window that is kept: whole windows leave, and only behind the watermark, so that
    /// a stalled source does not empty the map.
    fn expire_before(&self, barrier: &Barrier) -> Window {
        if self.retention_secs == 0 {
            return Window(0);
        }
        let newest = self.window.window(barrier.watermark.min(barrier.clock));
        self.window
            .window(newest.start().saturating_sub(u64::from(self.retention_secs) * 1_000_000_000))
    }
}

impl Stage for WindowCompactor {
    type In = Deltas;
    type Out = EpochCommit;
    const NAME: &'static str = "window_compactor";

    fn apply(&mut self, batch: Deltas) -> Option<EpochCommit> {
        debug_assert!(self.pending.edges.is_empty(), "the aggregator emits once an epoch");
        self.pending = batch;
        None
    }

    fn barrier(&mut self, barrier: &mut Barrier) -> Option<EpochCommit> {
        let Deltas {
            edges,
            paths,
            calls,
            entities,
            owners,
            owners_gone,
            notes,
            traces,
            traces_gone,
            health,
            health_gone,
            agents,
            learned,
        } = std::mem::take(&mut self.pending);
        if barrier.rebuild {
            return None;
        }
        let mut tallies = std::mem::take(&mut barrier.tallies);
        let mut tally = |name: &str, by: i64| {
            if by != 0 {
                tallies.push((name.into(), by));
            }
        };
        tally("accepted", barrier.accepted as i64);
        for (reason, count) in &barrier.rejects {
            tally(&format!("rejected/{}", reason.as_str()), *count as i64);
        }
        for loss in &barrier.losses {
            tally("lost", loss.to - loss.from);
        }
        tallies.sort();
        let expire_before = self.expire_before(barrier);
        let mut positions: Vec<_> = barrier.positions.iter().map(|(_, p)| p.clone()).collect();
        positions.sort_by(|a, b| a.partition.cmp(&b.partition));
        Some(EpochCommit {
            epoch: barrier.epoch,
            clock: barrier.clock,
            watermark: barrier.watermark,
            edges,
            paths,
            calls,
            entities,
            owners,
            owners_gone,
            notes,
            traces,
            traces_gone,
            health,
            health_gone,
            positions,
            losses: barrier.losses.clone(),
            tallies,
            agents,
            learned,
            folded: barrier.folded,
            expire_before,
        })
    }

    fn records(batch: &Deltas) -> usize {
        batch.edges.len() + batch.paths.len() + batch.calls.len()
    }
}
