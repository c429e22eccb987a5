//! Possible edges: where what is left of a hop may have gone (flow semantics, sections 4.3 and 4.4).
//!
//! What reached a hop, and is not proven to have gone on, came out of it somewhere, if it went on at all. Where
//! anything was seen to come out (a proven path of another caller, or an edge of the hop's own) is where it may have.
//! An edge that is made up so counts nothing and says what it is: with every caller and every target of a hop, most of
//! them are not there.

use std::collections::BTreeMap;

use portolan_model::{Direction, EntityId, HopClass, Layer, PathKey, PathKind, Proto};

use super::{Edge, Link, View};

/// Most edges that are made up in one view; further ones are counted.
const MOST: usize = 65_536;

/// Where something was seen to come out of a hop.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outlet {
    hop: EntityId,
    proto: Proto,
    server: EntityId,
    port: u16,
    /// The hop's port that leads there; absent: any.
    front: Option<u16>,
}

/// The outlets that a path row names.
pub(super) fn of_path(key: &PathKey) -> impl Iterator<Item = Outlet> + '_ {
    let PathKey { proto, server, port, front_port, .. } = *key;
    let via = key.via.iter().filter(|_| key.kind != PathKind::Leg);
    via.enumerate().map(move |(place, hop)| {
        let front = (place == 0).then_some(front_port);
        Outlet { hop: *hop, proto, server, port, front }
    })
}

/// Adds to a view the edges that may be.
pub(super) fn add(
    view: &mut View,
    mut outlets: Vec<Outlet>,
    hop_class: &dyn Fn(EntityId) -> Option<HopClass>,
) {
    let is_seen = |link: &Link| link.layer == Layer::Network && link.direction == Direction::Known;
    let seen = || view.edges.iter().filter(|edge| is_seen(&edge.link));
    outlets.extend(seen().map(|edge| edge.link).filter(|l| hop_class(l.client).is_some()).map(
        |Link { client, server, proto, port, .. }| Outlet {
            hop: client,
            proto,
            server,
            port,
            front: None,
        },
    ));
    outlets.sort_unstable();
    outlets.dedup();
    let mut known: Vec<Link> = view.edges.iter().map(|edge| edge.link).collect();
    known.sort_unstable();
    let mut left: Vec<&Edge> = seen().filter(|e| hop_class(e.link.server).is_some()).collect();
    left.sort_unstable_by_key(|edge| edge.link);
    let mut made: BTreeMap<Link, Edge> = BTreeMap::new();
    let mut left_out = 0;
    for edge in left {
        let Link { server: hop, proto, port: front, .. } = edge.link;
        let from = outlets.partition_point(|outlet| (outlet.hop, outlet.proto) < (hop, proto));
        let there = outlets[from..].iter();
        let there = there.take_while(|outlet| (outlet.hop, outlet.proto) == (hop, proto));
        for outlet in there.filter(|it| it.server != hop && it.front.is_none_or(|p| p == front)) {
            let link = Link { server: outlet.server, port: outlet.port, ..edge.link };
            if known.binary_search(&link).is_ok() {
                continue;
            }
            if made.len() >= MOST && !made.contains_key(&link) {
                left_out += 1;
                continue;
            }
            let may_be = made.entry(link).or_insert_with(|| Edge::nothing(link));
            may_be.first_ns = may_be.first_ns.min(edge.first_ns);
            may_be.last_ns = may_be.last_ns.max(edge.last_ns);
            if !may_be.possible.contains(&hop) {
                may_be.possible.push(hop);
            }
        }
    }
    view.edges.extend(made.into_values());
    view.possible_left_out = left_out;
}
