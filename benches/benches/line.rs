//! The whole line on one core, messages in memory: payload bytes in, commits out into nothing.
//!
//! `cargo bench -p portolan-benches --bench line [-- --quick] [-- --rate FLOWS_PER_SECOND] [-- --service-percent 0|30]`
//!
//! One epoch is one second of event time. Times are those of the thread on its core. The first
//! epochs fill the memory of connections and are not measured. A pass is as many epochs as make one
//! window of ten seconds, so that each has its share of windows that open and are forgotten.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Instant;

use portolan_benches::{Meter, Second, Steady, SteadySpec, Timed, median, resident_bytes};
use portolan_model::{
    Barrier, EpochCommit, FlowBatch, FlowColumns, OwnerEvent, PartitionId, ScopeId, Window,
};
use portolan_pipeline::{Intake, Line, LineConfig, Restored, Stage};
use portolan_proto::{DEFAULT_MAX_MESSAGE_BYTES, FlowDecoder, FlowEncoding};

/// Records of a batch, as the source makes them.
const BATCH_ROWS: usize = 4_096;
/// Epochs of a pass: one window.
const PASS: u64 = 10;
/// Passes until windows are forgotten as fast as they come: the horizon of a minute, and one more whose memory is reused.
const WARM_UP: u64 = 8;
/// 2026-11-23T08:00:00Z.
const START: u64 = 1_795_420_800_000_000_000;
/// Flows a second on one core that the whole line holds, and that it aims at.
const HOLD: f64 = 1.0e6;
const LATER_HOLD: f64 = 1.5e6;

/// How much to run.
#[derive(Copy, Clone)]
struct Scale {
    rate: u32,
    warm_up: u64,
    passes: u64,
}

/// What each part cost.
#[derive(Default)]
struct Parts {
    decode: Meter,
    gather: Meter,
    resolve: Meter,
    collapse: Meter,
    aggregate: Meter,
    compact: Meter,
    whole: Meter,
}

/// What came of a pass.
#[derive(Default)]
struct Pass {
    parts: Parts,
    flows: u64,
    edges: usize,
    paths: usize,
    folded_early: i64,
}

struct Bench {
    line: Line,
    decoder: FlowDecoder,
    load: Steady,
    epoch: u64,
}

fn main() {
    portolan_allocator::keep_free_memory();
    let arguments: Vec<String> = std::env::args().collect();
    let is_quick = arguments.iter().any(|it| it == "--quick");
    let rate = arguments.iter().position(|it| it == "--rate");
    let rate = rate.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(200_000);
    let scale = if is_quick {
        Scale { rate, warm_up: 1, passes: 1 }
    } else {
        Scale { rate, warm_up: WARM_UP, passes: 5 }
    };
    // Each by itself is what it costs in a process of its own, whose memory no other load has left behind.
    let only = arguments.iter().position(|it| it == "--service-percent");
    let only = only.and_then(|at| arguments.get(at + 1)?.parse().ok());
    for (name, service_percent) in [("pod to pod", 0), ("30 % through service addresses", 30)] {
        if only.is_none_or(|only: u32| only == service_percent) {
            run(name, service_percent, scale);
        }
    }
}

fn run(name: &str, service_percent: u32, scale: Scale) {
    println!("\n{name}: {} flows an epoch of one second, 500 a message", scale.rate);
    let per_second = scale.rate;
    let load =
        Steady::new(SteadySpec { per_second, per_message: 500, service_percent, start: START });
    let before = resident_bytes();
    let mut bench = Bench::new(load);
    for _ in 0..scale.warm_up {
        bench.pass();
    }
    let began = Instant::now();
    let passes: Vec<Pass> = (0..scale.passes).map(|_| bench.pass()).collect();
    let took = began.elapsed();
    report(&passes);
    let last = passes.last().expect("at least one pass");
    let connections = bench.line.front.flows.connections();
    let resident = resident_bytes().saturating_sub(before);
    println!(
        "  rows an epoch: {} edges, {} paths; connections remembered: {connections}; given up early: {}",
        last.edges as u64 / PASS,
        last.paths as u64 / PASS,
        last.folded_early,
    );
    println!(
        "  memory beside the load: {} MB, {} bytes a connection (by window)",
        resident / 1_000_000,
        resident / connections.max(1) as u64
    );
    println!("  {} passes, {took:.0?} with the making of the load", passes.len());
}

fn report(passes: &[Pass]) {
    let of = |part: fn(&Parts) -> Meter| {
        median(passes.iter().map(|pass| part(&pass.parts).nanos_each(pass.flows)).collect())
    };
    println!("  {:<44}{:>8}{:>12}", "", "ns/flow", "M flows/s");
    for (name, nanos) in [
        ("decode: bytes to columns", of(|p| p.decode)),
        ("resolve: gather", of(|p| p.gather)),
        ("resolve: barrier", of(|p| p.resolve)),
        ("collapse", of(|p| p.collapse)),
        ("aggregate", of(|p| p.aggregate)),
        ("compact", of(|p| p.compact)),
    ] {
        println!("  {name:<44}{nanos:>8.0}{:>12.2}", 1e3 / nanos);
    }
    let whole = of(|p| p.whole);
    let rate = 1e9 / whole;
    println!(
        "  {:<44}{whole:>8.0}{:>12.2}   hold {:.1}: {:.2} x; later {:.1}: {:.2} x",
        "whole line",
        rate / 1e6,
        HOLD / 1e6,
        rate / HOLD,
        LATER_HOLD / 1e6,
        rate / LATER_HOLD
    );
}

// === impl Bench ===

impl Bench {
    fn new(load: Steady) -> Self {
        let mut line = Line::new(&LineConfig::default(), &Restored::default());
        let owners = load.owners().iter().cloned().map(Box::new).map(OwnerEvent::Upsert);
        line.owners(owners.collect());
        let decoder = FlowDecoder::new(DEFAULT_MAX_MESSAGE_BYTES);
        Self { line, decoder, load, epoch: 0 }
    }

    fn pass(&mut self) -> Pass {
        let mut pass = Pass::default();
        // Made first: a line that is fed by others shares neither caches nor memory with what feeds it.
        let seconds: Vec<Second> = (0..PASS).map(|_| self.load.second()).collect();
        for second in seconds {
            let mut whole = pass.parts.whole;
            let commit = whole.run(|| self.epoch(&second.messages, second.end, &mut pass.parts));
            pass.parts.whole = whole;
            pass.flows += second.records;
            pass.edges += commit.edges.len();
            pass.paths += commit.paths.len();
            let early = commit.tallies.iter().find(|(name, _)| **name == *"folded_early");
            pass.folded_early += early.map_or(0, |(_, count)| *count);
            let read = commit.tallies.iter().find(|(name, _)| **name == *"accepted");
            assert_eq!(read.map(|(_, count)| *count as u64), Some(second.records));
        }
        pass
    }

    fn epoch(&mut self, messages: &[Timed], end: u64, parts: &mut Parts) -> EpochCommit {
        let mut accepted = 0;
        let mut messages = messages.iter().peekable();
        while messages.peek().is_some() {
            let flows = parts.decode.run(|| self.batch(&mut messages, end));
            accepted += flows.len() as u64;
            let batch = FlowBatch { partition: PartitionId(0), first_offset: 0, flows };
            parts.gather.run(|| self.line.front.apply(Intake::Flows(batch)));
        }
        self.epoch += 1;
        let mut barrier = barrier(self.epoch, end, accepted);
        let line = &mut self.line;
        let hops = parts.resolve.run(|| line.front.barrier(&mut barrier));
        let deltas = parts.collapse.run(|| {
            let raw = hops.and_then(|hops| line.collapser.apply(hops));
            [raw, line.collapser.barrier(&mut barrier)]
        });
        let deltas = parts.aggregate.run(|| {
            for deltas in deltas.into_iter().flatten() {
                line.aggregator.apply(deltas);
            }
            line.aggregator.barrier(&mut barrier)
        });
        parts.compact.run(|| {
            if let Some(deltas) = deltas {
                line.compactor.apply(deltas);
            }
            line.compactor.barrier(&mut barrier).expect("the epoch does not rebuild")
        })
    }

    fn batch<'a>(
        &mut self,
        messages: &mut impl Iterator<Item = &'a Timed>,
        now: u64,
    ) -> FlowColumns {
        let mut flows = FlowColumns::with_capacity(BATCH_ROWS + 500);
        let mut refuse = |why| panic!("the load has nothing to refuse: {why:?}");
        while flows.len() < BATCH_ROWS
            && let Some(message) = messages.next()
        {
            let (encoding, scope) = (FlowEncoding::NetobservPb, ScopeId::of(""));
            let payload = &message.payload;
            self.decoder.decode(encoding, scope, now, payload, &mut flows, &mut refuse);
        }
        flows
    }
}

fn barrier(epoch: u64, end: u64, accepted: u64) -> Barrier {
    Barrier {
        generation: 1,
        epoch,
        clock: end,
        watermark: end,
        positions: Vec::new(),
        losses: Vec::new(),
        rejects: Vec::new(),
        accepted,
        rebuild: false,
        folded: Window(0),
        tallies: Vec::new(),
    }
}
