//! The handle of a line that runs.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::ExitReason;
use crate::status::Status;

/// A line that runs. Dropping it stops the line, without waiting.
#[derive(Debug)]
pub struct Running {
    status: Arc<Status>,
    stop: watch::Sender<bool>,
    exit: watch::Receiver<Option<ExitReason>>,
}

// === impl Running ===

impl Running {
    pub(crate) fn new(
        status: Arc<Status>,
        stop: watch::Sender<bool>,
        exit: watch::Receiver<Option<ExitReason>>,
    ) -> Self {
        Self { status, stop, exit }
    }

    /// What it is doing.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Tells it to commit what it has read and to end. [`Self::wait`] says when it has.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for its end, for whatever reason. The store is closed by then.
    pub async fn wait(&self) -> ExitReason {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(reason)) => reason.clone(),
            _ => ExitReason::Supervisor("its thread is gone".into()),
        }
    }

    /// Waits likewise, and blocks the thread. Not for use inside a runtime.
    pub fn wait_blocking(&self) -> ExitReason {
        futures::executor::block_on(self.wait())
    }

    /// Why it ended, if it has.
    pub fn ended(&self) -> Option<ExitReason> {
        self.exit.borrow().clone()
    }
}
