//! The source: a thread a Kafka cluster, which reads the partitions of its topics into the line.
//!
//! The store owns the offsets, so partitions are assigned here and never by a group. A source
//! passes the phases of its generation: what the stages must remember is read again; ownership is
//! read up to where it stood at the start; then everything is read as it comes, new partitions from
//! their beginning.
//!
//! Back pressure: decoded batches wait in an outbox while the resolver's mailbox is full, and
//! nothing is polled meanwhile. If that lasts, the partitions are paused, so that the client keeps
//! answering its brokers while it fetches nothing; they resume when the outbox is empty.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portolan_model::{Position, TopicPartition};
use portolan_storage::Checkpoint;
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::sync::mpsc;

use crate::clock;
use crate::config::{ActorsConfig, KafkaCluster};
use crate::error::ExitReason;
use crate::feed::{Offered, Parcel, Phase, SharedFeed};
use crate::stage_actor::panic_text;

mod assign;
mod client;
mod partition;
mod phases;
mod survey;

use client::Consumer;
pub(crate) use client::{check, problem};
pub(crate) use partition::{Fetched, Kind, Part, Tools};
use survey::Monitor;

/// What a source starts from.
pub(crate) struct Start {
    pub(crate) cluster: KafkaCluster,
    pub(crate) config: Arc<ActorsConfig>,
    pub(crate) feed: SharedFeed,
    pub(crate) fatal: mpsc::Sender<ExitReason>,
    pub(crate) checkpoint: Checkpoint,
}

/// Why a source ends.
enum Halt {
    /// Its generation is over.
    Closed,
    /// The line is to stop.
    Stopping,
    /// librdkafka cannot go on.
    Fatal(String),
}

struct Source {
    cluster: Arc<str>,
    topics: Vec<String>,
    config: Arc<ActorsConfig>,
    settings: KafkaCluster,
    feed: SharedFeed,
    consumer: Arc<Consumer>,
    monitor: Monitor,
    viewed: u64,
    /// The latest look at the cluster left something open.
    is_troubled: bool,
    stored: HashMap<TopicPartition, Position>,
    parts: Vec<Part>,
    /// Topic, then partition, to the place in `parts`.
    places: HashMap<String, Vec<Option<usize>>>,
    tools: Tools,
    outbox: VecDeque<Parcel>,
    stalled: Option<Instant>,
    paused: bool,
    /// Offsets are to be compared with the broker's, at this time.
    recheck: Option<Instant>,
    looked: Instant,
    reported: Instant,
}

/// How long a poll waits: what an idle source adds to the delay of a stop or a barrier.
const POLL: Duration = Duration::from_millis(20);
/// Messages polled between two looks around: at the 25 µs of a 64 KiB message 6 ms.
const POLLS: usize = 256;
/// How often the source looks around.
const LOOK: Duration = Duration::from_millis(20);
/// Pausing throws away what was fetched ahead, so only a stall that lasts is worth it.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// How often Kafka is told the committed offsets. For lag tools: theirs refresh no faster.
const REPORT: Duration = Duration::from_secs(5);

/// Starts a source on a thread of its own. The thread reports its own end.
pub(crate) fn spawn(start: Start) -> std::io::Result<JoinHandle<()>> {
    let name = format!("portolan-source-{}", start.cluster.name);
    let body = move || {
        let feed = Arc::clone(&start.feed);
        let (cluster, fatal) = (start.cluster.name.clone(), start.fatal.clone());
        let run = AssertUnwindSafe(move || Source::new(start).and_then(|mut s| s.run()));
        match catch_unwind(run) {
            Ok(Ok(()) | Err(Halt::Closed | Halt::Stopping)) => feed.finished(),
            Ok(Err(Halt::Fatal(reason))) => {
                // Full: the supervisor is already ending.
                let _ = fatal.try_send(ExitReason::Kafka { cluster, reason });
            }
            Err(panic) => {
                let reason = format!("panicked: {}", panic_text(&*panic));
                feed.crew().fail(&format!("source {cluster}"), reason);
            }
        }
    };
    std::thread::Builder::new().name(name).spawn(body)
}

// === impl Source ===

impl Source {
    fn new(start: Start) -> Result<Self, Halt> {
        let Start { cluster, config, feed, checkpoint, .. } = start;
        let fatal = |problem: String| Halt::Fatal(problem);
        let consumer = client::consumer(&cluster, &config).map_err(|e| fatal(e.to_string()))?;
        let consumer = Arc::new(consumer);
        let topics: Vec<_> = cluster.topics.iter().map(|t| t.name.clone()).collect();
        let refresh = (config.metadata_refresh, config.offsets_refresh);
        let monitor =
            Monitor::start(Arc::clone(&consumer), Arc::clone(&feed), topics.clone(), refresh);
        let monitor = monitor.map_err(|e| fatal(format!("no thread: {e}")))?;
        let own = checkpoint.positions.into_iter();
        let own = own.filter(|p| *p.partition.cluster == *cluster.name);
        let stored = own.map(|p| (p.partition.clone(), p)).collect();
        let tools = Tools {
            status: Arc::clone(&feed.crew().status),
            max_message_bytes: config.max_message_bytes,
            families: Arc::clone(&config.families),
            dead_letter_head: config.dead_letter_head,
            now: clock::now(),
            then: checkpoint.clock,
        };
        Ok(Self {
            cluster: cluster.name.as_str().into(),
            topics,
            config,
            settings: cluster,
            feed,
            consumer,
            monitor,
            viewed: 0,
            is_troubled: false,
            stored,
            parts: Vec::new(),
            places: HashMap::new(),
            tools,
            outbox: VecDeque::new(),
            stalled: None,
            paused: false,
            recheck: None,
            looked: Instant::now(),
            reported: Instant::now(),
        })
    }

    fn run(&mut self) -> Result<(), Halt> {
        let ended = self.phases();
        if let Err(Halt::Stopping) = ended {
            if self.feed.phase() == Phase::Rebuild {
                self.parts.iter_mut().for_each(Part::forget);
            }
            self.flush();
            while !self.outbox.is_empty() && !self.feed.is_closed() {
                self.hand_over()?;
            }
        }
        // What the client still fetches is of no use to anyone.
        self.unassign_all();
        ended
    }

    /// Polls, decodes and hands over until `done`.
    fn spin(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Halt> {
        let consumer = Arc::clone(&self.consumer);
        loop {
            self.look_around()?;
            if done(self) {
                return Ok(());
            }
            if !self.outbox.is_empty() {
                self.hand_over()?;
                continue;
            }
            for _ in 0..POLLS {
                match consumer.poll(POLL) {
                    Some(Ok(message)) => self.take(&message),
                    Some(Err(error)) => self.trouble(&error)?,
                    None => {
                        // Quiet: nothing is gained by waiting for a fuller batch.
                        self.flush();
                        break;
                    }
                }
                if !self.outbox.is_empty() {
                    break;
                }
            }
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let place = self.places.get(message.topic());
        let place = place.and_then(|places| places.get(message.partition() as usize));
        let Some(Some(at)) = place.copied() else { return };
        if !self.parts[at].assigned {
            // It was on its way when its partition was taken off: it will come again.
            return;
        }
        let fetched = Fetched {
            offset: message.offset(),
            stamped: message.timestamp().to_millis().map_or(0, |ms| ms.max(0) as u64 * 1_000_000),
            payload: message.payload(),
        };
        self.parts[at].take(&fetched, &mut self.tools);
        if self.parts[at].reading.is_reread() {
            self.unassign(at);
        }
        if self.parts[at].rows() >= self.config.batch_rows {
            self.outbox.extend(self.parts[at].parcel());
        }
    }

    /// Sends every batch on its way, full or not.
    fn flush(&mut self) {
        for part in &mut self.parts {
            self.outbox.extend(part.parcel());
        }
    }

    /// Hands over what waits, or waits for room.
    fn hand_over(&mut self) -> Result<(), Halt> {
        while let Some(parcel) = self.outbox.pop_front() {
            let seen = self.feed.crew().pulse.beats();
            match self.feed.offer(parcel) {
                Offered::Taken => self.stalled = None,
                Offered::Closed => return Err(Halt::Closed),
                Offered::Full(parcel) => {
                    self.outbox.push_front(*parcel);
                    self.feed.tick();
                    return self.stall(seen);
                }
            }
        }
        if self.paused {
            self.resume();
        }
        Ok(())
    }

    /// Waits for room. Pauses the partitions if there has been none for long.
    fn stall(&mut self, seen: u64) -> Result<(), Halt> {
        let since = *self.stalled.get_or_insert_with(Instant::now);
        if !self.paused && since.elapsed() >= PAUSE_AFTER {
            self.pause();
        }
        if self.paused {
            let consumer = Arc::clone(&self.consumer);
            match consumer.poll(Duration::ZERO) {
                // It was on its way when the partitions were paused.
                Some(Ok(message)) => self.take(&message),
                Some(Err(error)) => self.trouble(&error)?,
                None => {}
            }
        }
        self.feed.crew().pulse.wait(seen, LOOK);
        Ok(())
    }

    /// What is due from time to time, whatever else happens.
    fn look_around(&mut self) -> Result<(), Halt> {
        if self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        self.tools.now = clock::now();
        if self.feed.is_closed() {
            return Err(Halt::Closed);
        }
        if self.feed.is_stopping() {
            return Err(Halt::Stopping);
        }
        let delay = self.config.batch_delay;
        for part in &mut self.parts {
            if part.waiting_since().is_some_and(|since| since.elapsed() >= delay) {
                self.outbox.extend(part.parcel());
            }
        }
        if let Some(view) = self.monitor.newer(self.viewed) {
            self.viewed = view.number;
            self.adopt(&view);
        }
        if self.recheck.is_some_and(|at| at <= Instant::now()) {
            self.compare_offsets();
        }
        if self.reported.elapsed() >= REPORT {
            self.reported = Instant::now();
            self.report_offsets();
        }
        self.feed.tick();
        Ok(())
    }
}
