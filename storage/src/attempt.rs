//! What an attempt to commit came to: whether to go on, to try again, or to give up.

use crate::Error;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The epoch is in the store.
    Done,
    /// The environment's fault: try again later.
    Later(String),
    /// It must be opened anew; then it goes on.
    Reopen(String),
    /// The store cannot go on.
    Never(String),
}

// === impl Attempt ===

impl Attempt {
    /// Judges the result of a commit. `again` says that the same epoch was tried before: then it
    /// may have reached the disk although an error was told.
    pub fn of(result: &Result<(), Error>, again: bool) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(Error::OutOfOrder { last, got }) if again && last == got => Self::Done,
            Err(error @ (Error::Full { .. } | Error::Io(_))) => Self::Later(chain(error)),
            Err(error @ Error::Stopped { .. }) => Self::Reopen(chain(error)),
            Err(error) => Self::Never(chain(error)),
        }
    }
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
