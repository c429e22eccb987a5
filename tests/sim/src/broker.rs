//! The brokers: logs whose records appear as time passes, leave at their low end, and sometimes
//! cannot be reached.

use portolan_model::{FlowRow, Nanos, OwnerEvent, Reject, TopicPartition};

use crate::world::metric::Point;
use crate::world::trace::Said;

/// What a message says once it is decoded.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Flows(Vec<FlowRow>),
    Owners(Vec<OwnerEvent>),
    Spans(Vec<Said>),
    Metrics(Vec<Point>),
    /// Bytes that no decoder takes.
    Poison(Reject),
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) offset: i64,
    /// When it was produced.
    pub(crate) at: Nanos,
    pub(crate) payload: Payload,
}

/// What a partition holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Flows,
    Owners,
    Spans,
    Metrics,
}

/// One partition.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) name: TopicPartition,
    pub(crate) cluster: usize,
    pub(crate) topic: Topic,
    /// The partition was added then.
    pub(crate) since: Nanos,
    /// In the order of offsets and of times.
    pub(crate) messages: Vec<Message>,
    /// First offset that is still there.
    pub(crate) low: i64,
    /// It cannot be reached before this time.
    pub(crate) away_until: Nanos,
}

/// A partition as a look at the cluster shows it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) log: usize,
    pub(crate) low: i64,
    pub(crate) end: i64,
}

/// A look at a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) extents: Vec<Extent>,
    pub(crate) trouble: bool,
}

// === impl Topic ===

impl Topic {
    /// Whether its records make the watermark, and are remembered by the stages.
    pub(crate) fn is_timed(self) -> bool {
        self != Self::Owners
    }
}

// === impl Log ===

impl Log {
    /// Messages that were produced by `now`.
    fn produced(&self, now: Nanos) -> usize {
        self.messages.partition_point(|m| m.at <= now)
    }

    /// One past the last offset.
    pub(crate) fn end(&self, now: Nanos) -> i64 {
        let last = self.produced(now).checked_sub(1).map(|at| self.messages[at].offset + 1);
        last.unwrap_or(0).max(self.low)
    }

    pub(crate) fn is_away(&self, now: Nanos) -> bool {
        now < self.away_until
    }

    /// The first message at or behind an offset.
    pub(crate) fn fetch(&self, offset: i64, now: Nanos) -> Option<&Message> {
        let at = self.messages.partition_point(|m| m.offset < offset);
        (at < self.produced(now)).then(|| &self.messages[at])
    }

    /// Messages of offsets in a range.
    pub(crate) fn within(&self, from: i64, to: i64) -> &[Message] {
        let low = self.messages.partition_point(|m| m.offset < from);
        let high = self.messages.partition_point(|m| m.offset < to);
        &self.messages[low..high.max(low)]
    }

    /// Retention: forgets what was produced before a time.
    pub(crate) fn forget_before(&mut self, at: Nanos) {
        let keep = self.messages.partition_point(|m| m.at < at);
        if let Some(last) = keep.checked_sub(1) {
            self.low = self.low.max(self.messages[last].offset + 1);
        }
    }
}

/// Looks at one cluster.
pub(crate) fn survey(logs: &[Log], cluster: usize, now: Nanos) -> View {
    let mut view = View::default();
    for (at, log) in logs.iter().enumerate().filter(|(_, l)| l.cluster == cluster) {
        if log.since > now {
            continue;
        }
        if log.is_away(now) {
            view.trouble = true;
        } else {
            view.extents.push(Extent { log: at, low: log.low, end: log.end(now) });
        }
    }
    view
}
