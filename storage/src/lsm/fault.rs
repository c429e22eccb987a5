//! What an error of the engine means to us.

use std::io;
use std::path::Path;

use fjall::{JournalRecoveryError, LsmError};

use super::{Shared, mend};
use crate::Error;

/// Left in the directory by a store that met damage while it ran: the next open says so, instead
/// of running into it again.
pub(super) const MARK: &str = "damaged";

/// Bytes that must be free before a store that ran into a full disk is opened anew: a journal, which has 64 MiB, and what was
/// in memory. With less it would soon stand still again.
const ROOM: u128 = 128 << 20;

/// Whether the disk has room for going on; unknown is yes, and an attempt shows it.
fn has_room(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path).map_or(true, |fs| {
        u128::from(fs.blocks_available()) * u128::from(fs.fragment_size()) >= ROOM
    })
}

/// Translates an error of the engine.
pub(super) fn translate(path: &Path, error: &fjall::Error) -> Error {
    let shown = || path.display().to_string();
    let damaged = |detail: String| Error::Damaged { path: shown(), detail };
    match error {
        // What has failed it keeps to itself. As long as there is no room, that is what it was, or will be.
        fjall::Error::Poisoned if !has_room(path) => Error::Full { path: shown() },
        fjall::Error::Poisoned => Error::Stopped { path: shown() },
        fjall::Error::Locked => Error::Locked { path: shown() },
        fjall::Error::Io(e) | fjall::Error::Storage(LsmError::Io(e)) => io(path, e),
        fjall::Error::JournalRecovery(JournalRecoveryError::ChecksumMismatch) => {
            damaged("a batch in the journal does not match its checksum".into())
        }
        fjall::Error::JournalRecovery(e) => damaged(format!("the journal is broken: {e:?}")),
        fjall::Error::InvalidVersion(Some(version)) => Error::Io(
            format!("store {} was written by engine version {version}", path.display()).into(),
        ),
        fjall::Error::InvalidVersion(None) => damaged("the version marker is unreadable".into()),
        fjall::Error::Storage(e) => damaged(format!("a table is broken: {e:?}")),
        fjall::Error::Decompress(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::InvalidTag(_)
        | fjall::Error::Unrecoverable => damaged(format!("{error:?}")),
        other => Error::Io(format!("{other:?}").into()),
    }
}

/// Whether bytes on the disk are not what was written.
pub(super) fn is_damage(path: &Path, error: &fjall::Error) -> bool {
    matches!(translate(path, error), Error::Damaged { .. })
}

/// Translates an error of the operating system.
pub(crate) fn io(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::Full { path: path.display().to_string() }
        }
        // A file that is shorter than its own description, or gone.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Error::Damaged {
            path: path.display().to_string(),
            detail: format!("a file is broken: {error}"),
        },
        kind => Error::Io(Box::new(io::Error::new(kind, error.to_string()))),
    }
}

// === impl Shared ===

impl Shared {
    /// Translates an error met while running; damage is marked for the next open.
    pub(super) fn fault(&self, error: &fjall::Error) -> Error {
        self.marked(translate(&self.path, error))
    }

    /// What a damaged table is, where the rest can be served without it; other errors are errors.
    pub(super) fn damage(&self, error: &fjall::Error) -> Result<String, Error> {
        match translate(&self.path, error) {
            Error::Damaged { detail, .. } => Ok(detail),
            other => Err(other),
        }
    }

    /// Translates an error of the operating system.
    #[expect(clippy::needless_pass_by_value, reason = "it is the tail of map_err")]
    pub(super) fn io(&self, error: io::Error) -> Error {
        io(&self.path, &error)
    }

    /// Bytes that do not decode.
    pub(super) fn damaged(&self, detail: impl Into<String>) -> Error {
        self.marked(Error::Damaged { path: self.path.display().to_string(), detail: detail.into() })
    }

    fn marked(&self, error: Error) -> Error {
        if let Error::Stopped { .. } = &error {
            mend::mark(&self.path);
        }
        if let Error::Damaged { detail, .. } = &error {
            tracing::error!(store = %self.path.display(), detail, "the store is damaged; the next start sets it apart");
            // Best effort: without the mark the next open may meet the damage by itself.
            if let Err(e) = std::fs::write(self.path.join(MARK), detail) {
                tracing::warn!(error = %e, "could not mark the store as damaged");
            }
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_named_as_such() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = translate(Path::new("/s"), &fjall::Error::Storage(LsmError::Io(full)));
        assert!(matches!(error, Error::Full { path } if path == "/s"));
        let full = io::Error::from_raw_os_error(28);
        assert!(matches!(translate(Path::new("/s"), &full.into()), Error::Full { .. }));
    }

    #[test]
    fn broken_table_is_damage_and_a_broken_wire_is_not() {
        let broken = fjall::Error::Storage(LsmError::InvalidTrailer);
        assert!(matches!(translate(Path::new("/s"), &broken), Error::Damaged { .. }));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(matches!(translate(Path::new("/s"), &denied.into()), Error::Io(_)));
    }
}
