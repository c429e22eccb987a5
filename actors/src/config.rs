//! What can be set about the shell, with defaults that hold. No bound has an unbounded default.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portolan_pipeline::LineConfig;
use portolan_proto::{
    DEFAULT_MAX_MESSAGE_BYTES, Encoding, Families, FlowDecoder, UnknownVpcFields,
};

use crate::{Error, Local};

/// A topic to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Name.
    pub name: String,
    /// What its messages are.
    pub encoding: Encoding,
    /// Scope of the addresses in it (ownership records may name their own).
    pub scope: String,
    /// Offsets missing in the middle count as lost. Set it for topics without transactions and
    /// compaction; elsewhere gaps are normal.
    pub gaps_are_losses: bool,
    /// The columns of AWS VPC flow logs, as the flow log's format string; none for the default.
    pub fields: Option<String>,
}

/// A Kafka cluster to read from.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaCluster {
    /// Name in positions, status and metrics. Renaming a cluster makes the line read it anew.
    pub name: String,
    /// `bootstrap.servers`.
    pub brokers: String,
    /// librdkafka properties, passed through. Never logged: they hold secrets.
    pub properties: BTreeMap<String, String>,
    /// Topics.
    pub topics: Vec<Topic>,
}

/// How often the line may be reset.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RestartBudget {
    /// This many failures are survived …
    pub restarts: usize,
    /// … within this time; one more ends the process.
    pub within: Duration,
}

/// Settings of the shell.
#[derive(Clone, Debug)]
pub struct ActorsConfig {
    /// Clusters.
    pub clusters: Vec<KafkaCluster>,
    /// Local topics.
    pub local: Option<Local>,
    /// Settings of the stages.
    pub line: LineConfig,
    /// Consumer group that offsets are shown under, for lag tools. Nothing is read from it.
    pub group_id: String,
    /// How long an epoch lasts while records arrive.
    pub commit_interval: Duration,
    /// How long an epoch lasts while none do: windows move on and an idle map empties.
    pub idle_interval: Duration,
    /// An epoch ends early at this many records, and stalls the sources if it cannot.
    pub max_epoch_records: u64,
    /// Epochs on their way through the line at a time.
    pub epochs_in_flight: u64,
    /// Messages (batches) that wait for a stage.
    pub mailbox_capacity: usize,
    /// Records of a batch.
    pub batch_rows: usize,
    /// The longest that a record waits in an unfinished batch.
    pub batch_delay: Duration,
    /// Resets.
    pub restart_budget: RestartBudget,
    /// How often topics are looked at for new partitions.
    pub metadata_refresh: Duration,
    /// How often the ends of partitions are looked up, for lag.
    pub offsets_refresh: Duration,
    /// A partition that is read to its end and gave nothing for this long no longer holds the
    /// watermark back.
    pub partition_idle: Duration,
    /// How often commits are made to survive a power loss.
    pub sync_interval: Duration,
    /// How long a stop waits for what was read to be committed.
    pub drain_deadline: Duration,
    /// Largest message that is decoded.
    pub max_message_bytes: usize,
    /// Which metrics are read, and how.
    pub families: Arc<Families>,
    /// Refused messages kept as samples.
    pub dead_letters: usize,
    /// Bytes of each that are kept.
    pub dead_letter_head: usize,
}

/// Properties that exactly-once reading rests on: setting them to anything else would break it.
const OWN_PROPERTIES: [&str; 7] = [
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
    "allow.auto.create.topics",
];

// === impl ActorsConfig ===

impl Default for ActorsConfig {
    fn default() -> Self {
        Self {
            clusters: Vec::new(),
            local: None,
            line: LineConfig::default(),
            group_id: "portolan".into(),
            // Half of the freshness aimed at (design, section 8).
            commit_interval: Duration::from_secs(1),
            idle_interval: Duration::from_secs(5),
            // Half a second at the aimed 2 M records/s: a full epoch stays below a second.
            max_epoch_records: 1_000_000,
            epochs_in_flight: 2,
            // 4 batches hold 16 k records in 1.6 MB, several times what a wake-up costs.
            mailbox_capacity: 4,
            // 400 KB of columns: past 1,024 records the mailbox no longer shows in the cost of one.
            batch_rows: 4_096,
            // A tenth of an epoch.
            batch_delay: Duration::from_millis(100),
            restart_budget: RestartBudget { restarts: 5, within: Duration::from_secs(600) },
            metadata_refresh: Duration::from_secs(10),
            offsets_refresh: Duration::from_secs(1),
            partition_idle: Duration::from_secs(5),
            sync_interval: Duration::from_secs(3),
            // Docker kills 10 s after it asks to stop, and closing takes a moment, too.
            drain_deadline: Duration::from_secs(7),
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            families: Arc::default(),
            dead_letters: 100,
            dead_letter_head: 256,
        }
    }
}

impl ActorsConfig {
    /// Refuses what cannot be meant.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |key: &str, problem: &str| {
            Err(Error::Setting { key: key.into(), problem: problem.into() })
        };
        for (key, zero) in [
            ("commit_interval", self.commit_interval.is_zero()),
            ("idle_interval", self.idle_interval.is_zero()),
            ("max_epoch_records", self.max_epoch_records == 0),
            ("epochs_in_flight", self.epochs_in_flight == 0),
            ("mailbox_capacity", self.mailbox_capacity == 0),
            ("batch_rows", self.batch_rows == 0),
            ("metadata_refresh", self.metadata_refresh.is_zero()),
            ("offsets_refresh", self.offsets_refresh.is_zero()),
            ("sync_interval", self.sync_interval.is_zero()),
            ("max_message_bytes", self.max_message_bytes == 0),
        ] {
            if zero {
                return wrong(key, "must be more than 0");
            }
        }
        if self.clusters.is_empty() && self.local.is_none() {
            return wrong("kafka", "must name at least one cluster where nothing else is read");
        }
        let mut names = BTreeSet::new();
        for cluster in &self.clusters {
            if cluster.name == portolan_storage::LOCAL {
                return wrong("kafka.name", "must not be that of the local topics");
            }
            if !names.insert(&cluster.name) {
                return wrong("kafka.name", &format!("{:?} is used twice", cluster.name));
            }
            cluster.validate()?;
        }
        Ok(())
    }
}

// === impl Topic ===

impl Topic {
    /// A decoder of its messages.
    pub(crate) fn decoder(&self, max_bytes: usize) -> Result<FlowDecoder, UnknownVpcFields> {
        let decoder = FlowDecoder::new(max_bytes);
        self.fields.iter().try_fold(decoder, |decoder, fields| decoder.with_vpc_fields(fields))
    }
}

// === impl KafkaCluster ===

impl KafkaCluster {
    fn validate(&self) -> Result<(), Error> {
        let wrong = |key: &str, problem: String| {
            Err(Error::Setting { key: format!("kafka.{}.{key}", self.name), problem })
        };
        if self.brokers.is_empty() {
            return wrong("brokers", "must name at least one HOST:PORT".into());
        }
        if self.topics.is_empty() {
            return wrong("topics", "must name at least one topic".into());
        }
        let mut names = BTreeSet::new();
        for topic in &self.topics {
            if topic.name.is_empty() || !names.insert(&topic.name) {
                return wrong("topics", format!("{:?} is empty or named twice", topic.name));
            }
        }
        for topic in &self.topics {
            if let Err(error) = topic.decoder(0) {
                return wrong(&format!("{}.fields", topic.name), format!("is not usable: {error}"));
            }
        }
        for property in OWN_PROPERTIES {
            if self.properties.contains_key(property) {
                let problem = format!("must not set {property}: portolan sets it itself");
                return wrong("properties", problem);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for KafkaCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaCluster")
            .field("name", &self.name)
            .field("brokers", &self.brokers)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("topics", &self.topics)
            .finish()
    }
}
