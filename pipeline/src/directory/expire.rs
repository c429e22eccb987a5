//! Letting go of owners that nothing kept asks for any more.

use std::collections::hash_map::Entry;

use portolan_model::{Nanos, OwnerKey};

use super::{Directory, OwnerIdx};

/// How often, in event time, old versions are looked for: all of them are walked.
const EVERY: Nanos = 600_000_000_000;

impl Directory {
    /// Drops versions that surely ended before an instant, and says which. The last claim on an
    /// address stays, however old: it is the best there is for whoever asks (flow semantics, section
    /// 1.4).
    pub fn expire(&mut self, before: Nanos) -> Vec<OwnerKey> {
        if before < self.expired_at.saturating_add(EVERY) {
            return Vec::new();
        }
        self.expired_at = before;
        let mut gone = Vec::new();
        for number in 0..self.uids.len() as u32 {
            if self.uids[number as usize].versions.is_empty() {
                continue;
            }
            self.expire_uid(number, before, &mut gone);
        }
        self.gaps.expire(before, &self.scopes, &mut gone);
        self.entities.tidy();
        gone.sort_unstable();
        gone
    }

    fn expire_uid(&mut self, number: u32, before: Nanos, gone: &mut Vec<OwnerKey>) {
        let ended = |d: &Self, v: &OwnerIdx| d.owners[v.0 as usize].valid.to_hi < before;
        if !self.uids[number as usize].versions.iter().any(|v| ended(self, v)) {
            return;
        }
        let versions = self.uids[number as usize].versions.clone();
        let old = versions.into_iter().filter(|v| ended(self, v) && !self.is_last_anywhere(*v));
        let old: Vec<OwnerIdx> = old.collect();
        for idx in old {
            self.drop_version(number, idx, gone);
        }
        let uid = &self.uids[number as usize];
        if uid.versions.is_empty() {
            if let Entry::Occupied(known) = self.by_uid.entry((uid.scope, uid.name.clone())) {
                known.remove();
            }
            self.free_uids.push(number);
        }
    }

    /// Whether it is the last to have claimed some address.
    fn is_last_anywhere(&self, idx: OwnerIdx) -> bool {
        let uid = &self.uids[self.owners[idx.0 as usize].uid as usize];
        uid.claimed.iter().any(|addr| {
            let claims = &self.addrs[*addr as usize].claims;
            let last = claims.iter().max_by_key(|c| (c.valid.to_hi, c.valid.from));
            last.is_some_and(|last| last.owner == idx)
        })
    }

    fn drop_version(&mut self, number: u32, idx: OwnerIdx, gone: &mut Vec<OwnerKey>) {
        let owner = &self.owners[idx.0 as usize];
        let uid = &self.uids[number as usize];
        gone.push(OwnerKey {
            scope: self.scopes.name(uid.scope),
            uid: uid.name.clone(),
            from: owner.valid.from,
        });
        for &addr in &uid.claimed {
            self.addrs[addr as usize].forget_version(idx);
        }
        self.ranges.drop_version(number, idx);
        self.names.drop_version(number, idx);
        self.node_ports.drop_version(uid.scope, idx);
        let uid = &mut self.uids[number as usize];
        uid.versions.retain(|v| *v != idx);
        self.free_owners.push(idx);
    }
}
