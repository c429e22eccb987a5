//! Ownership: who has which address, and when.

use std::sync::Arc;

use crate::{Ip, Nanos, Proto};

/// One address space in which an address means one thing (`cluster/a/pod`, `vpc/1`, `public`).
/// The 32-bit FNV-1a hash of its name: stable, so that keys need no table.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ScopeId(pub u32);

/// What kind of thing an owner is. It decides the rank of its claims.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum OwnerKind {
    /// A pod, container or task with addresses of its own.
    #[default]
    Pod = 0,
    /// A machine of a cluster.
    Node = 1,
    /// A service address (ClusterIP, external address) with ports and backends: a hop.
    Service = 2,
    /// A load balancer with listeners (`ports`) and targets (`backends`): a hop.
    LoadBalancer = 3,
    /// A machine or cloud interface outside a cluster.
    Host = 4,
    /// A named range or address outside (a SaaS, an office): `cidrs` or `ips`.
    External = 5,
    /// An address translation gateway: a hop.
    NatGateway = 6,
    /// A database, by its addresses.
    Database = 7,
    /// A cache, by its addresses.
    Cache = 8,
    /// A broker, by its addresses.
    Broker = 9,
    /// A name that an observed DNS answer gave to `ips`, for as long as the answer may be used. It
    /// holds for `observer` alone, because answers differ by who asks.
    DnsName = 10,
}

/// Life phase, as Kubernetes has it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Phase {
    /// Running, or not said.
    #[default]
    Running = 0,
    /// Ended well: the address is gone although the object may stay.
    Succeeded = 1,
    /// Ended badly: likewise.
    Failed = 2,
}

/// A port that the owner declares to serve (container port, service port, listener).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeclaredPort {
    /// Protocol.
    pub proto: Proto,
    /// Port.
    pub port: u16,
}

/// A port that every node of the scope opens for a service.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePort {
    /// Protocol.
    pub proto: Proto,
    /// The port of the nodes.
    pub node_port: u16,
    /// The port of the service that it stands for.
    pub port: u16,
}

/// A backend of a service or a target of a load balancer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// The port of the service or listener; 0 for every port.
    pub front_port: u16,
    /// Protocol.
    pub proto: Proto,
    /// Where it forwards to.
    pub ip: Ip,
    /// The port there.
    pub port: u16,
}

/// When something was true: certain in `[from, to)`, possible in `[from_lo, to_hi)`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValidTime {
    /// Start of certain ownership.
    pub from: Nanos,
    /// End of it; [`Nanos::MAX`] while open.
    pub to: Nanos,
    /// Start of possible ownership; at most `from`.
    pub from_lo: Nanos,
    /// End of possible ownership; at least `to`.
    pub to_hi: Nanos,
}

/// One version of one owner: what it is and what it has from `valid.from` on.
///
/// A record with the same `(scope, uid, valid.from)` replaces the earlier one if it was observed
/// later; one with a later `valid.from` begins a new version (a service whose backends changed).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnerRecord {
    /// Name of the scope its addresses live in.
    pub scope: Arc<str>,
    /// Unique for this life of the owner (a Kubernetes uid, an interface id).
    pub uid: Arc<str>,
    /// Kind.
    pub kind: OwnerKind,
    /// Environment or cluster name shown with the entity; may be empty.
    pub environment: Arc<str>,
    /// Namespace; may be empty.
    pub namespace: Arc<str>,
    /// The instance (pod name, host name).
    pub name: Arc<str>,
    /// The workload it belongs to; empty means that `name` is the workload.
    pub owner_name: Arc<str>,
    /// The source's word for the workload's kind (`Deployment`); may be empty.
    pub owner_kind: Arc<str>,
    /// Address of the node it runs on, or [`Ip::NONE`].
    pub node: Ip,
    /// Shares the node's address: claims sockets, never the address.
    pub host_network: bool,
    /// Phase.
    pub phase: Phase,
    /// Addresses.
    pub ips: Vec<Ip>,
    /// Address ranges.
    pub cidrs: Vec<(Ip, u8)>,
    /// Ports it serves.
    pub ports: Vec<DeclaredPort>,
    /// Backends (services) or targets (load balancers).
    pub backends: Vec<Backend>,
    /// Of a service: its ports on every node.
    pub node_ports: Vec<NodePort>,
    /// Of a pod with addresses of its own: ports of its node that lead to it.
    pub host_ports: Vec<DeclaredPort>,
    /// Of a name: who got the answer, or [`Ip::NONE`] for everybody.
    pub observer: Ip,
    /// When this version holds.
    pub valid: ValidTime,
    /// When the source saw it.
    pub observed_at: Nanos,
}

/// What one version of one owner is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerKey {
    /// Name of the scope.
    pub scope: Arc<str>,
    /// The owner.
    pub uid: Arc<str>,
    /// Start of the version.
    pub from: Nanos,
}

/// What an ownership source says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerEvent {
    /// This version holds.
    Upsert(Box<OwnerRecord>),
    /// The owner is gone since `at`.
    Delete {
        /// Scope name.
        scope: Arc<str>,
        /// Which owner.
        uid: Arc<str>,
        /// Since when.
        at: Nanos,
        /// The latest instant it may still have been there.
        at_hi: Nanos,
    },
    /// Everything up to `watermark` has been said.
    Heartbeat {
        /// Scope name.
        scope: Arc<str>,
        /// Up to when.
        watermark: Nanos,
    },
    /// Nothing of the scope was seen in `[from, to)`: a watch broke and listed anew. Who lived in it
    /// only was never told of, so an address that nobody claims there may be anybody's.
    Gap {
        /// Scope name.
        scope: Arc<str>,
        /// Since when.
        from: Nanos,
        /// Until when; after `from`.
        to: Nanos,
    },
}

// === impl OwnerKind ===

impl OwnerKind {
    /// Every kind, in the order of its code.
    pub const ALL: [Self; 11] = [
        Self::Pod,
        Self::Node,
        Self::Service,
        Self::LoadBalancer,
        Self::Host,
        Self::External,
        Self::NatGateway,
        Self::Database,
        Self::Cache,
        Self::Broker,
        Self::DnsName,
    ];

    /// The kind of a code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

// === impl OwnerRecord ===

impl OwnerRecord {
    /// A record that says nothing yet but who it speaks of.
    pub fn blank(scope: &str, uid: &str, kind: OwnerKind, valid: ValidTime) -> Self {
        Self {
            scope: scope.into(),
            uid: uid.into(),
            kind,
            environment: "".into(),
            namespace: "".into(),
            name: "".into(),
            owner_name: "".into(),
            owner_kind: "".into(),
            node: Ip::NONE,
            host_network: false,
            phase: Phase::Running,
            ips: Vec::new(),
            cidrs: Vec::new(),
            ports: Vec::new(),
            backends: Vec::new(),
            node_ports: Vec::new(),
            host_ports: Vec::new(),
            observer: Ip::NONE,
            observed_at: valid.from,
            valid,
        }
    }

    /// What it is known by, on disk and in the directory.
    pub fn key(&self) -> OwnerKey {
        OwnerKey { scope: self.scope.clone(), uid: self.uid.clone(), from: self.valid.from }
    }
}

// === impl ScopeId ===

impl ScopeId {
    /// The id of a name.
    pub fn of(name: &str) -> Self {
        let mut hash = 0x811c_9dc5_u32;
        for byte in name.bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        Self(hash)
    }
}

// === impl ValidTime ===

impl ValidTime {
    /// Certain from `from`, open at the end.
    pub const fn since(from: Nanos) -> Self {
        Self { from, to: Nanos::MAX, from_lo: from, to_hi: Nanos::MAX }
    }

    /// Certain in `[from, to)`.
    pub const fn between(from: Nanos, to: Nanos) -> Self {
        Self { from, to, from_lo: from, to_hi: to }
    }

    /// Ends it, if it lasted longer.
    #[must_use]
    pub fn ended(self, to: Nanos, to_hi: Nanos) -> Self {
        let to = self.to.min(to).max(self.from);
        Self { to, to_hi: self.to_hi.min(to_hi.max(to)), ..self }
    }
}
