//! A simulated fleet whose messages lie ready before the test begins, and the map they must give.
//!
//! The events are of the recent past, so a test never waits for time to pass.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portolan_e2e::{Broker, Portolan, Setup, Writer};
use portolan_fleet::{Fleet, FleetSpec, Message, Topic, Truth};
use portolan_model::Nanos;
use portolan_proto::v1;

const SECOND: Nanos = 1_000_000_000;

/// From the fleet's last event to now: a held-back record is at most 20 s late.
const PAST: Nanos = 30 * SECOND;

/// A debug build on a busy machine reads some ten thousand records a second, and a test has fewer
/// than a hundred thousand.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Topics of a fleet, its messages in their order, and what they amount to.
pub(crate) struct Crowd {
    /// Topic of the flows.
    pub(crate) flows: String,
    /// Topic of the ownership, one partition.
    pub(crate) owners: String,
    /// Everything the fleet says.
    pub(crate) messages: Vec<Message>,
    /// What a correct reader of all of it must find.
    pub(crate) truth: Truth,
    writer: Mutex<Writer>,
}

/// The next offset of every partition of a topic: topic, partition, offset.
pub(crate) type Ends = Vec<(String, i32, i64)>;

// === impl Crowd ===

impl Crowd {
    /// Lets a fleet run for some seconds, and makes its topics.
    pub(crate) fn gather(
        broker: &Broker,
        name: &str,
        partitions: i32,
        spec: FleetSpec,
        seconds: u64,
    ) -> Self {
        let start = now() - PAST - seconds * SECOND;
        // Windows cut the events at the same instants in every run: a seed repeats what it did.
        let start = start - start % (60 * SECOND);
        let mut fleet = Fleet::try_new(spec, start).unwrap();
        let mut messages = fleet.ownership();
        messages.extend(fleet.close(start + seconds * SECOND));
        let (flows, owners) = (format!("{name}-flows"), format!("{name}-owners"));
        let topics = broker.topics();
        topics.create(&flows, partitions, &[]).unwrap();
        topics.create(&owners, 1, &[]).unwrap();
        let writer = Mutex::new(topics.writer().unwrap());
        Self { flows, owners, messages, truth: fleet.truth(), writer }
    }

    /// What a Portolan that reads it is configured with. It commits often, so that a test is short
    /// and an epoch is hit by what the test does.
    pub(crate) fn setup(&self, broker: &Broker) -> Setup {
        Setup::new(broker.bootstrap())
            .topic(&self.flows, "netobserv-pb", "")
            .topic(&self.owners, "portolan-pb", "")
            .set("line.commit_interval", "\"200ms\"")
    }

    /// Everything, cut into parts of about the same length.
    pub(crate) fn parts(&self, count: usize) -> impl Iterator<Item = &[Message]> {
        self.messages.chunks(self.messages.len().div_ceil(count))
    }

    /// Publishes some of the messages; flows by key over `partitions` partitions.
    pub(crate) fn publish(&self, partitions: i32, messages: &[Message]) {
        let of = |topic: Topic| {
            messages.iter().filter(move |m| m.topic == topic).map(move |m| {
                let partition = match topic {
                    Topic::Flows => spread(&m.partition_key, partitions),
                    Topic::Ownership | Topic::Spans | Topic::Metrics => 0,
                };
                (partition, m.partition_key.as_slice(), m.payload.as_slice())
            })
        };
        let mut writer = self.writer.lock().unwrap();
        writer.produce(&self.owners, of(Topic::Ownership)).unwrap();
        writer.produce(&self.flows, of(Topic::Flows)).unwrap();
    }

    /// Flow records among the messages.
    pub(crate) fn records(messages: &[Message]) -> i64 {
        let flows = messages.iter().filter(|m| m.topic == Topic::Flows);
        flows.map(|m| i64::from(m.records)).sum()
    }

    /// Where the topics end now.
    pub(crate) fn ends(&self, broker: &Broker, partitions: i32) -> Ends {
        let flows = (0..partitions).map(|partition| (&self.flows, partition));
        flows
            .chain([(&self.owners, 0)])
            .map(|(topic, partition)| end(broker, topic, partition))
            .collect()
    }
}

/// The end of one partition.
pub(crate) fn end(broker: &Broker, topic: &str, partition: i32) -> (String, i32, i64) {
    let (_, end) = broker.topics().watermarks(topic, partition).unwrap();
    (topic.to_owned(), partition, end)
}

/// Waits until everything below the ends is in the graph.
pub(crate) fn wait_until_committed(portolan: &mut Portolan, ends: &Ends) -> v1::GetStatusResponse {
    let all = |status: &v1::GetStatusResponse| {
        ends.iter().all(|(topic, partition, end)| {
            let mut partitions = status.partitions.iter();
            let at = partitions.find(|p| p.topic == *topic && p.partition == *partition);
            at.is_some_and(|at| at.committed == *end)
        })
    };
    portolan.wait_for_status(&format!("committed up to {ends:?}"), PATIENCE, all).unwrap()
}

/// The partition of a key: the same key, the same partition.
pub(crate) fn spread(key: &[u8], partitions: i32) -> i32 {
    let fold = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    (key.iter().fold(0x811c_9dc5, fold) % partitions.unsigned_abs()) as i32
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as Nanos
}
