//! What must hold of memory and disk when the fleet has run.

use std::time::Duration;

use portolan_e2e::Portolan;

/// From this length on the first third is over before the horizon has filled (60 s of events, which
/// pass quicker than the clock), so that memory must be flat.
const LONG: Duration = Duration::from_secs(180);

/// Memory of the last third may be over that of those before by this, and no more: caches fill.
const GROWTH: u64 = 64 << 20;

/// What the store may take: two journals of 64 MiB, and the rows of the event time that a long run
/// gets through.
const DISK_BOUND: u64 = 1 << 30;

/// What was seen at one look.
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) resident: u64,
}

/// Says what was resident by twelfths, and fails if it grows.
pub(crate) fn assert_memory_is_flat(samples: &[Sample], length: Duration) {
    let peak = |nth: u32, of: u32| {
        let (from, to) = (length * nth / of, length * (nth + 1) / of);
        let within = samples.iter().filter(|s| s.at >= from && s.at < to);
        within.map(|s| s.resident).max().unwrap_or(0)
    };
    let twelfths: Vec<u64> = (0..12).map(|nth| peak(nth, 12) >> 20).collect();
    let [first, second, third] = [0, 1, 2].map(|nth| peak(nth, 3));
    let flat = third <= second.max(first) + GROWTH;
    let verdict = match (length >= LONG, flat) {
        (false, _) => "too short to judge",
        (true, true) => "flat",
        (true, false) => "it grows",
    };
    println!("memory: resident at most {twelfths:?} MiB by twelfths: {verdict}");
    assert!(length < LONG || flat, "memory grows: {first}, {second}, {third} by thirds");
}

/// Says what the store takes, and fails if it is more than it may.
pub(crate) fn assert_disk_is_bounded(portolan: &Portolan) {
    let disk = portolan.store_bytes();
    println!("disk: {} MiB of {} MiB", disk >> 20, DISK_BOUND >> 20);
    assert!(disk <= DISK_BOUND, "{disk} bytes on disk");
}
