//! Search by name: the exact name first, then names that begin with the text, then names that
//! contain it, then whatever else about the entity contains it. Whatever the case.

use std::collections::BTreeSet;
use std::sync::Arc;

use portolan_model::{Entity, EntityId, EntityKind};

use crate::KindSet;

/// A search under way: entities are offered one at a time, in any order.
pub struct Search {
    query: String,
    may_be_id: bool,
    kinds: KindSet,
    limit: usize,
    total: u64,
    best: BTreeSet<Hit>,
    buffer: String,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Found {
    /// The best, best first.
    pub entities: Vec<(EntityId, Arc<Entity>)>,
    /// All that matched.
    pub total: u64,
}

/// The order of results: by how well, then by name, then by what cannot be equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    rank: Rank,
    name: Arc<str>,
    namespace: Arc<str>,
    environment: Arc<str>,
    kind: EntityKind,
    detail: Arc<str>,
    id: EntityId,
}

#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Exact,
    Prefix,
    Within,
    Elsewhere,
}

// === impl Search ===

impl Search {
    /// A search for a text (empty finds all) among some kinds.
    pub fn new(query: &str, kinds: KindSet, limit: usize) -> Self {
        Self {
            query: query.to_lowercase(),
            may_be_id: query.len() <= 16 && query.bytes().all(|b| b.is_ascii_hexdigit()),
            kinds,
            limit,
            total: 0,
            best: BTreeSet::new(),
            buffer: String::new(),
        }
    }

    /// Looks at an entity.
    pub fn offer(&mut self, id: EntityId, entity: &Arc<Entity>) {
        if !self.kinds.keeps(entity.kind) {
            return;
        }
        let Some(rank) = self.rank(id, entity) else { return };
        self.total += 1;
        let Entity { environment, namespace, name, kind, detail } = &**entity;
        let full = self.best.len() >= self.limit;
        let worse = |last: &Hit| (rank, name, namespace) > (last.rank, &last.name, &last.namespace);
        if full && self.best.last().is_none_or(worse) {
            return;
        }
        self.best.insert(Hit {
            rank,
            name: name.clone(),
            namespace: namespace.clone(),
            environment: environment.clone(),
            kind: *kind,
            detail: detail.clone(),
            id,
        });
        if self.best.len() > self.limit {
            self.best.pop_last();
        }
    }

    /// What was found.
    pub fn finish(self) -> Found {
        let entity = |hit: Hit| {
            let Hit { name, namespace, environment, kind, detail, id, .. } = hit;
            (id, Arc::new(Entity { environment, namespace, name, kind, detail }))
        };
        Found { entities: self.best.into_iter().map(entity).collect(), total: self.total }
    }

    fn rank(&mut self, id: EntityId, entity: &Entity) -> Option<Rank> {
        if self.query.is_empty() {
            return Some(Rank::Exact);
        }
        let (buffer, query) = (&mut self.buffer, self.query.as_str());
        buffer.clear();
        fold(buffer, &entity.namespace);
        buffer.push('/');
        let name = buffer.len();
        fold(buffer, &entity.name);
        // Without a namespace there is no slash in what people read.
        let full = if name == 1 { &buffer[1..] } else { buffer.as_str() };
        match (&buffer[name..], full) {
            (name, full) if name == query || full == query => Some(Rank::Exact),
            (name, _) if name.starts_with(query) => Some(Rank::Prefix),
            (name, _) if name.contains(query) => Some(Rank::Within),
            (_, full) if full.contains(query) => Some(Rank::Elsewhere),
            _ => self.rank_id(id),
        }
    }

    /// An id is sixteen hexadecimal digits: other texts are in none.
    fn rank_id(&mut self, id: EntityId) -> Option<Rank> {
        use std::fmt::Write as _;
        if !self.may_be_id {
            return None;
        }
        self.buffer.clear();
        write!(self.buffer, "{id}").expect("a string takes all that is written");
        match self.buffer.as_str() {
            id if id == self.query => Some(Rank::Exact),
            id if id.contains(&self.query) => Some(Rank::Elsewhere),
            _ => None,
        }
    }
}

/// Appends a text in lower case.
fn fold(buffer: &mut String, text: &str) {
    if text.is_ascii() {
        let start = buffer.len();
        buffer.push_str(text);
        buffer[start..].make_ascii_lowercase();
    } else {
        buffer.push_str(&text.to_lowercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entities() -> Vec<Arc<Entity>> {
        let all = [
            (EntityKind::Workload, "shop", "cart-worker"),
            (EntityKind::Workload, "shop", "Cart"),
            (EntityKind::Hop(portolan_model::HopClass::ClusterIp), "shop", "cart"),
            (EntityKind::Workload, "cart", "store"),
            (EntityKind::Workload, "a", "old-cart"),
            (EntityKind::External, "", "Ünïon"),
        ];
        all.map(|(kind, namespace, name)| Arc::new(Entity::new(kind, namespace, name))).into()
    }

    fn search(query: &str, kinds: &[&str], limit: usize) -> (Vec<String>, u64) {
        let mut set = KindSet::default();
        assert!(kinds.iter().all(|kind| set.insert(kind)));
        let run = |entities: &mut dyn Iterator<Item = Arc<Entity>>| {
            let mut search = Search::new(query, set, limit);
            entities.for_each(|entity| search.offer(entity.id(), &entity));
            search.finish()
        };
        let found = run(&mut entities().into_iter());
        assert_eq!(found, run(&mut entities().into_iter().rev()), "order of offers matters");
        let names = found.entities.iter().map(|(_, entity)| entity.to_string()).collect();
        (names, found.total)
    }

    #[test]
    fn exact_names_come_before_prefixes_before_what_contains_the_text() {
        let all = ["shop/Cart", "shop/cart", "shop/cart-worker", "a/old-cart", "cart/store"];
        assert_eq!(search("CART", &[], 10), (all.map(String::from).into(), 5));
    }

    #[test]
    fn limit_keeps_the_best_and_still_counts_all() {
        assert_eq!(search("cart", &[], 1), (vec!["shop/Cart".into()], 5));
        assert_eq!(search("cart", &[], 0), (vec![], 5));
    }

    #[test]
    fn kinds_narrow_the_search() {
        assert_eq!(search("cart", &["hop"], 10), (vec!["shop/cart".into()], 1));
    }

    #[test]
    fn namespace_with_name_and_id_are_exact() {
        assert_eq!(search("cart/store", &[], 1).0, ["cart/store"]);
        let id = entities()[4].id().to_string();
        assert_eq!(search(&id, &[], 10).0, ["a/old-cart"]);
    }

    #[test]
    fn letters_beyond_ascii_fold_too() {
        assert_eq!(search("ÜNÏON", &[], 10).0, ["Ünïon"]);
    }

    #[test]
    fn empty_text_lists_everything() {
        assert_eq!(search("", &[], 10).1, 6);
    }
}
