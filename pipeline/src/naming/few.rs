//! Which names are kept apart: of each group the few whose hashes are lowest.
//!
//! What is kept is a function of the set of names ever offered, never of their order, and a name that
//! is not among the lowest now will never be. Of `n` different names about `k (1 + ln (n / k))` are
//! kept at any time at all, so that the catalogue stays small however many come.

use std::collections::BTreeSet;

use portolan_model::EntityId;
use rustc_hash::{FxHashMap, FxHashSet};

/// See the module.
pub(super) struct Few {
    most: usize,
    kept: FxHashMap<EntityId, BTreeSet<EntityId>>,
    /// Kept once, and no longer since the last time that was asked.
    displaced: FxHashSet<EntityId>,
}

impl Few {
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: FxHashMap::default(), displaced: FxHashSet::default() }
    }

    /// Whether `name` is kept apart in `group`. Identities are hashes already.
    pub(super) fn keeps(&mut self, group: EntityId, name: EntityId) -> bool {
        let kept = self.kept.entry(group).or_default();
        if kept.contains(&name) {
            return true;
        }
        if kept.len() < self.most {
            kept.insert(name);
            return true;
        }
        if kept.last().is_none_or(|last| *last < name) {
            return false;
        }
        kept.insert(name);
        self.displaced.extend(kept.pop_last());
        true
    }

    /// What had to make room since the last call.
    pub(super) fn take_displaced(&mut self) -> FxHashSet<EntityId> {
        std::mem::take(&mut self.displaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_does_not_depend_on_the_order() {
        let names = [7, 3, 9, 1, 5].map(EntityId);
        let kept = |order: &[EntityId]| {
            let mut few = Few::new(2);
            for name in order {
                few.keeps(EntityId(0), *name);
            }
            names.map(|n| few.keeps(EntityId(0), n))
        };
        let mut back = names;
        back.reverse();
        assert_eq!(kept(&names), kept(&back));
        assert_eq!(kept(&names), [false, true, false, true, false]);
    }

    #[test]
    fn name_that_makes_room_is_told() {
        let mut few = Few::new(1);
        assert!(few.keeps(EntityId(0), EntityId(4)));
        assert!(few.keeps(EntityId(0), EntityId(2)));
        assert_eq!(few.take_displaced().into_iter().collect::<Vec<_>>(), [EntityId(4)]);
        assert!(few.keeps(EntityId(1), EntityId(4)), "another group has room of its own");
    }
}
