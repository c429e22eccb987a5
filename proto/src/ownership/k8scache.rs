//! NetObserv's `k8scache` messages: what its informers tell its processors about pods, nodes and
//! services (`proto/k8scache.proto` of flowlogs-pipeline).
//!
//! They carry less than our own records: no time but that of creation, no ports, no backends. So:
//!
//! - a pod certainly has its addresses since the message, and possibly since it was created: who had
//!   them in between is not taken over;
//! - a node or service has them since it was created;
//! - a pod that terminated is gone, though its object stays; so is what an update deletes. A snapshot
//!   deletes nothing: what it leaves out ends when somebody else gets the address;
//! - a pod that has the address of its node shares it, and claims no address;
//! - addresses of a network of their own live in the scope `udn/SCOPE/NETWORK`.

use portolan_model::{Nanos, Reject};
use prost::Message;

use super::judge::bad;
use crate::{Refused, v1};

#[cfg(test)]
mod tests;

/// `k8scache.CacheUpdate`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CacheUpdate {
    /// Each a [`ResourceEntry`], decoded one at a time: a hostile message has very many.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(super) entries: Vec<Vec<u8>>,
    #[prost(bool, tag = "2")]
    pub(super) is_snapshot: bool,
    #[prost(int32, tag = "4")]
    pub(super) operation: i32,
}

/// `k8scache.ResourceEntry`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceEntry {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) namespace: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) uid: String,
    #[prost(string, tag = "5")]
    pub(super) owner_name: String,
    #[prost(string, tag = "6")]
    pub(super) owner_kind: String,
    #[prost(string, tag = "8")]
    pub(super) host_ip: String,
    #[prost(string, tag = "9")]
    pub(super) network_name: String,
    #[prost(string, repeated, tag = "10")]
    pub(super) ips: Vec<String>,
    #[prost(int64, tag = "14")]
    pub(super) creation_timestamp: i64,
    #[prost(bool, tag = "17")]
    pub(super) terminated: bool,
}

const DELETE: i32 = 3;
/// What the default network is called, where it is called anything.
const PRIMARY: &str = "primary";

/// The records that a message says, each with its place: a `CacheUpdate`, or an entry alone, which
/// begins with its kind.
pub(super) fn each_record(
    scope: &str,
    received: Nanos,
    payload: &[u8],
    take: &mut dyn FnMut(Option<usize>, Result<v1::OwnershipRecord, Refused>),
) {
    if payload.first() == Some(&0x0a) {
        return take(None, record(payload, false, scope, received));
    }
    let CacheUpdate { entries, is_snapshot, operation } = match CacheUpdate::decode(payload) {
        Ok(update) => update,
        Err(error) => return take(None, Err(undecodable(&error))),
    };
    if !is_snapshot && !(0..=DELETE).contains(&operation) {
        return take(None, Err(bad(format!("operation {operation} is not known"))));
    }
    if entries.is_empty() {
        take(None, Err(Refused::new(Reject::Derived, "an update of nothing")));
    }
    let is_delete = operation == DELETE && !is_snapshot;
    for (place, entry) in entries.iter().enumerate() {
        take(Some(place), record(entry, is_delete, scope, received));
    }
}

fn undecodable(error: &prost::DecodeError) -> Refused {
    Refused::new(Reject::Undecodable, error.to_string())
}

fn record(
    entry: &[u8],
    is_delete: bool,
    scope: &str,
    received: Nanos,
) -> Result<v1::OwnershipRecord, Refused> {
    let entry = ResourceEntry::decode(entry).map_err(|error| undecodable(&error))?;
    let kind = match entry.kind.as_str() {
        "Pod" => v1::OwnerKind::Pod,
        "Node" => v1::OwnerKind::Node,
        "Service" => v1::OwnerKind::Service,
        other => return Err(bad(format!("kind {other:?} is not known"))),
    };
    let scope = match entry.network_name.as_str() {
        "" | PRIMARY => String::new(),
        network => format!("udn/{scope}/{network}"),
    };
    let at = |unix_ns: Nanos| Some(v1::Time { unix_ns });
    let base = v1::OwnershipRecord {
        scope,
        uid: entry.uid,
        observed_at: at(received),
        ..v1::OwnershipRecord::default()
    };
    if is_delete || entry.terminated {
        return Ok(v1::OwnershipRecord { operation: v1::Operation::Delete.into(), ..base });
    }
    if entry.ips.is_empty() {
        return Err(Refused::new(Reject::Derived, "it has no address yet"));
    }
    let created = u64::try_from(entry.creation_timestamp).ok().filter(|secs| *secs > 0);
    let created = created.and_then(|secs| secs.checked_mul(1_000_000_000));
    let created = created.map_or(received, |created| created.min(received));
    let is_pod = kind == v1::OwnerKind::Pod;
    Ok(v1::OwnershipRecord {
        operation: v1::Operation::Upsert.into(),
        kind: kind.into(),
        namespace: entry.namespace,
        name: entry.name,
        // What owns itself is no workload of something else.
        owner_name: if is_pod { entry.owner_name } else { String::new() },
        owner_kind: if is_pod { entry.owner_kind } else { String::new() },
        host_network: is_pod && entry.ips.contains(&entry.host_ip),
        node_ip: entry.host_ip,
        ips: entry.ips,
        valid_from: at(if is_pod { received } else { created }),
        valid_from_lo: at(created),
        ..base
    })
}
