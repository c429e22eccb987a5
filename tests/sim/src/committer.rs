//! The committer: writes epochs in order, and tries again what the disk refuses.

use portolan_model::EpochCommit;
use portolan_storage::{Attempt, Error};

use crate::dice::Dice;
use crate::line::{Body, Mailbox};
use crate::sabotage::Sabotage;

/// See the module.
pub(crate) struct Committer {
    pub(crate) mailbox: Mailbox<EpochCommit>,
    /// The generation whose commits are taken.
    pub(crate) generation: Option<u64>,
    sabotage: Option<Sabotage>,
    /// A commit that waits to be tried again.
    again: Option<(u64, EpochCommit)>,
}

/// What a turn came to.
#[expect(clippy::large_enum_variant, reason = "one a turn, and handed on at once")]
pub(crate) enum Committed {
    Nothing,
    /// It is in the store: the feed is to be told.
    Done(EpochCommit),
    /// The store refuses for good.
    Never(String),
    /// The process died in it.
    Died,
}

/// What the store does with one write.
pub(crate) enum Written {
    Result(Result<(), Error>),
    /// The process dies, before or after the write.
    Died,
}

// === impl Committer ===

impl Committer {
    pub(crate) fn new(capacity: usize, sabotage: Option<Sabotage>) -> Self {
        Self { mailbox: Mailbox::new(capacity), generation: None, sabotage, again: None }
    }

    /// One turn. `force` is the generation in force.
    pub(crate) fn turn(
        &mut self,
        force: u64,
        dice: &mut Dice,
        write: impl FnOnce(&EpochCommit) -> Written,
    ) -> Committed {
        let (again, commit) = if let Some((of, commit)) = self.again.take() {
            if dice.one_in(2) {
                self.again = Some((of, commit));
                return Committed::Nothing;
            }
            // A new generation reads these records again.
            if of != force {
                return Committed::Nothing;
            }
            (true, commit)
        } else {
            let Some((of, body)) = self.mailbox.take() else { return Committed::Nothing };
            let void = of != force || self.generation != Some(of);
            if void && self.sabotage != Some(Sabotage::NoFence) {
                return Committed::Nothing;
            }
            let Body::Batch(commit) = body else { return Committed::Nothing };
            (false, commit)
        };
        let result = match write(&commit) {
            Written::Died => return Committed::Died,
            Written::Result(result) => result,
        };
        match Attempt::of(&result, again) {
            Attempt::Done => Committed::Done(commit),
            Attempt::Later(_) if self.sabotage == Some(Sabotage::DropFailed) => {
                Committed::Done(commit)
            }
            Attempt::Later(_) => {
                self.again = Some((force, commit));
                Committed::Nothing
            }
            Attempt::Reopen(reason) | Attempt::Never(reason) => Committed::Never(reason),
        }
    }
}
