//! The size bound: what is over it is taken from the finest level that can give, oldest windows first.

use portolan_model::Window;

use super::FjallStore;

/// Epochs between two looks at the size: every file is asked for its length.
const LOOK_EVERY: u64 = 16;

// === impl FjallStore ===

impl FjallStore {
    /// If the store is over its bound, decides which windows go with the next commit: one span of one level, as files
    /// go by spans. The tallies of what is given up come back, in seconds of history.
    pub(super) fn squeeze(&mut self, epoch: u64) -> Vec<(String, i64)> {
        if self.max_bytes == 0 || !epoch.is_multiple_of(LOOK_EVERY) {
            return Vec::new();
        }
        let bytes = self.shared.db.disk_space().unwrap_or(0);
        if bytes <= self.max_bytes {
            return Vec::new();
        }
        let (store, bound) = (self.shared.path.display().to_string(), self.max_bytes);
        for at in 0..self.levels.len() {
            let Some(to) = self.to_give(at) else { continue };
            let level = &mut self.levels[at];
            let secs = level.len.secs();
            let oldest = level.packs.oldest().unwrap_or(level.expired).max(level.expired);
            let given = i64::from(to.0.saturating_sub(oldest.0));
            level.squeezed = to;
            tracing::warn!(%store, bytes, bound, level = secs, until = to.0, "the store is over its bound: the level is shortened");
            return vec![(format!("shortened/{secs}s"), given)];
        }
        tracing::warn!(%store, bytes, bound, "the store is over its bound, and no level can be shortened");
        Vec::new()
    }

    /// Up to which window a level can be expired so that files go: its oldest span, if the next level has merged it.
    fn to_give(&self, at: usize) -> Option<Window> {
        let level = &self.levels[at];
        let merged = match self.levels.get(at + 1) {
            Some(coarser) => level.len.window(coarser.sealed.start()),
            None => level.sealed,
        };
        let to = level.len.window(level.packs.after_oldest()?.start());
        (to > level.expired && to <= merged).then_some(to)
    }
}
