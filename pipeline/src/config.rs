//! What can be set about the line, with defaults that hold.

use portolan_model::{Nanos, WindowLen};

/// Settings of the stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineConfig {
    /// Length of the base window.
    pub window: WindowLen,
    /// How long after its end, in event time, a window is remembered per connection: within it,
    /// duplicates, the second reporter and late ownership are exact.
    pub horizon_secs: u32,
    /// How long after it a claim on an address still moves what was counted of a connection whose ends are in
    /// doubt, in event time; and how long windows wait for a scope whose owners are told late. At least the horizon.
    pub late_secs: u32,
    /// How long base windows are kept; 0 keeps them for ever.
    pub retention_secs: u32,
    /// Tolerance between the clocks of flow and ownership sources.
    pub clock_tolerance_ms: u32,
    /// Most connections (by window) remembered; over it the oldest window is folded early.
    pub max_connections: usize,
    /// Most edges and services whose health is judged; over it new ones are left out.
    pub max_health: usize,
    /// Most external addresses that become entities of their own; over it they share one.
    pub max_externals: usize,
    /// How long owners that are gone are kept; at least as long as the edges that
    /// they explain, and the horizon.
    pub owner_retention_secs: u32,
    /// Where addresses that nobody claims in their own scope are looked up next.
    pub scope_links: Vec<ScopeLink>,
    /// Environment that entities get where ownership names none.
    pub environment: String,
    /// Settings of the span linker.
    pub traces: TraceConfig,
    /// Settings of the metric mapper.
    pub metrics: MetricConfig,
    /// Bounds of notes.
    pub notes: NoteConfig,
}

/// Bounds of the catalogue and of the changes that people made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteConfig {
    /// Most subjects of the catalogue; records of others are counted and dropped.
    pub max_subjects: usize,
    /// Most rows of a subject; over it what was corrected goes first, then the oldest.
    pub max_versions: usize,
    /// Most changes; over it the oldest go.
    pub max_changes: usize,
}

/// Settings of the metric mapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricConfig {
    /// How long after its window a point is remembered: within it, late points, redelivery and late
    /// ownership are exact.
    pub horizon_secs: u32,
    /// The longest time between two points of a series that are told apart from a series that ended:
    /// over it, what was counted meanwhile is nobody's.
    pub gap_secs: u32,
    /// Most points remembered; over it the oldest windows are folded early, and then series are left
    /// out.
    pub max_points: usize,
}

/// Settings of the span linker (trace semantics, C.5 to C.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConfig {
    /// How long half a call waits for its counterpart, in event time, before it counts as one.
    pub wait_secs: u32,
    /// The same for calls of databases, whose servers seldom write spans.
    pub database_wait_secs: u32,
    /// How long after its last span a trace is remembered: within it, late spans and redelivery are
    /// exact. At least twice the wait.
    pub horizon_secs: u32,
    /// How long a message may lie in its queue for its consumer to be linked to its producer.
    pub link_secs: u32,
    /// Most spans remembered; over it the oldest traces are folded early.
    pub max_spans: usize,
    /// Most spans remembered for what may link to them; over it the oldest are dropped.
    pub max_links: usize,
    /// Most names of a kind that spans may make; over it they share one.
    pub max_names: usize,
    /// Most operations of a server that are kept apart.
    pub max_operations: usize,
    /// Name of who calls from outside.
    pub user: String,
    /// Most traces that are kept as exemplars of edges; over it the oldest go.
    pub max_exemplars: usize,
    /// Only both halves of a call, one right below the other, prove who called (C.3): nothing is taken
    /// from parents of other services, nor climbed over spans without a role.
    pub strict: bool,
    /// Links of spans that have nothing to do with messages are asynchronous calls, too (C.6).
    pub all_links: bool,
}

/// Which scopes an address is looked up in after its own (flow semantics, section 1.1). Public
/// addresses are always looked up in `public` at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeLink {
    /// Name of the scope.
    pub scope: String,
    /// Names of the scopes to ask next, in order. Their own links follow.
    pub next: Vec<String>,
}

impl LineConfig {
    /// See [`Self::late_secs`].
    pub(crate) fn late_nanos(&self) -> Nanos {
        Nanos::from(self.late_secs.max(self.horizon_secs)) * 1_000_000_000
    }

    /// How long owners that are gone are kept; absent, if edges are kept for ever.
    pub(crate) fn owners_kept(&self) -> Option<Nanos> {
        let edges = self.retention_secs.saturating_add(self.horizon_secs);
        let secs = self.owner_retention_secs.max(edges);
        (self.retention_secs != 0).then(|| Nanos::from(secs) * 1_000_000_000)
    }
}

impl Default for LineConfig {
    fn default() -> Self {
        Self {
            window: WindowLen::BASE,
            // Six base windows: two export intervals of 5 s on both sides, and a broker restart.
            horizon_secs: 60,
            // Flow semantics, section 1.4.
            late_secs: 600,
            // A week of the finest level.
            retention_secs: 7 * 86_400,
            // Agents under NTP (flow semantics, section 1.3.3).
            clock_tolerance_ms: 2_000,
            // Some 750 bytes each with two reporters: 1.5 GB at the bound.
            max_connections: 2_000_000,
            // Some 120 bytes each.
            max_health: 1_000_000,
            max_externals: 10_000,
            // Five weeks: a month's edges can be explained. Some 400 bytes a version.
            owner_retention_secs: 35 * 86_400,
            scope_links: Vec::new(),
            environment: String::new(),
            traces: TraceConfig::default(),
            notes: NoteConfig::default(),
            metrics: MetricConfig::default(),
        }
    }
}

impl Default for NoteConfig {
    fn default() -> Self {
        Self {
            // Ten times the services of a large fleet; some 500 bytes each.
            max_subjects: 100_000,
            // A change of owner or tier a week for a year.
            max_versions: 64,
            // A deploy of each of 1,000 services a day for three months; some 500 bytes each.
            max_changes: 100_000,
        }
    }
}

impl Default for MetricConfig {
    fn default() -> Self {
        Self {
            horizon_secs: 60,
            // Five of the usual minutes between exports, and what Prometheus takes for the end of a
            // series.
            gap_secs: 300,
            // Some 350 bytes each with the buckets of a histogram.
            max_points: 2_000_000,
        }
    }
}

impl TraceConfig {
    /// The longest that half a call waits for its counterpart.
    pub fn longest_wait(&self) -> Nanos {
        Nanos::from(self.wait_secs.max(self.database_wait_secs)) * 1_000_000_000
    }
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self {
            // Exporters batch for 5 s; a retry doubles it (trace semantics, C.5).
            wait_secs: 15,
            database_wait_secs: 1,
            horizon_secs: 60,
            // The lag of a queue is minutes (C.6).
            link_secs: 600,
            // Some 150 bytes each with what they count for.
            max_spans: 1_000_000,
            max_links: 250_000,
            max_names: 10_000,
            max_operations: 50,
            user: "user".into(),
            max_exemplars: 5_000,
            strict: false,
            all_links: false,
        }
    }
}
