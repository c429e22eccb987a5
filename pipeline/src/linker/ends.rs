//! Who the ends of a call are, and which of them the store has not heard of yet.
//!
//! A service is named by its spans. The other end of a half that stays alone is, in this order: the
//! service that the span names, the owner of the address as the directory has it, a database, an
//! address (trace semantics, C.5). Several possible owners are never resolved by choosing one.

use std::sync::Arc;

use portolan_model::{CallSource, Entity, EntityId, EntityKind, Ip, Nanos, Proto};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::directory::{Directory, Found, Lookup};
use crate::resolver::{ambiguous, unowned};

use super::few::Few;
use super::gather::Pools;
use super::span::{Far, Marks, Span};

/// Ports that say no more than the protocol does, and are left out of names (C.5).
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// Which end a span does not speak for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// It is a server's half: the other end called it.
    Caller,
    /// It is a caller's half: the other end was called.
    Server,
}

/// Names that outlive a barrier.
pub(super) struct Names {
    environment: Arc<str>,
    user: Arc<str>,
    /// Every entity that was named, but for those that had to make room.
    named: FxHashMap<EntityId, Arc<Entity>>,
    fresh: Vec<(EntityId, Entity)>,
    /// Entities of a kind, under its bound.
    few: Few,
    /// Operations of a server, under theirs.
    few_operations: Few,
    /// Identity of an operation by server and number; empty if it is not kept apart.
    operations: FxHashMap<(EntityId, u32), EntityId>,
    /// How often a name was put under a shared entity, since last asked.
    pub(super) overflowed: i64,
}

/// Names the ends of the calls of an epoch.
pub(super) struct Ends<'a> {
    pub(super) names: &'a mut Names,
    pub(super) pools: &'a Pools,
    pub(super) directory: &'a Directory,
    pub(super) tolerance: Nanos,
}

// === impl Names ===

impl Names {
    pub(super) fn new(
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
            overflowed: 0,
        };
        // What is kept apart must not depend on when the process started.
        for entity in restored {
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
    pub(super) fn take_fresh(&mut self) -> Vec<(EntityId, Entity)> {
        std::mem::take(&mut self.fresh)
    }

    /// What had to make room since the last call: calls that name it are to be judged again.
    pub(super) fn take_displaced(&mut self) -> FxHashSet<EntityId> {
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
    pub(super) fn forget(&mut self) {
        self.named.clear();
        self.fresh.clear();
        self.operations.clear();
        self.overflowed = 0;
    }

    /// Numbers of operations were given away anew.
    pub(super) fn forget_numbers(&mut self) {
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
            self.overflowed += 1;
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

// === impl Ends ===

impl Ends<'_> {
    /// Makes sure that a service is on the map, even if no edge of it is (C.3).
    pub(super) fn note_service(&mut self, who: u32) {
        if who != 0 {
            self.service(who);
        }
    }

    /// The entity of a service.
    pub(super) fn service(&mut self, who: u32) -> EntityId {
        let service = self.pools.services.get(who);
        if self.names.named.contains_key(&service.id) {
            return service.id;
        }
        self.names.entity((*service.entity).clone())
    }

    /// The operation that a span names, as one of those of a server.
    pub(super) fn operation(&mut self, server: EntityId, span: &Span) -> EntityId {
        if span.operation == 0 {
            return EntityId::NONE;
        }
        let key = (server, span.operation);
        if let Some(id) = self.names.operations.get(&key) {
            return *id;
        }
        let id = self.name_operation(server, self.pools.operations.get(span.operation));
        self.names.operations.insert(key, id);
        id
    }

    fn name_operation(&mut self, server: EntityId, name: &Arc<str>) -> EntityId {
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
    pub(super) fn unknown(&mut self) -> EntityId {
        let unknown = self.names.plain(EntityKind::Unresolved, "unknown");
        self.names.sure(unknown)
    }

    /// The topic that a span sends to or takes from, or the broker where it names no topic (C.6).
    pub(super) fn topic(&mut self, span: &Span) -> Option<EntityId> {
        let far = self.pools.far.get(span.far);
        let (kind, name): (_, Arc<str>) = if far.destination.is_empty() {
            (EntityKind::Broker, far.peer.clone())
        } else if &*far.destination == TEMPORARY {
            (EntityKind::Topic, format!("{}/{TEMPORARY}", far.messaging_system).into())
        } else {
            (EntityKind::Topic, far.destination.clone())
        };
        if name.is_empty() {
            return None;
        }
        let environment = far.environment.clone();
        let detail = far.messaging_system.clone();
        let namespace = "".into();
        Some(self.names.entity(Entity { environment, namespace, name, kind, detail }))
    }

    /// Whether naming the other end of a half asks the directory.
    pub(super) fn asks(&self, span: &Span) -> bool {
        let far = self.pools.far.get(span.far);
        far.peer.is_empty() && !far.ip.is_none()
    }

    /// Who called a server that begins a trace (C.7).
    pub(super) fn root_caller(&mut self, server: &Span) -> (EntityId, CallSource) {
        if server.is(Marks::SYNTHETIC) {
            let synthetic = self.names.plain(EntityKind::User, "synthetic");
            return (self.names.sure(synthetic), CallSource::TracePeer);
        }
        if let Some(known) = self.far(server, Side::Caller) {
            return known;
        }
        let ip = self.pools.far.get(server.far).ip;
        if !ip.is_none() && ip.is_private() {
            return (self.unknown(), CallSource::TracePeer);
        }
        let user = self.names.user.clone();
        let user = self.names.plain(EntityKind::User, &user);
        (self.names.sure(user), CallSource::TracePeer)
    }

    /// The other end of a half, by what the half says of it. Of a caller, only who is known by name
    /// or owner: its address is one of many.
    pub(super) fn far(&mut self, span: &Span, side: Side) -> Option<(EntityId, CallSource)> {
        let far = self.pools.far.get(span.far);
        if far.is_blank() {
            return None;
        }
        if !far.peer.is_empty() {
            let entity = Entity {
                environment: far.environment.clone(),
                namespace: far.peer_namespace.clone(),
                name: far.peer.clone(),
                kind: if far.db_system.is_empty() { EntityKind::Service } else { store(far) },
                detail: far.db_system.clone(),
            };
            return Some((self.names.entity(entity), CallSource::TracePeer));
        }
        if let Some(owner) = self.owner(far, span.start, side) {
            return Some(owner);
        }
        if side == Side::Caller {
            return None;
        }
        let entity = self.named_by_address(far)?;
        Some((self.names.entity(entity), CallSource::TracePeer))
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

    /// A database, or something outside, by its address.
    fn named_by_address(&self, far: &Far) -> Option<Entity> {
        let bare_ip = far.address.is_empty() || far.address.parse::<Ip>().is_ok();
        let address = match far.port {
            _ if far.address.is_empty() && far.ip.is_none() => String::new(),
            _ if far.address.is_empty() => with_port(&far.ip.to_string(), far.ip_port),
            port => with_port(&far.address, port),
        };
        let plain = |kind, name: &str, detail: &Arc<str>| Entity {
            environment: far.environment.clone(),
            namespace: "".into(),
            name: name.into(),
            kind,
            detail: detail.clone(),
        };
        if !far.db_system.is_empty() {
            let at = if address.is_empty() { &*far.db_system } else { &address };
            let name = if far.db_name.is_empty() {
                at.to_owned()
            } else {
                format!("{at}/{}", far.db_name)
            };
            return Some(plain(store(far), &name, &far.db_system));
        }
        if address.is_empty() {
            return None;
        }
        if bare_ip {
            // The same entity as flows to the address have.
            return Some(unowned(&self.names.environment, far.ip));
        }
        Some(plain(EntityKind::External, &address, &"".into()))
    }
}

/// What the decoders write for topics that are made for one use.
const TEMPORARY: &str = "(temporary)";

/// What kind of store a database system is.
fn store(far: &Far) -> EntityKind {
    match &*far.db_system {
        "redis" | "memcached" | "valkey" | "dragonfly" | "keydb" => EntityKind::Cache,
        _ => EntityKind::Database,
    }
}

fn with_port(host: &str, port: u16) -> String {
    match port {
        0 => host.to_owned(),
        port if DEFAULT_PORTS.contains(&port) => host.to_owned(),
        port if host.contains(':') => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    }
}
