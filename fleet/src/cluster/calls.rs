//! Opening connections.

use portolan_model::{Ip, Nanos, Proto, Socket};
use rand::Rng;

use super::{Cluster, MS};
use crate::connection::{Connection, Fate, Stream, View};
use crate::events::Event;
use crate::plan::{Call, Client, Drawn, Role, Shape, Target, Way, WorkloadIx};
use crate::truth::{EntityIx, RowIx};
use crate::world::{Front, PodIx, World};

/// Linux's ephemeral range (`net.ipv4.ip_local_port_range`).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;
const MICRO: u64 = 1_000;

/// The client's side of a connection to be.
#[derive(Clone, Copy)]
struct Caller {
    ip: Ip,
    node: Option<u32>,
    pod: Option<PodIx>,
    entity: EntityIx,
}

/// What a connection carries and how it goes.
#[derive(Clone, Copy)]
pub(super) struct Course {
    pub(super) at: Nanos,
    pub(super) drawn: Drawn,
    pub(super) fate: Fate,
}

/// What the client dialled, and the rows that count it.
#[derive(Clone, Copy)]
struct Dial {
    front: Option<Socket>,
    server: Socket,
    /// What the client's node puts in place of the client's socket.
    masked: Option<Socket>,
    /// The client's port, where it is not an ephemeral one.
    port: Option<u16>,
    pod: Option<PodIx>,
    node: Option<u32>,
    proto: Proto,
    front_row: Option<RowIx>,
    server_row: RowIx,
    folded_row: Option<RowIx>,
}

impl Cluster {
    /// Opens a connection of a call of the plan, if both sides are there.
    pub(super) fn call(&mut self, call: usize, at: Nanos) {
        let call = self.plan.calls[call];
        let drawn = call.shape.draw(&mut self.random.traffic);
        let fate = self.fate(&call);
        let course = Course { at, drawn, fate };
        let (caller, server) = match call.client {
            Client::Workload(client) => {
                let Some(client) = self.pick(client, None) else { return };
                if call.way == Way::Hairpin {
                    return self.call_itself(client, course);
                }
                let Some(server) = self.pick(call.server, Some(client)) else { return };
                (self.caller(client), server)
            }
            Client::Node => {
                let Some(server) = self.pick(call.server, None) else { return };
                let Some(node) = self.world.pods[server].node else { return };
                (self.node_caller(node), server)
            }
        };
        match call.way {
            Way::Balancer(balancer) => self.call_balancer(caller, balancer, server, course),
            Way::Direct if call.shape == Shape::Gossip => self.gossip(caller, server, course),
            by => self.call_pod(caller, server, by == Way::Service, course),
        }
    }

    fn fate(&mut self, call: &Call) -> Fate {
        let features = &self.spec.features;
        let can_fail = call.shape == Shape::Rpc && !matches!(call.way, Way::Balancer(_));
        let chance = self.random.traffic.random_range(0..1_000);
        if can_fail && chance < features.refused_permille {
            Fate::Refused
        } else if can_fail && chance < features.refused_permille + features.unanswered_permille {
            Fate::Unanswered
        } else {
            Fate::Served
        }
    }

    /// A ready instance, other than `but`.
    fn pick(&mut self, workload: WorkloadIx, but: Option<PodIx>) -> Option<PodIx> {
        let ready = &self.world.groups[workload].ready;
        if ready.is_empty() {
            return None;
        }
        let at = self.random.traffic.random_range(0..ready.len() as u32) as usize;
        let picked = ready[at];
        if Some(picked) != but {
            return Some(picked);
        }
        (ready.len() > 1).then(|| ready[(at + 1) % ready.len()])
    }

    /// Of a pod on the network of its node nobody can tell more than the node.
    fn caller(&self, pod: PodIx) -> Caller {
        let it = &self.world.pods[pod];
        let group = &self.world.groups[it.workload];
        let entity = match it.node {
            Some(node) if group.plan.host => self.world.node_entities[node as usize],
            _ => group.entity,
        };
        Caller { ip: it.ip, node: it.node, pod: Some(pod), entity }
    }

    fn node_caller(&self, node: u32) -> Caller {
        let entity = self.world.node_entities[node as usize];
        Caller { ip: World::node_ip(node), node: Some(node), pod: None, entity }
    }

    /// What reaches a pod at its own address, from these ends.
    fn dial(&mut self, ends: [EntityIx; 2], pod: PodIx) -> Dial {
        let it = &self.world.pods[pod];
        let plan = &self.world.groups[it.workload].plan;
        let (proto, port) = (plan.proto, plan.port);
        let (server, node) = (Socket::new(it.ip, port), it.node);
        let server_row = self.ledger.row(false, ends, proto, port, None);
        Dial {
            front: None,
            server,
            masked: None,
            port: None,
            pod: Some(pod),
            node,
            proto,
            front_row: None,
            server_row,
            folded_row: None,
        }
    }

    /// The same through the service address.
    fn by_service(&mut self, dial: Dial, client: EntityIx, front: Front) -> Dial {
        let ends = [client, front.entity];
        let row = self.ledger.row(false, ends, dial.proto, front.socket.port, None);
        Dial { front: Some(front.socket), front_row: Some(row), ..dial }
    }

    fn call_pod(&mut self, caller: Caller, pod: PodIx, by_service: bool, course: Course) {
        let group = &self.world.groups[self.world.pods[pod].workload];
        let ends = [caller.entity, group.entity];
        let front = group.front.filter(|_| by_service);
        let leaves = group.plan.role == Role::External;
        let mut dial = self.dial(ends, pod);
        let (proto, port) = (dial.proto, dial.server.port);
        let via = front.map(|front| front.entity);
        dial.folded_row = Some(self.ledger.row(true, ends, proto, port, via));
        if let Some(front) = front {
            dial = self.by_service(dial, caller.entity, front);
        }
        let node = caller.node.filter(|_| leaves && self.spec.features.nat && caller.pod.is_some());
        if let Some(node) = node.map(|node| self.node_caller(node)).filter(|n| n.ip != caller.ip) {
            // The pod's own socket is what is dialled from; beyond the node it is the node's.
            dial.front_row = Some(dial.server_row);
            let ends = [node.entity, ends[1]];
            dial.server_row = self.ledger.row(false, ends, proto, port, None);
            dial.masked = Some(Socket::new(node.ip, self.port(node.ip, dial.server)));
        }
        let number = self.open(caller, dial, course);
        self.converse(number, caller.pod, pod, dial.front, course);
    }

    /// A pod dials its own service and is led back to itself: the node puts its own address in the
    /// place of the client's, or the answer would not come back through it.
    fn call_itself(&mut self, pod: PodIx, course: Course) {
        let caller = self.caller(pod);
        let front = self.world.groups[self.world.pods[pod].workload].front;
        let (Some(node), Some(front)) = (caller.node, front) else { return };
        let node = self.node_caller(node);
        let dial = self.dial([node.entity, caller.entity], pod);
        let mut dial = self.by_service(dial, caller.entity, front);
        let ends = [caller.entity; 2];
        let (proto, port) = (dial.proto, dial.server.port);
        dial.folded_row = Some(self.ledger.row(true, ends, proto, port, Some(front.entity)));
        dial.masked = Some(Socket::new(node.ip, self.port(node.ip, dial.server)));
        let number = self.open(caller, dial, course);
        self.converse(number, caller.pod, pod, dial.front, course);
    }

    /// Two peers begin to gossip, if they do not yet.
    fn gossip(&mut self, caller: Caller, pod: PodIx, course: Course) {
        let ip = self.world.pods[pod].ip;
        if !self.gossips.insert((caller.ip.min(ip), caller.ip.max(ip))) {
            return;
        }
        let ends = [caller.entity, self.world.groups[self.world.pods[pod].workload].entity];
        let mut dial = self.dial(ends, pod);
        let (proto, port) = (dial.proto, dial.server.port);
        dial.port = Some(port);
        let folded = self.ledger.row(true, ends, proto, port, None);
        for row in [folded, dial.server_row] {
            self.ledger.undirected(row);
        }
        dial.folded_row = Some(folded);
        self.open(caller, dial, course);
    }

    /// A connection from the client to the balancer, one from each balancer of a chain to the next,
    /// and one from the last to the target.
    fn call_balancer(&mut self, caller: Caller, first: usize, pod: PodIx, course: Course) {
        let mut chain = vec![first];
        while let Target::Balancer(next) = self.world.balancers[chain[chain.len() - 1]].target {
            chain.push(next);
        }
        let last = &self.world.balancers[chain[chain.len() - 1]];
        let group = &self.world.groups[self.world.pods[pod].workload];
        let (target, port) = (group.entity, group.plan.port);
        let front = group.front.filter(|_| matches!(last.target, Target::Service(_)));
        let shared = self.plan.targets(first).len() > 1;
        let hops: Vec<EntityIx> =
            chain.iter().map(|at| self.world.balancers[*at].front.entity).collect();
        let mut from = caller;
        let asked = course;
        let mut course = course;
        let mut legs = Vec::new();
        for at in chain {
            let balancer = &self.world.balancers[at];
            let (to, node) = (balancer.front, balancer.node);
            let mut dial = self.dial_balancer(from.entity, to, node);
            dial.folded_row = match (legs.is_empty(), shared) {
                (true, true) => {
                    let ends = [caller.entity, to.entity];
                    Some(self.ledger.row(true, ends, Proto::TCP, to.socket.port, None))
                }
                (true, false) => {
                    let via = hops.iter().copied().chain(front.map(|front| front.entity));
                    Some(self.ledger.row(true, [caller.entity, target], Proto::TCP, port, via))
                }
                (false, _) => None,
            };
            legs.push(self.open(from, dial, course));
            from = Caller { ip: to.socket.ip, node, pod: None, entity: to.entity };
            // The balancer dials once it has read the first bytes, and adds a header to each request.
            course.at += MS;
            course.drawn.request += 40;
        }
        let ends = [from.entity, target];
        let mut dial = self.dial(ends, pod);
        if let Some(front) = front {
            dial = self.by_service(dial, from.entity, front);
        }
        if shared {
            dial.folded_row = Some(self.ledger.row(true, ends, Proto::TCP, port, None));
        } else {
            self.ledger.leg(dial.server_row, from.entity);
        }
        legs.push(self.open(from, dial, course));
        let dialled = self.world.balancers[first].front.socket;
        self.converse(legs[0], caller.pod, pod, Some(dialled), asked);
        let legs: Vec<u64> = legs.into_iter().flatten().collect();
        for leg in &legs {
            if let Some(connection) = self.connections.get_mut(leg) {
                connection.pairs = legs.iter().copied().filter(|other| other != leg).collect();
            }
        }
    }

    fn dial_balancer(&mut self, client: EntityIx, to: Front, node: Option<u32>) -> Dial {
        let (proto, ends) = (Proto::TCP, [client, to.entity]);
        Dial {
            front: None,
            server: to.socket,
            masked: None,
            port: None,
            pod: None,
            node,
            proto,
            front_row: None,
            server_row: self.ledger.row(false, ends, proto, to.socket.port, None),
            folded_row: None,
        }
    }

    /// Opens a connection: its number, unless no agent could see it. One that began before now was
    /// not watched until now.
    fn open(&mut self, caller: Caller, dial: Dial, course: Course) -> Option<u64> {
        let Course { at, drawn, fate } = course;
        let rtt = self.round_trip(caller.node, dial.node);
        let mut views = Vec::with_capacity(2);
        let mut view = |node: Option<u32>, delay, front| {
            if let Some(node) = node.filter(|node| self.agents[*node as usize].present) {
                let designated = views.is_empty();
                views.push(View { node, delay, front, designated, sent: [0; 2], due: 0 });
            }
        };
        view(caller.node, 0, true);
        if dial.node != caller.node {
            view(dial.node, rtt / 2, false);
        }
        let dialled = dial.front.unwrap_or(dial.server);
        let port = dial.port.unwrap_or_else(|| self.port(caller.ip, dialled));
        let mut connection = Connection {
            proto: dial.proto,
            client: Socket::new(caller.ip, port),
            front: dial.front,
            server: dial.server,
            masked: dial.masked,
            named: false,
            streams: Stream::both(dial.proto, fate, &drawn, at, rtt),
            views,
            ends: [caller.pod, dial.pod],
            front_row: dial.front_row,
            server_row: dial.server_row,
            folded_row: dial.folded_row,
            // The agent has a measurement for most connections, not for all.
            rtt: if self.random.traffic.random_ratio(7, 10) { rtt } else { 0 },
            pairs: Vec::new(),
        };
        if connection.views.is_empty() {
            return None;
        }
        let views = connection.views.len();
        for view in (0..views).filter(|_| at < self.now) {
            connection.look(view, self.now);
        }
        self.opened += 1;
        let number = self.opened;
        for pod in connection.ends.into_iter().flatten() {
            self.world.pods[pod].open.insert(number);
        }
        self.connections.insert(number, connection);
        for view in 0..views {
            self.watch(number, view);
        }
        Some(number)
    }

    /// Schedules the next look of an agent at a connection; false if it has seen all.
    pub(super) fn watch(&mut self, number: u64, view: usize) -> bool {
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        let phase = self.agents[connection.views[view].node as usize].phase;
        let export = u64::from(self.spec.export_ms) * MS;
        let Some(due) = connection.due(view, phase, export) else { return false };
        connection.views[view].due = due;
        self.queue.push(due, Event::Look { connection: number, view });
        true
    }

    /// Round trips as they are on one host, in one data centre, and to the outside.
    fn round_trip(&mut self, client: Option<u32>, server: Option<u32>) -> u64 {
        let range = match (client, server) {
            (Some(a), Some(b)) if a == b => 20 * MICRO..80 * MICRO,
            (Some(_), Some(_)) => 100 * MICRO..500 * MICRO,
            _ => MS..20 * MS,
        };
        self.random.traffic.random_range(range)
    }

    fn port(&mut self, client: Ip, dialled: Socket) -> u16 {
        let rng = &mut self.random.traffic;
        let next =
            self.ports.entry((client, dialled)).or_insert_with(|| rng.random_range(EPHEMERAL));
        let port = *next;
        *next = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
        port
    }
}
