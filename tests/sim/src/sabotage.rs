//! Deliberate faults of the system itself: what a simulation that is worth its time must catch.

/// What is broken on purpose.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// What the stages must remember is not read again.
    NoReread,
    /// What is read again counts as if it were new.
    CountAgain,
    /// Offsets reach the store before their rows: a death between them leaves them alone.
    OffsetsFirst,
    /// The committer takes what an earlier generation made.
    NoFence,
    /// A stage that panicked is replaced alone, and the rest goes on.
    RestartAlone,
    /// The owners of the store are not told to the stages.
    NoOwners,
    /// What was forgotten before the restart is taken for remembered.
    NoFolded,
    /// The addresses that had entities of their own are not told to the stages.
    NoStrangers,
    /// The agents that were alive are not told to the stages.
    NoAgents,
    /// Names that spans have made are not told to the stages.
    NoNames,
    /// The traces that are kept are not told to the stages.
    NoTraces,
    /// Offsets that are gone are not noted.
    NoLosses,
    /// Every delivery counts, also of what was taken before.
    TakeTwice,
    /// A write that failed is dropped instead of tried again.
    DropFailed,
    /// Answers do not name the windows that did not read.
    Unnamed,
    /// The first mailbox takes whatever comes.
    NoBound,
}

// === impl Sabotage ===

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::NoReread,
        Self::CountAgain,
        Self::OffsetsFirst,
        Self::NoFence,
        Self::RestartAlone,
        Self::NoOwners,
        Self::NoFolded,
        Self::NoStrangers,
        Self::NoAgents,
        Self::NoNames,
        Self::NoTraces,
        Self::NoLosses,
        Self::TakeTwice,
        Self::DropFailed,
        Self::Unnamed,
        Self::NoBound,
    ];
}
