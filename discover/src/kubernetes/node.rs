//! Nodes: their addresses, for as long as the object lives.

use k8s_openapi::api::core::v1::Node;
use portolan_model::{Ip, Nanos, OwnerKind, OwnerRecord, ValidTime};

use super::{Instant, Settings, blank, created};

/// The version that the object says; none while it has no address.
pub(super) fn version(
    node: &Node,
    uid: &str,
    last: Option<&OwnerRecord>,
    when: Instant,
    settings: &Settings,
) -> Option<OwnerRecord> {
    let addresses = node.status.as_ref()?.addresses.as_deref().unwrap_or_default();
    let numeric = addresses.iter().filter(|a| matches!(&*a.type_, "InternalIP" | "ExternalIP"));
    let mut ips: Vec<Ip> = numeric.filter_map(|a| a.address.parse().ok()).collect();
    ips.sort_unstable();
    ips.dedup();
    if ips.is_empty() {
        return None;
    }
    let valid = match last {
        Some(last) if last.ips == ips && last.valid.to == Nanos::MAX => last.valid,
        // It had others: these came at the earliest when it was last seen with them.
        Some(_) => ValidTime { from_lo: when.since, ..ValidTime::since(when.at) },
        // A machine has its addresses before it joins a cluster.
        None => ValidTime::since(created(&node.metadata, when)),
    };
    Some(OwnerRecord { ips, ..blank(settings, uid, OwnerKind::Node, &node.metadata, valid) })
}
