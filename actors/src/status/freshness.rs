//! How fresh the graph is: the time from a batch's newest event to its epoch being visible, over
//! the last minute.
//!
//! A batch is the records of one partition within a tenth of a second, so this is the delay that
//! Portolan itself adds, plus what the record waited in Kafka. Records that the source sent late
//! make it no worse: their lateness is theirs.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Quantiles of the last minute.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Freshness {
    /// Median.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// The slowest, to two digits.
    pub max: Duration,
    /// Records that they are of.
    pub records: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct FreshnessMeter {
    slices: Mutex<VecDeque<Slice>>,
}

#[derive(Debug)]
struct Slice {
    begun: Instant,
    delays: Histogram<u64>,
}

/// Six slices make the minute, so it is 50 to 60 s long.
const SLICE: Duration = Duration::from_secs(10);
const SLICES: usize = 6;
/// An hour in milliseconds: more is shown as an hour.
const MOST_MS: u64 = 3_600_000;

// === impl FreshnessMeter ===

impl FreshnessMeter {
    /// Counts `records` that became visible `delay` after their event.
    pub fn record(&self, now: Instant, delay: Duration, records: u64) {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = slices.back().is_some_and(|s| now.duration_since(s.begun) < SLICE);
        if !fits {
            // Two digits: a freshness of 1.2 s needs no more. 1 ms is the finest.
            let delays = Histogram::new_with_bounds(1, MOST_MS, 2)
                .expect("1 to an hour with two digits are valid bounds");
            slices.push_back(Slice { begun: now, delays });
            while slices.len() > SLICES {
                slices.pop_front();
            }
        }
        if let Some(slice) = slices.back_mut() {
            let millis = (delay.as_millis() as u64).clamp(1, MOST_MS);
            slice.delays.saturating_record_n(millis, records);
        }
    }

    /// Quantiles of the last minute; none if nothing became visible in it.
    pub fn read(&self, now: Instant) -> Option<Freshness> {
        let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Option<Histogram<u64>> = None;
        let recent = |s: &&Slice| now.duration_since(s.begun) < SLICE * SLICES as u32;
        for slice in slices.iter().filter(recent) {
            match &mut all {
                None => all = Some(slice.delays.clone()),
                Some(all) => all.add(&slice.delays).expect("all slices have the same bounds"),
            }
        }
        let all = all?;
        let quantile = |q| Duration::from_millis(all.value_at_quantile(q));
        let max = Duration::from_millis(all.max());
        Some(Freshness { p50: quantile(0.5), p99: quantile(0.99), max, records: all.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_records_and_of_the_last_minute() {
        let meter = FreshnessMeter::default();
        let start = Instant::now();
        assert_eq!(meter.read(start), None);
        meter.record(start, Duration::from_secs(9), 1_000);
        let later = start + Duration::from_secs(30);
        meter.record(later, Duration::from_millis(500), 980);
        meter.record(later, Duration::from_secs(2), 20);
        let both = meter.read(later).unwrap();
        assert_eq!(both.records, 2_000);
        assert!(both.p99 > Duration::from_secs(8));
        let last = meter.read(start + Duration::from_secs(65)).unwrap();
        assert_eq!(last.records, 1_000);
        assert!(last.p50.as_millis().abs_diff(500) <= 5, "{last:?}");
        assert!(last.p99.as_millis().abs_diff(2_000) <= 20, "{last:?}");
    }
}
