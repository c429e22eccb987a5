//! How librdkafka is set up, and where what it says goes.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaConfRes;

use crate::config::{ActorsConfig, KafkaCluster};
use crate::error::Error;

/// Receives what librdkafka has to say.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    cluster: String,
}

/// A consumer of one cluster.
pub(crate) type Consumer = BaseConsumer<Context>;

/// The properties of a cluster's consumer: ours, then the configured ones, then those that reading
/// exactly once rests on.
pub(crate) fn properties(cluster: &KafkaCluster, config: &ActorsConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    let refresh = config.metadata_refresh.as_millis().clamp(1, 3_600_000).to_string();
    client
        .set("client.id", "portolan")
        // Memory of what is fetched ahead; at 100 bytes a record 300 k records.
        .set("queued.max.messages.kbytes", "32768")
        // With the default of 1 s a full queue would add a second to every record behind it.
        .set("fetch.queue.backoff.ms", "50")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "200")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("topic.metadata.refresh.interval.ms", refresh);
    for (property, value) in &cluster.properties {
        client.set(property, value);
    }
    client
        .set("bootstrap.servers", &cluster.brokers)
        // Only names the offsets for lag tools: partitions are assigned, no group is joined.
        .set("group.id", &config.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // An offset that is gone is a loss to be counted, never a silent jump.
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false");
    client
}

/// Refuses properties that librdkafka does not take.
pub(crate) fn check(cluster: &KafkaCluster, config: &ActorsConfig) -> Result<(), Error> {
    properties(cluster, config)
        .create_native_config()
        .map(drop)
        .map_err(|error| refused(cluster, error))
}

/// A consumer with nothing assigned.
pub(crate) fn consumer(cluster: &KafkaCluster, config: &ActorsConfig) -> Result<Consumer, Error> {
    let context = Context { cluster: cluster.name.clone() };
    let made = Consumer::from_config_and_context(&properties(cluster, config), context);
    made.map_err(|error| refused(cluster, error))
}

/// The error without the value of the property.
fn refused(cluster: &KafkaCluster, error: KafkaError) -> Error {
    let cluster = cluster.name.clone();
    match error {
        KafkaError::ClientConfig(result, _, property, _) => {
            Error::Property { cluster, property, problem: problem(result).into() }
        }
        error => Error::Client { cluster, problem: error.to_string() },
    }
}

/// What is wrong with a property, without its value.
pub(crate) fn problem(result: RDKafkaConfRes) -> &'static str {
    match result {
        RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN => {
            "there is no such property, or it was built without it"
        }
        _ => "its value is not one of the allowed",
    }
}

// === impl Context ===

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let cluster = &self.cluster;
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", cluster, facility, message);
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", cluster, facility, message);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Polling returns it, too; the reason is only told here.
        tracing::debug!(target: "librdkafka", cluster = self.cluster, %error, reason);
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            // Best effort: these offsets are for lag tools only.
            tracing::debug!(cluster = self.cluster, %error, "kafka did not take the offsets");
        }
    }

    fn main_queue_min_poll_interval(&self) -> rdkafka::util::Timeout {
        rdkafka::util::Timeout::After(Duration::from_secs(1))
    }
}
