//! Versions of owners: as the lookup sees them, and as they are kept.
//!
//! A version is kept once, without the strings that it shares with others: a million of them are
//! remembered (`benches/benches/lookup.rs` prints what that takes).

use std::sync::Arc;

use portolan_model::{
    Backend, DeclaredPort, Entity, EntityId, EntityKind, HopClass, Ip, Nanos, NodePort, OwnerKind,
    OwnerRecord, Phase, Proto, ScopeId, ValidTime,
};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Place of an owner version in the directory.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerIdx(pub(crate) u32);

/// One version of one owner.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what the record left empty, each on its own")]
pub struct Owner {
    /// Number of the uid: equal for all versions of one owner.
    pub(crate) uid: u32,
    /// The address space of its addresses and backends.
    pub(crate) scope: ScopeId,
    pub(crate) entity: Arc<Entity>,
    pub(crate) id: EntityId,
    /// The node it runs on; for a node, itself.
    pub(crate) node: Ip,
    /// When this version holds, as far as the next does not.
    pub(crate) valid: ValidTime,
    pub(crate) ports: Box<[DeclaredPort]>,
    /// For hops: the class, and where it forwards to.
    pub(crate) hop: Option<HopClass>,
    pub(crate) backends: Arc<[Backend]>,
    /// What the record says of its end.
    told_end: (Nanos, Nanos),
    observed_at: Nanos,
    name: Box<str>,
    pub(super) ips: SmallVec<[Ip; 1]>,
    told_node: bool,
    kind: OwnerKind,
    phase: Phase,
    pub(super) host_network: bool,
    no_environment: bool,
    no_owner_name: bool,
    no_owner_kind: bool,
    pub(super) more: Option<Box<More>>,
}

/// What few owners have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct More {
    pub(super) cidrs: Vec<(Ip, u8)>,
    pub(super) node_ports: Vec<NodePort>,
    pub(super) host_ports: Vec<DeclaredPort>,
    pub(super) observer: Ip,
}

/// Entities that owners share.
#[derive(Default)]
pub(super) struct Entities(FxHashMap<EntityId, Arc<Entity>>);

impl Owner {
    pub(super) fn new(
        record: &OwnerRecord,
        uid: u32,
        environment: &Arc<str>,
        entities: &mut Entities,
    ) -> Self {
        let entity = entity_of(record, environment);
        let id = entity.id();
        let entity = entities.0.entry(id).or_insert_with(|| entity.into()).clone();
        let node = match record.kind {
            OwnerKind::Node if record.node.is_none() => {
                record.ips.first().copied().unwrap_or(Ip::NONE)
            }
            _ => record.node,
        };
        let hop = match entity.kind {
            EntityKind::Hop(class) => Some(class),
            _ => None,
        };
        let more = More {
            cidrs: record.cidrs.clone(),
            node_ports: record.node_ports.clone(),
            host_ports: record.host_ports.clone(),
            observer: record.observer,
        };
        Self {
            uid,
            scope: ScopeId::of(&record.scope),
            entity,
            id,
            node,
            valid: record.valid,
            ports: record.ports.as_slice().into(),
            hop,
            backends: record.backends.as_slice().into(),
            told_end: (record.valid.to, record.valid.to_hi),
            observed_at: record.observed_at,
            name: (&*record.name).into(),
            ips: record.ips.as_slice().into(),
            told_node: node == record.node,
            kind: record.kind,
            phase: record.phase,
            host_network: record.host_network,
            no_environment: record.environment.is_empty(),
            no_owner_name: record.owner_name.is_empty(),
            no_owner_kind: record.owner_kind.is_empty(),
            more: (!more.is_empty()).then(|| more.into()),
        }
    }

    /// The record that it was made of.
    pub(super) fn record(&self, scope: &Arc<str>, uid: &Arc<str>) -> OwnerRecord {
        let unless = |empty: bool, text: &Arc<str>| if empty { "".into() } else { text.clone() };
        let more = self.more.as_deref();
        OwnerRecord {
            scope: scope.clone(),
            uid: uid.clone(),
            kind: self.kind,
            environment: unless(self.no_environment, &self.entity.environment),
            namespace: self.entity.namespace.clone(),
            name: (&*self.name).into(),
            owner_name: unless(self.no_owner_name, &self.entity.name),
            owner_kind: unless(self.no_owner_kind, &self.entity.detail),
            node: if self.told_node { self.node } else { Ip::NONE },
            host_network: self.host_network,
            phase: self.phase,
            ips: self.ips.to_vec(),
            cidrs: more.map(|m| m.cidrs.clone()).unwrap_or_default(),
            ports: self.ports.to_vec(),
            backends: self.backends.to_vec(),
            node_ports: more.map(|m| m.node_ports.clone()).unwrap_or_default(),
            host_ports: more.map(|m| m.host_ports.clone()).unwrap_or_default(),
            observer: more.map_or(Ip::NONE, |m| m.observer),
            valid: self.told(),
            observed_at: self.observed_at,
        }
    }

    /// When it holds by its own word, whatever comes after.
    pub(super) fn told(&self) -> ValidTime {
        ValidTime { to: self.told_end.0, to_hi: self.told_end.1, ..self.valid }
    }

    /// A delete says that it ended. Whether that is news.
    pub(super) fn end(&mut self, (at, at_hi): (Nanos, Nanos)) -> bool {
        let told = self.told().ended(at, at_hi);
        let news = (told.to, told.to_hi) != self.told_end;
        self.told_end = (told.to, told.to_hi);
        news
    }

    /// Whether it may have any address: one that ended without a word of when never surely had it.
    pub(super) fn claims(&self) -> bool {
        self.phase == Phase::Running || self.told_end.0 != Nanos::MAX
    }

    pub(crate) fn declares(&self, proto: Proto, port: u16) -> bool {
        self.ports.contains(&DeclaredPort { proto, port })
    }

    /// The service's own port, for a port that somebody dialled at a node.
    pub(crate) fn front_port(&self, proto: Proto, port: u16) -> u16 {
        let node_ports = self.more.as_deref().map_or(&[][..], |m| &m.node_ports);
        let behind = node_ports.iter().find(|p| p.proto == proto && p.node_port == port);
        match behind {
            Some(behind) if !self.declares(proto, port) => behind.port,
            _ => port,
        }
    }

    /// Which instance of its workload it is.
    pub(super) fn instance(&self) -> (Ip, &str, Nanos) {
        (self.node, &self.name, self.valid.from)
    }

    /// The kind of the owner.
    pub(super) fn kind(&self) -> OwnerKind {
        self.kind
    }

    /// Takes over when the source saw the same once more.
    pub(super) fn seen_again(&mut self, observed_at: Nanos) {
        self.observed_at = observed_at;
    }
}

impl More {
    fn is_empty(&self) -> bool {
        self.cidrs.is_empty()
            && self.node_ports.is_empty()
            && self.host_ports.is_empty()
            && self.observer.is_none()
    }
}

impl Entities {
    /// Lets go of those that no owner has any more.
    pub(super) fn tidy(&mut self) {
        self.0.retain(|_, entity| Arc::strong_count(entity) > 1);
    }
}

fn entity_of(record: &OwnerRecord, environment: &Arc<str>) -> Entity {
    let kind = match record.kind {
        OwnerKind::Pod | OwnerKind::Host => EntityKind::Workload,
        OwnerKind::Node => EntityKind::Node,
        OwnerKind::Service => EntityKind::Hop(HopClass::ClusterIp),
        OwnerKind::LoadBalancer => EntityKind::Hop(HopClass::LoadBalancer),
        OwnerKind::NatGateway => EntityKind::Hop(HopClass::NatGateway),
        OwnerKind::External | OwnerKind::DnsName => EntityKind::External,
        OwnerKind::Database => EntityKind::Database,
        OwnerKind::Cache => EntityKind::Cache,
        OwnerKind::Broker => EntityKind::Broker,
    };
    let default_detail = match record.kind {
        OwnerKind::Node => "Node",
        OwnerKind::Service => "Service",
        OwnerKind::LoadBalancer => "LoadBalancer",
        OwnerKind::DnsName => "Name",
        _ => "",
    };
    let name = if record.owner_name.is_empty() { &record.name } else { &record.owner_name };
    Entity {
        environment: if record.environment.is_empty() {
            environment.clone()
        } else {
            record.environment.clone()
        },
        namespace: record.namespace.clone(),
        name: name.clone(),
        kind,
        detail: if record.owner_kind.is_empty() {
            default_detail.into()
        } else {
            record.owner_kind.clone()
        },
    }
}
