//! `[metrics]`: how IPC metrics are mapped, and which are beside those that are known.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_pipeline::MetricConfig;
use portolan_proto::{EndKeys, Families, FamilyFault, FamilyRule, FamilyTable, StatusKeys};
use serde::{Deserialize, Serialize};

/// How metrics are mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// How long after its window a point is remembered.
    #[serde(with = "super::humantime_serde")]
    pub horizon: Duration,
    /// The longest time between two points of a series.
    #[serde(with = "super::humantime_serde")]
    pub gap: Duration,
    /// Most points that are remembered.
    pub max_points: usize,
    /// Ends of calls by name, beside those of the defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ends: BTreeMap<String, EndKeys>,
    /// Labels that say how calls ended, in place of those of the defaults.
    #[serde(skip_serializing_if = "is_unset")]
    pub status: StatusKeys,
    /// Families, in front of those of the defaults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<FamilyRule>,
}

fn is_unset(status: &StatusKeys) -> bool {
    *status == StatusKeys::default()
}

impl Metrics {
    /// As the line takes it.
    pub(super) fn to_line(&self) -> MetricConfig {
        MetricConfig {
            horizon_secs: self.horizon.as_secs() as u32,
            gap_secs: self.gap.as_secs() as u32,
            max_points: self.max_points,
        }
    }

    /// Which metrics are read, and how.
    ///
    /// # Errors
    /// A family that cannot be used.
    pub fn families(&self) -> Result<Families, FamilyFault> {
        Families::try_new(&FamilyTable {
            ends: self.ends.clone(),
            status: self.status.clone(),
            families: self.families.clone(),
        })
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let line = MetricConfig::default();
        let secs = |secs: u32| Duration::from_secs(u64::from(secs));
        Self {
            horizon: secs(line.horizon_secs),
            gap: secs(line.gap_secs),
            max_points: line.max_points,
            ends: BTreeMap::new(),
            status: StatusKeys::default(),
            families: Vec::new(),
        }
    }
}
