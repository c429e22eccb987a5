//! Differences between two judgements of one connection, as rows and as news for the joins.

use portolan_model::{
    Counters, EdgeDelta, EdgeKey, Measure, Nanos, PathDelta, PathKey, PathKind, Plain, Socket, Via,
    Window,
};

use rustc_hash::FxHashMap;

use crate::{HopChange, LandingChange};

use super::addrs::Addrs;
use super::judge::Emitted;
use super::key::{ConnKey, End};

/// What an epoch comes to in the resolver: rows are added up here, on the core that judges, so that
/// a busy edge is one row for whoever comes next.
#[derive(Default)]
pub(super) struct Emission {
    pub(super) edges: FxHashMap<EdgeKey, EdgeDelta>,
    pub(super) legs: Vec<PathDelta>,
    pub(super) hops: Vec<HopChange>,
    pub(super) landings: Vec<LandingChange>,
    /// Bytes, and connections opened, by how sure their ends are.
    pub(super) resolved: [Resolved; 7],
}

/// See [`Emission::resolved`].
#[derive(Copy, Clone, Default)]
pub(super) struct Resolved {
    pub(super) bytes: i64,
    pub(super) connections: i64,
}

/// Emits what changed between two judgements of one connection.
pub(super) fn difference(
    addrs: &Addrs,
    key: ConnKey,
    old: Option<&Emitted>,
    new: Option<&Emitted>,
    window: Window,
    out: &mut Emission,
) {
    if old == new {
        return;
    }
    for (emitted, sign) in [(old, -1), (new, 1)] {
        let Some(emitted) = emitted else { continue };
        let counters = &emitted.counters;
        let of = &mut out.resolved[emitted.certainty.resolution as usize];
        of.bytes += sign * (counters[Measure::BytesSent] + counters[Measure::BytesReceived]);
        of.connections += sign * counters[Measure::Connections];
    }
    match (old, new) {
        (Some(old), Some(new))
            if (old.key, old.leg, old.certainty) == (new.key, new.leg, new.certainty) =>
        {
            let mut counters = new.counters;
            counters.subtract(&old.counters);
            push(new, &counters, (new.first_ns, new.last_ns), out);
        }
        _ => {
            if let Some(old) = old {
                let mut counters = Plain::ZERO;
                counters.subtract(&old.counters);
                push(old, &counters, (Nanos::MAX, 0), out);
            }
            if let Some(new) = new {
                push(new, &new.counters, (new.first_ns, new.last_ns), out);
            }
        }
    }
    emit_joins(addrs, key, old, new, window, out);
}

fn push(of: &Emitted, counters: &Plain, (first_ns, last_ns): (Nanos, Nanos), out: &mut Emission) {
    let none = || EdgeDelta { key: of.key, counters: Counters::ZERO, first_ns, last_ns };
    let row = out.edges.entry(of.key).or_insert_with(none);
    row.counters.add_plain(counters, of.certainty);
    row.first_ns = row.first_ns.min(first_ns);
    row.last_ns = row.last_ns.max(last_ns);
    if let Some(evidence) = of.leg {
        let key = PathKey {
            window: of.key.window,
            layer: of.key.layer,
            client: of.key.client,
            server: of.key.server,
            proto: of.key.proto,
            front_port: of.key.port,
            port: of.key.port,
            via: Via::new(),
            kind: PathKind::Leg,
            evidence,
        };
        let counters = counters.with(of.certainty);
        out.legs.push(PathDelta { key, counters, first_ns, last_ns });
    }
}

/// Tells the collapser what changed for its joins.
fn emit_joins(
    addrs: &Addrs,
    key: ConnKey,
    old: Option<&Emitted>,
    new: Option<&Emitted>,
    window: Window,
    out: &mut Emission,
) {
    let sockets = |e: &Emitted| {
        let socket = |end: End| {
            let addr = addrs.get(end.addr);
            (addr.scope, Socket::new(addr.ip, end.port))
        };
        let (scope, client) = socket(key.end(e.client));
        (scope, client, socket(key.end(e.client.other())).1)
    };
    let proto = key.proto();
    let turned = old.zip(new).is_none_or(|(o, n)| o.client != n.client);
    for (e, gone) in [(old, true), (new, false)] {
        let Some(e) = e else { continue };
        let (scope, client, server) = sockets(e);
        let superseded = gone && !turned;
        let still = |f: fn(&Emitted) -> bool| superseded && new.is_some_and(f);
        if e.hop.is_some() && !still(|n| n.hop.is_some()) {
            let state = if gone { None } else { e.hop.clone() };
            out.hops.push(HopChange { scope, proto, client, hop: server, window, state });
        }
        let same_landing = !turned
            && old
                .zip(new)
                .filter(|(o, n)| o.landing && n.landing)
                .is_some_and(|(o, n)| (o.key.server, o.sampler) == (n.key.server, n.sampler));
        if e.landing && !same_landing && !still(|n| n.landing) {
            let entity = if gone { None } else { Some(e.key.server) };
            let sampler = e.sampler;
            let landing = LandingChange {
                scope,
                proto,
                client,
                server,
                window,
                entity,
                sampler,
                provisional: e.provisional,
            };
            out.landings.push(landing);
        }
    }
}
