//! `SnapshotStore`: copies the running store, and tells how far it is.

use std::net::SocketAddr;
use std::path::PathBuf;

use portolan_proto::v1;
use portolan_storage::{SnapshotMade, SnapshotStep};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Inner;
use crate::Error;

/// What the caller is told, as it happens.
pub(super) type Progress = ReceiverStream<Result<v1::SnapshotStoreProgress, Status>>;

/// Messages on their way. One more is dropped: the next says more.
const WAITING: usize = 16;

/// Bytes between two messages.
const TELL_EVERY: u64 = 64 << 20;

pub(super) async fn snapshot_store(
    inner: &Inner,
    request: v1::SnapshotStoreRequest,
    caller: Option<SocketAddr>,
) -> Result<Progress, Error> {
    // It writes where the caller says: that is for those who could do so anyway.
    if !is_here(caller) {
        return Err(Error::Denied("snapshots are made for callers on the server's machine only"));
    }
    let store = inner.store.clone().ok_or(Error::Denied("this server keeps no store on a disk"))?;
    let to = PathBuf::from(request.directory);
    if !to.is_absolute() {
        return Err(Error::invalid("directory", "an absolute path is needed"));
    }
    let place = inner.snapshots.clone().try_acquire_owned();
    let place = place.map_err(|_| Error::Target("another snapshot is being made".into()))?;
    let pending = tokio::task::spawn_blocking(move || store.begin(&to)).await?.map_err(target)?;
    let (tell, told) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut said = 0;
        let done = pending(&mut |step| {
            let message = match step {
                SnapshotStep::Checking => progress("checking", 0, 0),
                SnapshotStep::Moving { done, .. } if done > 0 && done < said + TELL_EVERY => return,
                SnapshotStep::Moving { done, total } => {
                    said = done;
                    progress("moving", done, total)
                }
            };
            // Nobody to tell is no reason to leave it half-made.
            let _ = tell.try_send(Ok(message));
        });
        let last = done.map(finished).map_err(|e| Status::from(target(e)));
        let _ = tell.blocking_send(last);
    });
    Ok(ReceiverStream::new(told))
}

/// Whether a caller is on this machine; one without an address asks in process.
fn is_here(caller: Option<SocketAddr>) -> bool {
    caller.is_none_or(|caller| caller.ip().to_canonical().is_loopback())
}

fn progress(step: &str, done_bytes: u64, total_bytes: u64) -> v1::SnapshotStoreProgress {
    let step = step.to_owned();
    v1::SnapshotStoreProgress { step, done_bytes, total_bytes, ..Default::default() }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map wants")]
fn finished(made: SnapshotMade) -> v1::SnapshotStoreProgress {
    let SnapshotMade { epoch, bytes, shared } = made;
    v1::SnapshotStoreProgress { epoch, shared, ..progress("done", bytes, bytes) }
}

/// What the caller can change about it is said; the rest stays inside.
fn target(error: portolan_storage::Error) -> Error {
    match error {
        error @ portolan_storage::Error::Target { .. } => Error::Target(error.to_string()),
        portolan_storage::Error::Full { .. } => Error::Target("the disk is full".into()),
        inside => Error::Store(inside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_on_another_machine_is_not_here() {
        let here = |addr: &str| is_here(Some(addr.parse().unwrap()));
        assert!(is_here(None));
        assert!(
            ["127.0.0.1:9", "127.3.2.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"].map(here)
                == [true; 4]
        );
        assert!(["10.0.0.7:9", "[2001:db8::1]:9", "[::ffff:10.0.0.7]:9"].map(here) == [false; 3]);
    }
}
