//! Owners as the lookup sees them.

use std::sync::Arc;

use portolan_model::{
    Backend, DeclaredPort, Entity, EntityId, EntityKind, HopClass, Ip, OwnerKind, OwnerRecord,
    Proto, ScopeId, ValidTime,
};

/// Place of an owner version in the directory.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OwnerIdx(pub(crate) u32);

/// One version of one owner.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    /// Equal for all versions of one uid.
    pub(crate) uid: u32,
    /// The address space of its addresses and backends.
    pub(crate) scope: ScopeId,
    pub(crate) entity: Entity,
    pub(crate) id: EntityId,
    /// The node it runs on; for a node, itself.
    pub(crate) node: Ip,
    /// When this version holds.
    pub(crate) valid: ValidTime,
    pub(crate) ports: Vec<DeclaredPort>,
    /// For hops: the class, and where it forwards to.
    pub(crate) hop: Option<HopClass>,
    pub(crate) backends: Arc<[Backend]>,
}

impl Owner {
    pub(crate) fn new(record: &OwnerRecord, uid: u32, environment: &Arc<str>) -> Self {
        let entity = entity_of(record, environment);
        let node = match record.kind {
            OwnerKind::Node => record.ips.first().copied().unwrap_or(record.node),
            _ => record.node,
        };
        let hop = match entity.kind {
            EntityKind::Hop(class) => Some(class),
            _ => None,
        };
        Self {
            uid,
            scope: ScopeId::of(&record.scope),
            id: entity.id(),
            entity,
            node,
            valid: record.valid,
            ports: record.ports.clone(),
            hop,
            backends: record.backends.clone().into(),
        }
    }

    pub(crate) fn declares(&self, proto: Proto, port: u16) -> bool {
        self.ports.contains(&DeclaredPort { proto, port })
    }
}

fn entity_of(record: &OwnerRecord, environment: &Arc<str>) -> Entity {
    let kind = match record.kind {
        OwnerKind::Pod | OwnerKind::Host => EntityKind::Workload,
        OwnerKind::Node => EntityKind::Node,
        OwnerKind::Service => EntityKind::Hop(HopClass::ClusterIp),
        OwnerKind::LoadBalancer => EntityKind::Hop(HopClass::LoadBalancer),
        OwnerKind::NatGateway => EntityKind::Hop(HopClass::NatGateway),
        OwnerKind::External => EntityKind::External,
        OwnerKind::Database => EntityKind::Database,
        OwnerKind::Cache => EntityKind::Cache,
        OwnerKind::Broker => EntityKind::Broker,
    };
    let default_detail = match record.kind {
        OwnerKind::Node => "Node",
        OwnerKind::Service => "Service",
        OwnerKind::LoadBalancer => "LoadBalancer",
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
