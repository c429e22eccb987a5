//! What services themselves tell of their calls: spans and IPC metrics, as OTLP, and the truth of
//! both.
//!
//! ```text
//! connection ─► requests ─► client span, server span ─► ExportTraceServiceRequest   (by node, each second)
//!                       └─► series of either end     ─► ExportMetricsServiceRequest (by pod, each report)
//! ```
//!
//! A request made while its client's pod serves one itself is a part of that one's trace, half of the
//! time below an internal span; any other begins a trace. So traces are as deep as the traffic makes
//! them. Chance has a stream of its own here: flows are the same whether anybody tells or not.

use std::collections::BTreeMap;

use portolan_model::{Nanos, Socket};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustc_hash::FxHashMap;

use crate::plan::WorkloadIx;
use crate::spec::{FleetSpec, MetricForm, TelemetrySpec};
use crate::wire::Message;
use crate::world::{PodIx, World};

mod calls;
mod export;
mod kind;
mod metrics;
mod otlp;
mod spans;
#[cfg(test)]
mod tests;

use calls::Calls;
pub use calls::{CallCounts, CallEdge};
use kind::{Kind, Outcome};
use metrics::Series;

/// See the module.
#[derive(Debug)]
pub(crate) struct Telemetry {
    spec: TelemetrySpec,
    rng: ChaCha8Rng,
    /// Workloads that tell nothing.
    dark: Vec<bool>,
    /// The request that each pod took up last.
    live: FxHashMap<PodIx, Live>,
    /// Spans that have not left, by pod.
    spans: BTreeMap<PodIx, Vec<otlp::Span>>,
    series: BTreeMap<PodIx, Series>,
    /// When metrics were reported last.
    reported: Nanos,
    began: Nanos,
    calls: Calls,
}

/// A request to be made over a connection.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The connection, where the fleet keeps it: no request is made once it has ended.
    pub(crate) connection: Option<u64>,
    pub(crate) client: PodIx,
    pub(crate) server: PodIx,
    /// What the client dialled, and the name that it knows it by.
    pub(crate) dialled: Socket,
    pub(crate) address: String,
    /// How long it takes, as the client sees it.
    pub(crate) length: Nanos,
    /// The connection was never made.
    pub(crate) refused: bool,
}

/// A request that is being served.
#[derive(Clone, Copy, Debug)]
struct Live {
    context: Context,
    until: Nanos,
}

/// A span by its ids, and whether its trace is kept.
#[derive(Clone, Copy, Debug)]
struct Context {
    trace: [u8; 16],
    span: [u8; 8],
    kept: bool,
}

/// A request while it is told of.
struct Told<'a> {
    request: &'a Request,
    kind: Kind,
    /// Which of the server's operations: 0 to 2.
    operation: u32,
    outcome: Outcome,
    at: Nanos,
    /// How far the clocks of client and server are ahead.
    skew: [i64; 2],
}

// === impl Telemetry ===

impl Telemetry {
    /// Of a fleet that begins at `start`; nothing where the specification asks for none.
    pub(crate) fn new(spec: &FleetSpec, workloads: usize, start: Nanos) -> Option<Self> {
        let telemetry = spec.telemetry;
        if !telemetry.is_on() {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
        rng.set_stream(5);
        let dark =
            (0..workloads).map(|_| rng.random_range(0..1_000) < telemetry.dark_permille).collect();
        Some(Self {
            spec: telemetry,
            rng,
            dark,
            live: FxHashMap::default(),
            spans: BTreeMap::new(),
            series: BTreeMap::new(),
            reported: start,
            began: start,
            calls: Calls::default(),
        })
    }

    /// A request is made.
    pub(crate) fn tell(&mut self, world: &World, request: &Request, at: Nanos, skew: [i64; 2]) {
        let server = &world.groups[world.pods[request.server].workload].plan;
        let Some(kind) = Kind::of(server) else { return };
        let operation = self.rng.random_range(0..3);
        let outcome = self.outcome(request, kind);
        let told = Told { request, kind, operation, outcome, at, skew };
        let mut counts = CallCounts { calls: 1, ..CallCounts::default() };
        counts.client_errors = u64::from(outcome.client_error(kind));
        counts.server_errors = u64::from(outcome.server_error());
        let [whole, inner] = told.lengths();
        (counts.client_nanos, counts.server_nanos) = (whole, inner);
        if self.spec.spans {
            self.trace(world, &told, &mut counts);
        }
        if self.spec.metrics != MetricForm::Off {
            self.measure(world, &told, &mut counts);
        }
        let ends = [request.client, request.server];
        let ends = ends.map(|pod| world.groups[world.pods[pod].workload].entity);
        self.calls.add(ends, kind.protocol(), &kind.operation(operation), &counts);
    }

    /// The true calls so far, by entity of the ledger.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// What leaves at `now`: spans that have ended, and metrics if they are due. `last` lets all out.
    pub(crate) fn export(&mut self, world: &World, now: Nanos, last: bool) -> Vec<Message> {
        let mut messages = self.export_spans(world, now, last);
        let due = self.reported + u64::from(self.spec.report_ms) * 1_000_000;
        if self.spec.metrics != MetricForm::Off && (last || now >= due) {
            messages.extend(self.export_metrics(world, now));
            self.reported = now;
        }
        messages
    }

    /// How much later a message leaves, once or twice.
    pub(crate) fn delays(&mut self) -> Vec<Nanos> {
        /// Latest that a message may be: the bound of the flows' lateness.
        const LATE_MS: u64 = 20_000;
        let mut delay = |late: u16| {
            let is_late = self.rng.random_range(0..1_000) < late;
            if is_late { self.rng.random_range(1..=LATE_MS) * 1_000_000 } else { 0 }
        };
        let mut delays = vec![delay(self.spec.late_permille)];
        let again = delay(self.spec.late_permille.max(500));
        if self.rng.random_range(0..1_000) < self.spec.duplicate_permille {
            delays.push(again);
        }
        delays
    }

    fn outcome(&mut self, request: &Request, kind: Kind) -> Outcome {
        if request.refused {
            return Outcome::Refused;
        }
        if self.rng.random_range(0..1_000) >= self.spec.failed_permille {
            return Outcome::Fine;
        }
        match self.rng.random_range(0..4) {
            0 if kind.is_answered() => Outcome::GivenUp,
            1 if kind == Kind::Http => Outcome::NotFound,
            _ => Outcome::Failed,
        }
    }

    /// Whether the workload of a pod tells of its requests itself.
    fn speaks(&self, world: &World, workload: WorkloadIx) -> bool {
        let plan = &world.groups[workload].plan;
        plan.role.is_pods() && !self.dark[workload] && Kind::of(plan).is_none_or(Kind::is_answered)
    }

    fn id<const N: usize>(&mut self) -> [u8; N] {
        let mut id = [0; N];
        self.rng.fill_bytes(&mut id);
        // All zero is no id.
        id[N - 1] |= 1;
        id
    }
}

// === impl Told ===

impl Told<'_> {
    /// What client and server see of its length: a quarter is spent on the way. Nobody serves a
    /// refused one.
    fn lengths(&self) -> [Nanos; 2] {
        let whole = self.request.length;
        let inner = if self.outcome == Outcome::Refused { 0 } else { whole - whole / 4 };
        // The client gave up halfway.
        [if self.outcome == Outcome::GivenUp { whole / 2 } else { whole }, inner]
    }

    /// Start and end on the clock of the client, and of the server.
    fn times(&self) -> [[Nanos; 2]; 2] {
        let [whole, inner] = self.lengths();
        let arrives = self.at + self.request.length / 8;
        let clock = |side: usize, at: Nanos| at.saturating_add_signed(self.skew[side]);
        [
            [clock(0, self.at), clock(0, self.at + whole)],
            [clock(1, arrives), clock(1, arrives + inner)],
        ]
    }
}
