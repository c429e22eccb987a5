//! Who owned an address at an instant, at a million intervals, beside the structure that comes to
//! mind first: a hash map of trees.
//!
//! `cargo bench -p portolan-benches --bench lookup` prints nanoseconds a lookup and bytes an
//! interval. Hold: 60 ns a lookup of those that are asked together, as the line asks: by number for the connections
//! of a block, by address for all the places that something forwards to. What many questions wait for, they wait for
//! together; what one waits for alone is printed beside it.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measures")]

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use portolan_benches::resident_bytes;
use portolan_model::{Ip, Nanos, OwnerEvent, OwnerKind, OwnerRecord, Proto, ScopeId, ValidTime};
use portolan_pipeline::{Directory, Found, Lookup};

const SCOPE: &str = "cluster/a/pod";
const INTERVALS: u32 = 1_000_000;
const SECOND: Nanos = 1_000_000_000;
/// Length of an interval.
const LIFE: Nanos = 3_600 * SECOND;
const LOOKUPS: usize = 4_000_000;
/// Questions of a block: the line judges connections in blocks of as many.
const BLOCK: usize = 32;
/// Addresses that are asked for at once: so many places a service may well forward to.
const BATCH: usize = 128;
/// Nanoseconds a look-up that are held.
const HOLD: f64 = 60.0;

/// What is asked, as short as it can be: reading the questions is no part of the answers.
struct Question {
    at: Nanos,
    address: u32,
    number: u32,
}

/// One shape of a fleet: how many addresses the intervals lie on.
fn measure(addresses: u32) {
    let lives = INTERVALS / addresses;
    let before = resident_bytes();
    let mut directory = Directory::new("prod", &[]);
    for life in 0..lives {
        for address in 0..addresses {
            directory.tell(OwnerEvent::Upsert(Box::new(pod(address, life))));
        }
        directory.settle();
    }
    let mut naive: HashMap<(ScopeId, Ip), BTreeMap<Nanos, (Nanos, u32)>> = HashMap::new();
    for life in 0..lives {
        for address in 0..addresses {
            let (from, to) = (begin(life), begin(life + 1));
            let tree = naive.entry((ScopeId::of(SCOPE), ip(address))).or_default();
            tree.insert(from, (to, life));
        }
    }
    let scope = ScopeId::of(SCOPE);
    let mut dice = Dice(7);
    let questions: Vec<Question> = (0..LOOKUPS)
        .map(|_| {
            let address = dice.below(u64::from(addresses)) as u32;
            let number = directory.index_of(scope, ip(address));
            let at = begin(0) + dice.below(u64::from(lives) * LIFE);
            Question { address, number: number.expect("every address has a claim"), at }
        })
        .collect();
    let mut look = Lookup {
        scope,
        ip: Ip::NONE,
        port: 8080,
        proto: Proto::TCP,
        at: 0,
        until: 0,
        sends: true,
        tolerance: 2 * SECOND,
        seen_on: [Ip::NONE; 2],
        peer: Ip::NONE,
    };
    let mut best = [f64::MAX; 5];
    let (mut batch, mut indexes) = (Vec::new(), Vec::new());
    // Alternating, and the best of five: the machine may have other things to do.
    for _ in 0..5 {
        best[0] = best[0].min(time(&questions, |asked| {
            matches!(directory.find(Some(asked.number), asked.of(&mut look)), Found::One(..))
        }));
        best[1] = best[1].min(time(&questions, |asked| {
            let look = asked.of(&mut look);
            let index = directory.index_of(look.scope, look.ip);
            matches!(directory.find(index, look), Found::One(..))
        }));
        best[2] = best[2].min(blocks(&questions, BLOCK, |block| {
            let sum = block.iter().fold(0, |sum, asked| sum ^ directory.warm(asked.number));
            black_box(sum);
            let answers =
                block.iter().map(|asked| directory.find(Some(asked.number), asked.of(&mut look)));
            answers.filter(|found| matches!(found, Found::One(..))).count()
        }));
        best[4] = best[4].min(blocks(&questions, BATCH, |block| {
            indexes.clear();
            batch.clear();
            batch.extend(block.iter().map(|asked| (scope, ip(asked.address))));
            directory.indexes_of(&batch, &mut indexes);
            let answers = block
                .iter()
                .zip(&indexes)
                .map(|(asked, index)| directory.find(*index, asked.of(&mut look)));
            answers.filter(|found| matches!(found, Found::One(..))).count()
        }));
        best[3] = best[3].min(time(&questions, |asked| {
            naive.get(&(scope, ip(asked.address))).is_some_and(|tree| {
                let before = tree.range(..=asked.at).next_back();
                before.is_some_and(|(_, (to, _))| asked.at < *to)
            })
        }));
    }
    drop((naive, questions));
    portolan_allocator::give_free_memory_back();
    let held = resident_bytes().saturating_sub(before);
    println!(
        "{INTERVALS} intervals on {addresses} addresses: {} MB, {} bytes an interval",
        held >> 20,
        held / u64::from(INTERVALS)
    );
    println!(
        "  together: by number {:.0} ns (hold {HOLD}: {}), by address {:.0} ns (hold {HOLD}: {})",
        best[2],
        verdict(best[2]),
        best[4],
        verdict(best[4]),
    );
    println!(
        "  one by one: by number {:.0} ns, by address {:.0} ns; HashMap of BTreeMap {:.0} ns",
        best[0], best[1], best[3]
    );
}

fn verdict(took: f64) -> &'static str {
    if took <= HOLD { "held" } else { "missed" }
}

// === impl Question ===

impl Question {
    /// It in full, but for what is the same in all.
    fn of<'a>(&self, look: &'a mut Lookup) -> &'a Lookup {
        (look.ip, look.at, look.until) = (ip(self.address), self.at, self.at);
        look
    }
}

/// Numbers without order: xorshift64* (Marsaglia, 2003; Vigna, 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

/// Nanoseconds a question; every one must have an answer.
fn time(questions: &[Question], mut ask: impl FnMut(&Question) -> bool) -> f64 {
    let start = Instant::now();
    let found = questions.iter().filter(|question| black_box(ask(question))).count();
    let took = start.elapsed();
    assert_eq!(found, questions.len(), "every instant has an owner");
    took.as_nanos() as f64 / questions.len() as f64
}

/// The same, asked in blocks; how many had an answer is what `ask` says.
fn blocks(questions: &[Question], len: usize, mut ask: impl FnMut(&[Question]) -> usize) -> f64 {
    let start = Instant::now();
    let found: usize = questions.chunks(len).map(|block| black_box(ask(block))).sum();
    let took = start.elapsed();
    assert_eq!(found, questions.len(), "every instant has an owner");
    took.as_nanos() as f64 / questions.len() as f64
}

fn begin(life: u32) -> Nanos {
    1_700_000_000 * SECOND + Nanos::from(life) * LIFE
}

fn ip(address: u32) -> Ip {
    Ip::v4(0x0a00_0000 + address)
}

/// A pod as a cluster names it: a thousand workloads, names and uids of the usual length.
fn pod(address: u32, life: u32) -> OwnerRecord {
    let uid = format!("{address:08x}-{life:04x}-4b1d-9c3e-2f6a7d5e8b10");
    let valid = ValidTime::between(begin(life), begin(life + 1));
    let workload = address % 1_000;
    OwnerRecord {
        environment: "prod".into(),
        namespace: format!("team-{:02}", workload % 50).into(),
        name: format!("service-{workload:04}-7d9f8c6b5-{:05x}", address ^ life).into(),
        owner_name: format!("service-{workload:04}").into(),
        owner_kind: "Deployment".into(),
        node: Ip::v4(0x0b00_0000 + address % 500),
        ips: vec![ip(address)],
        ..OwnerRecord::blank(SCOPE, &uid, OwnerKind::Pod, valid)
    }
}

/// Measures the shapes each in a process of its own: what the one before left of memory is not to matter.
fn main() {
    portolan_allocator::keep_free_memory();
    if let Some(addresses) = std::env::args().find_map(|arg| arg.parse().ok()) {
        return measure(addresses);
    }
    let myself = std::env::current_exe().expect("a program knows where it is");
    for addresses in [1_000_000, 100_000, 10_000] {
        let ran = Command::new(&myself).arg(addresses.to_string()).status();
        assert!(ran.expect("it runs once more").success(), "a shape was not measured");
    }
}
