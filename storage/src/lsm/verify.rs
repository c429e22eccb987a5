//! Verifying: reads all of a store, and checks what an open does not look at.
//!
//! ```text
//! every keyspace, key by key ─► tables, rows, parts, totals, entities, counts
//! every window of a level    ─► the same sums as the windows of the finer level that it is made of
//! ```

use std::collections::{BTreeMap, BTreeSet};

use portolan_model::{CallDelta, CallMeasure, EdgeDelta, EntityId, Measure, PathDelta, Window};

use super::FjallStore;
use super::holes::Why;
use super::ledger::META;
use super::packs;
use crate::history::{Plan, Select, Span};
use crate::row::{Row, Sum};
use crate::verify::{Check, Findings, Found, VerifyStep};
use crate::{Error, ReadHistory, keys};

mod scan;

use scan::{Home, Kind, Scan};

/// The sums of a window, by key.
type Sums<R> = BTreeMap<<R as Row>::Key, <R as Row>::Sums>;

/// What a row names beside its ends, and whether it counts less than nothing.
trait Checked: Row {
    fn others(&self) -> Vec<EntityId>;
    fn is_negative(&self) -> bool;
}

// === impl FjallStore ===

impl FjallStore {
    /// Reads all of the store and says what every check found, in the order of [`Check::ALL`].
    ///
    /// # Errors
    ///
    /// Those of the disk. What is broken is a finding.
    pub fn verify(&self, told: &mut dyn FnMut(VerifyStep)) -> Result<Vec<Found>, Error> {
        let mut findings = Findings::new();
        let names = self.shared.db.list_keyspace_names();
        let total = names.len() as u64;
        for (done, name) in (0_u64..).zip(&names) {
            told(VerifyStep { what: "reading", done, total });
            let keyspace = self.shared.keyspace(name)?;
            Scan { store: self, name, findings: &mut findings }.keyspace(&keyspace);
        }
        told(VerifyStep { what: "reading", done: total, total });
        self.verify_marks(&mut findings);
        self.verify_levels(&mut findings, told)?;
        self.verify_offsets(&mut findings);
        Ok(findings.finish())
    }

    fn verify_marks(&self, findings: &mut Findings) {
        for (at, level) in self.levels.iter().enumerate() {
            let secs = level.len.secs();
            let finer = at.checked_sub(1).map(|finer| &self.levels[finer]);
            let ahead =
                finer.is_some_and(|finer| level.sealed > level.len.window(finer.sealed.start()));
            let lost = finer.is_some_and(|finer| finer.expired > level.sealed);
            let fault = if level.expired > level.sealed {
                Some("more is expired than was packed")
            } else if ahead {
                Some("it is packed further than the finer level")
            } else {
                lost.then_some("the finer level expired what this one has not taken over")
            };
            findings
                .see(Check::MarksInOrder, fault.map(|fault| format!("level of {secs} s: {fault}")));
        }
        for ((secs, window, kind), why) in self.holes.iter() {
            let what = keys::kind_name(*kind);
            let why = match why {
                Why::Merged => "lacks some that did not read",
                Why::Apart => "are set apart",
            };
            let fault = format!("{what} of {} of {secs} s: {why}", window.0);
            findings.see(Check::NothingLacking, Some(fault));
        }
    }

    fn verify_levels(
        &self,
        findings: &mut Findings,
        told: &mut dyn FnMut(VerifyStep),
    ) -> Result<(), Error> {
        let view = self.shared.view();
        let mut windows: Vec<(usize, Window)> = Vec::new();
        for at in 1..self.levels.len() {
            let (level, finer) = (&view.levels[at], &view.levels[at - 1]);
            let from = crate::history::up(level.len, finer.expired).max(level.expired);
            let Some(last) = level.sealed.0.checked_sub(1).map(Window) else { continue };
            let kinds = &keys::KINDS;
            let (shared, span) = (&self.shared, (from, last));
            let mut held = packs::windows(shared, &view.snapshot, level, kinds, span)?;
            let fine = packs::windows(shared, &view.snapshot, finer, kinds, span)?;
            // A window that the coarser level lacks altogether is a difference, too.
            held.extend(fine.into_iter().map(|w| level.len.window(w.start())));
            windows.extend(held.into_iter().filter(|w| *w >= from).map(|w| (at, w)));
        }
        let total = windows.len() as u64;
        for (done, (at, window)) in (0_u64..).zip(windows) {
            told(VerifyStep { what: "comparing", done, total });
            let faults = [
                self.compare::<EdgeDelta>(at, window)?,
                self.compare::<PathDelta>(at, window)?,
                self.compare::<CallDelta>(at, window)?,
            ];
            findings.see(Check::LevelsAgree, faults.into_iter().flatten().next());
        }
        told(VerifyStep { what: "comparing", done: total, total });
        Ok(())
    }

    /// How a window differs from those of the finer level that it is made of. What is known to lack something, or does
    /// not read, is told by other checks.
    fn compare<R: Checked>(&self, at: usize, window: Window) -> Result<Option<String>, Error> {
        let level = &self.levels[at];
        let range = portolan_model::TimeRange { from: window.start(), to: window.end(level.len) };
        let sums = |len| -> Result<Option<Sums<R>>, Error> {
            let plan = Plan { spans: vec![Span { len, range }] };
            let mut sums = BTreeMap::new();
            let answer = self.history_of::<R>(&plan, &mut |row| {
                let mut bare = row.sums();
                // A row that was taken away as a whole and came again keeps its times where it was packed before.
                bare.set_times(0, 0);
                sums.insert(row.key().clone(), bare);
            })?;
            Ok(answer.then_some(sums))
        };
        let (Some(fine), Some(coarse)) = (sums(self.levels[at - 1].len)?, sums(level.len)?) else {
            return Ok(None);
        };
        if fine == coarse {
            return Ok(None);
        }
        let differ = |key: &&R::Key| fine.get(*key) != coarse.get(*key);
        let keys: BTreeSet<_> = fine.keys().chain(coarse.keys()).filter(differ).collect();
        let (secs, what, finer) =
            (level.len.secs(), keys::kind_name(R::KIND), self.levels[at - 1].len.secs());
        let first = keys.first().map(|key| format!("{key:?}")).unwrap_or_default();
        Ok(Some(format!(
            "{} of {secs} s: {} {what} differ from the windows of {finer} s, the first is {first}",
            window.0,
            keys.len()
        )))
    }

    /// Visits the sums of a plan, and says whether it had all.
    fn history_of<R: Row>(&self, plan: &Plan, visit: &mut dyn FnMut(&R)) -> Result<bool, Error> {
        let view = self.shared.view();
        let history = super::read::FjallHistory { shared: &self.shared, view };
        Ok(history.sum(plan, &Select::default(), visit)?.is_whole())
    }

    fn verify_offsets(&self, findings: &mut Findings) {
        for position in &self.checkpoint.positions {
            let (p, next) = (&position.partition, position.next);
            let fault = (position.reread > next || next < 0).then(|| {
                format!(
                    "{}/{}/{}: {next}, to be read again from {}",
                    p.cluster, p.topic, p.partition, position.reread
                )
            });
            findings.see(Check::OffsetsPresent, fault);
        }
        let counted = self.history().extent().is_ok_and(|extent| extent.is_some());
        let imported = self.checkpoint.tallies.iter().any(|(name, _)| &**name == crate::IMPORTED);
        if counted && self.checkpoint.positions.is_empty() && !imported {
            let fault = "there are rows, and no offset that they were read up to".into();
            findings.fault(Check::OffsetsPresent, fault);
        }
    }

    fn kind_of(&self, name: &str) -> (Kind<'_>, Option<portolan_model::WindowLen>) {
        if name == META {
            return (Kind::Meta, None);
        }
        if self.open.keyspaces().any(|k| k.name().as_ref() as &str == name) {
            let (map, first) = (self.open.map(), self.levels[0].sealed);
            return (Kind::Rows(Home { map, first }), Some(self.shared.len));
        }
        for level in &self.levels {
            for (buckets, late) in [(&level.packs, false), (&level.late, true)] {
                if buckets.keyspaces().any(|k| k.name().as_ref() as &str == name) {
                    let home = Home { map: buckets.map(), first: level.expired };
                    let kind = if late { Kind::Late(home) } else { Kind::Packs(home) };
                    return (kind, Some(level.len));
                }
            }
        }
        (Kind::Other, None)
    }
}

// === impl Checked ===

impl Checked for EdgeDelta {
    fn others(&self) -> Vec<EntityId> {
        Vec::new()
    }

    fn is_negative(&self) -> bool {
        self.counters[Measure::Flows] < 0
    }
}

impl Checked for PathDelta {
    fn others(&self) -> Vec<EntityId> {
        self.key.via.to_vec()
    }

    fn is_negative(&self) -> bool {
        self.counters[Measure::Flows] < 0
    }
}

impl Checked for CallDelta {
    fn others(&self) -> Vec<EntityId> {
        let named = Some(self.key.operation).filter(|id| *id != EntityId::NONE);
        named.into_iter().collect()
    }

    fn is_negative(&self) -> bool {
        self.counters[CallMeasure::Raw] < 0
    }
}
