//! Which entities of different layers are the same thing.
//!
//! Flows name workloads, spans and metrics name services. A service and a workload are one node if
//! name, namespace and environment are equal. An empty namespace or environment fits any, but only
//! where just one other identity of that name fits: `web` is `shop/web` as long as there is no
//! `old/web`. Where two workloads would become one node, nothing meets: they are known to differ.
//! Names are compared as they are; no other kind of entity ever meets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portolan_model::{Entity, EntityId, EntityKind};
use rustc_hash::FxHashMap;

/// The entities that are shown as another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meeting {
    shown_as: FxHashMap<EntityId, EntityId>,
    /// Services that fit several workloads, and so stay apart.
    pub ambiguous: u64,
}

/// Environment and namespace.
type Identity = (Arc<str>, Arc<str>);

/// Who has an identity.
#[derive(Default)]
struct Holders {
    services: Vec<EntityId>,
    workloads: Vec<EntityId>,
}

// === impl Meeting ===

impl Meeting {
    /// Judges all entities that are known, those without an edge too: what a name means must not
    /// depend on the range that is asked for. The order of the entities does not matter.
    pub fn of<'a>(entities: impl IntoIterator<Item = (EntityId, &'a Arc<Entity>)>) -> Self {
        let mut names: BTreeMap<&str, BTreeMap<Identity, Holders>> = BTreeMap::new();
        for (id, entity) in entities {
            if !matches!(entity.kind, EntityKind::Service | EntityKind::Workload) {
                continue;
            }
            let identity = (Arc::from(&*entity.environment), Arc::from(&*entity.namespace));
            let holders = names.entry(&entity.name).or_default().entry(identity).or_default();
            match entity.kind {
                EntityKind::Service => holders.services.push(id),
                _ => holders.workloads.push(id),
            }
        }
        let mut meeting = Self::default();
        for identities in names.into_values() {
            meeting.name(&identities);
        }
        meeting
    }

    /// The entity that stands for one: the workload, or itself.
    pub fn shown(&self, id: EntityId) -> EntityId {
        self.shown_as.get(&id).copied().unwrap_or(id)
    }

    /// Settles one name.
    fn name(&mut self, identities: &BTreeMap<Identity, Holders>) {
        let all: Vec<&Identity> = identities.keys().collect();
        // Each identity starts as a group of its own, and joins the only one that fits it.
        let mut group: Vec<usize> = (0..all.len()).collect();
        for (at, identity) in all.iter().enumerate() {
            let mut fits = (0..all.len()).filter(|o| *o != at && fit(identity, all[*o]));
            if let (Some(only), None) = (fits.next(), fits.next()) {
                // One that says less than this may fit several, and then it is not said which it is.
                let back = (0..all.len()).filter(|o| *o != only && fit(all[only], all[*o]));
                let says_less = blanks(identity) > blanks(all[only]);
                if says_less || back.count() == 1 {
                    let (from, to) = (group[at], group[only]);
                    group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
                }
            }
        }
        let holders: Vec<&Holders> = identities.values().collect();
        for root in group.iter().copied().collect::<BTreeSet<usize>>() {
            let of = || (0..all.len()).filter(|at| group[*at] == root).map(|at| holders[at]);
            let workloads: Vec<EntityId> = of().flat_map(|h| h.workloads.clone()).collect();
            let services = of().flat_map(|h| h.services.clone());
            match workloads.as_slice() {
                [] => {}
                [one] => self.shown_as.extend(services.map(|service| (service, *one))),
                _ => self.ambiguous += services.count() as u64,
            }
        }
    }
}

/// Whether two identities may be one: each part is equal, or one of the two does not say.
fn fit(a: &Identity, b: &Identity) -> bool {
    let part = |a: &str, b: &str| a == b || a.is_empty() || b.is_empty();
    part(&a.0, &b.0) && part(&a.1, &b.1)
}

fn blanks((environment, namespace): &Identity) -> u8 {
    u8::from(environment.is_empty()) + u8::from(namespace.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `workload prod/shop/web`: kind, environment, namespace, name (`-` is empty).
    fn shown(text: &str) -> Vec<String> {
        let entities: Vec<(EntityId, Arc<Entity>)> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (kind, path) = line.split_once(' ').unwrap();
                let kind = *EntityKind::ALL.iter().find(|k| k.as_str() == kind).expect("a kind");
                let parts: Vec<&str> =
                    path.split('/').map(|p| if p == "-" { "" } else { p }).collect();
                let mut entity = Entity::new(kind, parts[1], parts[2]);
                entity.environment = parts[0].into();
                (entity.id(), Arc::new(entity))
            })
            .collect();
        let meeting = Meeting::of(entities.iter().map(|(id, e)| (*id, e)));
        let back = Meeting::of(entities.iter().rev().map(|(id, e)| (*id, e)));
        assert_eq!(meeting, back, "the order of entities does not matter");
        let at = |id| entities.iter().position(|(other, _)| *other == id).unwrap();
        let text = entities.iter().filter(|(id, _)| meeting.shown(*id) != *id);
        text.map(|(id, _)| format!("{}={}", at(*id), at(meeting.shown(*id)))).collect()
    }

    #[test]
    fn service_and_workload_of_one_name_are_one_node() {
        assert_eq!(shown("workload prod/shop/web\nservice prod/shop/web"), ["1=0"]);
    }

    #[test]
    fn same_name_in_two_namespaces_is_two_nodes() {
        assert_eq!(shown("workload prod/shop/web\nservice prod/old/web"), [""; 0]);
        assert_eq!(shown("workload prod/shop/web\nservice test/shop/web"), [""; 0]);
    }

    #[test]
    fn name_without_a_namespace_meets_the_only_one_that_fits() {
        assert_eq!(shown("workload prod/shop/web\nservice -/-/web"), ["1=0"]);
        assert_eq!(shown("workload -/shop/web\nservice prod/shop/web"), ["1=0"]);
    }

    #[test]
    fn name_without_a_namespace_that_fits_two_meets_none() {
        let two = "workload -/shop/web\nworkload -/old/web\nservice -/-/web";
        assert_eq!(shown(two), [""; 0]);
        let other = "workload -/shop/web\nservice -/old/web\nservice -/-/web";
        assert_eq!(shown(other), [""; 0]);
    }

    #[test]
    fn exact_name_meets_although_a_loose_one_is_about() {
        let text = "workload -/shop/web\nservice -/shop/web\nworkload -/old/web\nservice -/-/web";
        assert_eq!(shown(text), ["1=0"]);
    }

    #[test]
    fn other_kinds_never_meet() {
        assert_eq!(shown("database -/shop/web\nservice -/shop/web"), [""; 0]);
        assert_eq!(shown("node -/-/web\nservice -/-/web"), [""; 0]);
    }
}
