//! Event time: nanoseconds since the Unix epoch, and the UTC-aligned windows that hold it.

use std::ops::Add;

/// Nanoseconds since the Unix epoch (1970-01-01T00:00:00Z).
pub type Nanos = u64;

/// The length of a window in whole seconds.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowLen(u32);

/// A window of the base level: its start in seconds since the Unix epoch, a multiple of the length.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Window(pub u32);

/// Half-open range `[from, to)` of event time.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First nanosecond inside.
    pub from: Nanos,
    /// First nanosecond after.
    pub to: Nanos,
}

const NANOS: u64 = 1_000_000_000;

// === impl WindowLen ===

impl WindowLen {
    /// The default base window, 10 s.
    pub const BASE: Self = Self(10);

    /// A length that divides a day, so that windows align with UTC days.
    pub const fn try_new(secs: u32) -> Option<Self> {
        if secs == 0 || 86_400 % secs != 0 { None } else { Some(Self(secs)) }
    }

    /// Seconds.
    pub const fn secs(self) -> u32 {
        self.0
    }

    /// Nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0 as u64 * NANOS
    }

    /// The window that holds `at`. Times past the year 2106 fall into the last window.
    pub fn window(self, at: Nanos) -> Window {
        let secs = (at / NANOS).min(u64::from(u32::MAX)) as u32;
        Window(secs - secs % self.0)
    }
}

// === impl Window ===

impl Window {
    /// First nanosecond.
    pub const fn start(self) -> Nanos {
        self.0 as u64 * NANOS
    }

    /// First nanosecond after it.
    pub const fn end(self, len: WindowLen) -> Nanos {
        self.start() + len.nanos()
    }

    /// The next one.
    #[must_use]
    pub const fn next(self, len: WindowLen) -> Self {
        Self(self.0.saturating_add(len.0))
    }

    /// The one before.
    #[must_use]
    pub const fn previous(self, len: WindowLen) -> Self {
        Self(self.0.saturating_sub(len.0))
    }
}

impl Add<WindowLen> for Window {
    type Output = Self;
    fn add(self, len: WindowLen) -> Self {
        self.next(len)
    }
}

// === impl TimeRange ===

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { from: 0, to: Nanos::MAX };

    /// Whether a window shares any instant with the range.
    pub const fn overlaps(self, window: Window, len: WindowLen) -> bool {
        window.start() < self.to && window.end(len) > self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_align_with_utc() {
        let len = WindowLen::try_new(10).unwrap();
        let w = len.window(1_795_420_235_129_675_600);
        assert_eq!(w, Window(1_795_420_230));
        assert_eq!(w.end(len), 1_795_420_240_000_000_000);
        assert!(WindowLen::try_new(7).is_none());
    }
}
