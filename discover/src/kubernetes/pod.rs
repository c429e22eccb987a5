//! Pods: addresses for as long as their sandbox lives, which is neither as long as the object nor as
//! long as the pod is asked to stop.

use k8s_openapi::api::core::v1::{ContainerPort, ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_model::{DeclaredPort, Ip, Nanos, OwnerKind, OwnerRecord, Phase, Proto, ValidTime};

use super::owner::workload;
use super::{Instant, Settings, blank, created, nanos};

/// The version that the object says; none while it has no address.
pub(super) fn version(
    pod: &Pod,
    uid: &str,
    last: Option<&OwnerRecord>,
    when: Instant,
    settings: &Settings,
) -> Option<OwnerRecord> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    let host_network = spec.host_network == Some(true);
    let node = status.host_ip.as_deref().and_then(|ip| ip.parse().ok()).unwrap_or(Ip::NONE);
    let ips = if host_network { Vec::new() } else { addresses(status) };
    if ips.is_empty() && (!host_network || node.is_none()) {
        return None;
    }
    let phase = match status.phase.as_deref() {
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Running,
    };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let declared: Vec<&ContainerPort> =
        containers.flat_map(|container| container.ports.iter().flatten()).collect();
    let made = created(&pod.metadata, when);
    let (owner_kind, owner_name) = workload(pod, made).unwrap_or_default();
    let valid = valid(status, phase, &ips, last, when, made);
    Some(OwnerRecord {
        owner_name: owner_name.into(),
        owner_kind: owner_kind.into(),
        node,
        host_network,
        phase,
        ips,
        ports: ports(declared.iter().map(|p| (Some(p.container_port), p.protocol.as_deref()))),
        host_ports: if host_network {
            Vec::new()
        } else {
            ports(declared.iter().map(|p| (p.host_port, p.protocol.as_deref())))
        },
        ..blank(settings, uid, OwnerKind::Pod, &pod.metadata, valid)
    })
}

/// When it has its addresses (section 1.2): certainly since it was seen with them, or since its
/// sandbox or a container of it says; possibly since the kubelet took it on.
fn valid(
    status: &PodStatus,
    phase: Phase,
    ips: &[Ip],
    last: Option<&OwnerRecord>,
    when: Instant,
    made: Nanos,
) -> ValidTime {
    let all = status.container_statuses.as_deref().unwrap_or_default();
    let sandbox = sandbox(status);
    let started = started(all).unwrap_or(Nanos::MAX);
    let began =
        sandbox.filter(|(is_there, _)| *is_there).map_or(started, |(_, at)| at.min(started));
    let same = last.filter(|last| last.ips == ips);
    let held_since = same.map_or(started, |same| same.valid.from);
    let end = match (phase, sandbox) {
        (Phase::Running, Some((false, at))) if at > held_since => Some((at, at)),
        (Phase::Running, _) => None,
        // The latest of its containers was the last; or some time since it was last seen running.
        _ => Some(finished(all).map_or((when.since, when.at), |at| (at, at))),
    };
    let begun = status.start_time.as_ref().map_or(made, nanos);
    let (mut from, mut from_lo) = (began.min(when.at), begun);
    if let Some(same) = same.filter(|same| same.valid.to == Nanos::MAX || end.is_some()) {
        from = from.min(same.valid.from);
        from_lo = same.valid.from_lo;
    } else if let Some(last) = last {
        // Another sandbox, after the one before.
        let before = last.valid;
        let free =
            if before.to == Nanos::MAX { before.from + 1 } else { before.to.max(before.from + 1) };
        from = from.max(free);
        from_lo = from_lo.max(free);
    }
    let known = same.map(|same| same.valid).filter(|valid| valid.to != Nanos::MAX);
    let (to, to_hi) = match (end, known) {
        (None, _) => (Nanos::MAX, Nanos::MAX),
        // The first word about its end is kept: later ones only know less.
        (Some(_), Some(known)) => (known.to, known.to_hi),
        (Some((to, to_hi)), None) => (to.min(when.at), to_hi.min(when.at)),
    };
    let from = from.min(to);
    ValidTime { from, to, from_lo: from_lo.min(from), to_hi: to_hi.max(to) }
}

fn addresses(status: &PodStatus) -> Vec<Ip> {
    let all = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let mut ips: Vec<Ip> =
        all.chain(status.pod_ip.as_deref()).filter_map(|ip| ip.parse().ok()).collect();
    ips.sort_unstable();
    ips.dedup();
    ips
}

/// Whether there is a sandbox with a network, and since when there is or is not.
fn sandbox(status: &PodStatus) -> Option<(bool, Nanos)> {
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions.find(|c| c.type_ == "PodReadyToStartContainers")?;
    Some((condition.status == "True", nanos(condition.last_transition_time.as_ref()?)))
}

/// When the first of the containers that run, or ran last, began: it had the address by then.
fn started(containers: &[ContainerStatus]) -> Option<Nanos> {
    let start = |container: &ContainerStatus| -> Option<Time> {
        let state = container.state.as_ref()?;
        let running = state.running.as_ref().and_then(|running| running.started_at.clone());
        running.or_else(|| state.terminated.as_ref()?.started_at.clone())
    };
    containers.iter().filter_map(start).map(|time| nanos(&time)).min()
}

/// When the last container ended.
fn finished(containers: &[ContainerStatus]) -> Option<Nanos> {
    let end = |container: &ContainerStatus| {
        container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(nanos)
    };
    containers.iter().filter_map(end).max().filter(|at| *at > 0)
}

/// Ports that were said, sorted: a port with a protocol, TCP if none is named.
pub(super) fn ports<'a>(
    all: impl Iterator<Item = (Option<i32>, Option<&'a str>)>,
) -> Vec<DeclaredPort> {
    let mut ports: Vec<DeclaredPort> = all
        .filter_map(|(port, protocol)| {
            let port = u16::try_from(port?).ok().filter(|port| *port > 0)?;
            Some(DeclaredPort { proto: protocol_of(protocol)?, port })
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

pub(super) fn protocol_of(name: Option<&str>) -> Option<Proto> {
    name.map_or(Some(Proto::TCP), Proto::parse)
}
