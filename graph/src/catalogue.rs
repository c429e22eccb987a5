//! The catalogue: what was said of an entity, as of a moment and as known at one.
//!
//! A record means every entity that fits its subject. Of those that mean one entity the most specific
//! that says something of an attribute counts: name before namespace before environment before kind.
//! No two subjects that mean one entity are equally specific, so there is never a choice.

use std::sync::Arc;

use portolan_model::{Attributes, CatalogueRecord, Entity, Nanos, Subject};
use rustc_hash::FxHashMap;

/// Every version of what is said, ready to be asked.
#[derive(Debug, Default)]
pub struct Catalogue {
    subjects: FxHashMap<Subject, Vec<Arc<CatalogueRecord>>>,
    /// Which fields subjects give, the most specific first.
    masks: Vec<u8>,
}

/// When a catalogue is looked at.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What held then.
    pub at: Nanos,
    /// As known at this clock reading; without one, as known now.
    pub known_at: Option<Nanos>,
}

const NAME: u8 = 8;
const NAMESPACE: u8 = 4;
const ENVIRONMENT: u8 = 2;
const KIND: u8 = 1;

// === impl Catalogue ===

impl Catalogue {
    /// A catalogue of these rows, whatever their order.
    pub fn new(rows: impl IntoIterator<Item = Arc<CatalogueRecord>>) -> Self {
        let mut catalogue = Self::default();
        for row in rows {
            let mask = mask(&row.subject);
            if !catalogue.masks.contains(&mask) {
                catalogue.masks.push(mask);
            }
            catalogue.subjects.entry(row.subject.clone()).or_default().push(row);
        }
        catalogue.masks.sort_unstable_by(|a, b| b.cmp(a));
        for versions in catalogue.subjects.values_mut() {
            versions.sort_unstable_by_key(|row| (row.from, row.known));
        }
        catalogue
    }

    /// Whether nothing is said of anybody.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// What was said of an entity.
    pub fn of(&self, entity: &Entity, moment: Moment) -> Attributes {
        let mut said = Attributes::default();
        for mask in &self.masks {
            let versions = self.subjects.get(&subject(entity, *mask));
            if let Some(version) = versions.and_then(|versions| version(versions, moment)) {
                fill_in(&mut said, &version.said);
            }
        }
        said
    }
}

/// The version that held: the last that had begun, and of it the last word that was known.
fn version(versions: &[Arc<CatalogueRecord>], moment: Moment) -> Option<&Arc<CatalogueRecord>> {
    let begun = versions.partition_point(|row| row.from <= moment.at);
    let known = |row: &&Arc<CatalogueRecord>| moment.known_at.is_none_or(|at| row.known <= at);
    versions[..begun].iter().rev().find(known)
}

/// Adds what is not said yet.
fn fill_in(said: &mut Attributes, more: &Attributes) {
    let texts = [&mut said.owner, &mut said.tier, &mut said.domain];
    for (text, more) in texts.into_iter().zip([&more.owner, &more.tier, &more.domain]) {
        if text.is_empty() {
            text.clone_from(more);
        }
    }
    add(&mut said.labels, &more.labels);
    add(&mut said.links, &more.links);
}

fn add<T: Clone>(all: &mut Vec<(Arc<str>, T)>, more: &[(Arc<str>, T)]) {
    for named in more {
        if let Err(place) = all.binary_search_by(|(name, _)| name.cmp(&named.0)) {
            all.insert(place, named.clone());
        }
    }
}

fn mask(subject: &Subject) -> u8 {
    let bit = |text: &str, bit| if text.is_empty() { 0 } else { bit };
    bit(&subject.name, NAME)
        | bit(&subject.namespace, NAMESPACE)
        | bit(&subject.environment, ENVIRONMENT)
        | bit(&subject.kind, KIND)
}

/// The subject that gives these fields of an entity. Where the entity has none, it is that of fewer.
fn subject(entity: &Entity, mask: u8) -> Subject {
    let given = |text: &Arc<str>, bit| if mask & bit == 0 { "".into() } else { text.clone() };
    Subject {
        environment: given(&entity.environment, ENVIRONMENT),
        namespace: given(&entity.namespace, NAMESPACE),
        name: given(&entity.name, NAME),
        kind: if mask & KIND == 0 { "".into() } else { entity.kind.as_str().into() },
    }
}

#[cfg(test)]
mod tests {
    use portolan_model::EntityKind;

    use super::*;

    /// A row: `namespace/name:kind from known owner tier label=value`; `*` is any, `-` nothing.
    fn row(text: &str) -> Arc<CatalogueRecord> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (ends, kind) = words[0].split_once(':').unwrap();
        let (namespace, name) = ends.split_once('/').unwrap();
        let text = |word: &str| -> Arc<str> { word.trim_matches(['*', '-']).into() };
        let labels = words[5..].iter().map(|word| word.split_once('=').unwrap());
        Arc::new(CatalogueRecord {
            subject: Subject {
                environment: "".into(),
                namespace: text(namespace),
                name: text(name),
                kind: text(kind),
            },
            from: words[1].parse().unwrap(),
            known: words[2].parse().unwrap(),
            observed_at: 0,
            said: Attributes {
                owner: text(words[3]),
                tier: text(words[4]),
                domain: "".into(),
                labels: labels.map(|(name, value)| (name.into(), value.into())).collect(),
                links: Vec::new(),
            },
        })
    }

    fn said(rows: &[&str], at: Nanos, known_at: Option<Nanos>) -> String {
        let catalogue = Catalogue::new(rows.iter().map(|text| row(text)));
        let web = Entity::new(EntityKind::Workload, "shop", "web");
        let said = catalogue.of(&web, Moment { at, known_at });
        let labels = said.labels.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{} {}{}", said.owner, said.tier, labels.collect::<String>())
    }

    #[test]
    fn the_most_specific_record_that_says_something_counts() {
        let rows = [
            "shop/*:* 1 1 red 3 a=ns b=ns",
            "shop/web:* 1 1 blue - b=web",
            "*/web:* 1 1 green 2 c=name",
            "shop/web:database 1 1 pink 1",
            "other/web:* 1 1 gray 1",
        ];
        // By name and namespace; the tier by name alone, before that by namespace alone.
        assert_eq!(said(&rows, 5, None), "blue 2 a=ns b=web c=name");
        let reversed: Vec<&str> = rows.iter().rev().copied().collect();
        assert_eq!(said(&reversed, 5, None), "blue 2 a=ns b=web c=name");
    }

    #[test]
    fn a_moment_sees_what_had_begun_and_what_was_known() {
        let rows = [
            "*/web:* 10 100 red 1",
            "*/web:* 20 110 blue 1",
            // A correction of what held since 10, and a late word about 15.
            "*/web:* 10 120 green 1",
            "*/web:* 15 130 pink 1",
        ];
        assert_eq!(said(&rows, 9, None), " ");
        assert_eq!(said(&rows, 10, None), "green 1");
        assert_eq!(said(&rows, 10, Some(119)), "red 1");
        assert_eq!(said(&rows, 10, Some(99)), " ");
        assert_eq!(said(&rows, 19, None), "pink 1");
        assert_eq!(said(&rows, 19, Some(125)), "green 1");
        assert_eq!(said(&rows, 20, Some(105)), "red 1", "blue was not known yet");
        assert_eq!(said(&rows, 20, None), "blue 1");
    }

    #[test]
    fn a_version_that_says_nothing_leaves_room_for_what_is_less_specific() {
        let rows = ["*/web:* 10 1 red 1", "*/web:* 20 1 - -", "shop/*:* 1 1 blue 2"];
        assert_eq!(said(&rows, 15, None), "red 1");
        assert_eq!(said(&rows, 25, None), "blue 2");
    }
}
