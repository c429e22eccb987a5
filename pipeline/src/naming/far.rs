//! What a half says of its other end.

use std::sync::Arc;

use portolan_model::{Entity, EntityKind, Ip, ScopeId};

use crate::resolver::unowned;

/// Ports that say no more than the protocol does, and are left out of names (C.5).
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// What a half says of its other end. Texts are empty where nothing is said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Far {
    pub(crate) scope: ScopeId,
    pub(crate) environment: Arc<str>,
    pub(crate) peer: Arc<str>,
    pub(crate) peer_namespace: Arc<str>,
    /// Name or address as the half has it.
    pub(crate) address: Arc<str>,
    pub(crate) port: u16,
    /// The address, or the network address behind the name.
    pub(crate) ip: Ip,
    pub(crate) ip_port: u16,
    pub(crate) db_system: Arc<str>,
    pub(crate) db_name: Arc<str>,
    pub(crate) messaging_system: Arc<str>,
    pub(crate) destination: Arc<str>,
}

// === impl Far ===

impl Far {
    /// Whether nothing at all is said.
    pub(crate) fn is_blank(&self) -> bool {
        self.peer.is_empty()
            && self.address.is_empty()
            && self.ip.is_none()
            && self.db_system.is_empty()
            && self.destination.is_empty()
    }

    /// Whether naming it asks the directory.
    pub(crate) fn asks(&self) -> bool {
        self.peer.is_empty() && !self.ip.is_none()
    }

    /// The service that is named, if any: where a database is spoken of, that one.
    pub(super) fn peer(&self) -> Option<Entity> {
        (!self.peer.is_empty()).then(|| Entity {
            environment: self.environment.clone(),
            namespace: self.peer_namespace.clone(),
            name: self.peer.clone(),
            kind: if self.db_system.is_empty() {
                EntityKind::Service
            } else {
                store(&self.db_system)
            },
            detail: self.db_system.clone(),
        })
    }

    /// The service that a name in a cluster's DNS is of: `name.namespace.svc`, and what a cluster
    /// appends. A database goes by its address, like those outside of clusters.
    pub(super) fn in_cluster(&self) -> Option<Entity> {
        let mut parts = self.address.trim_end_matches('.').split('.');
        let (name, namespace) = (parts.next()?, parts.next()?);
        let is_service = parts.next() == Some("svc") && !name.is_empty() && !namespace.is_empty();
        (is_service && self.db_system.is_empty()).then(|| Entity {
            environment: self.environment.clone(),
            namespace: namespace.into(),
            name: name.into(),
            kind: EntityKind::Service,
            detail: "".into(),
        })
    }

    /// The topic, or the broker.
    pub(super) fn topic(&self) -> Option<Entity> {
        let (kind, name): (_, Arc<str>) = if self.destination.is_empty() {
            (EntityKind::Broker, self.peer.clone())
        } else if &*self.destination == TEMPORARY {
            (EntityKind::Topic, format!("{}/{TEMPORARY}", self.messaging_system).into())
        } else {
            (EntityKind::Topic, self.destination.clone())
        };
        let environment = self.environment.clone();
        let detail = self.messaging_system.clone();
        (!name.is_empty()).then(|| Entity { environment, namespace: "".into(), name, kind, detail })
    }

    /// A database, or something outside, by its address.
    pub(super) fn by_address(&self, environment: &Arc<str>) -> Option<Entity> {
        let bare_ip = self.address.is_empty() || self.address.parse::<Ip>().is_ok();
        let address = match self.port {
            _ if self.address.is_empty() && self.ip.is_none() => String::new(),
            _ if self.address.is_empty() => with_port(&self.ip.to_string(), self.ip_port),
            port => with_port(&self.address, port),
        };
        let plain = |kind, name: &str, detail: &Arc<str>| Entity {
            environment: self.environment.clone(),
            namespace: "".into(),
            name: name.into(),
            kind,
            detail: detail.clone(),
        };
        if !self.db_system.is_empty() {
            let at = if address.is_empty() { &*self.db_system } else { &address };
            let name = if self.db_name.is_empty() {
                at.to_owned()
            } else {
                format!("{at}/{}", self.db_name)
            };
            return Some(plain(store(&self.db_system), &name, &self.db_system));
        }
        if address.is_empty() {
            return None;
        }
        if bare_ip {
            // The same entity as flows to the address have.
            return Some(unowned(environment, self.ip));
        }
        Some(plain(EntityKind::External, &address, &"".into()))
    }
}

/// What the decoders write for topics that are made for one use.
const TEMPORARY: &str = "(temporary)";

/// What kind of store a database system is.
fn store(system: &str) -> EntityKind {
    match system {
        "redis" | "memcached" | "valkey" | "dragonfly" | "keydb" => EntityKind::Cache,
        _ => EntityKind::Database,
    }
}

fn with_port(host: &str, port: u16) -> String {
    match port {
        0 => host.to_owned(),
        port if DEFAULT_PORTS.contains(&port) => host.to_owned(),
        port if host.contains(':') => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    }
}
