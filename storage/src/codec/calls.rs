//! The sums of a row of calls: as those of an edge, with three histograms behind them.
//!
//! A histogram is the number of its buckets, the buckets (the first as it is, the others as the
//! distance from the one before), each with its signed count, and the signed sum of durations.

use portolan_model::{CALL_MEASURES, CallCounters, Latency, Nanos, Window};

use super::{put_signed, put_varint, take_signed, take_varint};

/// What a row of calls holds beside its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallSums {
    pub(crate) counters: CallCounters,
    /// Latency as the client saw it, as the server saw it, and the gap between.
    pub(crate) latency: [Latency; 3],
    pub(crate) first_ns: Nanos,
    pub(crate) last_ns: Nanos,
}

/// Bits of the head: first known, last known, then one a histogram, then one a counter.
const FLAGS: u32 = 5;

/// Appends the sums of a row of `window`.
pub(crate) fn put(out: &mut Vec<u8>, window: Window, sums: &CallSums) {
    let counters = sums.counters.as_array();
    let mut head = u64::from(sums.first_ns != Nanos::MAX) | u64::from(sums.last_ns != 0) << 1;
    for (place, latency) in sums.latency.iter().enumerate() {
        head |= u64::from(!latency.is_zero()) << (2 + place);
    }
    for (place, sum) in counters.iter().enumerate() {
        head |= u64::from(*sum != 0) << (FLAGS + place as u32);
    }
    put_varint(out, head);
    counters.iter().filter(|sum| **sum != 0).for_each(|sum| put_signed(out, *sum));
    sums.latency.iter().filter(|l| !l.is_zero()).for_each(|l| put_latency(out, l));
    if sums.first_ns != Nanos::MAX {
        put_signed(out, sums.first_ns.wrapping_sub(window.start()) as i64);
    }
    if sums.last_ns != 0 {
        put_signed(out, sums.last_ns.wrapping_sub(window.start()) as i64);
    }
}

/// Reads the sums of a row of `window` off the front.
pub(crate) fn take(bytes: &mut &[u8], window: Window) -> Option<CallSums> {
    let head = take_varint(bytes)?;
    // As with edges: a counter that is not known is a newer format.
    if head >> FLAGS >> CALL_MEASURES != 0 {
        return None;
    }
    let mut counters = [0; CALL_MEASURES];
    for (place, sum) in counters.iter_mut().enumerate() {
        if head & 1 << (FLAGS + place as u32) != 0 {
            *sum = take_signed(bytes)?;
        }
    }
    let mut latency = <[Latency; 3]>::default();
    for (place, latency) in latency.iter_mut().enumerate() {
        if head & 1 << (2 + place) != 0 {
            *latency = take_latency(bytes)?;
        }
    }
    let mut time = |known: bool, unknown: Nanos| {
        if !known {
            return Some(unknown);
        }
        Some(window.start().wrapping_add(take_signed(bytes)? as u64))
    };
    let first_ns = time(head & 1 != 0, Nanos::MAX)?;
    let last_ns = time(head & 2 != 0, 0)?;
    Some(CallSums { counters: CallCounters::from_array(counters), latency, first_ns, last_ns })
}

fn put_latency(out: &mut Vec<u8>, latency: &Latency) {
    put_varint(out, latency.buckets().len() as u64);
    let mut before = 0;
    for (bucket, count) in latency.buckets() {
        put_varint(out, u64::from(bucket - before));
        put_signed(out, *count);
        before = *bucket;
    }
    put_signed(out, latency.sum_ns());
}

fn take_latency(bytes: &mut &[u8]) -> Option<Latency> {
    let len = take_varint(bytes)?;
    // A bucket has two bytes at least: a length beyond the bytes is refused before it allocates.
    if len > bytes.len() as u64 / 2 {
        return None;
    }
    let mut buckets = Vec::with_capacity(len as usize);
    let mut before = 0_u16;
    for at in 0..len {
        let step = u16::try_from(take_varint(bytes)?).ok()?;
        let bucket = before.checked_add(step).filter(|_| at == 0 || step > 0)?;
        buckets.push((bucket, Some(take_signed(bytes)?).filter(|count| *count != 0)?));
        before = bucket;
    }
    Some(Latency::from_parts(buckets, take_signed(bytes)?))
}

// === impl CallSums ===

impl CallSums {
    /// Nothing counted, no time known.
    pub(crate) fn zero() -> Self {
        Self {
            counters: CallCounters::ZERO,
            latency: Default::default(),
            first_ns: Nanos::MAX,
            last_ns: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn latency() -> impl Strategy<Value = Latency> {
        let bucket = (0_u16..2_000, -5_i64..500);
        (proptest::collection::vec(bucket, 0..6), any::<i64>())
            .prop_map(|(buckets, sum)| Latency::from_parts(buckets, sum))
    }

    fn sums() -> impl Strategy<Value = CallSums> {
        let counter = prop_oneof![3 => Just(0_i64), 2 => -300_i64..300, 1 => any::<i64>()];
        let time = prop_oneof![Just(0_u64), Just(u64::MAX), any::<u64>()];
        let latency = [latency(), latency(), latency()];
        (proptest::array::uniform16(counter), latency, time.clone(), time).prop_map(
            |(counters, latency, first_ns, last_ns)| CallSums {
                counters: CallCounters::from_array(counters),
                latency,
                first_ns,
                last_ns,
            },
        )
    }

    proptest! {
        #[test]
        fn sums_of_calls_come_back_as_they_went(sums in sums(), window in any::<u32>()) {
            let mut bytes = Vec::new();
            put(&mut bytes, Window(window), &sums);
            let mut at = &*bytes;
            prop_assert_eq!(take(&mut at, Window(window)), Some(sums));
            prop_assert!(at.is_empty());
            for cut in 0..bytes.len() {
                prop_assert_eq!(take(&mut &bytes[..cut], Window(window)), None);
            }
        }

        #[test]
        fn any_bytes_are_sums_of_calls_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            take(&mut &*bytes, Window(60));
        }
    }
}
