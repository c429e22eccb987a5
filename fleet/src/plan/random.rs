//! A random fleet: popularity and traffic fall off as in a zipf distribution.

use std::collections::BTreeSet;

use portolan_model::Proto;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Balancer, Call, Client, Plan, Role, Shape, Target, Way, Workload};

/// Replicas and callees are drawn from these: a long tail of small services, mean 2.9 pods and 3.4
/// callees (microservice studies report 3 to 5 dependencies for a median service).
const REPLICAS: [u32; 8] = [1, 2, 2, 2, 3, 3, 4, 6];
const CALLEES: [u32; 8] = [0, 1, 2, 3, 3, 4, 5, 9];
/// Weight of the busiest call; the call of rank `r` has this over `r`.
const TOP_WEIGHT: u32 = 1_000_000;
/// One call in this many is a pooled connection, which makes many slices from one opening.
const POOLED: u32 = 16;

/// A plan of `services` services, and a name server that one in eight of them asks.
pub(super) fn plan(services: u32, rng: &mut ChaCha8Rng) -> Plan {
    let mut plan = Plan::default();
    for at in 0..services {
        plan.workloads.push(workload(at, rng));
    }
    let count = services as usize;
    let mut popular: Vec<usize> = (0..count).collect();
    popular.shuffle(rng);
    let ranks = Ranks::new(count);
    for client in 0..count {
        let mut callees = BTreeSet::new();
        for _ in 0..CALLEES[rng.random_range(0..CALLEES.len())] {
            callees.insert(popular[ranks.draw(rng)]);
        }
        callees.remove(&client);
        for server in callees {
            let shape = if rng.random_ratio(1, POOLED) { Shape::Pool } else { Shape::Rpc };
            let service = plan.workloads[server].service_port.is_some();
            let way = if service { Way::Service } else { Way::Direct };
            plan.calls.push(call(client, server, way, shape));
        }
    }
    outside(&mut plan, count, &popular);
    let mut weights: Vec<u32> = (1..=plan.calls.len() as u32).map(|r| TOP_WEIGHT / r).collect();
    weights.shuffle(rng);
    for (call, weight) in plan.calls.iter_mut().zip(weights) {
        call.weight = weight.max(1);
    }
    plan
}

fn workload(at: u32, rng: &mut ChaCha8Rng) -> Workload {
    let headless = rng.random_ratio(3, 10);
    Workload {
        namespace: format!("team-{:02}", at % 50),
        name: format!("svc-{at:05}"),
        role: if headless { Role::StatefulSet } else { Role::Deployment },
        replicas: REPLICAS[rng.random_range(0..REPLICAS.len())],
        proto: Proto::TCP,
        // A few ports, shared by many services, as in life.
        port: [8080, 9090, 50_051, 3000][at as usize % 4],
        service_port: (!headless).then_some(80),
        service_name: None,
        host: false,
    }
}

/// What stands at the rim: the name server, a database, somebody else's service, a load balancer
/// before the most popular service.
fn outside(plan: &mut Plan, services: usize, popular: &[usize]) {
    let base = plan.workloads.len();
    let rim = |name: &str, role, proto, port, service_port| Workload {
        namespace: if role == Role::External { String::new() } else { "platform".to_owned() },
        name: name.to_owned(),
        role,
        replicas: 2,
        proto,
        port,
        service_port,
        service_name: None,
        host: false,
    };
    plan.workloads.push(rim("coredns", Role::Deployment, Proto::UDP, 53, Some(53)));
    plan.workloads.push(rim("warehouse-db", Role::Database, Proto::TCP, 5432, None));
    plan.workloads.push(rim("partner-api", Role::External, Proto::TCP, 443, None));
    plan.balancers.push(Balancer {
        name: "edge-lb".to_owned(),
        port: 80,
        target: Target::Workloads(vec![popular[0]]),
        inside: false,
    });
    for client in (0..services).step_by(8) {
        plan.calls.push(call(client, base, Way::Service, Shape::Lookup));
    }
    plan.calls.push(call(popular[services - 1], base + 1, Way::Direct, Shape::Pool));
    plan.calls.push(call(popular[services / 2], base + 2, Way::Direct, Shape::Rpc));
    plan.calls.push(call(popular[1], popular[0], Way::Balancer(0), Shape::Rpc));
}

fn call(client: usize, server: usize, way: Way, shape: Shape) -> Call {
    Call { client: Client::Workload(client), server, way, shape, weight: 1 }
}

/// Draws ranks with the probability of `1 / rank`, in integers: the same on every machine.
pub(crate) struct Ranks {
    upto: Vec<u64>,
}

impl Ranks {
    /// Ranks `0..count`.
    pub(crate) fn new(count: usize) -> Self {
        let mut sum = 0;
        let weight = |rank: u64| u64::from(TOP_WEIGHT) * 1_000 / (rank + 1);
        let upto = (0..count as u64).map(|rank| {
            sum += weight(rank);
            sum
        });
        Self { upto: upto.collect() }
    }

    /// A rank.
    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        let total = self.upto.last().copied().unwrap_or(1);
        let at = rng.random_range(0..total);
        self.upto.partition_point(|upto| *upto <= at)
    }
}
