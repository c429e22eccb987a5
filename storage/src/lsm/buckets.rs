//! Which keyspace a window's rows live in: one for each span of time, so that what is past deletes files.
//!
//! Open rows have spans of five minutes: a keyspace goes as soon as all its windows are packed, so that
//! rows are on the disk twice for five minutes at most (creating one takes about 10 ms, deleting 10–30).
//! Packed windows and late rows of a level have spans of 720 windows, six hours at least.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fjall::{Database, Keyspace, PersistMode, Readable, Snapshot};
use portolan_model::Window;

use super::{Shared, fault};
use crate::keys;
use crate::{Error, keys::Reader};

/// Seconds of a bucket of open rows. It need not be a multiple of a window: a window belongs to the bucket
/// of its start.
pub(super) const OPEN_SECS: u32 = 300;

/// Seconds of a bucket in format 1.
const LEGACY_SECS: u32 = 6 * 3_600;

/// Most keyspaces of a kind. Beyond, rows share one keyspace and expire one by one.
const MAX_BUCKETS: usize = 512;

/// Most rows removed in one batch when a bucket of the shared keyspace expires.
const REMOVE_BATCH: usize = 10_000;

/// The number of a bucket: spans since 1970.
pub(super) type Bucket = u32;

/// Every bucket that may have rows, and the keyspace they are in.
#[derive(Clone)]
pub(super) struct BucketMap {
    span_secs: u32,
    map: BTreeMap<Bucket, Keyspace>,
}

/// What the keyspaces of a kind are called, and what is in them.
pub(super) struct Names {
    pub(super) prefix: String,
    pub(super) span_secs: u32,
    /// First bytes of the keys.
    pub(super) kinds: &'static [u8],
    /// The prefix of format 1.
    pub(super) legacy: Option<&'static str>,
}

/// See the module.
pub(super) struct Buckets {
    names: Names,
    map: BucketMap,
    /// Buckets whose rows are in the shared keyspace.
    in_rest: BTreeSet<Bucket>,
    /// Keyspaces of format 1 by their last bucket: each holds many.
    legacy: BTreeMap<Bucket, Keyspace>,
    /// Expired, but the engine would not let go of them yet.
    doomed: Vec<Keyspace>,
    max: usize,
}

// === impl Names ===

impl Names {
    /// Of the rows of windows that are not packed yet.
    pub(super) fn open() -> Self {
        let (prefix, legacy) = ("open-".into(), Some("rows-0-"));
        Self { prefix, span_secs: OPEN_SECS, kinds: &keys::KINDS, legacy }
    }
}

// === impl BucketMap ===

impl BucketMap {
    /// The bucket of a window.
    pub(super) fn number(&self, window: Window) -> Bucket {
        window.0 / self.span_secs
    }

    /// First and last window of a bucket.
    fn bounds(&self, number: Bucket) -> (Window, Window) {
        let first = number.saturating_mul(self.span_secs);
        (Window(first), Window(first.saturating_add(self.span_secs - 1)))
    }

    /// The buckets between two windows, in order, each with its part of the span.
    pub(super) fn parts(
        &self,
        first: Window,
        last: Window,
    ) -> impl DoubleEndedIterator<Item = (&Keyspace, Window, Window)> {
        let numbers = if first <= last {
            self.number(first)..self.number(last).saturating_add(1)
        } else {
            0..0
        };
        self.map.range(numbers).map(move |(number, keyspace)| {
            let (low, high) = self.bounds(*number);
            (keyspace, low.max(first), high.min(last))
        })
    }

    /// Whether a window's rows live in this keyspace.
    pub(super) fn is_home(&self, window: Window, keyspace: &Keyspace) -> bool {
        let home = self.map.get(&self.number(window));
        home.is_some_and(|home| home.name() == keyspace.name())
    }

    /// Bytes on disk of tables; what is in journals and memory only is not in it.
    pub(super) fn disk_bytes(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let keyspaces = self.map.values().filter(|k| seen.insert(k.name().to_string()));
        keyspaces.map(Keyspace::disk_space).sum()
    }

    /// The keyspaces, as often as they have buckets.
    #[cfg(test)]
    pub(super) fn keyspaces(&self) -> impl Iterator<Item = &Keyspace> {
        self.map.values()
    }
}

// === impl Buckets ===

impl Buckets {
    /// Finds the buckets of an opened database.
    pub(super) fn load(db: &Database, path: &std::path::Path, names: Names) -> Result<Self, Error> {
        let mut map = BucketMap { span_secs: names.span_secs, map: BTreeMap::new() };
        let (mut in_rest, mut legacy) = (BTreeSet::new(), BTreeMap::new());
        let open = |name: &str| {
            let keyspace = db.keyspace(name, fjall::KeyspaceCreateOptions::default);
            keyspace.map_err(|e| fault::translate(path, &e))
        };
        let numbered = |name: &str, prefix: &str| -> Option<u32> {
            name.strip_prefix(prefix).and_then(|n| n.parse().ok())
        };
        for name in db.list_keyspace_names() {
            if let Some(number) = numbered(&name, &names.prefix) {
                map.map.insert(number, open(&name)?);
            }
        }
        for name in db.list_keyspace_names() {
            let Some(old) = names.legacy.and_then(|prefix| numbered(&name, prefix)) else {
                continue;
            };
            let keyspace = open(&name)?;
            let each = LEGACY_SECS / names.span_secs;
            let first = old.saturating_mul(each);
            for number in first..first.saturating_add(each) {
                map.map.insert(number, keyspace.clone());
            }
            legacy.insert(first.saturating_add(each - 1), keyspace);
        }
        let rests = [Some(&*names.prefix), names.legacy];
        for rest in rests.into_iter().flatten().map(|prefix| format!("{prefix}rest")) {
            if !db.keyspace_exists(&rest) {
                continue;
            }
            let rest = open(&rest)?;
            let found = numbers(db, &rest, &map, names.kinds);
            for number in found.map_err(|e| fault::translate(path, &e))? {
                map.map.insert(number, rest.clone());
                in_rest.insert(number);
            }
        }
        Ok(Self { names, map, in_rest, legacy, doomed: Vec::new(), max: MAX_BUCKETS })
    }

    /// The bucket of a window.
    pub(super) fn number(&self, window: Window) -> Bucket {
        self.map.number(window)
    }

    /// The keyspace for a bucket, made if there is none.
    pub(super) fn place(&mut self, shared: &Shared, number: Bucket) -> Result<Keyspace, Error> {
        if let Some(keyspace) = self.map.map.get(&number) {
            return Ok(keyspace.clone());
        }
        let shares = self.in_rest.len() + self.legacy.len() * (LEGACY_SECS / OPEN_SECS) as usize;
        let own = self.map.map.len().saturating_sub(shares) < self.max;
        let prefix = &self.names.prefix;
        let keyspace = if own {
            shared.keyspace(&format!("{prefix}{number}"))?
        } else {
            self.in_rest.insert(number);
            shared.keyspace(&format!("{prefix}rest"))?
        };
        self.map.map.insert(number, keyspace.clone());
        Ok(keyspace)
    }

    /// What readers need to know.
    pub(super) fn snapshot(&self) -> Arc<BucketMap> {
        Arc::new(self.map.clone())
    }

    /// Every bucket that may have rows.
    pub(super) fn map(&self) -> &BucketMap {
        &self.map
    }

    /// Every keyspace with rows, once.
    pub(super) fn keyspaces(&self) -> impl Iterator<Item = &Keyspace> {
        let mut seen = BTreeSet::new();
        self.map.map.values().filter(move |keyspace| seen.insert(keyspace.name().to_string()))
    }

    /// The first window of the oldest bucket.
    pub(super) fn oldest(&self) -> Option<Window> {
        self.map.map.keys().next().map(|number| self.map.bounds(*number).0)
    }

    /// The first window after the oldest bucket, if that one has files of its own: what has to expire for them to go.
    pub(super) fn after_oldest(&self) -> Option<Window> {
        let number = *self.map.map.keys().find(|number| !self.in_rest.contains(number))?;
        Some(Window(self.map.bounds(number).1.0.saturating_add(1)))
    }

    /// Whether some bucket lies wholly before `first`.
    pub(super) fn has_expired(&self, first: Window) -> bool {
        let oldest = self.map.map.keys().next();
        !self.doomed.is_empty() || oldest.is_some_and(|n| *n < self.number(first))
    }

    /// Lets go of the buckets before `first`, out of readers' sight: [`Self::drop_doomed`] takes
    /// them off the disk. The names of keyspaces that go as a whole come back.
    pub(super) fn expire(&mut self, first: Window) -> Vec<String> {
        let first = self.number(first);
        let kept = self.map.map.split_off(&first);
        let gone = std::mem::replace(&mut self.map.map, kept);
        let mut names = Vec::new();
        let old = self.legacy.split_off(&first);
        for keyspace in std::mem::replace(&mut self.legacy, old).into_values() {
            names.push(keyspace.name().to_string());
            self.doomed.push(keyspace);
        }
        for (number, keyspace) in gone {
            let own = format!("{}{number}", self.names.prefix);
            if keyspace.name().as_ref() as &str == own {
                names.push(own);
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
        let first = self.number(first);
        while let Some(number) = self.in_rest.first().copied().filter(|n| *n < first) {
            let rests = [Some(&*self.names.prefix), self.names.legacy];
            for name in rests.into_iter().flatten().map(|prefix| format!("{prefix}rest")) {
                if db.keyspace_exists(&name) {
                    let rest = db.keyspace(&name, fjall::KeyspaceCreateOptions::default)?;
                    self.clear(db, &rest, number)?;
                }
            }
            self.in_rest.remove(&number);
        }
        Ok(())
    }

    /// Removes the rows of a bucket one by one.
    fn clear(&self, db: &Database, rest: &Keyspace, number: Bucket) -> fjall::Result<()> {
        let (from, to) = self.map.bounds(number);
        let snapshot = db.snapshot();
        for kind in self.names.kinds {
            let mut batch = db.batch();
            for guard in rows(&snapshot, rest, *kind, from, to) {
                batch.remove(rest, guard.key()?);
                if batch.len() == REMOVE_BATCH {
                    std::mem::replace(&mut batch, db.batch()).commit()?;
                }
            }
            batch.commit()?;
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

/// The buckets that have rows in a keyspace: a seek for each.
fn numbers(
    db: &Database,
    keyspace: &Keyspace,
    map: &BucketMap,
    kinds: &[u8],
) -> fjall::Result<BTreeSet<Bucket>> {
    let snapshot = db.snapshot();
    let mut found = BTreeSet::new();
    for kind in kinds {
        let mut from = Window(0);
        while let Some(guard) = rows(&snapshot, keyspace, *kind, from, Window(u32::MAX)).next() {
            let key = guard.key()?;
            // A key that does not read is met again by the first scan, which says so.
            let Some(window) = Reader(&key).window(*kind) else { break };
            found.insert(map.number(window));
            let (_, last) = map.bounds(map.number(window));
            if last.0 == u32::MAX {
                break;
            }
            from = Window(last.0 + 1);
        }
    }
    Ok(found)
}
