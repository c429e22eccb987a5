//! A store that takes no more writes is opened anew, without leaving the process: as after a restart, nothing is lost.

use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use portolan_storage::Error;

use super::{Server, start};
use crate::config::Config;

/// A store that stops as often as this …
const OFTEN: usize = 5;
/// … within this time has another trouble than a disk that was full once: the process ends.
const WITHIN: Duration = Duration::from_secs(600);

/// How long whoever still reads the old store may take, and a disk that was filled up again may stay so.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// When the store was opened anew.
#[derive(Debug, Default)]
pub(super) struct Reopened(Vec<Instant>);

// === impl Reopened ===

impl Reopened {
    /// Whether it may be done once more.
    pub(super) fn once_more(&mut self) -> bool {
        let now = Instant::now();
        self.0.retain(|at| now.duration_since(*at) < WITHIN);
        self.0.push(now);
        self.0.len() <= OFTEN
    }
}

/// Starts the server again, as soon as the last reader of the old store has let go of it.
pub(super) async fn reopen(config: &Config, metrics: PrometheusHandle) -> anyhow::Result<Server> {
    let patience = Instant::now() + PATIENCE;
    loop {
        match start(config, metrics.clone()).await {
            Err(error) if Instant::now() < patience && passes(&error) => {
                tracing::warn!(%error, "the store cannot be opened yet");
                tokio::time::sleep(PAUSE).await;
            }
            started => return started,
        }
    }
}

/// Whether it is likely to be better in a moment.
fn passes(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref()).any(|error| {
        matches!(error, Error::Locked { .. } | Error::Full { .. } | Error::Stopped { .. })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_that_stops_again_and_again_is_given_up() {
        let mut reopened = Reopened::default();
        assert!((0..OFTEN).all(|_| reopened.once_more()));
        assert!(!reopened.once_more());
    }
}
