//! A table with a broken block under the hands of the engine: what sorts tables on the disk reads all of them, fails, and with
//! it every write from then on, again after each start.
//!
//! So a store that stopped leaves a mark, and the next open reads every table once, before anything sorts them. A keyspace of
//! packed windows or late rows that does not read as a whole is written anew from what does read; the windows that met
//! the broken block are set apart. Rows that are open have no copy on another level: there the store is damaged.
//!
//! ```text
//! stopped ─► read all ─► what reads of NAME into `mend` ─► holes ─► note NAME ─► NAME anew from `mend` ─► no note, no `mend`
//! ```
//!
//! Cut off before the note it begins again; after it, it goes on from there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use portolan_model::{Window, WindowLen};

use super::buckets::rows;
use super::fault::{self, is_damage};
use super::holes::{self, Hole, Why};
use super::ledger::META;
use super::levels::read_marks;
use super::packs::KINDS;
use crate::keys::{self, Reader};
use crate::records::{MARKS, put_tally, read_tally, tally_key, touched_key};
use crate::{Error, Options};

#[cfg(test)]
mod tests;

/// Left in the directory by a store that takes no more writes, though its disk has room.
pub(super) const MARK: &str = "stopped";

/// Left there while a keyspace is written anew: its name.
const NOTE: &str = "mending";

/// The keyspace that has what reads of another.
const MEND: &str = "mend";

/// Windows in a broken block that are asked for one by one: a span of packed windows has at most so many. In a keyspace of
/// many spans there may be more: that one is not mended.
const ASKED: usize = 2_160;

/// Told what was done last, so that a test can end it there.
type Steps<'a> = &'a mut dyn FnMut(&'static str);

/// Leaves the mark.
pub(super) fn mark(path: &Path) {
    // Best effort: without it the store stops once more.
    if let Err(e) = fs::write(path.join(MARK), "") {
        tracing::warn!(error = %e, "could not mark the store as stopped");
    }
}

/// Reads every table of a store that stopped, and writes anew what has a broken block.
///
/// # Errors
///
/// Those of the disk, and [`Error::Damaged`] where rows are broken that are nowhere else.
pub(super) fn mend(path: &Path, options: &Options) -> Result<(), Error> {
    in_steps(path, options, &mut |_| {})
}

/// The same; `step` is told what was done last.
fn in_steps(path: &Path, options: &Options, step: Steps<'_>) -> Result<(), Error> {
    let failed = |e: io::Error| fault::io(path, &e);
    let engine = |e: fjall::Error| fault::translate(path, &e);
    if !path.join(MARK).try_exists().map_err(failed)? {
        return Ok(());
    }
    tracing::warn!(store = %path.display(), "the store stopped: every table is read once");
    // Without threads of its own the engine sorts nothing: that is what stopped it.
    let builder = Database::builder(path).cache_size(options.block_cache_bytes);
    let db = builder.worker_threads_unchecked(0).open().map_err(engine)?;
    let create = KeyspaceCreateOptions::default;
    let noted = match fs::read_to_string(path.join(NOTE)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        noted => Some(noted.map_err(failed)?),
    };
    step("opened");
    if let Some(name) = noted {
        renew(path, &db, &name, options, step)?;
    }
    for name in db.list_keyspace_names() {
        let keyspace = db.keyspace(&name, create).map_err(engine)?;
        if &*name == MEND {
            db.delete_keyspace(keyspace).map_err(engine)?;
            step("what was saved for nothing is gone");
            continue;
        }
        let Some(broken) = first_broken(path, &db, &keyspace)? else { continue };
        let Some(len) = packed_len(&name) else {
            let detail = format!("{name}: {broken}");
            return Err(Error::Damaged { path: path.display().to_string(), detail });
        };
        let last = last_packed(&db, len).map_err(engine)?;
        let lost = save(path, &db, &keyspace, (len, last), step)?;
        step("saved");
        let store = path.display();
        tracing::error!(%store, keyspace = %name, broken, windows = lost.len(), "a table is written anew without a broken block");
        set_apart(&db, &lost).map_err(engine)?;
        step("set apart");
        drop(keyspace);
        fs::write(path.join(NOTE), &*name).map_err(failed)?;
        step("noted");
        renew(path, &db, &name, options, step)?;
    }
    drop(db);
    step("read");
    fs::remove_file(path.join(MARK)).map_err(failed)
}

/// What is wrong with the first entry of a keyspace that does not read.
fn first_broken(path: &Path, db: &Database, keyspace: &Keyspace) -> Result<Option<String>, Error> {
    let broken = db.snapshot().iter(keyspace).find_map(|guard| guard.into_inner().err());
    match broken {
        Some(e) if is_damage(path, &e) => Ok(Some(format!("{e:?}"))),
        Some(e) => Err(fault::translate(path, &e)),
        None => Ok(None),
    }
}

/// The length of the windows of a keyspace of packed windows or late rows.
fn packed_len(name: &str) -> Option<WindowLen> {
    let rest = name.strip_prefix("pack-").or_else(|| name.strip_prefix("late-"))?;
    WindowLen::try_new(rest.split('-').next()?.parse().ok()?)
}

/// The last window of a level that can be packed or late; nothing if no mark says so.
fn last_packed(db: &Database, len: WindowLen) -> fjall::Result<Option<Window>> {
    let marks = db.keyspace(META, KeyspaceCreateOptions::default)?.get([MARKS])?;
    let marks = marks.and_then(|marks| read_marks(&marks)).unwrap_or_default();
    let mark = marks.iter().find(|mark| mark.secs == len.secs());
    Ok(mark.and_then(|mark| mark.sealed.0.checked_sub(1)).map(Window))
}

/// Writes what reads of a keyspace into [`MEND`], without its ledger, which may have a gap. The windows that do not read
/// come back.
fn save(
    path: &Path,
    db: &Database,
    keyspace: &Keyspace,
    (len, last): (WindowLen, Option<Window>),
    step: Steps<'_>,
) -> Result<BTreeSet<Hole>, Error> {
    let last = last.unwrap_or(Window(u32::MAX));
    let engine = |e: fjall::Error| fault::translate(path, &e);
    let snapshot = db.snapshot();
    let mend = db.keyspace(MEND, KeyspaceCreateOptions::default).map_err(engine)?;
    let mut to = mend.start_ingestion().map_err(engine)?;
    let mut lost = BTreeSet::new();
    for kind in keys::KINDS.into_iter().chain(KINDS) {
        let (mut low, mut asked) = (Window(0), 0);
        // Each window by itself: which ones are in a broken block cannot be told.
        while let Some(guard) = rows(&snapshot, keyspace, kind, low, last).next() {
            let window = match guard.key() {
                Ok(key) => Reader(&key).window(kind).unwrap_or(low),
                // The windows of a span begin with its own.
                Err(e) if is_damage(path, &e) => low.max(first_of(keyspace.name(), len)),
                Err(e) => return Err(engine(e)),
            };
            for guard in rows(&snapshot, keyspace, kind, window, window) {
                match guard.into_inner() {
                    Ok((key, value)) => to.write(key, value).map_err(engine)?,
                    Err(e) if is_damage(path, &e) && asked < ASKED => {
                        lost.insert((len.secs(), window, kind & 0x0f));
                        asked += 1;
                        break;
                    }
                    Err(e) => return Err(engine(e)),
                }
            }
            step("half saved");
            let next = window.next(len);
            if next <= window || window >= last {
                break;
            }
            low = next;
        }
    }
    to.finish().map_err(engine)?;
    Ok(lost)
}

/// The first window of the span that a keyspace is named after.
fn first_of(name: &str, len: WindowLen) -> Window {
    let number: Option<u32> = name.rsplit('-').next().and_then(|number| number.parse().ok());
    let span = super::levels::span_secs(len.secs());
    Window(number.map_or(0, |number| number.saturating_mul(span)))
}

/// Writes that windows are set apart, and counts those that were not yet.
fn set_apart(db: &Database, lost: &BTreeSet<Hole>) -> fjall::Result<()> {
    let meta = db.keyspace(META, KeyspaceCreateOptions::default)?;
    let apart = holes::value(Why::Apart);
    let mut batch = db.batch().durability(Some(PersistMode::SyncAll));
    let mut new = 0;
    for hole in lost {
        let key = holes::key(*hole);
        new += i64::from(meta.get(key)?.is_none_or(|value| &*value != apart));
        batch.insert(&meta, key, apart);
    }
    let total = meta.get(tally_key(holes::APART))?.and_then(|value| read_tally(&value));
    let mut value = Vec::new();
    put_tally(&mut value, holes::APART, total.map_or(0, |(_, total)| total).saturating_add(new));
    batch.insert(&meta, tally_key(holes::APART), value);
    batch.commit()
}

/// Makes a keyspace anew of what is in [`MEND`].
fn renew(
    path: &Path,
    db: &Database,
    name: &str,
    options: &Options,
    step: Steps<'_>,
) -> Result<(), Error> {
    let engine = |e: fjall::Error| fault::translate(path, &e);
    let create = KeyspaceCreateOptions::default;
    if db.keyspace_exists(name) {
        db.delete_keyspace(db.keyspace(name, create).map_err(engine)?).map_err(engine)?;
    }
    step("the old one is gone");
    let wide = || create().max_memtable_size(options.memtable_bytes);
    let renewed = db.keyspace(name, wide).map_err(engine)?;
    step("made");
    let mend = db.keyspace(MEND, create).map_err(engine)?;
    let mut to = renewed.start_ingestion().map_err(engine)?;
    for guard in db.snapshot().iter(&mend) {
        let (key, value) = guard.into_inner().map_err(engine)?;
        to.write(key, value).map_err(engine)?;
        step("half filled");
    }
    to.finish().map_err(engine)?;
    step("filled");
    // Its ledger begins anew.
    let meta = db.keyspace(META, create).map_err(engine)?;
    meta.remove(touched_key(name)).map_err(engine)?;
    db.persist(PersistMode::SyncAll).map_err(engine)?;
    step("its ledger begins anew");
    fs::remove_file(path.join(NOTE)).map_err(|e| fault::io(path, &e))?;
    step("the note is gone");
    db.delete_keyspace(mend).map_err(engine)?;
    step("what was saved is gone");
    Ok(())
}
