//! What agents see, and how it gets out: twice, late or out of order, where that is asked for.

use portolan_model::{FlowRow, Nanos, ScopeId, Xlat};
use rand::Rng;

use super::{Cluster, MS};
use crate::connection::{Connection, Slice, Tuple};
use crate::events::{Event, Outgoing};
use crate::truth::Addition;
use crate::wire::Observed;

/// Longest that a record is held back to arrive out of order, in milliseconds: within the ordinary
/// jitter of agents' batching.
const REORDER_MAX_MS: u64 = 2_000;
/// Least delay of a record that counts as late.
const LATE_MIN_MS: u64 = 5_000;

impl Cluster {
    /// An agent looks at a connection.
    pub(super) fn look(&mut self, number: u64, view: usize, now: Nanos) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if connection.views[view].due != now {
            return;
        }
        let slices = connection.look(view, now);
        let seen = connection.clone();
        let watcher = seen.views[view];
        // What no record of its own time names, a reader has to take for the node's own.
        let mut named = seen.named && slices[0].is_none();
        for tuple in seen.tuples(watcher.front) {
            let Some(slice) = slices[tuple.direction] else { continue };
            let kept = self.sample(&seen, view, tuple.direction, slice);
            let outgoing = self.observe(&seen, view, tuple, slice, kept.unwrap_or(slice));
            if kept.is_none() {
                self.count(&outgoing);
                continue;
            }
            let names = outgoing.record.row.xlat.is_some();
            let told = self.send(outgoing, now);
            named |= told && names;
            if told && !named && !tuple.front && seen.masked.is_some() {
                self.ledger.unnamed(seen.server_row);
            }
        }
        if named && let Some(connection) = self.connections.get_mut(&number) {
            connection.named = true;
        }
        if !self.watch(number, view) {
            self.forget(number, view);
        }
    }

    /// What the agent keeps of a slice, if it keeps any of it.
    fn sample(&mut self, it: &Connection, view: usize, dir: usize, whole: Slice) -> Option<Slice> {
        let watcher = &it.views[view];
        let sampling = self.agents[watcher.node as usize].sampling;
        if sampling <= 1 {
            return Some(whole);
        }
        let rng = &mut self.random.faults;
        let keep = || rng.random_ratio(1, sampling);
        let kept = it.streams[dir].thin(whole.from, whole.from + whole.packets, keep)?;
        let (start, end) = (watcher.at(dir, kept.start), watcher.at(dir, kept.end));
        Some(Slice { start, end, ..kept })
    }

    /// The record that tells `told`, where truth counts `whole`.
    fn observe(
        &self,
        it: &Connection,
        view: usize,
        tuple: Tuple,
        whole: Slice,
        told: Slice,
    ) -> Outgoing {
        let watcher = &it.views[view];
        let agent = &self.agents[watcher.node as usize];
        let clock = |at: Nanos| at.saturating_add_signed(agent.skew);
        // Only the tuple that was translated has the translation (flow semantics, section 3.1).
        let rewritten = agent.xlat && tuple.front && tuple.direction == 0;
        let xlat = rewritten.then_some(Xlat {
            src: it.onward().ip,
            src_port: it.onward().port,
            dst: it.server.ip,
            dst_port: it.server.port,
        });
        let row = FlowRow {
            scope: ScopeId::default(),
            src: tuple.src.ip,
            dst: tuple.dst.ip,
            src_port: tuple.src.port,
            dst_port: tuple.dst.port,
            proto: it.proto,
            start: clock(told.start),
            end: clock(told.end),
            bytes: told.bytes,
            packets: told.packets.into(),
            flags: told.flags,
            agent: agent.ip,
            rtt: it.rtt,
            xlat,
            sampling: if agent.sampling > 1 { agent.sampling } else { 0 },
            ..FlowRow::default()
        };
        // The first interface that sees a packet: the pod's own one for what the pod sends, the
        // node's for what comes from elsewhere, both as entering the host. Of a translated
        // connection the far half of each tuple pair is first seen on its way out.
        let translated = it.is_translated() && watcher.front;
        let egress = translated && tuple.front == (tuple.direction == 1);
        let from_pod = (tuple.direction == 0) == watcher.front;
        let on_node = if translated { !tuple.front } else { !from_pod };
        let interface = if on_node { 0 } else { (tuple.src.ip.0 ^ tuple.dst.ip.0) as u32 };
        let record = Observed { row, egress, interface };
        let rows =
            if tuple.front { [it.front_row, None] } else { [Some(it.server_row), it.folded_row] };
        let tells = match (it.masked, tuple.front) {
            (Some(_), true) => [it.front_row, it.folded_row],
            (Some(_), false) => [Some(it.server_row), None],
            (None, _) => rows,
        };
        let adds = Addition {
            direction: tuple.direction,
            bytes: whole.bytes,
            opens: whole.opens && tuple.direction == 0,
            start: clock(whole.start),
            end: clock(whole.end),
        };
        let others = it.views.iter().filter(|other| other.node != watcher.node);
        let twin = others.map(|other| self.agents[other.node as usize].sampling).max();
        let (counts, twin) = (watcher.designated, twin.unwrap_or(1));
        Outgoing { record, adds, rows, tells, counts, twin }
    }

    /// Sends a record, or holds it back, or does either twice; false if it is lost.
    fn send(&mut self, outgoing: Outgoing, now: Nanos) -> bool {
        let features = self.spec.features;
        let rng = &mut self.random.faults;
        if features.lost_permille > 0 && rng.random_range(0..1_000) < features.lost_permille {
            for row in outgoing.rows.into_iter().flatten().filter(|_| outgoing.counts) {
                self.ledger.lost(row);
                // What is left of it is the other agent's word, which is an estimate if it samples: one
                // packet of what was lost then stands for many.
                self.ledger.sampled(row, outgoing.twin);
            }
            self.count(&outgoing);
            return false;
        }
        let chance = rng.random_range(0..1_000);
        let held = if chance < features.late_permille {
            rng.random_range(LATE_MIN_MS..=u64::from(features.late_max_ms))
        } else if chance < features.late_permille + features.reorder_permille {
            rng.random_range(1..=REORDER_MAX_MS)
        } else {
            0
        };
        if rng.random_range(0..1_000) < features.duplicate_permille {
            let again = Outgoing { counts: false, ..outgoing };
            let after = rng.random_range(0..=REORDER_MAX_MS);
            self.queue.push(now + (held + after) * MS, Event::Release(Box::new(again)));
        }
        if held > 0 {
            self.queue.push(now + held * MS, Event::Release(Box::new(outgoing)));
        } else {
            self.leave(&outgoing);
        }
        true
    }

    /// A record leaves the fleet; truth counts it.
    pub(super) fn leave(&mut self, outgoing: &Outgoing) {
        self.outbox.flow(&outgoing.record);
        for row in outgoing.tells.into_iter().flatten() {
            self.ledger.seen(row);
        }
        self.count(outgoing);
    }

    /// Truth counts a record, whether it leaves or not.
    fn count(&mut self, outgoing: &Outgoing) {
        for row in outgoing.rows.into_iter().flatten().filter(|_| outgoing.counts) {
            self.ledger.add(row, &outgoing.adds);
            if outgoing.record.row.sampling > 1 {
                self.ledger.sampled(row, outgoing.record.row.sampling);
            }
        }
    }

    /// A view has seen all; the last one takes the connection away.
    fn forget(&mut self, number: u64, view: usize) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.views[view].due = Nanos::MAX;
        if connection.views.iter().any(|view| view.due != Nanos::MAX) {
            return;
        }
        for pod in connection.ends.into_iter().flatten() {
            self.world.pods[pod].open.remove(&number);
        }
        self.connections.remove(&number);
    }

    /// Closes a connection at `at`, and its other legs beyond balancers.
    pub(super) fn hang_up(&mut self, number: u64, at: Nanos) {
        let pairs = self.connections.get(&number).map(|connection| connection.pairs.clone());
        for number in std::iter::once(number).chain(pairs.into_iter().flatten()) {
            let Some(connection) = self.connections.get_mut(&number) else { continue };
            if connection.end() <= at {
                continue;
            }
            connection.cut(at);
            for view in 0..connection.views.len() {
                self.hurry(number, view);
            }
        }
    }

    /// A view's next look may have come nearer.
    fn hurry(&mut self, number: u64, view: usize) {
        let done = self.connections.get(&number).is_none_or(|c| c.views[view].due == Nanos::MAX);
        if !done && !self.watch(number, view) {
            self.forget(number, view);
        }
    }
}
