//! From Kafka to the committed store, beside a bare loop that only counts the same messages.
//!
//! `cargo bench -p portolan-benches --bench kafka [-- --quick]`
//!
//! A real Kafka, the line and the store share the machine, as they do on a small one. Without a
//! Java machine there is no such broker, and nothing is measured.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use portolan_actors::publish::{Publisher, create_topics};
use portolan_actors::status::LineState;
use portolan_actors::{ActorsConfig, KafkaCluster, Running, Topic};
use portolan_benches::{RAMP_SECS, Steady, SteadySpec, cpu_of_process, resident_bytes};
use portolan_e2e::Kafka;
use portolan_model::{Nanos, OwnerRecord, WindowLen};
use portolan_proto::{Encoding, FlowEncoding, OwnerEncoding, encode_owner};
use portolan_storage::{FjallStore, Live, NowRange, Options, ReadStore};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

const SECOND: Nanos = 1_000_000_000;
const PARTITIONS: i32 = 8;
const OWNERS: &str = "ownership";
/// Nothing here takes nearly so long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Flows a second from Kafka into the store that are held, with many records a message.
const HOLD: f64 = 1.0e6;
/// Flows a second at which freshness is measured, and what it holds at the 99th percentile.
const FRESH_RATE: u32 = 200_000;
const FRESH_HOLD: Duration = Duration::from_secs(2);

/// A topic filled with flows.
struct Filled {
    name: &'static str,
    per_message: usize,
    flows: u64,
    messages: u64,
    bytes: u64,
}

/// What reading a topic came to.
struct Read {
    seconds: f64,
    /// Time that the whole process spent on cores.
    cpu: Duration,
}

/// What the line says of an epoch that it committed.
struct Told {
    at: Instant,
    accepted: u64,
    rows: usize,
}

struct Line {
    running: Running,
    told: Receiver<Told>,
    live: Arc<Live>,
    /// Dropped last: the store lies in it.
    _directory: tempfile::TempDir,
}

fn main() -> anyhow::Result<()> {
    portolan_allocator::keep_free_memory();
    let is_quick = std::env::args().any(|it| it == "--quick");
    let kafka = match Kafka::start() {
        Ok(kafka) => kafka,
        Err(error) => {
            println!("skipped: a real Kafka cannot be started here: {error:#}");
            return Ok(());
        }
    };
    let brokers = kafka.bootstrap();
    println!("Apache Kafka {} on loopback, {PARTITIONS} partitions", portolan_e2e::KAFKA_VERSION);
    let seconds = |all: u64| if is_quick { all.div_ceil(5) } else { all };
    let singles = fill(&brokers, "flows-1", 1, seconds(5))?;
    let many = fill(&brokers, "flows-500", 500, seconds(25))?;
    println!(
        "\n  {:<46}{:>12}{:>10}{:>10}{:>12}",
        "", "M flows/s", "MB/s", "CPU ns", "of counting"
    );
    for topic in [&singles, &many] {
        let counted = count(&brokers, topic)?;
        let read = commit(&brokers, topic)?;
        let each = topic.per_message;
        report(&format!("only counted, {each} a message"), topic, &counted, &counted);
        report(&format!("into the store, {each} a message"), topic, &read, &counted);
        if topic.per_message > 1 {
            let rate = topic.flows as f64 / read.seconds;
            println!("  hold {:.1} M flows/s: {:.2} x", HOLD / 1e6, rate / HOLD);
        }
    }
    freshness(&brokers, if is_quick { 5 } else { 20 })
}

fn report(name: &str, topic: &Filled, read: &Read, counted: &Read) {
    let flows = topic.flows as f64;
    println!(
        "  {name:<46}{:>12.2}{:>10.0}{:>10.0}{:>11.0}%",
        flows / read.seconds / 1e6,
        topic.bytes as f64 / read.seconds / 1e6,
        read.cpu.as_nanos() as f64 / flows,
        counted.seconds / read.seconds * 100.0,
    );
}

/// Makes a topic and fills it with some seconds of 200 k flows.
fn fill(
    brokers: &str,
    name: &'static str,
    per_message: usize,
    seconds: u64,
) -> anyhow::Result<Filled> {
    let none = BTreeMap::new();
    create_topics(brokers, &none, &[(name, PARTITIONS), (OWNERS, 1)])?;
    let publisher = Publisher::new(brokers, &none)?;
    let start = now().saturating_sub(120 * SECOND);
    let mut load = load(per_message, start);
    if per_message == 1 {
        own(&publisher, load.owners())?;
    }
    let mut filled = Filled { name, per_message, flows: 0, messages: 0, bytes: 0 };
    for _ in 0..seconds {
        for message in load.second().messages {
            let partition = (filled.messages % PARTITIONS as u64) as i32;
            publisher.send(name, Some(partition), None, &message.payload)?;
            filled.flows += message.records;
            filled.messages += 1;
            filled.bytes += message.payload.len() as u64;
        }
    }
    let done = publisher.flush(PATIENCE)?;
    ensure!(done.failed == 0, "{} messages were not delivered", done.failed);
    let Filled { flows, messages, bytes, .. } = filled;
    println!("  {name}: {flows} flows in {messages} messages, {} MB", bytes / 1_000_000);
    Ok(filled)
}

fn load(per_message: usize, start: Nanos) -> Steady {
    Steady::new(SteadySpec { per_second: FRESH_RATE, per_message, service_percent: 30, start })
}

fn own(publisher: &Publisher, owners: &[OwnerRecord]) -> anyhow::Result<()> {
    for owner in owners {
        let payload = prost::Message::encode_to_vec(&encode_owner(owner));
        publisher.send(OWNERS, None, Some(owner.uid.as_bytes()), &payload)?;
    }
    Ok(())
}

/// The peer: a loop over the same messages that does nothing but count.
fn count(brokers: &str, topic: &Filled) -> anyhow::Result<Read> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "counting")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic.name, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let mut began: Option<(Instant, Duration)> = None;
    let (mut messages, mut bytes) = (0, 0);
    while messages < topic.messages {
        let message = consumer.poll(PATIENCE).context("the topic ends early")??;
        began.get_or_insert_with(|| (Instant::now(), cpu_of_process()));
        messages += 1;
        bytes += message.payload_len() as u64;
    }
    let (at, cpu) = began.context("the topic is empty")?;
    ensure!(bytes == topic.bytes, "{bytes} of {} bytes", topic.bytes);
    Ok(Read { seconds: at.elapsed().as_secs_f64(), cpu: cpu_of_process().saturating_sub(cpu) })
}

/// The line, from an empty store until all flows are committed. Ownership is read before.
fn commit(brokers: &str, topic: &Filled) -> anyhow::Result<Read> {
    let line = Line::start(brokers, topic.name)?;
    line.until_running()?;
    let (at, cpu) = (Instant::now(), cpu_of_process());
    let (mut flows, mut rows, mut epochs) = (0, 0, 0);
    let mut last = at;
    while flows < topic.flows {
        let told = line.told()?;
        flows += told.accepted;
        rows += told.rows;
        epochs += 1;
        last = told.at;
    }
    let read = Read {
        seconds: last.duration_since(at).as_secs_f64(),
        cpu: cpu_of_process().saturating_sub(cpu),
    };
    ensure!(flows == topic.flows, "{flows} flows were counted of {}", topic.flows);
    let resident = resident_bytes() / 1_000_000;
    let (edges, paths) = line.live.read(portolan_storage::NowGraph::counts);
    println!("  {epochs} epochs, {rows} rows; {edges} edges and {paths} paths; {resident} MB");
    line.stop()?;
    Ok(read)
}

/// Publishes as time goes by, and asks the line how old records are when they become visible.
fn freshness(brokers: &str, seconds: u64) -> anyhow::Result<()> {
    let none = BTreeMap::new();
    let name = "flows-fresh";
    create_topics(brokers, &none, &[(name, PARTITIONS)])?;
    let publisher = Publisher::new(brokers, &none)?;
    // Made before its time comes: half a second for each, and for those that the load skips.
    let ahead = (seconds + RAMP_SECS) * SECOND / 2;
    let mut load = load(500, now() + ahead - RAMP_SECS * SECOND);
    let all: Vec<_> = (0..seconds).map(|_| load.second()).collect();
    let line = Line::start(brokers, name)?;
    line.until_running()?;
    // On a slow machine its time has come already: then it is taken to begin now.
    let shift = now().saturating_sub(all[0].end - SECOND);
    let messages = all.into_iter().flat_map(|second| second.messages);
    for (sent, message) in messages.enumerate() {
        let due = message.at + shift;
        if let Some(early) = due.checked_sub(now()) {
            std::thread::sleep(Duration::from_nanos(early));
        }
        let partition = (sent as u64 % PARTITIONS as u64) as i32;
        publisher.send(name, Some(partition), None, &message.payload)?;
    }
    publisher.flush(PATIENCE)?;
    let fresh = line.running.status().freshness().context("nothing was committed")?;
    let shift = Duration::from_nanos(shift);
    let [p50, p99, max] = [fresh.p50, fresh.p99, fresh.max].map(|it| it.saturating_sub(shift));
    println!(
        "\n  event to visible at {} k flows/s: p50 {:.2} s, p99 {:.2} s, most {:.2} s   hold {} s",
        FRESH_RATE / 1_000,
        p50.as_secs_f64(),
        p99.as_secs_f64(),
        max.as_secs_f64(),
        FRESH_HOLD.as_secs()
    );
    line.stop()
}

fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Nanos)
}

// === impl Line ===

impl Line {
    /// The line as the binary wires it, but for the servers.
    fn start(brokers: &str, flows: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("store");
        let store = FjallStore::open(&path, WindowLen::BASE, &Options::default())?;
        let reader = store.reader();
        let live = Arc::new(Live::load(&*reader, NowRange::default())?);
        let topic = |name: &str, encoding| Topic {
            name: name.to_owned(),
            encoding,
            scope: String::new(),
            gaps_are_losses: true,
            fields: None,
        };
        let cluster = KafkaCluster {
            name: "bench".to_owned(),
            brokers: brokers.to_owned(),
            properties: BTreeMap::new(),
            topics: vec![
                topic(OWNERS, Encoding::Owner(OwnerEncoding::PortolanPb)),
                topic(flows, Encoding::Flow(FlowEncoding::NetobservPb)),
            ],
        };
        let config = ActorsConfig { clusters: vec![cluster], ..ActorsConfig::default() };
        let checkpoint: Arc<dyn ReadStore> = reader;
        let (tell, told) = channel();
        let applied = Arc::clone(&live);
        let on_commit = Box::new(move |commit: &portolan_model::EpochCommit| {
            applied.apply(commit);
            let accepted = commit.tallies.iter().find(|(name, _)| **name == *"accepted");
            let accepted = accepted.map_or(0, |(_, count)| *count as u64);
            let rows = commit.edges.len() + commit.paths.len();
            // The bench no longer listens once it has seen all.
            let _ = tell.send(Told { at: Instant::now(), accepted, rows });
        });
        let running = portolan_actors::start(config, Box::new(store), checkpoint, on_commit)?;
        Ok(Self { running, told, live, _directory: directory })
    }

    fn until_running(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.running.status().state() == LineState::Starting {
            ensure!(Instant::now() < deadline, "the line does not start");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn told(&self) -> anyhow::Result<Told> {
        self.told.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow::anyhow!("no epoch for {PATIENCE:?}"),
            RecvTimeoutError::Disconnected => anyhow::anyhow!("the line ended"),
        })
    }

    fn stop(self) -> anyhow::Result<()> {
        self.running.stop();
        let reason = self.running.wait_blocking();
        ensure!(reason.is_stop(), "the line ended: {reason}");
        Ok(())
    }
}
