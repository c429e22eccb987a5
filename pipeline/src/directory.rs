//! Identity directory: who owned an address at an instant.
//!
//! Fed by ownership events in any order; what it answers is a function of the *set* of events.
//! Rules: flow semantics, sections 1.1 to 1.3.

mod claims;
mod lookup;
mod owner;

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_model::{Ip, Nanos, OwnerEvent, OwnerKind, OwnerRecord, Phase, Proto, ScopeId};
use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) use claims::{AddrClaims, Claim, ClaimKind};
pub(crate) use lookup::{Found, Lookup};
pub(crate) use owner::{Owner, OwnerIdx};

type Uid = (ScopeId, Arc<str>);

/// See the module.
#[derive(Default)]
pub(crate) struct Directory {
    /// Every version of every owner, as told.
    versions: FxHashMap<Uid, Versions>,
    owners: Vec<Owner>,
    addrs: Vec<AddrClaims>,
    by_addr: FxHashMap<(ScopeId, Ip), u32>,
    cidrs: lookup::Cidrs,
    /// Uids whose events have not been worked in yet.
    stale: FxHashSet<Uid>,
    /// Owner slots by uid, so that a rebuilt uid reuses its own.
    slots: FxHashMap<(Uid, Nanos), OwnerIdx>,
    environment: Arc<str>,
    /// Addresses of hops by the address they forward to.
    fronts: FxHashMap<(ScopeId, Ip), FxHashSet<u32>>,
    /// Uids seen so far.
    uids: u32,
}

#[derive(Default)]
struct Versions {
    by_start: BTreeMap<Nanos, OwnerRecord>,
    /// The earliest end that a delete event named, with its uncertain tail.
    ended: Option<(Nanos, Nanos)>,
    /// Addresses that the uid had claims on when it was last worked in.
    claimed: Vec<u32>,
    number: u32,
}

/// What working the pending events in has changed.
#[derive(Default)]
pub(crate) struct Changed {
    /// Addresses whose answer may differ, by index.
    pub(crate) addrs: Vec<u32>,
    /// Ranges changed: every address without claims of its own may have another answer.
    pub(crate) ranges: bool,
    /// Versions to keep.
    pub(crate) owners: Vec<OwnerRecord>,
}

// === impl Directory ===

impl Directory {
    pub(crate) fn new(environment: &str) -> Self {
        Self { environment: environment.into(), ..Self::default() }
    }

    /// Takes an event in. It takes effect at the next [`Self::settle`].
    pub(crate) fn tell(&mut self, event: OwnerEvent) {
        match event {
            OwnerEvent::Upsert(record) => self.upsert(*record),
            OwnerEvent::Delete { scope, uid, at, at_hi } => {
                let uid = (ScopeId::of(&scope), uid);
                let versions = self.versions.entry(uid.clone()).or_default();
                let end = (at, at_hi);
                versions.ended = Some(versions.ended.map_or(end, |old| old.min(end)));
                self.stale.insert(uid);
            }
            OwnerEvent::Heartbeat { .. } => {}
        }
    }

    fn upsert(&mut self, record: OwnerRecord) {
        let uid = (ScopeId::of(&record.scope), record.uid.clone());
        let versions = self.versions.entry(uid.clone()).or_default();
        match versions.by_start.get(&record.valid.from) {
            // The later observation wins; of two at one instant, the greater, so that order of
            // arrival does not matter.
            Some(old) if (old.observed_at, old) >= (record.observed_at, &record) => return,
            _ => versions.by_start.insert(record.valid.from, record),
        };
        self.stale.insert(uid);
    }

    /// Works all pending events in and says what may have changed.
    pub(crate) fn settle(&mut self) -> Changed {
        let mut changed = Changed::default();
        let mut stale: Vec<Uid> = self.stale.drain().collect();
        stale.sort_unstable();
        for uid in stale {
            self.rework(&uid, &mut changed);
        }
        changed.addrs.sort_unstable();
        changed.addrs.dedup();
        for &addr in &changed.addrs {
            self.addrs[addr as usize].arrange(&self.owners);
        }
        changed
    }

    /// Rebuilds all claims of one uid.
    fn rework(&mut self, uid: &Uid, changed: &mut Changed) {
        let Some(mut versions) = self.versions.remove(uid) else { return };
        if versions.number == 0 {
            self.uids += 1;
            versions.number = self.uids;
        }
        for &addr in &versions.claimed {
            let number = versions.number;
            let owners = &self.owners;
            self.addrs[addr as usize].forget(|owner| owners[owner.0 as usize].uid == number);
            changed.addrs.push(addr);
        }
        versions.claimed.clear();
        let starts: Vec<Nanos> = versions.by_start.keys().copied().collect();
        for (place, start) in starts.iter().enumerate() {
            let next = starts.get(place + 1).copied();
            let record = versions.by_start.get_mut(start).expect("key was just listed");
            if let Some((at, at_hi)) = versions.ended
                && at > record.valid.from
            {
                record.valid = record.valid.ended(at, at_hi);
            }
            changed.owners.push(record.clone());
            let mut effective = record.clone();
            if let Some(next) = next {
                effective.valid = effective.valid.ended(next, next);
            }
            self.claim(uid, &effective, &mut versions, changed);
        }
        versions.claimed.sort_unstable();
        versions.claimed.dedup();
        self.versions.insert(uid.clone(), versions);
    }

    fn claim(
        &mut self,
        uid: &Uid,
        record: &OwnerRecord,
        versions: &mut Versions,
        changed: &mut Changed,
    ) {
        if record.phase != Phase::Running && record.valid.to == Nanos::MAX {
            // Ended without a word of when: it never surely had the address.
            return;
        }
        let owner = self.slot(uid, record, versions.number);
        let scope = uid.0;
        for &ip in &record.ips {
            let addr = self.addr(scope, ip);
            self.addrs[addr as usize].claim_all(record, owner);
            versions.claimed.push(addr);
            changed.addrs.push(addr);
        }
        if record.kind == OwnerKind::Node && !record.node.is_none() && record.ips.is_empty() {
            let addr = self.addr(scope, record.node);
            self.addrs[addr as usize].claim_all(record, owner);
            versions.claimed.push(addr);
            changed.addrs.push(addr);
        }
        for backend in &record.backends {
            let addr = self.addr(scope, backend.ip);
            self.addrs[addr as usize].add_target(backend.proto, backend.port);
            changed.addrs.push(addr);
            for &ip in &record.ips {
                let front = self.addr(scope, ip);
                self.fronts.entry((scope, backend.ip)).or_default().insert(front);
            }
        }
        for &(ip, prefix) in &record.cidrs {
            self.cidrs.insert(scope, ip, prefix, Claim::new(ClaimKind::Cidr, record, owner));
            changed.ranges = true;
        }
    }

    fn slot(&mut self, uid: &Uid, record: &OwnerRecord, number: u32) -> OwnerIdx {
        let owner = Owner::new(record, number, &self.environment);
        let fresh = OwnerIdx(self.owners.len() as u32);
        let idx = *self.slots.entry((uid.clone(), record.valid.from)).or_insert(fresh);
        if idx == fresh {
            self.owners.push(owner);
        } else {
            self.owners[idx.0 as usize] = owner;
        }
        idx
    }

    fn addr(&mut self, scope: ScopeId, ip: Ip) -> u32 {
        *self.by_addr.entry((scope, ip)).or_insert_with(|| {
            self.addrs.push(AddrClaims::new(scope, ip));
            self.addrs.len() as u32 - 1
        })
    }

    /// The index of an address that has claims.
    pub(crate) fn index_of(&self, scope: ScopeId, ip: Ip) -> Option<u32> {
        self.by_addr.get(&(scope, ip)).copied()
    }

    /// The claims at an index.
    pub(crate) fn at(&self, index: u32) -> &AddrClaims {
        &self.addrs[index as usize]
    }

    /// An owner.
    pub(crate) fn owner(&self, idx: OwnerIdx) -> &Owner {
        &self.owners[idx.0 as usize]
    }

    /// Who owns an address that is looked up by its index (absent: no claims of its own).
    pub(crate) fn find(&self, index: Option<u32>, look: &Lookup) -> Found {
        if let Some(index) = index {
            let found = lookup::among(&self.addrs[index as usize], &self.owners, look);
            if !matches!(found, Found::Nobody) {
                return found;
            }
        }
        self.cidrs.find(&self.owners, look)
    }

    /// Whether the owner declares the port, or some hop forwards to it.
    pub(crate) fn serves(
        &self,
        index: Option<u32>,
        owner: Option<OwnerIdx>,
        proto: Proto,
        port: u16,
    ) -> bool {
        index.is_some_and(|i| self.addrs[i as usize].is_target(proto, port))
            || owner.is_some_and(|o| self.owner(o).declares(proto, port))
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
