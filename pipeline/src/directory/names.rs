//! Names that DNS answers gave to addresses, by who asked.
//!
//! Answers differ by who asks (split horizon, content networks), so the client's own answers come
//! first, and of these the last; whoever else's name is taken only where there is no choice (flow
//! semantics, sections 1.2 and 4.6).

use portolan_model::{Ip, Nanos, Resolution, ScopeId};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::claims::{Claim, ClaimKind};
use super::lookup::{Found, Lookup, choose};
use super::owner::{Owner, OwnerIdx};

/// An answer may be used this long, however short its time to live: resolvers and clients keep it
/// (flow semantics, section 1.2).
const LEAST_TTL: Nanos = 60_000_000_000;

/// See the module.
#[derive(Default)]
pub(super) struct Names {
    by_addr: FxHashMap<(ScopeId, Ip), Vec<Answer>>,
    claimed: FxHashMap<u32, Vec<(ScopeId, Ip)>>,
}

#[derive(Copy, Clone, Debug)]
struct Answer {
    observer: Ip,
    claim: Claim,
}

impl Names {
    pub(super) fn insert(&mut self, scope: ScopeId, owner: OwnerIdx, of: &Owner) {
        let observer = of.more.as_ref().map_or(Ip::NONE, |more| more.observer);
        for &ip in &of.ips {
            let mut claim = Claim::new(ClaimKind::External, owner, of);
            let least = claim.valid.from.saturating_add(LEAST_TTL);
            claim.valid.to = claim.valid.to.max(least);
            claim.valid.to_hi = claim.valid.to_hi.max(claim.valid.to);
            let answers = self.by_addr.entry((scope, ip)).or_default();
            answers.push(Answer { observer, claim });
            // The last answer first; of two at one instant the order is that of the uids.
            answers.sort_unstable_by_key(|a| (std::cmp::Reverse(a.claim.valid.from), a.claim.uid));
            self.claimed.entry(of.uid).or_default().push((scope, ip));
        }
    }

    /// Drops the answers of a uid and says which addresses they were about.
    pub(super) fn forget(&mut self, uid: u32) -> Vec<(ScopeId, Ip)> {
        let mine = self.claimed.remove(&uid).unwrap_or_default();
        for key in &mine {
            if let Some(answers) = self.by_addr.get_mut(key) {
                answers.retain(|a| a.claim.uid != uid);
                if answers.is_empty() {
                    self.by_addr.remove(key);
                }
            }
        }
        mine
    }

    /// Drops one version of a uid.
    pub(super) fn drop_version(&mut self, uid: u32, owner: OwnerIdx) {
        for key in self.claimed.get(&uid).into_iter().flatten() {
            if let Some(answers) = self.by_addr.get_mut(key) {
                answers.retain(|a| a.claim.owner != owner);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_addr.is_empty()
    }

    pub(super) fn find(&self, owners: &[Owner], look: &Lookup) -> Found {
        let Some(answers) = self.by_addr.get(&(look.scope, look.ip)) else { return Found::Nobody };
        let holds = |a: &&Answer| {
            a.claim.valid.from.saturating_sub(look.tolerance) <= look.at
                && look.at < a.claim.valid.to_hi.saturating_add(look.tolerance)
        };
        let mine = |a: &&Answer| !a.observer.is_none() && a.observer == look.peer;
        if let Some(last) = answers.iter().filter(mine).find(holds) {
            let sure = last.claim.surely(look.at);
            let resolution = if sure { Resolution::Exact } else { Resolution::Tolerant };
            return Found::One(last.claim.owner, resolution);
        }
        let all: SmallVec<[Claim; 4]> = answers.iter().filter(holds).map(|a| a.claim).collect();
        let for_all = answers.iter().filter(holds).all(|a| a.observer.is_none());
        let resolution = if for_all { Resolution::Exact } else { Resolution::Tolerant };
        choose(all.iter(), owners, look, resolution)
    }
}
