//! `[traces]`: how spans are linked.

use std::time::Duration;

use portolan_pipeline::TraceConfig;
use serde::{Deserialize, Serialize};

/// How spans are linked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// How long half a call waits for its counterpart.
    #[serde(with = "super::humantime_serde")]
    pub wait: Duration,
    /// How long after its last span a trace is remembered.
    #[serde(with = "super::humantime_serde")]
    pub horizon: Duration,
    /// How long a message may lie in its queue for its consumer to be linked to its producer.
    #[serde(with = "super::humantime_serde")]
    pub link_lag: Duration,
    /// Most spans that are remembered.
    pub max_spans: usize,
    /// Most operations of a server that are kept apart.
    pub max_operations: usize,
    /// Most traces that are kept as exemplars of edges.
    pub max_exemplars: usize,
    /// Name of who calls from outside.
    pub user: String,
    /// Only both halves of a call prove who called.
    pub strict: bool,
    /// Which links between spans are calls.
    pub links: LinkChoice,
}

/// Which links between spans are calls.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkChoice {
    /// Those of what takes a message to what made it.
    Messaging,
    /// All.
    All,
}

impl Traces {
    /// As the line takes it.
    pub(super) fn to_line(&self) -> TraceConfig {
        let defaults = TraceConfig::default();
        let wait_secs = self.wait.as_secs() as u32;
        TraceConfig {
            wait_secs,
            database_wait_secs: defaults.database_wait_secs.min(wait_secs),
            horizon_secs: self.horizon.as_secs() as u32,
            link_secs: self.link_lag.as_secs() as u32,
            max_spans: self.max_spans,
            max_links: (self.max_spans / 4).max(1),
            max_operations: self.max_operations,
            max_exemplars: self.max_exemplars,
            user: self.user.clone(),
            strict: self.strict,
            all_links: self.links == LinkChoice::All,
            ..defaults
        }
    }
}

impl Default for Traces {
    fn default() -> Self {
        let line = TraceConfig::default();
        let secs = |secs: u32| Duration::from_secs(u64::from(secs));
        Self {
            wait: secs(line.wait_secs),
            horizon: secs(line.horizon_secs),
            link_lag: secs(line.link_secs),
            max_spans: line.max_spans,
            max_operations: line.max_operations,
            max_exemplars: line.max_exemplars,
            user: line.user,
            strict: line.strict,
            links: if line.all_links { LinkChoice::All } else { LinkChoice::Messaging },
        }
    }
}
