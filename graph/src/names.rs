//! Finds the entity that a person means: by id, by `namespace/name`, or by `name`.
//!
//! A name that nobody has is answered with those that look like it, and one that several have with
//! all of them: nothing is guessed. One rule makes plain names usable: a service address mostly has
//! the name of the workload behind it, so where a name means hops and one thing that is none, it
//! means that thing. A hop is then named by its id.

use std::sync::Arc;

use portolan_model::{Entity, EntityId, EntityKind};

use crate::Graph;

/// Most names offered for one that nobody has.
const MOST_NEAR: usize = 5;
/// Most candidates listed for one that several have.
const MOST_CANDIDATES: usize = 10;

/// A name that does not say which entity is meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nobody has it.
    #[error("no entity is named {text:?}{}", hint(near))]
    Unknown {
        /// What was asked for.
        text: String,
        /// Names that look like it, best first.
        near: Vec<String>,
    },
    /// Several have it.
    #[error("{text:?} names {count} entities, say which by id: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// How many.
        count: usize,
        /// The first of them, each with its id.
        candidates: Vec<String>,
    },
}

/// What is done with each entity.
pub type Visit<'a> = dyn FnMut(EntityId, &Arc<Entity>) + 'a;

/// The entities that names are looked up in.
pub struct Names<'a> {
    /// The entity of an id.
    pub lookup: &'a dyn Fn(EntityId) -> Option<Arc<Entity>>,
    /// Visits all entities.
    pub visit: &'a dyn Fn(&mut Visit<'_>),
}

// === impl Names ===

impl Names<'_> {
    /// The entity that each text means. `graph` settles what several share: who is in it is meant.
    pub fn resolve(&self, texts: &[String], graph: &Graph) -> Result<Vec<EntityId>, NameError> {
        let mut found: Vec<Vec<(EntityId, Arc<Entity>)>> = vec![Vec::new(); texts.len()];
        for (text, found) in texts.iter().zip(&mut found) {
            let id = parse_id(text);
            found.extend(id.and_then(|id| Some((id, (self.lookup)(id)?))));
        }
        let open: Vec<usize> = (0..texts.len()).filter(|at| found[*at].is_empty()).collect();
        if !open.is_empty() {
            (self.visit)(&mut |id, entity| {
                for at in &open {
                    if is_name_of(&texts[*at], entity) {
                        found[*at].push((id, entity.clone()));
                    }
                }
            });
        }
        texts.iter().zip(found).map(|(text, found)| self.choose(text, found, graph)).collect()
    }

    fn choose(
        &self,
        text: &str,
        mut found: Vec<(EntityId, Arc<Entity>)>,
        graph: &Graph,
    ) -> Result<EntityId, NameError> {
        narrow(&mut found, |(_, entity)| !entity.kind.is_hop());
        narrow(&mut found, |(id, _)| graph.place(*id).is_some());
        match found.as_slice() {
            [] => Err(NameError::Unknown { text: text.to_owned(), near: self.near(text) }),
            [(id, _)] => Ok(*id),
            several => {
                let count = several.len();
                let mut candidates: Vec<String> =
                    several.iter().map(|(id, entity)| describe(*id, entity)).collect();
                candidates.sort_unstable();
                candidates.truncate(MOST_CANDIDATES);
                Err(NameError::Ambiguous { text: text.to_owned(), count, candidates })
            }
        }
    }

    /// Names that look like a text, best first.
    fn near(&self, text: &str) -> Vec<String> {
        let wanted = text.to_lowercase();
        // A third of the letters wrong is another name.
        let most = wanted.chars().count().div_ceil(3);
        let mut near: Vec<(usize, String)> = Vec::new();
        (self.visit)(&mut |_, entity| {
            let full = entity.to_string();
            let (name, lower) = (entity.name.to_lowercase(), full.to_lowercase());
            let away = if name.contains(&wanted) || (name.len() > 2 && wanted.contains(&name)) {
                1
            } else {
                distance(&wanted, &name, most).min(distance(&wanted, &lower, most))
            };
            let candidate = (away, full);
            if away <= most && !near.contains(&candidate) {
                near.push(candidate);
                near.sort_unstable();
                near.truncate(MOST_NEAR);
            }
        });
        near.into_iter().map(|(_, name)| name).collect()
    }
}

/// Keeps those that fit, if any do.
fn narrow<T>(found: &mut Vec<T>, fits: impl Fn(&T) -> bool) {
    if found.len() > 1 && found.iter().any(&fits) {
        found.retain(fits);
    }
}

/// An id as the API writes it: 16 hexadecimal digits.
fn parse_id(text: &str) -> Option<EntityId> {
    let hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u64::from_str_radix(text, 16).ok().map(EntityId)).flatten()
}

/// Whether a text is an entity's name, `namespace/name` or `environment/namespace/name`.
fn is_name_of(text: &str, entity: &Entity) -> bool {
    if text == &*entity.name {
        return true;
    }
    let rest = text.strip_suffix(&*entity.name).and_then(|rest| rest.strip_suffix('/'));
    let Some(rest) = rest else { return false };
    if rest == &*entity.namespace {
        return !rest.is_empty();
    }
    !entity.environment.is_empty()
        && rest.strip_suffix(&*entity.namespace).and_then(|rest| rest.strip_suffix('/'))
            == Some(&entity.environment)
}

fn describe(id: EntityId, entity: &Entity) -> String {
    let kind = match entity.kind {
        EntityKind::Hop(class) => class.as_str(),
        kind => kind.as_str(),
    };
    let parts = [kind, &entity.detail, &entity.environment];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{entity} ({}) {id}", parts.join(", "))
}

fn hint(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; near are {}", near.join(", ")) }
}

/// How many letters to change, insert or delete (Levenshtein), or `most + 1` if it is more.
fn distance(a: &str, b: &str, most: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > most {
        return most + 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()].min(most + 1)
}

#[cfg(test)]
mod tests;
