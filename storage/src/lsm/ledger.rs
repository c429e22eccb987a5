//! The ledger: every keyspace lists the epochs that touched it, so that a gap can be seen.
//!
//! The engine ends a journal at the first entry that it cannot read, and takes this for the end of
//! a torn batch. Where a byte has flipped, epochs vanish in silence, and only from those keyspaces
//! that were not yet sorted onto disk: counts and offsets would disagree. So each batch adds to
//! each keyspace it touches a row `epoch -> the epoch before that touched it`, and to `meta` the
//! last epoch of each keyspace. At open the chains must be whole and end where `meta` says.

use std::collections::BTreeMap;
use std::sync::Arc;

use fjall::{Keyspace, OwnedWriteBatch, Readable, Snapshot};

use crate::codec::{put_varint, take_varint};
use crate::keys;
use crate::records::{TOUCHED, touched_key};

/// How many of the newest epochs are checked at open, and kept in the ledger of `meta`: 18 hours of
/// one a second. What is older was sorted onto disk long ago (the journals are bounded).
pub(super) const DEPTH: u64 = 1 << 16;

/// The name under which `meta` itself is in the ledger.
pub(super) const META: &str = "meta";

/// The last epoch that touched each keyspace, by name.
#[derive(Clone, Default)]
pub(super) struct Touched(BTreeMap<Arc<str>, u64>);

// === impl Touched ===

impl Touched {
    /// What `meta` says, or what in it does not read.
    pub(super) fn load(snapshot: &Snapshot, meta: &Keyspace) -> Result<Self, Gap> {
        let mut touched = BTreeMap::new();
        for guard in snapshot.prefix(meta, [TOUCHED]) {
            let (key, value) = guard.into_inner()?;
            let name = std::str::from_utf8(&key[1..]).map_err(|_| "a ledger name is unreadable")?;
            let epoch = take_varint(&mut &*value).ok_or("a ledger entry is unreadable")?;
            touched.insert(name.into(), epoch);
        }
        Ok(Self(touched))
    }

    /// Writes that an epoch touches a keyspace, once, into the keyspace and into `meta`.
    pub(super) fn touch(
        &mut self,
        batch: &mut OwnedWriteBatch,
        meta: &Keyspace,
        name: &str,
        keyspace: &Keyspace,
        epoch: u64,
    ) {
        let before = self.0.insert(name.into(), epoch).unwrap_or(0);
        if before == epoch {
            // Another bucket of the shared keyspace.
            return;
        }
        let mut value = Vec::with_capacity(10);
        put_varint(&mut value, before);
        batch.insert(keyspace, keys::ledger(epoch), value);
        let mut value = Vec::with_capacity(10);
        put_varint(&mut value, epoch);
        batch.insert(meta, touched_key(name), value);
    }

    /// Forgets a keyspace that is deleted.
    pub(super) fn forget(&mut self, batch: &mut OwnedWriteBatch, meta: &Keyspace, name: &str) {
        if self.0.remove(name).is_some() {
            batch.remove(meta, touched_key(name));
        }
    }

    /// The last epoch that touched a keyspace; 0 if none did.
    pub(super) fn last(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// Checks the chain of one keyspace against `meta`, whose last epoch is `last`.
    pub(super) fn check(
        &self,
        snapshot: &Snapshot,
        name: &str,
        keyspace: &Keyspace,
        last: u64,
    ) -> Result<(), Gap> {
        let touched = self.last(name);
        let oldest = last.saturating_sub(DEPTH);
        let low = keys::ledger(oldest + 1);
        let high = keys::ledger(u64::MAX);
        let mut newest = None;
        for guard in snapshot.range(keyspace, low..=high) {
            let (key, value) = guard.into_inner()?;
            let epoch = keys::read_ledger(&key).ok_or("a ledger key is unreadable")?;
            let before = take_varint(&mut &*value).ok_or("a ledger row is unreadable")?;
            // Before the first row seen there is nothing, or an epoch that is too old to be seen.
            let whole = newest.map_or(before <= oldest, |newest| newest == before);
            if !whole {
                return Err(Gap::Epochs(format!("{name} misses epochs before {epoch}")));
            }
            newest = Some(epoch);
        }
        match newest {
            Some(newest) if newest != touched => {
                Err(Gap::Epochs(format!("{name} ends at epoch {newest}, not at {touched}")))
            }
            None if touched > oldest => {
                Err(Gap::Epochs(format!("{name} does not have epoch {touched}")))
            }
            _ => Ok(()),
        }
    }
}

/// What is wrong with a ledger.
pub(super) enum Gap {
    /// The engine cannot read it.
    Engine(fjall::Error),
    /// Epochs are missing, or bytes do not read.
    Epochs(String),
}

impl From<fjall::Error> for Gap {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<&str> for Gap {
    fn from(what: &str) -> Self {
        Self::Epochs(what.to_owned())
    }
}
