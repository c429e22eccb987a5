//! Lookup of an address at an instant (flow semantics, section 1.3).

use portolan_model::{Ip, Nanos, Proto, Resolution, ScopeId};
use smallvec::SmallVec;

use super::Directory;
use super::builtin::Builtin;
use super::claims::{AddrClaims, Claim, ClaimKind};
use super::owner::{Owner, OwnerIdx};

/// A dialled address is still the previous owner's for this long: `nf_conntrack`'s SYN_SENT
/// time-out (flow semantics, section 1.3.3c).
const LINGER: Nanos = 120_000_000_000;
/// A sender may speak this long before the API shows its address.
const EARLY: Nanos = 30_000_000_000;

/// A question to the directory.
#[derive(Copy, Clone, Debug)]
pub struct Lookup {
    /// The address space.
    pub scope: ScopeId,
    /// The address.
    pub ip: Ip,
    /// The port; 0 where there is none.
    pub port: u16,
    /// The protocol.
    pub proto: Proto,
    /// Start of the connection, as far as it is known.
    pub at: Nanos,
    /// The last instant of what is asked for; the same as `at` where the owner cannot change
    /// meanwhile.
    pub until: Nanos,
    /// The endpoint sent packets (it lives), rather than only being dialled.
    pub sends: bool,
    /// Tolerance between the clocks.
    pub tolerance: Nanos,
    /// Nodes whose agents saw the traffic: the tie-break between several owners.
    pub seen_on: [Ip; 2],
    /// The other end: names are known by who asked for them.
    pub peer: Ip,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One owner, and how sure that is.
    One(OwnerIdx, Resolution),
    /// Several owners, in order of name; none is chosen.
    Many(SmallVec<[OwnerIdx; 4]>),
    /// An address that means the same everywhere.
    Builtin(Builtin),
    /// Nobody.
    Nobody,
}

// === impl Directory ===

impl Directory {
    /// Who owns an address that is looked up by its number (absent: no claims of its own).
    #[inline]
    pub fn find(&self, index: Option<u32>, look: &Lookup) -> Found {
        if let Some(index) = index.filter(|_| look.until <= look.at)
            && let Some(owner) = self.addrs[index as usize].plain(look.at)
        {
            return Found::One(owner, Resolution::Exact);
        }
        self.find_further(index, look)
    }

    /// Whatever [`AddrClaims::plain`] does not answer.
    #[inline(never)]
    pub(super) fn find_further(&self, index: Option<u32>, look: &Lookup) -> Found {
        if look.until > look.at {
            return self.find_over(index, look);
        }
        if let Some(index) = index {
            let found = self.among(&self.addrs[index as usize], look);
            if found != Found::Nobody {
                return found;
            }
        }
        self.find_elsewhere(look)
    }

    /// Nobody claims the address itself, in its own scope.
    #[inline(never)]
    fn find_elsewhere(&self, look: &Lookup) -> Found {
        let mut found = self.ranges.find(&self.owners, look);
        let after = self.scopes.after(look.scope, look.ip);
        for &scope in &after {
            if found != Found::Nobody {
                return found;
            }
            let look = Lookup { scope, ..*look };
            if let Some(index) = self.index_of(scope, look.ip) {
                found = self.among(&self.addrs[index as usize], &look);
            }
            if found == Found::Nobody {
                found = self.ranges.find(&self.owners, &look);
            }
        }
        let mut scopes = std::iter::once(look.scope).chain(after);
        while found == Found::Nobody && !self.names.is_empty() {
            let Some(scope) = scopes.next() else { break };
            found = self.names.find(&self.owners, &Lookup { scope, ..*look });
        }
        if found == Found::Nobody {
            return Builtin::of(look.ip, look.sends).map_or(Found::Nobody, Found::Builtin);
        }
        found
    }

    /// Something that lasts: if the address changes hands meanwhile, it is the owner's who had it
    /// longer, the earlier one's of two; with doubt (flow semantics, section 1.3.5).
    fn find_over(&self, index: Option<u32>, look: &Lookup) -> Found {
        let at = |at: Nanos| self.find(index, &Lookup { at, until: at, ..*look });
        let (first, last) = (at(look.at), at(look.until));
        let uid = |found: &Found| match found {
            Found::One(owner, _) => Some(self.owner(*owner).uid),
            _ => None,
        };
        let Some(index) = index.filter(|_| first != last && uid(&first) != uid(&last)) else {
            return first;
        };
        // How long somebody had it of whom nothing was told, nobody knows.
        if !matches!(first, Found::One(..)) && self.is_unwatched(look) {
            return first;
        }
        let mut longest: Option<(Nanos, &Claim)> = None;
        let mut rest = &self.addrs[index as usize].claims[..];
        while let (None, Some((kind, same, weaker))) = (longest, AddrClaims::by_rank(rest)) {
            rest = weaker;
            for claim in AddrClaims::about(kind, same, look.proto, look.port).into_iter().flatten()
            {
                let (from, to) = (claim.valid.from.max(look.at), claim.valid.to.min(look.until));
                let had = to.saturating_sub(from);
                if had > 0 && longest.is_none_or(|(longest, _)| had > longest) {
                    longest = Some((had, claim));
                }
            }
        }
        longest.map_or(first, |(_, claim)| Found::One(claim.owner, Resolution::Tolerant))
    }

    /// Looks among the claims on one address.
    fn among(&self, addr: &AddrClaims, look: &Lookup) -> Found {
        let mut rest = &addr.claims[..];
        while let Some((kind, same, weaker)) = AddrClaims::by_rank(rest) {
            rest = weaker;
            let about = AddrClaims::about(kind, same, look.proto, look.port);
            let found = at_instant(about, &self.owners, look);
            if found == Found::Nobody {
                continue;
            }
            // Every node of the scope opens the ports of the services.
            if kind == ClaimKind::Node
                && let Some(ports) = self.node_ports.get(look.scope)
            {
                let about =
                    AddrClaims::about(ClaimKind::NodePort, &ports.claims, look.proto, look.port);
                let service = at_instant(about, &self.owners, look);
                if service != Found::Nobody {
                    return service;
                }
            }
            return found;
        }
        // Who came before the next owner, or after the last one, nobody saw.
        if self.is_unwatched(look) {
            return Found::Nobody;
        }
        in_a_gap(&addr.claims, &self.owners, look)
    }

    fn is_unwatched(&self, look: &Lookup) -> bool {
        self.gaps.covers(look.scope, look.at, look.tolerance)
    }

    /// The last instant at which something was surely still there that was seen to end at `end`.
    pub(crate) fn last_seen(&self, scope: ScopeId, end: Nanos) -> Nanos {
        self.gaps.last_seen(scope, end)
    }
}

/// Steps a and b: the claims of one kind that hold at the instant, surely or within tolerance.
pub(super) fn at_instant(about: [&[Claim]; 2], owners: &[Owner], look: &Lookup) -> Found {
    // A run is in order of start and arranged: what surely holds began last, and with it whatever
    // began at the same instant.
    let mut sure: SmallVec<[&Claim; 2]> = SmallVec::new();
    for run in about {
        let begun = match run {
            [one] => usize::from(one.valid.from <= look.at),
            _ => run.partition_point(|c| c.valid.from <= look.at),
        };
        let mut candidates = run[..begun].iter().rev();
        if let Some(last) = candidates.next() {
            if look.at < last.valid.to {
                sure.push(last);
            }
            let same = candidates.take_while(|c| c.valid.from == last.valid.from);
            sure.extend(same.filter(|c| look.at < c.valid.to));
        }
    }
    match sure[..] {
        [] => {}
        [one] => return Found::One(one.owner, Resolution::Exact),
        _ => return choose(sure.into_iter().rev(), owners, look, Resolution::Exact),
    }
    let near = about.into_iter().flatten().filter(|c| {
        c.valid.from_lo.saturating_sub(look.tolerance) <= look.at
            && look.at < c.valid.to_hi.saturating_add(look.tolerance)
    });
    choose(near, owners, look, Resolution::Tolerant)
}

/// Step 4: one uid is an answer; of several, the one on a node that saw the traffic, if it is one.
pub(super) fn choose<'a>(
    claims: impl Iterator<Item = &'a Claim>,
    owners: &[Owner],
    look: &Lookup,
    resolution: Resolution,
) -> Found {
    let mut candidates: SmallVec<[OwnerIdx; 4]> = SmallVec::new();
    let mut uids: SmallVec<[u32; 4]> = SmallVec::new();
    for claim in claims {
        if !uids.contains(&claim.uid) {
            uids.push(claim.uid);
            candidates.push(claim.owner);
        }
    }
    match candidates.len() {
        0 => return Found::Nobody,
        1 => return Found::One(candidates[0], resolution),
        _ => {}
    }
    let owner = |c: &OwnerIdx| &owners[c.0 as usize];
    let mut local = candidates.iter().filter(|c| {
        let node = owner(c).node;
        !node.is_none() && look.seen_on.contains(&node)
    });
    if let (Some(one), None) = (local.next(), local.next()) {
        return Found::One(*one, resolution);
    }
    // Instances of one workload are one entity: which of them it was does not change the map.
    let first = owner(&candidates[0]).id;
    if candidates.iter().all(|c| owner(c).id == first) {
        // Which, is said by what does not depend on the order of arrival.
        let one = candidates.iter().min_by_key(|c| owner(c).instance()).expect("two at least");
        return Found::One(*one, resolution);
    }
    candidates.sort_unstable_by(|a, b| owner(a).entity.cmp(&owner(b).entity));
    Found::Many(candidates)
}

/// Step c: nobody holds the address at the instant; who spoke early, or whom does the dialler still
/// mean? A gap between two owners of the very address says more than a range around it: it is asked
/// before the ranges.
#[inline(never)]
fn in_a_gap(claims: &[Claim], owners: &[Owner], look: &Lookup) -> Found {
    let mut covering: SmallVec<[&Claim; 8]> = SmallVec::new();
    let mut rest = claims;
    while let Some((kind, same, weaker)) = AddrClaims::by_rank(rest) {
        rest = weaker;
        covering.extend(AddrClaims::about(kind, same, look.proto, look.port).into_iter().flatten());
    }
    if look.sends {
        let from = |c: &&&Claim| c.valid.from;
        let soon = |c: &&&Claim| c.valid.from > look.at && c.valid.from - look.at <= EARLY;
        let Some(next) = covering.iter().filter(soon).min_by_key(from).map(|c| c.valid.from) else {
            return Found::Nobody;
        };
        let same = covering.iter().filter(|c| c.valid.from == next).copied();
        return choose(same, owners, look, Resolution::Early);
    }
    let past = |c: &&&Claim| c.valid.to_hi <= look.at && look.at - c.valid.to_hi <= LINGER;
    let Some(end) = covering.iter().filter(past).map(|c| c.valid.to_hi).max() else {
        return Found::Nobody;
    };
    let same = covering.iter().filter(|c| c.valid.to_hi == end).copied();
    choose(same, owners, look, Resolution::Lingering)
}
