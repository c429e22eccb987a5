//! What travels between actors: a batch or a barrier, stamped with its generation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use actix::dev::SendError;
use actix::{MailboxError, Message, Recipient};
use portolan_model::Barrier;

/// A message of the line.
#[derive(Clone, Debug)]
pub struct Envelope<T> {
    /// Of which generation: stages of another one ignore it.
    pub generation: u64,
    /// What is in it.
    pub body: Body<T>,
}

/// What a message holds.
#[derive(Clone, Debug)]
pub enum Body<T> {
    /// Data.
    Batch(T),
    /// The end of an epoch.
    Barrier(Barrier),
}

/// How full a mailbox is, as its senders and its owner count it: actix does not say.
#[derive(Debug)]
pub struct Mailbox {
    capacity: usize,
    depth: AtomicUsize,
}

/// The one address that a sender holds of the next actor.
///
/// One, because every further clone of an address widens the mailbox by a slot.
pub struct Downstream<T: Send + 'static> {
    to: Recipient<Envelope<T>>,
    mailbox: Arc<Mailbox>,
}

impl<T: Send + 'static> Message for Envelope<T> {
    type Result = ();
}

// === impl Mailbox ===

impl Mailbox {
    /// An empty mailbox.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, depth: AtomicUsize::new(0) })
    }

    /// Messages that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Messages that wait.
    pub fn depth(&self) -> usize {
        self.depth.load(Relaxed)
    }

    /// The owner took one out.
    pub fn taken(&self) {
        self.depth.fetch_sub(1, Relaxed);
    }
}

// === impl Downstream ===

impl<T: Send + 'static> Downstream<T> {
    /// Sends to `to`, whose owner counts with `mailbox`.
    pub fn new(to: Recipient<Envelope<T>>, mailbox: Arc<Mailbox>) -> Self {
        Self { to, mailbox }
    }

    /// The mailbox there.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Hands a message over, or gives it back if there is no room or no actor.
    #[expect(clippy::result_large_err, reason = "the message comes back to be sent again")]
    pub fn try_send(&self, message: Envelope<T>) -> Result<(), SendError<Envelope<T>>> {
        // Counted before it is sent: the owner may take it out before this returns.
        self.mailbox.depth.fetch_add(1, Relaxed);
        let sent = self.to.try_send(message);
        if sent.is_err() {
            self.mailbox.taken();
        }
        sent
    }

    /// Sends in turn, and resolves when the last was handled.
    pub(crate) fn send_all(
        &self,
        messages: Vec<Envelope<T>>,
    ) -> impl Future<Output = Result<(), MailboxError>> + use<T> {
        let to = self.to.clone();
        let mailbox = Arc::clone(&self.mailbox);
        async move {
            for message in messages {
                mailbox.depth.fetch_add(1, Relaxed);
                let sent = to.send(message).await;
                if sent.is_err() {
                    mailbox.taken();
                }
                sent?;
            }
            Ok(())
        }
    }
}
