//! What can go wrong with a query, and the only place where that becomes a gRPC status.
//!
//! A status says what the caller can change. What went wrong inside goes to the log, never out.

use std::fmt::Display;

use portolan_graph::NameError;
use tonic::{Code, Status};

/// A query that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request makes no sense.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field, as the proto names it.
        field: &'static str,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// A name that names nothing, or several.
    #[error("{field}: {error}")]
    Name {
        /// The field, as the proto names it.
        field: &'static str,
        /// What is wrong with it.
        error: NameError,
    },
    /// What is asked for is not there.
    #[error("{0}")]
    Absent(&'static str),
    /// All places for queries are taken.
    #[error("too many queries at once, try again")]
    Busy,
    /// The answer would be too large.
    #[error("the range holds more than {most} edges, ask for a shorter one")]
    TooLarge {
        /// Most edges of an answer.
        most: usize,
    },
    /// The range has not come yet.
    #[error("the range begins at {from}, and the map reaches to {reach}")]
    Future {
        /// Its beginning, as people read it.
        from: String,
        /// The end of what is there.
        reach: String,
    },
    /// The deadline of the request, or the server's own, has passed.
    #[error("the deadline has passed, ask for a shorter range")]
    Deadline,
    /// The caller went away.
    #[error("the query was given up")]
    Cancelled,
    /// Not for this caller, or not by this server.
    #[error("{0}")]
    Denied(&'static str),
    /// Nothing can be written where the caller wants it.
    #[error("{0}")]
    Target(String),
    /// The store does not answer.
    #[error("the store cannot be read, the server's log says why")]
    Store(portolan_storage::Error),
    /// A defect of the server.
    #[error("internal error, the server's log says what")]
    Internal,
}

// === impl Error ===

impl Error {
    pub(crate) fn invalid(field: &'static str, problem: impl Display) -> Self {
        Self::Invalid { field, problem: problem.to_string() }
    }

    fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } | Self::Name { error: NameError::Ambiguous { .. }, .. } => {
                Code::InvalidArgument
            }
            Self::Absent(_) | Self::Name { error: NameError::Unknown { .. }, .. } => Code::NotFound,
            Self::Busy | Self::TooLarge { .. } => Code::ResourceExhausted,
            Self::Future { .. } => Code::OutOfRange,
            Self::Deadline => Code::DeadlineExceeded,
            Self::Cancelled => Code::Cancelled,
            Self::Denied(_) => Code::PermissionDenied,
            Self::Target(_) => Code::FailedPrecondition,
            Self::Store(_) => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        if let Error::Store(inside) = &error {
            tracing::error!(error = inside as &dyn std::error::Error, "store cannot be read");
        }
        Self::new(error.code(), error.to_string())
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::Name { field: "start", error }
    }
}

impl From<portolan_storage::Error> for Error {
    fn from(error: portolan_storage::Error) -> Self {
        match error {
            portolan_storage::Error::TooManyRows { most } => Self::TooLarge { most },
            portolan_storage::Error::Cancelled => Self::Cancelled,
            inside => Self::Store(inside),
        }
    }
}

impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        tracing::error!(%error, "query failed");
        Self::Internal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_inside_stays_inside() {
        let inside = portolan_storage::Error::Damaged {
            path: "/secret/path".into(),
            detail: "checksum of block 7".into(),
        };
        let status = Status::from(Error::Store(inside));
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("secret") && !status.message().contains("checksum"));
    }

    #[test]
    fn refusal_names_the_field() {
        let status = Status::from(Error::invalid("depth", "17 is over 16"));
        assert_eq!(status.message(), "depth: 17 is over 16");
    }
}
