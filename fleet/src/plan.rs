//! Who calls whom, how, and how much: the part of a fleet that does not change while it runs.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use portolan_model::Proto;

use crate::spec::{FleetSpec, Topology};

mod extras;
pub(crate) mod random;
mod shop;

/// Index into [`Plan::workloads`].
pub(crate) type WorkloadIx = usize;

/// The static part of a fleet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) calls: Vec<Call>,
    pub(crate) balancers: Vec<Balancer>,
    /// Two jobs that take turns on one address, if any.
    pub(crate) jobs: Vec<WorkloadIx>,
}

/// A group of like instances.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) replicas: u32,
    /// What the instances listen on.
    pub(crate) proto: Proto,
    pub(crate) port: u16,
    /// Port of its service address, if it has one.
    pub(crate) service_port: Option<u16>,
    /// Name of its service, where it differs from its own (`kube-dns` before `coredns`).
    pub(crate) service_name: Option<String>,
    /// Its pods share the address of their node: nothing but their ports tells them apart.
    pub(crate) host: bool,
}

/// What a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Pods that rolling deploys replace.
    Deployment,
    /// Pods that stay.
    StatefulSet,
    /// Pods that run to completion.
    Job,
    /// Addresses outside the cluster that belong to a database.
    Database,
    /// A range outside that belongs to somebody else.
    External,
    /// One pod on every node, which stays.
    DaemonSet,
    /// The public address of a NAT gateway, behind which somebody calls.
    NatGateway,
}

/// A load balancer with one listener.
#[derive(Clone, Debug)]
pub(crate) struct Balancer {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) target: Target,
    /// It runs on a node, where an agent sees it.
    pub(crate) inside: bool,
}

/// Where a load balancer forwards to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The instances of these.
    Workloads(Vec<WorkloadIx>),
    /// The service address of a workload.
    Service(WorkloadIx),
    /// Another load balancer, by its index in [`Plan::balancers`].
    Balancer(usize),
}

/// One kind of call, repeated for as long as the fleet runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) client: Client,
    pub(crate) server: WorkloadIx,
    pub(crate) way: Way,
    pub(crate) shape: Shape,
    /// Share of the fleet's connections, relative to the other calls.
    pub(crate) weight: u32,
}

/// Who opens the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// A pod of a workload.
    Workload(WorkloadIx),
    /// The node of the pod that is called: its health probe.
    Node,
}

/// What the client dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The address of an instance.
    Direct,
    /// The service address.
    Service,
    /// The service address of the client's own workload, which leads back to the client itself.
    Hairpin,
    /// A load balancer, by its index in [`Plan::balancers`].
    Balancer(usize),
}

/// What a connection looks like. The shapes are those of the classes of traffic in a real capture
/// of a small fleet: short RPC, pooled connections, look-ups, probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A few requests in 5–400 ms.
    Rpc,
    /// A pooled connection of 3–40 s, a request every 20–500 ms.
    Pool,
    /// One datagram there, one back.
    Lookup,
    /// One tiny request in 2–5 ms.
    Probe,
    /// A connection of half a minute to ten, a message every second or so.
    Lasting,
    /// Datagrams each way every second, from one port to the same port, without end.
    Gossip,
}

// === impl Plan ===

impl Plan {
    /// The plan of a specification.
    pub(crate) fn new(spec: &FleetSpec, rng: &mut ChaCha8Rng) -> Self {
        let mut plan = match spec.topology {
            Topology::Shop => shop::plan(),
            Topology::Random { services } => random::plan(services, rng),
        };
        extras::add(&mut plan, &spec.features, rng);
        if !spec.features.dns {
            plan.calls.retain(|call| call.shape != Shape::Lookup);
        }
        if !spec.features.probes {
            plan.calls.retain(|call| call.client != Client::Node);
        }
        if !spec.features.jobs {
            let jobs = std::mem::take(&mut plan.jobs);
            let of_job = |c: &Call| matches!(c.client, Client::Workload(w) if jobs.contains(&w));
            plan.calls.retain(|call| !of_job(call));
        }
        plan
    }

    /// Pods at the start, jobs aside.
    pub(crate) fn pods(&self) -> u64 {
        let pods = self.workloads.iter().filter(|w| w.role.is_pods() && w.role != Role::Job);
        pods.filter(|w| !w.host).map(|w| u64::from(w.replicas)).sum()
    }

    /// The workloads that a balancer's connections end at.
    pub(crate) fn targets(&self, balancer: usize) -> Vec<WorkloadIx> {
        match &self.balancers[balancer].target {
            Target::Workloads(targets) => targets.clone(),
            Target::Service(target) => vec![*target],
            Target::Balancer(next) => self.targets(*next),
        }
    }
}

// === impl Role ===

impl Role {
    /// Whether the instances are pods of the cluster.
    pub(crate) const fn is_pods(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::Job | Self::DaemonSet)
    }

    /// Kubernetes' word, empty outside the cluster.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::Job => "Job",
            Self::DaemonSet => "DaemonSet",
            Self::Database | Self::External | Self::NatGateway => "",
        }
    }
}

// === impl Shape ===

impl Shape {
    /// Packets and time of one connection of this shape.
    pub(crate) fn draw(self, rng: &mut ChaCha8Rng) -> Drawn {
        const MS: u64 = 1_000_000;
        match self {
            Self::Rpc => Drawn {
                packets: rng.random_range(4..24),
                gap: rng.random_range(MS..20 * MS),
                request: rng.random_range(80..600),
                response: rng.random_range(100..1_400),
            },
            Self::Pool => Drawn {
                packets: rng.random_range(60..200),
                gap: rng.random_range(50 * MS..200 * MS),
                request: rng.random_range(80..300),
                response: rng.random_range(100..1_400),
            },
            Self::Lookup => Drawn {
                packets: 1,
                gap: 0,
                request: rng.random_range(70..110),
                response: rng.random_range(100..250),
            },
            Self::Probe => Drawn { packets: 4, gap: MS, request: 180, response: 140 },
            Self::Lasting => Drawn {
                packets: rng.random_range(60..300),
                gap: rng.random_range(500 * MS..2_000 * MS),
                request: rng.random_range(80..300),
                response: rng.random_range(100..1_400),
            },
            Self::Gossip => Drawn {
                // A day of them.
                packets: 86_400,
                gap: rng.random_range(800 * MS..1_200 * MS),
                request: rng.random_range(80..300),
                response: rng.random_range(80..300),
            },
        }
    }

    /// Mean length of a connection in milliseconds.
    pub(crate) const fn mean_ms(self) -> u64 {
        match self {
            Self::Rpc => 140,
            Self::Pool => 16_000,
            Self::Lookup => 1,
            Self::Probe => 3,
            // As far as the rate is concerned, which is that of the first minutes.
            Self::Lasting | Self::Gossip => 60_000,
        }
    }
}

/// What one connection will carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawn {
    /// Packets each way, opening and closing ones included.
    pub(crate) packets: u32,
    /// Time between packets of one direction, in nanoseconds.
    pub(crate) gap: u64,
    /// Bytes of a packet from the client.
    pub(crate) request: u32,
    /// Bytes of a packet from the server.
    pub(crate) response: u32,
}
