//! Local topics: append-only logs beside the store, for what reaches Portolan by other ways than
//! Kafka, so that it is read as a partition of Kafka is: by offsets that the store commits, and again
//! after a restart.
//!
//! ```text
//! portolan-store.local/inventory/00000000000000000000.log    segments, named by their first offset
//!                                00000000000000016384.log
//! ```
//!
//! Invariants:
//! 1. What [`LocalTopic::append`] answers for is on the disk: no offset that a store commits is
//!    ahead of its log.
//! 2. An offset means one record for ever: a log that lost its tail, or was deleted, goes on behind
//!    what the store has read.
//! 3. A torn tail (a crash while writing) is cut off when the log is opened; nothing of it was
//!    answered for.
//! 4. No topic takes more than its bound; one that is full refuses, and says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portolan_model::Nanos;

use crate::lsm::{io_error, remove, sync_dir, unless_gone, with_suffix};
use crate::{Checkpoint, Error};

mod segment;
#[cfg(test)]
mod tests;

use segment::Segment;

/// What local topics are called where Kafka's have the name of their cluster.
pub const LOCAL: &str = "local";

/// Bounds of a topic.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct LocalLimits {
    /// A segment that is this long is followed by another.
    pub segment_bytes: u64,
    /// Records that are in the graph are kept up to this many bytes: what a damaged store reads again.
    pub keep_bytes: u64,
    /// More than this is refused.
    pub max_bytes: u64,
}

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalRecord {
    /// Its place.
    pub offset: i64,
    /// When it was appended.
    pub stamp: Nanos,
    /// What.
    pub payload: Vec<u8>,
}

/// Records in their order, and where reading goes on. Offsets before that which are not among the
/// records are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalRead {
    /// Records.
    pub records: Vec<LocalRecord>,
    /// Next offset to read.
    pub next: i64,
}

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The line is behind by all that the topic may hold.
    #[error("local topic {0} is full: the line does not keep up")]
    Crowded(String),
    /// The disk did not take it.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The local topics of one store.
#[derive(Debug)]
pub struct LocalTopics {
    topics: Vec<Arc<LocalTopic>>,
    bell: Arc<Bell>,
}

/// One local topic: a single partition.
#[derive(Debug)]
pub struct LocalTopic {
    name: String,
    dir: PathBuf,
    limits: LocalLimits,
    bell: Arc<Bell>,
    log: Mutex<Log>,
}

/// Wakes whoever waits for records.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<u64>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Log {
    segments: Vec<Segment>,
    /// Offset of the next record to be appended.
    next: i64,
}

/// Where the local topics of a store are kept.
pub fn local_topics(store: &Path) -> PathBuf {
    with_suffix(store, ".local")
}

/// Copies the topics of a store while they may be appended to: all but the last segment of each never change, and are
/// linked. Nothing may be released meanwhile. What is torn off the last one was not answered for when this began.
pub(crate) fn copy_topics(from: &Path, to: &Path) -> io::Result<()> {
    remove(to)?;
    if !from.try_exists()? {
        return Ok(());
    }
    for topic in fs::read_dir(from)? {
        let topic = topic?;
        if !topic.file_type()?.is_dir() {
            continue;
        }
        let (from, to) = (topic.path(), to.join(topic.file_name()));
        fs::create_dir_all(&to)?;
        let mut names = Vec::new();
        for file in fs::read_dir(&from)? {
            let name = file?.file_name();
            names.extend(name.to_str().and_then(segment::base_of).map(|base| (base, name)));
        }
        names.sort();
        let last = names.pop();
        for (_, name) in &names {
            fs::hard_link(from.join(name), to.join(name))?;
        }
        if let Some((_, name)) = last {
            // One without a record gives way to one of the same name.
            unless_gone(fs::copy(from.join(&name), to.join(&name)).map(|_| ()))?;
        }
        sync_dir(&to)?;
    }
    sync_dir(to)
}

// === impl LocalLimits ===

impl Default for LocalLimits {
    fn default() -> Self {
        // A segment is read through once in about 10 ms; an hour of 100 KB/s stays for a damaged
        // store; a gigabyte is several minutes of what one core decodes.
        Self { segment_bytes: 16 << 20, keep_bytes: 256 << 20, max_bytes: 1 << 30 }
    }
}

// === impl LocalTopics ===

impl LocalTopics {
    /// Opens these topics of the store whose last commit is `checkpoint`; makes what is not there.
    pub fn open(
        dir: &Path,
        names: &[&str],
        limits: LocalLimits,
        checkpoint: &Checkpoint,
    ) -> Result<Self, Error> {
        let bell = Arc::new(Bell::default());
        let topics = names.iter().map(|name| {
            let read = checkpoint.positions.iter().map(|p| (&p.partition, p.next));
            let read = read.filter(|(p, _)| &*p.cluster == LOCAL && &*p.topic == *name);
            let read = read.map(|(_, next)| next).max().unwrap_or(0);
            LocalTopic::open(dir, name, limits, read, Arc::clone(&bell)).map(Arc::new)
        });
        Ok(Self { topics: topics.collect::<Result<_, _>>()?, bell })
    }

    /// The topics, in the order in which they were asked for.
    pub fn all(&self) -> &[Arc<LocalTopic>] {
        &self.topics
    }

    /// How often a topic has grown.
    pub fn rung(&self) -> u64 {
        *self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until topics have grown more often than `seen`, at most for `timeout`.
    pub fn wait(&self, seen: u64, timeout: Duration) {
        let rung = self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.bell.moved.wait_timeout_while(rung, timeout, |rung| *rung <= seen));
    }
}

// === impl LocalTopic ===

impl LocalTopic {
    /// Opens it behind `read`, which the store has read.
    fn open(
        dir: &Path,
        name: &str,
        limits: LocalLimits,
        read: i64,
        bell: Arc<Bell>,
    ) -> Result<Self, Error> {
        let dir = dir.join(name);
        let failed = |e: io::Error| io_error(&dir, &e);
        fs::create_dir_all(&dir).map_err(failed)?;
        let mut bases = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            bases.extend(file.to_str().and_then(segment::base_of));
        }
        bases.sort_unstable();
        let mut segments = Vec::new();
        for (place, base) in bases.iter().enumerate() {
            let opened = match bases.get(place + 1) {
                Some(next) => Segment::sealed(&dir, *base, *next),
                None => Segment::last(&dir, *base),
            };
            segments.extend(opened.map_err(failed)?);
        }
        let end = segments.last().map_or(0, Segment::end);
        if end < read && !segments.is_empty() {
            tracing::warn!(topic = name, end, read, "the log ends before what was read of it");
        }
        let log = Mutex::new(Log { segments, next: end.max(read) });
        Ok(Self { name: name.to_owned(), dir, limits, bell, log })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First offset that is there, and the next to be appended.
    pub fn extent(&self) -> (i64, i64) {
        let log = self.lock();
        (log.segments.first().map_or(log.next, Segment::base), log.next)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        self.lock().segments.iter().map(Segment::bytes).sum()
    }

    /// Appends records, all or none, and answers the offset after them once they are on the disk.
    pub fn append(&self, stamp: Nanos, payloads: &[&[u8]]) -> Result<i64, AppendError> {
        let mut log = self.lock();
        let room: u64 = payloads.iter().map(|p| segment::frame_bytes(p.len())).sum();
        let held: u64 = log.segments.iter().map(Segment::bytes).sum();
        if held + room > self.limits.max_bytes {
            return Err(AppendError::Crowded(self.name.clone()));
        }
        let failed = |e: io::Error| io_error(&self.dir, &e);
        let next = log.next;
        let fits =
            |s: &Segment| s.is_open() && s.end() == next && s.bytes() < self.limits.segment_bytes;
        if !log.segments.last().is_some_and(fits) {
            // One without a record has the name of the next.
            log.segments.pop_if(|s| s.base() == next);
            log.segments.push(Segment::create(&self.dir, next).map_err(failed)?);
        }
        let last = log.segments.last_mut().expect("one was made if there was none");
        last.append(stamp, payloads).map_err(failed)?;
        log.next = last.end();
        drop(log);
        *self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.bell.moved.notify_all();
        Ok(next + payloads.len() as i64)
    }

    /// Reads records from an offset on: at least one if there is any, and about `most` bytes.
    pub fn read(&self, from: i64, most: usize) -> Result<LocalRead, Error> {
        let mut log = self.lock();
        let end = log.next;
        let mut read = LocalRead { records: Vec::new(), next: from };
        let first = log.segments.partition_point(|s| s.end() <= from);
        for segment in log.segments.iter_mut().skip(first) {
            read.next = read.next.max(segment.base());
            let got = segment.read(read.next, most).map_err(|e| io_error(&self.dir, &e))?;
            read.records = got;
            if let Some(last) = read.records.last() {
                read.next = last.offset + 1;
                return Ok(read);
            }
            if read.next < segment.end() {
                tracing::error!(
                    topic = self.name,
                    from = read.next,
                    to = segment.end(),
                    "records of a local topic are not there"
                );
                // What is appended from here on must not stand behind what does not read.
                segment.seal();
                read.next = segment.end();
            }
        }
        read.next = end.max(from);
        Ok(read)
    }

    /// Lets go of what lies before `below`, as far as more is held than is to be kept.
    pub fn release(&self, below: i64) -> Result<(), Error> {
        let mut log = self.lock();
        let mut held: u64 = log.segments.iter().map(Segment::bytes).sum();
        while held > self.limits.keep_bytes
            && log.segments.len() > 1
            && log.segments[1].base() <= below
        {
            let gone = log.segments.remove(0);
            held -= gone.bytes();
            gone.delete().map_err(|e| io_error(&self.dir, &e))?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
