//! Wakes whoever waits for room: a counter that moves when a mailbox gave a slot back, an epoch was
//! committed, or the line is to stop. Threads and tasks can wait for it to move.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// See the module.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: Mutex<u64>,
    moved: Condvar,
    notify: Notify,
}

// === impl Pulse ===

impl Pulse {
    /// Wakes all that wait.
    pub fn beat(&self) {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.moved.notify_all();
        self.notify.notify_waiters();
    }

    /// How often it has beaten.
    pub fn beats(&self) -> u64 {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks the thread until it has beaten more often than `seen`, at most for `timeout`. Read
    /// [`Self::beats`] before the look that found nothing to do, and no beat is missed.
    pub fn wait(&self, seen: u64, timeout: Duration) {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.moved.wait_timeout_while(beats, timeout, |beats| *beats <= seen));
    }

    /// Waits likewise in a task.
    pub async fn moved(&self, seen: u64, timeout: Duration) {
        let notified = self.notify.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if self.beats() <= seen {
            // A timeout is an answer, too: the caller looks again either way.
            let _ = tokio::time::timeout(timeout, notified).await;
        }
    }
}
