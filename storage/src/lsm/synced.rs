//! Up to which epoch the journal was handed to the disk: a store that opens below it has lost
//! something that no crash can lose.
//!
//! Sixteen bytes in the file `synced`: the epoch and its checksum, written in place after each
//! sync. The file may lag behind the disk, and never runs ahead of it. Torn, it says nothing.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

const FILE: &str = "synced";

/// Remembers an epoch.
pub(super) fn write(store: &Path, epoch: u64) -> io::Result<()> {
    let mut file =
        OpenOptions::new().create(true).write(true).truncate(false).open(store.join(FILE))?;
    file.write_all(&encode(epoch))
}

/// The epoch remembered; 0 if there is none.
pub(super) fn read(store: &Path) -> io::Result<u64> {
    let bytes = match std::fs::read(store.join(FILE)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        bytes => bytes?,
    };
    let Some(epoch) = bytes.first_chunk().map(|b| u64::from_le_bytes(*b)) else { return Ok(0) };
    Ok(if bytes == encode(epoch) { epoch } else { 0 })
}

fn encode(epoch: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&epoch.to_le_bytes());
    let crc = u64::from(crc32fast::hash(&bytes[..8]));
    bytes[8..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_file_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), 0);
        write(dir.path(), 41).unwrap();
        write(dir.path(), 42).unwrap();
        assert_eq!(read(dir.path()).unwrap(), 42);
        let mut bytes = encode(43);
        bytes[0] ^= 1;
        std::fs::write(dir.path().join(FILE), bytes).unwrap();
        assert_eq!(read(dir.path()).unwrap(), 0);
        std::fs::write(dir.path().join(FILE), &encode(43)[..5]).unwrap();
        assert_eq!(read(dir.path()).unwrap(), 0);
    }
}
