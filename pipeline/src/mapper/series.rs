//! A series, and its judgement: which stretches of time its points speak of.

use std::sync::Arc;

use portolan_model::{
    CallKey, CallProtocol, CallSource, EntityId, MetricRow, MetricWhat, Nanos, Outcome, Rank,
};
use smallvec::SmallVec;

use super::point::{Counted, Point};

/// What a series is, but for its points: numbers are of the mapper's pools.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) client: u32,
    pub(super) server: u32,
    pub(super) operation: u32,
    pub(super) source: CallSource,
    pub(super) protocol: CallProtocol,
    pub(super) what: MetricWhat,
    pub(super) by_server: bool,
    pub(super) outcome: Outcome,
    pub(super) stream: u64,
    pub(super) group: u16,
    pub(super) counts: Option<Rank>,
    pub(super) times: Option<Rank>,
    pub(super) delta: bool,
}

/// See the module.
pub(super) struct Series {
    pub(super) label: Label,
    /// By time, each once.
    pub(super) points: SmallVec<[Arc<Point>; 2]>,
    /// What was told of the points that are remembered.
    pub(super) told: Vec<Told>,
    pub(super) touched: bool,
}

/// A stretch of time that is told of: the pure function of two points and of what was known.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The point before, if what was counted is the difference to it.
    pub(super) before: Option<Arc<Point>>,
    pub(super) point: Arc<Point>,
    /// When the stretch begins.
    pub(super) begin: Nanos,
    pub(super) names: Names,
    pub(super) counts: bool,
    pub(super) times: bool,
}

/// Who the ends are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) client: EntityId,
    pub(super) server: EntityId,
    pub(super) operation: EntityId,
    /// Both ends are known.
    pub(super) whole: bool,
}

/// A stretch between points, before anybody is named.
pub(super) struct Stretch<'a> {
    pub(super) before: Option<&'a Arc<Point>>,
    pub(super) point: &'a Arc<Point>,
    pub(super) begin: Nanos,
}

// === impl Label ===

impl Label {
    pub(super) fn of(row: &MetricRow, client: u32, server: u32, operation: u32) -> Self {
        Self {
            client,
            server,
            operation,
            source: row.source,
            protocol: row.protocol,
            what: row.what,
            by_server: row.by_server,
            outcome: row.outcome,
            stream: row.stream,
            group: row.group,
            counts: row.counts,
            times: row.times,
            // How many are open right now is a reading, however it was summed up.
            delta: row.delta || row.what == MetricWhat::Presence,
        }
    }
}

// === impl Series ===

impl Series {
    pub(super) fn new(label: Label) -> Self {
        Self { label, points: SmallVec::new(), told: Vec::new(), touched: false }
    }

    /// Takes a point in: how many more there are (0 or 1), and whether it said anything new.
    pub(super) fn put(&mut self, point: Point) -> (usize, bool) {
        match self.points.binary_search_by_key(&point.time, |p| p.time) {
            Ok(at) => {
                let merged = self.points[at].with(&point);
                let is_new = merged != *self.points[at];
                if is_new {
                    self.points[at] = Arc::new(merged);
                }
                (0, is_new)
            }
            Err(at) => {
                self.points.insert(at, Arc::new(point));
                (1, true)
            }
        }
    }

    /// The time of the newest point.
    pub(super) fn newest(&self) -> Nanos {
        self.points.last().map_or(0, |p| p.time)
    }

    /// The time of the oldest.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        self.points.first().map(|p| p.time)
    }

    /// The stretches that its points speak of, in order. `settled` says of a time that it was
    /// told of for good: the first point stands there only for the difference to it. `gap` is the longest
    /// stretch between two points.
    pub(super) fn stretches(
        &self,
        settled: Nanos,
        gap: Nanos,
    ) -> impl Iterator<Item = Stretch<'_>> {
        self.points.iter().enumerate().filter_map(move |(at, point)| {
            let last = at.checked_sub(1).map(|at| &self.points[at]);
            let alone = |begin: Nanos| {
                // No further back than a gap: windows are made for the whole stretch.
                let begin = begin.clamp(point.time.saturating_sub(gap), point.time);
                Some(Stretch { before: None, point, begin })
            };
            if self.label.delta {
                return alone(if point.start == 0 { point.time } else { point.start });
            }
            let last = last.filter(|last| point.time - last.time <= gap);
            match last {
                // Counting anew without a start that says so (Prometheus). Under one start, less than
                // before is a contradiction, and nothing is made of it.
                Some(last) if point.is_less_than(last) => {
                    (point.start == 0).then(|| alone(last.time)).flatten()
                }
                Some(last) => Some(Stretch { before: Some(last), point, begin: last.time }),
                // The first that is seen counts as far as it is known to have begun just now.
                None => {
                    let is_anchor = at == 0 && point.time < settled;
                    let has_begun = point.start != 0
                        && point.start < point.time
                        && point.time - point.start <= gap;
                    (has_begun && !is_anchor).then(|| alone(point.start)).flatten()
                }
            }
        })
    }

    /// Forgets what was read before `settled`, but for the last such point of what counts since a
    /// start. How many points are left out comes back.
    pub(super) fn trim(&mut self, settled: Nanos) -> usize {
        let old = self.points.partition_point(|p| p.time < settled);
        let drop = if self.label.delta { old } else { old.saturating_sub(1) };
        self.points.drain(..drop);
        self.told.retain(|told| told.point.time >= settled);
        drop
    }
}

// === impl Told ===

impl Told {
    /// Whether it says the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same = |a: &Option<Arc<Point>>, b: &Option<Arc<Point>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        Arc::ptr_eq(&self.point, &other.point)
            && same(&self.before, &other.before)
            && (self.begin, self.names, self.counts, self.times)
                == (other.begin, other.names, other.counts, other.times)
    }

    /// What was counted.
    pub(super) fn counted(&self) -> Counted {
        match &self.before {
            Some(before) => self.point.since(before),
            None => self.point.whole(),
        }
    }

    /// The key of its rows, but for the window.
    pub(super) fn key(&self, label: &Label, window: portolan_model::Window) -> CallKey {
        CallKey {
            window,
            client: self.names.client,
            server: self.names.server,
            source: label.source,
            protocol: label.protocol,
            operation: self.names.operation,
        }
    }
}
