//! What ownership says of the world.

use portolan_model::{
    Backend, DeclaredPort, Ip, Nanos, OwnerEvent, OwnerKind, OwnerRecord, Phase, Proto, ValidTime,
};

use super::{PodIx, World, addresses, node_name};
use crate::plan::{Role, Target, Workload, WorkloadIx};

impl World {
    /// Everything that holds now, as ownership would list it.
    pub(crate) fn list(&self) -> Vec<OwnerRecord> {
        let nodes = (0..self.nodes).map(|node| self.node_record(node));
        let mut records: Vec<OwnerRecord> = nodes.collect();
        for (at, group) in self.groups.iter().enumerate() {
            match group.plan.role {
                Role::External | Role::Database | Role::NatGateway => {
                    records.push(self.outside_record(at));
                }
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

    /// What a watch says that broke at `broken` and lists all again at `at`. Who is still there is
    /// listed with the start that its status tells; services do not tell when they changed, so a
    /// change in the gap is dated to the list. Finished jobs are listed with their end, other pods
    /// that are gone are known to have ended in the gap, those that lived in it only not at all, but that there
    /// may have been some is.
    pub(crate) fn relist(&self, broken: Nanos, at: Nanos) -> Vec<OwnerEvent> {
        let seen = |pod: &PodIx| {
            let it = &self.pods[*pod];
            it.node.is_some() && it.died > broken && it.born <= at
        };
        let mut events = vec![OwnerEvent::Gap { scope: self.scope.clone(), from: broken, to: at }];
        for pod in (0..self.pods.len()).filter(seen) {
            let it = &self.pods[pod];
            let job = self.groups[it.workload].plan.role == Role::Job;
            if it.died > at {
                events.push(OwnerEvent::Upsert(Box::new(self.pod_record(pod, at))));
            } else if job {
                events.push(OwnerEvent::Upsert(Box::new(self.finished_record(pod, at))));
            } else if it.born <= broken {
                let record = self.pod_record(pod, at);
                let (scope, uid) = (record.scope, record.uid);
                events.push(OwnerEvent::Delete { scope, uid, at: broken, at_hi: at });
            }
        }
        let groups = (0..self.groups.len()).filter_map(|group| self.service_record(group));
        for mut record in groups.chain((0..self.balancers.len()).map(|b| self.balancer_record(b))) {
            if record.valid.from > broken {
                record.valid = ValidTime::since(at);
            }
            record.observed_at = at;
            events.push(OwnerEvent::Upsert(Box::new(record)));
        }
        events
    }

    /// A job's pod that ended: its object stays and says so.
    pub(crate) fn finished_record(&self, pod: PodIx, observed_at: Nanos) -> OwnerRecord {
        let mut record = self.pod_record(pod, observed_at);
        let died = self.pods[pod].died;
        record.phase = Phase::Succeeded;
        record.valid = record.valid.ended(died, died);
        record
    }

    /// What is to be said when the backends of a workload have changed.
    pub(crate) fn fronts(&self, workload: WorkloadIx) -> Vec<OwnerRecord> {
        let balancers = self.balancers.iter().enumerate();
        let behind = balancers.filter(|(_, balancer)| match &balancer.target {
            Target::Workloads(targets) => targets.contains(&workload),
            Target::Service(_) | Target::Balancer(_) => false,
        });
        let behind = behind.map(|(at, _)| self.balancer_record(at));
        self.service_record(workload).into_iter().chain(behind).collect()
    }

    fn record(&self, kind: OwnerKind, uid: &str, name: &str, from: Nanos) -> OwnerRecord {
        OwnerRecord {
            environment: self.environment.clone(),
            name: name.into(),
            ..OwnerRecord::blank(&self.scope, uid, kind, ValidTime::since(from))
        }
    }

    fn node_record(&self, node: u32) -> OwnerRecord {
        let ip = Self::node_ip(node);
        let name = node_name(node);
        let record = self.record(OwnerKind::Node, &format!("node-{node}"), &name, self.began);
        OwnerRecord { node: ip, ips: vec![ip], owner_kind: "Node".into(), ..record }
    }

    /// The pod, as seen at `observed_at`.
    pub(crate) fn pod_record(&self, pod: PodIx, observed_at: Nanos) -> OwnerRecord {
        let it = &self.pods[pod];
        let plan = &self.groups[it.workload].plan;
        let record = self.record(OwnerKind::Pod, &format!("pod-{pod}"), &it.name, it.born);
        let served = DeclaredPort { proto: plan.proto, port: plan.port };
        OwnerRecord {
            namespace: plan.namespace.as_str().into(),
            owner_name: plan.name.as_str().into(),
            owner_kind: plan.role.word().into(),
            node: it.node.map_or(Ip::NONE, Self::node_ip),
            ips: vec![it.ip],
            host_network: plan.host,
            ports: if plan.port == 0 { Vec::new() } else { vec![served] },
            observed_at,
            ..record
        }
    }

    fn outside_record(&self, workload: WorkloadIx) -> OwnerRecord {
        let group = &self.groups[workload];
        let plan = &group.plan;
        let uid = format!("outside-{workload}");
        let served = DeclaredPort { proto: plan.proto, port: plan.port };
        let served = if plan.port == 0 { Vec::new() } else { vec![served] };
        let namespace = plan.namespace.as_str().into();
        if plan.role == Role::External {
            let record = self.record(OwnerKind::External, &uid, &plan.name, self.began);
            let cidrs = vec![addresses::external_range(workload as u32)];
            return OwnerRecord { namespace, cidrs, ports: served, ..record };
        }
        let gateway = plan.role == Role::NatGateway;
        let kind = if gateway { OwnerKind::NatGateway } else { OwnerKind::Database };
        let record = self.record(kind, &uid, &plan.name, self.began);
        let ips = group.listed.iter().map(|pod| self.pods[*pod].ip).collect();
        OwnerRecord { namespace, ips, ports: served, ..record }
    }

    fn service_record(&self, workload: WorkloadIx) -> Option<OwnerRecord> {
        let group = &self.groups[workload];
        let front = group.front?;
        let plan = &group.plan;
        let name = plan.service_name.as_ref().unwrap_or(&plan.name);
        let uid = format!("service-{workload}");
        let record = self.record(OwnerKind::Service, &uid, name, group.changed);
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
        let onward =
            |ip, port| vec![Backend { front_port: socket.port, proto: Proto::TCP, ip, port }];
        let (from, backends) = match &balancer.target {
            Target::Workloads(targets) => {
                let changed = targets.iter().map(|target| self.groups[*target].changed);
                let backends = targets.iter().flat_map(|t| self.backends(*t, socket.port));
                (changed.max().unwrap_or(self.began), backends.collect())
            }
            Target::Service(target) => {
                let front = self.groups[*target].front.map(|front| front.socket);
                let backends = front.map_or_else(Vec::new, |front| onward(front.ip, front.port));
                (self.began, backends)
            }
            Target::Balancer(next) => {
                let next = self.balancers[*next].front.socket;
                (self.began, onward(next.ip, next.port))
            }
        };
        let uid = format!("balancer-{at}");
        let record = self.record(OwnerKind::LoadBalancer, &uid, &balancer.name, from);
        OwnerRecord {
            owner_kind: "LoadBalancer".into(),
            node: balancer.node.map_or(Ip::NONE, Self::node_ip),
            ips: vec![socket.ip],
            ports: vec![DeclaredPort { proto: Proto::TCP, port: socket.port }],
            backends,
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
