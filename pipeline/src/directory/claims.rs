//! Claims on one address, by rank and time.

use portolan_model::{DeclaredPort, Ip, Nanos, OwnerKind, Proto, ScopeId, ValidTime};
use smallvec::SmallVec;

use super::owner::{Owner, OwnerIdx};

/// Kinds of claim, the strongest first: a weaker kind is asked only where no stronger one holds
/// (flow semantics, section 1.3.2). A declared balancer stands above the pod it runs in, because
/// whoever declared it said more about the address than that somebody has it. Node ports stand
/// between service addresses and nodes: they are kept by port, for all nodes of a scope.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum ClaimKind {
    Socket,
    Balancer,
    Pod,
    Vip,
    NodePort,
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
    /// Number of the owner's uid: who it is, without asking the owner.
    pub(crate) uid: u32,
    /// What the owner said, cut where another owner took the address over.
    pub(crate) valid: ValidTime,
}

/// All claims on one address.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct AddrClaims {
    /// By kind, then protocol and port, then start. With one claim, all that a question reads is in the first line.
    pub(crate) claims: SmallVec<[Claim; 1]>,
    pub(crate) scope: ScopeId,
    pub(crate) ip: Ip,
    targets: SmallVec<[(Proto, u16); 2]>,
}

// === impl ClaimKind ===

impl ClaimKind {
    /// What an owner claims its addresses as. (A name claims by observer, and elsewhere.)
    pub(crate) fn of(kind: OwnerKind, host_network: bool) -> Self {
        match kind {
            OwnerKind::Pod if host_network => Self::Socket,
            OwnerKind::Pod => Self::Pod,
            OwnerKind::Node => Self::Node,
            OwnerKind::Service => Self::Vip,
            OwnerKind::LoadBalancer => Self::Balancer,
            OwnerKind::External | OwnerKind::DnsName => Self::External,
            OwnerKind::Host
            | OwnerKind::NatGateway
            | OwnerKind::Database
            | OwnerKind::Cache
            | OwnerKind::Broker => Self::Cloud,
        }
    }

    /// Whether claims of this kind speak of one port, so that what has no ports passes them by
    /// (flow semantics, section 1.3.6).
    const fn is_by_port(self) -> bool {
        matches!(self, Self::Socket | Self::Vip | Self::NodePort)
    }
}

// === impl Claim ===

impl Claim {
    pub(crate) fn new(kind: ClaimKind, owner: OwnerIdx, of: &Owner) -> Self {
        Self { kind, proto: Proto(0), port: 0, owner, uid: of.uid, valid: of.valid }
    }

    pub(crate) fn at_port(self, port: DeclaredPort) -> Self {
        Self { proto: port.proto, port: port.port, ..self }
    }

    fn place(&self) -> (ClaimKind, Proto, u16) {
        (self.kind, self.proto, self.port)
    }

    /// Whether it is one of those that [`AddrClaims::about`] finds.
    pub(crate) fn speaks_of(&self, proto: Proto, port: u16) -> bool {
        !self.kind.is_by_port()
            || (port != 0
                && matches!((self.proto, self.port), of if of == (proto, port) || of == (Proto(0), 0)))
    }

    pub(crate) fn surely(&self, at: Nanos) -> bool {
        self.valid.from <= at && at < self.valid.to
    }
}

// === impl AddrClaims ===

impl AddrClaims {
    pub(crate) fn new(scope: ScopeId, ip: Ip) -> Self {
        Self { claims: SmallVec::new(), scope, ip, targets: SmallVec::new() }
    }

    /// Whether it is this address that they are on.
    pub(crate) fn is_of(&self, scope: ScopeId, ip: Ip) -> bool {
        (self.scope, self.ip) == (scope, ip)
    }

    /// See [`super::Directory::warm`].
    pub(crate) fn warm(&self) -> u64 {
        let middle = self.claims.get(self.claims.len() / 2).map_or(0, |claim| claim.valid.from);
        middle ^ self.ip.0 as u64
    }

    /// Adds what an owner claims of this address: all of it, or the ports that it names.
    pub(crate) fn claim(&mut self, claim: Claim, ports: &[DeclaredPort]) {
        match claim.kind {
            ClaimKind::Socket | ClaimKind::Vip | ClaimKind::NodePort => {
                self.claims.extend(ports.iter().map(|port| claim.at_port(*port)));
                if claim.kind == ClaimKind::Vip && ports.is_empty() {
                    self.claims.push(claim);
                }
            }
            _ => self.claims.push(claim),
        }
    }

    /// Drops the claims of a uid.
    pub(crate) fn forget(&mut self, uid: u32) {
        self.claims.retain(|claim| claim.uid != uid);
    }

    /// Sorts, and ends claims where another owner's claim of the same kind begins: an address has one
    /// owner at a time, and a delete may come late or never. What an owner possibly had before begins
    /// at the earliest where the one before surely ended (flow semantics, section 1.2).
    pub(crate) fn arrange(&mut self, owners: &[Owner]) {
        for claim in &mut self.claims {
            claim.valid = owners[claim.owner.0 as usize].valid;
        }
        self.claims.sort_unstable_by_key(|c| (c.place(), c.valid.from, c.uid));
        let mut rest = &mut self.claims[..];
        while let Some(first) = rest.first() {
            let place = first.place();
            let len = rest.iter().position(|c| c.place() != place).unwrap_or(rest.len());
            let (same, others) = rest.split_at_mut(len);
            cut(same);
            rest = others;
        }
        for at in 1..self.claims.len() {
            let before = self.claims[at - 1];
            let claim = &mut self.claims[at];
            if before.place() == claim.place() && before.uid != claim.uid {
                let free = before.valid.to.min(claim.valid.from);
                claim.valid.from_lo = claim.valid.from_lo.max(free);
            }
        }
    }

    /// The claims of the strongest kind, and the rest.
    pub(crate) fn by_rank(claims: &[Claim]) -> Option<(ClaimKind, &[Claim], &[Claim])> {
        let kind = claims.first()?.kind;
        if claims.last()?.kind == kind {
            return Some((kind, claims, &[]));
        }
        let (same, weaker) = claims.split_at(claims.partition_point(|c| c.kind == kind));
        Some((kind, same, weaker))
    }

    /// Of the claims of one kind, those that speak of a port: in order of their start, in one or two
    /// runs.
    pub(crate) fn about(
        kind: ClaimKind,
        claims: &[Claim],
        proto: Proto,
        port: u16,
    ) -> [&[Claim]; 2] {
        if !kind.is_by_port() {
            return [claims, &[]];
        }
        if port == 0 {
            return [&[], &[]];
        }
        let run = |proto: Proto, port: u16| {
            let from = claims.partition_point(|c| (c.proto, c.port) < (proto, port));
            let len = claims[from..].partition_point(|c| (c.proto, c.port) == (proto, port));
            &claims[from..from + len]
        };
        [run(Proto(0), 0), run(proto, port)]
    }

    pub(crate) fn add_target(&mut self, proto: Proto, port: u16) {
        if !self.targets.contains(&(proto, port)) {
            self.targets.push((proto, port));
        }
    }

    /// The ports of the address that some hop forwards to.
    pub(crate) fn targets(&self) -> impl ExactSizeIterator<Item = (Proto, u16)> {
        self.targets.iter().copied()
    }

    /// Whether some hop forwards to this port of the address.
    pub(crate) fn is_target(&self, proto: Proto, port: u16) -> bool {
        self.targets.contains(&(proto, port))
    }
}

/// Ends claims of one place, in order of their start, where the first claim of another uid begins.
fn cut(claims: &mut [Claim]) {
    // Of what begins later: the first, and the first of another uid than that.
    let mut first: Option<(u32, Nanos)> = None;
    let mut second: Option<(u32, Nanos)> = None;
    let mut end = claims.len();
    while end > 0 {
        let from = claims[end - 1].valid.from;
        let begin = claims[..end].partition_point(|c| c.valid.from < from);
        for claim in &mut claims[begin..end] {
            let next = first.filter(|(uid, _)| *uid != claim.uid).or(second);
            if let Some((_, at)) = next.filter(|(uid, _)| *uid != claim.uid) {
                claim.valid = claim.valid.ended(at, at);
            }
        }
        let uid = claims[begin].uid;
        let other = claims[begin..end].iter().find(|c| c.uid != uid).map(|c| (c.uid, from));
        second = other.or_else(|| first.filter(|(u, _)| *u != uid).or(second));
        first = Some((uid, from));
        end = begin;
    }
}
