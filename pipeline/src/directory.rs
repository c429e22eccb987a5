//! Identity directory: who owned an address at an instant.
//!
//! ```text
//! events ─► versions of uids ─► (settle) ─► claims on addresses, ports and ranges ─► lookup
//! ```
//!
//! Fed by ownership events in any order; what it answers is a function of the *set* of events.
//! Rules: flow semantics, sections 1.1 to 1.3.

mod builtin;
mod claims;
mod expire;
mod gaps;
#[cfg(test)]
mod laws;
mod lookup;
mod names;
mod owner;
mod ranges;
mod scopes;
mod sole;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;

use portolan_model::{Ip, Nanos, OwnerEvent, OwnerRecord, ScopeId};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::ScopeLink;
use crate::index::{self, Index};

pub use builtin::Builtin;
pub(crate) use claims::AddrClaims;
pub use lookup::{Found, Lookup};
pub use owner::{Owner, OwnerIdx};
pub(crate) use sole::{Ports, Sole};

/// A uid that no source can give: of its versions the open one says how far the scope has been told,
/// and the others when nobody watched it.
const SCOPE_ITSELF: &str = "";

/// How many addresses are looked for at once.
const BLOCK: usize = 64;

/// See the module.
#[derive(Default)]
pub struct Directory {
    environment: Arc<str>,
    scopes: scopes::Scopes,
    /// Numbers of uids.
    by_uid: FxHashMap<(ScopeId, Arc<str>), u32>,
    /// Every uid with its versions, by number.
    uids: Vec<Uid>,
    /// Every version of every owner, by place.
    owners: Vec<Owner>,
    entities: owner::Entities,
    addrs: Vec<AddrClaims>,
    by_addr: Index,
    ranges: ranges::Ranges,
    gaps: gaps::Gaps,
    /// Gaps that were told since the last settling.
    fresh_gaps: Vec<(ScopeId, Nanos, Nanos)>,
    names: names::Names,
    node_ports: work::NodePorts,
    /// Addresses of hops by the address they forward to.
    fronts: FxHashMap<(ScopeId, Ip), FxHashSet<u32>>,
    /// Uids whose events have not been worked in yet.
    stale: FxHashSet<u32>,
    /// Versions that were told anew since the last settling.
    fresh: FxHashSet<OwnerIdx>,
    /// Scopes that were told of further since then.
    beaten: FxHashSet<ScopeId>,
    /// Places that are free.
    free_owners: Vec<OwnerIdx>,
    free_uids: Vec<u32>,
    expired_at: Nanos,
}

/// One owner.
struct Uid {
    scope: ScopeId,
    name: Arc<str>,
    /// Its versions, by start.
    versions: SmallVec<[OwnerIdx; 2]>,
    /// Ends that delete events named, with their uncertain tails; in order.
    ended: SmallVec<[(Nanos, Nanos); 1]>,
    /// Addresses that it had claims on when it was last worked in.
    claimed: SmallVec<[u32; 2]>,
}

/// What working the pending events in has changed.
#[derive(Debug, Default)]
pub struct Changed {
    /// Addresses whose answer may differ, by number.
    pub addrs: Vec<u32>,
    /// Addresses whose name may differ.
    pub named: Vec<(ScopeId, Ip)>,
    /// Ranges changed: every address without claims of its own may have another answer.
    pub ranges: bool,
    /// Gaps in what was seen of a scope: whatever does not surely hold in one may have another answer.
    pub gaps: Vec<(ScopeId, Nanos, Nanos)>,
    /// Versions to keep.
    pub owners: Vec<OwnerRecord>,
}

// === impl Directory ===

impl Directory {
    /// A directory that knows nobody. `environment` is for owners that name none; `links` say where
    /// else an address may be looked up.
    pub fn new(environment: &str, links: &[ScopeLink]) -> Self {
        Self {
            environment: environment.into(),
            scopes: scopes::Scopes::new(links),
            ..Self::default()
        }
    }

    /// Takes an event in. It takes effect at the next [`Self::settle`], but for how far a scope has
    /// been told.
    pub fn tell(&mut self, event: OwnerEvent) {
        match event {
            OwnerEvent::Upsert(record) if &*record.uid == SCOPE_ITSELF => {
                let scope = self.scopes.note(&record.scope);
                if record.valid.to == Nanos::MAX {
                    self.scopes.tell(scope, record.observed_at);
                } else {
                    self.gaps.insert(scope, (record.valid.from, record.valid.to));
                }
            }
            OwnerEvent::Upsert(record) => self.upsert(&record),
            OwnerEvent::Delete { scope, uid, at, at_hi } => {
                let number = self.number(&scope, &uid);
                let ended = &mut self.uids[number as usize].ended;
                if let Err(place) = ended.binary_search(&(at, at_hi)) {
                    ended.insert(place, (at, at_hi));
                    self.stale.insert(number);
                }
            }
            OwnerEvent::Gap { scope, from, to } => {
                let scope = self.scopes.note(&scope);
                if self.gaps.insert(scope, (from, to)) {
                    self.fresh_gaps.push((scope, from, to));
                }
            }
            OwnerEvent::Heartbeat { scope, watermark } => {
                let scope = self.scopes.note(&scope);
                if self.scopes.tell(scope, watermark) {
                    self.beaten.insert(scope);
                }
            }
        }
    }

    /// Whether one claim on an address surely holds all the time from `from` to `to`, give or take what
    /// clocks may differ.
    pub(crate) fn holds_through(
        &self,
        (scope, ip): (ScopeId, Ip),
        (from, to): (Nanos, Nanos),
        tolerance: Nanos,
    ) -> bool {
        let (from, to) = (from.saturating_sub(tolerance), to.saturating_add(tolerance));
        let claims = self.index_of(scope, ip).map_or(&[][..], |i| &self.addrs[i as usize].claims);
        claims.iter().any(|c| c.valid.from <= from && to <= c.valid.to)
    }

    fn number(&mut self, scope: &Arc<str>, uid: &Arc<str>) -> u32 {
        let key = (self.scopes.note(scope), uid.clone());
        if let Some(number) = self.by_uid.get(&key) {
            return *number;
        }
        let new = Uid {
            scope: key.0,
            name: uid.clone(),
            versions: SmallVec::new(),
            ended: SmallVec::new(),
            claimed: SmallVec::new(),
        };
        let number = if let Some(free) = self.free_uids.pop() {
            self.uids[free as usize] = new;
            free
        } else {
            self.uids.push(new);
            self.uids.len() as u32 - 1
        };
        self.by_uid.insert(key, number);
        number
    }

    fn upsert(&mut self, record: &OwnerRecord) {
        let number = self.number(&record.scope, &record.uid);
        let place = self.uids[number as usize]
            .versions
            .binary_search_by_key(&record.valid.from, |v| self.owners[v.0 as usize].valid.from);
        let idx = match place {
            Ok(place) => {
                let idx = self.uids[number as usize].versions[place];
                let known = self.record(idx);
                // The later observation wins; of two at one instant, the greater, so that order of
                // arrival does not matter.
                if (known.observed_at, &known) >= (record.observed_at, record) {
                    return;
                }
                let again = OwnerRecord { observed_at: record.observed_at, ..known };
                if again == *record {
                    self.owners[idx.0 as usize].seen_again(record.observed_at);
                    return;
                }
                self.owners[idx.0 as usize] =
                    Owner::new(record, number, &self.environment, &mut self.entities);
                idx
            }
            Err(place) => {
                let owner = Owner::new(record, number, &self.environment, &mut self.entities);
                let idx = if let Some(free) = self.free_owners.pop() {
                    self.owners[free.0 as usize] = owner;
                    free
                } else {
                    self.owners.push(owner);
                    OwnerIdx(self.owners.len() as u32 - 1)
                };
                self.uids[number as usize].versions.insert(place, idx);
                idx
            }
        };
        self.fresh.insert(idx);
        self.stale.insert(number);
    }

    /// A version as it was told.
    fn record(&self, idx: OwnerIdx) -> OwnerRecord {
        let owner = &self.owners[idx.0 as usize];
        let uid = &self.uids[owner.uid as usize];
        owner.record(&self.scopes.name(uid.scope), &uid.name)
    }

    /// The number of an address that has claims.
    #[inline]
    pub fn index_of(&self, scope: ScopeId, ip: Ip) -> Option<u32> {
        let hash = index::hash((scope, ip));
        self.by_addr.find(hash, |index| self.addrs[index as usize].is_of(scope, ip))
    }

    /// The numbers of many addresses, in their order. Those of a block wait for memory together: first for where each
    /// stands, then for what stands there, which is what [`Self::find`] reads too. Each step is a loop of its own, as
    /// short as it can be: the processor looks ahead some hundred instructions, and so over as many addresses as fit.
    pub fn indexes_of(&self, asked: &[(ScopeId, Ip)], indexes: &mut Vec<Option<u32>>) {
        let is = |at: u32, (scope, ip): (ScopeId, Ip)| self.addrs[at as usize].is_of(scope, ip);
        let mut read = 0;
        for block in asked.chunks(BLOCK) {
            let mut hashes = [0; BLOCK];
            hashes.iter_mut().zip(block).for_each(|(hash, of)| *hash = index::hash(of));
            let hashes = &hashes[..block.len()];
            for hash in hashes {
                read ^= u64::from(self.by_addr.peek(*hash));
            }
            let mut likely = [0; BLOCK];
            likely.iter_mut().zip(hashes).for_each(|(at, hash)| *at = self.by_addr.likely(*hash));
            for at in &likely[..block.len()] {
                read ^= self.addrs.get(*at as usize).map_or(0, AddrClaims::warm);
            }
            indexes.extend(block.iter().zip(hashes).zip(likely).map(|((of, hash), likely)| {
                let likely = (likely != index::NOWHERE && is(likely, *of)).then_some(likely);
                likely.or_else(|| self.by_addr.find(*hash, |at| is(at, *of)))
            }));
        }
        std::hint::black_box(read);
    }

    /// Reads what [`Self::find`] reads first of the claims at a number, so that those of a block of questions wait for
    /// memory together. The sum is for the compiler, which must not leave it out.
    pub fn warm(&self, index: u32) -> u64 {
        self.addrs[index as usize].warm()
    }

    /// The claims at a number.
    pub(crate) fn at(&self, index: u32) -> &AddrClaims {
        &self.addrs[index as usize]
    }

    /// An owner.
    pub fn owner(&self, idx: OwnerIdx) -> &Owner {
        &self.owners[idx.0 as usize]
    }

    /// How many versions it knows.
    pub fn versions(&self) -> usize {
        self.owners.len() - self.free_owners.len()
    }

    /// Up to when everything about a scope has been said, if its source says so at all.
    pub fn told_until(&self, scope: ScopeId) -> Option<Nanos> {
        self.scopes.told_until(scope)
    }

    /// Whether an answer for `ip` in `scope` may come from what is claimed in `other`.
    pub(crate) fn reaches(&self, scope: ScopeId, ip: Ip, other: ScopeId) -> bool {
        self.scopes.reaches(scope, ip, other)
    }

    /// Addresses of the hops that forward to any of these addresses.
    pub(crate) fn hops_of(&self, addrs: &[u32]) -> Vec<u32> {
        let mut hops: Vec<u32> = Vec::new();
        for &addr in addrs {
            let claims = &self.addrs[addr as usize];
            if let Some(fronts) = self.fronts.get(&(claims.scope, claims.ip)) {
                hops.extend(fronts);
            }
        }
        hops.sort_unstable();
        hops.dedup();
        hops
    }
}
