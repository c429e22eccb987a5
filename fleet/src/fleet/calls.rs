//! Opening connections.

use portolan_model::{Ip, Nanos, Proto, Socket};
use rand::Rng;

use super::{Fleet, MS};
use crate::connection::{Connection, Fate, Stream, View};
use crate::events::Event;
use crate::plan::{Call, Client, Drawn, Shape, Way, WorkloadIx};
use crate::truth::{EntityIx, RowIx};
use crate::world::{PodIx, World};

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
struct Course {
    at: Nanos,
    drawn: Drawn,
    fate: Fate,
}

/// What the client dialled, and the rows that count it.
#[derive(Clone, Copy)]
struct Dial {
    front: Option<Socket>,
    server: Socket,
    pod: Option<PodIx>,
    node: Option<u32>,
    proto: Proto,
    front_row: Option<RowIx>,
    server_row: RowIx,
    folded_row: Option<RowIx>,
}

impl Fleet {
    /// Opens a connection of a call of the plan, if both sides are there.
    pub(super) fn call(&mut self, call: usize, at: Nanos) {
        let call = self.plan.calls[call];
        let drawn = call.shape.draw(&mut self.random.traffic);
        let fate = self.fate(&call);
        let course = Course { at, drawn, fate };
        let (caller, server) = match call.client {
            Client::Workload(client) => {
                let Some(client) = self.pick(client, None) else { return };
                let Some(server) = self.pick(call.server, Some(client)) else { return };
                (self.caller(client), server)
            }
            Client::Node => {
                let Some(server) = self.pick(call.server, None) else { return };
                let Some(node) = self.world.pods[server].node else { return };
                let entity = self.world.node_entities[node as usize];
                (Caller { ip: World::node_ip(node), node: Some(node), pod: None, entity }, server)
            }
        };
        match call.way {
            Way::Balancer(balancer) => self.call_balancer(caller, balancer, server, course),
            Way::Service => self.call_pod(caller, server, true, course),
            Way::Direct => self.call_pod(caller, server, false, course),
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

    fn caller(&self, pod: PodIx) -> Caller {
        let it = &self.world.pods[pod];
        let entity = self.world.groups[it.workload].entity;
        Caller { ip: it.ip, node: it.node, pod: Some(pod), entity }
    }

    fn call_pod(&mut self, caller: Caller, pod: PodIx, by_service: bool, course: Course) {
        let it = &self.world.pods[pod];
        let group = &self.world.groups[it.workload];
        let (proto, port) = (group.plan.proto, group.plan.port);
        let (server, node) = (Socket::new(it.ip, port), it.node);
        let ends = [caller.entity, group.entity];
        let front = group.front.filter(|_| by_service);
        let front_row = front.map(|front| {
            let ends = [caller.entity, front.entity];
            self.ledger.row(false, ends, proto, front.socket.port, None)
        });
        let server_row = self.ledger.row(false, ends, proto, port, None);
        let via = front.map(|front| front.entity);
        let folded_row = Some(self.ledger.row(true, ends, proto, port, via));
        let front = front.map(|front| front.socket);
        let pod = Some(pod);
        let dial = Dial { front, server, pod, node, proto, front_row, server_row, folded_row };
        self.open(caller, dial, course, None);
    }

    /// Two connections: the client's to the balancer, and the balancer's to the target.
    fn call_balancer(&mut self, caller: Caller, balancer: usize, pod: PodIx, course: Course) {
        let proto = Proto::TCP;
        let it = &self.world.pods[pod];
        let group = &self.world.groups[it.workload];
        let (port, target, node) = (group.plan.port, group.entity, it.node);
        let server = Socket::new(it.ip, port);
        let front = self.world.balancers[balancer].front;
        let near_ends = [caller.entity, front.entity];
        let near_row = self.ledger.row(false, near_ends, proto, front.socket.port, None);
        let ends = [caller.entity, target];
        let folded = self.ledger.row(true, ends, proto, port, Some(front.entity));
        let far_row = self.ledger.row(false, [front.entity, target], proto, port, None);
        let dial = Dial {
            front: None,
            server: front.socket,
            pod: None,
            node: None,
            proto,
            front_row: None,
            server_row: near_row,
            folded_row: Some(folded),
        };
        let near = self.open(caller, dial, course, None);
        let onward = Caller { ip: front.socket.ip, node: None, pod: None, entity: front.entity };
        let dial =
            Dial { server, pod: Some(pod), node, server_row: far_row, folded_row: None, ..dial };
        // The balancer dials once it has read the first bytes, and adds a header to each request.
        let drawn = Drawn { request: course.drawn.request + 40, ..course.drawn };
        let far =
            self.open(onward, dial, Course { at: course.at + MS, drawn, ..course }, Some(near));
        if let Some(near) = self.connections.get_mut(&near) {
            near.pair = Some(far);
        }
    }

    fn open(&mut self, caller: Caller, dial: Dial, course: Course, pair: Option<u64>) -> u64 {
        let Course { at, drawn, fate } = course;
        let rtt = self.round_trip(caller.node, dial.node);
        let mut views = Vec::with_capacity(2);
        let mut view = |node: Option<u32>, delay, front| {
            if let Some(node) = node {
                let designated = views.is_empty();
                views.push(View { node, delay, front, designated, sent: [0; 2], due: 0 });
            }
        };
        view(caller.node, 0, true);
        if dial.node != caller.node {
            view(dial.node, rtt / 2, false);
        }
        let dialled = dial.front.unwrap_or(dial.server);
        let connection = Connection {
            proto: dial.proto,
            client: Socket::new(caller.ip, self.port(caller.ip, dialled)),
            front: dial.front,
            server: dial.server,
            streams: Stream::both(dial.proto, fate, &drawn, at, rtt),
            views,
            ends: [caller.pod, dial.pod],
            front_row: dial.front_row,
            server_row: dial.server_row,
            folded_row: dial.folded_row,
            // The agent has a measurement for most connections, not for all.
            rtt: if self.random.traffic.random_ratio(7, 10) { rtt } else { 0 },
            pair,
        };
        self.opened += 1;
        let number = self.opened;
        for pod in connection.ends.into_iter().flatten() {
            self.world.pods[pod].open.insert(number);
        }
        let views = connection.views.len();
        self.connections.insert(number, connection);
        for view in 0..views {
            self.watch(number, view);
        }
        number
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
