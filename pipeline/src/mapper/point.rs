//! Points of a series, and what two of them say of the time in between.

use portolan_model::{Latency, MetricColumns, MetricRow, Nanos, Shape};

/// What was read of a series at one time. What Prometheus sends apart is put together here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) time: Nanos,
    /// Since when it counts; 0 is unknown.
    pub(super) start: Nanos,
    /// In thousandths.
    pub(super) count: Option<i64>,
    /// Nanoseconds or bytes.
    pub(super) sum: Option<i64>,
    pub(super) shape: Shape,
    pub(super) unit_nanos: u64,
    /// Sorted by bound or index.
    pub(super) buckets: Box<[(i64, u64)]>,
}

/// What was counted between two points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// In thousandths.
    pub(super) count: i64,
    /// Nanoseconds or bytes.
    pub(super) sum: Option<i64>,
    /// Durations by bucket of [`Latency`].
    pub(super) took: Vec<(u16, i64)>,
}

/// Values of a bucket: above and up to, in nanoseconds, and how many.
type Bucket = (i64, i64, i64);

// === impl Point ===

impl Point {
    pub(super) fn of(row: &MetricRow, columns: &MetricColumns) -> Self {
        Self {
            time: row.time,
            start: row.start,
            count: row.count_milli,
            sum: row.sum,
            shape: row.shape,
            unit_nanos: row.unit_nanos,
            buckets: columns.buckets(row).into(),
        }
    }

    /// With what another one says of the same time, whichever came first: of two words for the same
    /// the greater.
    pub(super) fn with(&self, other: &Self) -> Self {
        let shape = self.shape.max(other.shape);
        let mut buckets: Vec<(i64, u64)> = Vec::new();
        for from in [self, other].into_iter().filter(|p| p.shape == shape) {
            buckets.extend(&*from.buckets);
        }
        buckets.sort_unstable();
        buckets.reverse();
        buckets.dedup_by_key(|(bound, _)| *bound);
        buckets.reverse();
        Self {
            time: self.time,
            start: self.start.max(other.start),
            count: self.count.max(other.count),
            sum: self.sum.max(other.sum),
            shape,
            unit_nanos: self.unit_nanos.max(other.unit_nanos),
            buckets: buckets.into(),
        }
    }

    /// Whether something that only grows is less here than before: it was counted anew.
    pub(super) fn is_less_than(&self, before: &Self) -> bool {
        let less = |now: Option<i64>, then: Option<i64>| {
            now.zip(then).is_some_and(|(now, then)| now < then)
        };
        less(self.count, before.count)
            || less(self.sum, before.sum)
            || self.shape == before.shape
                && self.shape != Shape::None
                && !matches!(self.shape, Shape::Scale(_))
                && self.buckets.iter().any(|(bound, count)| {
                    let of = before.buckets.binary_search_by_key(bound, |(b, _)| *b);
                    of.is_ok_and(|at| before.buckets[at].1 > *count)
                })
    }

    /// What it says alone.
    pub(super) fn whole(&self) -> Counted {
        let buckets = match self.shape {
            Shape::None => Vec::new(),
            Shape::Bounds => apart(self.buckets.iter().map(|(b, n)| (*b, signed(*n)))),
            Shape::Upto => apart(steps(self.buckets.iter().map(|(b, n)| (*b, signed(*n))))),
            Shape::Scale(scale) => self
                .scaled(scale, self.buckets.iter().map(|(index, count)| (*index, signed(*count)))),
        };
        counted(self.count, self.sum, &buckets)
    }

    /// What was counted since `before`, which is not less.
    pub(super) fn since(&self, before: &Self) -> Counted {
        // What only one of the two says is not known of the time in between.
        let less = |now: Option<i64>, then: Option<i64>| Some(now? - then?);
        let (count, sum) = (less(self.count, before.count), less(self.sum, before.sum));
        let buckets = match (self.shape, before.shape) {
            (Shape::Bounds, Shape::Bounds) if same_bounds(self, before) => {
                apart(both(self, before))
            }
            (Shape::Upto, Shape::Upto) => apart(steps(both(self, before))),
            (Shape::Scale(now), Shape::Scale(then)) => self.since_at(now, before, then),
            _ => Vec::new(),
        };
        counted(count, sum, &buckets)
    }

    /// The same of exponential histograms, at the coarser of their scales: each step down joins two
    /// neighbours (OpenTelemetry's data model).
    fn since_at(&self, now: i8, before: &Self, then: i8) -> Vec<Bucket> {
        let scale = now.min(then);
        let mut sums = std::collections::BTreeMap::<i64, i64>::new();
        for (point, of, sign) in [(self, now, 1), (before, then, -1)] {
            let down = u32::from(of.abs_diff(scale));
            for (index, count) in &*point.buckets {
                // Zero stays zero.
                let index = if *index == i64::MIN { *index } else { index >> down };
                *sums.entry(index).or_default() += sign * signed(*count);
            }
        }
        self.scaled(scale, sums.into_iter())
    }

    fn scaled(&self, scale: i8, of: impl Iterator<Item = (i64, i64)>) -> Vec<Bucket> {
        let edge = |index: i64| {
            let edge = (index as f64 * (-f64::from(scale)).exp2()).exp2() * self.unit_nanos as f64;
            edge.round() as i64
        };
        let range = |index: i64| match index {
            i64::MIN => (0, 0),
            index => (edge(index), edge(index.saturating_add(1))),
        };
        of.map(|(index, count)| {
            let (above, upto) = range(index);
            (above, upto, count)
        })
        .collect()
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn same_bounds(a: &Point, b: &Point) -> bool {
    a.buckets.iter().map(|(bound, _)| bound).eq(b.buckets.iter().map(|(bound, _)| bound))
}

/// The differences of buckets that both have.
fn both<'a>(now: &'a Point, then: &'a Point) -> impl Iterator<Item = (i64, i64)> + 'a {
    now.buckets.iter().filter_map(|(bound, count)| {
        let at = then.buckets.binary_search_by_key(bound, |(b, _)| *b).ok()?;
        Some((*bound, signed(*count) - signed(then.buckets[at].1)))
    })
}

/// From counts with all below them to counts of each.
fn steps(of: impl Iterator<Item = (i64, i64)>) -> impl Iterator<Item = (i64, i64)> {
    of.scan(0, |below, (bound, upto)| {
        let here = (upto - *below).max(0);
        *below = upto.max(*below);
        Some((bound, here))
    })
}

/// Each with the bound below it.
fn apart(of: impl Iterator<Item = (i64, i64)>) -> Vec<Bucket> {
    let mut below = 0;
    of.map(|(bound, count)| {
        let bucket = (below, bound, count);
        below = bound;
        bucket
    })
    .collect()
}

/// Durations of buckets. Where all lie in one, they are taken for their mean; else each for the middle
/// of its bucket, and for the bound below it where there is none above.
fn counted(count: Option<i64>, sum: Option<i64>, buckets: &[Bucket]) -> Counted {
    let some: Vec<&Bucket> = buckets.iter().filter(|(.., n)| *n > 0).collect();
    let mean = |n: i64| sum.map(|sum| sum / n.max(1));
    let mut took: Vec<(u16, i64)> = Vec::with_capacity(some.len());
    for (above, upto, n) in &some {
        let middle = if *upto == i64::MAX { *above } else { above + (upto - above) / 2 };
        let nanos = match mean(*n) {
            Some(mean) if some.len() == 1 => mean.clamp(*above, *upto),
            _ => middle,
        };
        took.push((Latency::bucket(nanos.max(0) as u64), *n));
    }
    let by_buckets = some.iter().map(|(.., n)| n * 1_000).sum::<i64>();
    let has_buckets = !buckets.is_empty();
    let count = count.unwrap_or(if has_buckets { by_buckets } else { 0 });
    Counted { count, sum, took }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn point(shape: Shape, buckets: &[(i64, u64)]) -> Point {
        Point {
            time: 1,
            start: 0,
            count: Some(0),
            sum: None,
            shape,
            unit_nanos: 1_000_000_000,
            buckets: buckets.into(),
        }
    }

    fn ms(counted: &Counted) -> Vec<(u64, i64)> {
        counted.took.iter().map(|(b, n)| (Latency::middle(*b) / MS as u64, *n)).collect()
    }

    #[test]
    fn durations_are_taken_for_the_middle_of_their_bucket() {
        let of = point(Shape::Bounds, &[(100 * MS, 2), (300 * MS, 1), (i64::MAX, 1)]);
        // To the width of a bucket.
        assert_eq!(ms(&of.whole()), [(49, 2), (199, 1), (297, 1)]);
        let upto = point(Shape::Upto, &[(100 * MS, 2), (300 * MS, 3), (i64::MAX, 4)]);
        assert_eq!(upto.whole().took, of.whole().took);
    }

    #[test]
    fn durations_of_one_bucket_are_taken_for_their_mean() {
        let mut of = point(Shape::Bounds, &[(100 * MS, 0), (300 * MS, 4), (i64::MAX, 0)]);
        of.sum = Some(4 * 120 * MS);
        let took = of.whole().took;
        assert_eq!(took, [(Latency::bucket(120 * MS as u64), 4)]);
    }

    #[test]
    fn exponential_histograms_of_two_scales_are_compared_at_the_coarser() {
        // Scale 1: base is the root of 2; index 2 and 3 are (2 s, 4 s], index 1 of scale 0.
        let then = point(Shape::Scale(1), &[(i64::MIN, 1), (2, 3), (3, 1)]);
        let now = point(Shape::Scale(0), &[(i64::MIN, 1), (1, 6)]);
        assert_eq!(ms(&now.since(&then)).len(), 1);
        assert_eq!(now.since(&then).took[0].1, 2);
        assert_eq!(now.since(&then).took[0].0, Latency::bucket(3_000 * MS as u64));
    }

    #[test]
    fn histogram_with_other_bounds_says_nothing_of_the_time_in_between() {
        let then = point(Shape::Bounds, &[(100 * MS, 2), (i64::MAX, 1)]);
        let now = point(Shape::Bounds, &[(200 * MS, 2), (i64::MAX, 1)]);
        assert_eq!(now.since(&then).took, []);
    }

    #[test]
    fn parts_of_a_point_are_put_together_in_any_order() {
        let parts = [
            point(Shape::Upto, &[(100 * MS, 2)]),
            point(Shape::Upto, &[(i64::MAX, 4)]),
            Point { count: Some(4_000), ..point(Shape::None, &[]) },
            Point { sum: Some(9), count: None, ..point(Shape::None, &[]) },
        ];
        let there = parts[1..].iter().fold(parts[0].clone(), |all, part| all.with(part));
        let back = parts[..3].iter().rev().fold(parts[3].clone(), |all, part| all.with(part));
        assert_eq!(there, back);
        assert_eq!((there.count, there.sum, there.buckets.len()), (Some(4_000), Some(9), 2));
    }
}
