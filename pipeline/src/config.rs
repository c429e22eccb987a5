//! What can be set about the line, with defaults that hold.

use portolan_model::WindowLen;

/// Settings of the stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineConfig {
    /// Length of the base window.
    pub window: WindowLen,
    /// How long after its end, in event time, a window is remembered per connection: within it,
    /// duplicates, the second reporter and late ownership are exact.
    pub horizon_secs: u32,
    /// How long base windows are kept; 0 keeps them for ever.
    pub retention_secs: u32,
    /// Tolerance between the clocks of flow and ownership sources.
    pub clock_tolerance_ms: u32,
    /// Most connections (by window) remembered; over it the oldest window is folded early.
    pub max_connections: usize,
    /// Most external addresses that become entities of their own; over it they share one.
    pub max_externals: usize,
    /// Environment that entities get where ownership names none.
    pub environment: String,
}

impl Default for LineConfig {
    fn default() -> Self {
        Self {
            window: WindowLen::BASE,
            // Six base windows: two export intervals of 5 s on both sides, and a broker restart.
            horizon_secs: 60,
            // A week of the finest level.
            retention_secs: 7 * 86_400,
            // Agents under NTP (flow semantics, section 1.3.3).
            clock_tolerance_ms: 2_000,
            // Some 750 bytes each with two reporters: 1.5 GB at the bound.
            max_connections: 2_000_000,
            max_externals: 10_000,
            environment: String::new(),
        }
    }
}
