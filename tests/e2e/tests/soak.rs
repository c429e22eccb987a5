//! The fleet at full speed, a `kill -9` every few seconds, and in the end no difference to the
//! truth. `make soak FOR=5m` runs it for long; without `SOAK_FOR` it is over in seconds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "its figures are what it is run for")]

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use portolan_e2e::{Broker, Portolan, Setup, Writer};
use portolan_fleet::{CallEdge, Fleet, FleetSpec, Message, TelemetrySpec, Topic, Truth};
use portolan_proto::v1;

#[path = "soak/calls.rs"]
mod calls;
#[path = "all/crowd.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod crowd;
#[path = "soak/holds.rs"]
mod holds;
#[path = "soak/levels.rs"]
mod levels;
#[path = "all/maps.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod maps;

use calls::Calls;
use crowd::{now, spread};
use holds::Sample;
use levels::Whole;

const SECOND: u64 = 1_000_000_000;
const PARTITIONS: i32 = 4;
/// Records that may wait on the broker: some seconds of work, so that a kill always falls into it.
const AHEAD: u64 = 300_000;
/// Event time of one publication.
const TICK: u64 = 2 * SECOND;
/// Without a word about it the soak is this short, and with few kills.
const SHORT: Duration = Duration::from_secs(8);
/// What publishing and killing know of each other.
#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// Flow records and spans on the broker.
    published: AtomicU64,
    /// How many of them the store says it has.
    accepted: AtomicI64,
}

struct Topics {
    flows: String,
    owners: String,
    spans: String,
    writer: Writer,
}

impl Topics {
    fn publish(&mut self, messages: &[Message]) -> u64 {
        let of = |topic: Topic| {
            messages.iter().filter(move |m| m.topic == topic).map(move |m| {
                let one = topic == Topic::Ownership;
                let partition = if one { 0 } else { spread(&m.partition_key, PARTITIONS) };
                (partition, m.partition_key.as_slice(), m.payload.as_slice())
            })
        };
        self.writer.produce(&self.owners, of(Topic::Ownership)).unwrap();
        self.writer.produce(&self.flows, of(Topic::Flows)).unwrap();
        self.writer.produce(&self.spans, of(Topic::Spans)).unwrap();
        let counted = |m: &&Message| matches!(m.topic, Topic::Flows | Topic::Spans);
        messages.iter().filter(counted).map(|m| u64::from(m.records)).sum()
    }
}

/// What the fleet has done in the end.
struct Ran {
    truth: Truth,
    calls: Vec<CallEdge>,
    last: u64,
    topics: Topics,
}

/// Lets the fleet run as fast as the broker and the line take it.
fn publish(mut topics: Topics, mut fleet: Fleet, shared: &Shared) -> Ran {
    while !shared.over.load(SeqCst) {
        let accepted = shared.accepted.load(SeqCst).max(0) as u64;
        if shared.published.load(SeqCst) > accepted + AHEAD {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        let messages = fleet.tick(fleet.now() + TICK);
        shared.published.fetch_add(topics.publish(&messages), SeqCst);
    }
    let rest = fleet.close(fleet.now() + TICK);
    shared.published.fetch_add(topics.publish(&rest), SeqCst);
    Ran { truth: fleet.truth(), calls: fleet.calls(), last: fleet.now(), topics }
}

/// `90s`, `5m` or `2h`.
fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => panic!("{text:?}: give 90s, 5m or 2h"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * unit)
}

/// The next instant of a kill, by a fixed seed.
fn pause(seed: &mut u64) -> Duration {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    Duration::from_millis(1_000 + (*seed >> 33) % 4_000)
}

fn accepted(portolan: &Portolan) -> Option<i64> {
    portolan.status().ok().and_then(|s| s.tallies.get("accepted").copied())
}

/// Runs for `length`, killing it again and again. The samples and the count of kills come back.
fn kill_and_watch(
    portolan: &mut Portolan,
    shared: &Shared,
    length: Duration,
) -> (Vec<Sample>, u64) {
    let (started, mut seed) = (Instant::now(), 7);
    let (mut samples, mut kills, mut told) = (Vec::new(), 0, Instant::now());
    let mut next = started + pause(&mut seed);
    while started.elapsed() < length {
        thread::sleep(Duration::from_millis(100));
        if let Some(status) = portolan.ended().unwrap() {
            panic!("it ended by itself ({status}): {}", portolan.log_tail());
        }
        if let Some(accepted) = accepted(portolan) {
            let before = shared.accepted.fetch_max(accepted, SeqCst);
            assert!(accepted >= before, "what was committed is gone: {accepted} after {before}");
        }
        if let Some(resident) = portolan.resident() {
            samples.push(Sample { at: started.elapsed(), resident });
        }
        if Instant::now() >= next {
            portolan.kill9().unwrap();
            kills += 1;
            portolan.launch().unwrap();
            next = Instant::now() + pause(&mut seed);
        }
        if told.elapsed() >= Duration::from_secs(10) {
            told = Instant::now();
            println!(
                "{:>4} s: {kills} kills, {} records on the broker, {} in the store, {} MiB resident, {} MiB on disk",
                started.elapsed().as_secs(),
                shared.published.load(SeqCst),
                shared.accepted.load(SeqCst),
                samples.last().map_or(0, |s| s.resident >> 20),
                portolan.store_bytes() >> 20,
            );
        }
    }
    (samples, kills)
}

#[test]
fn kills_at_full_speed_change_no_count() {
    let asked = std::env::var("SOAK_FOR").ok().filter(|s| !s.is_empty());
    let length = asked.map_or(SHORT, |text| duration(&text));
    let broker = Broker::shared();
    let telemetry = TelemetrySpec { duplicate_permille: 20, ..TelemetrySpec::off() };
    let spec = FleetSpec {
        // Records come as fast as they are taken: this is how much event time they fill.
        flows_per_sec: 20_000,
        records_per_message: 100,
        telemetry: TelemetrySpec { spans: true, ..telemetry },
        ..FleetSpec::hard(31)
    };
    let start = now() - 12 * 3_600 * SECOND;
    let fleet = Fleet::try_new(spec.clone(), start - start % (60 * SECOND)).unwrap();
    let first = fleet.now();
    let topics = broker.topics();
    let [flows, owners, spans] = ["soak-flows", "soak-owners", "soak-spans"].map(str::to_owned);
    topics.create(&flows, PARTITIONS, &[]).unwrap();
    // All that a node tells in a second is one message.
    topics.create(&spans, PARTITIONS, &[("max.message.bytes", "20000000")]).unwrap();
    topics.create(&owners, 1, &[]).unwrap();
    let setup = Setup::new(broker.bootstrap())
        .topic(&flows, "netobserv-pb", "")
        .topic(&owners, "portolan-pb", "")
        .topic(&spans, "otlp-proto", "")
        .set("line.commit_interval", "\"500ms\"");
    let setup = levels::all(setup);
    let mut topics = Topics { flows, owners, spans, writer: topics.writer().unwrap() };
    topics.publish(&fleet.ownership());
    let mut portolan = Portolan::start(&setup).unwrap();

    let shared = Shared::default();
    let began = Instant::now();
    let (samples, kills, ran) = thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(topics, fleet, &shared));
        let (samples, kills) = kill_and_watch(&mut portolan, &shared, length);
        shared.over.store(true, SeqCst);
        (samples, kills, publisher.join().unwrap())
    });
    let published = shared.published.load(SeqCst) as i64;
    let all = |status: &v1::GetStatusResponse| {
        status.tallies.get("accepted").is_some_and(|a| *a >= published)
    };
    let status =
        portolan.wait_for_status("all is accepted", Duration::from_secs(300), all).unwrap();
    println!(
        "{kills} kills in {} s; {published} flow records and spans ({} a second) over {} s of events",
        length.as_secs(),
        published as u64 / began.elapsed().as_secs().max(1),
        (ran.last - first) / SECOND,
    );
    println!("tallies {:?}", status.tallies);
    assert!(kills > 0, "it was hurt");
    assert_eq!(status.tallies["accepted"], published, "each record counts once");
    maps::assert_true(&portolan, &ran.truth);
    println!("flows: no difference to the truth");
    let calls = Calls::of(&ran.calls);
    calls.assert_told(&mut portolan);
    holds::assert_memory_is_flat(&samples, length);
    holds::assert_disk_is_bounded(&portolan);

    let whole = Whole::around(first, ran.last);
    // Another seed: spans of the same ids would be taken for the first ones.
    let quiet = FleetSpec { seed: spec.seed + 1, flows_per_sec: 100, ..spec };
    let (mut topics, mut later) = (ran.topics, Fleet::try_new(quiet, whole.settles()).unwrap());
    whole.pack(&mut portolan, || {
        topics.publish(&later.tick(later.now() + TICK));
    });
    whole.assert_true_at_every_level(&mut portolan, &setup, (&ran.truth, &calls));
}
