//! How sure it is when something happened that a watch says.

use portolan_model::Nanos;

use super::Instant;

/// A watch that goes on where it broke first tells what happened meanwhile. It is through with that
/// when it says so (a bookmark), or after this long: an API server sends what it has at once.
const SETTLES: Nanos = 5_000_000_000;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// Everything was listed once.
    listed: bool,
    /// When it was last heard of.
    alive: Nanos,
    /// It was away since then, and is through with that at the other.
    away: Option<(Nanos, Nanos)>,
}

// === impl Watch ===

impl Watch {
    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    /// When it was last heard of, as far as it has told everything.
    pub(super) fn alive(&self) -> Nanos {
        self.away.map_or(self.alive, |(since, _)| since)
    }

    /// Everything was listed. Since when that tells of: the last word of the watch, or what is known
    /// from `before` this process; now, if neither is.
    pub(super) fn listed(&mut self, at: Nanos, before: Nanos) -> Nanos {
        let since = if self.listed { self.alive() } else { before };
        *self = Self { listed: true, alive: self.alive.max(at), away: None };
        if since == 0 { at } else { since.min(at) }
    }

    pub(super) fn connected(&mut self, at: Nanos) {
        let since = self.alive();
        self.away = (since < at).then_some((since, at.saturating_add(SETTLES)));
    }

    /// It has told everything.
    pub(super) fn current(&mut self, at: Nanos) {
        self.away = None;
        self.alive = self.alive.max(at);
    }

    /// It told of something: when that was.
    pub(super) fn saw(&mut self, at: Nanos) -> Instant {
        if let Some((since, settled)) = self.away
            && at < settled
        {
            return Instant { since, at };
        }
        self.current(at);
        Instant { since: at, at }
    }
}
