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

/// No number for both: they have to be compared.
const NO_SHORT: u64 = 0;

/// All claims on one address. Finding it and the one claim that most have on them reads the first line of memory.
#[derive(Clone, Debug)]
#[repr(C, align(128))]
pub(crate) struct AddrClaims {
    /// See [`short`].
    short: u64,
    /// By kind, then protocol and port, then start.
    pub(crate) claims: SmallVec<[Claim; 1]>,
    pub(crate) ip: Ip,
    /// Where several take turns, and only the instant decides: see [`turns`].
    turns: Box<[Turn]>,
    targets: SmallVec<[(Proto, u16); 2]>,
    pub(crate) scope: ScopeId,
}

const _: () = assert!(size_of::<AddrClaims>() == 128, "two lines of memory");

/// From an instant until the next: who surely has an address and nobody else; absent where that takes more to tell.
#[derive(Copy, Clone, Debug)]
struct Turn {
    from: Nanos,
    owner: Option<OwnerIdx>,
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

    /// Whether nothing but the instant decides between claims of this kind: a node's ports may be a service's.
    const fn is_plain(self) -> bool {
        !self.is_by_port() && !matches!(self, Self::Node)
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
        let short = short(scope, ip);
        let (claims, turns) = (SmallVec::new(), Box::default());
        Self { short, claims, turns, scope, ip, targets: SmallVec::new() }
    }

    /// Whether it is this address that they are on.
    #[inline]
    pub(crate) fn is_of(&self, scope: ScopeId, ip: Ip) -> bool {
        let short = short(scope, ip);
        short == self.short && (short != NO_SHORT || (self.scope, self.ip) == (scope, ip))
    }

    /// Who surely has the address at an instant, as most questions come to it: there is one claim, or there are several
    /// of one kind that take turns. Absent: [`super::Directory::find`] has to look further.
    #[inline]
    pub(crate) fn plain(&self, at: Nanos) -> Option<OwnerIdx> {
        if let [claim] = self.claims[..] {
            return (claim.kind.is_plain() && claim.surely(at)).then_some(claim.owner);
        }
        let begun = self.turns.partition_point(|turn| turn.from <= at);
        self.turns.get(begun.checked_sub(1)?)?.owner
    }

    /// See [`super::Directory::warm`].
    #[inline]
    pub(crate) fn warm(&self) -> u64 {
        if self.claims.len() <= 1 {
            return self.short;
        }
        self.turns.get(self.turns.len() / 2).map_or(0, |turn| turn.from)
    }

    /// Adds what an owner claims of this address: all of it, or the ports that it names. It has to be arranged.
    pub(crate) fn claim(&mut self, claim: Claim, ports: &[DeclaredPort]) {
        self.turns = Box::default();
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

    /// Drops the claims of a uid. What is left has to be arranged.
    pub(crate) fn forget(&mut self, uid: u32) {
        self.turns = Box::default();
        self.claims.retain(|claim| claim.uid != uid);
    }

    /// Drops the claims of one version.
    pub(crate) fn forget_version(&mut self, owner: OwnerIdx) {
        self.claims.retain(|claim| claim.owner != owner);
        self.turns = turns(&self.claims);
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
        self.turns = turns(&self.claims);
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

/// An address and its scope in one number, where they fit: those of IPv4 do.
#[inline]
fn short(scope: ScopeId, ip: Ip) -> u64 {
    match ip.as_v4() {
        Some(v4) => u64::from(scope.0) << 32 | u64::from(v4),
        None => NO_SHORT,
    }
}

/// The turns of arranged claims, which end where the next begins, or before; none where there are not several, or where
/// more than the instant decides.
fn turns(claims: &[Claim]) -> Box<[Turn]> {
    let [first, .., last] = claims else { return Box::default() };
    if first.kind != last.kind || !first.kind.is_plain() {
        return Box::default();
    }
    let mut turns: Vec<Turn> = Vec::with_capacity(claims.len() + 1);
    for same in claims.chunk_by(|a, b| a.valid.from == b.valid.from) {
        let claim = same[0];
        let alone = same.len() == 1 && claim.valid.from < claim.valid.to;
        turns.push(Turn { from: claim.valid.from, owner: alone.then_some(claim.owner) });
        if alone && claim.valid.to < Nanos::MAX {
            turns.push(Turn { from: claim.valid.to, owner: None });
        }
    }
    debug_assert!(turns.is_sorted_by_key(|turn| turn.from), "claims of one kind do not overlap");
    turns.into()
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
