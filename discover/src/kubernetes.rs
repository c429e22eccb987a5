//! What is known of one cluster, and what of it is new to tell.
//!
//! Every version of an owner is told by records of its own `(scope, uid, from)`, the last of which
//! holds all of it, its end included: a topic may be compacted by that key and nothing is lost. An
//! owner is never told of as deleted; its last version is told again with its end.
//!
//! Invariants:
//! 1. Certain is only what was seen, or what the object says of itself; what may have been while
//!    nobody watched is possible: `[last seen, seen again)`.
//! 2. An end is that of one uid; what has the address next is another's.
//! 3. Records of one cluster are observed at instants that only rise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use portolan_model::{Nanos, OwnerKey, OwnerKind, OwnerRecord, ValidTime};

mod node;
mod owner;
mod pod;
mod service;
#[cfg(test)]
mod tests;
mod watch;

use service::Services;
use watch::Watch;

/// How a cluster is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address space of its pods, services and nodes.
    pub scope: Arc<str>,
    /// The environment of its entities.
    pub environment: Arc<str>,
    /// How long versions that ended are remembered, and kept in a compacted topic.
    pub keep: Nanos,
}

/// What is watched.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Pods.
    Pods,
    /// Services.
    Services,
    /// Endpoint slices.
    Slices,
    /// Nodes.
    Nodes,
}

/// An object as the API server has it.
#[derive(Clone, Debug)]
pub enum Object {
    /// A pod.
    Pod(Box<Pod>),
    /// A service.
    Service(Box<Service>),
    /// Some of the endpoints of a service.
    Slice(Box<EndpointSlice>),
    /// A node.
    Node(Box<Node>),
}

/// What was seen, and when.
#[derive(Clone, Debug)]
pub enum Input {
    /// All objects there are.
    Listed {
        /// Of what.
        resource: Resource,
        /// All of them.
        objects: Vec<Object>,
        /// When the list was complete.
        at: Nanos,
    },
    /// A watch goes on from where it, or the list, was.
    Connected {
        /// Of what.
        resource: Resource,
        /// When.
        at: Nanos,
    },
    /// An object came, or changed.
    Applied {
        /// It.
        object: Object,
        /// When that was seen.
        at: Nanos,
    },
    /// An object is gone.
    Deleted {
        /// As it was last.
        object: Object,
        /// When that was seen.
        at: Nanos,
    },
    /// The server says that it has told everything, or ended the watch in order.
    Current {
        /// Of what.
        resource: Resource,
        /// When.
        at: Nanos,
    },
    /// Time passes.
    Tick {
        /// Now.
        at: Nanos,
    },
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// This version, as it is known now.
    Version(Box<OwnerRecord>),
    /// Nobody asks for this version any more.
    Forget(OwnerKey),
    /// Nobody watched the scope in `[from, to)`.
    Gap {
        /// Since when.
        from: Nanos,
        /// Until when.
        to: Nanos,
    },
    /// Everything up to then has been told.
    Heartbeat {
        /// Up to when.
        watermark: Nanos,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Cluster {
    settings: Settings,
    owners: BTreeMap<Arc<str>, Known>,
    /// Versions that ended, by when.
    ended: BTreeSet<(Nanos, OwnerKey)>,
    services: Services,
    watches: BTreeMap<Resource, Watch>,
    /// When the watch was last heard of before this process, if it is known.
    before: Nanos,
    /// Observation of what was told last.
    clock: Nanos,
    beat: Nanos,
    /// The last gap that was told: all watches may have the same.
    gap: (Nanos, Nanos),
    told: Vec<Told>,
}

/// An owner.
#[derive(Clone, Debug)]
struct Known {
    /// Its last version.
    last: OwnerRecord,
    /// Start of its first version.
    first: Nanos,
}

/// When a change was: at the latest, and at the earliest.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Instant {
    since: Nanos,
    at: Nanos,
}

// === impl Resource ===

impl Resource {
    /// All that is watched.
    pub const ALL: [Self; 4] = [Self::Pods, Self::Services, Self::Slices, Self::Nodes];

    /// The kind of the owners that are told of it; slices are part of their service.
    fn kind(self) -> Option<OwnerKind> {
        match self {
            Self::Pods => Some(OwnerKind::Pod),
            Self::Services => Some(OwnerKind::Service),
            Self::Nodes => Some(OwnerKind::Node),
            Self::Slices => None,
        }
    }
}

// === impl Object ===

impl Object {
    /// What it is.
    pub fn resource(&self) -> Resource {
        match self {
            Self::Pod(_) => Resource::Pods,
            Self::Service(_) => Resource::Services,
            Self::Slice(_) => Resource::Slices,
            Self::Node(_) => Resource::Nodes,
        }
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Pod(pod) => &pod.metadata,
            Self::Service(service) => &service.metadata,
            Self::Slice(slice) => &slice.metadata,
            Self::Node(node) => &node.metadata,
        }
    }
}

// === impl Cluster ===

impl Cluster {
    /// A cluster of which nothing is known.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            owners: BTreeMap::new(),
            ended: BTreeSet::new(),
            services: Services::default(),
            watches: Resource::ALL.map(|resource| (resource, Watch::default())).into(),
            before: 0,
            clock: 0,
            beat: 0,
            gap: (0, 0),
            told: Vec::new(),
        }
    }

    /// Takes in what was told before this process began: versions …
    pub fn recall(&mut self, version: OwnerRecord) {
        self.clock = self.clock.max(version.observed_at);
        let from = version.valid.from;
        let before = self.owners.get(&version.uid).map(|known| known.last.valid);
        if let Some(before) = before.filter(|before| before.from == from) {
            self.ended.remove(&(before.to_hi, version.key()));
        }
        if version.valid.to != Nanos::MAX {
            self.ended.insert((version.valid.to_hi, version.key()));
        }
        if let Some(known) = self.owners.get_mut(&version.uid) {
            known.first = known.first.min(from);
            if from >= known.last.valid.from {
                known.last = version;
            }
        } else {
            let known = Known { last: version, first: from };
            self.owners.insert(known.last.uid.clone(), known);
        }
    }

    /// … and up to when it was watched.
    pub fn recall_watch(&mut self, until: Nanos) {
        self.before = self.before.max(until);
        self.beat = self.beat.max(until);
    }

    /// Takes in what was seen, and answers what is to be told of it, in order.
    pub fn see(&mut self, input: Input) -> Vec<Told> {
        match input {
            Input::Listed { resource, objects, at } => self.listed(resource, objects, at),
            Input::Connected { resource, at } => self.watch(resource).connected(at),
            Input::Current { resource, at } => self.watch(resource).current(at),
            Input::Applied { object, at } => {
                let when = self.watch(object.resource()).saw(at);
                self.apply(object, when);
            }
            Input::Deleted { object, at } => {
                let when = self.watch(object.resource()).saw(at);
                self.delete(&object, when);
            }
            Input::Tick { at } => self.tick(at),
        }
        std::mem::take(&mut self.told)
    }

    /// How many owners have not ended.
    pub fn owners(&self) -> usize {
        self.owners.values().filter(|known| known.last.valid.to == Nanos::MAX).count()
    }

    fn watch(&mut self, resource: Resource) -> &mut Watch {
        self.watches.get_mut(&resource).expect("all resources have a watch")
    }

    /// What is not in the list ended while nobody watched.
    fn listed(&mut self, resource: Resource, objects: Vec<Object>, at: Nanos) {
        let before = self.before;
        let when = Instant { since: self.watch(resource).listed(at, before), at };
        let gap = (when.since, at);
        if when.since < at && self.gap != gap {
            self.gap = gap;
            self.told.push(Told::Gap { from: when.since, to: at });
        }
        let uids = objects.iter().filter_map(|object| object.meta().uid.as_deref());
        let there: BTreeSet<&str> = uids.collect();
        let missing = self.owners.values().filter(|known| {
            Some(known.last.kind) == resource.kind() && !there.contains(&*known.last.uid)
        });
        let missing: Vec<Arc<str>> = missing.map(|known| known.last.uid.clone()).collect();
        for uid in missing {
            self.end(&uid, when);
        }
        if resource == Resource::Slices {
            self.services.keep_slices(&there, when);
        } else if resource == Resource::Services {
            self.services.keep_services(&there);
        }
        for object in objects {
            self.apply(object, when);
        }
    }

    fn apply(&mut self, object: Object, when: Instant) {
        let Some(uid) = object.meta().uid.clone() else { return };
        let uid: Arc<str> = uid.into();
        let desired = match object {
            Object::Pod(pod) => {
                let last = self.owners.get(&uid).map(|known| &known.last);
                pod::version(&pod, &uid, last, when, &self.settings)
            }
            Object::Node(node) => {
                let last = self.owners.get(&uid).map(|known| &known.last);
                node::version(&node, &uid, last, when, &self.settings)
            }
            Object::Service(service) => {
                self.services.apply(uid, &service, when);
                None
            }
            Object::Slice(slice) => {
                self.services.apply_slice(uid, &slice, when);
                None
            }
        };
        if let Some(version) = desired {
            self.adopt(version, when);
        }
    }

    fn delete(&mut self, object: &Object, when: Instant) {
        let Some(uid) = object.meta().uid.as_deref() else { return };
        match object {
            Object::Slice(_) => self.services.delete_slice(uid, when),
            Object::Service(_) => {
                self.tell_services();
                self.services.delete(uid);
                self.end(uid, when);
            }
            Object::Pod(_) | Object::Node(_) => self.end(uid, when),
        }
    }

    fn tick(&mut self, at: Nanos) {
        if !self.watches.values().all(Watch::is_listed) {
            return;
        }
        self.tell_services();
        let before = at.saturating_sub(self.settings.keep);
        while let Some((to, key)) = self.ended.first().filter(|(to, _)| *to < before).cloned() {
            self.ended.remove(&(to, key.clone()));
            if self.owners.get(&key.uid).is_some_and(|known| known.last.valid.from == key.from) {
                self.owners.remove(&key.uid);
            }
            self.told.push(Told::Forget(key));
        }
        let alive = self.watches.values().map(Watch::alive).min().unwrap_or(0);
        if alive > self.beat {
            self.beat = alive;
            self.told.push(Told::Heartbeat { watermark: alive });
        }
    }

    /// Tells what changed of services. Held until all is listed: a service without its endpoints is
    /// half a service.
    fn tell_services(&mut self) {
        if !self.watches.values().all(Watch::is_listed) {
            return;
        }
        for (service, when) in self.services.take_changed() {
            let last = self.owners.get(&service.uid).map(|known| &known.last);
            for version in service::versions(&service, last, when, &self.settings) {
                self.adopt(version, when);
            }
        }
    }

    /// The owner is gone.
    fn end(&mut self, uid: &str, when: Instant) {
        let Some(known) = self.owners.get(uid) else { return };
        let last = &known.last;
        if last.valid.to == Nanos::MAX {
            let valid = last.valid.ended(when.since, when.at);
            let ended = OwnerRecord { valid, ..last.clone() };
            self.tell(ended, when.at);
        }
    }

    /// Makes a version the last of its owner, or the first where it says that it has been there for
    /// longer than was known.
    fn adopt(&mut self, version: OwnerRecord, when: Instant) {
        let Some(known) = self.owners.get(&version.uid).cloned() else {
            return self.tell(version, when.at);
        };
        let last = known.last;
        let from = version.valid.from;
        if from < last.valid.from {
            if from < known.first {
                let to = last.valid.from;
                let valid = ValidTime { to, to_hi: to, ..version.valid };
                self.tell(OwnerRecord { valid, ..version.clone() }, when.at);
            }
            let valid =
                ValidTime { from: last.valid.from, from_lo: last.valid.from_lo, ..version.valid };
            let valid = valid.ended(version.valid.to, version.valid.to_hi);
            return self.replace(&last, OwnerRecord { valid, ..version }, when.at);
        }
        if from > last.valid.from && last.valid.to > from {
            let valid = last.valid.ended(when.since.min(from), from);
            self.tell(OwnerRecord { valid, ..last.clone() }, when.at);
        }
        self.replace(&last, version, when.at);
    }

    fn replace(&mut self, last: &OwnerRecord, version: OwnerRecord, at: Nanos) {
        if (OwnerRecord { observed_at: last.observed_at, ..version.clone() }) != *last {
            self.tell(version, at);
        }
    }

    fn tell(&mut self, version: OwnerRecord, at: Nanos) {
        self.clock = at.max(self.clock + 1);
        let version = OwnerRecord { observed_at: self.clock, ..version };
        self.recall(version.clone());
        self.told.push(Told::Version(Box::new(version)));
    }
}

/// A version that nothing is known of but who it is.
fn blank(
    settings: &Settings,
    uid: &str,
    kind: OwnerKind,
    meta: &ObjectMeta,
    valid: ValidTime,
) -> OwnerRecord {
    OwnerRecord {
        environment: settings.environment.clone(),
        namespace: meta.namespace.as_deref().unwrap_or_default().into(),
        name: meta.name.as_deref().unwrap_or_default().into(),
        ..OwnerRecord::blank(&settings.scope, uid, kind, valid)
    }
}

/// Nanoseconds since 1970; 0 for what lies before.
fn nanos(time: &Time) -> Nanos {
    Nanos::try_from(time.0.as_nanosecond()).unwrap_or(0)
}

/// When the object was made, but never after it was seen.
fn created(meta: &ObjectMeta, when: Instant) -> Nanos {
    meta.creation_timestamp.as_ref().map_or(when.since, |time| nanos(time).min(when.at))
}
