//! Claims on one address, by rank and time.

use portolan_model::{Ip, OwnerKind, OwnerRecord, Proto, ScopeId, ValidTime};
use smallvec::SmallVec;

use super::owner::{Owner, OwnerIdx};

/// Kinds of claim, the strongest first: a weaker kind is asked only where no stronger one holds
/// (flow semantics, section 1.3.2). A declared balancer stands above the pod it runs in, because
/// whoever declared it said more about the address than that somebody has it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum ClaimKind {
    Socket,
    Balancer,
    Pod,
    Vip,
    Node,
    Cloud,
    External,
    Cidr,
}

/// A claim: certain in `[from, to)`, possible in `[from_lo, to_hi)`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) kind: ClaimKind,
    /// For sockets and service addresses; port 0 means every port.
    pub(crate) proto: Proto,
    pub(crate) port: u16,
    pub(crate) owner: OwnerIdx,
    pub(crate) told: ValidTime,
    /// `told`, cut where another owner took the address over.
    pub(crate) valid: ValidTime,
}

/// All claims on one address.
#[derive(Clone, Debug)]
pub(crate) struct AddrClaims {
    pub(crate) scope: ScopeId,
    pub(crate) ip: Ip,
    /// By kind, then by start.
    pub(crate) claims: SmallVec<[Claim; 1]>,
    targets: SmallVec<[(Proto, u16); 2]>,
}

// === impl Claim ===

impl Claim {
    pub(crate) fn new(kind: ClaimKind, record: &OwnerRecord, owner: OwnerIdx) -> Self {
        let valid = record.valid;
        Self { kind, proto: Proto(0), port: 0, owner, told: valid, valid }
    }

    /// Whether it speaks about this port at all.
    pub(crate) fn covers_port(&self, proto: Proto, port: u16) -> bool {
        match self.kind {
            ClaimKind::Socket | ClaimKind::Vip => {
                port != 0 && (self.port == 0 || (self.port == port && self.proto == proto))
            }
            _ => true,
        }
    }
}

// === impl AddrClaims ===

impl AddrClaims {
    pub(crate) fn new(scope: ScopeId, ip: Ip) -> Self {
        Self { scope, ip, claims: SmallVec::new(), targets: SmallVec::new() }
    }

    /// Adds the claims of a record that names this address.
    pub(crate) fn claim_all(&mut self, record: &OwnerRecord, owner: OwnerIdx) {
        let kind = match record.kind {
            OwnerKind::Pod if record.host_network => ClaimKind::Socket,
            OwnerKind::Pod => ClaimKind::Pod,
            OwnerKind::Node => ClaimKind::Node,
            OwnerKind::Service => ClaimKind::Vip,
            OwnerKind::LoadBalancer => ClaimKind::Balancer,
            OwnerKind::External => ClaimKind::External,
            OwnerKind::Host
            | OwnerKind::NatGateway
            | OwnerKind::Database
            | OwnerKind::Cache
            | OwnerKind::Broker => ClaimKind::Cloud,
        };
        let claim = Claim::new(kind, record, owner);
        match kind {
            ClaimKind::Socket | ClaimKind::Vip => {
                for port in &record.ports {
                    self.claims.push(Claim { proto: port.proto, port: port.port, ..claim });
                }
                if kind == ClaimKind::Vip && record.ports.is_empty() {
                    self.claims.push(claim);
                }
            }
            _ => self.claims.push(claim),
        }
    }

    /// Drops the claims of an owner.
    pub(crate) fn forget(&mut self, mine: impl Fn(OwnerIdx) -> bool) {
        self.claims.retain(|claim| !mine(claim.owner));
    }

    /// Sorts, and ends claims where another owner's claim of the same kind begins: an address has one
    /// owner at a time, and a delete may come late or never.
    pub(crate) fn arrange(&mut self, owners: &[Owner]) {
        let uid = |claim: &Claim| owners[claim.owner.0 as usize].uid;
        self.claims.sort_by_key(|c| (c.kind, c.proto, c.port, c.told.from, uid(c)));
        for i in 0..self.claims.len() {
            let claim = self.claims[i];
            let superseded = self.claims[i + 1..]
                .iter()
                .take_while(|c| (c.kind, c.proto, c.port) == (claim.kind, claim.proto, claim.port))
                .find(|c| uid(c) != uid(&claim) && c.told.from > claim.told.from)
                .map(|c| c.told.from);
            self.claims[i].valid = superseded.map_or(claim.told, |at| claim.told.ended(at, at));
        }
    }

    pub(crate) fn add_target(&mut self, proto: Proto, port: u16) {
        if !self.targets.contains(&(proto, port)) {
            self.targets.push((proto, port));
        }
    }

    /// Whether some hop forwards to this port of the address.
    pub(crate) fn is_target(&self, proto: Proto, port: u16) -> bool {
        self.targets.contains(&(proto, port))
    }
}
