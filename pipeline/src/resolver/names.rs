//! Entities as the resolver names them, and which of them the store has not heard of yet.

use std::sync::Arc;

use portolan_model::{Entity, EntityId, EntityKind, Ip, Proto, Window};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::HopTarget;
use crate::directory::{Builtin, Owner, OwnerIdx};

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
    strangers: FxHashMap<Ip, EntityId>,
    max_strangers: usize,
    /// How often an unowned address was put under the shared entity, since last asked.
    pub(super) overflowed: u64,
    /// Targets, and whether nobody is known at one of them; valid
    /// while the directory stands still.
    pub(super) targets: FxHashMap<Front, (Arc<[HopTarget]>, bool)>,
}

impl Names {
    pub(super) fn new(environment: &str, max_strangers: usize, strangers: &[Ip]) -> Self {
        let mut names = Self {
            environment: environment.into(),
            known: FxHashSet::default(),
            fresh: Vec::new(),
            strangers: FxHashMap::default(),
            max_strangers,
            overflowed: 0,
            targets: FxHashMap::default(),
        };
        // Which addresses got in under the bound must not depend on when the process started.
        for ip in strangers {
            let id = names.stranger(*ip).id();
            names.strangers.insert(*ip, id);
        }
        names
    }

    /// Entities named since the last call.
    pub(super) fn take_fresh(&mut self) -> Vec<(EntityId, Entity)> {
        std::mem::take(&mut self.fresh)
    }

    /// Whether this epoch may take the last free places: which address gets one must then not depend
    /// on the order in which records came. `addresses` are all that are remembered.
    pub(super) fn may_run_out(&self, addresses: usize) -> bool {
        let used = self.strangers.len();
        used < self.max_strangers && used + addresses > self.max_strangers
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
        if let Some(id) = self.strangers.get(&ip) {
            return *id;
        }
        let entity = if self.strangers.len() < self.max_strangers {
            self.stranger(ip)
        } else {
            self.overflowed += 1;
            self.entity(EntityKind::Overflow, "addresses")
        };
        let id = entity.id();
        if entity.kind != EntityKind::Overflow {
            self.strangers.insert(ip, id);
        }
        self.note(id, || entity);
        id
    }

    fn stranger(&self, ip: Ip) -> Entity {
        unowned(&self.environment, ip)
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
