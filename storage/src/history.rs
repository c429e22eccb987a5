//! Questions about any range of time: which windows answer them, and the rows summed over those.
//!
//! ```text
//! range ─► plan: coarsest windows that fit inside, finer ones at the ends ─► one summed row a key
//! ```
//!
//! Everything that one [`History`] says is of one whole epoch.

use std::sync::Arc;

use portolan_model::{
    CallDelta, EdgeDelta, EntityId, Nanos, PathDelta, TimeRange, Window, WindowLen,
};

use crate::{Checkpoint, Error};

mod naive;
mod plan;

pub(crate) use naive::Naive;
pub use plan::plan;
pub(crate) use plan::{as_known, up};

/// Windows of one length, next to each other.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Length of the windows: the resolution.
    pub len: WindowLen,
    /// From the start of the first to the end of the last.
    pub range: TimeRange,
}

/// Which windows answer a question about a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order of time, without overlap. Gaps between are past their retention or set apart.
    pub spans: Vec<Span>,
}

/// What is wanted of the rows of a plan.
#[derive(Copy, Clone, Default)]
pub struct Select<'a> {
    /// Only rows that have this entity as client or server.
    pub entity: Option<EntityId>,
    /// Leave out what was committed after this clock reading: what the map said then. Windows that were
    /// not sealed by then cannot be told apart; [`Answer::unknown`] has them.
    pub known_at: Option<Nanos>,
    /// Most different keys; beyond, [`Error::TooManyRows`].
    pub max_rows: Option<usize>,
    /// Asked every few milliseconds: whether nobody waits any more ([`Error::Cancelled`]).
    pub cancelled: Option<&'a dyn Fn() -> bool>,
}

/// What is missing from an answer, beside what its plan could not cover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Windows whose bytes do not read. They are reported and set apart; the rest is served.
    pub unreadable: Vec<TimeRange>,
    /// Windows that were not sealed yet at [`Select::known_at`], and are left out.
    pub unknown: Vec<TimeRange>,
}

/// A window that was set apart because its bytes do not read: it is not read again, and every answer names it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Length of the window.
    pub len: WindowLen,
    /// Which.
    pub window: Window,
    /// What it lacks: edges, paths or calls.
    pub rows: &'static str,
}

/// A level: windows of one length, and which of them are held.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Length of its windows.
    pub len: WindowLen,
    /// First window that is held: those before are past their retention.
    pub first: Window,
    /// First window that is not there yet. Base windows are there from the first row on: the maximum.
    pub end: Window,
    /// Windows before this one are packed, and change by late rows only.
    pub sealed: Window,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

/// The store at one epoch.
pub trait History: Send + Sync {
    /// Where the line stood.
    fn checkpoint(&self) -> Arc<Checkpoint>;

    /// The levels, finest first.
    fn levels(&self) -> Vec<Level>;

    /// The levels for a question about what was known at a clock reading: coarser windows that were packed later are left to
    /// finer ones, where these are held still.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    fn levels_at(&self, known_at: Option<Nanos>) -> Result<Vec<Level>, Error> {
        let _ = known_at;
        Ok(self.levels())
    }

    /// Oldest and newest instant of which any level has a window with rows.
    fn extent(&self) -> Result<Option<TimeRange>, Error>;

    /// The windows that are set apart, by level and time.
    fn apart(&self) -> Vec<Apart> {
        Vec::new()
    }

    /// The windows that answer a question about a range, clamped to nothing but what is held: what
    /// only coarse windows still hold is answered by those, beyond the ends of the range.
    fn plan(&self, range: TimeRange) -> Plan {
        plan(&self.levels(), range)
    }

    /// Visits the edges of a plan, one summed row a key, in the order of keys, each in the plan's first window.
    /// Rows that sum up to nothing are left out.
    fn edges(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&EdgeDelta),
    ) -> Result<Answer, Error>;

    /// Visits the paths likewise.
    fn paths(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&PathDelta),
    ) -> Result<Answer, Error>;

    /// Visits the calls likewise.
    fn calls(
        &self,
        plan: &Plan,
        select: &Select<'_>,
        visit: &mut dyn FnMut(&CallDelta),
    ) -> Result<Answer, Error>;
}

/// Opens a history.
pub trait ReadHistory: Send + Sync {
    /// The store at its last epoch, for as long as the handle is kept: be quick with it.
    fn history(&self) -> Box<dyn History + '_>;
}

// === impl Plan ===

impl Plan {
    /// From the first window to the end of the last; nothing if there are none.
    pub fn covered(&self) -> Option<TimeRange> {
        let (first, last) = self.spans.first().zip(self.spans.last())?;
        Some(TimeRange { from: first.range.from, to: last.range.to })
    }

    /// What is not covered between the first window and the end of the last.
    pub fn gaps(&self) -> impl Iterator<Item = TimeRange> + '_ {
        let pairs = self.spans.iter().zip(self.spans.iter().skip(1));
        pairs
            .map(|(a, b)| TimeRange { from: a.range.to, to: b.range.from })
            .filter(|gap| gap.from < gap.to)
    }

    /// The coarsest windows in it: the resolution of the answer.
    pub fn coarsest(&self) -> Option<WindowLen> {
        self.spans.iter().map(|span| span.len).max()
    }

    /// How many windows it reads.
    pub fn windows(&self) -> u64 {
        self.spans.iter().map(|s| (s.range.to - s.range.from) / s.len.nanos()).sum()
    }
}

// === impl Select ===

impl Select<'_> {
    /// Whether a row with these ends is wanted.
    pub(crate) fn wants(&self, (client, server): (EntityId, EntityId)) -> bool {
        self.entity.is_none_or(|id| id == client || id == server)
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.is_some_and(|ask| ask())
    }
}

// === impl Answer ===

impl Answer {
    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.unreadable.is_empty() && self.unknown.is_empty()
    }
}
