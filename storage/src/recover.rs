//! A store that does not open: set apart, and begun again from the last good copy, or refused with
//! the steps that do so by hand.
//!
//! Beside a store at `portolan` stand `portolan.good`, the last copy that was seen to open, and
//! `portolan.damaged-SECONDS`, what was set apart. Nothing is ever deleted but half-made copies.
//! What the copy lacks is read again from Kafka, because its offsets are those of its rows.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use portolan_model::WindowLen;

use crate::lsm::{copy_store, io_error, remove, remove_staged, sync_parent, with_suffix};
use crate::{Error, FjallStore, Options};

/// What to do with a store that is damaged.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum OnDamage {
    /// Set it apart and go on from the last good copy, or from nothing.
    #[default]
    Recover,
    /// Touch nothing, and say what to do.
    Refuse,
}

/// What was done about a damaged store: to be shown, loudly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Where the damaged store is now.
    pub set_apart: PathBuf,
    /// The copy that the store goes on from; none if it begins empty.
    pub restored_from: Option<PathBuf>,
    /// What was wrong.
    pub reason: String,
}

/// In a store that was just put in place: what was done. Written last, so that a store that has it
/// is complete.
const NOTE: &str = "recovery";

/// Where the last good copy of a store is kept.
pub fn good_copy(path: &Path) -> PathBuf {
    with_suffix(path, ".good")
}

/// Opens a store, and if it is damaged does what the policy says. `now_secs` is seconds since 1970,
/// and names what is set apart.
///
/// # Errors
///
/// Those of [`FjallStore::open`], and [`Error::Refused`] by the policy [`OnDamage::Refuse`].
pub fn open_or_recover(
    path: &Path,
    len: WindowLen,
    options: &Options,
    policy: OnDamage,
    now_secs: u64,
) -> Result<(FjallStore, Option<Recovery>), Error> {
    let failed = |e: io::Error| io_error(path, &e);
    finish_interrupted(path).map_err(failed)?;
    let detail = match FjallStore::open(path, len, options) {
        Err(Error::Damaged { detail, .. }) => detail,
        opened => {
            let store = opened?;
            remove_staged(path).map_err(failed)?;
            let recovery = take_note(path).map_err(failed)?;
            return Ok((store, recovery));
        }
    };
    if policy == OnDamage::Refuse {
        return Err(refused(path, &detail));
    }
    tracing::error!(store = %path.display(), reason = detail, "the store is damaged");
    replace(path, len, detail, now_secs)?;
    let store = FjallStore::open(path, len, options)?;
    let recovery = take_note(path).map_err(failed)?;
    Ok((store, recovery))
}

/// Builds the next store, then swaps it in: two renames, and a crash between them is finished by
/// the next open.
fn replace(path: &Path, len: WindowLen, mut reason: String, now_secs: u64) -> Result<(), Error> {
    let failed = |e: io::Error| io_error(path, &e);
    let next = restoring(path);
    let mut restored_from = None;
    for copy in [good_copy(path), with_suffix(&good_copy(path), ".old")] {
        if !copy.exists() {
            continue;
        }
        copy_store(&copy, &next).map_err(failed)?;
        match FjallStore::open(&next, len, &Options::small()) {
            Ok(_) => {
                restored_from = Some(copy);
                break;
            }
            Err(Error::Damaged { detail, .. }) => {
                reason = format!("{reason}; and its copy {}: {detail}", copy.display());
            }
            Err(e) => return Err(e),
        }
    }
    if restored_from.is_none() {
        remove(&next).map_err(failed)?;
        drop(FjallStore::open(&next, len, &Options::small())?);
    }
    let set_apart = apart(path, now_secs);
    let recovery = Recovery { set_apart, restored_from, reason };
    put_note(&next, &recovery).map_err(failed)?;
    fs::rename(path, &recovery.set_apart).map_err(failed)?;
    fs::rename(&next, path).map_err(failed)?;
    sync_parent(path).map_err(failed)
}

/// A crash between the two renames left no store, but one that is ready.
fn finish_interrupted(path: &Path) -> io::Result<()> {
    let next = restoring(path);
    if !path.try_exists()? && next.join(NOTE).try_exists()? {
        fs::rename(&next, path)?;
        return sync_parent(path);
    }
    remove(&next)
}

fn restoring(path: &Path) -> PathBuf {
    with_suffix(path, ".restoring")
}

/// A name that nothing has yet.
fn apart(path: &Path, now_secs: u64) -> PathBuf {
    let plain = with_suffix(path, &format!(".damaged-{now_secs}"));
    let more = (2_u32..).map(|n| with_suffix(path, &format!(".damaged-{now_secs}-{n}")));
    let free = std::iter::once(plain.clone()).chain(more).find(|p| !p.exists());
    free.unwrap_or(plain)
}

/// Three lines: what was set apart, the copy (or an empty line), and the reason.
fn put_note(store: &Path, recovery: &Recovery) -> io::Result<()> {
    let copy = recovery.restored_from.clone().unwrap_or_default();
    let mut file = File::create(store.join(NOTE))?;
    let (apart, copy) = (recovery.set_apart.display(), copy.display());
    write!(file, "{apart}\n{copy}\n{}", recovery.reason)?;
    file.sync_all()
}

/// Reads the note and removes it: it is reported once, or again if this is cut off.
fn take_note(store: &Path) -> io::Result<Option<Recovery>> {
    let text = match fs::read_to_string(store.join(NOTE)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    fs::remove_file(store.join(NOTE))?;
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let set_apart = line().into();
    let copy = line();
    let restored_from = (!copy.is_empty()).then(|| copy.into());
    Ok(Some(Recovery { set_apart, restored_from, reason: line().to_owned() }))
}

fn refused(path: &Path, detail: &str) -> Error {
    let (store, good) = (path.display(), good_copy(path));
    let restore = if good.exists() {
        format!("'cp -a {} {store}' to go on from the last good copy", good.display())
    } else {
        format!(
            "there is no good copy: 'cp -a SNAPSHOT {store}' with one of 'portolan store snapshot', or nothing: it will \
             begin empty, and read Kafka from the start"
        )
    };
    Error::Refused {
        path: path.display().to_string(),
        detail: detail.to_owned(),
        steps: format!(
            "1. stop every process that uses it; 2. 'mv {store} {store}.damaged'; 3. {restore}; \
             4. start again"
        ),
    }
}
