//! A producer: for the demo, for replaying captures, and for tests.
//!
//! It holds a bounded number of messages and blocks when they are not delivered; every message is
//! accounted for as delivered or failed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use crate::pulse::Pulse;
use crate::source::problem;

/// What can go wrong when publishing.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// librdkafka refuses a property. Its value is not repeated: it may be a secret.
    #[error("librdkafka refuses property {property}: {problem}")]
    Property {
        /// Property.
        property: String,
        /// What librdkafka says.
        problem: String,
    },
    /// The message cannot be sent at all (too large, no such partition).
    #[error("topic {topic}: {problem}")]
    Refused {
        /// Topic.
        topic: String,
        /// What librdkafka says.
        problem: String,
    },
    /// The brokers did not take it in time.
    #[error("brokers did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// Anything else that librdkafka says.
    #[error("kafka: {0}")]
    Kafka(String),
}

/// What became of the messages.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Deliveries {
    /// Handed to the producer.
    pub sent: u64,
    /// Acknowledged by the broker.
    pub delivered: u64,
    /// Given up.
    pub failed: u64,
}

/// See the module.
pub struct Publisher {
    producer: ThreadedProducer<Context>,
    account: Arc<Account>,
}

#[derive(Default)]
struct Account {
    state: Mutex<State>,
    pulse: Pulse,
}

#[derive(Default)]
struct State {
    deliveries: Deliveries,
    last_error: Option<String>,
    /// Delivered messages by partition, oldest first: offset and bytes.
    outstanding: HashMap<(String, i32), VecDeque<(i64, u64)>>,
    tracked: bool,
}

struct Context {
    account: Arc<Account>,
}

/// How long a message may take, retries included.
const DELIVERY: Duration = Duration::from_secs(30);
/// How long a look at the cluster may take.
const ANSWER: Duration = Duration::from_secs(10);

// === impl Publisher ===

impl Publisher {
    /// A producer for `brokers`. `properties` are librdkafka's, and win over the defaults.
    pub fn new(brokers: &str, properties: &BTreeMap<String, String>) -> Result<Self, PublishError> {
        let account = Arc::new(Account::default());
        let mut config = ClientConfig::new();
        config
            .set("client.id", "portolan-publisher")
            .set("message.timeout.ms", DELIVERY.as_millis().to_string())
            // 16 MiB on their way: several round trips at the speed of loopback.
            .set("queue.buffering.max.kbytes", "16384")
            .set("linger.ms", "5")
            .set("compression.type", "none");
        for (property, value) in properties {
            config.set(property, value);
        }
        config.set("bootstrap.servers", brokers);
        let context = Context { account: Arc::clone(&account) };
        let producer = ThreadedProducer::from_config_and_context(&config, context);
        Ok(Self { producer: producer.map_err(error)?, account })
    }

    /// Remembers what was delivered, so that [`Self::outstanding`] can tell what is not consumed.
    #[must_use]
    pub fn tracking(self) -> Self {
        self.account.lock().tracked = true;
        self
    }

    /// Sends a message; blocks while too many are on their way.
    pub fn send(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: &[u8],
    ) -> Result<(), PublishError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(payload);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(partition) = partition {
            record = record.partition(partition);
        }
        self.send_record(record)
    }

    /// Sends a tombstone: a compacted topic lets go of the key.
    pub fn forget(&self, topic: &str, key: &[u8]) -> Result<(), PublishError> {
        self.send_record(BaseRecord::to(topic).key(key))
    }

    fn send_record(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), PublishError> {
        let topic = record.topic;
        let deadline = Instant::now() + DELIVERY;
        loop {
            let seen = self.account.pulse.beats();
            match self.producer.send(record) {
                Ok(()) => {
                    self.account.lock().deliveries.sent += 1;
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    if Instant::now() >= deadline {
                        return Err(PublishError::Timeout(DELIVERY));
                    }
                    record = back;
                    self.account.pulse.wait(seen, Duration::from_millis(100));
                }
                Err((problem, _)) => {
                    let problem = problem.to_string();
                    return Err(PublishError::Refused { topic: topic.into(), problem });
                }
            }
        }
    }

    /// Waits until every message was delivered or given up.
    pub fn flush(&self, within: Duration) -> Result<Deliveries, PublishError> {
        self.producer.flush(within).map_err(|problem| match problem {
            KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => PublishError::Timeout(within),
            problem => error(problem),
        })?;
        Ok(self.deliveries())
    }

    /// What became of the messages so far.
    pub fn deliveries(&self) -> Deliveries {
        self.account.lock().deliveries
    }

    /// Why the last message that was given up was.
    pub fn last_error(&self) -> Option<String> {
        self.account.lock().last_error.clone()
    }

    /// Bytes delivered to a partition at or after offset `next`: what a consumer that stands there
    /// has not read. Needs [`Self::tracking`].
    pub fn outstanding(&self, topic: &str, partition: i32, next: i64) -> u64 {
        let mut state = self.account.lock();
        let Some(queue) = state.outstanding.get_mut(&(topic.to_string(), partition)) else {
            return 0;
        };
        while queue.front().is_some_and(|(offset, _)| *offset < next) {
            queue.pop_front();
        }
        queue.iter().map(|(_, bytes)| bytes).sum()
    }

    /// One past the last offset of every partition of a topic.
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<i64>, PublishError> {
        let client = self.producer.client();
        let metadata = client.fetch_metadata(Some(topic), ANSWER).map_err(error)?;
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        let partitions = found.map_or(0, |t| t.partitions().len());
        let end = |partition| client.fetch_watermarks(topic, partition, ANSWER);
        (0..partitions as i32).map(|p| end(p).map(|(_, end)| end).map_err(error)).collect()
    }
}

/// Makes topics on a real broker; those that exist are left as they are. The embedded broker does
/// not know this request: it has [`create_topic`](crate::embedded::EmbeddedBroker::create_topic).
pub fn create_topics(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[(&str, i32)],
) -> Result<(), PublishError> {
    let mut config = ClientConfig::new();
    for (property, value) in properties {
        config.set(property, value);
    }
    config.set("bootstrap.servers", brokers);
    let admin: AdminClient<DefaultClientContext> = config.create().map_err(error)?;
    // -1: as many replicas as the cluster makes by default.
    let wanted: Vec<_> = topics
        .iter()
        .map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(-1)))
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER));
    let made = futures::executor::block_on(admin.create_topics(&wanted, &options));
    for topic in made.map_err(error)? {
        match topic {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, problem)) => {
                return Err(PublishError::Refused { topic, problem: problem.to_string() });
            }
        }
    }
    Ok(())
}

// === impl Account ===

impl Account {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Context ===

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut state = self.account.lock();
        match result {
            Ok(message) => {
                state.deliveries.delivered += 1;
                if state.tracked {
                    let bytes = message.payload_len() as u64 + message.key_len() as u64;
                    let partition = (message.topic().to_string(), message.partition());
                    let queue = state.outstanding.entry(partition).or_default();
                    queue.push_back((message.offset(), bytes));
                }
            }
            Err((problem, _)) => {
                state.deliveries.failed += 1;
                state.last_error = Some(problem.to_string());
            }
        }
        drop(state);
        self.account.pulse.beat();
    }
}

pub(crate) fn error(error: KafkaError) -> PublishError {
    match error {
        KafkaError::ClientConfig(result, _, property, _) => {
            PublishError::Property { property, problem: problem(result).into() }
        }
        error => PublishError::Kafka(error.to_string()),
    }
}
