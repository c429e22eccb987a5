//! Bounds on what queries may ask for and take.

use std::time::Duration;

/// Bounds on queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A query that takes longer is given up.
    pub deadline: Duration,
    /// Most scans (range reads, foldings) at once: more only take turns on the disk and the cores.
    pub scans: usize,
    /// Most other queries worked on at once.
    pub queries: usize,
    /// How long a query waits for its turn before it is refused.
    pub wait: Duration,
    /// Most different edges that a range may hold before folding.
    pub max_edges: usize,
    /// Largest request in bytes.
    pub max_request_bytes: usize,
    /// How long open connections may go on after shutdown was asked for.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            scans: 2,
            queries: 16,
            wait: Duration::from_secs(2),
            // At about 500 bytes an edge while folding: half a gigabyte a scan.
            max_edges: 1_000_000,
            // A hundred starts and ten lists of a hundred names of 512 bytes are half of this.
            max_request_bytes: 1 << 20,
            grace: Duration::from_secs(5),
        }
    }
}
