//! What must hold when the fleet has run: calls, memory, disk, and each level of the store.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_e2e::{Portolan, command};
use portolan_fleet::CallEdge;
use portolan_proto::v1;

/// From this length on the first third is over before the horizon has filled (60 s of events, which
/// pass quicker than the clock), so that memory must be flat.
const LONG: Duration = Duration::from_secs(180);

/// Memory of the last third may be over that of those before by this, and no more: caches fill.
const GROWTH: u64 = 64 << 20;

/// What the store may take: two journals of 64 MiB, and the rows of the event time that a long run
/// gets through.
const DISK_BOUND: u64 = 1 << 30;

/// Spans wait for their other halves, and the last ones until nothing comes any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was seen at one look.
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) resident: u64,
}

/// Calls of which both ends told, by the names of these.
type Pairs = BTreeMap<(String, String), u64>;

/// Fails unless every call of which both ends told is counted once, between its ends, and no other.
pub(crate) fn assert_calls_are_true(portolan: &mut Portolan, calls: &[CallEdge]) {
    let mut truth = Pairs::new();
    for edge in calls.iter().filter(|edge| edge.counts.paired > 0) {
        let ends = (edge.client.name.to_string(), edge.server.name.to_string());
        *truth.entry(ends).or_default() += edge.counts.paired;
    }
    let all: u64 = truth.values().sum();
    assert!(all > 100, "the fleet calls");
    let found = portolan.wait_for_graph("the calls", PATIENCE, |graph| pairs(graph) == truth);
    if let Err(error) = found {
        let found = pairs(&portolan.whole_graph().unwrap());
        panic!("of {truth:#?}\nit has {found:#?}\n{error:#}");
    }
    println!("spans: {all} calls between {} pairs: no difference to the truth", truth.len());
}

fn pairs(graph: &v1::GetGraphResponse) -> Pairs {
    let mut pairs = Pairs::new();
    for edge in &graph.edges {
        let name = |entity: &Option<v1::Entity>| entity.as_ref().unwrap().name.clone();
        for said in edge.calls.iter().filter(|said| said.source == "trace_pair") {
            let ends = (name(&edge.client), name(&edge.server));
            *pairs.entry(ends).or_default() += said.calls.round() as u64;
        }
    }
    pairs
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

/// Stops it, and fails unless its store is sound: among other things, each level says what the one below says.
pub(crate) fn assert_levels_agree(portolan: &mut Portolan) {
    portolan.stop().unwrap();
    let store = portolan.store();
    let output = command().unwrap().args(["store", "verify"]).arg(&store).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
