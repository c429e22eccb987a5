//! Lookup of an address at an instant (flow semantics, section 1.3).

use portolan_model::{Ip, Nanos, Proto, Resolution, ScopeId};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::claims::{AddrClaims, Claim, ClaimKind};
use super::owner::{Owner, OwnerIdx};

/// A dialled address is still the previous owner's for this long: `nf_conntrack`'s SYN_SENT
/// time-out (flow semantics, section 1.3.3c).
const LINGER: Nanos = 120_000_000_000;
/// A sender may speak this long before the API shows its address.
const EARLY: Nanos = 30_000_000_000;

/// A question to the directory.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Lookup {
    pub(crate) scope: ScopeId,
    pub(crate) ip: Ip,
    pub(crate) port: u16,
    pub(crate) proto: Proto,
    /// Start of the connection, as far as it is known.
    pub(crate) at: Nanos,
    /// The endpoint sent packets (it lives), rather than only being dialled.
    pub(crate) sends: bool,
    /// Tolerance between the clocks.
    pub(crate) tolerance: Nanos,
    /// Nodes whose agents saw the traffic: the tie-break between several owners.
    pub(crate) seen_on: [Ip; 2],
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    One(OwnerIdx, Resolution),
    /// Several owners, in order of place; none is chosen.
    Many(SmallVec<[OwnerIdx; 4]>),
    Nobody,
}

/// Ranges by scope, longest prefix first.
#[derive(Default)]
pub(crate) struct Cidrs {
    by_prefix: FxHashMap<(ScopeId, u8, Ip), AddrClaims>,
    /// Prefix lengths in use by scope, longest first; IPv4 and IPv6 apart by the flag.
    lengths: FxHashMap<ScopeId, Vec<u8>>,
}

/// Looks among the claims on one address.
pub(crate) fn among(addr: &AddrClaims, owners: &[Owner], look: &Lookup) -> Found {
    let mut rest = &addr.claims[..];
    while let Some(first) = rest.first() {
        let kind = first.kind;
        let end = rest.iter().position(|c| c.kind != kind).unwrap_or(rest.len());
        let (same, weaker) = rest.split_at(end);
        rest = weaker;
        let found = at_instant(same, owners, look);
        if found != Found::Nobody {
            return found;
        }
    }
    in_a_gap(&addr.claims, owners, look)
}

/// Steps a and b: the claims of one kind that hold at the instant, surely or within tolerance.
fn at_instant(claims: &[Claim], owners: &[Owner], look: &Lookup) -> Found {
    let covers = |c: &&Claim| c.covers_port(look.proto, look.port);
    let sure =
        claims.iter().filter(covers).filter(|c| c.valid.from <= look.at && look.at < c.valid.to);
    let found = choose(sure, owners, look, Resolution::Exact);
    if found != Found::Nobody {
        return found;
    }
    let near = claims.iter().filter(covers).filter(|c| {
        c.valid.from_lo.saturating_sub(look.tolerance) <= look.at
            && look.at < c.valid.to_hi.saturating_add(look.tolerance)
    });
    choose(near, owners, look, Resolution::Tolerant)
}

/// Step 4: one uid is an answer; of several, the one on a node that saw the traffic, if it is one.
fn choose<'a>(
    claims: impl Iterator<Item = &'a Claim>,
    owners: &[Owner],
    look: &Lookup,
    resolution: Resolution,
) -> Found {
    let mut candidates: SmallVec<[OwnerIdx; 4]> = SmallVec::new();
    for claim in claims {
        let uid = owners[claim.owner.0 as usize].uid;
        if !candidates.iter().any(|c| owners[c.0 as usize].uid == uid) {
            candidates.push(claim.owner);
        }
    }
    match candidates.len() {
        0 => return Found::Nobody,
        1 => return Found::One(candidates[0], resolution),
        _ => {}
    }
    let mut local = candidates.iter().filter(|c| {
        let node = owners[c.0 as usize].node;
        !node.is_none() && look.seen_on.contains(&node)
    });
    if let (Some(one), None) = (local.next(), local.next()) {
        return Found::One(*one, resolution);
    }
    // Instances of one workload are one entity: which of them it was does not change the map.
    let first = owners[candidates[0].0 as usize].id;
    if candidates.iter().all(|c| owners[c.0 as usize].id == first) {
        return Found::One(candidates[0], resolution);
    }
    candidates
        .sort_unstable_by(|a, b| owners[a.0 as usize].entity.cmp(&owners[b.0 as usize].entity));
    Found::Many(candidates)
}

/// Step c: nobody holds the address at the instant; who spoke early, or whom does the dialler still
/// mean?
fn in_a_gap(claims: &[Claim], owners: &[Owner], look: &Lookup) -> Found {
    let covers = |c: &&Claim| c.covers_port(look.proto, look.port);
    if look.sends {
        let next = claims
            .iter()
            .filter(covers)
            .filter(|c| c.valid.from > look.at && c.valid.from - look.at <= EARLY)
            .min_by_key(|c| (c.valid.from, c.owner));
        if let Some(next) = next {
            let same = claims.iter().filter(covers).filter(|c| c.valid.from == next.valid.from);
            return choose(same, owners, look, Resolution::Early);
        }
        return Found::Nobody;
    }
    let previous = claims
        .iter()
        .filter(covers)
        .filter(|c| c.valid.to_hi <= look.at && look.at - c.valid.to_hi <= LINGER)
        .max_by_key(|c| (c.valid.to_hi, c.owner));
    match previous {
        Some(previous) => {
            let same =
                claims.iter().filter(covers).filter(|c| c.valid.to_hi == previous.valid.to_hi);
            choose(same, owners, look, Resolution::Lingering)
        }
        None => Found::Nobody,
    }
}

// === impl Cidrs ===

impl Cidrs {
    pub(crate) fn insert(&mut self, scope: ScopeId, ip: Ip, prefix: u8, claim: Claim) {
        debug_assert_eq!(claim.kind, ClaimKind::Cidr);
        let key = (scope, prefix, ip.masked(prefix));
        let addr = self.by_prefix.entry(key).or_insert_with(|| AddrClaims::new(scope, key.2));
        addr.claims.retain(|c| c.owner != claim.owner);
        addr.claims.push(claim);
        let lengths = self.lengths.entry(scope).or_default();
        if !lengths.contains(&prefix) {
            lengths.push(prefix);
            lengths.sort_unstable_by(|a, b| b.cmp(a));
        }
    }

    pub(crate) fn find(&self, owners: &[Owner], look: &Lookup) -> Found {
        let Some(lengths) = self.lengths.get(&look.scope) else { return Found::Nobody };
        for &prefix in lengths {
            if prefix > 32 && look.ip.as_v4().is_some() {
                continue;
            }
            let Some(addr) = self.by_prefix.get(&(look.scope, prefix, look.ip.masked(prefix)))
            else {
                continue;
            };
            let found = at_instant(&addr.claims, owners, look);
            if found != Found::Nobody {
                return found;
            }
        }
        Found::Nobody
    }
}
