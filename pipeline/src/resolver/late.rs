//! Late knowledge: who the ends of a connection were may be told after its window is forgotten (flow
//! semantics, section 1.4).
//!
//! ```text
//! window ─► (horizon) ─► only what is in doubt ─► (late horizon) ─► sums by address
//!                          judged again               counted when a claim comes
//! ```
//!
//! When a window is forgotten, its connections with a doubtful end are kept as they are. A claim that comes
//! judges them again, and the difference is emitted, as ever. After the late horizon history stands: what a
//! claim would have changed is counted instead.

use std::sync::Arc;

use portolan_model::{EntityId, Ip, Measure, Nanos, Resolution, ScopeId, Window};
use rustc_hash::FxHashMap;

use crate::directory::{Changed, Found, Lookup};

use super::emit::{Emission, difference};
use super::judge::{Emitted, Judge};
use super::key::{ConnKey, Side};
use super::party::Seen;
use super::table::Table;
use super::tables::Tables;
use super::{FlowResolver, Sampler};

/// Most sums of what can no longer be moved: some 200 bytes each.
const MOST_PAST: usize = 65_536;

/// See the module.
#[derive(Default)]
pub(super) struct Late {
    /// Behind this window's start nothing is kept, from `until` on everything is.
    pub(super) from: Window,
    until: Window,
    pub(super) tables: Tables,
    past: FxHashMap<(ScopeId, Ip), Vec<Past>>,
    past_len: usize,
    pub(super) tally: Missed,
}

/// What an address counted for in a window, when the late horizon passed.
struct Past {
    look: Lookup,
    id: EntityId,
    bytes: i64,
    connections: i64,
}

/// What came too late, in an epoch.
#[derive(Default)]
pub(super) struct Missed {
    /// Of these a claim told otherwise, after the late horizon.
    pub(super) bytes: i64,
    pub(super) connections: i64,
    /// Connections in doubt that were given up before it, because of the bound.
    pub(super) folded_early: i64,
    /// Connections in doubt of which no claim will be noticed any more, because of the bound.
    pub(super) unwatched: i64,
}

// === impl Late ===

impl Late {
    /// The table of a window that is forgotten, if it still has a connection.
    pub(super) fn table_of(&mut self, window: Window, key: ConnKey) -> Option<&mut Table> {
        if window >= self.until {
            return None;
        }
        self.tables.get_mut(window).filter(|table| table.has(key))
    }

    /// How many connections are kept.
    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(|(_, table)| table.len()).sum()
    }

    /// Takes over what is in doubt of a window that is forgotten.
    fn keep(&mut self, window: Window, table: &mut Table) {
        for place in std::mem::take(&mut table.doubtful) {
            let conn = &mut table.conns[place];
            if conn.emitted.as_ref().is_none_or(|it| !it.provisional) {
                continue;
            }
            let key = table.keys[place as usize];
            self.tables.open(window, Table::default).put(key, std::mem::take(conn));
        }
    }

    /// Notes what an address counted for: once a window.
    fn note(&mut self, look: Lookup, id: EntityId, bytes: i64, connections: i64) {
        let of = self.past.entry((look.scope, look.ip)).or_default();
        let same = |it: &&mut Past| (it.look.at, it.id) == (look.at, id);
        if let Some(known) = of.iter_mut().find(same) {
            known.bytes += bytes;
            known.connections += connections;
            return;
        }
        if self.past_len >= MOST_PAST {
            self.tally.unwatched += connections;
            if of.is_empty() {
                self.past.remove(&(look.scope, look.ip));
            }
            return;
        }
        self.past_len += 1;
        of.push(Past { look, id, bytes, connections });
    }
}

// === impl FlowResolver ===

impl FlowResolver {
    /// Keeps what is in doubt of windows that are forgotten, and lets go of what is too old or too much.
    pub(super) fn keep_doubtful(&mut self, forgotten: &mut [(Window, Table)], watermark: Nanos) {
        for (window, table) in forgotten {
            self.late.keep(*window, table);
        }
        self.late.until = self.folded;
        let behind = self.window.window(watermark.saturating_sub(self.late_horizon));
        self.late.from = self.late.from.max(behind);
        let mut len = self.late.len();
        let mut early = 0;
        for (window, table) in self.late.tables.iter() {
            if window >= self.late.from {
                if len <= self.max_late {
                    break;
                }
                early += table.len() as i64;
                self.late.from = window.next(self.window);
            }
            len -= table.len();
        }
        self.late.tally.folded_early += early;
        let gone: Vec<_> = self.late.tables.forget_before(self.late.from).collect();
        for (window, table) in gone {
            self.note_past(window, &table);
        }
    }

    /// Up to when all scopes that flows are in have been told of, of those whose sources say so. One that lags by more
    /// than the late horizon is waited for no longer.
    pub(super) fn told(&self, watermark: Nanos) -> Nanos {
        let told = self.addrs.scopes().iter().filter_map(|scope| self.directory.told_until(*scope));
        let waited_for = |told: &Nanos| told.saturating_add(self.late_horizon) > watermark;
        told.filter(waited_for).min().unwrap_or(Nanos::MAX)
    }

    /// Notes what connections whose late horizon has passed counted for, by their doubtful end.
    fn note_past(&mut self, window: Window, table: &Table) {
        for (key, conn) in table.iter() {
            let (Some(emitted), Some(seen)) =
                (conn.emitted.as_ref(), Seen::of(conn, window, &self.addrs))
            else {
                continue;
            };
            let judge = self.judge_of(window);
            let doubtful = [Side::Low, Side::High].into_iter().find_map(|side| {
                let mut look = judge.look(*key, &seen, side, conn.begin);
                // One sum a window: the connections of an address in it are told apart no more.
                (look.at, look.until) = (window.start(), window.start());
                let found = judge.addrs.get(key.end(side).addr).claims();
                let certain = match judge.directory.find(found, &look) {
                    Found::One(_, resolution) => !resolution.is_provisional(),
                    Found::Builtin(_) => true,
                    Found::Many(_) => false,
                    Found::Nobody => !look.ip.is_private(),
                };
                let id =
                    if side == emitted.client { emitted.key.client } else { emitted.key.server };
                (!certain).then_some((look, id))
            });
            let Some((look, id)) = doubtful else { continue };
            let bytes =
                emitted.counters[Measure::BytesSent] + emitted.counters[Measure::BytesReceived];
            self.late.note(look, id, bytes, emitted.counters[Measure::Connections]);
        }
    }

    /// Counts what claims that came now would have changed, had they come in time.
    pub(super) fn count_missed(&mut self, changed: &Changed) {
        if self.late.past.is_empty() {
            return;
        }
        for &index in &changed.addrs {
            let claims = self.directory.at(index);
            let Some(past) = self.late.past.get_mut(&(claims.scope, claims.ip)) else { continue };
            let before = past.len();
            let tally = &mut self.late.tally;
            past.retain(|it| {
                let moved = match self.directory.find(Some(index), &it.look) {
                    Found::One(owner, found) => {
                        found == Resolution::Exact && self.directory.owner(owner).id != it.id
                    }
                    _ => false,
                };
                if moved {
                    tally.bytes += it.bytes;
                    tally.connections += it.connections;
                }
                !moved
            });
            self.late.past_len -= before - past.len();
        }
        self.late.past.retain(|_, past| !past.is_empty());
    }

    /// Judges again what is kept and was touched, as it was judged when more was known of it.
    pub(super) fn judge_late(&mut self, out: &mut Emission) {
        // In order of time: how a window ends may matter to the next.
        let windows: Vec<Window> = self.late.tables.iter().map(|(window, _)| window).collect();
        for window in windows {
            let table = self.late.tables.get_mut(window).filter(|table| table.any_touched());
            let Some(mut table) = table.map(std::mem::take) else { continue };
            let mut carried = Vec::new();
            let mut places = table.take_touched();
            places.sort_by_cached_key(|place| self.addrs.names(table.keys[*place as usize]));
            for place in places {
                let key = table.keys[place as usize];
                let conn = &mut table.conns[place];
                let was = (conn.open_after, conn.begin);
                let mut judge = self.judge_of(window);
                let mut new = judge.judge(key, conn);
                let alone = !judge.is_beside(key);
                if let (Some(old), Some(new)) = (conn.emitted.as_ref(), &mut new) {
                    let unseen = conn.tallies.iter().all(|tally| tally.from != new.client);
                    as_it_was(old, new, (alone, unseen));
                }
                if (conn.open_after, conn.begin) != was {
                    carried.push(key);
                }
                let old = conn.emitted.as_ref();
                difference(&self.addrs, key, old, new.as_ref(), window, out);
                conn.emitted = new;
            }
            for later in self.late.tables.after_mut(window) {
                for key in &carried {
                    later.touch_key(*key);
                }
            }
            *self.late.tables.open(window, Table::default) = table;
        }
    }

    /// A judge of a window of which only some is remembered.
    fn judge_of(&mut self, window: Window) -> Judge<'_> {
        Judge {
            directory: &self.directory,
            addrs: &self.addrs,
            names: &mut self.names,
            window,
            len: self.window,
            tables: &self.late.tables,
            beside: Some(&self.tables),
            tolerance: self.tolerance,
            rewritten_to: &self.rewritten_to,
            masks: &self.masks,
            agents: &self.agents,
            learned: &mut self.learned,
            mixed: self.mixed,
            doubted: false,
            forgotten: false,
        }
    }
}

/// Keeps what rests on what is remembered no more: what windows beside this one saw of the opening, where the
/// connection is alone now, what agents sampled, and where hops let it out.
fn as_it_was(old: &Emitted, new: &mut Emitted, (alone, unseen): (bool, bool)) {
    if old.client != new.client {
        new.hop = None;
        return;
    }
    if old.sampler != Sampler::NONE || new.sampler != Sampler::NONE {
        new.counters = old.counters;
    } else if alone {
        let opened = Measure::Connections;
        // Of an opening that was not seen here, whether it was elsewhere; of one that was, whether it was answered.
        if unseen {
            new.counters[opened] = old.counters[opened];
        }
        let (was, failed) = (old.counters[opened], Measure::ConnectionsFailed);
        if new.counters[opened] == was {
            new.counters[failed] = new.counters[failed].min(old.counters[failed]);
        }
    }
    // Where it came out of what turns out to be a hop only now was not kept: to move it there might count it
    // twice. It stays on the map as what was dialled.
    new.hop = new.hop.take().filter(|_| old.hop.is_some());
    if let Some(hop) = &mut new.hop {
        Arc::make_mut(hop).counters = new.counters;
    }
}
