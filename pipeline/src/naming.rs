//! Who the ends of calls are, and which of them the store has not heard of yet: for spans and for
//! metrics alike.
//!
//! A service is named by what it tells of itself. The other end is, in this order: the service that
//! is named, the owner of the address as the directory has it, a database, an address (trace
//! semantics, C.5). Several possible owners are never resolved by choosing one.

mod far;
mod few;

use std::sync::Arc;

use portolan_model::{CallSource, Entity, EntityId, EntityKind, Ip, Nanos, Proto};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::directory::{Directory, Found, Lookup};
use crate::resolver::{Strangers, ambiguous, overflow, stranger};

use crate::tally::{Count, count};
pub(crate) use far::Far;

use few::Few;

/// Which end a half does not speak for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It is a server's half: the other end called it.
    Caller,
    /// It is a caller's half: the other end was called.
    Server,
}

/// Names that outlive a barrier.
pub(crate) struct Names {
    environment: Arc<str>,
    user: Arc<str>,
    /// Every entity that was named, but for those that had to make room.
    named: FxHashMap<EntityId, Arc<Entity>>,
    fresh: Vec<(EntityId, Entity)>,
    /// Entities of a kind, under its bound.
    few: Few,
    /// Operations of a server, under theirs.
    few_operations: Few,
    /// Identity of an operation of spans by server and number; empty if it is not kept apart.
    pub(crate) operations: FxHashMap<(EntityId, u32), EntityId>,
    /// Names that went under a shared entity since last asked: each once, however often and in whatever order it came up.
    refused: FxHashSet<EntityId>,
    overflowed: i64,
}

/// Names ends at a barrier.
pub(crate) struct Naming<'a> {
    pub(crate) names: &'a mut Names,
    pub(crate) directory: &'a Directory,
    pub(crate) strangers: &'a mut Strangers,
    pub(crate) tolerance: Nanos,
}

// === impl Names ===

impl Names {
    pub(crate) fn new(
        environment: &str,
        user: &str,
        (max_names, max_operations): (usize, usize),
        restored: &[Entity],
    ) -> Self {
        let mut names = Self {
            environment: environment.into(),
            user: user.into(),
            named: FxHashMap::default(),
            fresh: Vec::new(),
            few: Few::new(max_names),
            few_operations: Few::new(max_operations),
            operations: FxHashMap::default(),
            refused: FxHashSet::default(),
            overflowed: 0,
        };
        // What is kept apart must not depend on when the process started.
        // Addresses that nobody owns have places of their own.
        for entity in restored.iter().filter(|entity| stranger(entity).is_none()) {
            if entity.kind == EntityKind::Operation {
                names.few_operations.keeps(siblings(entity), entity.id());
            } else {
                names.few.keeps(kind_group(entity.kind), entity.id());
            }
        }
        names.few.take_displaced();
        names.few_operations.take_displaced();
        names
    }

    /// Entities named since the last call, but for those that had to make room again.
    pub(crate) fn take_fresh(&mut self) -> Vec<(EntityId, Entity)> {
        std::mem::take(&mut self.fresh)
    }

    /// What had to make room since the last call: calls that name it are to be judged again.
    pub(crate) fn take_displaced(&mut self) -> FxHashSet<EntityId> {
        let mut displaced = self.few.take_displaced();
        displaced.extend(self.few_operations.take_displaced());
        if !displaced.is_empty() {
            self.operations.clear();
            self.named.retain(|id, _| !displaced.contains(id));
            self.fresh.retain(|(id, _)| !displaced.contains(id));
        }
        displaced
    }

    /// Memory was rebuilt: what was named meanwhile is told when it is named again.
    pub(crate) fn forget(&mut self) {
        self.named.clear();
        self.fresh.clear();
        self.operations.clear();
    }

    /// What is counted of them.
    pub(crate) fn count(&mut self) -> Count<'_> {
        self.overflowed += self.refused.drain().count() as i64;
        count("names_overflowed", &mut self.overflowed)
    }

    /// Numbers of operations were given away anew.
    pub(crate) fn forget_numbers(&mut self) {
        self.operations.clear();
    }

    fn note(&mut self, id: EntityId, entity: Entity) -> EntityId {
        self.fresh.push((id, entity.clone()));
        self.named.insert(id, entity.into());
        id
    }

    /// The entity, or what it goes under if its kind has too many.
    fn entity(&mut self, entity: Entity) -> EntityId {
        let id = entity.id();
        if self.named.contains_key(&id) {
            return id;
        }
        if !self.few.keeps(kind_group(entity.kind), id) {
            self.refused.insert(id);
            let name = format!("{} names", entity.kind.as_str());
            return self.sure(self.plain(EntityKind::Overflow, &name));
        }
        self.note(id, entity)
    }

    /// An entity of which foreign input cannot make any number.
    fn sure(&mut self, entity: Entity) -> EntityId {
        let id = entity.id();
        if self.named.contains_key(&id) { id } else { self.note(id, entity) }
    }

    fn plain(&self, kind: EntityKind, name: &str) -> Entity {
        Entity { environment: self.environment.clone(), ..Entity::new(kind, "", name) }
    }
}

/// Whether spans can make any number of entities of a kind. A line that goes on must know them again
/// ([`Restored::named`](crate::Restored::named)).
pub const fn is_named_by_spans(kind: EntityKind) -> bool {
    matches!(
        kind,
        EntityKind::Service
            | EntityKind::Database
            | EntityKind::Cache
            | EntityKind::Topic
            | EntityKind::Broker
            | EntityKind::External
            | EntityKind::Unresolved
            | EntityKind::Operation
    )
}

fn kind_group(kind: EntityKind) -> EntityId {
    EntityId(u64::from(kind.code()))
}

/// The group of an operation: all operations of the server of that name.
fn siblings(operation: &Entity) -> EntityId {
    Entity { name: "".into(), ..operation.clone() }.id()
}

// === impl Naming ===

impl Naming<'_> {
    /// The entity of a service.
    pub(crate) fn service(&mut self, id: EntityId, entity: &Entity) -> EntityId {
        if self.names.named.contains_key(&id) {
            return id;
        }
        self.names.entity(entity.clone())
    }

    /// The same of a name, as one of the operations of a server.
    pub(crate) fn operation(&mut self, server: EntityId, name: &Arc<str>) -> EntityId {
        let Some(of) = self.names.named.get(&server) else { return EntityId::NONE };
        let operation = Entity {
            environment: of.environment.clone(),
            namespace: of.namespace.clone(),
            name: name.clone(),
            kind: EntityKind::Operation,
            detail: of.name.clone(),
        };
        let id = operation.id();
        if self.names.named.contains_key(&id) {
            return id;
        }
        if !self.names.few_operations.keeps(siblings(&operation), id) {
            return EntityId::NONE;
        }
        self.names.note(id, operation)
    }

    /// Stands for whoever is not known: rows with it count nothing, and say how much is missing.
    pub(crate) fn unknown(&mut self) -> EntityId {
        let unknown = self.names.plain(EntityKind::Unresolved, "unknown");
        self.names.sure(unknown)
    }

    /// Who calls from outside, by a name that is ours.
    pub(crate) fn user(&mut self, name: Option<&str>) -> EntityId {
        let own = self.names.user.clone();
        let user = self.names.plain(EntityKind::User, name.unwrap_or(&own));
        self.names.sure(user)
    }

    /// The topic that is sent to or taken from, or the broker where no topic is named (C.6).
    pub(crate) fn topic(&mut self, far: &Far) -> Option<EntityId> {
        let topic = far.topic()?;
        Some(self.names.entity(topic))
    }

    /// The other end of a half, by what the half says of it. Of a caller, only who is known by name
    /// or owner: its address is one of many.
    pub(crate) fn far(
        &mut self,
        far: &Far,
        at: Nanos,
        side: Side,
    ) -> Option<(EntityId, CallSource)> {
        if far.is_blank() {
            return None;
        }
        if let Some(peer) = far.peer() {
            return Some((self.names.entity(peer), CallSource::TracePeer));
        }
        if let Some(owner) = self.owner(far, at, side) {
            return Some(owner);
        }
        if side == Side::Caller {
            return None;
        }
        let id = match far.in_cluster().or_else(|| far.by_name()) {
            Some(entity) => self.names.entity(entity),
            None => self.stranger(far.stranger()?),
        };
        Some((id, CallSource::TracePeer))
    }

    /// An address that nobody owns: the same entity as flows to it have, and the same places.
    fn stranger(&mut self, ip: Ip) -> EntityId {
        let entity = self.strangers.entity(ip).unwrap_or_else(|id| {
            self.names.refused.insert(id);
            overflow(&self.names.environment)
        });
        self.names.sure(entity)
    }

    /// Who owns the address, if anybody does. A machine is not who was meant: processes share its
    /// addresses.
    fn owner(&mut self, far: &Far, at: Nanos, side: Side) -> Option<(EntityId, CallSource)> {
        if far.ip.is_none() {
            return None;
        }
        let look = Lookup {
            scope: far.scope,
            ip: far.ip,
            port: far.ip_port,
            proto: Proto::TCP,
            at,
            until: at,
            sends: side == Side::Caller,
            tolerance: self.tolerance,
            seen_on: [Ip::NONE; 2],
            peer: Ip::NONE,
        };
        let index = self.directory.index_of(far.scope, far.ip);
        match self.directory.find(index, &look) {
            Found::One(owner, _) => {
                let owner = self.directory.owner(owner);
                if owner.entity.kind == EntityKind::Node {
                    return None;
                }
                let id = self.names.sure((*owner.entity).clone());
                Some((id, CallSource::TraceAddress))
            }
            Found::Many(owners) => {
                let candidates = owners.iter().map(|o| &*self.directory.owner(*o).entity);
                let entity = ambiguous(&self.names.environment, candidates);
                Some((self.names.sure(entity), CallSource::TracePeer))
            }
            Found::Builtin(_) | Found::Nobody => None,
        }
    }
}
