//! Services: their addresses and ports from the object, their backends from its endpoint slices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_model::{
    Backend, DeclaredPort, Ip, Nanos, NodePort, OwnerKind, OwnerRecord, Proto, ValidTime,
};

use super::pod::protocol_of;
use super::{Instant, Settings, blank, created};

/// The most backends that a record may have: more are not told, and the log says of which service.
const MOST_BACKENDS: usize = 10_000;
/// A service that is seen this soon after it was made had no other backends before.
const FRESH: Nanos = 5_000_000_000;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Namespace and name.
type Name = (String, String);

/// All services, their slices, and which of them changed.
#[derive(Debug, Default)]
pub(super) struct Services {
    by_name: BTreeMap<Name, Front>,
    slices: BTreeMap<Arc<str>, Slice>,
    changed: BTreeMap<Name, Instant>,
}

/// A service without its backends.
#[derive(Clone, Debug)]
struct Front {
    uid: Arc<str>,
    meta: ObjectMeta,
    ips: Vec<Ip>,
    ports: Vec<Opening>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Opening {
    name: String,
    proto: Proto,
    port: u16,
    node_port: Option<u16>,
}

#[derive(Debug)]
struct Slice {
    service: Name,
    /// Port name, protocol, port.
    ports: Vec<(String, Proto, u16)>,
    ips: Vec<Ip>,
}

/// A service with its backends.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) uid: Arc<str>,
    front: Front,
    backends: Vec<Backend>,
}

// === impl Services ===

impl Services {
    pub(super) fn apply(&mut self, uid: Arc<str>, service: &Service, when: Instant) {
        let front = Front::of(uid, service);
        let name = name_of(&front.meta);
        self.by_name.insert(name.clone(), front);
        self.change(name, when);
    }

    /// Forgets a service, unless another has its name by now.
    pub(super) fn delete(&mut self, uid: &str) {
        self.by_name.retain(|_, front| &*front.uid != uid);
    }

    pub(super) fn keep_services(&mut self, uids: &BTreeSet<&str>) {
        self.by_name.retain(|_, front| uids.contains(&*front.uid));
    }

    pub(super) fn apply_slice(&mut self, uid: Arc<str>, slice: &EndpointSlice, when: Instant) {
        let labels = slice.metadata.labels.as_ref();
        let Some(service) = labels.and_then(|labels| labels.get(SERVICE_NAME)) else { return };
        let namespace = slice.metadata.namespace.clone().unwrap_or_default();
        let slice = Slice::of((namespace, service.clone()), slice);
        self.change(slice.service.clone(), when);
        self.slices.insert(uid, slice);
    }

    pub(super) fn delete_slice(&mut self, uid: &str, when: Instant) {
        if let Some(slice) = self.slices.remove(uid) {
            self.change(slice.service, when);
        }
    }

    pub(super) fn keep_slices(&mut self, uids: &BTreeSet<&str>, when: Instant) {
        let gone: Vec<_> =
            self.slices.keys().filter(|uid| !uids.contains(&***uid)).cloned().collect();
        for uid in gone {
            self.delete_slice(&uid, when);
        }
    }

    /// Services that changed, whole, and when the first of their changes was.
    pub(super) fn take_changed(&mut self) -> Vec<(Whole, Instant)> {
        let mut all: BTreeMap<&Name, Vec<&Slice>> = BTreeMap::new();
        let changed = std::mem::take(&mut self.changed);
        for slice in self.slices.values().filter(|slice| changed.contains_key(&slice.service)) {
            all.entry(&slice.service).or_default().push(slice);
        }
        let whole = changed.iter().filter_map(|(name, when)| {
            let front = self.by_name.get(name)?.clone();
            let slices = all.get(name).map_or(&[][..], Vec::as_slice);
            let backends = backends(&front, slices);
            Some((Whole { uid: front.uid.clone(), front, backends }, *when))
        });
        whole.collect()
    }

    /// Changes that come together are one, since the first of them.
    fn change(&mut self, name: Name, when: Instant) {
        self.changed.entry(name).or_insert(when);
    }
}

// === impl Front ===

impl Front {
    fn of(uid: Arc<str>, service: &Service) -> Self {
        let spec = service.spec.as_ref();
        let is_name = spec.is_some_and(|s| s.type_.as_deref() == Some("ExternalName"));
        let spec = spec.filter(|_| !is_name);
        let ingress = service.status.as_ref().and_then(|s| s.load_balancer.as_ref());
        let ingress = ingress.and_then(|balancer| balancer.ingress.as_ref());
        let cluster = spec.into_iter().flat_map(|s| s.cluster_ips.iter().flatten());
        let single = spec.and_then(|s| s.cluster_ip.as_ref());
        let external = spec.into_iter().flat_map(|s| s.external_ips.iter().flatten());
        let balanced = ingress.into_iter().flatten().filter_map(|ingress| ingress.ip.as_ref());
        let all = cluster.chain(single).chain(external).chain(balanced);
        // "None" of a headless service is no address.
        let mut ips: Vec<Ip> = all.filter_map(|ip| ip.parse().ok()).collect();
        ips.sort_unstable();
        ips.dedup();
        let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
        let ports = spec.into_iter().flat_map(|s| s.ports.iter().flatten()).filter_map(|port| {
            Some(Opening {
                name: port.name.clone().unwrap_or_default(),
                proto: protocol_of(port.protocol.as_deref())?,
                port: number(port.port)?,
                node_port: port.node_port.and_then(number),
            })
        });
        let meta = ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            creation_timestamp: service.metadata.creation_timestamp.clone(),
            ..ObjectMeta::default()
        };
        Self { uid, meta, ips, ports: ports.collect() }
    }
}

// === impl Slice ===

impl Slice {
    fn of(service: Name, slice: &EndpointSlice) -> Self {
        let ports = slice.ports.iter().flatten().filter_map(|port| {
            let number = u16::try_from(port.port?).ok()?;
            let name = port.name.clone().unwrap_or_default();
            Some((name, protocol_of(port.protocol.as_deref())?, number))
        });
        let takes_calls = |conditions: &k8s_openapi::api::discovery::v1::EndpointConditions| {
            // Not ready is nobody's target, but one that ends still serves what it has.
            conditions.ready.unwrap_or(true) || conditions.serving.unwrap_or(false)
        };
        let endpoints =
            slice.endpoints.iter().filter(|e| e.conditions.as_ref().is_none_or(takes_calls));
        let ips = endpoints.flat_map(|e| &e.addresses).filter_map(|ip| ip.parse().ok());
        Self { service, ports: ports.collect(), ips: ips.collect() }
    }
}

/// A port of a service leads to the port of its slices that has its name.
fn backends(front: &Front, slices: &[&Slice]) -> Vec<Backend> {
    let mut backends = BTreeSet::new();
    for slice in slices {
        for (name, proto, port) in &slice.ports {
            let fronts = front.ports.iter().filter(|p| p.name == *name && p.proto == *proto);
            for front_port in fronts.map(|p| p.port) {
                let at = |ip: &Ip| Backend { front_port, proto: *proto, ip: *ip, port: *port };
                backends.extend(slice.ips.iter().map(at));
            }
        }
    }
    if backends.len() > MOST_BACKENDS {
        let (name, backends) = (name_of(&front.meta), backends.len());
        tracing::warn!(?name, backends, most = MOST_BACKENDS, "backends of a service are left out");
    }
    backends.into_iter().take(MOST_BACKENDS).collect()
}

/// The versions to tell: since when it has its addresses, and since when these backends.
pub(super) fn versions(
    service: &Whole,
    last: Option<&OwnerRecord>,
    when: Instant,
    settings: &Settings,
) -> Vec<OwnerRecord> {
    let front = &service.front;
    if front.ips.is_empty() && front.ports.iter().all(|port| port.node_port.is_none()) {
        // Headless: nobody dials it. If it had addresses, it has them no more.
        let open = last.filter(|last| last.valid.to == Nanos::MAX);
        let ended = open.map(|last| OwnerRecord {
            valid: last.valid.ended(when.since, when.at),
            ..last.clone()
        });
        return ended.into_iter().collect();
    }
    let made = created(&front.meta, when);
    let with = |valid: ValidTime, backends: &[Backend]| {
        let ports = front.ports.iter();
        let mut declared: Vec<_> =
            ports.clone().map(|p| DeclaredPort { proto: p.proto, port: p.port }).collect();
        declared.sort_unstable();
        declared.dedup();
        let opened = ports.filter_map(|p| {
            Some(NodePort { proto: p.proto, node_port: p.node_port?, port: p.port })
        });
        OwnerRecord {
            ips: front.ips.clone(),
            ports: declared,
            node_ports: opened.collect(),
            backends: backends.to_vec(),
            ..blank(settings, &service.uid, OwnerKind::Service, &front.meta, valid)
        }
    };
    let now = ValidTime { from_lo: when.since, ..ValidTime::since(when.at) };
    match last {
        Some(last) => {
            let same = with(last.valid, &service.backends);
            let is_same = OwnerRecord { observed_at: last.observed_at, ..same } == *last;
            let is_same = is_same && last.valid.to == Nanos::MAX;
            if is_same { Vec::new() } else { vec![with(now, &service.backends)] }
        }
        None if service.backends.is_empty() || made.saturating_add(FRESH) >= when.at => {
            vec![with(ValidTime::since(made), &service.backends)]
        }
        // It may have had any backends before: it is told of without.
        None => vec![
            with(ValidTime::between(made, when.at), &[]),
            with(ValidTime::since(when.at), &service.backends),
        ],
    }
}

fn name_of(meta: &ObjectMeta) -> Name {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
