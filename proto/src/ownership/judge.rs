//! Which records are ownership: names, addresses, ports and times that mean something.

use std::sync::Arc;

use portolan_model::{
    Backend, DeclaredPort, Ip, Nanos, NodePort, OwnerEvent, OwnerKind, OwnerRecord, Phase, Proto,
    Reject, ValidTime,
};

use crate::{MAX_AHEAD_NANOS, Refused, v1};

/// The longest name: what Kubernetes allows for any object is 253 (RFC 1123).
pub const MAX_NAME_BYTES: usize = 255;

/// The most addresses, ranges, ports or backends of one record. Kubernetes stops at 1,000 endpoints
/// a slice, and load balancers at 5,000 targets.
pub const MAX_LIST: usize = 10_000;

/// The event that a record says.
pub(crate) fn judge(
    record: &v1::OwnershipRecord,
    default_scope: &Arc<str>,
    received: Nanos,
) -> Result<OwnerEvent, Refused> {
    let scope = match record.scope.as_str() {
        "" => default_scope.clone(),
        scope => name("scope", scope)?,
    };
    let observed_at = observed_at(record, received)?;
    let operation = v1::Operation::try_from(record.operation)
        .map_err(|_| bad(format!("operation {} is not known", record.operation)))?;
    if operation == v1::Operation::Heartbeat {
        return Ok(OwnerEvent::Heartbeat { scope, watermark: observed_at });
    }
    if operation == v1::Operation::Gap {
        let from = nanos(record.valid_from).ok_or_else(|| bad("valid_from is absent"))?;
        let to = nanos(record.valid_to).unwrap_or(observed_at);
        if to <= from {
            return Err(bad("valid_to is not after valid_from"));
        }
        return Ok(OwnerEvent::Gap { scope, from, to });
    }
    let uid = name("uid", &record.uid)?;
    if uid.is_empty() {
        return Err(bad("uid is empty"));
    }
    if operation == v1::Operation::Delete {
        let at = nanos(record.valid_to).unwrap_or(observed_at);
        let at_hi = nanos(record.valid_to_hi).unwrap_or(at);
        if at_hi < at {
            return Err(bad("valid_to_hi is before valid_to"));
        }
        return Ok(OwnerEvent::Delete { scope, uid, at, at_hi });
    }
    owner(record, scope, uid, observed_at).map(|owner| OwnerEvent::Upsert(Box::new(owner)))
}

fn owner(
    record: &v1::OwnershipRecord,
    scope: Arc<str>,
    uid: Arc<str>,
    observed_at: Nanos,
) -> Result<OwnerRecord, Refused> {
    let phase = phase(record.phase)?;
    if record.name.is_empty() && record.owner_name.is_empty() {
        return Err(bad("name and owner_name are both empty"));
    }
    let optional = |field: &str, text: &str| match text {
        "" => Ok(Ip::NONE),
        text => ip(field, text),
    };
    Ok(OwnerRecord {
        scope,
        uid,
        kind: kind(record.kind)?,
        environment: name("environment", &record.environment)?,
        namespace: name("namespace", &record.namespace)?,
        name: name("name", &record.name)?,
        owner_name: name("owner_name", &record.owner_name)?,
        owner_kind: name("owner_kind", &record.owner_kind)?,
        node: optional("node_ip", &record.node_ip)?,
        host_network: record.host_network,
        phase,
        ips: list("ips", &record.ips, |text| ip("ips", text))?,
        cidrs: list("cidrs", &record.cidrs, |text| cidr(text))?,
        ports: list("ports", &record.ports, |p| port("ports", p))?,
        backends: list("backends", &record.backends, backend)?,
        node_ports: list("node_ports", &record.node_ports, node_port)?,
        host_ports: list("host_ports", &record.host_ports, |p| port("host_ports", p))?,
        observer: optional("observer_ip", &record.observer_ip)?,
        valid: valid(record, phase, observed_at)?,
        observed_at,
    })
}

/// When the source saw it; never ahead of the arrival by more than clocks can differ, for the later
/// of two records about one version wins, and a record from next year would win all year.
fn observed_at(record: &v1::OwnershipRecord, received: Nanos) -> Result<Nanos, Refused> {
    let at = nanos(record.observed_at).filter(|at| *at > 0).unwrap_or(received);
    if at > received.saturating_add(MAX_AHEAD_NANOS) {
        let ahead = (at - received) / 1_000_000_000;
        return Err(Refused::new(Reject::Future, format!("observed_at is {ahead} s ahead")));
    }
    Ok(at)
}

fn valid(
    record: &v1::OwnershipRecord,
    phase: Phase,
    observed_at: Nanos,
) -> Result<ValidTime, Refused> {
    let from = nanos(record.valid_from).unwrap_or(observed_at);
    let from_lo = nanos(record.valid_from_lo).unwrap_or(from);
    // An owner that ended has lost its addresses, at the latest when that was seen.
    let ended = (phase != Phase::Running).then(|| observed_at.max(from));
    let to = nanos(record.valid_to).or(ended).unwrap_or(Nanos::MAX);
    let to_hi = nanos(record.valid_to_hi).unwrap_or(to);
    if to < from {
        return Err(Refused::new(Reject::EndsBeforeStart, "valid_to is before valid_from"));
    }
    if from_lo > from {
        return Err(bad("valid_from_lo is after valid_from"));
    }
    if to_hi < to {
        return Err(bad("valid_to_hi is before valid_to"));
    }
    Ok(ValidTime { from, to, from_lo, to_hi })
}

fn nanos(time: Option<v1::Time>) -> Option<Nanos> {
    time.map(|time| time.unix_ns)
}

pub(super) fn kind(number: i32) -> Result<OwnerKind, Refused> {
    let kind = v1::OwnerKind::try_from(number);
    Ok(match kind.map_err(|_| bad(format!("kind {number} is not known")))? {
        v1::OwnerKind::Pod => OwnerKind::Pod,
        v1::OwnerKind::Node => OwnerKind::Node,
        v1::OwnerKind::Service => OwnerKind::Service,
        v1::OwnerKind::LoadBalancer => OwnerKind::LoadBalancer,
        v1::OwnerKind::Host => OwnerKind::Host,
        v1::OwnerKind::External => OwnerKind::External,
        v1::OwnerKind::NatGateway => OwnerKind::NatGateway,
        v1::OwnerKind::Database => OwnerKind::Database,
        v1::OwnerKind::Cache => OwnerKind::Cache,
        v1::OwnerKind::Broker => OwnerKind::Broker,
        v1::OwnerKind::DnsName => OwnerKind::DnsName,
    })
}

pub(super) fn phase(number: i32) -> Result<Phase, Refused> {
    let phase = v1::Phase::try_from(number);
    Ok(match phase.map_err(|_| bad(format!("phase {number} is not known")))? {
        v1::Phase::Running => Phase::Running,
        v1::Phase::Succeeded => Phase::Succeeded,
        v1::Phase::Failed => Phase::Failed,
    })
}

fn name(field: &str, text: &str) -> Result<Arc<str>, Refused> {
    if text.len() > MAX_NAME_BYTES {
        let bytes = text.len();
        return Err(bad(format!("{field} has {bytes} bytes, at most {MAX_NAME_BYTES}")));
    }
    if text.contains(char::is_control) {
        return Err(bad(format!("{field} has control characters")));
    }
    Ok(text.into())
}

fn list<T, U>(
    field: &str,
    items: &[T],
    read: impl Fn(&T) -> Result<U, Refused>,
) -> Result<Vec<U>, Refused> {
    if items.len() > MAX_LIST {
        let many = items.len();
        return Err(bad(format!("{field} has {many} entries, at most {MAX_LIST}")));
    }
    items.iter().map(read).collect()
}

fn ip(field: &str, text: &str) -> Result<Ip, Refused> {
    match text.parse::<Ip>() {
        Ok(ip) if !ip.is_none() => Ok(ip),
        _ => Err(bad(format!("{field}: {text:?} is not an address"))),
    }
}

/// A range, or a single address as the narrowest range. Bits after the prefix are cleared, and a
/// range of mapped addresses (`::ffff:10.0.0.0/104`) is the IPv4 range.
fn cidr(text: &str) -> Result<(Ip, u8), Refused> {
    let parsed = || -> Option<(Ip, u8)> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let ip = address.parse::<Ip>().ok()?;
        let is_v4 = ip.as_v4().is_some();
        let bits = if is_v4 { 32 } else { 128 };
        let mut prefix = match prefix {
            Some(prefix) => prefix.parse::<u8>().ok()?,
            None => bits,
        };
        if is_v4 && address.contains(':') && text.contains('/') {
            prefix = prefix.checked_sub(96)?;
        }
        (prefix <= bits).then(|| (ip.masked(prefix), prefix))
    };
    parsed().ok_or_else(|| bad(format!("cidrs: {text:?} is not an address range")))
}

fn port(field: &str, port: &v1::Port) -> Result<DeclaredPort, Refused> {
    let proto = protocol(&port.protocol)?;
    Ok(DeclaredPort { proto, port: port_number(field, port.port, proto)? })
}

fn node_port(port: &v1::NodePort) -> Result<NodePort, Refused> {
    let proto = protocol(&port.protocol)?;
    let number = |number| port_number("node_ports", number, proto);
    Ok(NodePort { proto, node_port: number(port.node_port)?, port: number(port.port)? })
}

fn backend(backend: &v1::Backend) -> Result<Backend, Refused> {
    let proto = protocol(&backend.protocol)?;
    let front_port = u16::try_from(backend.front_port)
        .map_err(|_| bad(format!("backends: front_port {} is not a port", backend.front_port)))?;
    let port = port_number("backends", backend.port, proto)?;
    Ok(Backend { front_port, proto, ip: ip("backends", &backend.ip)?, port })
}

fn protocol(text: &str) -> Result<Proto, Refused> {
    if text.is_empty() {
        return Ok(Proto::TCP);
    }
    Proto::parse(text).ok_or_else(|| bad(format!("protocol {text:?} is not known")))
}

/// A port; 0 only where the protocol has none.
fn port_number(field: &str, number: u32, proto: Proto) -> Result<u16, Refused> {
    match u16::try_from(number) {
        Ok(port) if port > 0 || !proto.has_ports() => Ok(port),
        _ => Err(bad(format!("{field}: {number} is not a port"))),
    }
}

pub(super) fn bad(detail: impl Into<String>) -> Refused {
    Refused::new(Reject::BadField, detail)
}
