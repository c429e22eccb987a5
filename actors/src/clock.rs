//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use portolan_model::Nanos;

/// Nanoseconds since the Unix epoch; 0 for a clock before it.
pub(crate) fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as Nanos)
}
