//! From a request to a commit: appends what comes to a local topic, many requests at a time, and
//! waits for the epoch that holds it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use portolan_model::{EpochCommit, Nanos};
use portolan_storage::{AppendError, LOCAL, LocalTopic, chain};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

#[cfg(test)]
mod tests;

/// Bounds of an inbox.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Largest message.
    pub message_bytes: usize,
    /// Bytes that wait for their commit, all senders together.
    pub waiting_bytes: usize,
    /// How long a sender waits for the commit.
    pub patience: Duration,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too much waits already.
    #[error("too much waits to be counted: send it again later")]
    Busy,
    /// It is not known whether it will be counted; sent again it counts once.
    #[error("it was not committed in time: send it again")]
    Late,
    /// The disk does not take it, or the server ends.
    #[error("not taken: {0}")]
    Broken(String),
}

/// How far the topics are committed: told of every epoch.
#[derive(Debug, Default)]
pub struct Committed(Vec<(Arc<LocalTopic>, watch::Sender<i64>)>);

/// Room for what waits, of every inbox of a server together.
#[derive(Clone, Debug)]
pub struct Room {
    bytes: Arc<Semaphore>,
    bounds: Bounds,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Inbox {
    jobs: mpsc::Sender<Job>,
    room: Room,
    committed: watch::Receiver<i64>,
}

#[derive(Debug)]
struct Job {
    payload: Bytes,
    done: oneshot::Sender<Result<i64, Refusal>>,
}

/// Requests that wait for the disk, and most that one sync is for.
const JOBS: usize = 256;
/// What the smallest message takes of the room: its way costs more than its bytes.
const LEAST_BYTES: usize = 1_024;

// === impl Bounds ===

impl Default for Bounds {
    fn default() -> Self {
        // A collector's default batch of 8,192 spans is a few megabytes; 64 MiB are a second of what
        // one core links. Exporters give up after 10 s by default.
        Self { message_bytes: 16 << 20, waiting_bytes: 64 << 20, patience: Duration::from_secs(9) }
    }
}

// === impl Room ===

impl Room {
    /// Nothing waits yet.
    pub fn new(bounds: Bounds) -> Self {
        let bytes = Arc::new(Semaphore::new(bounds.waiting_bytes.min(Semaphore::MAX_PERMITS)));
        Self { bytes, bounds }
    }

    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let most = self.bounds.waiting_bytes;
        let wanted = bytes.clamp(LEAST_BYTES.min(most), most);
        let room = Arc::clone(&self.bytes).try_acquire_many_owned(wanted as u32);
        room.map_err(|_| Refusal::Busy)
    }
}

// === impl Committed ===

impl Committed {
    /// An epoch is in the store.
    pub fn epoch(&self, commit: &EpochCommit) {
        for (topic, told) in &self.0 {
            let ours = commit
                .positions
                .iter()
                .find(|p| &*p.partition.cluster == LOCAL && &*p.partition.topic == topic.name());
            let Some(position) = ours else { continue };
            told.send_if_modified(|next| {
                let moved = position.next > *next;
                *next = position.next.max(*next);
                moved
            });
        }
    }
}

// === impl Inbox ===

impl Inbox {
    /// An inbox in front of a topic, with a thread that appends to it. `next` is how far the store
    /// has read the topic; `committed` will know of it.
    pub fn open(
        topic: Arc<LocalTopic>,
        next: i64,
        room: &Room,
        committed: &mut Committed,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(JOBS);
        let (told, heard) = watch::channel(next);
        let log = Arc::clone(&topic);
        let name = format!("portolan-{}", topic.name());
        std::thread::Builder::new().name(name).spawn(move || append_all(&log, waiting))?;
        committed.0.push((topic, told));
        Ok(Self { jobs, room: room.clone(), committed: heard })
    }

    /// Its bounds.
    pub fn bounds(&self) -> &Bounds {
        &self.room.bounds
    }

    /// Takes a message; done once it is committed.
    pub async fn put(&self, payload: Bytes) -> Result<(), Refusal> {
        // Held until it is committed, or given up: this is the back pressure.
        let _room = self.room.reserve(payload.len())?;
        let (done, appended) = oneshot::channel();
        self.jobs.try_send(Job { payload, done }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Busy,
            mpsc::error::TrySendError::Closed(_) => Refusal::Broken("the server ends".into()),
        })?;
        let waited = tokio::time::timeout(self.room.bounds.patience, async {
            let ended = |_| Refusal::Broken("the server ends".into());
            let end = appended.await.map_err(ended)??;
            let mut committed = self.committed.clone();
            let waited = committed.wait_for(|next| *next >= end).await;
            waited.map(drop).map_err(|_| Refusal::Broken("the server ends".into()))
        });
        waited.await.unwrap_or(Err(Refusal::Late))
    }
}

/// Appends what waits, all of it in one go, until nobody sends any more.
fn append_all(log: &LocalTopic, mut waiting: mpsc::Receiver<Job>) {
    let mut jobs = Vec::new();
    while waiting.blocking_recv_many(&mut jobs, JOBS) > 0 {
        let payloads: Vec<&[u8]> = jobs.iter().map(|job| &*job.payload).collect();
        match log.append(now(), &payloads) {
            Ok(end) => {
                let first = end - jobs.len() as i64;
                for (place, job) in jobs.drain(..).enumerate() {
                    // Whoever does not wait any more does not care.
                    let _ = job.done.send(Ok(first + place as i64 + 1));
                }
            }
            Err(error) => {
                let refusal = match &error {
                    AppendError::Crowded(_) => Refusal::Busy,
                    AppendError::Store(error) => Refusal::Broken(chain(error)),
                };
                tracing::warn!(topic = log.name(), error = chain(&error), "nothing is received");
                for job in jobs.drain(..) {
                    let _ = job.done.send(Err(refusal.clone()));
                }
            }
        }
    }
}

fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as Nanos
}
