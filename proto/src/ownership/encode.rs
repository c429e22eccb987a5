//! Ownership back to the wire: what the simulated fleet and the tests publish.

use portolan_model::{
    Backend, DeclaredPort, Ip, Nanos, NodePort, OwnerEvent, OwnerKind, OwnerRecord, Phase,
};

use crate::v1;

/// The record that says this version, with nothing left to defaults.
pub fn encode_owner(owner: &OwnerRecord) -> v1::OwnershipRecord {
    v1::OwnershipRecord {
        scope: owner.scope.to_string(),
        uid: owner.uid.to_string(),
        operation: v1::Operation::Upsert.into(),
        kind: kind(owner.kind).into(),
        environment: owner.environment.to_string(),
        namespace: owner.namespace.to_string(),
        name: owner.name.to_string(),
        owner_name: owner.owner_name.to_string(),
        owner_kind: owner.owner_kind.to_string(),
        node_ip: address(owner.node),
        host_network: owner.host_network,
        phase: phase(owner.phase).into(),
        ips: owner.ips.iter().map(Ip::to_string).collect(),
        cidrs: owner.cidrs.iter().map(|(ip, prefix)| format!("{ip}/{prefix}")).collect(),
        ports: owner.ports.iter().copied().map(port).collect(),
        backends: owner.backends.iter().map(backend).collect(),
        node_ports: owner.node_ports.iter().copied().map(node_port).collect(),
        host_ports: owner.host_ports.iter().copied().map(port).collect(),
        observer_ip: address(owner.observer),
        observed_at: at(owner.observed_at),
        valid_from: at(owner.valid.from),
        valid_to: (owner.valid.to != Nanos::MAX).then(|| at(owner.valid.to)).flatten(),
        valid_from_lo: at(owner.valid.from_lo),
        valid_to_hi: at(owner.valid.to_hi),
    }
}

/// The record that says this event.
pub fn encode_event(event: &OwnerEvent) -> v1::OwnershipRecord {
    match event {
        OwnerEvent::Upsert(owner) => encode_owner(owner),
        OwnerEvent::Delete { scope, uid, at: gone, at_hi } => v1::OwnershipRecord {
            scope: scope.to_string(),
            uid: uid.to_string(),
            operation: v1::Operation::Delete.into(),
            observed_at: at(*gone),
            valid_to: at(*gone),
            valid_to_hi: at(*at_hi),
            ..v1::OwnershipRecord::default()
        },
        OwnerEvent::Heartbeat { scope, watermark } => v1::OwnershipRecord {
            scope: scope.to_string(),
            operation: v1::Operation::Heartbeat.into(),
            observed_at: at(*watermark),
            ..v1::OwnershipRecord::default()
        },
        OwnerEvent::Gap { scope, from, to } => v1::OwnershipRecord {
            scope: scope.to_string(),
            operation: v1::Operation::Gap.into(),
            observed_at: at(*to),
            valid_from: at(*from),
            valid_to: at(*to),
            ..v1::OwnershipRecord::default()
        },
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the fields of the message are optional")]
fn at(unix_ns: Nanos) -> Option<v1::Time> {
    Some(v1::Time { unix_ns })
}

fn address(ip: Ip) -> String {
    if ip == Ip::NONE { String::new() } else { ip.to_string() }
}

fn node_port(port: NodePort) -> v1::NodePort {
    v1::NodePort {
        node_port: port.node_port.into(),
        protocol: port.proto.to_string(),
        port: port.port.into(),
    }
}

fn port(port: DeclaredPort) -> v1::Port {
    v1::Port { port: port.port.into(), protocol: port.proto.to_string(), name: String::new() }
}

fn backend(backend: &Backend) -> v1::Backend {
    v1::Backend {
        ip: backend.ip.to_string(),
        port: backend.port.into(),
        protocol: backend.proto.to_string(),
        front_port: backend.front_port.into(),
    }
}

fn kind(kind: OwnerKind) -> v1::OwnerKind {
    match kind {
        OwnerKind::Pod => v1::OwnerKind::Pod,
        OwnerKind::Node => v1::OwnerKind::Node,
        OwnerKind::Service => v1::OwnerKind::Service,
        OwnerKind::LoadBalancer => v1::OwnerKind::LoadBalancer,
        OwnerKind::Host => v1::OwnerKind::Host,
        OwnerKind::External => v1::OwnerKind::External,
        OwnerKind::NatGateway => v1::OwnerKind::NatGateway,
        OwnerKind::Database => v1::OwnerKind::Database,
        OwnerKind::Cache => v1::OwnerKind::Cache,
        OwnerKind::Broker => v1::OwnerKind::Broker,
        OwnerKind::DnsName => v1::OwnerKind::DnsName,
    }
}

fn phase(phase: Phase) -> v1::Phase {
    match phase {
        Phase::Running => v1::Phase::Running,
        Phase::Succeeded => v1::Phase::Succeeded,
        Phase::Failed => v1::Phase::Failed,
    }
}
