//! Addresses that nobody is known to own, and that are on the map by themselves: so many and no more.
//!
//! Flows, spans and metrics share the places. The store knows a stranger by its entity, whoever named it, and a line that
//! goes on gives a place to each that the store knows: so who has one must not depend on who asked.

use std::sync::Arc;

use portolan_model::{Entity, EntityId, Ip};
use rustc_hash::FxHashMap;

use super::names::unowned;

/// See the module.
pub(crate) struct Strangers {
    environment: Arc<str>,
    places: FxHashMap<Ip, EntityId>,
    most: usize,
}

// === impl Strangers ===

impl Strangers {
    /// Those that the store knows: also more than may be, by now.
    pub(super) fn new(environment: &Arc<str>, most: usize, restored: &[Ip]) -> Self {
        let places = restored.iter().map(|ip| (*ip, unowned(environment, *ip).id())).collect();
        Self { environment: environment.clone(), places, most }
    }

    /// Whether this epoch may take the last free places: which address gets one must then not depend
    /// on the order in which records came. At most `addresses` are asked for.
    pub(crate) fn may_run_out(&self, addresses: usize) -> bool {
        let used = self.places.len();
        used < self.most && used + addresses > self.most
    }

    /// The entity of an address that has a place.
    pub(super) fn get(&self, ip: Ip) -> Option<EntityId> {
        self.places.get(&ip).copied()
    }

    /// The entity of an address, if it has a place or gets one; else only who it would be.
    pub(crate) fn entity(&mut self, ip: Ip) -> Result<Entity, EntityId> {
        let entity = unowned(&self.environment, ip);
        if !self.places.contains_key(&ip) {
            if self.places.len() >= self.most {
                return Err(entity.id());
            }
            self.places.insert(ip, entity.id());
        }
        Ok(entity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_place_keeps_it_and_nobody_gets_one_over_the_bound() {
        let environment: Arc<str> = "".into();
        let [a, b, c] = [1, 2, 3].map(Ip::v4);
        let mut strangers = Strangers::new(&environment, 2, &[a]);
        assert!(!strangers.may_run_out(1) && strangers.may_run_out(2));
        assert_eq!(strangers.entity(b), Ok(unowned(&environment, b)));
        let refused = Err(unowned(&environment, c).id());
        assert_eq!((strangers.entity(c), strangers.get(c)), (refused, None));
        assert_eq!(strangers.entity(a), Ok(unowned(&environment, a)));
        assert!(!strangers.may_run_out(9), "nothing is left to be taken");
        let more = Strangers::new(&environment, 1, &[a, b]);
        assert!([a, b].iter().all(|ip| more.get(*ip).is_some()));
    }
}
