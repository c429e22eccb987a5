//! Who takes part in the map: services, workloads, hops, and the honest names of what is not known.

use std::fmt;
use std::sync::Arc;

/// The identity of a node of the graph: a stable 64-bit hash of the entity's parts.
///
/// Derived from the name and never handed out in order of arrival, so that an epoch done again
/// writes the same keys, and two replicas agree without speaking to each other.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntityId(pub u64);

/// What an entity is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// A named service, as traces and catalogues know it.
    Service,
    /// A deployed workload (Deployment, StatefulSet, job, virtual machine group).
    Workload,
    /// A machine.
    Node,
    /// A database.
    Database,
    /// A cache.
    Cache,
    /// A topic or queue.
    Topic,
    /// A message broker.
    Broker,
    /// Something outside, by address or name.
    External,
    /// An intermediary that forwards calls.
    Hop(HopClass),
    /// Several owners are possible; none was chosen.
    Ambiguous,
    /// No owner is known.
    Unresolved,
    /// The end user.
    User,
    /// What went over a bound, with exact totals.
    Overflow,
    /// A method, route or statement of a service: names calls, never an end of an edge.
    Operation,
}

/// Classes of intermediaries (flow semantics, section 4.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HopClass {
    /// Kubernetes Service address: kube-proxy, Cilium, `NodePort`.
    ClusterIp,
    /// Load balancer with listeners and targets.
    LoadBalancer,
    /// Address translation gateway.
    NatGateway,
    /// Sidecar or node proxy of a mesh.
    Mesh,
    /// Ingress, egress or east-west gateway.
    Gateway,
    /// Application proxy (nginx, haproxy, pgbouncer).
    Proxy,
}

/// A node of the graph. Names keep their case; the same name in two namespaces is two entities.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// Environment or cluster; may be empty.
    pub environment: Arc<str>,
    /// Namespace; may be empty.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Kind.
    pub kind: EntityKind,
    /// The source's own word for the kind (`Deployment`, `StatefulSet`, `Node`); may be empty.
    pub detail: Arc<str>,
}

// === impl EntityId ===

impl EntityId {
    /// No entity.
    pub const NONE: Self = Self(0);
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

// === impl EntityKind ===

impl EntityKind {
    /// Every kind, in the order of its stable code.
    pub const ALL: [Self; 19] = [
        Self::Service,
        Self::Workload,
        Self::Node,
        Self::Database,
        Self::Cache,
        Self::Topic,
        Self::Broker,
        Self::External,
        Self::Hop(HopClass::ClusterIp),
        Self::Hop(HopClass::LoadBalancer),
        Self::Hop(HopClass::NatGateway),
        Self::Hop(HopClass::Mesh),
        Self::Hop(HopClass::Gateway),
        Self::Hop(HopClass::Proxy),
        Self::Ambiguous,
        Self::Unresolved,
        Self::User,
        Self::Overflow,
        Self::Operation,
    ];

    /// The stable code that disk and identity use: the place in [`Self::ALL`].
    pub fn code(self) -> u8 {
        Self::ALL.iter().position(|k| *k == self).expect("ALL names every kind") as u8
    }

    /// The kind of a code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Workload => "workload",
            Self::Node => "node",
            Self::Database => "database",
            Self::Cache => "cache",
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::External => "external",
            Self::Hop(_) => "hop",
            Self::Ambiguous => "ambiguous",
            Self::Unresolved => "unresolved",
            Self::User => "user",
            Self::Overflow => "overflow",
            Self::Operation => "operation",
        }
    }

    /// Whether it is an intermediary.
    pub const fn is_hop(self) -> bool {
        matches!(self, Self::Hop(_))
    }
}

// === impl HopClass ===

impl HopClass {
    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "cluster_ip",
            Self::LoadBalancer => "load_balancer",
            Self::NatGateway => "nat_gateway",
            Self::Mesh => "mesh",
            Self::Gateway => "gateway",
            Self::Proxy => "proxy",
        }
    }
}

// === impl Entity ===

impl Entity {
    /// An entity with no environment and no detail.
    pub fn new(kind: EntityKind, namespace: &str, name: &str) -> Self {
        Self {
            environment: "".into(),
            namespace: namespace.into(),
            name: name.into(),
            kind,
            detail: "".into(),
        }
    }

    /// Its identity: FNV-1a (64 bit) over the length-prefixed parts, then the finaliser of
    /// `MurmurHash3`. Two million entities collide with a chance of about 1e-7.
    pub fn id(&self) -> EntityId {
        let Self { environment, namespace, name, kind, detail } = self;
        Self::id_of(environment, namespace, name, *kind, detail)
    }

    /// The identity of an entity with these parts.
    pub fn id_of(
        environment: &str,
        namespace: &str,
        name: &str,
        kind: EntityKind,
        detail: &str,
    ) -> EntityId {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |bytes: &[u8]| {
            for byte in (bytes.len() as u32).to_le_bytes().iter().chain(bytes) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        eat(environment.as_bytes());
        eat(namespace.as_bytes());
        eat(name.as_bytes());
        eat(&[kind.code()]);
        eat(detail.as_bytes());
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 33;
        EntityId(hash.max(1))
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_stable_code() {
        for (code, kind) in EntityKind::ALL.iter().enumerate() {
            assert_eq!(usize::from(kind.code()), code);
            assert_eq!(EntityKind::from_code(code as u8), Some(*kind));
        }
        assert_eq!(EntityKind::from_code(19), None);
    }

    #[test]
    fn identity_is_stable_across_versions() {
        let web = Entity::new(EntityKind::Workload, "shop", "web");
        assert_eq!(web.id(), web.clone().id());
        // A stored map refers to this number: changing it is a change of the disk format.
        assert_eq!(web.id().to_string(), "abbe2a1a1d456a25");
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let a = Entity::new(EntityKind::Workload, "ab", "c");
        let b = Entity::new(EntityKind::Workload, "a", "bc");
        assert_ne!(a.id(), b.id());
    }
}
