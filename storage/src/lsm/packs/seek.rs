//! Which windows of a level have anything, and their entries one by one, past blocks of tables that do not read.
//!
//! Which windows are in such a block cannot be told. So each is asked for by itself, and those that need the block are lost;
//! for the question which windows there are, they count as there, so that whoever reads them finds out.

use std::collections::BTreeSet;

use fjall::{Keyspace, Snapshot, UserKey, UserValue};
use portolan_model::{Nanos, Window, WindowLen};

use super::super::Shared;
use super::super::buckets::rows;
use super::super::levels::LevelView;
use super::{HEAD, PartKey};
use crate::Error;
use crate::keys::{self, Reader};

/// Where entries are: a kind of them in a keyspace of windows of a length.
pub(super) struct Place<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) keyspace: &'a Keyspace,
    pub(super) kind: u8,
    pub(super) len: WindowLen,
}

/// What is met on the way.
pub(super) enum Entry {
    Row(UserKey, UserValue),
    /// A window that does not read, and why.
    Lost(Window, String),
}

/// Visits the entries of the windows `[low, high]`, in order.
pub(super) fn entries(
    shared: &Shared,
    place: &Place<'_>,
    (low, high): (Window, Window),
    visit: &mut dyn FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let Place { snapshot, keyspace, kind, len } = *place;
    let mut last: Option<UserKey> = None;
    let mut broken = false;
    for guard in rows(snapshot, keyspace, kind, low, high) {
        match guard.into_inner() {
            Ok((key, value)) => {
                last = Some(key.clone());
                visit(Entry::Row(key, value))?;
            }
            Err(e) => {
                shared.damage(&e)?;
                broken = true;
                break;
            }
        }
    }
    if !broken {
        return Ok(());
    }
    let seen = last.as_ref().and_then(|key| Reader(key).window(kind));
    let mut window = len.window(seen.unwrap_or(low).start());
    while window <= high {
        for guard in rows(snapshot, keyspace, kind, window, window) {
            match guard.into_inner() {
                Ok((key, _)) if last.as_ref().is_some_and(|last| key <= *last) => {}
                Ok((key, value)) => visit(Entry::Row(key, value))?,
                Err(e) => {
                    let why = shared.damage(&e)?;
                    visit(Entry::Lost(window, why))?;
                    break;
                }
            }
        }
        let next = window.next(len);
        if next <= window {
            break;
        }
        window = next;
    }
    Ok(())
}

/// The windows of a level that have anything packed or late in `[from, last]`, in order.
pub(in super::super) fn windows(
    shared: &Shared,
    snapshot: &Snapshot,
    level: &LevelView,
    kinds: &[u8],
    (from, last): (Window, Window),
) -> Result<BTreeSet<Window>, Error> {
    let mut found = BTreeSet::new();
    for kind in kinds {
        for (map, first) in [(&level.packs, HEAD | kind), (&level.late, *kind)] {
            for (keyspace, low, high) in map.parts(from, last) {
                let mut low = low;
                // A seek for each window, whatever it holds.
                while let Some(guard) = rows(snapshot, keyspace, first, low, high).next() {
                    let window = match guard.key() {
                        Ok(key) => Reader(&key).window(first),
                        Err(e) => {
                            shared.damage(&e)?;
                            Some(level.len.window(low.start()).max(low))
                        }
                    };
                    let Some(window) = window else { break };
                    found.insert(window);
                    if window >= high {
                        break;
                    }
                    low = window.next(level.len).max(Window(low.0.saturating_add(1)));
                }
            }
        }
    }
    Ok(found)
}

/// The first window that a level has anything of in `[from, last]`.
pub(in super::super) fn first(
    shared: &Shared,
    snapshot: &Snapshot,
    level: &LevelView,
    from: Window,
    last: Window,
) -> Result<Option<Window>, Error> {
    Ok(firsts(shared, snapshot, level, (from, last))?.into_iter().min())
}

/// The first window of each kind that a level has in `[from, last]`.
pub(in super::super) fn firsts(
    shared: &Shared,
    snapshot: &Snapshot,
    level: &LevelView,
    (from, last): (Window, Window),
) -> Result<Vec<Window>, Error> {
    let mut found = Vec::new();
    for kind in keys::KINDS {
        for (map, first) in [(&level.packs, HEAD | kind), (&level.late, kind)] {
            let mut parts = map.parts(from, last);
            let guard = parts.find_map(|(keyspace, low, high)| {
                rows(snapshot, keyspace, first, low, high).next().map(|guard| (guard, low))
            });
            let Some((guard, low)) = guard else { continue };
            found.extend(match guard.key() {
                Ok(key) => Reader(&key).window(first),
                Err(e) => shared.damage(&e).map(|_| Some(low))?,
            });
        }
    }
    Ok(found)
}

/// The last ones likewise.
pub(in super::super) fn lasts(
    shared: &Shared,
    snapshot: &Snapshot,
    level: &LevelView,
    (from, last): (Window, Window),
) -> Result<Vec<Window>, Error> {
    let mut found = Vec::new();
    for kind in keys::KINDS {
        for (map, first) in [(&level.packs, HEAD | kind), (&level.late, kind)] {
            let mut parts = map.parts(from, last).rev();
            let guard = parts.find_map(|(keyspace, low, high)| {
                rows(snapshot, keyspace, first, low, high).next_back().map(|guard| (guard, high))
            });
            let Some((guard, high)) = guard else { continue };
            found.extend(match guard.key() {
                Ok(key) => Reader(&key).window(first),
                Err(e) => shared.damage(&e).map(|_| Some(level.len.window(high.start())))?,
            });
        }
    }
    Ok(found)
}

/// The first window of a level that was packed after a clock reading, or is not packed yet: windows are packed in order, by
/// clocks that do not go back.
pub(in super::super) fn packed_after(
    shared: &Shared,
    snapshot: &Snapshot,
    level: &LevelView,
    at: Nanos,
) -> Result<Window, Error> {
    let (mut low, mut high) = (level.expired, level.sealed);
    while low < high {
        let middle = level.len.window(Window(low.0.midpoint(high.0)).start()).max(low);
        let next = next_part(shared, snapshot, level, (middle, high))?;
        match next.filter(|part| part.known <= at) {
            Some(part) => low = part.window.next(level.len).min(high),
            None => high = middle,
        }
    }
    Ok(high)
}

/// The first packed part of the windows `[from, to)` of a level.
fn next_part(
    shared: &Shared,
    snapshot: &Snapshot,
    level: &LevelView,
    (from, to): (Window, Window),
) -> Result<Option<PartKey>, Error> {
    let Some(last) = to.0.checked_sub(1).map(Window) else { return Ok(None) };
    let mut found: Option<PartKey> = None;
    for kind in keys::KINDS.map(|kind| HEAD | kind) {
        let mut parts = level.packs.parts(from, last);
        let guard = parts
            .find_map(|(keyspace, low, high)| rows(snapshot, keyspace, kind, low, high).next());
        let part = match guard.map(fjall::Guard::key).transpose() {
            Ok(key) => key.and_then(|key| PartKey::read(kind, &key)),
            // Whoever reads the windows there finds out which do not read.
            Err(e) => shared.damage(&e).map(|_| None)?,
        };
        found = found.into_iter().chain(part).min_by_key(|part| part.window);
    }
    Ok(found)
}
