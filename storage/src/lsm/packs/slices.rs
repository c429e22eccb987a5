//! The slices of a packed part, off the disk one after the other.

use std::collections::BTreeSet;

use fjall::{Keyspace, Readable, Snapshot, UserValue};

use super::{PartKey, REVERSE, SLICE};
use crate::pack::{Head, Reverse, body, unseal};

/// Slices that are still to be read.
pub(super) struct Slices {
    rest: Rest,
    /// How many there have to be.
    left: usize,
}

enum Rest {
    /// All of a part.
    All(fjall::Iter),
    /// Some, which are at hand.
    Some(std::vec::IntoIter<UserValue>),
}

/// A slice whose checksum is right.
pub(super) struct Checked(UserValue);

/// Why slices did not read.
pub(super) enum Fault {
    Engine(fjall::Error),
    Bytes(&'static str),
}

const MISSING: Fault = Fault::Bytes("a part is missing");
const CHANGED: Fault = Fault::Bytes("a slice does not match its checksum");

// === impl Slices ===

impl Slices {
    /// All slices of a part of rows of a kind. Nothing is read yet.
    pub(super) fn all(
        (snapshot, keyspace): (&Snapshot, &Keyspace),
        (part, kind): (PartKey, u8),
        head: &Head<'_>,
    ) -> Self {
        let rest = Rest::All(snapshot.prefix(keyspace, part.bytes(SLICE | kind)));
        Self { rest, left: head.slices() }
    }

    /// Those which have rows of an entity.
    pub(super) fn of(
        (snapshot, keyspace): (&Snapshot, &Keyspace),
        (part, kind): (PartKey, u8),
        head: &Head<'_>,
        id: u64,
    ) -> Result<Self, Fault> {
        let mut slices = Vec::new();
        if let Some(code) = head.code(id) {
            let reverse = snapshot.get(keyspace, part.bytes(REVERSE | kind))?.ok_or(MISSING)?;
            let found = Reverse::read(&reverse).and_then(|reverse| reverse.as_server(code));
            let found = found.ok_or(Fault::Bytes("an index does not match its checksum"))?;
            let wanted: BTreeSet<usize> = head.as_client(code).chain(found).collect();
            for number in wanted {
                let slice = snapshot.get(keyspace, part.slice(SLICE | kind, number))?;
                slices.push(slice.ok_or(MISSING)?);
            }
        }
        let left = slices.len();
        Ok(Self { rest: Rest::Some(slices.into_iter()), left })
    }
}

impl Iterator for Slices {
    type Item = Result<Checked, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let slice = match &mut self.rest {
            Rest::All(slices) => slices.next().map(fjall::Guard::value).transpose(),
            Rest::Some(slices) => Ok(slices.next()),
        };
        let slice = match (slice, self.left) {
            (Err(e), _) => Err(e.into()),
            (Ok(None), 0) => return None,
            (Ok(None), _) | (Ok(Some(_)), 0) => Err(MISSING),
            // Looked at when it has just been read, near the core.
            (Ok(Some(slice)), _) if unseal(&slice).is_none() => Err(CHANGED),
            (Ok(Some(slice)), _) => Ok(Checked(slice)),
        };
        self.left = if slice.is_ok() { self.left - 1 } else { 0 };
        Some(slice)
    }
}

// === impl Checked ===

impl AsRef<[u8]> for Checked {
    fn as_ref(&self) -> &[u8] {
        body(&self.0)
    }
}

// === impl Fault ===

impl From<fjall::Error> for Fault {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error)
    }
}
