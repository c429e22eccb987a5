//! One file of a local topic: a header, then frames.
//!
//! ```text
//! header  "PTLNLOG1", first offset (i64)
//! frame   length of the payload (u32), CRC-32 (u32), stamp (u64), payload      little-endian
//! ```
//!
//! The checksum covers offset, stamp and payload, so that neither a torn frame nor one of another
//! place passes for a record.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use portolan_model::Nanos;

use super::LocalRecord;
use crate::lsm::sync_dir;

const MAGIC: &[u8; 8] = b"PTLNLOG1";
const HEADER: u64 = 16;
const FRAME: usize = 16;
/// Longer payloads than any receiver takes are damage: the largest message is 1 GiB.
const LONGEST: u32 = 1 << 30;
const SUFFIX: &str = ".log";

/// See the module.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    base: i64,
    end: i64,
    bytes: u64,
    /// Open for writing, if it is the last.
    file: Option<File>,
    /// Where a record begins, so that reading on does not begin at the front: offset and place.
    mark: (i64, u64),
}

/// A frame's record, and the bytes it takes.
struct Frame {
    record: LocalRecord,
    bytes: u64,
}

/// The first offset that a file name says.
pub(super) fn base_of(file: &str) -> Option<i64> {
    file.strip_suffix(SUFFIX)?.parse().ok().filter(|base| *base >= 0)
}

/// Bytes that a payload takes.
pub(super) fn frame_bytes(payload: usize) -> u64 {
    (FRAME + payload) as u64
}

fn path_of(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("{base:020}{SUFFIX}"))
}

// === impl Segment ===

impl Segment {
    /// A new one. It is there after a power loss.
    pub(super) fn create(dir: &Path, base: i64) -> io::Result<Self> {
        let path = path_of(dir, base);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        file.write_all(&header(base))?;
        file.sync_all()?;
        sync_dir(dir)?;
        let mark = (base, HEADER);
        Ok(Self { path, base, end: base, bytes: HEADER, file: Some(file), mark })
    }

    /// One that is followed by another, which begins at `next`.
    pub(super) fn sealed(dir: &Path, base: i64, next: i64) -> io::Result<Option<Self>> {
        let path = path_of(dir, base);
        let bytes = fs::metadata(&path)?.len();
        Ok(Some(Self { path, base, end: next, bytes, file: None, mark: (base, HEADER) }))
    }

    /// The last one: what a crash left half-written is cut off. One without a header is nothing.
    pub(super) fn last(dir: &Path, base: i64) -> io::Result<Option<Self>> {
        let path = path_of(dir, base);
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut head = [0; HEADER as usize];
        if read_up_to(&mut file, &mut head)? < head.len() || head != header(base) {
            fs::remove_file(&path)?;
            return Ok(None);
        }
        let mut reader = io::BufReader::new(&mut file);
        let (mut end, mut bytes) = (base, HEADER);
        while let Some(frame) = next_frame(&mut reader, end)? {
            end += 1;
            bytes += frame.bytes;
        }
        drop(reader);
        if file.metadata()?.len() > bytes {
            file.set_len(bytes)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(bytes))?;
        Ok(Some(Self { path, base, end, bytes, file: Some(file), mark: (base, HEADER) }))
    }

    pub(super) fn base(&self) -> i64 {
        self.base
    }

    pub(super) fn end(&self) -> i64 {
        self.end
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether records can be appended.
    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Takes no more records.
    pub(super) fn seal(&mut self) {
        self.file = None;
    }

    /// Appends all or nothing.
    pub(super) fn append(&mut self, stamp: Nanos, payloads: &[&[u8]]) -> io::Result<()> {
        let mut written = Vec::new();
        for (place, payload) in payloads.iter().enumerate() {
            let offset = self.end + place as i64;
            let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
            written.extend(length.to_le_bytes());
            written.extend(checksum(offset, stamp, payload).to_le_bytes());
            written.extend(stamp.to_le_bytes());
            written.extend(*payload);
        }
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("the segment is sealed"))?;
        let done = file.write_all(&written).and_then(|()| file.sync_data());
        if let Err(error) = done {
            // What is half there must not stand before what comes next. If not even that works,
            // another segment follows, and this one's tail fails its checksums.
            let cut =
                file.set_len(self.bytes).and_then(|()| file.seek(SeekFrom::Start(self.bytes)));
            if cut.is_err() {
                self.file = None;
            }
            return Err(error);
        }
        self.bytes += written.len() as u64;
        self.end += payloads.len() as i64;
        Ok(())
    }

    /// Reads from an offset on, up to about `most` bytes, or to what does not read.
    pub(super) fn read(&mut self, from: i64, most: usize) -> io::Result<Vec<LocalRecord>> {
        let (mut offset, mut at) =
            if from >= self.mark.0 { self.mark } else { (self.base, HEADER) };
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(at))?;
        let mut reader = io::BufReader::with_capacity(1 << 16, file);
        let mut records = Vec::new();
        let mut read = 0;
        while offset < self.end && read < most {
            let Some(frame) = next_frame(&mut reader, offset)? else { break };
            offset += 1;
            at += frame.bytes;
            if frame.record.offset >= from {
                read += frame.record.payload.len() + FRAME;
                records.push(frame.record);
            }
        }
        self.mark = (offset, at);
        Ok(records)
    }

    /// Deletes the file.
    pub(super) fn delete(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn header(base: i64) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&base.to_le_bytes());
    header
}

fn checksum(offset: i64, stamp: Nanos, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&stamp.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The frame that begins here; none at the end, or where it is not whole.
fn next_frame(reader: &mut impl Read, offset: i64) -> io::Result<Option<Frame>> {
    let mut head = [0; FRAME];
    if read_up_to(reader, &mut head)? < FRAME {
        return Ok(None);
    }
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (length, sum) = (word(0), word(4));
    let stamp = u64::from(word(8)) | u64::from(word(12)) << 32;
    if length > LONGEST {
        return Ok(None);
    }
    let mut payload = Vec::new();
    // Taken as it comes, so that a damaged length asks for no more memory than the file has.
    reader.take(u64::from(length)).read_to_end(&mut payload)?;
    if payload.len() < length as usize || checksum(offset, stamp, &payload) != sum {
        return Ok(None);
    }
    let bytes = frame_bytes(payload.len());
    Ok(Some(Frame { record: LocalRecord { offset, stamp, payload }, bytes }))
}

/// Fills the buffer as far as there is something; how far.
fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
