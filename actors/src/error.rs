//! What can be wrong at the start, and why a running line ended.

use std::time::Duration;

use portolan_pipeline::feed::Left;

/// Why the line does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be meant.
    #[error("{key} {problem}")]
    Setting {
        /// Which one.
        key: String,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// librdkafka refuses a property. Its value is not repeated: it may be a secret.
    #[error("kafka cluster {cluster}: librdkafka refuses property {property}: {problem}")]
    Property {
        /// Cluster, by its configured name.
        cluster: String,
        /// Property.
        property: String,
        /// What librdkafka says.
        problem: String,
    },
    /// librdkafka gives no client.
    #[error("kafka cluster {cluster}: {problem}")]
    Client {
        /// Cluster, by its configured name.
        cluster: String,
        /// What librdkafka says.
        problem: String,
    },
    /// The store does not say where the line stands.
    #[error(transparent)]
    Store(#[from] portolan_storage::Error),
    /// The operating system gives no thread.
    #[error("no thread for the line")]
    Thread(#[source] std::io::Error),
}

/// Why a line that ran has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExitReason {
    /// It was told to, and everything it had read is committed.
    #[error("stopped, everything read is committed")]
    Stopped,
    /// It was told to, and could not commit all it had read in time. Nothing is lost: what is not
    /// committed is read again at the next start.
    #[error(
        "stopped early ({reason}): {} records in {} epochs on their way were cut off, and {} \
         sources had batches in hand; all of it is read again at the next start",
        cut.records, cut.epochs, cut.sources
    )]
    StoppedEarly {
        /// What had been read and was not committed.
        cut: Left,
        /// Why it did not wait for it.
        reason: String,
    },
    /// Stages failed too often.
    #[error("{failures} failures within {}: the last was {stage}: {reason}", secs(*.within))]
    RestartBudget {
        /// How many failures.
        failures: usize,
        /// Within what time.
        within: Duration,
        /// Which stage failed last.
        stage: String,
        /// What it said.
        reason: String,
    },
    /// The store cannot go on.
    #[error("store: {0}")]
    Store(String),
    /// The store has to be opened anew: the disk was full or failed, and there is room again. Started once more, the line goes on.
    #[error("store: {0}")]
    Reopen(String),
    /// librdkafka cannot go on.
    #[error("kafka cluster {cluster}: {reason}")]
    Kafka {
        /// Cluster, by its configured name.
        cluster: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The supervisor itself failed: a bug.
    #[error("the supervisor failed: {0}")]
    Supervisor(String),
}

// === impl ExitReason ===

impl ExitReason {
    /// Whether it ended because it was told to.
    pub const fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped | Self::StoppedEarly { .. })
    }
}

fn secs(time: Duration) -> String {
    format!("{} s", time.as_secs())
}
