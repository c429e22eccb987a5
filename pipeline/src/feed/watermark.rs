//! The watermark: event time below which the sources expect no more records.
//!
//! A partition's watermark is the greatest of its batches' median record ends, capped at the clock:
//! one record from the future, or a machine with a wrong clock, does not move it. The line's is the
//! least over the partitions, except those that are read to their end and silent: an idle partition
//! must not hold the others back. If all are silent it stands at the greatest of them, and stays
//! there: a source that stalls does not age the map.

use std::time::Duration;

use portolan_model::Nanos;

use super::Moment;

/// One partition's part in it.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Track {
    watermark: Nanos,
    last_data: Option<Moment>,
    at_end: bool,
}

// === impl Track ===

impl Track {
    /// A batch came whose records end at `median` in the middle.
    pub(super) fn saw(&mut self, median: Nanos, clock: Nanos, now: Moment) {
        self.watermark = self.watermark.max(median.min(clock));
        self.last_data = Some(now);
    }

    /// The same, where the line has all that the partition holds, or not.
    #[must_use]
    pub(super) fn at_end(self, at_end: bool) -> Self {
        Self { at_end, ..self }
    }

    /// The partition's watermark; 0 before its first batch.
    pub(super) fn watermark(&self) -> Nanos {
        self.watermark
    }

    fn is_silent(&self, now: Moment, idle: Duration) -> bool {
        let quiet = self.last_data.is_none_or(|at| now.saturating_sub(at) > idle);
        self.at_end && quiet
    }
}

/// The watermark over all partitions; `None` while nothing is known.
pub(super) fn over(
    tracks: impl Iterator<Item = Track> + Clone,
    now: Moment,
    idle: Duration,
) -> Option<Nanos> {
    let active = tracks.clone().filter(|t| !t.is_silent(now, idle));
    let least = active.map(|t| t.watermark).min();
    least.or_else(|| tracks.map(|t| t.watermark).max())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(5);

    fn track(watermark: Nanos, last: Moment, at_end: bool) -> Track {
        Track { watermark, last_data: Some(last), at_end }
    }

    #[test]
    fn the_slowest_active_partition_holds_the_watermark() {
        let now = Moment::ZERO;
        let tracks = [track(10, now, false), track(7, now, true)];
        assert_eq!(over(tracks.into_iter(), now, IDLE), Some(7));
    }

    #[test]
    fn a_silent_partition_read_to_its_end_holds_nothing() {
        let then = Moment::ZERO;
        let now = then + IDLE * 2;
        let tracks = [track(10, now, true), track(7, then, true)];
        assert_eq!(over(tracks.into_iter(), now, IDLE), Some(10));
    }

    #[test]
    fn a_silent_partition_with_records_left_still_holds_it() {
        let then = Moment::ZERO;
        let now = then + IDLE * 2;
        let tracks = [track(10, now, true), track(7, then, false)];
        assert_eq!(over(tracks.into_iter(), now, IDLE), Some(7));
    }

    #[test]
    fn when_all_are_silent_it_stays_where_the_data_ended() {
        let then = Moment::ZERO;
        let tracks = [track(10, then, true), track(7, then, true)];
        assert_eq!(over(tracks.into_iter(), then + IDLE * 100, IDLE), Some(10));
        assert_eq!(over([].into_iter(), then, IDLE), None);
    }

    #[test]
    fn records_from_the_future_do_not_push_it_past_the_clock() {
        let now = Moment::ZERO;
        let mut track = Track::default();
        track.saw(1_000, 100, now);
        assert_eq!(track.watermark(), 100);
        track.saw(50, 200, now);
        assert_eq!(track.watermark(), 100, "it never goes back");
    }
}
