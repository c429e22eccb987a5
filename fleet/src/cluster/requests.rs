//! Requests over connections, where services tell of them.

use portolan_model::{Nanos, Socket};

use super::calls::Course;
use super::{Cluster, MS};
use crate::connection::Fate;
use crate::events::Event;
use crate::plan::Role;
use crate::telemetry::Request;
use crate::world::PodIx;

/// Packets of the client for one request and what belongs to it.
const PACKETS: u64 = 6;
/// Longest request.
const LONGEST: Nanos = 300 * MS;

impl Cluster {
    /// Plans the requests of a connection from pod to pod: one after the other, evenly over its
    /// length, each filling most of its share of the time.
    pub(super) fn converse(
        &mut self,
        connection: Option<u64>,
        client: Option<PodIx>,
        server: PodIx,
        front: Option<Socket>,
        course: Course,
    ) {
        let Some(client) = client.filter(|_| self.telemetry.is_some()) else { return };
        let Course { at, drawn, fate } = course;
        let it = &self.world.pods[server];
        let direct = Socket::new(it.ip, self.world.groups[it.workload].plan.port);
        let dialled = front.unwrap_or(direct);
        let address = self.address(server, dialled);
        let refused = fate != Fate::Served;
        let count = if refused { 1 } else { (u64::from(drawn.packets) / PACKETS).max(1) };
        let slot = drawn.gap.max(MS) * u64::from(drawn.packets.saturating_sub(1)) / count;
        let length = (slot - slot / 8).clamp(100_000, LONGEST);
        for number in 0..count {
            let (address, start) = (address.clone(), at + number * slot);
            // What was said before anybody watched, nobody tells.
            if start < self.now {
                continue;
            }
            let request = Request { connection, client, server, dialled, address, length, refused };
            self.queue.push(start, Event::Request(Box::new(request)));
        }
    }

    /// The name that a client dials: a service's in the cluster's DNS, a partner's in the world's,
    /// and otherwise the address itself.
    fn address(&self, server: PodIx, dialled: Socket) -> String {
        let group = &self.world.groups[self.world.pods[server].workload];
        let plan = &group.plan;
        if group.front.is_some_and(|front| front.socket == dialled) {
            let service = plan.service_name.as_ref().unwrap_or(&plan.name);
            return format!("{service}.{}.svc.cluster.local", plan.namespace);
        }
        match plan.role {
            Role::External => format!("{}.example.com", plan.name),
            _ => dialled.ip.to_string(),
        }
    }

    /// A request is made, unless its connection has ended meanwhile.
    pub(super) fn request(&mut self, request: &Request, at: Nanos) {
        if let Some(number) = request.connection {
            let lasts = self.connections.get(&number).is_some_and(|c| c.end() >= at);
            if !lasts && !request.refused {
                return;
            }
        }
        let skew = [request.client, request.server].map(|pod| {
            let node = self.world.pods[pod].node;
            node.map_or(0, |node| self.agents[node as usize].skew)
        });
        if let Some(telemetry) = &mut self.telemetry {
            telemetry.tell(&self.world, request, at, skew);
        }
    }

    /// What services tell leaves, as far as it is due.
    pub(super) fn export(&mut self, at: Nanos, last: bool) {
        let Some(telemetry) = &mut self.telemetry else { return };
        for message in telemetry.export(&self.world, at, last) {
            for delay in telemetry.delays() {
                if delay == 0 {
                    self.outbox.message(message.clone());
                } else {
                    let message = Box::new(message.clone());
                    self.queue.push(at + delay, Event::Publish(message));
                }
            }
        }
    }
}
