//! The configuration: a TOML file, overridden by the environment.
//!
//! `PORTOLAN__SECTION__KEY` overrides `section.key`; `PORTOLAN__KAFKA__0__BROKERS` reaches into a
//! list.
//!
//! - No key is ignored: an unknown one is refused at start, from the file and from the environment.
//! - A refusal names the key, the line or the variable, and what is allowed.
//! - The values of Kafka properties that hold secrets never leave: not in an error, not in `Debug`,
//!   not in [`Config::render_masked`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portolan_pipeline::LineConfig;
use portolan_proto::{Encoding, FlowEncoding, InventoryEncoding, OwnerEncoding};
use portolan_storage::LevelOptions;
use serde::{Deserialize, Serialize};

mod check;
mod environment;
mod keys;
mod load;
mod metrics;
mod notes;
mod properties;
mod refused;
mod traces;

pub use metrics::Metrics;
pub use notes::Notes;
pub use properties::Properties;
pub use refused::Refused;
pub use traces::Traces;

/// Everything that can be set. Every section but `kafka` has a default that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the servers listen.
    pub listen: Listen,
    /// Where and how long the map is kept.
    pub store: Store,
    /// How the line counts.
    pub line: Line,
    /// How spans are linked.
    pub traces: Traces,
    /// How metrics are mapped.
    pub metrics: Metrics,
    /// How much of the catalogue and of changes is kept.
    pub notes: Notes,
    /// What is logged.
    pub log: Log,
    /// Bounds on bad input.
    pub limits: Limits,
    /// Where senders are listened to.
    pub receive: Receive,
    /// The Kafka clusters that are read.
    pub kafka: Vec<Kafka>,
    /// Owners that people write down.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inventory: Vec<InventoryFile>,
}

/// `[listen]`: addresses of the servers. Anything but loopback has to be written out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// gRPC and gRPC-Web.
    pub grpc: SocketAddr,
    /// Metrics, health and the web map.
    pub http: SocketAddr,
}

/// `[receive]`: listeners for what comes straight from collectors and SDKs. Without a Kafka cluster
/// both listen on loopback, with one only where that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Receive {
    /// OTLP over gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_grpc: Option<SocketAddr>,
    /// OTLP over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_http: Option<SocketAddr>,
    /// Zipkin. Off unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zipkin: Option<SocketAddr>,
}

/// `[store]`: the directory of the map, and what it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Directory; made if it is not there.
    pub path: PathBuf,
    /// Length of the base window in seconds. Fixed once a store exists.
    pub window_secs: u32,
    /// How long base windows are kept; zero keeps them for ever.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// Bytes on disk that it may take; zero for no bound. Over it the finest level that can be is shortened.
    pub max_bytes: u64,
    /// Levels above the base windows, finest first. Absent: 1 min, 10 min, 1 h and 1 d, those of them that are multiples of
    /// the base window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<Vec<Level>>,
    /// What to do with a store that does not open.
    pub on_damage: OnDamage,
}

/// `[[store.levels]]`: a level above the base windows.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Length of its windows.
    #[serde(with = "humantime_serde")]
    pub length: Duration,
    /// How long they are kept; zero keeps them for ever.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
}

/// What to do with a store whose bytes are damaged.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDamage {
    /// Set it apart, start from the last good copy or from nothing, and read Kafka again.
    Recover,
    /// Stop, and say which steps to take.
    Refuse,
}

/// `[line]`: how the line counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// How long after its end a window is remembered per connection.
    #[serde(with = "humantime_serde")]
    pub horizon: Duration,
    /// How long a claim on an address still moves what was counted of connections whose ends are in doubt.
    #[serde(with = "humantime_serde")]
    pub late_horizon: Duration,
    /// Tolerance between the clocks of flow and ownership sources.
    #[serde(with = "humantime_serde")]
    pub clock_tolerance: Duration,
    /// Most connections, by window, that are remembered.
    pub max_connections: usize,
    /// How often an epoch is committed and becomes visible.
    #[serde(with = "humantime_serde")]
    pub commit_interval: Duration,
    /// Records after which an epoch ends early.
    pub max_epoch_records: u64,
    /// How far back the graph of "now" reaches.
    #[serde(with = "humantime_serde")]
    pub now_range: Duration,
}

/// `[log]`: what is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Form of a line.
    pub format: LogFormat,
    /// Level, or a filter of levels by module.
    pub level: String,
}

/// Form of a log line.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For eyes.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[limits]`: bounds on bad input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest Kafka message that is decoded, in bytes.
    pub max_message_bytes: usize,
    /// How many refused records are kept for `status` to show.
    pub dead_letters: usize,
}

/// `[[kafka]]`: one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Its name in positions, status and metrics. Renaming it means reading it from the start.
    pub name: String,
    /// `host:port`, several with commas.
    pub brokers: String,
    /// Passed on to librdkafka.
    pub properties: Properties,
    /// What is read.
    pub topics: Vec<Topic>,
}

/// `[[kafka.topics]]`: one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How its messages are encoded.
    #[serde(with = "word")]
    pub encoding: Encoding,
    /// The address space of its records, where a record does not name one.
    #[serde(default = "default_scope")]
    pub scope: String,
    /// Whether offsets that are skipped count as lost. Only for topics without transactions and
    /// compaction, which skip offsets in good health.
    #[serde(default)]
    pub gaps_are_losses: bool,
    /// The columns of AWS VPC flow logs, as the flow log's format string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
}

/// `[[inventory]]`: one file of owners, read again when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryFile {
    /// Its name: owners of the file are kept by it.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// How it is written; without it by the end of the file's name.
    #[serde(default, with = "inventory_word", skip_serializing_if = "Option::is_none")]
    pub encoding: Option<InventoryEncoding>,
    /// The address space of entries that name none.
    #[serde(default = "default_scope")]
    pub scope: String,
}

fn default_scope() -> String {
    "default".to_owned()
}

// === impl Config ===

impl Config {
    /// What the pure stages need of it.
    pub fn line_config(&self) -> LineConfig {
        let defaults = LineConfig::default();
        LineConfig {
            window: portolan_model::WindowLen::try_new(self.store.window_secs)
                .unwrap_or(defaults.window),
            horizon_secs: self.line.horizon.as_secs() as u32,
            late_secs: self.line.late_horizon.as_secs() as u32,
            retention_secs: self.store.retention.as_secs() as u32,
            clock_tolerance_ms: self.line.clock_tolerance.as_millis() as u32,
            max_connections: self.line.max_connections,
            traces: self.traces.to_line(),
            metrics: self.metrics.to_line(),
            notes: self.notes.to_line(),
            ..defaults
        }
    }
}

impl Config {
    /// What is listened on for senders of OTLP: gRPC and HTTP. The ports are those that OTLP has by default.
    pub fn receivers(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        match (self.receive.otlp_grpc, self.receive.otlp_http) {
            (None, None) if self.kafka.is_empty() => (
                Some(SocketAddr::from(([127, 0, 0, 1], 4317))),
                Some(SocketAddr::from(([127, 0, 0, 1], 4318))),
            ),
            set => set,
        }
    }
}

// === impl Listen ===

impl Default for Listen {
    fn default() -> Self {
        // Two neighbours that IANA has assigned to nobody.
        Self {
            grpc: SocketAddr::from(([127, 0, 0, 1], 7474)),
            http: SocketAddr::from(([127, 0, 0, 1], 7475)),
        }
    }
}

// === impl Store ===

impl Default for Store {
    fn default() -> Self {
        let line = LineConfig::default();
        Self {
            path: PathBuf::from("portolan-store"),
            window_secs: line.window.secs(),
            retention: Duration::from_secs(u64::from(line.retention_secs)),
            max_bytes: 0,
            levels: None,
            on_damage: OnDamage::Recover,
        }
    }
}

// === impl Level ===

impl From<Level> for LevelOptions {
    fn from(level: Level) -> Self {
        let seconds = |of: Duration| u32::try_from(of.as_secs()).unwrap_or(u32::MAX);
        Self { secs: seconds(level.length), retention_secs: seconds(level.retention) }
    }
}

// === impl Line ===

impl Default for Line {
    fn default() -> Self {
        let line = LineConfig::default();
        Self {
            horizon: Duration::from_secs(u64::from(line.horizon_secs)),
            late_horizon: Duration::from_secs(u64::from(line.late_secs)),
            clock_tolerance: Duration::from_millis(u64::from(line.clock_tolerance_ms)),
            max_connections: line.max_connections,
            // Event to visible is held under 2 s at the 99th percentile: half of it is waiting.
            commit_interval: Duration::from_secs(1),
            // One second of the throughput that the whole line is held to.
            max_epoch_records: 1_000_000,
            // Long enough for a call that happens once a minute to stay on the map.
            now_range: Duration::from_secs(300),
        }
    }
}

// === impl Log ===

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        // As many dead letters as an eye can go through.
        Self { max_message_bytes: portolan_proto::DEFAULT_MAX_MESSAGE_BYTES, dead_letters: 100 }
    }
}

// === impl Kafka ===

impl Default for Kafka {
    fn default() -> Self {
        Self {
            name: "main".to_owned(),
            brokers: String::new(),
            properties: Properties::default(),
            topics: Topic::defaults(),
        }
    }
}

// === impl InventoryFile ===

impl InventoryFile {
    /// How it is written, if that is said or shows.
    pub fn encoding(&self) -> Option<InventoryEncoding> {
        self.encoding.or_else(|| InventoryEncoding::of_file(self.path.to_str()?))
    }
}

// === impl Topic ===

impl Topic {
    /// What is read where nothing else is said.
    pub fn defaults() -> Vec<Self> {
        [
            ("network-flows", Encoding::Flow(FlowEncoding::NetobservPb)),
            ("portolan.ownership", Encoding::Owner(OwnerEncoding::PortolanPb)),
        ]
        .map(|(name, encoding)| Self {
            name: name.to_owned(),
            encoding,
            scope: default_scope(),
            gaps_are_losses: false,
            fields: None,
        })
        .into()
    }
}

/// Durations as people write them (`1s`, `10m`, `7days`).
mod humantime_serde {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text)
            .map_err(|e| D::Error::custom(format_args!("\"{text}\" is not a duration ({e})")))
    }
}

/// Encodings by the words that `proto` has for them.
mod word {
    use portolan_proto::Encoding;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(value: &Encoding, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Encoding, D::Error> {
        let word = String::deserialize(from)?;
        word.parse().map_err(|_| D::Error::custom(format_args!("\"{word}\" is not an encoding")))
    }
}

/// Encodings of inventories likewise.
mod inventory_word {
    use portolan_proto::InventoryEncoding;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    type Word = Option<InventoryEncoding>;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(value: &Word, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(encoding) => to.collect_str(encoding),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
        let word = String::deserialize(from)?;
        word.parse()
            .map(Some)
            .map_err(|_| D::Error::custom(format_args!("\"{word}\" is not an encoding")))
    }
}

#[cfg(test)]
mod tests;
