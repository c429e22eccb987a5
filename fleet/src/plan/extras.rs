//! What a feature adds to a plan: workloads, balancers and calls that show a hard case.

use portolan_model::Proto;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Balancer, Call, Client, Plan, Role, Shape, Target, Way, Workload, WorkloadIx};
use crate::spec::Features;

const NAMESPACE: &str = "extras";
/// Pods of each added service.
const REPLICAS: u32 = 3;

/// Adds what the features ask for. Calls weigh as much as a middling call of the plan each, so that
/// every hard case is met in any fleet.
pub(super) fn add(plan: &mut Plan, features: &Features, rng: &mut ChaCha8Rng) {
    let mut weights: Vec<u32> = plan.calls.iter().map(|call| call.weight).collect();
    weights.sort_unstable();
    let weight = weights.get(weights.len() / 2).copied().unwrap_or(1).max(1);
    let pods = |w: &Workload| w.role.is_pods() && w.role != Role::Job && w.proto == Proto::TCP;
    let natives = plan.workloads.iter().enumerate().filter(|(_, w)| pods(w));
    let natives = natives.map(|(at, _)| at).collect();
    let mut extras = Extras { plan, rng, weight, natives };
    if features.jobs && extras.plan.jobs.is_empty() {
        extras.jobs();
    }
    if features.host_network {
        extras.host_network();
    }
    if features.shared_balancer {
        extras.shared_balancer();
    }
    if features.chains {
        extras.chains();
    }
    if features.hairpin {
        extras.hairpin();
    }
    if features.nat {
        extras.nat();
    }
    if features.long_lived {
        extras.long_lived();
    }
    if features.gossip {
        extras.gossip();
    }
}

struct Extras<'a> {
    plan: &'a mut Plan,
    rng: &'a mut ChaCha8Rng,
    weight: u32,
    /// Services of the plan itself that can call and be called.
    natives: Vec<WorkloadIx>,
}

// === impl Extras ===

impl Extras<'_> {
    fn native(&mut self) -> WorkloadIx {
        self.natives[self.rng.random_range(0..self.natives.len() as u32) as usize]
    }

    fn workload(&mut self, name: &str, role: Role, port: u16, service: Option<u16>) -> WorkloadIx {
        let namespace = if role.is_pods() { NAMESPACE } else { "" };
        self.plan.workloads.push(Workload {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            role,
            replicas: REPLICAS,
            proto: Proto::TCP,
            port,
            service_port: service,
            service_name: None,
            host: false,
        });
        self.plan.workloads.len() - 1
    }

    fn service(&mut self, name: &str, port: u16) -> WorkloadIx {
        self.workload(name, Role::Deployment, port, Some(80))
    }

    fn balancer(&mut self, name: &str, target: Target, inside: bool) -> usize {
        let name = name.to_owned();
        self.plan.balancers.push(Balancer { name, port: 80, target, inside });
        self.plan.balancers.len() - 1
    }

    fn call(&mut self, client: WorkloadIx, server: WorkloadIx, way: Way, shape: Shape) {
        let (client, weight) = (Client::Workload(client), self.weight);
        self.plan.calls.push(Call { client, server, way, shape, weight });
    }

    /// Two jobs, for topologies that have none.
    fn jobs(&mut self) {
        for name in ["batch-a", "batch-b"] {
            let job = self.workload(name, Role::Job, 0, None);
            self.plan.workloads[job].replicas = 1;
            let server = self.native();
            self.call(job, server, Way::Direct, Shape::Rpc);
            self.plan.jobs.push(job);
        }
    }

    /// Two daemons a node, on ports of the node's address; a service that calls them, and daemons
    /// that call a service and each other.
    fn host_network(&mut self) {
        let exporter = self.workload("node-exporter", Role::DaemonSet, 9_100, None);
        let agent = self.workload("host-agent", Role::DaemonSet, 10_256, None);
        for daemon in [exporter, agent] {
            self.plan.workloads[daemon].host = true;
        }
        let (client, server) = (self.native(), self.native());
        self.call(client, exporter, Way::Direct, Shape::Rpc);
        self.call(client, agent, Way::Direct, Shape::Rpc);
        self.call(agent, server, Way::Direct, Shape::Rpc);
        self.call(agent, exporter, Way::Direct, Shape::Rpc);
    }

    /// A balancer that sends to two services; two callers, each meaning both.
    fn shared_balancer(&mut self) {
        let blue = self.service("blue", 8_080);
        let green = self.service("green", 8_080);
        let both = Target::Workloads(vec![blue, green]);
        let balancer = self.balancer("shared-lb", both, false);
        for _ in 0..2 {
            let client = self.native();
            for server in [blue, green] {
                self.call(client, server, Way::Balancer(balancer), Shape::Rpc);
            }
        }
    }

    /// `client -> inner-lb -> service address -> pod`, and `client -> outer-lb -> middle-lb -> pod`.
    fn chains(&mut self) {
        let near = self.service("behind-vip", 8_080);
        let far = self.service("behind-two", 8_080);
        let inner = self.balancer("inner-lb", Target::Service(near), true);
        let middle = self.balancer("middle-lb", Target::Workloads(vec![far]), false);
        let outer = self.balancer("outer-lb", Target::Balancer(middle), false);
        for _ in 0..2 {
            let client = self.native();
            self.call(client, near, Way::Balancer(inner), Shape::Rpc);
            self.call(client, far, Way::Balancer(outer), Shape::Rpc);
        }
    }

    fn hairpin(&mut self) {
        let narcissus = self.service("narcissus", 8_080);
        let client = self.native();
        self.call(client, narcissus, Way::Service, Shape::Rpc);
        self.call(narcissus, narcissus, Way::Hairpin, Shape::Rpc);
    }

    /// Callers behind a gateway; that nodes masquerade is no matter of the plan.
    fn nat(&mut self) {
        let gateway = self.workload("partner-nat", Role::NatGateway, 0, None);
        self.plan.workloads[gateway].replicas = 1;
        let outside = self.workload("saas", Role::External, 443, None);
        let (server, client) = (self.native(), self.native());
        self.call(gateway, server, Way::Direct, Shape::Rpc);
        self.call(client, outside, Way::Direct, Shape::Rpc);
    }

    fn long_lived(&mut self) {
        let stream = self.service("stream", 50_052);
        let queue = self.workload("queue", Role::StatefulSet, 5_672, None);
        for _ in 0..2 {
            let client = self.native();
            self.call(client, stream, Way::Service, Shape::Lasting);
            self.call(client, queue, Way::Direct, Shape::Lasting);
        }
    }

    /// Peers of one kind among themselves, and with another kind.
    fn gossip(&mut self) {
        let names = ["gossip-a", "gossip-b"];
        let peers = names.map(|name| self.workload(name, Role::StatefulSet, 7_946, None));
        for peer in peers {
            self.plan.workloads[peer].proto = Proto::UDP;
        }
        self.call(peers[0], peers[0], Way::Direct, Shape::Gossip);
        self.call(peers[0], peers[1], Way::Direct, Shape::Gossip);
    }
}
