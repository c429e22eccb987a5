//! Who exists: nodes, pods with their addresses, services with their backends, and what ownership
//! says of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use portolan_model::{
    Backend, DeclaredPort, Entity, EntityKind, HopClass, Ip, Nanos, OwnerKind, OwnerRecord, Phase,
    Proto, Socket, ValidTime,
};

use crate::plan::{Plan, Role, Workload, WorkloadIx};
use crate::spec::{FleetSpec, SpecError};
use crate::truth::{EntityIx, Ledger, hop};

mod addresses;
use addresses::Addresses;

/// Index into [`World::pods`].
pub(crate) type PodIx = usize;

/// Pods of one node at the start: a fifth of its range stays free for deploys.
const PODS_A_NODE: u64 = 200;
/// Pods that an unasked-for node is given.
const USUAL_PODS_A_NODE: u64 = 40;
/// Owners of the start are this much older than the fleet, as in a cluster that has been running.
const BEFORE: Nanos = 60_000_000_000;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) nodes: u32,
    scope: Arc<str>,
    environment: Arc<str>,
    /// Every pod that ever lived.
    pub(crate) pods: Vec<Pod>,
    pub(crate) groups: Vec<Group>,
    pub(crate) balancers: Vec<BalancerState>,
    /// Truth's names of the nodes.
    pub(crate) node_entities: Vec<EntityIx>,
    addresses: Addresses,
    began: Nanos,
}

/// A pod, or an instance outside.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) workload: WorkloadIx,
    name: String,
    pub(crate) ip: Ip,
    /// Its node; nothing outside the cluster.
    pub(crate) node: Option<u32>,
    born: Nanos,
    /// Connections that it takes part in.
    pub(crate) open: BTreeSet<u64>,
}

/// A workload as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) plan: Workload,
    pub(crate) entity: EntityIx,
    /// Instances that take and make new connections.
    pub(crate) ready: Vec<PodIx>,
    /// Instances that the service still lists: the ready ones and those that drain.
    listed: Vec<PodIx>,
    /// Its service address.
    pub(crate) front: Option<Front>,
    /// Since when the service's backends are what they are.
    changed: Nanos,
    /// Instances so far, for names.
    born: u32,
}

/// A service address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    pub(crate) socket: Socket,
    pub(crate) entity: EntityIx,
}

/// A load balancer as it is now.
#[derive(Clone, Debug)]
pub(crate) struct BalancerState {
    name: String,
    pub(crate) target: WorkloadIx,
    pub(crate) front: Front,
}

// === impl World ===

impl World {
    /// The world at the start, with every workload at full strength.
    pub(crate) fn try_new(
        spec: &FleetSpec,
        plan: &Plan,
        ledger: &mut Ledger,
        start: Nanos,
    ) -> Result<Self, SpecError> {
        let pods = plan.pods();
        let nodes = match u64::from(spec.nodes) {
            0 => pods.div_ceil(USUAL_PODS_A_NODE).max(3),
            nodes if nodes * PODS_A_NODE < pods => {
                let needed = pods.div_ceil(PODS_A_NODE);
                return Err(SpecError::TooFewNodes { pods, nodes, needed });
            }
            nodes => nodes,
        } as u32;
        let mut world = Self {
            nodes,
            scope: spec.scope.as_str().into(),
            environment: spec.environment.as_str().into(),
            pods: Vec::new(),
            groups: Vec::new(),
            balancers: Vec::new(),
            node_entities: Vec::new(),
            addresses: Addresses::new(nodes, u64::from(spec.features.reuse_after_ms) * 1_000_000),
            began: start.saturating_sub(BEFORE),
        };
        for node in 0..nodes {
            let name = node_name(node);
            let entity = world.named(EntityKind::Node, "", &name, "Node");
            world.node_entities.push(ledger.entity(entity));
        }
        for workload in &plan.workloads {
            world.add_group(workload, ledger);
        }
        for (at, balancer) in plan.balancers.iter().enumerate() {
            let name = &balancer.name;
            let entity = hop(&world.environment, "", name, HopClass::LoadBalancer);
            let socket = Socket::new(addresses::balancer(at as u32), balancer.port);
            let front = Front { socket, entity: ledger.entity(entity) };
            let name = name.clone();
            world.balancers.push(BalancerState { name, target: balancer.target, front });
        }
        Ok(world)
    }

    fn add_group(&mut self, plan: &Workload, ledger: &mut Ledger) {
        let at = self.groups.len();
        let kind = match plan.role {
            Role::Database => EntityKind::Database,
            Role::External => EntityKind::External,
            _ => EntityKind::Workload,
        };
        let entity = self.named(kind, &plan.namespace, &plan.name, plan.role.word());
        let front = plan.service_port.map(|port| {
            let entity = hop(
                &self.environment,
                &plan.namespace,
                plan.service_name.as_ref().unwrap_or(&plan.name),
                HopClass::ClusterIp,
            );
            let socket = Socket::new(addresses::service(at as u32), port);
            Front { socket, entity: ledger.entity(entity) }
        });
        self.groups.push(Group {
            plan: plan.clone(),
            entity: ledger.entity(entity),
            ready: Vec::new(),
            listed: Vec::new(),
            front,
            changed: self.began,
            born: 0,
        });
        if plan.role == Role::Job {
            return;
        }
        for instance in 0..plan.replicas {
            let node = plan.role.is_pods().then_some((at as u32 + instance) % self.nodes);
            let began = self.began;
            let pod = self.birth(at, node, began).expect("a node has room for its share of pods");
            self.join(pod, began);
        }
    }

    fn named(&self, kind: EntityKind, namespace: &str, name: &str, detail: &str) -> Entity {
        let environment = self.environment.clone();
        Entity { environment, detail: detail.into(), ..Entity::new(kind, namespace, name) }
    }

    /// A new instance on `node`, with an address but not yet serving. Nothing if the node is full.
    pub(crate) fn birth(
        &mut self,
        workload: WorkloadIx,
        node: Option<u32>,
        at: Nanos,
    ) -> Option<PodIx> {
        let group = &mut self.groups[workload];
        let ip = match node {
            Some(node) => self.addresses.take(node, at)?,
            None if group.plan.role == Role::External => {
                addresses::external(workload as u32, group.born)
            }
            None => addresses::outside(workload as u32, group.born),
        };
        let name = format!("{}-{}", group.plan.name, group.born);
        group.born += 1;
        self.pods.push(Pod { workload, name, ip, node, born: at, open: BTreeSet::new() });
        Some(self.pods.len() - 1)
    }

    /// The instance serves from `at` on.
    pub(crate) fn join(&mut self, pod: PodIx, at: Nanos) {
        let group = &mut self.groups[self.pods[pod].workload];
        group.listed.push(pod);
        group.changed = at;
    }

    /// Clients have heard of it.
    pub(crate) fn ready(&mut self, pod: PodIx) {
        self.groups[self.pods[pod].workload].ready.push(pod);
    }

    /// It takes and makes no new connections.
    pub(crate) fn drain(&mut self, pod: PodIx) {
        self.groups[self.pods[pod].workload].ready.retain(|other| *other != pod);
    }

    /// It is gone, and its address with it.
    pub(crate) fn death(&mut self, pod: PodIx, at: Nanos) {
        let (ip, node, workload) = {
            let pod = &self.pods[pod];
            (pod.ip, pod.node, pod.workload)
        };
        let group = &mut self.groups[workload];
        group.listed.retain(|other| *other != pod);
        group.changed = at;
        if let Some(node) = node {
            self.addresses.give(node, ip, at);
        }
    }

    /// Address of a node.
    pub(crate) fn node_ip(node: u32) -> Ip {
        addresses::node(node)
    }

    /// Everything that holds now, as ownership would list it.
    pub(crate) fn list(&self) -> Vec<OwnerRecord> {
        let nodes = (0..self.nodes).map(|node| self.node_record(node));
        let mut records: Vec<OwnerRecord> = nodes.collect();
        for (at, group) in self.groups.iter().enumerate() {
            match group.plan.role {
                Role::External | Role::Database => records.push(self.outside_record(at)),
                _ => {
                    let live = group.listed.iter();
                    records.extend(live.map(|pod| self.pod_record(*pod, self.pods[*pod].born)));
                }
            }
            records.extend(self.service_record(at));
        }
        records.extend((0..self.balancers.len()).map(|at| self.balancer_record(at)));
        records
    }

    /// What is to be said when the backends of a workload have changed.
    pub(crate) fn fronts(&self, workload: WorkloadIx) -> Vec<OwnerRecord> {
        let balancers = self.balancers.iter().enumerate();
        let behind = balancers.filter(|(_, balancer)| balancer.target == workload);
        let behind = behind.map(|(at, _)| self.balancer_record(at));
        self.service_record(workload).into_iter().chain(behind).collect()
    }

    fn record(&self, kind: OwnerKind, uid: String, name: &str, from: Nanos) -> OwnerRecord {
        OwnerRecord {
            scope: self.scope.clone(),
            uid: uid.into(),
            kind,
            environment: self.environment.clone(),
            namespace: "".into(),
            name: name.into(),
            owner_name: "".into(),
            owner_kind: "".into(),
            node: Ip::NONE,
            host_network: false,
            phase: Phase::Running,
            ips: Vec::new(),
            cidrs: Vec::new(),
            ports: Vec::new(),
            backends: Vec::new(),
            valid: ValidTime::since(from),
            observed_at: from,
        }
    }

    fn node_record(&self, node: u32) -> OwnerRecord {
        let ip = Self::node_ip(node);
        let name = node_name(node);
        let record = self.record(OwnerKind::Node, format!("node-{node}"), &name, self.began);
        OwnerRecord { node: ip, ips: vec![ip], owner_kind: "Node".into(), ..record }
    }

    /// The pod, as seen at `observed_at`.
    pub(crate) fn pod_record(&self, pod: PodIx, observed_at: Nanos) -> OwnerRecord {
        let it = &self.pods[pod];
        let plan = &self.groups[it.workload].plan;
        let record = self.record(OwnerKind::Pod, format!("pod-{pod}"), &it.name, it.born);
        let served = DeclaredPort { proto: plan.proto, port: plan.port };
        OwnerRecord {
            namespace: plan.namespace.as_str().into(),
            owner_name: plan.name.as_str().into(),
            owner_kind: plan.role.word().into(),
            node: it.node.map_or(Ip::NONE, Self::node_ip),
            ips: vec![it.ip],
            ports: if plan.port == 0 { Vec::new() } else { vec![served] },
            observed_at,
            ..record
        }
    }

    fn outside_record(&self, workload: WorkloadIx) -> OwnerRecord {
        let group = &self.groups[workload];
        let plan = &group.plan;
        let uid = format!("outside-{workload}");
        let served = vec![DeclaredPort { proto: plan.proto, port: plan.port }];
        let namespace = plan.namespace.as_str().into();
        if plan.role == Role::External {
            let record = self.record(OwnerKind::External, uid, &plan.name, self.began);
            let cidrs = vec![addresses::external_range(workload as u32)];
            return OwnerRecord { namespace, cidrs, ports: served, ..record };
        }
        let record = self.record(OwnerKind::Database, uid, &plan.name, self.began);
        let ips = group.listed.iter().map(|pod| self.pods[*pod].ip).collect();
        OwnerRecord { namespace, ips, ports: served, ..record }
    }

    fn service_record(&self, workload: WorkloadIx) -> Option<OwnerRecord> {
        let group = &self.groups[workload];
        let front = group.front?;
        let plan = &group.plan;
        let name = plan.service_name.as_ref().unwrap_or(&plan.name);
        let uid = format!("service-{workload}");
        let record = self.record(OwnerKind::Service, uid, name, group.changed);
        Some(OwnerRecord {
            namespace: plan.namespace.as_str().into(),
            owner_kind: "Service".into(),
            ips: vec![front.socket.ip],
            ports: vec![DeclaredPort { proto: plan.proto, port: front.socket.port }],
            backends: self.backends(workload, front.socket.port),
            ..record
        })
    }

    fn balancer_record(&self, at: usize) -> OwnerRecord {
        let balancer = &self.balancers[at];
        let socket = balancer.front.socket;
        let from = self.groups[balancer.target].changed;
        let uid = format!("balancer-{at}");
        let record = self.record(OwnerKind::LoadBalancer, uid, &balancer.name, from);
        OwnerRecord {
            owner_kind: "LoadBalancer".into(),
            ips: vec![socket.ip],
            ports: vec![DeclaredPort { proto: Proto::TCP, port: socket.port }],
            backends: self.backends(balancer.target, socket.port),
            ..record
        }
    }

    fn backends(&self, workload: WorkloadIx, front_port: u16) -> Vec<Backend> {
        let group = &self.groups[workload];
        let Workload { proto, port, .. } = group.plan;
        let backend = |pod: &PodIx| Backend { front_port, proto, ip: self.pods[*pod].ip, port };
        group.listed.iter().map(backend).collect()
    }
}

fn node_name(node: u32) -> String {
    format!("node-{node}")
}
