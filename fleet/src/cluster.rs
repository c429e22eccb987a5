//! One cluster of the fleet as it runs.

use std::sync::Arc;

use portolan_model::{Ip, Nanos, OwnerRecord, Socket};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::connection::Connection;
use crate::events::{Event, Queue};
use crate::plan::{Client, Plan, Shape, Way, WorkloadIx};
use crate::spec::{FleetSpec, SpecError, XlatNodes};
use crate::telemetry::{CallEdge, Telemetry};
use crate::truth::{Ledger, Truth};
use crate::wire::{Message, Outbox};
use crate::world::{PodIx, World};

mod calls;
mod changes;
mod looks;
mod requests;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    spec: FleetSpec,
    plan: Plan,
    world: World,
    ledger: Ledger,
    queue: Queue,
    outbox: Outbox,
    agents: Vec<Agent>,
    /// Open connections by number.
    connections: FxHashMap<u64, Connection>,
    /// Connections so far.
    opened: u64,
    /// Mean time between the connections of each call.
    gaps: Vec<u64>,
    /// The next ephemeral port of a client towards a server, as Linux counts them.
    ports: FxHashMap<(Ip, Socket), u16>,
    /// Pods that a rolling deploy still has to replace, by workload.
    rollouts: FxHashMap<WorkloadIx, Vec<PodIx>>,
    /// Pairs of peers that gossip, the lower address first.
    gossips: FxHashSet<(Ip, Ip)>,
    /// Since when the watch of ownership is broken, if it is.
    broken: Option<Nanos>,
    random: Random,
    telemetry: Option<Telemetry>,
    now: Nanos,
    closed: bool,
}

/// An agent on a node.
#[derive(Clone, Copy, Debug)]
struct Agent {
    ip: Ip,
    /// When it exports, modulo the interval.
    phase: u64,
    /// How far its clock is ahead, in nanoseconds.
    skew: i64,
    /// It sees address translation.
    xlat: bool,
    /// There is one.
    present: bool,
    /// It looks at one packet in this many.
    sampling: u32,
}

/// Independent streams of chance, so that one feature does not disturb another.
#[derive(Debug)]
struct Random {
    traffic: ChaCha8Rng,
    faults: ChaCha8Rng,
    changes: ChaCha8Rng,
}

// === impl Cluster ===

impl Cluster {
    /// A cluster at `start`, with all pods up. Refuses a specification that cannot be simulated.
    pub(crate) fn try_new(spec: FleetSpec, start: Nanos) -> Result<Self, SpecError> {
        let stream = |number| {
            let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
            rng.set_stream(number);
            rng
        };
        let plan = Plan::new(&spec, &mut stream(0));
        let mut ledger = Ledger::default();
        let world = World::try_new(&spec, &plan, &mut ledger, start)?;
        let agents = Agent::all(&spec, world.nodes, &mut stream(1));
        let gaps = gaps(&spec, &plan, world.nodes);
        let workloads = plan.workloads.len();
        let mut cluster = Self {
            plan,
            world,
            ledger,
            queue: Queue::default(),
            outbox: Outbox::new(spec.records_per_message, &spec.scope),
            agents,
            connections: FxHashMap::default(),
            opened: 0,
            gaps,
            ports: FxHashMap::default(),
            rollouts: FxHashMap::default(),
            gossips: FxHashSet::default(),
            broken: None,
            random: Random { traffic: stream(2), faults: stream(3), changes: stream(4) },
            telemetry: Telemetry::new(&spec, workloads, start),
            now: start,
            closed: false,
            spec,
        };
        cluster.begin(start);
        Ok(cluster)
    }

    /// Scope of its records.
    pub(crate) fn scope(&self) -> Arc<str> {
        self.spec.scope.as_str().into()
    }

    /// Everything that ownership lists now.
    pub(crate) fn owners(&self) -> Vec<OwnerRecord> {
        self.world.list()
    }

    /// Lets the fleet run until `now`: what was published on the way, in its order. Going back in
    /// time gives nothing.
    pub(crate) fn tick(&mut self, now: Nanos) -> Vec<Message> {
        while let Some((at, event)) = self.queue.pop(now) {
            self.happen(at, event);
        }
        self.now = self.now.max(now);
        self.outbox.take()
    }

    /// Lets it run until `now`, closes every connection there, and lets everything out that was
    /// still on its way. Afterwards nothing happens any more, and the truth is final.
    pub(crate) fn close(&mut self, now: Nanos) -> Vec<Message> {
        let mut messages = self.tick(now);
        let now = self.now;
        self.closed = true;
        let mut open: Vec<u64> = self.connections.keys().copied().collect();
        open.sort_unstable();
        for number in open {
            self.hang_up(number, now);
        }
        self.export(now, true);
        let mut last = now;
        while let Some((at, event)) = self.queue.pop(Nanos::MAX) {
            if is_left_over(&event) {
                last = last.max(at);
                self.happen(at, event);
            }
        }
        self.outbox.message(Message::heartbeat(&self.spec.scope, last));
        messages.extend(self.outbox.take());
        messages
    }

    /// The true map of everything that was published so far.
    pub(crate) fn truth(&self) -> Truth {
        self.ledger.truth()
    }

    /// The true calls so far.
    pub(crate) fn calls(&self) -> Vec<CallEdge> {
        let calls = self.telemetry.iter().map(Telemetry::calls);
        calls.flat_map(|calls| calls.edges(|entity| self.ledger.named(entity))).collect()
    }

    fn begin(&mut self, start: Nanos) {
        for pod in 0..self.world.pods.len() {
            self.world.ready(pod);
        }
        for call in 0..self.gaps.len() {
            let first = start + self.random.traffic.random_range(0..2 * self.gaps[call]);
            self.queue.push(first, Event::Call(call));
        }
        self.queue.push(start, Event::Heartbeat);
        if self.telemetry.is_some() {
            self.queue.push(start, Event::Export);
        }
        if self.spec.features.deploy_every_ms > 0 {
            let at = start + self.deploy_gap();
            self.queue.push(at, Event::Deploy);
        }
        let relist = self.watch_holds();
        if relist > 0 {
            self.queue.push(start + relist, Event::Break);
        }
        self.begin_lasting(start);
        if !self.plan.jobs.is_empty() {
            self.queue.push(start + SECOND, Event::Job(0));
        }
    }

    /// Connections that nobody saw open.
    fn begin_lasting(&mut self, start: Nanos) {
        let calls = self.plan.calls.iter().enumerate();
        let lasting = calls.filter(|(_, call)| call.shape == Shape::Lasting).map(|(call, _)| call);
        for call in lasting.collect::<Vec<_>>() {
            for _ in 0..2 {
                // They last at least half a minute.
                let age = self.random.traffic.random_range(5 * SECOND..25 * SECOND);
                self.call(call, start - age);
            }
        }
    }

    fn happen(&mut self, at: Nanos, event: Event) {
        match event {
            Event::Call(call) => {
                let gap = self.random.traffic.random_range(0..2 * self.gaps[call]).max(1);
                self.queue.push(at + gap, Event::Call(call));
                self.call(call, at);
            }
            Event::Look { connection, view } => self.look(connection, view, at),
            Event::Release(outgoing) => self.leave(&outgoing),
            Event::Publish(message) => self.outbox.message(*message),
            Event::Heartbeat => {
                self.publish(at, Message::heartbeat(&self.spec.scope, at));
                // Once a second (flow semantics, section 1.4).
                self.queue.push(at + SECOND, Event::Heartbeat);
            }
            Event::Request(request) => self.request(&request, at),
            Event::Export => {
                self.export(at, false);
                // As often as exporters of spans send their batches, give or take.
                self.queue.push(at + SECOND, Event::Export);
            }
            Event::Break => self.break_watch(at),
            Event::Relist { broken } => self.relist(broken, at),
            Event::Deploy => self.deploy(at),
            Event::Step(step, replacement) => self.step(step, replacement, at),
            Event::Job(which) => self.job(which, at),
            Event::JobStep(step, pod, which) => self.job_step(step, pod, which, at),
        }
    }

    /// Ownership says something that is true since `at`, unless its watch is broken.
    fn publish(&mut self, at: Nanos, message: Message) {
        if self.broken.is_some() {
            return;
        }
        let lag = u64::from(self.spec.features.ownership_lag_ms) * MS;
        self.queue.push(at + lag, Event::Publish(Box::new(message)));
    }
}

// === impl Agent ===

impl Agent {
    fn all(spec: &FleetSpec, nodes: u32, rng: &mut ChaCha8Rng) -> Vec<Self> {
        let skew = i64::from(spec.features.skew_ms) * MS as i64;
        let export = u64::from(spec.export_ms) * MS;
        let agent = |node| Self {
            ip: World::node_ip(node),
            phase: rng.random_range(0..export),
            skew: rng.random_range(-skew..=skew),
            present: !spec.features.half_agents || node % 2 == 0,
            // Of two neighbours one, so that connections are seen either way and both.
            sampling: if node % 4 < 2 { spec.features.sampling } else { 1 },
            xlat: match spec.features.xlat {
                XlatNodes::None => false,
                // Not those that all agents are, where only half of the nodes have one.
                XlatNodes::Half if spec.features.half_agents => node % 4 == 2,
                XlatNodes::Half => node % 2 == 1,
                XlatNodes::All => true,
            },
        };
        (0..nodes).map(agent).collect()
    }
}

/// Whether it still happens when the fleet is closed.
fn is_left_over(event: &Event) -> bool {
    use Event::{Look, Publish, Release, Relist};
    matches!(event, Look { .. } | Release(_) | Publish(_) | Relist { .. })
}

/// Mean times between connections that make `flows_per_sec` records a second in all.
fn gaps(spec: &FleetSpec, plan: &Plan, nodes: u32) -> Vec<u64> {
    let slices = |mean_ms: u64| 1_000 + 1_000 * mean_ms / u64::from(spec.export_ms);
    // Thousandths of a record that one connection makes over its life.
    let records = plan.calls.iter().map(|call| {
        let inside = plan.workloads[call.server].role.is_pods() && call.client != Client::Node;
        // Both directions at the client's node, and again at the server's, if it is another one.
        let far = if inside { 2_000 * u64::from(nodes - 1) / u64::from(nodes) } else { 0 };
        let tuples = match call.way {
            Way::Direct => 2_000 + far,
            Way::Service => 4_000 + far,
            Way::Balancer(_) | Way::Hairpin => 4_000,
        };
        u128::from(call.weight) * u128::from(tuples * slices(call.shape.mean_ms()) / 1_000)
    });
    let total: u128 = records.sum();
    let gap = |weight: u32| {
        let per_second = u128::from(weight) * u128::from(spec.flows_per_sec) * 1_000;
        (total * u128::from(SECOND) / per_second).clamp(1, u128::from(u64::MAX / 4)) as u64
    };
    plan.calls.iter().map(|call| gap(call.weight)).collect()
}
