//! Scopes: where an address that nobody claims is looked up next, and how far each has been told.

use std::sync::Arc;

use portolan_model::{Ip, Nanos, ScopeId};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::ScopeLink;

/// The scope that every public address is looked up in at last (flow semantics, section 1.1).
pub(super) const PUBLIC: &str = "public";

/// See the module.
#[derive(Default)]
pub(super) struct Scopes {
    names: FxHashMap<ScopeId, Arc<str>>,
    /// The scopes to ask next, nearest first, links of links included.
    next: FxHashMap<ScopeId, SmallVec<[ScopeId; 2]>>,
    /// Everything up to here has been said, by the word of the source.
    told_until: FxHashMap<ScopeId, Nanos>,
    public: ScopeId,
}

impl Scopes {
    pub(super) fn new(links: &[ScopeLink]) -> Self {
        let mut direct: FxHashMap<ScopeId, SmallVec<[ScopeId; 2]>> = FxHashMap::default();
        for link in links {
            let next = direct.entry(ScopeId::of(&link.scope)).or_default();
            next.extend(link.next.iter().map(|name| ScopeId::of(name)));
        }
        let mut next: FxHashMap<ScopeId, SmallVec<[ScopeId; 2]>> = FxHashMap::default();
        for &scope in direct.keys() {
            let mut all = direct[&scope].clone();
            let mut at = 0;
            while let Some(further) = all.get(at).and_then(|s| direct.get(s)) {
                for &more in further {
                    if more != scope && !all.contains(&more) {
                        all.push(more);
                    }
                }
                at += 1;
            }
            next.insert(scope, all);
        }
        Self { next, public: ScopeId::of(PUBLIC), ..Self::default() }
    }

    /// The scopes to ask for an address after its own.
    pub(super) fn after(&self, scope: ScopeId, ip: Ip) -> SmallVec<[ScopeId; 4]> {
        let mut after: SmallVec<[ScopeId; 4]> = SmallVec::new();
        after.extend(self.next.get(&scope).into_iter().flatten().copied());
        if scope != self.public && !after.contains(&self.public) && !ip.is_private() {
            after.push(self.public);
        }
        after
    }

    /// Whether an answer for `ip` in `scope` may come from `other`.
    pub(super) fn reaches(&self, scope: ScopeId, ip: Ip, other: ScopeId) -> bool {
        scope == other || self.after(scope, ip).contains(&other)
    }

    pub(super) fn name(&self, scope: ScopeId) -> Arc<str> {
        self.names.get(&scope).cloned().unwrap_or_default()
    }

    pub(super) fn note(&mut self, name: &Arc<str>) -> ScopeId {
        let scope = ScopeId::of(name);
        self.names.entry(scope).or_insert_with(|| name.clone());
        scope
    }

    /// Notes how far a scope has been told. Whether that is news.
    pub(super) fn tell(&mut self, scope: ScopeId, until: Nanos) -> bool {
        let told = self.told_until.entry(scope).or_insert(0);
        let news = until > *told;
        *told = until.max(*told);
        news
    }

    pub(super) fn told_until(&self, scope: ScopeId) -> Option<Nanos> {
        self.told_until.get(&scope).copied()
    }
}
