//! Work off the runtime: on blocking threads, a bounded number at once, given up when nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// Tells work that nobody waits for it any more. Work looks every few thousand rows at the latest.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

/// A bounded number of places for blocking work.
#[derive(Debug)]
pub(crate) struct Places {
    places: Arc<Semaphore>,
    wait: Duration,
}

/// Cancels when the future that holds it is dropped.
struct Guard(Cancel);

// === impl Cancel ===

impl Cancel {
    /// Fails if nobody waits.
    pub fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Says that nobody waits.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// === impl Guard ===

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

// === impl Places ===

impl Places {
    pub(crate) fn new(places: usize, wait: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), wait }
    }

    /// Does blocking work when there is a place for it. The place is taken until the work really
    /// ends, so that given-up work cannot pile up.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.place().await?;
        let guard = Guard(Cancel::default());
        let cancel = guard.0.clone();
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || {
            let _place = place;
            span.in_scope(|| work(&cancel))
        })
        .await?
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let place = self.places.clone().acquire_owned();
        match tokio::time::timeout(self.wait, place).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }
}

/// Does two pieces of work at once, one of them on a thread of its own, and ends when both have.
pub(crate) fn both<A, B: Send>(
    one: impl FnOnce() -> A,
    other: impl FnOnce() -> B + Send,
) -> (A, B) {
    let span = tracing::Span::current();
    std::thread::scope(|threads| {
        let other = threads.spawn(move || span.in_scope(other));
        let one = one();
        match other.join() {
            Ok(other) => (one, other),
            // As if it had happened here.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_over_the_bound_is_refused_after_waiting() {
        let places = Arc::new(Places::new(1, Duration::from_millis(1)));
        let (started, begun) = tokio::sync::oneshot::channel();
        let (finish, wait) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let places = places.clone();
            async move {
                let work = move |_: &Cancel| {
                    started.send(()).expect("the test waits");
                    Ok(wait.recv())
                };
                places.run(work).await
            }
        });
        begun.await.unwrap();
        assert!(matches!(places.run(|_| Ok(())).await, Err(Error::Busy)));
        finish.send(()).unwrap();
        assert!(first.await.unwrap().unwrap().is_ok());
        assert!(places.run(|_| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_told_so_and_keeps_its_place_until_it_ends() {
        let places = Arc::new(Places::new(1, Duration::from_secs(60)));
        let (started, begun) = tokio::sync::oneshot::channel();
        let (told, ended) = tokio::sync::oneshot::channel();
        let work = tokio::spawn({
            let places = places.clone();
            async move {
                let work = move |cancel: &Cancel| {
                    started.send(()).expect("the test waits");
                    while cancel.check().is_ok() {
                        std::thread::yield_now();
                    }
                    told.send(()).expect("the test waits");
                    Ok(())
                };
                places.run(work).await
            }
        });
        begun.await.unwrap();
        work.abort();
        ended.await.unwrap();
        assert!(places.run(|_| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn panic_of_work_is_an_internal_error() {
        let places = Places::new(1, Duration::from_secs(60));
        let work = |_: &Cancel| -> Result<(), Error> { panic!("a defect") };
        assert!(matches!(places.run(work).await, Err(Error::Internal)));
        assert!(places.run(|_| Ok(())).await.is_ok());
    }
}
