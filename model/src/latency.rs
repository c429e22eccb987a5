//! Latency histograms: one mergeable form for every layer, level and side.
//!
//! Log-linear buckets of nanoseconds, 32 an octave: a bucket is at most 1/32 of its lower bound wide,
//! so that its middle is at most 1/64 (1.6 %) off any value in it. Sparse, because an edge in a window
//! has few different latencies; signed, so that a correction is a difference like any other.

use smallvec::SmallVec;

/// Buckets of an octave. 32: half a bucket is 1.6 % of its value, below the stated 2 %.
const PER_OCTAVE: u64 = 32;

/// log2 of [`PER_OCTAVE`].
const OCTAVE_BITS: u32 = PER_OCTAVE.trailing_zeros();

/// So few buckets are put into a histogram one by one, without another in memory beside it.
const FEW: usize = 4;

/// A histogram of durations. Merged by addition, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Bucket and count, sorted by bucket, no count zero.
    buckets: SmallVec<[(u16, i64); 2]>,
    /// Sum of all durations in nanoseconds, for the exact mean.
    sum_ns: i64,
}

// === impl Latency ===

impl Latency {
    /// The bucket of a duration: exact below 32 ns.
    pub const fn bucket(ns: u64) -> u16 {
        if ns < PER_OCTAVE {
            return ns as u16;
        }
        let octave = ns.ilog2() - OCTAVE_BITS;
        ((octave as u64 + 1) * PER_OCTAVE + ((ns >> octave) & (PER_OCTAVE - 1))) as u16
    }

    /// First and last duration of a bucket, in nanoseconds.
    pub const fn bounds(bucket: u16) -> (u64, u64) {
        let bucket = bucket as u64;
        if bucket < PER_OCTAVE {
            return (bucket, bucket);
        }
        let octave = bucket / PER_OCTAVE - 1;
        let low = (PER_OCTAVE + bucket % PER_OCTAVE) << octave;
        (low, low + ((1 << octave) - 1))
    }

    /// The duration that stands for a bucket: its middle.
    pub const fn middle(bucket: u16) -> u64 {
        let (low, high) = Self::bounds(bucket);
        low + (high - low) / 2
    }

    /// From buckets and the sum, as a store keeps them. Equal buckets are added up.
    pub fn from_parts(buckets: impl IntoIterator<Item = (u16, i64)>, sum_ns: i64) -> Self {
        let mut made = Self { buckets: SmallVec::new(), sum_ns };
        for (bucket, count) in buckets {
            made.put(bucket, count);
        }
        made
    }

    /// Counts a duration `count` times; negative takes it away again.
    pub fn record(&mut self, ns: u64, count: i64) {
        self.put(Self::bucket(ns), count);
        let by = i64::try_from(ns).unwrap_or(i64::MAX).saturating_mul(count);
        self.sum_ns = self.sum_ns.saturating_add(by);
    }

    /// Bucket and count, sorted by bucket.
    pub fn buckets(&self) -> &[(u16, i64)] {
        &self.buckets
    }

    /// Sum of all durations in nanoseconds.
    pub const fn sum_ns(&self) -> i64 {
        self.sum_ns
    }

    /// How many durations it holds.
    pub fn count(&self) -> i64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// Whether nothing is left.
    pub fn is_zero(&self) -> bool {
        self.buckets.is_empty() && self.sum_ns == 0
    }

    /// Adds the other's counts.
    pub fn add(&mut self, other: &Self) {
        self.merge(other, 1);
    }

    /// Takes the other's counts away.
    pub fn subtract(&mut self, other: &Self) {
        self.merge(other, -1);
    }

    /// The duration below which `q` (0 to 1) of them lie, in nanoseconds, to 1.6 %; nothing if it is
    /// empty.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let total: i64 = self.buckets.iter().map(|(_, count)| count.max(&0)).sum();
        if total == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as i64).max(1);
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count.max(&0);
            if seen >= rank {
                return Some(Self::middle(*bucket));
            }
        }
        None
    }

    fn merge(&mut self, other: &Self, sign: i64) {
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns.saturating_mul(sign));
        if other.buckets.is_empty() {
            return;
        }
        if other.buckets.len() <= FEW {
            for (bucket, count) in &other.buckets {
                self.put(*bucket, count.saturating_mul(sign));
            }
            return;
        }
        let mut merged = SmallVec::with_capacity(self.buckets.len() + other.buckets.len());
        let (mut a, mut b) = (self.buckets.iter().peekable(), other.buckets.iter().peekable());
        loop {
            let next = match (a.peek(), b.peek()) {
                (None, None) => break,
                (Some((x, _)), Some((y, _))) if x == y => {
                    let (bucket, left) = a.next().expect("it was just seen");
                    let (_, right) = b.next().expect("it was just seen");
                    (*bucket, left.saturating_add(right.saturating_mul(sign)))
                }
                (Some((x, _)), Some((y, _))) if x > y => taken(b.next(), sign),
                (None, Some(_)) => taken(b.next(), sign),
                (Some(_), _) => taken(a.next(), 1),
            };
            if next.1 != 0 {
                merged.push(next);
            }
        }
        self.buckets = merged;
    }

    fn put(&mut self, bucket: u16, count: i64) {
        if count == 0 {
            return;
        }
        match self.buckets.binary_search_by_key(&bucket, |(b, _)| *b) {
            Ok(at) => {
                self.buckets[at].1 = self.buckets[at].1.saturating_add(count);
                if self.buckets[at].1 == 0 {
                    self.buckets.remove(at);
                }
            }
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }
}

fn taken(next: Option<&(u16, i64)>, sign: i64) -> (u16, i64) {
    let (bucket, count) = next.expect("it was just seen");
    (*bucket, count.saturating_mul(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few thousand values over all octaves, without randomness.
    fn values() -> impl Iterator<Item = u64> {
        (0..64).flat_map(|bits| (0..50).map(move |i| (1_u64 << bits) | (i * 0x9e37) << bits >> 20))
    }

    #[test]
    fn every_duration_lies_within_its_bucket_and_near_its_middle() {
        for ns in values() {
            let bucket = Latency::bucket(ns);
            let (low, high) = Latency::bounds(bucket);
            assert!((low..=high).contains(&ns), "{ns} in {low}..={high}");
            let off = Latency::middle(bucket).abs_diff(ns);
            assert!(off * 64 <= ns, "{off} off {ns}");
        }
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for bucket in 0..Latency::bucket(u64::MAX) {
            assert_eq!(Latency::bounds(bucket).1 + 1, Latency::bounds(bucket + 1).0);
        }
    }

    #[test]
    fn merging_is_adding_and_subtracting_takes_it_back() {
        let (mut one, mut two, mut all) = <(Latency, Latency, Latency)>::default();
        for (i, ns) in values().enumerate() {
            let (part, count) = if i % 3 == 0 { (&mut one, 1) } else { (&mut two, 2) };
            part.record(ns, count);
            all.record(ns, count);
        }
        let alone = one.clone();
        one.add(&two);
        assert_eq!(one.buckets(), all.buckets());
        one.subtract(&two);
        assert_eq!(one.buckets(), alone.buckets());
        one.subtract(&alone);
        assert_eq!(one.buckets(), []);
    }

    #[test]
    fn quantile_is_the_value_at_its_rank() {
        let mut ms = Latency::default();
        assert_eq!(ms.quantile(0.5), None);
        for i in 1..=100_u64 {
            ms.record(i * 1_000_000, 1);
        }
        for (q, want) in [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)] {
            let got = ms.quantile(q).expect("it holds a hundred values");
            let want = want * 1_000_000;
            assert!(got.abs_diff(want) * 64 <= want, "{q}: {got}");
        }
        assert_eq!(ms.count(), 100);
        assert_eq!(ms.sum_ns(), 5_050 * 1_000_000);
    }
}
