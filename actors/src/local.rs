//! The source of local topics: one thread that reads the logs beside the store into the line.
//!
//! It passes the phases of its generation as a Kafka source does (`source.rs`), with the same
//! account of every offset ([`Part`]): to the line a local topic is a partition like any other. What
//! it reads comes from the disk of this machine, so there is nothing to fetch ahead and nothing to
//! pause: while the line is full it does not read, and the topics grow up to their bound.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portolan_model::{Position, TopicPartition};
use portolan_pipeline::feed::{Plan, plan};
use portolan_storage::{Checkpoint, LOCAL, LocalTopic, LocalTopics, chain};

use crate::clock;
use crate::config::{ActorsConfig, Topic};
use crate::feed::{Offered, Parcel, Phase, SharedFeed};
use crate::source::{Fetched, Kind, Part, Tools};
use crate::stage_actor::panic_text;

/// Local topics that the line reads.
#[derive(Clone, Debug)]
pub struct Local {
    /// The logs.
    pub logs: Arc<LocalTopics>,
    /// What their messages are, in the order of the logs.
    pub topics: Vec<Topic>,
}

/// Why it ends.
enum Halt {
    Closed,
    Stopping,
}

struct Reader {
    log: Arc<LocalTopic>,
    part: Part,
}

struct Source {
    logs: Arc<LocalTopics>,
    readers: Vec<Reader>,
    config: Arc<ActorsConfig>,
    feed: SharedFeed,
    tools: Tools,
    outbox: VecDeque<Parcel>,
    looked: Instant,
    released: Instant,
}

/// How often it looks around, and how long it waits for records at most.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes read of a topic at a time.
const READ_BYTES: usize = 1 << 20;
/// How often logs are told what they need not keep.
const RELEASE: Duration = Duration::from_secs(5);
/// Where its troubles are shown.
const TROUBLE: &str = "local topics";

/// Starts it on a thread of its own. The thread reports its own end.
pub(crate) fn spawn(
    local: &Local,
    config: &Arc<ActorsConfig>,
    feed: SharedFeed,
    checkpoint: &Checkpoint,
) -> std::io::Result<JoinHandle<()>> {
    let mut source = Source::new(local, Arc::clone(config), Arc::clone(&feed), checkpoint);
    let body = move || match catch_unwind(AssertUnwindSafe(move || source.run())) {
        Ok(()) => feed.finished(),
        Err(panic) => {
            let reason = format!("panicked: {}", panic_text(&*panic));
            feed.crew().fail("source of local topics", reason);
        }
    };
    std::thread::Builder::new().name("portolan-source-local".into()).spawn(body)
}

// === impl Source ===

impl Source {
    fn new(
        local: &Local,
        config: Arc<ActorsConfig>,
        feed: SharedFeed,
        checkpoint: &Checkpoint,
    ) -> Self {
        let tools = Tools {
            status: Arc::clone(&feed.crew().status),
            max_message_bytes: config.max_message_bytes,
            families: Arc::clone(&config.families),
            dead_letter_head: config.dead_letter_head,
            now: clock::now(),
            then: checkpoint.clock,
        };
        let readers = local.logs.all().iter().zip(&local.topics);
        let readers = readers.map(|(log, topic)| {
            let kind = Kind::of(topic, config.max_message_bytes);
            Reader::new(Arc::clone(log), topic, kind, &feed, checkpoint)
        });
        Self {
            logs: Arc::clone(&local.logs),
            readers: readers.collect(),
            config,
            feed,
            tools,
            outbox: VecDeque::new(),
            looked: Instant::now(),
            released: Instant::now(),
        }
    }

    fn run(&mut self) {
        if let Err(Halt::Stopping) = self.phases() {
            if self.feed.phase() == Phase::Rebuild {
                self.readers.iter_mut().for_each(|r| r.part.forget());
            }
            self.flush();
            while !self.outbox.is_empty() && self.hand_over().is_ok() {}
        }
    }

    /// Passes the phases; ends only by being halted.
    fn phases(&mut self) -> Result<(), Halt> {
        self.readers.iter_mut().for_each(|r| r.part.reading.begin_reread());
        self.spin(
            |reader| reader.part.reading.is_rereading(),
            |source| source.readers.iter().all(|r| r.part.reading.reread().is_empty()),
        )?;
        self.flush();
        self.spin(|_| false, |source| source.outbox.is_empty())?;
        self.readers.iter_mut().for_each(|r| r.part.reading.end_reread());
        self.feed.ready(Phase::Rebuild);
        self.spin(|_| false, |source| source.feed.phase() > Phase::Rebuild)?;
        for Reader { part, .. } in &mut self.readers {
            if let Some((lost, to)) = part.lost_at_start.take() {
                part.lose(lost, to, &self.tools);
            }
        }
        let owners = |reader: &Reader| !reader.part.kind.is_timed();
        let goals: Vec<_> = self.readers.iter().map(|r| r.log.extent().1).collect();
        self.spin(owners, |source| {
            let mut all = source.readers.iter().zip(&goals);
            all.all(|(r, goal)| r.part.kind.is_timed() || r.part.reading.next() >= *goal)
        })?;
        self.flush();
        self.spin(|_| false, |source| source.outbox.is_empty())?;
        self.feed.ready(Phase::Owners);
        self.spin(owners, |source| source.feed.phase() > Phase::Owners)?;
        self.spin(|_| true, |_| false)
    }

    /// Reads what is `wanted` and hands it over, until `done`.
    fn spin(
        &mut self,
        wanted: impl Fn(&Reader) -> bool,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Halt> {
        loop {
            self.look_around()?;
            if done(self) {
                return Ok(());
            }
            if !self.outbox.is_empty() {
                self.hand_over()?;
                continue;
            }
            let seen = self.logs.rung();
            let mut quiet = true;
            for at in 0..self.readers.len() {
                if wanted(&self.readers[at]) {
                    quiet &= !self.read(at);
                }
            }
            if quiet {
                // Nothing is gained by waiting for a fuller batch.
                self.flush();
                if self.outbox.is_empty() && !done(self) {
                    self.logs.wait(seen, LOOK);
                }
            }
        }
    }

    /// Reads on in one topic; whether there was anything.
    fn read(&mut self, at: usize) -> bool {
        let Reader { log, part } = &mut self.readers[at];
        let from = part.reading.fetch_from();
        let read = match log.read(from, READ_BYTES) {
            Ok(read) => read,
            Err(error) => {
                let name = log.name();
                self.tools.status.set_trouble(TROUBLE, Some(format!("{name}: {}", chain(&error))));
                return false;
            }
        };
        self.tools.status.set_trouble(TROUBLE, None);
        for record in &read.records {
            let (offset, stamped) = (record.offset, record.stamp);
            part.take(
                &Fetched { offset, stamped, payload: Some(&record.payload) },
                &mut self.tools,
            );
            if part.rows() >= self.config.batch_rows {
                self.outbox.extend(part.parcel());
            }
        }
        if !read.records.is_empty() {
            return true;
        }
        if part.reading.is_rereading() {
            // The rest of it is gone.
            part.reading.cut_reread();
        } else if read.next > from {
            self.outbox.extend(part.parcel());
            part.lose(from..read.next, read.next, &self.tools);
        }
        false
    }

    /// Sends every batch on its way, full or not.
    fn flush(&mut self) {
        for Reader { part, .. } in &mut self.readers {
            self.outbox.extend(part.parcel());
        }
    }

    /// Hands over what waits, or waits for room.
    fn hand_over(&mut self) -> Result<(), Halt> {
        while let Some(parcel) = self.outbox.pop_front() {
            let seen = self.feed.crew().pulse.beats();
            match self.feed.offer(parcel) {
                Offered::Taken => {}
                Offered::Closed => return Err(Halt::Closed),
                Offered::Full(parcel) => {
                    self.outbox.push_front(*parcel);
                    self.feed.tick();
                    self.feed.crew().pulse.wait(seen, LOOK);
                    return Ok(());
                }
            }
        }
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
        for Reader { log, part } in &mut self.readers {
            if part.waiting_since().is_some_and(|since| since.elapsed() >= delay) {
                self.outbox.extend(part.parcel());
            }
            let ((low, end), next) = (log.extent(), part.reading.next());
            let watermark = self.feed.set_end(part.id, Some(end));
            self.tools.status.update(&part.name, |p| {
                (p.next, p.low, p.end, p.watermark) = (next, low, end, watermark);
            });
        }
        if self.released.elapsed() >= RELEASE {
            self.released = Instant::now();
            self.release();
        }
        self.feed.tick();
        Ok(())
    }

    /// Lets logs go of what the line will not ask for again.
    fn release(&self) {
        for position in self.feed.committed_positions() {
            let reader = self.readers.iter().find(|r| r.part.name == position.partition);
            let Some(Reader { log, part }) = reader else { continue };
            let below = if part.kind.is_timed() { position.reread } else { position.next };
            if let Err(error) = log.release(below) {
                tracing::warn!(topic = log.name(), error = chain(&error), "a segment stays");
            }
        }
    }
}

// === impl Reader ===

impl Reader {
    fn new(
        log: Arc<LocalTopic>,
        topic: &Topic,
        kind: Kind,
        feed: &SharedFeed,
        checkpoint: &Checkpoint,
    ) -> Self {
        let name = TopicPartition {
            cluster: LOCAL.into(),
            topic: topic.name.as_str().into(),
            partition: 0,
        };
        let (low, end) = log.extent();
        let stored = checkpoint.positions.iter().find(|p| p.partition == name);
        let new = Plan { next: low, reread: low..low, forgotten: low..low, lost: None };
        let plan = stored.map_or(new, |p| plan(p.next, p.reread, low, end));
        let new = Position { partition: name.clone(), next: low, reread: low };
        let id = feed.register(stored.cloned().unwrap_or(new), kind.is_timed());
        let mut part = Part::new(id, name, kind, plan.next, true);
        tracing::info!(topic = topic.name, next = plan.next, low, end, "local topic");
        if part.kind.is_timed() {
            part.reading.set_reread(plan.reread);
        }
        part.lost_at_start = plan.lost.map(|lost| (lost, plan.next));
        part.assigned = true;
        Self { log, part }
    }
}
