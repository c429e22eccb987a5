//! A copy of a running store, in the time it takes to link its tables and copy its journals.
//!
//! Tables are never changed once written, so the copy links them and costs no room until the store
//! lets go of them; everything else is small or, as the journals, copied without the zeros that
//! the engine allocates ahead. The writer is held up meanwhile, so no row is new; flushes and
//! compactions go on, and only move rows that are already there. Hence the order: journals first,
//! then each tree. What leaves a journal for a table in between is in the tree, and rows that are
//! in both are told apart by the engine's sequence numbers, as after any crash.
//!
//! A copy is not good until it has been opened and checked: [`PendingCopy::finish`] does, and can
//! run on another thread. A table damaged on the disk is damaged in both: against that the answer
//! is Kafka, or a copy on another disk.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{FjallStore, Options, synced};
use crate::{Error, ReadCheckpoint};

/// Tries to catch a tree between two compactions. A try takes milliseconds, a compaction much
/// longer: a handful would do.
const TRIES: u32 = 100;

/// Bytes read at a time, and the smallest run of zeros at the end of a file that is left out.
pub(super) const CHUNK: usize = 1 << 20;

/// The file that names the version of a tree, and the tables beside it (`lsm-tree` 3).
const CURRENT: &str = "current";
const TABLES: &str = "tables";
const KEYSPACES: &str = "keyspaces";

/// The files of a copy, not yet known to open.
#[must_use = "a copy is not good until it is finished"]
pub struct PendingCopy {
    to: PathBuf,
    epoch: u64,
}

// === impl FjallStore ===

impl FjallStore {
    /// Begins a copy at `to`: on the same file system, and not inside the store. No epoch can be
    /// committed meanwhile (milliseconds, and as long as up to [`Options::journal_bytes`] take to copy).
    pub fn begin_copy(&mut self, to: &Path) -> Result<PendingCopy, Error> {
        let shared = &self.shared;
        let part = with_suffix(to, ".new");
        let epoch = self.checkpoint.epoch;
        copy_store(&shared.path, &part).map_err(|e| shared.io(e))?;
        synced::write(&part, epoch).map_err(|e| shared.io(e))?;
        Ok(PendingCopy { to: to.to_owned(), epoch })
    }

    /// Copies the store to `to` and checks the copy, which holds the last committed epoch.
    pub fn copy_to(&mut self, to: &Path) -> Result<u64, Error> {
        self.begin_copy(to)?.finish()
    }
}

// === impl PendingCopy ===

impl PendingCopy {
    /// Checks that the copy opens at its epoch, and puts it in the place of the last good one. The
    /// epoch of the copy comes back.
    pub fn finish(self) -> Result<u64, Error> {
        let (part, epoch) = (self.path(), self.check()?);
        let failed = |e: io::Error| super::fault::io(&self.to, &e);
        let old = with_suffix(&self.to, ".old");
        remove(&old).map_err(failed)?;
        if self.to.exists() {
            fs::rename(&self.to, &old).map_err(failed)?;
        }
        fs::rename(&part, &self.to).map_err(failed)?;
        sync_parent(&self.to).map_err(failed)?;
        remove(&old).map_err(failed)?;
        Ok(epoch)
    }

    /// Where it is, until it is finished.
    pub(super) fn path(&self) -> PathBuf {
        with_suffix(&self.to, ".new")
    }

    /// Checks that the copy opens at its epoch.
    pub(super) fn check(&self) -> Result<u64, Error> {
        let path = self.path();
        let epoch = FjallStore::open_stored(&path, &Options::small())?.checkpoint()?.epoch;
        if epoch == self.epoch {
            return Ok(epoch);
        }
        let detail = format!("the copy has epoch {epoch}, not {}", self.epoch);
        Err(Error::Damaged { path: path.display().to_string(), detail })
    }
}

/// Copies a store that no one writes to; used for running stores by [`FjallStore::begin_copy`].
pub(crate) fn copy_store(from: &Path, to: &Path) -> io::Result<()> {
    remove(to)?;
    fs::create_dir_all(to)?;
    for (number, path) in journals(from)? {
        // A journal that is gone by now has all its rows in tables.
        unless_gone(copy_journal(&path, &to.join(format!("{number}.jnl"))))?;
    }
    copy_file(&from.join("version"), &to.join("version"))?;
    unless_gone(copy_file(&from.join("synced"), &to.join("synced")))?;
    File::create(to.join("lock"))?;
    let trees = to.join(KEYSPACES);
    fs::create_dir(&trees)?;
    for entry in fs::read_dir(from.join(KEYSPACES))? {
        let entry = entry?;
        // Without a version, a tree is one that was being made or deleted.
        if entry.file_type()?.is_dir() && entry.path().join(CURRENT).try_exists()? {
            copy_tree(&entry.path(), &trees.join(entry.file_name()))?;
        }
    }
    sync_dir(&trees)?;
    sync_dir(to)?;
    sync_parent(to)
}

/// Copies one tree: the version that is current, if it stays so until all its tables are linked.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        remove(to)?;
        fs::create_dir_all(to.join(TABLES))?;
        let current = match fs::read(from.join(CURRENT)) {
            // The tree of an expired bucket, gone meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return remove(to),
            current => current?,
        };
        let torn = || io::Error::new(io::ErrorKind::InvalidData, "a version is unreadable");
        let number = current.first_chunk().map(|b| u64::from_le_bytes(*b)).ok_or_else(torn)?;
        let version = format!("v{number}");
        let linked = copy_file(&from.join(&version), &to.join(&version))
            .and_then(|()| link_tables(&from.join(TABLES), &to.join(TABLES)));
        match linked {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            linked => linked?,
        }
        // Tables are deleted only after another version has become the current one.
        match fs::read(from.join(CURRENT)) {
            Ok(now) if now == current => {
                let mut file = File::create(to.join(CURRENT))?;
                file.write_all(&current)?;
                file.sync_all()?;
                sync_dir(&to.join(TABLES))?;
                return sync_dir(to);
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "the store never held still for a copy"))
}

fn link_tables(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::hard_link(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The journals of a store, oldest first.
fn journals(store: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str());
        let number = name.and_then(|n| n.strip_suffix(".jnl")).and_then(|n| n.parse().ok());
        found.extend(number.map(|n| (n, path)));
    }
    found.sort_unstable();
    Ok(found)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

/// Copies a journal without the zeros at its end, which are room allocated ahead. The engine takes
/// zeros and the end of the file for the same thing, and the last byte of a batch is not zero.
fn copy_journal(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut to = File::create(to)?;
    let mut chunk = vec![0; CHUNK];
    let mut zeros = 0_u64;
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            return to.sync_all();
        }
        let used = chunk[..read].iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        if used > 0 {
            io::copy(&mut io::repeat(0).take(zeros), &mut to)?;
            to.write_all(&chunk[..used])?;
            zeros = 0;
        }
        zeros += (read - used) as u64;
    }
}

pub(crate) fn unless_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Removes a directory, if it is there.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    unless_gone(fs::remove_dir_all(dir))
}

/// A path with something behind its last name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Makes renames inside the parent of `path` last.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes what was made or removed in a directory last.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
