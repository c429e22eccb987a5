//! Which keyspace a window's rows live in: one for each six hours, so that expiry deletes files.
//!
//! Six hours: a week's retention is 29 keyspaces (200 are cheap, creating one takes about 10 ms),
//! and what is kept too long after its retention is at most six hours of rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fjall::{Database, Keyspace, PersistMode, Readable, Snapshot};
use portolan_model::Window;

use super::{Shared, fault};
use crate::keys;
use crate::{Error, keys::Reader};

/// Seconds of a bucket: divides a day, as every window length does, but need not be a multiple of
/// a window: a window belongs to the bucket of its start.
pub(super) const BUCKET_SECS: u32 = 6 * 3_600;

/// Most keyspaces for rows: 128 days of them. Beyond, rows share one keyspace and expire one by one.
const MAX_BUCKETS: usize = 512;

/// Most rows removed in one batch when a bucket of the shared keyspace expires.
const REMOVE_BATCH: usize = 10_000;

/// The number of a bucket: six-hour spans since 1970.
pub(super) type Bucket = u32;

/// Every bucket that may have rows, and the keyspace they are in.
pub(super) type BucketMap = BTreeMap<Bucket, Keyspace>;

const PREFIX: &str = "rows-0-";
const REST: &str = "rows-0-rest";

/// See the module.
pub(super) struct Buckets {
    map: BTreeMap<Bucket, Keyspace>,
    /// Buckets whose rows are in the shared keyspace.
    in_rest: BTreeSet<Bucket>,
    /// Expired, but the engine would not let go of them yet.
    doomed: Vec<Keyspace>,
    max: usize,
}

/// The bucket of a window.
pub(super) fn bucket(window: Window) -> Bucket {
    window.0 / BUCKET_SECS
}

// === impl Buckets ===

impl Buckets {
    /// Finds the buckets of an opened database.
    pub(super) fn load(db: &Database, path: &std::path::Path) -> Result<Self, Error> {
        let mut map = BTreeMap::new();
        let mut in_rest = BTreeSet::new();
        let open = |name: &str| {
            let keyspace = db.keyspace(name, fjall::KeyspaceCreateOptions::default);
            keyspace.map_err(|e| fault::translate(path, &e))
        };
        for name in db.list_keyspace_names() {
            if let Some(number) = name.strip_prefix(PREFIX).and_then(|n| n.parse().ok()) {
                map.insert(number, open(&name)?);
            }
        }
        if db.keyspace_exists(REST) {
            let rest = open(REST)?;
            for number in numbers(db, &rest).map_err(|e| fault::translate(path, &e))? {
                map.insert(number, rest.clone());
                in_rest.insert(number);
            }
        }
        Ok(Self { map, in_rest, doomed: Vec::new(), max: MAX_BUCKETS })
    }

    /// The keyspace for a bucket, made if there is none.
    pub(super) fn place(&mut self, shared: &Shared, number: Bucket) -> Result<Keyspace, Error> {
        if let Some(keyspace) = self.map.get(&number) {
            return Ok(keyspace.clone());
        }
        let own = self.map.len() - self.in_rest.len() < self.max;
        let keyspace = if own {
            shared.keyspace(&format!("{PREFIX}{number}"))?
        } else {
            self.in_rest.insert(number);
            shared.keyspace(REST)?
        };
        self.map.insert(number, keyspace.clone());
        Ok(keyspace)
    }

    /// What readers need to know.
    pub(super) fn snapshot(&self) -> Arc<BucketMap> {
        Arc::new(self.map.clone())
    }

    /// Every keyspace with rows, once.
    pub(super) fn keyspaces(&self) -> impl Iterator<Item = &Keyspace> {
        let rest = self.in_rest.first().and_then(|n| self.map.get(n));
        self.map.iter().filter(|(n, _)| !self.in_rest.contains(n)).map(|(_, k)| k).chain(rest)
    }

    /// Whether some bucket lies wholly before `first`.
    pub(super) fn has_expired(&self, first: Window) -> bool {
        !self.doomed.is_empty() || self.map.keys().next().is_some_and(|n| *n < bucket(first))
    }

    /// Lets go of the buckets before `first`, out of readers' sight: [`Self::drop_doomed`] takes
    /// them off the disk. The names of those that had a keyspace of their own come back.
    pub(super) fn expire(&mut self, first: Window) -> Vec<String> {
        let kept = self.map.split_off(&bucket(first));
        let gone = std::mem::replace(&mut self.map, kept);
        let mut names = Vec::new();
        for (number, keyspace) in gone {
            if !self.in_rest.contains(&number) {
                names.push(keyspace.name().to_string());
                self.doomed.push(keyspace);
            }
        }
        names
    }

    /// Deletes what expired. Safe to be cut off anywhere: nothing here is visible, and the next
    /// open begins again.
    pub(super) fn drop_doomed(&mut self, db: &Database, first: Window) -> fjall::Result<()> {
        if !self.doomed.is_empty() {
            // The deletion outlives a power loss; so must the epoch that says why they are gone.
            db.persist(PersistMode::SyncData)?;
        }
        while let Some(keyspace) = self.doomed.pop() {
            if let Err(e) = db.delete_keyspace(keyspace.clone()) {
                self.doomed.push(keyspace);
                return Err(e);
            }
        }
        while let Some(number) = self.in_rest.first().copied().filter(|n| *n < bucket(first)) {
            if db.keyspace_exists(REST) {
                let rest = db.keyspace(REST, fjall::KeyspaceCreateOptions::default)?;
                clear(db, &rest, number)?;
            }
            self.in_rest.remove(&number);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
    }
}

/// The rows of one kind in the windows `[from, to]`.
pub(super) fn rows(
    snapshot: &Snapshot,
    keyspace: &Keyspace,
    kind: u8,
    from: Window,
    to: Window,
) -> fjall::Iter {
    let low = keys::window(kind, from).to_vec();
    // Row keys are longer than what they begin with: 0xff closes the last window.
    let mut high = keys::window(kind, to).to_vec();
    high.extend_from_slice(&[0xff; 8]);
    snapshot.range(keyspace, low..=high)
}

/// First and last window of a bucket.
pub(super) fn bounds(number: Bucket) -> (Window, Window) {
    let first = number.saturating_mul(BUCKET_SECS);
    (Window(first), Window(first.saturating_add(BUCKET_SECS - 1)))
}

/// Removes the rows of a bucket one by one.
fn clear(db: &Database, rest: &Keyspace, number: Bucket) -> fjall::Result<()> {
    let (from, to) = bounds(number);
    let snapshot = db.snapshot();
    for kind in keys::KINDS {
        let mut batch = db.batch();
        for guard in rows(&snapshot, rest, kind, from, to) {
            batch.remove(rest, guard.key()?);
            if batch.len() == REMOVE_BATCH {
                std::mem::replace(&mut batch, db.batch()).commit()?;
            }
        }
        batch.commit()?;
    }
    Ok(())
}

/// The buckets that have rows in a keyspace: a seek for each.
fn numbers(db: &Database, keyspace: &Keyspace) -> fjall::Result<BTreeSet<Bucket>> {
    let snapshot = db.snapshot();
    let mut found = BTreeSet::new();
    for kind in keys::KINDS {
        let mut from = Window(0);
        while let Some(guard) = rows(&snapshot, keyspace, kind, from, Window(u32::MAX)).next() {
            let key = guard.key()?;
            // A key that does not read is met again by the first scan, which says so.
            let Some(window) = Reader(&key).window(kind) else { break };
            found.insert(bucket(window));
            let (_, last) = bounds(bucket(window));
            if last.0 == u32::MAX {
                break;
            }
            from = Window(last.0 + 1);
        }
    }
    Ok(found)
}
