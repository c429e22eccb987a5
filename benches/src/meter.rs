//! What work costs, in time on the core: a machine that is shared moves the wall clock, not this.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Sums up what one part of the work costs.
#[derive(Copy, Clone, Debug, Default)]
pub struct Meter(Duration);

/// Time that this thread has spent on a core.
pub fn cpu_now() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Time that all threads of this process have spent on cores.
pub fn cpu_of_process() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Memory of the process in bytes, as the kernel counts it; 0 where it does not say.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}

/// The middle of some figures; of none, 0.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

// === impl Meter ===

impl Meter {
    /// Does the work, and adds what it cost.
    pub fn run<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = cpu_now();
        let done = work();
        self.0 += cpu_now().saturating_sub(began);
        done
    }

    /// Nanoseconds for each of `count`.
    pub fn nanos_each(self, count: u64) -> f64 {
        self.0.as_nanos() as f64 / count.max(1) as f64
    }
}
