//! Who exists: nodes, pods with their addresses, services with their backends.

use std::collections::BTreeSet;
use std::sync::Arc;

use portolan_model::{Entity, EntityKind, HopClass, Ip, Nanos, Socket};

use crate::plan::{Balancer, Plan, Role, Target, Workload, WorkloadIx};
use crate::spec::{FleetSpec, SpecError};
use crate::truth::{EntityIx, Ledger, hop};
use crate::wire::{Message, Topic};

mod addresses;
mod records;
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
    /// When it was gone; [`Nanos::MAX`] while it is there.
    died: Nanos,
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
    pub(crate) target: Target,
    pub(crate) front: Front,
    /// The node it runs on, if it does on one.
    pub(crate) node: Option<u32>,
}

// === impl Pod ===

impl Pod {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn born(&self) -> Nanos {
        self.born
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.died != Nanos::MAX
    }
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
        for balancer in &plan.balancers {
            world.add_balancer(balancer, ledger);
        }
        Ok(world)
    }

    fn add_balancer(&mut self, plan: &Balancer, ledger: &mut Ledger) {
        let at = self.balancers.len() as u32;
        let node = plan.inside.then_some(at % self.nodes);
        let address = node.map(|node| {
            let began = self.began;
            self.addresses.take(node, began).expect("a node has room for a balancer")
        });
        let ip = address.unwrap_or_else(|| addresses::balancer(at));
        let entity = hop(&self.environment, "", &plan.name, HopClass::LoadBalancer);
        let front = Front { socket: Socket::new(ip, plan.port), entity: ledger.entity(entity) };
        let (name, target) = (plan.name.clone(), plan.target.clone());
        self.balancers.push(BalancerState { name, target, front, node });
    }

    fn add_group(&mut self, plan: &Workload, ledger: &mut Ledger) {
        let at = self.groups.len();
        let kind = match plan.role {
            Role::Database => EntityKind::Database,
            Role::External => EntityKind::External,
            Role::NatGateway => EntityKind::Hop(HopClass::NatGateway),
            _ => EntityKind::Workload,
        };
        let word = if plan.role == Role::NatGateway { "NatGateway" } else { plan.role.word() };
        let entity = self.named(kind, &plan.namespace, &plan.name, word);
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
        let daemons = plan.role == Role::DaemonSet;
        for instance in 0..if daemons { self.nodes } else { plan.replicas } {
            let first = if daemons { 0 } else { at as u32 };
            let node = plan.role.is_pods().then_some((first + instance) % self.nodes);
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
            Some(node) if group.plan.host => addresses::node(node),
            Some(node) => self.addresses.take(node, at)?,
            None if group.plan.role == Role::External => {
                addresses::external(workload as u32, group.born)
            }
            None => addresses::outside(workload as u32, group.born),
        };
        let name = format!("{}-{}", group.plan.name, group.born);
        group.born += 1;
        let (open, died) = (BTreeSet::new(), Nanos::MAX);
        self.pods.push(Pod { workload, name, ip, node, born: at, died, open });
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
            let pod = &mut self.pods[pod];
            pod.died = at;
            (pod.ip, pod.node, pod.workload)
        };
        let group = &mut self.groups[workload];
        group.listed.retain(|other| *other != pod);
        group.changed = at;
        if let Some(node) = node {
            self.addresses.give(node, ip, at);
        }
    }

    /// A message in the scope of the cluster.
    pub(crate) fn message(
        &self,
        topic: Topic,
        partition_key: Vec<u8>,
        payload: Vec<u8>,
        records: u32,
    ) -> Message {
        Message { topic, partition_key, payload, records, scope: self.scope.clone() }
    }

    /// Environment of its entities; may be empty.
    pub(crate) fn environment(&self) -> &str {
        &self.environment
    }

    /// Address of a node.
    pub(crate) fn node_ip(node: u32) -> Ip {
        addresses::node(node)
    }
}

fn node_name(node: u32) -> String {
    format!("node-{node}")
}
