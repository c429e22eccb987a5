//! Spans on one core, messages in memory: OTLP bytes to columns, and to calls between services.
//!
//! `cargo bench -p portolan-benches --bench spans [-- --quick]`
//!
//! Traces of five spans over three of ten thousand services (a root, two calls with both halves),
//! written as a collector batches them: spans of one service together, as many services a message
//! as it takes. One epoch is one second of event time; times are those of the thread on its core. The
//! first epochs fill the memory of traces and are not measured. Figures are medians of epochs.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use portolan_benches::{Meter, median, resident_bytes};
use portolan_model::{
    Barrier, EpochCommit, PartitionId, ScopeId, SpanBatch, SpanColumns, SpanKind, Window,
};
use portolan_pipeline::{Intake, Line, LineConfig, Restored, Stage as _};
use portolan_proto::{
    DEFAULT_MAX_MESSAGE_BYTES, ForeignSpan, SpanEncoding, decode_spans, write_spans,
};

const SERVICES: u64 = 10_000;
/// Traces of an epoch, of [`SPANS`] spans each: as many as a trace's whole memory has room for under the
/// bound of a million spans.
const TRACES: u64 = 3_000;
const SPANS: u64 = 5;
/// Spans of a message.
const PER_MESSAGE: usize = 200;
/// Spans of a batch, as the source makes them.
const BATCH_ROWS: usize = 4_096;
/// 2026-11-23T08:00:00Z.
const START: u64 = 1_795_420_800_000_000_000;
const SECOND: u64 = 1_000_000_000;
/// Spans a second through both.
const HOLD: f64 = 500e3;

struct Bench {
    line: Line,
    random: u64,
    epoch: u64,
    decode: Vec<f64>,
    pair: Vec<f64>,
    merge: Vec<f64>,
    bytes: u64,
    calls: i64,
    rows: usize,
}

fn main() {
    portolan_allocator::keep_free_memory();
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let (warm_up, epochs) = if is_quick { (5, 10) } else { (70, 20) };
    let before = resident_bytes();
    let mut bench = Bench::new();
    for _ in 0..warm_up {
        bench.epoch();
    }
    (bench.decode, bench.pair, bench.merge, bench.bytes) = (vec![], vec![], vec![], 0);
    (bench.calls, bench.rows) = (0, 0);
    for _ in 0..epochs {
        bench.epoch();
    }
    bench.report(epochs, resident_bytes().saturating_sub(before));
}

// === impl Bench ===

impl Bench {
    fn new() -> Self {
        Self {
            line: Line::new(&LineConfig::default(), &Restored::default()),
            random: 7,
            epoch: 0,
            decode: Vec::new(),
            pair: Vec::new(),
            merge: Vec::new(),
            bytes: 0,
            calls: 0,
            rows: 0,
        }
    }

    /// The next number that looks like chance (`SplitMix64`).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn epoch(&mut self) {
        let spans = TRACES * SPANS;
        let messages = self.messages();
        self.bytes += messages.iter().map(|message| message.len() as u64).sum::<u64>();
        let end = START + (self.epoch + 1) * SECOND;
        let (mut decode, mut pair, mut merge) = <(Meter, Meter, Meter)>::default();
        let mut messages = messages.iter().peekable();
        while messages.peek().is_some() {
            let columns = decode.run(|| batch(&mut messages, end));
            let batch = SpanBatch {
                partition: PartitionId(0),
                first_offset: 0,
                scope: ScopeId::of(""),
                spans: columns,
            };
            pair.run(|| self.line.front.apply(Intake::Spans(batch)));
        }
        self.epoch += 1;
        let mut barrier = barrier(self.epoch, end, spans);
        let line = &mut self.line;
        let hops = pair.run(|| line.front.barrier(&mut barrier));
        let commit = merge.run(|| {
            let raw = hops.and_then(|hops| line.collapser.apply(hops));
            for deltas in [raw, line.collapser.barrier(&mut barrier)].into_iter().flatten() {
                line.aggregator.apply(deltas);
            }
            if let Some(deltas) = line.aggregator.barrier(&mut barrier) {
                line.compactor.apply(deltas);
            }
            line.compactor.barrier(&mut barrier).expect("the epoch does not rebuild")
        });
        self.count(&commit);
        self.decode.push(decode.nanos_each(spans));
        self.pair.push(pair.nanos_each(spans));
        self.merge.push(merge.nanos_each(spans));
    }

    fn count(&mut self, commit: &EpochCommit) {
        use portolan_model::CallMeasure::CallsMilli;
        self.rows += commit.calls.len();
        self.calls += commit.calls.iter().map(|row| row.counters[CallsMilli] / 1_000).sum::<i64>();
    }

    /// A second of traces, by service.
    fn messages(&mut self) -> Vec<Vec<u8>> {
        let from = START + self.epoch * SECOND;
        let mut spans: Vec<ForeignSpan> = (0..TRACES).flat_map(|_| self.trace(from)).collect();
        spans.sort_by(|a, b| a.service.cmp(&b.service));
        let chunks = spans.chunks(PER_MESSAGE);
        chunks.flat_map(|spans| write_spans(SpanEncoding::OtlpProto, spans)).collect()
    }

    fn trace(&mut self, from: u64) -> [ForeignSpan; SPANS as usize] {
        let trace = u128::from(self.random()) << 64 | u128::from(self.random());
        let ids = [(); SPANS as usize].map(|()| self.random() | 1);
        // Whom a service calls is its own: three others.
        let first = self.random() % SERVICES;
        let second = (first * 31 + self.random() % 3) % SERVICES;
        let third = (second * 31 + self.random() % 3) % SERVICES;
        let begin = from + self.random() % (SECOND / 2);
        let span = |place: usize, kind, service: u64, callee: u64| ForeignSpan {
            trace,
            span: ids[place],
            parent: if place == 0 { 0 } else { ids[place - 1] },
            kind,
            name: format!("GET /api/v1/things/{{id}}/parts{}", service % 7),
            service: format!("service-{service}"),
            start: begin + place as u64 * 1_000_000,
            end: begin + (20 - place as u64) * 1_000_000,
            error: trace % 100 == 0,
            attributes: attributes(service, callee),
            links: Vec::new(),
        };
        [
            span(0, SpanKind::Server, first, first),
            span(1, SpanKind::Client, first, second),
            span(2, SpanKind::Server, second, second),
            span(3, SpanKind::Client, second, third),
            span(4, SpanKind::Server, third, third),
        ]
    }

    fn report(&self, epochs: u64, resident: u64) {
        let spans = epochs * TRACES * SPANS;
        println!(
            "{SERVICES} services, {} bytes a span, {PER_MESSAGE} a message",
            self.bytes / spans
        );
        let [decode, pair, merge] =
            [&self.decode, &self.pair, &self.merge].map(|of| median(of.clone()));
        let all = self.decode.iter().chain(&self.pair).chain(&self.merge).sum::<f64>();
        let mean = all / epochs as f64;
        println!("  {:<44}{:>8}{:>12}", "", "ns/span", "M spans/s");
        for (name, nanos) in
            [("decode: bytes to columns", decode), ("pair: columns to calls", pair)]
                .into_iter()
                .chain([("merge rows, keep health", merge)])
        {
            println!("  {name:<44}{nanos:>8.0}{:>12.2}", 1e3 / nanos);
        }
        let whole = decode + pair;
        let rate = 1e9 / whole;
        println!(
            "  {:<44}{whole:>8.0}{:>12.2}   hold {:.1}: {:.2} x",
            "decode and pair",
            rate / 1e6,
            HOLD / 1e6,
            rate / HOLD
        );
        println!(
            "  {:<44}{mean:>8.0}{:>12.2}   mean: windows are judged once in ten",
            "whole line",
            1e3 / mean
        );
        let remembered = self.line.front.spans.spans();
        println!(
            "  an epoch: {} rows, {} calls; spans remembered: {remembered}; memory {} MB, {} bytes a span",
            self.rows as u64 / epochs,
            self.calls / epochs as i64,
            resident / 1_000_000,
            resident / remembered.max(1) as u64
        );
    }
}

fn attributes(service: u64, callee: u64) -> Vec<(String, String)> {
    let attribute = |(key, value): (&str, String)| (key.to_owned(), value);
    let attributes = [
        ("http.request.method", "GET".to_owned()),
        ("http.response.status_code", "200".to_owned()),
        ("url.full", format!("http://service-{callee}.shop.svc.cluster.local/api/v1/things/17")),
        ("server.address", format!("service-{callee}.shop.svc.cluster.local")),
        ("server.port", "8080".to_owned()),
        ("user_agent.original", format!("service-{service}/1.4.2")),
    ];
    attributes.map(attribute).to_vec()
}

fn batch<'a>(messages: &mut impl Iterator<Item = &'a Vec<u8>>, now: u64) -> SpanColumns {
    let mut spans = SpanColumns::with_capacity(BATCH_ROWS + PER_MESSAGE);
    let mut refuse = |why| panic!("the load has nothing to refuse: {why:?}");
    while spans.len() < BATCH_ROWS
        && let Some(message) = messages.next()
    {
        let (encoding, most) = (SpanEncoding::OtlpProto, DEFAULT_MAX_MESSAGE_BYTES);
        decode_spans(encoding, now, most, message, &mut spans, &mut refuse);
    }
    spans
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
