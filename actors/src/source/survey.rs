//! What a cluster has: partitions, and the first and last offset of each. Looked up on a thread of
//! its own, because a broker that is down would hold up the reading for as long as it does not
//! answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::client::Consumer;
use crate::feed::SharedFeed;

/// A partition as the broker has it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Index of the topic in the configuration.
    pub(crate) topic: usize,
    /// Partition.
    pub(crate) partition: i32,
    /// First offset that is still there.
    pub(crate) low: i64,
    /// One past the last.
    pub(crate) end: i64,
}

/// A look at the cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Counts the looks, so that each is used once.
    pub(crate) number: u64,
    /// What answered.
    pub(crate) extents: Vec<Extent>,
    /// What did not: a topic or partition, and why. Topics that do not exist are no trouble.
    pub(crate) trouble: Option<String>,
}

/// Looks at the cluster again and again.
pub(crate) struct Monitor {
    latest: Arc<Mutex<View>>,
}

/// A broker that answers at all does so within this; the next look comes anyway.
const ANSWER: Duration = Duration::from_secs(3);
/// How long the thread sleeps at most before it sees that its generation is over.
const NAP: Duration = Duration::from_millis(200);

// === impl Monitor ===

impl Monitor {
    /// Starts looking. The thread ends by itself with the generation; nobody waits for it, since it
    /// may be waiting for a broker.
    pub(crate) fn start(
        consumer: Arc<Consumer>,
        feed: SharedFeed,
        topics: Vec<String>,
        refresh: (Duration, Duration),
    ) -> std::io::Result<Self> {
        let latest = Arc::new(Mutex::new(View::default()));
        let shared = Arc::clone(&latest);
        let (metadata, offsets) = refresh;
        let body = move || {
            let mut partitions = Partitions::default();
            let mut number = 0;
            while !feed.is_closed() {
                number += 1;
                if partitions.read.is_none_or(|at| at.elapsed() >= metadata) {
                    partitions = discover(&consumer, &topics);
                }
                let view = View { number, ..look(&consumer, &topics, &partitions) };
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = view;
                let next = Instant::now() + offsets;
                while !feed.is_closed() && Instant::now() < next {
                    std::thread::sleep(NAP.min(next.saturating_duration_since(Instant::now())));
                }
            }
        };
        std::thread::Builder::new().name("portolan-survey".into()).spawn(body)?;
        Ok(Self { latest })
    }

    /// The latest look, if it is newer than number `seen`.
    pub(crate) fn newer(&self, seen: u64) -> Option<View> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        (latest.number > seen).then(|| latest.clone())
    }
}

/// Partitions by topic, as metadata has them.
#[derive(Default)]
struct Partitions {
    read: Option<Instant>,
    all: Vec<(usize, i32)>,
    trouble: Option<String>,
}

/// Looks once, now, on the caller's thread.
pub(crate) fn survey(consumer: &Consumer, topics: &[String]) -> View {
    look(consumer, topics, &discover(consumer, topics))
}

fn discover(consumer: &Consumer, topics: &[String]) -> Partitions {
    let mut found = Partitions { read: Some(Instant::now()), ..Partitions::default() };
    for (index, name) in topics.iter().enumerate() {
        let metadata = match consumer.fetch_metadata(Some(name), ANSWER) {
            Ok(metadata) => metadata,
            Err(error) => {
                found.trouble = Some(format!("brokers do not answer: {}", code(&error)));
                // Look again soon, and do not wait for every topic.
                found.read = None;
                return found;
            }
        };
        for topic in metadata.topics().iter().filter(|t| t.name() == name) {
            match topic.error().map(RDKafkaErrorCode::from) {
                None => {
                    found.all.extend(topic.partitions().iter().map(|p| (index, p.id())));
                }
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition,
                ) => {}
                Some(error) => {
                    found.trouble = Some(format!("topic {name}: {error}"));
                    found.read = None;
                }
            }
        }
    }
    found
}

fn look(consumer: &Consumer, topics: &[String], partitions: &Partitions) -> View {
    let mut view = View { trouble: partitions.trouble.clone(), ..View::default() };
    if partitions.all.is_empty() {
        return view;
    }
    let bounds = offsets(consumer, topics, partitions, Offset::Beginning)
        .and_then(|low| Ok((low, offsets(consumer, topics, partitions, Offset::End)?)));
    let (low, end) = match bounds {
        Ok(bounds) => bounds,
        Err(error) => {
            view.trouble = Some(format!("brokers do not answer: {}", code(&error)));
            return view;
        }
    };
    for (topic, partition) in &partitions.all {
        let name = &topics[*topic];
        match (find(&low, name, *partition), find(&end, name, *partition)) {
            (Ok(low), Ok(end)) => {
                view.extents.push(Extent { topic: *topic, partition: *partition, low, end });
            }
            (Err(reason), _) | (_, Err(reason)) => {
                view.trouble = Some(format!("partition {name}/{partition}: {reason}"));
            }
        }
    }
    view
}

/// One bound of every partition: a request a broker, however many partitions.
fn offsets(
    consumer: &Consumer,
    topics: &[String],
    partitions: &Partitions,
    bound: Offset,
) -> Result<TopicPartitionList, KafkaError> {
    let mut asked = TopicPartitionList::with_capacity(partitions.all.len());
    for (topic, partition) in &partitions.all {
        // The protocol's timestamps -2 and -1 mean the two ends, as these offsets do.
        asked.add_partition_offset(&topics[*topic], *partition, bound)?;
    }
    consumer.offsets_for_times(asked, ANSWER)
}

fn find(list: &TopicPartitionList, topic: &str, partition: i32) -> Result<i64, String> {
    let found = list.find_partition(topic, partition).ok_or("no answer")?;
    found.error().map_err(|error| code(&error))?;
    match found.offset() {
        Offset::Offset(offset) => Ok(offset),
        other => Err(format!("offset {other:?}")),
    }
}

/// What librdkafka says, short.
pub(crate) fn code(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string())
}
