//! Reads what a topic holds, once, from its beginning to where it ended when it was asked: for those
//! who publish to a compacted topic and must know what they told before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::publish::{PublishError, error};

/// How long a look at the cluster may take, and the longest time in which nothing comes.
const ANSWER: Duration = Duration::from_secs(30);
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// Takes a message: its key, and its payload if it is no tombstone.
pub type Visit<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// Visits every message of a topic: its key and, but for a tombstone, its payload. Partition by
/// partition in order; nothing is said about the order of partitions. A topic that is not there
/// holds nothing.
pub fn recall(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topic: &str,
    visit: &mut Visit<'_>,
) -> Result<(), PublishError> {
    let mut config = ClientConfig::new();
    for (property, value) in properties {
        config.set(property, value);
    }
    config
        .set("bootstrap.servers", brokers)
        // Never joined: partitions are assigned.
        .set("group.id", "portolan-recall")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer = config.create().map_err(error)?;
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER).map_err(error)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions = found.map_or(0, |found| found.partitions().len()) as i32;
    // Where each is to be read to; one that is empty is not read at all.
    let mut open = BTreeMap::new();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        let (low, end) = consumer.fetch_watermarks(topic, partition, ANSWER).map_err(error)?;
        if low < end {
            open.insert(partition, end);
            list.add_partition_offset(topic, partition, Offset::Offset(low)).map_err(error)?;
        }
    }
    consumer.assign(&list).map_err(error)?;
    let mut heard = Instant::now();
    while !open.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                visit(message.key().unwrap_or_default(), message.payload());
                let end = open.get(&message.partition()).copied();
                if end.is_some_and(|end| message.offset() + 1 >= end) {
                    open.remove(&message.partition());
                }
            }
            // The last offsets may be compacted away or marks of transactions.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(problem)) if heard.elapsed() > ANSWER => return Err(error(problem)),
            None if heard.elapsed() > ANSWER => return Err(PublishError::Timeout(ANSWER)),
            Some(Err(_)) | None => {}
        }
    }
    Ok(())
}
