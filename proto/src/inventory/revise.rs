//! From one version of an inventory to the next: what changed, and since when.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_model::{Nanos, OwnerEvent, OwnerRecord, ValidTime};

use super::Entry;

/// When a version of a file came.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// The file was changed, by its own word.
    pub changed: Nanos,
    /// It was read.
    pub read: Nanos,
}

/// What is known of an inventory: every version of every owner that it ever named and that is kept.
#[derive(Clone, Debug)]
pub struct Inventory {
    prefix: String,
    /// Versions by start.
    owners: BTreeMap<(Arc<str>, Arc<str>), BTreeMap<Nanos, OwnerRecord>>,
    /// When anything was told last.
    told: Nanos,
}

// === impl Inventory ===

impl Inventory {
    /// An inventory of which nothing is known yet. Its owners are told apart from those of others
    /// by its name.
    pub fn new(name: &str) -> Self {
        Self { prefix: format!("inventory/{name}/"), owners: BTreeMap::new(), told: 0 }
    }

    /// Takes in what was told before: in the order in which it was.
    pub fn recall(&mut self, event: &OwnerEvent) {
        match event {
            OwnerEvent::Upsert(owner) if owner.uid.starts_with(&self.prefix) => {
                self.told = self.told.max(owner.observed_at);
                let key = (owner.scope.clone(), owner.uid.clone());
                self.owners.entry(key).or_default().insert(owner.valid.from, (**owner).clone());
            }
            OwnerEvent::Delete { scope, uid, at, at_hi } if uid.starts_with(&self.prefix) => {
                self.told = self.told.max(*at_hi);
                let key = (scope.clone(), uid.clone());
                if let Some(versions) = self.owners.get_mut(&key) {
                    for (_, version) in versions.range_mut(..*at) {
                        version.valid = version.valid.ended(*at, *at_hi);
                    }
                }
            }
            _ => {}
        }
    }

    /// What the next version of the file says that is new, in a fixed order; known from now on.
    ///
    /// An entry without a time holds since ever if it stands in the first version, else since the
    /// file changed. An entry that is gone ends then. Versions before stay as they are.
    pub fn revise(&mut self, entries: Vec<Entry>, when: When) -> Vec<OwnerEvent> {
        let is_first = self.owners.is_empty();
        // A file's time may be anything (copied, checked out): never before what was told, or ahead.
        let since = when.changed.clamp(self.told.min(when.read), when.read);
        let mut named = BTreeMap::new();
        for mut entry in entries {
            entry.owner.uid = format!("{}{}", self.prefix, entry.owner.uid).into();
            entry.owner.observed_at = when.read;
            let key = (entry.owner.scope.clone(), entry.owner.uid.clone());
            named.entry(key).or_insert_with(Vec::new).push(entry);
        }
        let mut events = Vec::new();
        for ((scope, uid), versions) in &self.owners {
            let is_open = versions.values().any(|version| version.valid.to > since);
            if is_open && !named.contains_key(&(scope.clone(), uid.clone())) {
                let (scope, uid) = (scope.clone(), uid.clone());
                events.push(OwnerEvent::Delete { scope, uid, at: since, at_hi: when.read });
            }
        }
        for (key, entries) in named {
            let known = self.owners.get(&key);
            events.extend(known.and_then(|known| withdrawn(known, &entries, since, when.read)));
            for Entry { mut owner, is_dated } in entries {
                if !is_dated {
                    let open = known.and_then(|k| k.values().next_back());
                    let open = open.filter(|version| version.valid.to == Nanos::MAX);
                    owner.valid = match open {
                        Some(open) if says_the_same(open, &owner) => continue,
                        None if is_first => ValidTime::since(0),
                        _ => ValidTime::since(since),
                    };
                } else if let Some(version) = known.and_then(|k| k.get(&owner.valid.from))
                    && version.valid == owner.valid
                    && says_the_same(version, &owner)
                {
                    continue;
                }
                events.push(OwnerEvent::Upsert(Box::new(owner)));
            }
        }
        for event in &events {
            self.recall(event);
        }
        self.told = self.told.max(when.read);
        events
    }

    /// How many owners it names now.
    pub fn len(&self) -> usize {
        let open = |versions: &&BTreeMap<Nanos, OwnerRecord>| {
            versions.values().any(|version| version.valid.to == Nanos::MAX)
        };
        self.owners.values().filter(open).count()
    }

    /// Whether it names nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The last version of an owner was taken out of the file, where others of it stay: from now on the
/// last of these holds again, if it still does.
fn withdrawn(
    known: &BTreeMap<Nanos, OwnerRecord>,
    entries: &[Entry],
    since: Nanos,
    read: Nanos,
) -> Option<OwnerEvent> {
    let gone = known.values().next_back().filter(|version| version.valid.to > since)?;
    let last = entries.iter().filter(|e| e.is_dated).max_by_key(|e| e.owner.valid.from)?;
    let last = &last.owner;
    let (scope, uid) = (last.scope.clone(), last.uid.clone());
    if gone.valid.from <= last.valid.from {
        None
    } else if last.valid.to <= since {
        Some(OwnerEvent::Delete { scope, uid, at: since, at_hi: read })
    } else if gone.valid.to == last.valid.to && says_the_same(gone, last) {
        None
    } else {
        let valid = ValidTime { from: since, from_lo: since, ..last.valid };
        Some(OwnerEvent::Upsert(Box::new(OwnerRecord { valid, ..last.clone() })))
    }
}

/// Whether two versions differ in nothing but when they hold and were seen.
fn says_the_same(known: &OwnerRecord, new: &OwnerRecord) -> bool {
    let new = OwnerRecord { valid: known.valid, observed_at: known.observed_at, ..new.clone() };
    *known == new
}
