//! One epoch, one batch.

use std::sync::Arc;

use fjall::{Keyspace, OwnedWriteBatch, PersistMode, Readable, Snapshot};
use portolan_model::{EpochCommit, Notes, Window};

use super::buckets::rows;
use super::holes::{self, Hole, Holes, Why};
use super::late::Late;
use super::ledger::{DEPTH, META, Touched};
use super::levels::{LevelState, Mark, kept_from, put_marks};
use super::{FjallStore, Shared, View};
use crate::cache::{Outcome, RowCache, Source};
use crate::records::{
    AGENTS, HEAD, Head, LEARNED, MARKS, catalogue_key, change_key, entity_key, health_key,
    loss_key, owner_key, position_key, put_agents, put_catalogue, put_change, put_entity, put_head,
    put_health, put_learned, put_loss, put_owner, put_position, put_tally, put_trace, tally_key,
    trace_key,
};
use crate::row::{Row, Sum, put_value, read_row, tidy};
use crate::{Checkpoint, CommitEpoch, Error, checkpoint, keys, notes};

/// Longest list of hops that a path may have.
const MAX_VIA: usize = keys::MAX_VIA;

/// Where the old rows of one bucket come from: the writer is alone, so its latest view is the truth.
struct OldRows<'a> {
    shared: &'a Shared,
    snapshot: &'a Snapshot,
    keyspace: &'a Keyspace,
}

// === impl FjallStore ===

impl CommitEpoch for FjallStore {
    /// After an error of the disk the engine takes no more writes: open the store anew, and ask its
    /// checkpoint whether the epoch is in.
    fn commit(&mut self, commit: &EpochCommit) -> Result<(), Error> {
        checkpoint::follows(&self.checkpoint, commit)?;
        if let Some(path) = commit.paths.iter().find(|p| p.key.via.len() > MAX_VIA) {
            let hops = path.key.via.len();
            return Err(Error::Io(format!("a path has {hops} hops, at most {MAX_VIA} fit").into()));
        }
        let done = self.write(commit);
        if done.is_err() {
            // They may hold what was not written.
            self.edges.clear();
            self.paths.clear();
            self.calls.clear();
            return done;
        }
        let wrote = commit.edges.len() + commit.paths.len() + commit.calls.len();
        if let Err(e) = self.seal(wrote) {
            // The epoch is in. What is not packed is read as it is, and tried again after the next.
            tracing::warn!(error = %e, "could not pack windows");
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.persist()
    }
}

impl FjallStore {
    fn write(&mut self, commit: &EpochCommit) -> Result<(), Error> {
        let shared = self.shared.clone();
        let number = self.written + 1;
        let shortened = self.squeeze(commit.epoch);
        let marks = self.expiry(commit);
        let sealed = marks[0].sealed;
        let rows = (tidy(&commit.edges), tidy(&commit.paths), tidy(&commit.calls));
        let (old_edges, edges) = split(&rows.0, sealed);
        let (old_paths, paths) = split(&rows.1, sealed);
        let (old_calls, calls) = split(&rows.2, sealed);
        let snapshot = shared.db.snapshot();
        let mut batch = shared.db.batch().durability(Some(PersistMode::Buffer));
        let mut touched = self.touched.clone();
        let mut numbers = [self.each(edges), self.each(paths), self.each(calls)].concat();
        numbers.sort_unstable();
        numbers.dedup();
        for of in numbers {
            let keyspace = self.open.place(&shared, of)?;
            let old = OldRows { shared: &shared, snapshot: &snapshot, keyspace: &keyspace };
            let (edges, paths, calls) =
                (self.part(edges, of), self.part(paths, of), self.part(calls, of));
            put_rows(&mut batch, &old, &mut self.edges, edges)?;
            put_rows(&mut batch, &old, &mut self.paths, paths)?;
            put_rows(&mut batch, &old, &mut self.calls, calls)?;
            let name = keyspace.name().to_string();
            touched.touch(&mut batch, &shared.meta, &name, &keyspace, number);
        }
        let mut late = Late::new(batch, touched, number, commit, &marks);
        late.put(&mut self.levels, &mut self.late_parts, &shared, old_edges)?;
        late.put(&mut self.levels, &mut self.late_parts, &shared, old_paths)?;
        late.put(&mut self.levels, &mut self.late_parts, &shared, old_calls)?;
        let Late { mut batch, mut touched, dropped, .. } = late;
        let mut next = Checkpoint::clone(&self.checkpoint);
        checkpoint::advance(&mut next, commit, marks[0].expired, dropped);
        for (tally, secs) in &shortened {
            checkpoint::add(&mut next, tally, *secs);
        }
        put_names(&mut batch, &shared.meta, commit);
        put_notes(&mut batch, &shared.meta, &commit.notes);
        put_all_judged(&mut batch, &shared.meta, commit);
        let apart = shared.found_since(&self.holes);
        for hole in &apart {
            batch.insert(&shared.meta, holes::key(*hole), holes::value(Why::Apart));
        }
        if !apart.is_empty() {
            checkpoint::add(&mut next, holes::APART, apart.len() as i64);
        }
        if let Some(agents) = &commit.agents {
            batch.insert(&shared.meta, [AGENTS], built(|out| put_agents(out, agents)));
        }
        if let Some(ports) = &commit.learned {
            batch.insert(&shared.meta, [LEARNED], built(|out| put_learned(out, ports)));
        }
        let next_loss = self.put_checkpoint(&mut batch, commit, &next);
        // From here on only the batch itself can fail, and then the engine takes no more writes.
        let expiring = self.expire(&mut batch, &mut touched, &marks);
        let before = std::mem::replace(&mut self.checkpoint, Arc::new(next));
        let loss_before = std::mem::replace(&mut self.next_loss, next_loss);
        self.put_number(&mut batch, &mut touched, number);
        if let Err(e) = batch.commit() {
            (self.checkpoint, self.next_loss) = (before, loss_before);
            return Err(shared.fault(&e));
        }
        self.touched = touched;
        self.written = number;
        if !apart.is_empty() {
            let apart = apart.into_iter().map(|hole| (hole, Why::Apart));
            Arc::make_mut(&mut self.holes).extend(apart);
        }
        self.name_entities(commit);
        notes::advance(&mut self.catalogue, &commit.notes);
        self.publish();
        self.edges.trim();
        self.paths.trim();
        self.calls.trim();
        if expiring {
            self.let_go();
        }
        Ok(())
    }

    /// Where the levels stand after a commit: what expires has been sealed by the coarser level.
    fn expiry(&self, commit: &EpochCommit) -> Vec<Mark> {
        let newest = commit.watermark.min(commit.clock);
        let mut marks = Vec::with_capacity(self.levels.len());
        for (at, level) in self.levels.iter().enumerate() {
            let before = level.expired;
            let wanted = match at {
                0 => checkpoint::expired(self.checkpoint.expired, commit, self.shared.len),
                _ => kept_from(level.len, level.retention_secs, newest),
            };
            let merged = self.levels.get(at + 1).map_or(Window(u32::MAX), |coarser| coarser.sealed);
            let wanted = wanted.max(level.squeezed);
            let expired = wanted.min(level.len.window(merged.start())).max(before);
            let sealed = level.sealed.max(expired);
            marks.push(Mark { secs: level.len.secs(), sealed, expired });
        }
        marks
    }

    /// Moves the marks, and takes what is past them out of sight. Whether anything has to be deleted.
    fn expire(
        &mut self,
        batch: &mut OwnedWriteBatch,
        touched: &mut Touched,
        marks: &[Mark],
    ) -> bool {
        let meta = &self.shared.meta;
        let mut names = Vec::new();
        let (mut moved, mut expiring) = (false, false);
        for (level, mark) in self.levels.iter_mut().zip(marks) {
            moved |= level.expired != mark.expired || level.sealed != mark.sealed;
            (level.expired, level.sealed) = (mark.expired, mark.sealed);
            for buckets in [&mut level.packs, &mut level.late] {
                if buckets.has_expired(mark.expired) {
                    names.extend(buckets.expire(mark.expired));
                    expiring = true;
                }
            }
        }
        if self.open.has_expired(marks[0].sealed) {
            names.extend(self.open.expire(marks[0].sealed));
            expiring = true;
        }
        for name in &names {
            touched.forget(batch, meta, name);
        }
        let past =
            |hole: &Hole| marks.iter().any(|mark| mark.secs == hole.0 && hole.1 < mark.expired);
        if self.holes.keys().any(past) {
            let all = self.holes.iter().map(|(hole, why)| (*hole, *why));
            let (gone, kept): (Holes, Holes) = all.partition(|(hole, _)| past(hole));
            for hole in gone.keys() {
                batch.remove(meta, holes::key(*hole));
            }
            self.holes = Arc::new(kept);
            self.shared.forget(past);
        }
        if moved {
            batch.insert(meta, [MARKS], built(|out| put_marks(out, &self.levels)));
        }
        expiring
    }

    /// Deletes what is past its retention.
    fn let_go(&mut self) {
        let sealed = self.levels[0].sealed;
        self.edges.expire(sealed);
        self.paths.expire(sealed);
        self.calls.expire(sealed);
        let db = &self.shared.db;
        let mut done = self.open.drop_doomed(db, sealed);
        for level in &mut self.levels {
            let first = level.expired;
            done = done
                .and_then(|()| level.packs.drop_doomed(db, first))
                .and_then(|()| level.late.drop_doomed(db, first));
        }
        if let Err(e) = done {
            // The rows are out of sight; the files go with the next commit or open.
            tracing::warn!(error = %e, "could not delete expired windows");
        }
    }

    /// Writes the head, and the ledger of `meta`, as of a write.
    pub(super) fn put_number(
        &self,
        batch: &mut OwnedWriteBatch,
        touched: &mut Touched,
        number: u64,
    ) {
        let (meta, at) = (&self.shared.meta, &self.checkpoint);
        touched.touch(batch, meta, META, meta, number);
        if let Some(old) = number.checked_sub(DEPTH) {
            batch.remove(meta, keys::ledger(old));
        }
        let head = Head {
            epoch: at.epoch,
            clock: at.clock,
            watermark: at.watermark,
            folded: at.folded,
            expired: at.expired,
            next_loss: self.next_loss,
            written: number,
        };
        batch.insert(meta, [HEAD], built(|out| put_head(out, &head)));
    }

    /// Shows readers the epoch that was committed last.
    pub(super) fn publish(&self) {
        self.shared.view.store(Arc::new(View {
            snapshot: self.shared.db.snapshot(),
            open: self.open.snapshot(),
            levels: self.levels.iter().map(LevelState::view).collect(),
            holes: self.holes.clone(),
            catalogue: self.catalogue.clone(),
            checkpoint: self.checkpoint.clone(),
        }));
    }

    /// The buckets that sorted rows fall into, in order.
    fn each<R: Row>(&self, rows: &[R]) -> Vec<u32> {
        let of = |row: &R| self.open.number(R::window(row.key()));
        rows.chunk_by(|a, b| of(a) == of(b)).map(|chunk| of(&chunk[0])).collect()
    }

    /// The part of sorted rows that falls into a bucket.
    fn part<'a, R: Row>(&self, rows: &'a [R], number: u32) -> &'a [R] {
        let of = |row: &R| self.open.number(R::window(row.key()));
        let from = rows.partition_point(|row| of(row) < number);
        let to = rows.partition_point(|row| of(row) <= number);
        &rows[from..to]
    }

    fn name_entities(&self, commit: &EpochCommit) {
        for (id, entity) in &commit.entities {
            self.shared.entities.insert(*id, Arc::new(entity.clone()));
        }
    }

    /// Writes what changed in the checkpoint, and says the number of the next loss.
    fn put_checkpoint(
        &self,
        batch: &mut OwnedWriteBatch,
        commit: &EpochCommit,
        next: &Checkpoint,
    ) -> u64 {
        let meta = &self.shared.meta;
        for position in &commit.positions {
            let stored = &self.checkpoint.positions;
            let found = stored.binary_search_by(|p| p.partition.cmp(&position.partition));
            if found.is_ok_and(|at| stored[at] == *position) {
                continue;
            }
            let key = position_key(&position.partition);
            batch.insert(meta, key, built(|out| put_position(out, position)));
        }
        let stored = &self.checkpoint.tallies;
        for tally in &next.tallies {
            let found = stored.binary_search_by(|(name, _)| name.cmp(&tally.0));
            if found.is_ok_and(|at| stored[at].1 == tally.1) {
                continue;
            }
            let value = built(|out| put_tally(out, &tally.0, tally.1));
            batch.insert(meta, tally_key(&tally.0), value);
        }
        let next_loss = self.next_loss + commit.losses.len() as u64;
        let kept_from = next_loss - next.losses.len() as u64;
        for number in self.next_loss - self.checkpoint.losses.len() as u64..kept_from {
            batch.remove(meta, loss_key(number));
        }
        for (number, loss) in (kept_from..).zip(&next.losses) {
            if number >= self.next_loss {
                batch.insert(meta, loss_key(number), built(|out| put_loss(out, loss)));
            }
        }
        next_loss
    }
}

/// Writes entities and owners.
fn put_names(batch: &mut OwnedWriteBatch, meta: &Keyspace, commit: &EpochCommit) {
    for (id, entity) in &commit.entities {
        batch.insert(meta, entity_key(*id), built(|out| put_entity(out, entity)));
    }
    for gone in &commit.owners_gone {
        batch.remove(meta, owner_key(gone));
    }
    for owner in &commit.owners {
        batch.insert(meta, owner_key(&owner.key()), built(|out| put_owner(out, owner)));
    }
}

/// Writes what people and tools say.
fn put_notes(batch: &mut OwnedWriteBatch, meta: &Keyspace, notes: &Notes) {
    for gone in &notes.catalogue_gone {
        batch.remove(meta, catalogue_key(gone));
    }
    for row in &notes.catalogue {
        batch.insert(meta, catalogue_key(&row.key()), built(|out| put_catalogue(out, row)));
    }
    for gone in &notes.changes_gone {
        batch.remove(meta, change_key(gone));
    }
    for change in &notes.changes {
        batch.insert(meta, change_key(&change.key()), built(|out| put_change(out, change)));
    }
}

/// Writes what was judged of health, and which traces are kept.
fn put_all_judged(batch: &mut OwnedWriteBatch, meta: &Keyspace, commit: &EpochCommit) {
    for gone in &commit.health_gone {
        batch.remove(meta, health_key(gone));
    }
    for gone in &commit.traces_gone {
        batch.remove(meta, trace_key(*gone));
    }
    for row in &commit.traces {
        batch.insert(meta, trace_key(row.trace), built(|out| put_trace(out, row)));
    }
    for row in &commit.health {
        batch.insert(meta, health_key(&row.key), built(|out| put_health(out, row)));
    }
}

/// Merges the rows of one bucket, window by window.
fn put_rows<R: Row>(
    batch: &mut OwnedWriteBatch,
    old: &OldRows<'_>,
    cache: &mut RowCache<R>,
    changes: &[R],
) -> Result<(), Error> {
    let mut bytes = Vec::with_capacity(96);
    for changes in changes.chunk_by(|a, b| R::window(a.key()) == R::window(b.key())) {
        cache.merge(R::window(changes[0].key()), changes, old, |key, outcome| {
            bytes.clear();
            R::put_key(&mut bytes, key);
            let split = bytes.len();
            match outcome {
                Outcome::Write(sums) => {
                    put_value::<R>(&mut bytes, key, &sums);
                    batch.insert(old.keyspace, &bytes[..split], &bytes[split..]);
                }
                Outcome::Remove => batch.remove(old.keyspace, &bytes[..split]),
                Outcome::Nothing => {}
            }
        })?;
    }
    Ok(())
}

/// Sorted rows of windows before `first`, and those from it on.
fn split<R: Row>(rows: &[R], first: Window) -> (&[R], &[R]) {
    rows.split_at(rows.partition_point(|row| R::window(row.key()) < first))
}

fn built(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    put(&mut bytes);
    bytes
}

// === impl OldRows ===

impl<R: Row> Source<R> for OldRows<'_> {
    fn get(&self, key: &R::Key) -> Result<Option<R::Sums>, Error> {
        let mut bytes = Vec::with_capacity(64);
        R::put_key(&mut bytes, key);
        let value = self.snapshot.get(self.keyspace, &bytes).map_err(|e| self.shared.fault(&e))?;
        let Some(value) = value else { return Ok(None) };
        let mut at = &*value;
        match R::Sums::take(&mut at, R::window(key)) {
            Some(sums) if at.is_empty() => Ok(Some(sums)),
            _ => Err(self.shared.damaged(format!("row {key:?} does not read"))),
        }
    }

    fn window(&self, window: Window, row: &mut dyn FnMut(R)) -> Result<(), Error> {
        for guard in rows(self.snapshot, self.keyspace, R::KIND, window, window) {
            let (key, value) = guard.into_inner().map_err(|e| self.shared.fault(&e))?;
            let unreadable = || format!("a row of window {} does not read", window.0);
            row(read_row(&key, &value).ok_or_else(|| self.shared.damaged(unreadable()))?);
        }
        Ok(())
    }
}
