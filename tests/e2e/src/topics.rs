//! Topics of a broker, from the side of a test: make, write, read, and let retention eat.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::Broker;

/// A broker that was killed with much data needs 12 s to come back; then three times that.
const PATIENCE: Duration = Duration::from_secs(40);

/// Topics of one broker.
pub struct Topics<'a> {
    broker: &'a Broker,
}

/// A producer that is kept: making one costs half a second, which is how long it takes to learn its
/// id from the broker.
pub struct Writer {
    producer: ThreadedProducer<Deliveries>,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

/// Where a message ended up.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Produced {
    /// Partition.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
}

/// Collects what the broker acknowledged.
#[derive(Default)]
struct Deliveries(Arc<Mutex<Vec<Outcome>>>);

/// Index of the message and its place, or why it has none.
type Outcome = Result<(usize, Produced), String>;

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Box<usize>) {
        let outcome = match result {
            Ok(m) => Ok((*index, Produced { partition: m.partition(), offset: m.offset() })),
            Err((error, _)) => Err(error.to_string()),
        };
        self.0.lock().expect("no holder of this lock panics").push(outcome);
    }
}

// === impl Writer ===

impl Writer {
    /// Writes messages as [`Topics::produce`] does.
    pub fn produce<'m>(
        &mut self,
        topic: &str,
        messages: impl IntoIterator<Item = (i32, &'m [u8], &'m [u8])>,
    ) -> anyhow::Result<Vec<Produced>> {
        let mut sent = 0;
        for (partition, key, value) in messages {
            let mut record = BaseRecord::with_opaque_to(topic, Box::new(sent))
                .partition(partition)
                .payload(value);
            if !key.is_empty() {
                record = record.key(key);
            }
            let deadline = Instant::now() + PATIENCE;
            while let Err((error, back)) = self.producer.send(record) {
                self.wait_for_room(topic, &error)?;
                ensure!(Instant::now() < deadline, "{topic}: {error}");
                record = back;
            }
            sent += 1;
        }
        self.producer.flush(PATIENCE)?;
        let outcomes = std::mem::take(&mut *self.outcomes.lock().expect("no holder panics"));
        ensure!(outcomes.len() == sent, "{topic}: {} of {sent} answered", outcomes.len());
        let acknowledged: Result<BTreeMap<_, _>, _> = outcomes.into_iter().collect();
        Ok(acknowledged.map_err(anyhow::Error::msg)?.into_values().collect())
    }

    /// Waits where waiting helps: for room in the queue, or for news of a partition that was added
    /// after this producer last asked.
    fn wait_for_room(&self, topic: &str, error: &KafkaError) -> anyhow::Result<()> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => std::thread::sleep(Duration::from_millis(5)),
            Some(RDKafkaErrorCode::UnknownPartition) => {
                self.producer.client().fetch_metadata(Some(topic), PATIENCE)?;
            }
            _ => bail!("{topic}: {error}"),
        }
        Ok(())
    }
}

// === impl Topics ===

impl<'a> Topics<'a> {
    pub(crate) fn new(broker: &'a Broker) -> Self {
        Self { broker }
    }

    /// Makes a topic, with settings such as `("max.message.bytes", "1024")` (the stand-in takes
    /// none), and returns when its partitions can be written to.
    pub fn create(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        match self.broker {
            Broker::Real(_) => {
                let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
                for &(key, value) in settings {
                    topic = topic.set(key, value);
                }
                let outcome =
                    self.admin(|admin, options| admin.create_topics([&topic], options))?;
                Self::all_done(outcome)?;
            }
            Broker::Embedded(embedded, _) => embedded.create_topic(name, partitions)?,
        }
        self.wait_for_leaders(name, partitions)
    }

    /// Adds partitions up to `partitions`. Only the real broker can.
    pub fn grow(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        self.only_real("add partitions")?;
        let wanted = NewPartitions::new(name, partitions.try_into()?);
        let outcome = self.admin(|admin, options| admin.create_partitions([&wanted], options))?;
        Self::all_done(outcome)?;
        self.wait_for_leaders(name, partitions)
    }

    /// Removes a topic and everything in it. Only the real broker can.
    pub fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.only_real("delete topics")?;
        Self::all_done(self.admin(|admin, options| admin.delete_topics(&[name], options))?)
    }

    /// Removes all records before an offset, as retention would. Only the real broker can.
    pub fn delete_records_before(
        &self,
        name: &str,
        partition: i32,
        offset: i64,
    ) -> anyhow::Result<()> {
        self.only_real("delete records")?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(offset))?;
        let outcome = self.admin(|admin, options| admin.delete_records(&list, options))?;
        for element in outcome.elements() {
            element.error()?;
        }
        Ok(())
    }

    /// Writes messages `(partition, key, value)`, all acknowledged when it returns; an empty key is
    /// no key. Answers in the order of the messages.
    pub fn produce<'m>(
        &self,
        topic: &str,
        messages: impl IntoIterator<Item = (i32, &'m [u8], &'m [u8])>,
    ) -> anyhow::Result<Vec<Produced>> {
        self.writer()?.produce(topic, messages)
    }

    /// A producer for many calls.
    pub fn writer(&self) -> anyhow::Result<Writer> {
        let deliveries = Deliveries::default();
        let outcomes = Arc::clone(&deliveries.0);
        let producer = self
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.timeout.ms", PATIENCE.as_millis().to_string())
            .set("message.max.bytes", "20000000")
            .create_with_context(deliveries)?;
        Ok(Writer { producer, outcomes })
    }

    /// First and next offset of a partition.
    pub fn watermarks(&self, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
        let consumer: BaseConsumer = self.client().create()?;
        Ok(consumer.fetch_watermarks(topic, partition, PATIENCE)?)
    }

    /// Reads a partition from its first record to its present end.
    pub fn read(&self, topic: &str, partition: i32) -> anyhow::Result<Vec<Vec<u8>>> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "portolan-e2e")
            .set("enable.auto.commit", "false")
            .create()?;
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(low))?;
        consumer.assign(&list)?;
        let mut values = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        let mut next = low;
        while next < high {
            ensure!(Instant::now() < deadline, "{topic}/{partition}: read up to {next} of {high}");
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                let message = message?;
                next = message.offset() + 1;
                values.push(message.payload().unwrap_or_default().to_vec());
            }
        }
        Ok(values)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.bootstrap());
        config
    }

    fn only_real(&self, what: &str) -> anyhow::Result<()> {
        if self.broker.real().is_none() {
            bail!("the embedded broker cannot {what}");
        }
        Ok(())
    }

    fn admin<F, T>(
        &self,
        call: impl FnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = rdkafka::error::KafkaResult<T>>,
    {
        let admin: AdminClient<_> = self.client().create()?;
        let options =
            AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(call(&admin, &options))?)
    }

    fn all_done(outcome: Vec<rdkafka::admin::TopicResult>) -> anyhow::Result<()> {
        for each in outcome {
            each.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}"))?;
        }
        Ok(())
    }

    fn wait_for_leaders(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let consumer: BaseConsumer = self.client().create()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metadata = consumer.fetch_metadata(Some(name), PATIENCE)?;
            let topic = metadata.topics().first().context("metadata without the topic")?;
            let led = topic.partitions().iter().filter(|p| p.leader() >= 0).count();
            if topic.error().is_none() && led == usize::try_from(partitions)? {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{name}: {led} of {partitions} partitions have a leader"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
