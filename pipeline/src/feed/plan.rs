//! Where to begin in a partition: what the store says against what the broker still has.

use std::ops::Range;

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// First offset that counts.
    pub next: i64,
    /// Offsets to read again for the stages' memory, as far as they are there.
    pub reread: Range<i64>,
    /// Offsets that the stages should know again and that are gone.
    pub forgotten: Range<i64>,
    /// Offsets that are gone before they were read, or whose log is.
    pub lost: Option<Range<i64>>,
}

/// Where to begin in a partition that was read up to `next`, of which the stages remember what lies
/// from `reread`, and of which the broker has `low..end`.
///
/// A log that ends before `next` is not the log that was read. If it begins at 0 the topic was made
/// anew, and all of it is new; if not, the broker lost its tail (an unclean election), and reading
/// goes on at the end. Either way `[end, next)` is noted as lost. A topic made anew that already
/// grew past `next` cannot be told from the old one: the protocol's clients see no topic identity.
pub fn plan(next: i64, reread: i64, low: i64, end: i64) -> Plan {
    let nothing = next..next;
    if end < next {
        let begin = if low == 0 { 0 } else { end };
        return Plan {
            next: begin,
            reread: begin..begin,
            forgotten: nothing,
            lost: Some(end..next),
        };
    }
    if low > next {
        return Plan {
            next: low,
            reread: low..low,
            forgotten: reread..next,
            lost: Some(next..low),
        };
    }
    let from = reread.max(low).min(next);
    Plan { next, reread: from..next, forgotten: reread..from, lost: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_goes_on_where_the_store_stands() {
        let plan = plan(100, 80, 0, 250);
        assert_eq!((plan.next, plan.reread, plan.lost), (100, 80..100, None));
        assert!(plan.forgotten.is_empty());
    }

    #[test]
    fn what_retention_ate_unread_is_lost() {
        let plan = plan(100, 80, 140, 250);
        assert_eq!((plan.next, plan.lost), (140, Some(100..140)));
        assert!(plan.reread.is_empty());
        assert_eq!(plan.forgotten, 80..100);
    }

    #[test]
    fn what_retention_ate_after_it_was_read_is_only_forgotten() {
        let plan = plan(100, 80, 90, 250);
        assert_eq!(
            (plan.next, plan.reread, plan.forgotten, plan.lost),
            (100, 90..100, 80..90, None)
        );
    }

    #[test]
    fn a_topic_made_anew_is_read_from_its_beginning() {
        let plan = plan(100, 80, 0, 7);
        assert_eq!((plan.next, plan.lost), (0, Some(7..100)));
        assert!(plan.reread.is_empty());
    }

    #[test]
    fn a_log_that_lost_its_tail_is_not_counted_again() {
        let plan = plan(100, 80, 40, 95);
        assert_eq!((plan.next, plan.lost), (95, Some(95..100)));
    }
}
