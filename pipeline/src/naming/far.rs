//! What a half says of its other end.

use std::sync::Arc;

use portolan_model::{Entity, EntityKind, Ip, ScopeId};
use smallvec::SmallVec;

use crate::pool::{Pool, Print, Printer};

/// Ports that say no more than the protocol does, and are left out of names (C.5).
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// What a half says of its other end, in texts of its own or of whoever asks. They are empty where nothing is said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Far<T = Arc<str>> {
    pub(crate) scope: ScopeId,
    pub(crate) environment: T,
    pub(crate) peer: T,
    pub(crate) peer_namespace: T,
    /// Name or address as the half has it.
    pub(crate) address: T,
    pub(crate) port: u16,
    /// The address, or the network address behind the name.
    pub(crate) ip: Ip,
    pub(crate) ip_port: u16,
    pub(crate) db_system: T,
    pub(crate) db_name: T,
    pub(crate) messaging_system: T,
    pub(crate) destination: T,
}

// === impl Far ===

impl Far<&str> {
    /// The pool of such, with nothing said as its number 0.
    pub(crate) fn pool() -> Pool<Far> {
        let nothing = Far::<&str>::default();
        Pool::new(nothing.print(&mut Printer::default()), nothing.keep())
    }

    /// Its number in a pool.
    pub(crate) fn number(&self, pool: &mut Pool<Far>, printer: &mut Printer) -> u32 {
        pool.number(self.print(printer), || self.keep())
    }

    fn print(&self, printer: &mut Printer) -> Print {
        let Self {
            scope,
            environment,
            peer,
            peer_namespace,
            address,
            port,
            ip,
            ip_port,
            db_system,
            db_name,
            messaging_system,
            destination,
        } = self;
        let texts = [environment, peer, peer_namespace, address, db_system, db_name]
            .into_iter()
            .chain([messaging_system, destination]);
        let texts: SmallVec<[&str; 8]> = texts.copied().collect();
        let [ip_high, ip_low] = [ip.0 >> 64, ip.0].map(|half| half as u64);
        let ports = u64::from(*port) << 16 | u64::from(*ip_port);
        printer.print(&texts, &[u64::from(scope.0), ip_high, ip_low, ports])
    }

    fn keep(&self) -> Far {
        Far {
            scope: self.scope,
            environment: self.environment.into(),
            peer: self.peer.into(),
            peer_namespace: self.peer_namespace.into(),
            address: self.address.into(),
            port: self.port,
            ip: self.ip,
            ip_port: self.ip_port,
            db_system: self.db_system.into(),
            db_name: self.db_name.into(),
            messaging_system: self.messaging_system.into(),
            destination: self.destination.into(),
        }
    }
}

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

    /// A database, or something outside that has a name.
    pub(super) fn by_name(&self) -> Option<Entity> {
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
        if address.is_empty() || self.is_bare() {
            return None;
        }
        Some(plain(EntityKind::External, &address, &"".into()))
    }

    /// The address, where it is all that is said.
    pub(super) fn stranger(&self) -> Option<Ip> {
        (self.is_bare() && !self.ip.is_none()).then_some(self.ip)
    }

    fn is_bare(&self) -> bool {
        self.address.is_empty() || self.address.parse::<Ip>().is_ok()
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
