//! The line's own account, in the form that the API gives it.

use std::sync::Arc;

use portolan_actors::Status;
use portolan_actors::status::LineState;
use portolan_api::{FreshnessStatus, LineStatus, PartitionStatus, StageStatus, StatusPort};

/// The status of a running line.
pub struct Vitals {
    /// The line's tables.
    pub status: Arc<Status>,
    /// Where the store is.
    pub store_path: String,
    /// What was done about a damaged store at the start; empty if nothing.
    pub recovery: String,
}

impl StatusPort for Vitals {
    fn status(&self) -> LineStatus {
        let (state, mut reason) = state(&self.status.state());
        if reason.is_empty() {
            reason.clone_from(&self.recovery);
        }
        let freshness = self.status.freshness().unwrap_or_default();
        LineStatus {
            state,
            reason,
            started: self.status.started(),
            partitions: self.status.partitions().into_iter().map(partition).collect(),
            stages: self.status.stages().into_iter().map(stage).collect(),
            dead_letters: self.status.dead_letters(),
            freshness: FreshnessStatus {
                samples: freshness.records,
                p50_us: freshness.p50.as_micros() as u64,
                p99_us: freshness.p99.as_micros() as u64,
                max_us: freshness.max.as_micros() as u64,
            },
            restarts: self.status.restarts() as u32,
            store_path: self.store_path.clone(),
        }
    }
}

/// The state in the API's words, with its reasons.
pub fn state(state: &LineState) -> (portolan_api::LineState, String) {
    use portolan_api::LineState as Api;
    match state {
        LineState::Starting => (Api::Starting, String::new()),
        LineState::Running => (Api::Running, String::new()),
        LineState::Degraded(reasons) => {
            let reasons: Vec<String> =
                reasons.iter().map(|(of, why)| format!("{of}: {why}")).collect();
            (Api::Degraded, reasons.join("; "))
        }
        LineState::Stopping => (Api::Stopping, String::new()),
        LineState::Stopped => (Api::Stopping, "stopped".to_owned()),
    }
}

fn partition(
    (partition, status): (portolan_model::TopicPartition, portolan_actors::status::PartitionStatus),
) -> PartitionStatus {
    PartitionStatus {
        partition,
        next: status.next,
        end: status.end,
        watermark: status.watermark,
        paused: status.paused,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map wants")]
fn stage(report: portolan_actors::status::StageReport) -> StageStatus {
    StageStatus {
        name: report.name.to_owned(),
        generation: report.generation,
        batches: report.batches,
        records: report.records,
        mailbox_depth: report.depth as u64,
        mailbox_capacity: report.capacity as u64,
    }
}
