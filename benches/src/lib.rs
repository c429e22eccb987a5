//! What the benchmarks share: a load that never ends, and what a piece of work cost.

mod meter;
mod steady;

pub use meter::{Meter, cpu_now, cpu_of_process, median, resident_bytes};
pub use steady::{RAMP_SECS, Second, Steady, SteadySpec, Timed};
