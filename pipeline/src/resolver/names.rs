//! Entities as the resolver names them, and which of them the store has not heard of yet.

use std::sync::Arc;

use portolan_model::{Entity, EntityId, EntityKind, Ip, Proto, Window};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::HopTarget;
use crate::directory::{Builtin, Owner, OwnerIdx};

use super::strangers::Strangers;

/// How many candidates an ambiguous entity names; the rest is a number.
const CANDIDATES: usize = 4;

/// A hop's version, port, protocol and window.
type Front = (OwnerIdx, u16, Proto, Window);

/// See the module.
pub(super) struct Names {
    environment: Arc<str>,
    known: FxHashSet<EntityId>,
    fresh: Vec<(EntityId, Entity)>,
    /// Unowned addresses that have an entity of their own.
    pub(super) strangers: Strangers,
    /// How often an unowned address was put under the shared entity, since last asked.
    pub(super) overflowed: i64,
    /// Targets, and whether nobody is known at one of them; valid
    /// while the directory stands still.
    pub(super) targets: FxHashMap<Front, (Arc<[HopTarget]>, bool)>,
}

impl Names {
    pub(super) fn new(environment: &str, max_strangers: usize, strangers: &[Ip]) -> Self {
        let environment = environment.into();
        Self {
            // Which addresses got in under the bound must not depend on when the process started.
            strangers: Strangers::new(&environment, max_strangers, strangers),
            environment,
            known: FxHashSet::default(),
            fresh: Vec::new(),
            overflowed: 0,
            targets: FxHashMap::default(),
        }
    }

    /// Entities named since the last call.
    pub(super) fn take_fresh(&mut self) -> Vec<(EntityId, Entity)> {
        std::mem::take(&mut self.fresh)
    }

    fn note(&mut self, id: EntityId, entity: impl FnOnce() -> Entity) {
        if self.known.insert(id) {
            self.fresh.push((id, entity()));
        }
    }

    /// Whether the store has heard of it, or will this epoch.
    pub(super) fn knows(&self, id: EntityId) -> bool {
        self.known.contains(&id)
    }

    pub(super) fn owner(&mut self, owner: &Owner) -> EntityId {
        self.note(owner.id, || (*owner.entity).clone());
        owner.id
    }

    /// Several owners are possible: an entity that says so, never one of them.
    pub(super) fn ambiguous<'a>(
        &mut self,
        candidates: impl Iterator<Item = &'a Entity>,
    ) -> EntityId {
        let entity = ambiguous(&self.environment, candidates);
        let id = entity.id();
        self.note(id, || entity);
        id
    }

    /// An address that means the same everywhere.
    pub(super) fn builtin(&mut self, what: Builtin) -> EntityId {
        let mut entity = self.entity(EntityKind::External, what.as_str());
        entity.detail = "Builtin".into();
        let id = entity.id();
        self.note(id, || entity);
        id
    }

    /// Nobody is known to own the address.
    pub(super) fn unknown(&mut self, ip: Ip) -> EntityId {
        if let Some(id) = self.strangers.get(ip) {
            return id;
        }
        let entity = self.strangers.entity(ip).unwrap_or_else(|_| {
            self.overflowed += 1;
            overflow(&self.environment)
        });
        let id = entity.id();
        self.note(id, || entity);
        id
    }

    fn entity(&self, kind: EntityKind, name: &str) -> Entity {
        Entity { environment: self.environment.clone(), ..Entity::new(kind, "", name) }
    }
}

/// Several owners that are possible, as one entity.
pub(crate) fn ambiguous<'a>(
    environment: &Arc<str>,
    candidates: impl Iterator<Item = &'a Entity>,
) -> Entity {
    let mut names: Vec<String> = candidates.map(ToString::to_string).collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(CANDIDATES);
    names.truncate(CANDIDATES);
    let mut name = names.join(" | ");
    if more > 0 {
        name = format!("{name} | {more} more");
    }
    let kind = EntityKind::Ambiguous;
    Entity { environment: environment.clone(), ..Entity::new(kind, "", &name) }
}

/// Stands for addresses that have no place of their own.
pub(crate) fn overflow(environment: &Arc<str>) -> Entity {
    let plain = Entity::new(EntityKind::Overflow, "", "addresses");
    Entity { environment: environment.clone(), ..plain }
}

/// An address that nobody is known to own, as an entity.
pub(crate) fn unowned(environment: &Arc<str>, ip: Ip) -> Entity {
    let kind = if ip.is_private() { EntityKind::Unresolved } else { EntityKind::External };
    Entity { environment: environment.clone(), ..Entity::new(kind, "", &ip.to_string()) }
}

/// The address that an entity of the store stands for, if it is an unowned one: what a line that
/// goes on must know again ([`Restored::strangers`](crate::Restored::strangers)).
pub fn stranger(entity: &Entity) -> Option<Ip> {
    let unowned = matches!(entity.kind, EntityKind::Unresolved | EntityKind::External)
        && entity.namespace.is_empty()
        && entity.detail.is_empty();
    if unowned { entity.name.parse().ok() } else { None }
}
