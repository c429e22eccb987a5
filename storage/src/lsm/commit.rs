//! One epoch, one batch.

use std::sync::Arc;

use fjall::{Keyspace, OwnedWriteBatch, PersistMode, Readable, Snapshot};
use portolan_model::{EpochCommit, Window};

use super::buckets::{bucket, rows};
use super::ledger::{DEPTH, META};
use super::{FjallStore, Shared, View};
use crate::cache::{Outcome, RowCache, Source};
use crate::records::{
    HEAD, Head, entity_key, loss_key, owner_key, position_key, put_entity, put_head, put_loss,
    put_owner, put_position, put_tally, tally_key,
};
use crate::row::{Row, Sum, put_value, read_row};
use crate::{Checkpoint, CommitEpoch, Error, checkpoint, keys};

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
        }
        done
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.persist()
    }
}

impl FjallStore {
    fn write(&mut self, commit: &EpochCommit) -> Result<(), Error> {
        let shared = self.shared.clone();
        let expired = checkpoint::expired(self.checkpoint.expired, commit, shared.len);
        let (edges, late_edges) = checkpoint::admit(&commit.edges, expired);
        let (paths, late_paths) = checkpoint::admit(&commit.paths, expired);
        let (calls, late_calls) = checkpoint::admit(&commit.calls, expired);
        let late = late_edges + late_paths + late_calls;
        let snapshot = shared.db.snapshot();
        let mut batch = shared.db.batch().durability(Some(PersistMode::Buffer));
        let mut touched = self.touched.clone();
        let epoch = commit.epoch;
        let mut numbers = [each_bucket(&edges), each_bucket(&paths), each_bucket(&calls)].concat();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let keyspace = self.buckets.place(&shared, number)?;
            let old = OldRows { shared: &shared, snapshot: &snapshot, keyspace: &keyspace };
            put_rows(&mut batch, &old, &mut self.edges, part(&edges, number))?;
            put_rows(&mut batch, &old, &mut self.paths, part(&paths, number))?;
            put_rows(&mut batch, &old, &mut self.calls, part(&calls, number))?;
            let name = keyspace.name().to_string();
            touched.touch(&mut batch, &shared.meta, &name, &keyspace, epoch);
        }
        let mut next = Checkpoint::clone(&self.checkpoint);
        checkpoint::advance(&mut next, commit, expired, late);
        touched.touch(&mut batch, &shared.meta, META, &shared.meta, epoch);
        if let Some(old) = epoch.checked_sub(DEPTH) {
            batch.remove(&shared.meta, keys::ledger(old));
        }
        put_catalogue(&mut batch, &shared.meta, commit);
        let next_loss = self.put_checkpoint(&mut batch, commit, &next);
        // From here on only the batch itself can fail, and then the engine takes no more writes.
        let expiring = self.buckets.has_expired(expired);
        if expiring {
            for name in self.buckets.expire(expired) {
                touched.forget(&mut batch, &shared.meta, &name);
            }
        }
        batch.commit().map_err(|e| shared.fault(&e))?;

        self.touched = touched;
        self.checkpoint = Arc::new(next);
        self.next_loss = next_loss;
        self.name_entities(commit);
        self.publish();
        self.edges.trim();
        self.paths.trim();
        self.calls.trim();
        if expiring {
            self.edges.expire(expired);
            self.paths.expire(expired);
            self.calls.expire(expired);
            if let Err(e) = self.buckets.drop_doomed(&shared.db, expired) {
                // The rows are out of sight; the files go with the next commit or open.
                tracing::warn!(error = %e, "could not delete expired windows");
            }
        }
        Ok(())
    }

    /// Shows readers the epoch that was committed last.
    pub(super) fn publish(&self) {
        self.shared.view.store(Arc::new(View {
            snapshot: self.shared.db.snapshot(),
            buckets: self.buckets.snapshot(),
            checkpoint: self.checkpoint.clone(),
        }));
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
        let head = Head {
            epoch: next.epoch,
            clock: next.clock,
            watermark: next.watermark,
            folded: next.folded,
            expired: next.expired,
            next_loss,
        };
        batch.insert(meta, [HEAD], built(|out| put_head(out, &head)));
        next_loss
    }
}

/// Writes entities and owners.
fn put_catalogue(batch: &mut OwnedWriteBatch, meta: &Keyspace, commit: &EpochCommit) {
    for (id, entity) in &commit.entities {
        batch.insert(meta, entity_key(*id), built(|out| put_entity(out, entity)));
    }
    for owner in &commit.owners {
        batch.insert(meta, owner_key(owner), built(|out| put_owner(out, owner)));
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

/// The buckets that sorted rows fall into, in order.
fn each_bucket<R: Row>(rows: &[R]) -> Vec<u32> {
    rows.chunk_by(|a, b| of(a) == of(b)).map(|chunk| of(&chunk[0])).collect()
}

/// The part of sorted rows that falls into a bucket.
fn part<R: Row>(rows: &[R], number: u32) -> &[R] {
    let from = rows.partition_point(|row| of(row) < number);
    let to = rows.partition_point(|row| of(row) <= number);
    &rows[from..to]
}

fn of<R: Row>(row: &R) -> u32 {
    bucket(R::window(row.key()))
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
