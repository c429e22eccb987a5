//! How edges and services do, by their errors and latency against what is usual of them.

use crate::{EntityId, Window};

/// How something does. Later is worse.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Health {
    /// As usual.
    #[default]
    Healthy = 0,
    /// Worse than usual.
    Degraded = 1,
    /// Much worse than usual.
    Unhealthy = 2,
}

/// Whose health: an edge's, or a service's by all that call it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HealthKey {
    /// Who calls; [`EntityId::NONE`] for all who do.
    pub client: EntityId,
    /// Who is called.
    pub server: EntityId,
}

/// The health of one, and all that its next judgement goes by: a row of the store, written whenever a
/// window is judged. Ratios are in parts per billion, so that the same windows give the same row on
/// every machine.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct HealthRow {
    /// Whose.
    pub key: HealthKey,
    /// How it does.
    pub state: Health,
    /// The window from which on it does so.
    pub since: Window,
    /// The last window that was judged.
    pub judged: Window,
    /// What the last windows said, if it was not `state`: the nearest to it of all of them.
    pub leaning: Health,
    /// How many in a row said worse, or better, than `state`.
    pub streak: u32,
    /// How many windows the usual is made of.
    pub learnt: u32,
    /// The part of calls that fails usually.
    pub usual_errors: u64,
    /// The part that failed in the last judged windows.
    pub errors: u64,
    /// 95th percentile of latency, usually, in ns; 0 is unknown.
    pub usual_latency: u64,
    /// The same of the last judged window.
    pub latency: u64,
    /// How many windows the usual latency is made of.
    pub latency_learnt: u32,
    /// Whose word and which side the latency is: another one begins anew. 0 is none.
    pub latency_of: u8,
    /// Samples of windows with too few to be judged alone, and how many of them failed.
    pub waiting: (u64, u64),
    /// How many such windows.
    pub waiting_windows: u32,
}

// === impl Health ===

impl Health {
    /// Every state, in the order of its code.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Degraded, Self::Unhealthy];

    /// The state of a code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The state of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

// === impl HealthKey ===

impl HealthKey {
    /// A service's.
    pub const fn of_service(server: EntityId) -> Self {
        Self { client: EntityId::NONE, server }
    }
}

// === impl HealthRow ===

impl HealthRow {
    /// Nothing was judged yet.
    pub fn new(key: HealthKey, window: Window) -> Self {
        Self {
            key,
            state: Health::Healthy,
            since: window,
            judged: Window(0),
            leaning: Health::Healthy,
            streak: 0,
            learnt: 0,
            usual_errors: 0,
            errors: 0,
            usual_latency: 0,
            latency: 0,
            latency_learnt: 0,
            latency_of: 0,
            waiting: (0, 0),
            waiting_windows: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_own_stable_code_and_word() {
        for (code, state) in Health::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, code);
            assert_eq!(Health::from_code(code as u8), Some(state));
            assert_eq!(Health::from_word(state.as_str()), Some(state));
        }
        assert_eq!((Health::from_code(3), Health::from_word("well")), (None, None));
    }
}
