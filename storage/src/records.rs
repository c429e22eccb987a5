//! Keys and values of everything that is not a row: entities, owners, and where the line stands.
//!
//! All of it lives in the keyspace `meta`, so that it is whole or not there at all.

use std::sync::Arc;

use portolan_model::{
    Backend, DeclaredPort, Entity, EntityId, EntityKind, Ip, LearnedPort, Loss, Nanos, NodePort,
    Orientation, OwnerKey, OwnerKind, OwnerRecord, Phase, Position, Proto, TopicPartition,
    ValidTime, Window,
};

use crate::codec::{put_signed, put_str, put_varint, take_signed, take_str, take_u8, take_varint};
use crate::keys::put_text;

mod health;
mod notes;
mod trace;

pub(crate) use health::{health_key, put_health, read_health};
pub(crate) use notes::{
    catalogue_key, change_key, changes_from, put_catalogue, put_change, read_catalogue, read_change,
};
pub(crate) use trace::{put_trace, read_trace, trace_key};

/// First bytes of the keys in `meta`. 0 is the ledger.
pub(crate) const FORMAT: u8 = 1;
pub(crate) const HEAD: u8 = 2;
pub(crate) const POSITION: u8 = 3;
pub(crate) const TALLY: u8 = 4;
pub(crate) const LOSS: u8 = 5;
pub(crate) const TOUCHED: u8 = 6;
pub(crate) const ENTITY: u8 = 7;
pub(crate) const OWNER: u8 = 8;
pub(crate) const MARKS: u8 = 9;
pub(crate) const AGENTS: u8 = 10;
pub(crate) const HOLE: u8 = 11;
pub(crate) const CATALOGUE: u8 = 12;
pub(crate) const CHANGE: u8 = 13;
pub(crate) const HEALTH: u8 = 14;
pub(crate) const TRACE: u8 = 15;
pub(crate) const LEARNED: u8 = 16;

/// Bits of an owner's flags.
const HOST_NETWORK: u8 = 1;
const MORE: u8 = 2;

/// The row of the last commit that is not a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) epoch: u64,
    pub(crate) clock: Nanos,
    pub(crate) watermark: Nanos,
    pub(crate) folded: Window,
    /// Windows before this one are expired, for good.
    pub(crate) expired: Window,
    /// Number of the next loss.
    pub(crate) next_loss: u64,
    /// Number of the last write: an epoch is one, and so is each packed window.
    pub(crate) written: u64,
}

pub(crate) fn put_head(out: &mut Vec<u8>, head: &Head) {
    put_varint(out, head.epoch);
    put_varint(out, head.clock);
    put_varint(out, head.watermark);
    put_varint(out, u64::from(head.folded.0));
    put_varint(out, u64::from(head.expired.0));
    put_varint(out, head.next_loss);
    put_varint(out, head.written);
}

pub(crate) fn read_head(mut bytes: &[u8]) -> Option<Head> {
    let at = &mut bytes;
    let mut head = Head {
        epoch: take_varint(at)?,
        clock: take_varint(at)?,
        watermark: take_varint(at)?,
        folded: Window(take_varint(at)?.try_into().ok()?),
        expired: Window(take_varint(at)?.try_into().ok()?),
        next_loss: take_varint(at)?,
        written: 0,
    };
    // In format 1 every write was an epoch.
    head.written = if at.is_empty() { head.epoch } else { take_varint(at)? };
    at.is_empty().then_some(head)
}

pub(crate) fn entity_key(id: EntityId) -> [u8; 9] {
    numbered(ENTITY, id.0)
}

pub(crate) fn read_entity_key(key: &[u8]) -> Option<EntityId> {
    read_numbered(ENTITY, key).map(EntityId)
}

pub(crate) fn put_entity(out: &mut Vec<u8>, entity: &Entity) {
    out.push(entity.kind.code());
    put_str(out, &entity.environment);
    put_str(out, &entity.namespace);
    put_str(out, &entity.name);
    put_str(out, &entity.detail);
}

pub(crate) fn read_entity(mut bytes: &[u8]) -> Option<Entity> {
    let at = &mut bytes;
    let entity = Entity {
        kind: EntityKind::from_code(take_u8(at)?)?,
        environment: take_str(at)?.into(),
        namespace: take_str(at)?.into(),
        name: take_str(at)?.into(),
        detail: take_str(at)?.into(),
    };
    at.is_empty().then_some(entity)
}

pub(crate) fn put_agents(out: &mut Vec<u8>, agents: &[(Ip, Nanos)]) {
    put_varint(out, agents.len() as u64);
    for (ip, last) in agents {
        put_ip(out, *ip);
        put_varint(out, *last);
    }
}

pub(crate) fn put_learned(out: &mut Vec<u8>, ports: &[LearnedPort]) {
    put_varint(out, ports.len() as u64);
    for LearnedPort { server, proto, port, until, confidence: _ } in ports {
        out.extend_from_slice(&server.0.to_be_bytes());
        out.push(proto.0);
        put_varint(out, u64::from(*port));
        put_varint(out, *until);
    }
    out.extend(ports.iter().map(|port| port.confidence));
}

/// What an earlier version wrote ends before how sure each is: least, as far as it goes.
pub(crate) fn read_learned(mut bytes: &[u8]) -> Option<Vec<LearnedPort>> {
    let at = &mut bytes;
    let port = |at: &mut &[u8]| {
        let (id, rest) = at.split_first_chunk()?;
        *at = rest;
        Some(LearnedPort {
            server: EntityId(u64::from_be_bytes(*id)),
            proto: Proto(take_u8(at)?),
            port: u16::try_from(take_varint(at)?).ok()?,
            until: take_varint(at)?,
            confidence: Orientation::Learned.confidence(),
        })
    };
    let len = take_varint(at)?;
    let mut ports = (0..len).map(|_| port(at)).collect::<Option<Vec<_>>>()?;
    if !at.is_empty() {
        for port in &mut ports {
            port.confidence = take_u8(at)?;
        }
    }
    at.is_empty().then_some(ports)
}

pub(crate) fn read_agents(mut bytes: &[u8]) -> Option<Vec<(Ip, Nanos)>> {
    let at = &mut bytes;
    let len = take_varint(at)?;
    let agents = (0..len).map(|_| Some((take_ip(at)?, take_varint(at)?))).collect::<Option<_>>()?;
    at.is_empty().then_some(agents)
}

/// A loss by its number.
pub(crate) fn loss_key(number: u64) -> [u8; 9] {
    numbered(LOSS, number)
}

pub(crate) fn put_loss(out: &mut Vec<u8>, loss: &Loss) {
    put_partition(out, &loss.partition);
    put_signed(out, loss.from);
    put_signed(out, loss.to);
    put_varint(out, loss.at);
}

pub(crate) fn read_loss(mut bytes: &[u8]) -> Option<Loss> {
    let at = &mut bytes;
    let loss = Loss {
        partition: take_partition(at)?,
        from: take_signed(at)?,
        to: take_signed(at)?,
        at: take_varint(at)?,
    };
    at.is_empty().then_some(loss)
}

/// A position by its partition.
pub(crate) fn position_key(partition: &TopicPartition) -> Vec<u8> {
    let mut key = vec![POSITION];
    put_text(&mut key, &partition.cluster);
    put_text(&mut key, &partition.topic);
    // The flipped sign bit sorts negative numbers first.
    key.extend_from_slice(&(partition.partition as u32 ^ 1 << 31).to_be_bytes());
    key
}

pub(crate) fn put_position(out: &mut Vec<u8>, position: &Position) {
    put_partition(out, &position.partition);
    put_signed(out, position.next);
    put_signed(out, position.reread);
}

pub(crate) fn read_position(mut bytes: &[u8]) -> Option<Position> {
    let at = &mut bytes;
    let position = Position {
        partition: take_partition(at)?,
        next: take_signed(at)?,
        reread: take_signed(at)?,
    };
    at.is_empty().then_some(position)
}

/// A total by its name.
pub(crate) fn tally_key(name: &str) -> Vec<u8> {
    let mut key = vec![TALLY];
    put_text(&mut key, name);
    key
}

pub(crate) fn put_tally(out: &mut Vec<u8>, name: &str, total: i64) {
    put_str(out, name);
    put_signed(out, total);
}

pub(crate) fn read_tally(mut bytes: &[u8]) -> Option<(Arc<str>, i64)> {
    let at = &mut bytes;
    let tally = (take_str(at)?.into(), take_signed(at)?);
    at.is_empty().then_some(tally)
}

/// The last epoch that touched a keyspace, by the keyspace's name.
pub(crate) fn touched_key(keyspace: &str) -> Vec<u8> {
    let mut key = vec![TOUCHED];
    key.extend_from_slice(keyspace.as_bytes());
    key
}

pub(crate) fn owner_key(owner: &OwnerKey) -> Vec<u8> {
    let mut key = vec![OWNER];
    put_text(&mut key, &owner.scope);
    put_text(&mut key, &owner.uid);
    key.extend_from_slice(&owner.from.to_be_bytes());
    key
}

pub(crate) fn put_owner(out: &mut Vec<u8>, owner: &OwnerRecord) {
    put_str(out, &owner.scope);
    put_str(out, &owner.uid);
    out.push(owner.kind as u8);
    put_str(out, &owner.environment);
    put_str(out, &owner.namespace);
    put_str(out, &owner.name);
    put_str(out, &owner.owner_name);
    put_str(out, &owner.owner_kind);
    put_ip(out, owner.node);
    let more = has_more(owner);
    out.push((u8::from(owner.host_network) * HOST_NETWORK) | (u8::from(more) * MORE));
    out.push(owner.phase as u8);
    put_list(out, &owner.ips, |out, ip| put_ip(out, *ip));
    put_list(out, &owner.cidrs, |out, (ip, prefix)| {
        put_ip(out, *ip);
        out.push(*prefix);
    });
    put_list(out, &owner.ports, |out, port| {
        out.push(port.proto.0);
        put_varint(out, u64::from(port.port));
    });
    put_list(out, &owner.backends, |out, backend| {
        put_varint(out, u64::from(backend.front_port));
        out.push(backend.proto.0);
        put_ip(out, backend.ip);
        put_varint(out, u64::from(backend.port));
    });
    put_varint(out, owner.valid.from);
    put_varint(out, owner.valid.to);
    put_varint(out, owner.valid.from_lo);
    put_varint(out, owner.valid.to_hi);
    put_varint(out, owner.observed_at);
    if more {
        put_list(out, &owner.node_ports, |out, port| {
            out.push(port.proto.0);
            put_varint(out, u64::from(port.node_port));
            put_varint(out, u64::from(port.port));
        });
        put_list(out, &owner.host_ports, |out, port| {
            out.push(port.proto.0);
            put_varint(out, u64::from(port.port));
        });
        put_ip(out, owner.observer);
    }
}

/// Whether an owner has what few have: it stands behind the rest, so that the others stay as short as
/// they were.
fn has_more(owner: &OwnerRecord) -> bool {
    !owner.node_ports.is_empty() || !owner.host_ports.is_empty() || !owner.observer.is_none()
}

pub(crate) fn read_owner(mut bytes: &[u8]) -> Option<OwnerRecord> {
    let at = &mut bytes;
    let flags;
    let mut owner = OwnerRecord {
        scope: take_str(at)?.into(),
        uid: take_str(at)?.into(),
        kind: OwnerKind::from_code(take_u8(at)?)?,
        environment: take_str(at)?.into(),
        namespace: take_str(at)?.into(),
        name: take_str(at)?.into(),
        owner_name: take_str(at)?.into(),
        owner_kind: take_str(at)?.into(),
        node: take_ip(at)?,
        host_network: {
            flags = take_u8(at)?;
            flags & HOST_NETWORK != 0
        },
        phase: phase(take_u8(at)?)?,
        ips: take_list(at, take_ip)?,
        cidrs: take_list(at, |at| Some((take_ip(at)?, take_u8(at)?)))?,
        ports: take_ports(at)?,
        backends: take_list(at, |at| {
            Some(Backend {
                front_port: take_port(at)?,
                proto: Proto(take_u8(at)?),
                ip: take_ip(at)?,
                port: take_port(at)?,
            })
        })?,
        valid: ValidTime {
            from: take_varint(at)?,
            to: take_varint(at)?,
            from_lo: take_varint(at)?,
            to_hi: take_varint(at)?,
        },
        node_ports: Vec::new(),
        host_ports: Vec::new(),
        observer: Ip::NONE,
        observed_at: take_varint(at)?,
    };
    if flags & MORE != 0 {
        owner.node_ports = take_list(at, |at| {
            let proto = Proto(take_u8(at)?);
            Some(NodePort { proto, node_port: take_port(at)?, port: take_port(at)? })
        })?;
        owner.host_ports = take_ports(at)?;
        owner.observer = take_ip(at)?;
    }
    at.is_empty().then_some(owner)
}

fn take_ports(at: &mut &[u8]) -> Option<Vec<DeclaredPort>> {
    take_list(at, |at| Some(DeclaredPort { proto: Proto(take_u8(at)?), port: take_port(at)? }))
}

fn phase(code: u8) -> Option<Phase> {
    [Phase::Running, Phase::Succeeded, Phase::Failed].get(usize::from(code)).copied()
}

fn numbered(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn read_numbered(kind: u8, key: &[u8]) -> Option<u64> {
    let (first, number) = key.split_first()?;
    (*first == kind).then_some(u64::from_be_bytes(number.try_into().ok()?))
}

fn put_partition(out: &mut Vec<u8>, partition: &TopicPartition) {
    put_str(out, &partition.cluster);
    put_str(out, &partition.topic);
    put_signed(out, i64::from(partition.partition));
}

fn take_partition(at: &mut &[u8]) -> Option<TopicPartition> {
    Some(TopicPartition {
        cluster: take_str(at)?.into(),
        topic: take_str(at)?.into(),
        partition: take_signed(at)?.try_into().ok()?,
    })
}

/// An address: 4 or 16 bytes behind its length.
fn put_ip(out: &mut Vec<u8>, ip: Ip) {
    if let Some(v4) = ip.as_v4() {
        out.push(4);
        out.extend_from_slice(&v4.to_be_bytes());
    } else {
        out.push(16);
        out.extend_from_slice(&ip.bytes());
    }
}

fn take_ip(at: &mut &[u8]) -> Option<Ip> {
    let len = take_u8(at)?;
    let ip = match len {
        4 => Ip::v4(u32::from_be_bytes(*at.first_chunk()?)),
        16 => Ip::v6(*at.first_chunk()?),
        _ => return None,
    };
    *at = &at[usize::from(len)..];
    Some(ip)
}

fn take_port(at: &mut &[u8]) -> Option<u16> {
    take_varint(at)?.try_into().ok()
}

fn put_list<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    put_varint(out, items.len() as u64);
    for item in items {
        put(out, item);
    }
}

fn take_list<T>(at: &mut &[u8], take: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let len = take_varint(at)?;
    // Every item has a byte at least: a length beyond the bytes is refused before it allocates.
    if len > at.len() as u64 {
        return None;
    }
    (0..len).map(|_| take(at)).collect()
}

#[cfg(test)]
mod tests;
