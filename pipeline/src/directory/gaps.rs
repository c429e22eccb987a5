//! Gaps: when nobody watched a scope. Whoever lived in one only was never told of: an address that no
//! claim holds there, surely or possibly, may have been anybody's, and is neither the next owner's
//! already nor the last one's still.

use portolan_model::{Nanos, OwnerKey, OwnerKind, OwnerRecord, ScopeId, ValidTime};
use rustc_hash::FxHashMap;

use super::SCOPE_ITSELF;
use super::scopes::Scopes;

/// From and until.
pub(super) type Span = (Nanos, Nanos);

/// See the module.
#[derive(Default)]
pub(super) struct Gaps {
    by_scope: FxHashMap<ScopeId, Told>,
}

#[derive(Default)]
struct Told {
    /// As they were told, by start.
    spans: Vec<Span>,
    /// Their union: apart, in order.
    union: Vec<Span>,
}

// === impl Gaps ===

impl Gaps {
    /// Notes one. Whether it is news.
    pub(super) fn insert(&mut self, scope: ScopeId, (from, to): Span) -> bool {
        let told = self.by_scope.entry(scope).or_default();
        match told.spans.binary_search_by_key(&from, |(from, _)| *from) {
            Ok(place) if told.spans[place].1 >= to => return false,
            Ok(place) => told.spans[place].1 = to,
            Err(place) => told.spans.insert(place, (from, to)),
        }
        told.unite();
        true
    }

    /// Whether the scope may have been unwatched at an instant, as far as clocks differ.
    pub(super) fn covers(&self, scope: ScopeId, at: Nanos, tolerance: Nanos) -> bool {
        let Some(told) = self.by_scope.get(&scope) else { return false };
        let begun = told.union.partition_point(|(from, _)| *from <= at.saturating_add(tolerance));
        let last = begun.checked_sub(1).map(|last| told.union[last]);
        last.is_some_and(|(_, to)| at < to.saturating_add(tolerance))
    }

    /// Since when nobody watched, of something whose end was seen at `end`; `end`, if somebody did.
    pub(super) fn last_seen(&self, scope: ScopeId, end: Nanos) -> Nanos {
        let Some(told) = self.by_scope.get(&scope) else { return end };
        let begun = told.union.partition_point(|(from, _)| *from < end);
        let last = begun.checked_sub(1).map(|last| told.union[last]);
        last.filter(|(_, to)| end <= *to).map_or(end, |(from, _)| from)
    }

    /// Drops those that ended before an instant, and says which.
    pub(super) fn expire(&mut self, before: Nanos, scopes: &Scopes, gone: &mut Vec<OwnerKey>) {
        for (scope, told) in &mut self.by_scope {
            let name = scopes.name(*scope);
            let old = told.spans.iter().filter(|(_, to)| *to < before);
            gone.extend(old.map(|(from, _)| OwnerKey {
                scope: name.clone(),
                uid: SCOPE_ITSELF.into(),
                from: *from,
            }));
            told.spans.retain(|(_, to)| *to >= before);
            told.unite();
        }
        self.by_scope.retain(|_, told| !told.spans.is_empty());
    }
}

// === impl Told ===

impl Told {
    fn unite(&mut self) {
        self.union.clear();
        for &(from, to) in &self.spans {
            match self.union.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => self.union.push((from, to)),
            }
        }
    }
}

/// How a gap is kept with the owners of its scope.
pub(super) fn record(scope: &str, (from, to): Span) -> OwnerRecord {
    let valid = ValidTime::between(from, to);
    OwnerRecord::blank(scope, SCOPE_ITSELF, OwnerKind::Pod, valid)
}
