use std::fmt::Write as _;

use portolan_model::{Attributes, EpochCommit};

use super::*;
use crate::{Intake, Line, LineConfig};

const SECOND: Nanos = 1_000_000_000;

/// Notes as text: `subject @from owner [seen OBSERVED]`, or `!id @at title [seen OBSERVED]`.
fn notes(text: &str) -> Vec<Note> {
    text.split(',').map(|note| one(note.trim())).collect()
}

fn one(text: &str) -> Note {
    let words: Vec<&str> = text.split_whitespace().collect();
    let secs = |word: &str| word.trim_start_matches('@').parse::<u64>().unwrap() * SECOND;
    let (who, from, what) = (words[0], secs(words[1]), words[2]);
    let observed_at = words.get(4).map_or(from, |word| secs(word));
    match who.strip_prefix('!') {
        Some(id) => Note::Change(Box::new(ChangeRecord {
            at: from,
            id: id.into(),
            subject: Subject { name: "web".into(), ..Subject::default() },
            kind: portolan_model::ChangeKind::Deploy,
            title: what.into(),
            version: "".into(),
            author: "".into(),
            url: "".into(),
            labels: Vec::new(),
            observed_at,
            known: 0,
        })),
        None => Note::Catalogue(Box::new(CatalogueRecord {
            subject: Subject { name: who.into(), ..Subject::default() },
            from,
            known: 0,
            observed_at,
            said: Attributes { owner: what.trim_matches('-').into(), ..Attributes::default() },
        })),
    }
}

/// What a commit writes and removes, a row a line.
fn said(commit: &Notes) -> String {
    let mut out = String::new();
    for row in &commit.catalogue {
        let (from, known) = (row.from / SECOND, row.known / SECOND);
        writeln!(out, "{} @{from} {} known {known}", row.subject.name, row.said.owner).unwrap();
    }
    for key in &commit.catalogue_gone {
        let (from, known) = (key.from / SECOND, key.known / SECOND);
        writeln!(out, "gone {} @{from} known {known}", key.subject.name).unwrap();
    }
    for change in &commit.changes {
        let (at, known) = (change.at / SECOND, change.known / SECOND);
        writeln!(out, "!{} @{at} {} known {known}", change.id, change.title).unwrap();
    }
    for key in &commit.changes_gone {
        writeln!(out, "gone !{} @{}", key.id, key.at / SECOND).unwrap();
    }
    out
}

struct Lab {
    line: Line,
    epoch: u64,
    config: LineConfig,
    rows: BTreeMap<CatalogueKey, CatalogueRecord>,
    changes: BTreeMap<ChangeKey, ChangeRecord>,
}

impl Lab {
    fn new(bounds: NoteConfig) -> Self {
        let config = LineConfig { notes: bounds, ..LineConfig::default() };
        let line = Line::new(&config, &Restored::default());
        Self { line, epoch: 0, config, rows: BTreeMap::new(), changes: BTreeMap::new() }
    }

    fn epoch(&mut self, clock: u64, text: &str) -> EpochCommit {
        self.line.intake(Intake::Notes(notes(text)));
        self.epoch += 1;
        let commit = self
            .line
            .barrier(Barrier {
                generation: 1,
                epoch: self.epoch,
                clock: clock * SECOND,
                watermark: 0,
                positions: Vec::new(),
                losses: Vec::new(),
                rejects: Vec::new(),
                accepted: 0,
                rebuild: false,
                folded: portolan_model::Window(0),
                tallies: Vec::new(),
            })
            .unwrap();
        for key in &commit.notes.catalogue_gone {
            self.rows.remove(key);
        }
        for row in &commit.notes.catalogue {
            self.rows.insert(row.key(), row.clone());
        }
        for key in &commit.notes.changes_gone {
            self.changes.remove(key);
        }
        for change in &commit.notes.changes {
            self.changes.insert(change.key(), change.clone());
        }
        commit
    }

    fn restart(&mut self) {
        let notes = Notes {
            catalogue: self.rows.values().cloned().collect(),
            changes: self.changes.values().cloned().collect(),
            ..Notes::default()
        };
        self.line = Line::new(&self.config, &Restored { notes, ..Restored::default() });
    }
}

fn tally(commit: &EpochCommit, name: &str) -> i64 {
    commit.tallies.iter().filter(|(n, _)| &**n == name).map(|(_, count)| count).sum()
}

#[test]
fn a_record_begins_a_version_and_the_same_again_begins_none() {
    let mut lab = Lab::new(NoteConfig::default());
    let first = lab.epoch(100, "web @10 red, db @10 blue");
    assert_eq!(said(&first.notes), "db @10 blue known 100\nweb @10 red known 100\n");
    let again = lab.epoch(101, "web @20 red, db @30 green");
    assert_eq!(said(&again.notes), "db @30 green known 101\n");
    assert_eq!(tally(&again, "catalogue/records"), 2);
    lab.restart();
    let redelivered = lab.epoch(102, "web @10 red, db @10 blue, web @20 red, db @30 green");
    assert_eq!(said(&redelivered.notes), "");
}

#[test]
fn a_correction_stands_beside_what_was_known_before() {
    let mut lab = Lab::new(NoteConfig::default());
    lab.epoch(100, "web @10 red");
    assert_eq!(said(&lab.epoch(101, "web @10 blue seen 12").notes), "web @10 blue known 101\n");
    assert_eq!(said(&lab.epoch(102, "web @10 red seen 10").notes), "", "an earlier word");
    // A clock that goes back does not put a correction before what it corrects.
    let back = lab.epoch(50, "web @10 green seen 20");
    assert_eq!(back.notes.catalogue[0].known, 101 * SECOND + 1);
}

#[test]
fn the_latest_word_holds_in_whatever_order_words_come() {
    let words = ["web @10 red seen 10", "web @10 blue seen 12", "web @10 green seen 11"];
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0], [1, 2, 0]] {
        let mut lab = Lab::new(NoteConfig::default());
        for (clock, at) in order.into_iter().enumerate() {
            lab.epoch(100 + clock as u64, words[at]);
            lab.restart();
        }
        let last = lab.rows.values().next_back().unwrap();
        assert_eq!(&*last.said.owner, "blue");
        let mut together = Lab::new(NoteConfig::default());
        let order = order.map(|at| words[at]).join(", ");
        assert_eq!(said(&together.epoch(100, &order).notes), "web @10 blue known 100\n");
    }
}

#[test]
fn a_record_that_says_nothing_ends_what_was_said() {
    let mut lab = Lab::new(NoteConfig::default());
    assert_eq!(said(&lab.epoch(99, "web @5 -").notes), "", "there was nothing to end");
    lab.epoch(100, "web @10 red");
    assert_eq!(said(&lab.epoch(101, "web @20 -").notes), "web @20  known 101\n");
}

#[test]
fn versions_over_the_bound_go_and_are_counted_corrected_ones_first() {
    let mut lab = Lab::new(NoteConfig { max_versions: 2, ..NoteConfig::default() });
    lab.epoch(100, "web @10 red");
    lab.epoch(101, "web @20 blue");
    let third = lab.epoch(102, "web @20 green seen 30");
    assert_eq!(
        said(&third.notes),
        "web @20 green known 102\ngone web @20 known 101\n",
        "the oldest holds still"
    );
    assert_eq!(tally(&third, "catalogue/versions_dropped"), 1);
    let fourth = lab.epoch(103, "web @30 red");
    assert_eq!(said(&fourth.notes), "web @30 red known 103\ngone web @10 known 100\n");
    // Older than all that is kept: it goes at once.
    let late = lab.epoch(104, "web @1 pink");
    assert_eq!(tally(&late, "catalogue/versions_dropped"), 1);
    assert_eq!(lab.rows.len(), 2);
}

#[test]
fn subjects_over_the_bound_are_counted_and_known_ones_go_on() {
    let mut lab = Lab::new(NoteConfig { max_subjects: 1, ..NoteConfig::default() });
    lab.epoch(100, "web @10 red");
    let over = lab.epoch(101, "db @10 red, web @20 blue");
    assert_eq!(said(&over.notes), "web @20 blue known 101\n");
    assert_eq!(tally(&over, "catalogue/subjects_over"), 1);
}

#[test]
fn a_change_told_again_is_one_change_and_a_later_word_corrects_it() {
    let mut lab = Lab::new(NoteConfig::default());
    assert_eq!(said(&lab.epoch(100, "!a @10 v1, !a @10 v1").notes), "!a @10 v1 known 100\n");
    lab.restart();
    assert_eq!(said(&lab.epoch(101, "!a @10 v1").notes), "");
    let later = lab.epoch(102, "!a @10 v2 seen 20");
    assert_eq!(said(&later.notes), "!a @10 v2 known 100\n", "it was known since then");
    assert_eq!(said(&lab.epoch(103, "!a @10 v1 seen 15").notes), "");
}

#[test]
fn the_oldest_changes_go_over_the_bound_and_are_counted() {
    let mut lab = Lab::new(NoteConfig { max_changes: 2, ..NoteConfig::default() });
    lab.epoch(100, "!a @10 v1, !b @20 v1");
    let more = lab.epoch(101, "!c @30 v1, !z @5 v1");
    assert_eq!(said(&more.notes), "!c @30 v1 known 101\ngone !z @5\ngone !a @10\n");
    assert_eq!(tally(&more, "changes/dropped"), 2);
    assert_eq!(lab.changes.len(), 2);
}

#[test]
fn bounds_may_be_lowered_under_what_is_kept() {
    let mut lab = Lab::new(NoteConfig::default());
    lab.epoch(100, "web @10 red, db @10 red, !a @10 v1, !b @20 v1, !c @30 v1");
    lab.epoch(101, "web @20 blue");
    lab.config.notes = NoteConfig { max_subjects: 1, max_versions: 1, max_changes: 1 };
    lab.restart();
    let first = lab.epoch(102, "!d @40 v1");
    assert_eq!(said(&first.notes), "!d @40 v1 known 102\ngone !a @10\ngone !b @20\ngone !c @30\n");
    assert_eq!(tally(&first, "changes/dropped"), 3);
    let next = lab.epoch(103, "web @30 red, db @20 blue, new @10 red");
    assert_eq!(tally(&next, "catalogue/versions_dropped"), 3);
    assert_eq!(tally(&next, "catalogue/subjects_over"), 1);
    assert_eq!((lab.rows.len(), lab.changes.len()), (2, 1));
}
