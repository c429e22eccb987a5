//! Notes: what the catalogue says of whom since when, and which changes people made.
//!
//! The notebook keeps what a record is told apart by, and a digest of what it says, of every row of
//! the store: it restores that from the store, so nothing is read again. At the barrier the epoch's
//! notes are taken in a defined order, and what is new is emitted. Invariants:
//! - the latest word about one beginning (`observed_at`, then the greater content) holds, in
//!   whatever order words come; a correction is a row of its own, beside what was known before;
//! - a note that is told again changes nothing;
//! - what goes over a bound is counted.
//!
//! A record that says what held already at its time begins no version: a catalogue that is published
//! anew every hour does not grow. Records of one subject are best keyed by it, so that they come in
//! the order of their times; one that comes late is put in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use portolan_model::{
    Barrier, CatalogueKey, CatalogueRecord, ChangeKey, ChangeRecord, Nanos, Note, Notes, Subject,
};

use crate::tally::{Count, count, tell};
use crate::{NoteConfig, Restored};

#[cfg(test)]
mod tests;

/// See the module.
pub struct Notebook {
    bounds: NoteConfig,
    catalogue: BTreeMap<Subject, Vec<Version>>,
    changes: BTreeMap<ChangeKey, Told>,
    /// Of this epoch.
    heard: Vec<Note>,
    tally: Tallies,
}

/// A row of the catalogue.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    from: Nanos,
    known: Nanos,
    word: Word,
}

/// Which word counts: the later one, and of two the greater one.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Word {
    observed_at: Nanos,
    digest: u64,
}

/// A change.
#[derive(Copy, Clone, Debug)]
struct Told {
    known: Nanos,
    word: Word,
}

/// What the notebook counts of itself in an epoch.
#[derive(Default)]
struct Tallies {
    catalogue: i64,
    changes: i64,
    subjects_over: i64,
    versions_dropped: i64,
    changes_dropped: i64,
}

// === impl Notebook ===

impl Notebook {
    /// A notebook with what the store holds.
    pub fn new(bounds: &NoteConfig, restored: &Restored) -> Self {
        let mut catalogue: BTreeMap<Subject, Vec<Version>> = BTreeMap::new();
        for row in &restored.notes.catalogue {
            let word = Word { observed_at: row.observed_at, digest: digest(&row.said) };
            let version = Version { from: row.from, known: row.known, word };
            catalogue.entry(row.subject.clone()).or_default().push(version);
        }
        for versions in catalogue.values_mut() {
            versions.sort_unstable();
        }
        let changes = restored.notes.changes.iter();
        let changes = changes.map(|c| (c.key(), Told { known: c.known, word: word(c) }));
        Self {
            bounds: bounds.clone(),
            catalogue,
            changes: changes.collect(),
            heard: Vec::new(),
            tally: Tallies::default(),
        }
    }

    /// Takes notes in.
    pub fn gather(&mut self, notes: Vec<Note>) {
        self.heard.extend(notes);
    }

    /// What the notes of the epoch change.
    pub fn barrier(&mut self, barrier: &mut Barrier) -> Notes {
        let mut heard = std::mem::take(&mut self.heard);
        if barrier.rebuild {
            tell(self.counts(), barrier);
            return Notes::default();
        }
        heard.sort_unstable();
        let mut out = Notes::default();
        for note in heard {
            match note {
                Note::Catalogue(record) => {
                    self.tally.catalogue += 1;
                    self.record(*record, barrier.clock, &mut out);
                }
                Note::Change(change) => {
                    self.tally.changes += 1;
                    self.change(*change, barrier.clock, &mut out);
                }
            }
        }
        self.shed_changes(&mut out);
        // The last word of the epoch about a row.
        last_of(&mut out.catalogue, CatalogueRecord::key);
        last_of(&mut out.changes, ChangeRecord::key);
        if !out.catalogue_gone.is_empty() {
            // What came and went in one epoch was never there.
            let gone: BTreeSet<&CatalogueKey> = out.catalogue_gone.iter().collect();
            out.catalogue.retain(|row| !gone.contains(&row.key()));
        }
        tell(self.counts(), barrier);
        out
    }

    /// All that it counts.
    pub(crate) fn counts(&mut self) -> Vec<Count<'_>> {
        let tally = &mut self.tally;
        vec![
            count("catalogue/records", &mut tally.catalogue),
            count("catalogue/subjects_over", &mut tally.subjects_over),
            count("catalogue/versions_dropped", &mut tally.versions_dropped),
            count("changes/records", &mut tally.changes),
            count("changes/dropped", &mut tally.changes_dropped),
        ]
    }

    fn record(&mut self, mut record: CatalogueRecord, clock: Nanos, out: &mut Notes) {
        let full = self.catalogue.len() >= self.bounds.max_subjects;
        if full && !self.catalogue.contains_key(&record.subject) {
            self.tally.subjects_over += 1;
            return;
        }
        let word = Word { observed_at: record.observed_at, digest: digest(&record.said) };
        let versions = self.catalogue.entry(record.subject.clone()).or_default();
        // Behind every version that begins then or before: the last of them holds.
        let place = versions.partition_point(|version| version.from <= record.from);
        record.known = clock;
        match place.checked_sub(1).map(|at| &mut versions[at]) {
            Some(held) if held.from == record.from => {
                if word <= held.word {
                    return;
                }
                if word.digest == held.word.digest || held.known == clock {
                    // The same again, later; or a correction before anybody saw it.
                    held.word = word;
                    record.known = held.known;
                } else {
                    // After what it corrects, whatever the clock does.
                    record.known = clock.max(held.known.saturating_add(1));
                    let version = Version { from: record.from, known: record.known, word };
                    versions.insert(place, version);
                }
            }
            Some(held) if held.word.digest == word.digest => return,
            None if record.said.is_empty() => return,
            _ => {
                let version = Version { from: record.from, known: record.known, word };
                versions.insert(place, version);
            }
        }
        let subject = record.subject.clone();
        out.catalogue.push(record);
        while versions.len() > self.bounds.max_versions.max(1) {
            // What was corrected goes first, then the oldest.
            let corrected = versions.windows(2).position(|pair| pair[0].from == pair[1].from);
            let gone = versions.remove(corrected.unwrap_or(0));
            self.tally.versions_dropped += 1;
            let subject = subject.clone();
            out.catalogue_gone.push(CatalogueKey { subject, from: gone.from, known: gone.known });
        }
    }

    fn change(&mut self, mut change: ChangeRecord, clock: Nanos, out: &mut Notes) {
        let word = word(&change);
        let known = match self.changes.get(&change.key()) {
            Some(told) if word <= told.word => return,
            Some(told) => told.known,
            None => clock,
        };
        change.known = known;
        self.changes.insert(change.key(), Told { known, word });
        out.changes.push(change);
    }

    /// Drops the oldest changes over the bound.
    fn shed_changes(&mut self, out: &mut Notes) {
        let mut first_kept = None;
        while self.changes.len() > self.bounds.max_changes {
            let Some((key, _)) = self.changes.pop_first() else { break };
            self.tally.changes_dropped += 1;
            out.changes_gone.push(key);
            first_kept = self.changes.first_key_value().map(|(key, _)| key.clone());
        }
        if !out.changes_gone.is_empty() {
            let kept = |change: &ChangeRecord| {
                first_kept.as_ref().is_some_and(|first| change.key() >= *first)
            };
            out.changes.retain(kept);
        }
    }
}

fn word(change: &ChangeRecord) -> Word {
    let said = (&change.subject, change.kind, &change.title, &change.version, &change.author);
    let digest = digest(&(said, &change.url, &change.labels));
    Word { observed_at: change.observed_at, digest }
}

/// Keeps the last of those with one key, in the order of keys.
fn last_of<T, K: Ord>(rows: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let all = std::mem::take(rows);
    let by_key: BTreeMap<K, T> = all.into_iter().map(|row| (key(&row), row)).collect();
    rows.extend(by_key.into_values());
}

/// What tells contents apart: FNV-1a, 64 bit, mixed at the end. It is never stored.
fn digest(said: &impl Hash) -> u64 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd);
            mixed ^ mixed >> 29
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    said.hash(&mut hasher);
    hasher.finish()
}
