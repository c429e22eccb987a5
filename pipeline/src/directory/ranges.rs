//! Claims on ranges of addresses, the longest prefix first.

use portolan_model::{Ip, ScopeId};
use rustc_hash::FxHashMap;

use super::claims::{AddrClaims, Claim};
use super::lookup::{Found, Lookup, at_instant};
use super::owner::{Owner, OwnerIdx};

/// See the module.
#[derive(Default)]
pub(super) struct Ranges {
    by_prefix: FxHashMap<(ScopeId, u8, Ip), AddrClaims>,
    /// Prefix lengths in use by scope, longest first.
    lengths: FxHashMap<ScopeId, Vec<u8>>,
    /// Which ranges a uid has claims on.
    claimed: FxHashMap<u32, Vec<(ScopeId, u8, Ip)>>,
}

impl Ranges {
    pub(super) fn insert(&mut self, scope: ScopeId, ip: Ip, prefix: u8, claim: Claim) {
        let key = (scope, prefix, ip.masked(prefix));
        let claims = self.by_prefix.entry(key).or_insert_with(|| AddrClaims::new(scope, key.2));
        claims.claim(claim, &[]);
        let mine = self.claimed.entry(claim.uid).or_default();
        if !mine.contains(&key) {
            mine.push(key);
        }
        let lengths = self.lengths.entry(scope).or_default();
        if !lengths.contains(&prefix) {
            lengths.push(prefix);
            lengths.sort_unstable_by(|a, b| b.cmp(a));
        }
    }

    /// Drops the claims of a uid. Whether it had any.
    pub(super) fn forget(&mut self, uid: u32) -> bool {
        let Some(mine) = self.claimed.remove(&uid) else { return false };
        for key in mine {
            if let Some(claims) = self.by_prefix.get_mut(&key) {
                claims.forget(uid);
                if claims.claims.is_empty() {
                    self.by_prefix.remove(&key);
                }
            }
        }
        true
    }

    /// Drops one version of a uid.
    pub(super) fn drop_version(&mut self, uid: u32, owner: OwnerIdx) {
        for key in self.claimed.get(&uid).into_iter().flatten() {
            if let Some(claims) = self.by_prefix.get_mut(key) {
                claims.forget_version(owner);
            }
        }
    }

    /// Orders the claims on the ranges of a uid.
    pub(super) fn arrange(&mut self, uid: u32, owners: &[Owner]) {
        for key in self.claimed.get(&uid).into_iter().flatten() {
            if let Some(claims) = self.by_prefix.get_mut(key) {
                claims.arrange(owners);
            }
        }
    }

    pub(super) fn find(&self, owners: &[Owner], look: &Lookup) -> Found {
        let Some(lengths) = self.lengths.get(&look.scope) else { return Found::Nobody };
        let is_v4 = look.ip.as_v4().is_some();
        for &prefix in lengths.iter().filter(|prefix| **prefix <= 32 || !is_v4) {
            let key = (look.scope, prefix, look.ip.masked(prefix));
            let Some(claims) = self.by_prefix.get(&key) else { continue };
            let found = at_instant([&claims.claims, &[]], owners, look);
            if found != Found::Nobody {
                return found;
            }
        }
        Found::Nobody
    }
}
