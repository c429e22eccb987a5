//! The fleet's messages through a real producer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use portolan_actors::Status;
use portolan_actors::publish::Publisher;
use portolan_fleet::{Fleet, FleetSpec, Message, Topic, Truth};
use portolan_model::{Nanos, TopicPartition};

/// How much may lie unread in a partition: the embedded broker forgets what is over 5 MiB.
const UNREAD_BYTES: u64 = 4 << 20;
/// How often the fleet is looked at: a tenth of its export interval.
const TICK: Duration = Duration::from_millis(100);
/// How long the last messages may take to be acknowledged.
const FLUSH: Duration = Duration::from_secs(30);

/// The topics of a demo.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    /// Flow records.
    pub(super) flows: String,
    /// Ownership, in one partition.
    pub(super) owners: String,
    /// Partitions of the flow topic.
    pub(super) partitions: i32,
}

/// A fleet that publishes.
pub(super) struct Crowd {
    /// What the fleet is made of.
    pub(super) spec: FleetSpec,
    /// Where to.
    pub(super) brokers: String,
    /// Where there.
    pub(super) topics: Topics,
    /// The broker forgets what is not read soon.
    pub(super) bounded: bool,
    /// The line that reads, where it is known.
    pub(super) status: Option<Arc<Status>>,
}

/// What was published.
#[derive(Debug)]
pub(super) struct Published {
    /// Flow records.
    pub(super) flows: u64,
    /// Topic, partition, end offset.
    pub(super) ends: Vec<(String, i32, i64)>,
    /// What a correct reader must find.
    pub(super) truth: Truth,
}

impl Topics {
    /// The names that a configuration reads by default.
    pub(super) fn plain(partitions: i32) -> Self {
        Self {
            flows: "network-flows".to_owned(),
            owners: "portolan.ownership".to_owned(),
            partitions,
        }
    }
}

impl Crowd {
    /// Publishes until told to stop, then closes the fleet and waits for the last acknowledgement.
    pub(super) fn publish(&self, stop: &AtomicBool) -> anyhow::Result<Published> {
        let publisher = Publisher::new(&self.brokers, &BTreeMap::new())?.tracking();
        let mut fleet = Fleet::try_new(self.spec.clone(), now())?;
        let mut flows = 0;
        let mut messages = 0;
        let mut send = |batch: Vec<Message>| -> anyhow::Result<()> {
            for message in batch {
                if message.topic == Topic::Flows {
                    flows += u64::from(message.records);
                }
                messages += 1;
                self.send(&publisher, &message, stop)?;
            }
            Ok(())
        };
        send(fleet.ownership())?;
        while !stop.load(Ordering::Acquire) {
            send(fleet.tick(now()))?;
            std::thread::sleep(TICK);
        }
        send(fleet.close(now()))?;
        let deliveries = publisher.flush(FLUSH)?;
        if deliveries.delivered != messages {
            bail!(
                "{} of {messages} messages were not taken by the broker: {}",
                messages - deliveries.delivered,
                publisher.last_error().unwrap_or_default()
            );
        }
        let mut ends = Vec::new();
        for topic in [&self.topics.flows, &self.topics.owners] {
            let offsets = publisher.end_offsets(topic).context("end offsets")?;
            ends.extend((0..).zip(offsets).map(|(p, end)| (topic.clone(), p, end)));
        }
        Ok(Published { flows, ends, truth: fleet.truth() })
    }

    fn send(
        &self,
        publisher: &Publisher,
        message: &Message,
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        let (topic, partition) = match message.topic {
            Topic::Flows => {
                (&self.topics.flows, spread(&message.partition_key, self.topics.partitions))
            }
            Topic::Ownership => (&self.topics.owners, 0),
            // A demo's fleet is not asked for any.
            Topic::Spans | Topic::Metrics => return Ok(()),
        };
        if self.bounded {
            self.wait_for_room(publisher, topic, partition, stop);
        }
        publisher.send(topic, Some(partition), Some(&message.partition_key), &message.payload)?;
        Ok(())
    }

    /// Waits until the line has read enough of the partition.
    fn wait_for_room(&self, publisher: &Publisher, topic: &str, partition: i32, stop: &AtomicBool) {
        let Some(status) = &self.status else { return };
        let at = TopicPartition { cluster: "demo".into(), topic: topic.into(), partition };
        while !matches!(status.state(), portolan_actors::status::LineState::Stopped) {
            let read = status.partition(&at).map_or(0, |p| p.next);
            if publisher.outstanding(topic, partition, read) < UNREAD_BYTES {
                return;
            }
            if stop.load(Ordering::Acquire) && read == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The partition of a key: the same key, the same partition.
fn spread(key: &[u8], partitions: i32) -> i32 {
    let hash = key
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (hash % partitions.unsigned_abs().max(1)) as i32
}

fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as Nanos
}
