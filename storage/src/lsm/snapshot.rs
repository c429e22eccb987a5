//! A snapshot: a copy of a store, running or not, in a directory of one's own choice, with the local topics that its
//! offsets speak of. What is served from it goes on from those offsets.
//!
//! The writer is held up for as long as [`FjallStore::begin_copy`] takes: the copy is made beside the store, of links.
//! Then, without holding up anybody, it is opened and checked, and moved to its place; to another file system byte by byte.
//! On the same file system it shares the tables with the store, as the last good copy does.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::copy::{CHUNK, PendingCopy, remove, sync_dir, sync_parent, with_suffix};
use super::{FjallStore, fault};
use crate::Error;
use crate::local::{copy_topics, local_topics};

/// A snapshot beside its store: checked and moved to its place by [`Self::finish`].
#[must_use = "a snapshot is not there until it is finished"]
pub struct PendingSnapshot {
    copy: PendingCopy,
    local: PathBuf,
}

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMade {
    /// The last epoch that it holds.
    pub epoch: u64,
    /// Bytes in its files, those included that it shares with the store.
    pub bytes: u64,
    /// Whether it shares tables with the store: no protection against a disk that fails.
    pub shared: bool,
}

/// How far a snapshot is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SnapshotStep {
    /// It is opened, and its ledgers are read.
    Checking,
    /// It is moved to its place, or copied if that is another file system.
    Moving {
        /// Bytes that are there.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
}

/// A file without which a directory is no store: it comes last.
const LAST: &str = "version";

/// Fails unless a snapshot of `store` could be put at `to`: see [`prepare_directory`].
pub fn prepare_snapshot(store: &Path, to: &Path) -> Result<(), Error> {
    let absolute = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let (inner, outer) = (absolute(to), absolute(store));
    if inner.ok().zip(outer.ok()).is_some_and(|(to, store)| to.starts_with(store)) {
        let problem = "it lies inside the store".into();
        return Err(Error::Target { path: to.display().to_string(), problem });
    }
    prepare_directory(to)
}

/// Fails unless a store could be put at `to`: an empty directory, or none yet, that can be written to. It is made.
pub fn prepare_directory(to: &Path) -> Result<(), Error> {
    let target = |problem: String| Error::Target { path: to.display().to_string(), problem };
    let failed = |e: &io::Error| target(said(e));
    for path in [to.to_owned(), local_topics(to)] {
        match fs::read_dir(&path).map(|mut entries| entries.next().is_some()) {
            Ok(true) => {
                let path = path.display().to_string();
                let problem = "it exists and is not empty".into();
                return Err(Error::Target { path, problem });
            }
            Ok(false) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                return Err(target("it exists and is not a directory".into()));
            }
            Err(e) => return Err(failed(&e)),
        }
    }
    fs::create_dir_all(to).map_err(|e| failed(&e))?;
    // Whether one may write there is best found out by doing so.
    let probe = to.join(".portolan");
    File::create(&probe).and_then(|_| fs::remove_file(&probe)).map_err(|e| failed(&e))
}

// === impl FjallStore ===

impl FjallStore {
    /// Begins a snapshot of the last committed epoch. No epoch can be committed meanwhile; see [`Self::begin_copy`].
    pub fn begin_snapshot(&mut self) -> Result<PendingSnapshot, Error> {
        let store = self.path().to_owned();
        let copy = self.begin_copy(&with_suffix(&store, STAGED))?;
        let local = with_suffix(&copy.path(), ".local");
        // While no epoch is committed, no topic lets go of what the copy has not read.
        copy_topics(&local_topics(&store), &local).map_err(|e| fault::io(&store, &e))?;
        Ok(PendingSnapshot { copy, local })
    }
}

/// Behind the path of a store: a snapshot that is not in its place yet.
const STAGED: &str = ".snapshot";

/// Removes what a snapshot that was cut off left beside a store. Only for whoever has the store open.
pub(crate) fn remove_staged(store: &Path) -> io::Result<()> {
    let staged = with_suffix(&with_suffix(store, STAGED), ".new");
    remove(&with_suffix(&staged, ".local"))?;
    remove(&staged)
}

// === impl PendingSnapshot ===

impl PendingSnapshot {
    /// Checks the snapshot and puts it at `to`, which [`prepare_snapshot`] has seen. On error nothing is left of it.
    pub fn finish(
        self,
        to: &Path,
        told: &mut dyn FnMut(SnapshotStep),
    ) -> Result<SnapshotMade, Error> {
        let staged = self.copy.path();
        let done = self.put(to, told);
        let removed = remove(&self.local).and_then(|()| remove(&staged));
        if done.is_err() {
            let _ = remove(&local_topics(to)).and_then(|()| remove(to));
        }
        let snapshot = done?;
        removed.map_err(|e| fault::io(&staged, &e))?;
        Ok(snapshot)
    }

    fn put(&self, to: &Path, told: &mut dyn FnMut(SnapshotStep)) -> Result<SnapshotMade, Error> {
        told(SnapshotStep::Checking);
        let epoch = self.copy.check()?;
        let failed =
            |e: io::Error| Error::Target { path: to.display().to_string(), problem: said(&e) };
        let (staged, local) = (self.copy.path(), local_topics(to));
        let total = bytes(&staged).and_then(|b| Ok(b + bytes(&self.local)?)).map_err(failed)?;
        let mut moving = Moving { done: 0, total, shared: true, told };
        (moving.told)(SnapshotStep::Moving { done: 0, total });
        if self.local.try_exists().map_err(failed)? {
            moving.entries(&self.local, &local).map_err(failed)?;
            sync_parent(&local).map_err(failed)?;
        }
        moving.entries(&staged, to).map_err(failed)?;
        sync_parent(to).map_err(failed)?;
        let shared = moving.shared;
        Ok(SnapshotMade { epoch, bytes: total, shared })
    }
}

/// A snapshot on its way to its place.
struct Moving<'a> {
    done: u64,
    total: u64,
    /// Nothing had to be copied.
    shared: bool,
    told: &'a mut dyn FnMut(SnapshotStep),
}

// === impl Moving ===

impl Moving<'_> {
    /// Moves what is in a directory into another.
    fn entries(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(from)? {
            names.push(entry?.file_name());
        }
        names.sort_by_key(|name| (name == LAST, name.clone()));
        for name in names {
            self.entry(&from.join(&name), &to.join(&name))?;
        }
        sync_dir(to)
    }

    fn entry(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let size = bytes(from)?;
        match fs::rename(from, to) {
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
                self.shared = false;
                if from.is_dir() { self.entries(from, to) } else { self.copy(from, to) }
            }
            moved => {
                moved?;
                self.tell(size);
                Ok(())
            }
        }
    }

    fn copy(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut from, mut to) = (File::open(from)?, File::create(to)?);
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = from.read(&mut chunk)?;
            if read == 0 {
                return to.sync_all();
            }
            to.write_all(&chunk[..read])?;
            self.tell(read as u64);
        }
    }

    fn tell(&mut self, more: u64) {
        self.done += more;
        (self.told)(SnapshotStep::Moving { done: self.done, total: self.total });
    }
}

/// Bytes of a file, or of all files in a directory; none if it is not there.
fn bytes(path: &Path) -> io::Result<u64> {
    let meta = match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        meta => meta?,
    };
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        sum += bytes(&entry?.path())?;
    }
    Ok(sum)
}

/// An error of the operating system, without its number.
fn said(error: &io::Error) -> String {
    error.kind().to_string()
}
