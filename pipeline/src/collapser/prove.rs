//! What proves where a connection towards a hop went (flow semantics, sections 4.1 to 4.4).

use std::cell::LazyCell;
use std::sync::Arc;

use portolan_model::{
    EntityId, Evidence, HopClass, Layer, PathKey, PathKind, Proto, Socket, Via, Window,
};
use smallvec::{SmallVec, smallvec};

use crate::resolver::single;
use crate::{HopConnection, HopTarget, Sampler};

use super::emit::Emitted;

/// Where a client socket came out.
#[derive(Copy, Clone)]
pub(super) struct Landed {
    /// 0 in the window that is asked for, 1 in those beside it.
    pub(super) distance: u8,
    pub(super) socket: Socket,
    pub(super) entity: EntityId,
    pub(super) sampler: Sampler,
}

/// Whether the agent that shows a connection towards a service address shows it behind that too.
pub(super) fn shows_both(state: &HopConnection, landings: &[Landed]) -> bool {
    let rewritten = state.rewrite.as_ref().map(|(target, _)| target.socket);
    let is_target = |socket: Socket| match rewritten {
        Some(to) => to == socket,
        None => state.targets.iter().any(|t| t.socket == socket),
    };
    state.class == HopClass::ClusterIp
        && landings.iter().any(|it| it.sampler == state.sampler && is_target(it.socket))
}

/// Where a connection towards a hop went, if that is proven. `again` says that its agent shows what
/// comes out of service addresses too.
pub(super) fn path(
    window: Window,
    proto: Proto,
    hop: Socket,
    state: &Arc<HopConnection>,
    landings: &[Landed],
    again: bool,
) -> Option<Emitted> {
    let (target, mut kind, evidence) = landed(state, landings).or_else(|| proven(state))?;
    if again && state.class == HopClass::ClusterIp {
        kind = PathKind::Explained;
    }
    if target.entity == state.hop || target.via.contains(&state.hop) {
        return None;
    }
    let mut via: Via = smallvec![state.hop];
    via.extend(target.via);
    Some(Emitted {
        key: PathKey {
            window,
            layer: Layer::Network,
            client: state.client,
            server: target.entity,
            proto,
            front_port: if proto.has_ports() { hop.port } else { 0 },
            port: target.port,
            via,
            kind,
            evidence,
        },
        leg: kind == PathKind::Moved && state.beyond == Some(target.entity),
        of: state.clone(),
    })
}

/// The same client socket was seen towards a target of the hop.
fn landed(state: &HopConnection, landings: &[Landed]) -> Option<(HopTarget, PathKind, Evidence)> {
    let rewritten = state.rewrite.as_ref().map(|(target, _)| target.socket);
    // Backends may be told late. A new one is known by whose it is, where all are of one owner:
    // taking it for another connection would count this one twice.
    let only = LazyCell::new(|| single(&state.targets).filter(|target| target.via.is_empty()));
    let is_one_of_them = |socket: &Socket, entity: EntityId| {
        only.as_ref().is_some_and(|only| (only.entity, only.port) == (entity, socket.port))
    };
    let is_target = |socket: &Socket, entity: EntityId| match rewritten {
        Some(to) => to == *socket,
        None => state.targets.iter().any(|t| t.socket == *socket) || is_one_of_them(socket, entity),
    };
    let mut candidates = landings.iter().filter(|it| is_target(&it.socket, it.entity));
    let first = candidates.next()?;
    // Two owners behind one client socket: the nearer window decides, or nobody does.
    let nearest = landings
        .iter()
        .filter(|it| is_target(&it.socket, it.entity) && it.distance == first.distance);
    let mut entities: SmallVec<[EntityId; 2]> = nearest.map(|it| it.entity).collect();
    entities.dedup();
    let [entity] = entities[..] else { return None };
    let evidence = if rewritten.is_some() { Evidence::Rewrite } else { Evidence::Alias };
    let (socket, port) = (first.socket, first.socket.port);
    let target = HopTarget { socket, entity, via: Via::new(), port };
    Some((target, PathKind::Explained, evidence))
}

/// Nobody saw it come out, but there is only one place where it can have.
fn proven(state: &HopConnection) -> Option<(HopTarget, PathKind, Evidence)> {
    if let Some((target, evidence)) = &state.rewrite {
        return Some((target.clone(), PathKind::Moved, *evidence));
    }
    let target = single(&state.targets)?;
    Some((target, PathKind::Moved, Evidence::Declared))
}
