//! How far a partition is read, and what becomes of each offset that comes.

use std::ops::Range;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Next offset that counts.
    next: i64,
    /// What is still to be read again.
    reread: Range<i64>,
    /// Being read again: nothing counts, and what lies behind is not wanted yet.
    rereading: bool,
}

/// What becomes of an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken before, or is not wanted yet.
    Skip,
    /// It rebuilds memory, and counts nothing.
    Again,
    /// It counts. The offsets before it that never came are named: there may be none.
    New(Range<i64>),
}

// === impl Reading ===

impl Reading {
    /// Begins at `next`, with nothing to be read again.
    pub fn new(next: i64) -> Self {
        Self { next, reread: next..next, rereading: false }
    }

    /// Next offset that counts.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// What is still to be read again.
    pub fn reread(&self) -> &Range<i64> {
        &self.reread
    }

    /// Whether it is being read again.
    pub fn is_rereading(&self) -> bool {
        self.rereading
    }

    /// Whether it was being read again, and has been.
    pub fn is_reread(&self) -> bool {
        self.rereading && self.reread.is_empty()
    }

    /// The offset to fetch from.
    pub fn fetch_from(&self) -> i64 {
        if self.rereading { self.reread.start } else { self.next }
    }

    /// These offsets are to be read again.
    pub fn set_reread(&mut self, offsets: Range<i64>) {
        self.reread = offsets;
    }

    /// Reading again begins, if there is anything to be read.
    pub fn begin_reread(&mut self) {
        self.rereading = !self.reread.is_empty();
    }

    /// Reading again has ended.
    pub fn end_reread(&mut self) {
        self.rereading = false;
    }

    /// The broker no longer has what lies before `low`.
    pub fn raise_reread(&mut self, low: i64) {
        self.reread.start = self.reread.start.max(low).min(self.reread.end);
    }

    /// Nothing more will come of what was to be read again.
    pub fn cut_reread(&mut self) {
        self.reread.start = self.reread.end;
    }

    /// Forgets that anything was to be read again.
    pub fn forget_reread(&mut self) {
        self.reread = self.next..self.next;
    }

    /// Goes on at `to`: what lies before is gone.
    pub fn skip_to(&mut self, to: i64) {
        self.next = to;
    }

    /// Takes an offset in.
    pub fn take(&mut self, offset: i64) -> Taken {
        if self.rereading {
            let wanted = self.reread.contains(&offset);
            if offset >= self.reread.start {
                self.reread.start = (offset + 1).min(self.reread.end);
            }
            return if wanted { Taken::Again } else { Taken::Skip };
        }
        if offset < self.next {
            return Taken::Skip;
        }
        let missing = self.next..offset;
        self.next = offset + 1;
        Taken::New(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_counts_once_however_often_it_comes() {
        let mut reading = Reading::new(5);
        assert_eq!(reading.take(4), Taken::Skip);
        assert_eq!(reading.take(5), Taken::New(5..5));
        assert_eq!(reading.take(5), Taken::Skip);
        assert_eq!(reading.take(8), Taken::New(6..8));
        assert_eq!(reading.next(), 9);
    }

    #[test]
    fn what_is_read_again_counts_nothing_and_ends_where_it_was_left() {
        let mut reading = Reading::new(9);
        reading.set_reread(6..9);
        reading.begin_reread();
        assert_eq!(reading.fetch_from(), 6);
        assert_eq!([5, 6, 6].map(|o| reading.take(o)), [Taken::Skip, Taken::Again, Taken::Skip]);
        assert!(!reading.is_reread());
        // The last one is compacted away: what lies behind shows that it will not come.
        assert_eq!(reading.take(9), Taken::Skip);
        assert!(reading.is_reread());
        reading.end_reread();
        assert_eq!((reading.fetch_from(), reading.take(9)), (9, Taken::New(9..9)));
    }

    #[test]
    fn what_the_broker_lost_is_not_waited_for() {
        let mut reading = Reading::new(9);
        reading.set_reread(2..9);
        reading.begin_reread();
        reading.raise_reread(7);
        assert_eq!(reading.fetch_from(), 7);
        reading.raise_reread(20);
        assert!(reading.is_reread());
    }
}
