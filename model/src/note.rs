//! What people and tools say of entities, beside what traffic shows: the catalogue (who owns a
//! service, how much it matters, where its dashboards are) and changes (deploys, configuration).

use std::sync::Arc;

use crate::{Entity, Nanos};

mod link;

pub use link::{BadLink, LinkTemplate};

/// Whom a note is about. An empty field stands for any: a subject with a namespace only is all of
/// that namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Environment or cluster.
    pub environment: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// The word of a kind ([`crate::EntityKind::as_str`]).
    pub kind: Arc<str>,
}

/// What a record of the catalogue says. An empty text says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes {
    /// The team that answers for it.
    pub owner: Arc<str>,
    /// How much depends on it, in the words of the house (`1`, `gold`).
    pub tier: Arc<str>,
    /// Which part of the business it is of.
    pub domain: Arc<str>,
    /// Labels, sorted by name, each name once.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Links out (dashboards, logs, traces), sorted by name, each name once.
    pub links: Vec<(Arc<str>, LinkTemplate)>,
}

/// One version of what the catalogue says of a subject: it holds from `from` until the next one.
/// One that says nothing ends what was said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogueRecord {
    /// Of whom.
    pub subject: Subject,
    /// Since when it holds.
    pub from: Nanos,
    /// The clock reading at which the map took it up; 0 on its way there. A correction of the same
    /// `from` is a row of its own, so that what was known before stays known.
    pub known: Nanos,
    /// When the source said so: the latest word about `from` counts.
    pub observed_at: Nanos,
    /// What.
    pub said: Attributes,
}

/// What a row of the catalogue is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogueKey {
    /// Of whom.
    pub subject: Subject,
    /// Since when it holds.
    pub from: Nanos,
    /// The clock reading at which the map took it up.
    pub known: Nanos,
}

/// What kind of change somebody made.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ChangeKind {
    /// Another version runs.
    #[default]
    Deploy = 0,
    /// Other settings hold.
    Configuration = 1,
    /// Anything else (a flag, a failover, a migration).
    Other = 2,
    /// It does well or badly by somebody else's word; the state is the version.
    Health = 3,
}

/// A change that somebody made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeRecord {
    /// When.
    pub at: Nanos,
    /// Tells it from others of the same instant, and is the same when it is told again.
    pub id: Arc<str>,
    /// To whom.
    pub subject: Subject,
    /// What kind.
    pub kind: ChangeKind,
    /// In a few words.
    pub title: Arc<str>,
    /// The version that it led to.
    pub version: Arc<str>,
    /// Who did it.
    pub author: Arc<str>,
    /// Where more is to be read: `http` or `https`.
    pub url: Arc<str>,
    /// Labels, sorted by name, each name once.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// When the source said so: the latest word about it counts.
    pub observed_at: Nanos,
    /// The clock reading at which the map took it up first; 0 on its way there.
    pub known: Nanos,
}

/// What a change is known by, in the order of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeKey {
    /// When.
    pub at: Nanos,
    /// Which.
    pub id: Arc<str>,
}

/// A note on its way in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// Of the catalogue.
    Catalogue(Box<CatalogueRecord>),
    /// A change.
    Change(Box<ChangeRecord>),
}

/// What an epoch changes in the notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Rows of the catalogue to write.
    pub catalogue: Vec<CatalogueRecord>,
    /// Rows of the catalogue to remove.
    pub catalogue_gone: Vec<CatalogueKey>,
    /// Changes to write.
    pub changes: Vec<ChangeRecord>,
    /// Changes to remove.
    pub changes_gone: Vec<ChangeKey>,
}

// === impl Subject ===

impl Subject {
    /// Whether an entity is meant.
    pub fn means(&self, entity: &Entity) -> bool {
        let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        fits(&self.name, &entity.name)
            && fits(&self.namespace, &entity.namespace)
            && fits(&self.environment, &entity.environment)
            && fits(&self.kind, entity.kind.as_str())
    }

    /// Whether it says of nothing whom it means: that would be everybody.
    pub fn is_anybody(&self) -> bool {
        self.name.is_empty() && self.namespace.is_empty() && self.environment.is_empty()
    }
}

// === impl Attributes ===

impl Attributes {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        let said = [&self.owner, &self.tier, &self.domain];
        said.iter().all(|text| text.is_empty()) && self.labels.is_empty() && self.links.is_empty()
    }
}

// === impl CatalogueRecord ===

impl CatalogueRecord {
    /// What its row is known by.
    pub fn key(&self) -> CatalogueKey {
        CatalogueKey { subject: self.subject.clone(), from: self.from, known: self.known }
    }
}

// === impl ChangeKind ===

impl ChangeKind {
    /// Every kind, in the order of its code.
    pub const ALL: [Self; 4] = [Self::Deploy, Self::Configuration, Self::Other, Self::Health];

    /// The kind of a code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Configuration => "configuration",
            Self::Other => "other",
            Self::Health => "health",
        }
    }
}

// === impl ChangeRecord ===

impl ChangeRecord {
    /// What it is known by.
    pub fn key(&self) -> ChangeKey {
        ChangeKey { at: self.at, id: self.id.clone() }
    }
}

// === impl Notes ===

impl Notes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.catalogue.is_empty()
            && self.catalogue_gone.is_empty()
            && self.changes.is_empty()
            && self.changes_gone.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntityKind;

    #[test]
    fn an_empty_field_of_a_subject_means_any() {
        let web = Entity::new(EntityKind::Workload, "shop", "web");
        let subject = |namespace: &str, name: &str, kind: &str| Subject {
            namespace: namespace.into(),
            name: name.into(),
            kind: kind.into(),
            ..Subject::default()
        };
        assert!(subject("shop", "", "").means(&web));
        assert!(subject("shop", "web", "workload").means(&web));
        assert!(subject("", "web", "").means(&web));
        assert!(!subject("shop", "web", "database").means(&web));
        assert!(!subject("Shop", "web", "").means(&web), "names keep their case");
        assert!(subject("", "", "workload").is_anybody());
    }

    #[test]
    fn every_kind_of_change_has_its_own_stable_code() {
        for (code, kind) in ChangeKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, code);
            assert_eq!(ChangeKind::from_code(code as u8), Some(*kind));
        }
        assert_eq!(ChangeKind::from_code(4), None);
    }
}
