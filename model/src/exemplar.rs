//! Traces that stand for many: of every edge the slowest of an hour, and the latest that failed.

use crate::{CallProtocol, CallSource, EntityId, Nanos};

/// One call of a trace.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceCall {
    /// When it began.
    pub start: Nanos,
    /// When it ended.
    pub end: Nanos,
    /// Who called.
    pub client: EntityId,
    /// Who was called.
    pub server: EntityId,
    /// How it is known.
    pub source: CallSource,
    /// What kind of call.
    pub protocol: CallProtocol,
    /// Which operation; [`EntityId::NONE`] if it is not kept apart.
    pub operation: EntityId,
    /// It failed by the client's word.
    pub client_error: bool,
    /// It failed by the server's word.
    pub server_error: bool,
    /// How long it took the client, and the server, in ns; absent where that side was not seen.
    pub took: [Option<Nanos>; 2],
}

/// A trace that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRow {
    /// Which.
    pub trace: u128,
    /// Its calls, by when they began.
    pub calls: Vec<TraceCall>,
}

/// Why a trace is kept for an edge.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExemplarOf {
    /// No other of the edge's latest hour with a trace took as long.
    Slowest,
    /// No other failed later.
    Error,
}

/// By what exemplars of an edge are chosen: the greatest is. A total order, so that which are kept does
/// not depend on the order in which traces come.
pub type ExemplarRank = (u64, Nanos, u128);

const HOUR: Nanos = 3_600_000_000_000;

// === impl TraceCall ===

impl TraceCall {
    /// How long it took, by whoever saw most of it.
    pub fn took(&self) -> Nanos {
        self.took[0].or(self.took[1]).unwrap_or(0)
    }

    /// How it ranks among those of its edge; none if it is none of them.
    pub fn rank(&self, trace: u128, of: ExemplarOf) -> Option<ExemplarRank> {
        match of {
            ExemplarOf::Slowest => Some((self.start / HOUR, self.took(), trace)),
            ExemplarOf::Error => {
                (self.client_error || self.server_error).then_some((self.start, self.took(), trace))
            }
        }
    }
}

// === impl ExemplarOf ===

impl ExemplarOf {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Slowest, Self::Error];

    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slowest => "slowest",
            Self::Error => "error",
        }
    }
}
