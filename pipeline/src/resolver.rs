//! Flow resolver: from raw records to raw edges between entities.
//!
//! ```text
//! columns ─► connection by window ─► (barrier) ─► judgement ─► difference to the last one
//!                                        ▲
//! ownership ─────────────────────────────┘
//! ```
//!
//! Records of an epoch are only gathered; owners are asked at the barrier, when all that the epoch
//! brought of them is known. A window is remembered per connection until the watermark has passed
//! its end by the horizon; what comes later is judged on its own.

mod addrs;
mod agents;
mod conflict;
mod emit;
mod forward;
mod gather;
mod judge;
mod key;
mod late;
mod learned;
mod masks;
mod measure;
mod names;
mod orient;
mod party;
mod report;
mod slots;
mod strangers;
mod table;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use portolan_model::{Barrier, Ip, Nanos, OwnerEvent, Source, Window, WindowLen};
use rustc_hash::FxHashSet;

use crate::directory::Directory;
use crate::linker::Moved;
use crate::{Hops, Intake, LineConfig, Restored, Sampler, Stage, tally};

use addrs::Addrs;
use agents::Agents;
use conflict::Conflicts;
use emit::Emission;
use judge::Judge;
use key::{End, Side};
use late::Late;
use learned::Learned;
use masks::Masks;
use names::Names;
use report::Tallies;
use table::{Conn, Table, warm_keys};
use tables::Tables;

pub(crate) use forward::single;
pub use names::stranger;
pub(crate) use names::{ambiguous, overflow};
pub(crate) use strangers::Strangers;

/// Tables of forgotten windows that are kept for the next ones: two windows fill at a time.
const SPARE: usize = 2;

/// Connections that are brought near together before they are judged.
const WARM: usize = 32;

/// Fewer numbers of addresses than twice this are not worth looking for those that are free again.
const ADDRS_KEPT: usize = 1_024;

/// One in so many of the connections that may be remembered is one that is in doubt and late.
const LATE_SHARE: usize = 8;

/// How far over the bound of remembered connections windows that still fill may go.
const HARD_BOUND: usize = 4;

/// See the module.
pub struct FlowResolver {
    window: WindowLen,
    horizon: Nanos,
    tolerance: Nanos,
    max_connections: usize,
    /// How long owners that are gone are kept; absent: for ever.
    owners_kept: Option<Nanos>,
    directory: Directory,
    /// Addresses that may have another owner, for who else asks the directory.
    moved: Moved,
    addrs: Addrs,
    /// How many addresses were left when they were last looked through.
    addrs_kept: usize,
    names: Names,
    tables: Tables,
    /// What is in doubt of windows that are forgotten.
    late: Late,
    late_horizon: Nanos,
    max_late: usize,
    /// Cleared when they are taken.
    spare: Vec<Table>,
    /// Empty between batches; its memory is kept.
    rows: Vec<gather::Row>,
    /// The same.
    news: Vec<gather::News>,
    /// How many batches were gathered.
    batch: u64,
    /// Empty between barriers; its memory is kept.
    emission: Emission,
    /// Windows before this one are forgotten.
    folded: Window,
    rewritten_to: FxHashSet<End>,
    /// Sources of different kinds were met: windows then have to look at each other.
    mixed: bool,
    first_source: Option<Source>,
    masks: Masks,
    agents: Agents,
    learned: Learned,
    conflicts: Conflicts,
    /// Those that are alive, as the store has it.
    agents_told: Arc<[(Ip, Nanos)]>,
    tally: Tallies,
}

impl FlowResolver {
    /// A resolver that knows the owners of the store.
    pub fn new(config: &LineConfig, restored: &Restored) -> Self {
        let mut directory = Directory::new(&config.environment, &config.scope_links);
        for record in &restored.owners {
            directory.tell(OwnerEvent::Upsert(Box::new(record.clone())));
        }
        directory.settle();
        Self {
            window: config.window,
            horizon: Nanos::from(config.horizon_secs) * 1_000_000_000,
            tolerance: Nanos::from(config.clock_tolerance_ms) * 1_000_000,
            max_connections: config.max_connections,
            owners_kept: config.owners_kept(),
            directory,
            moved: Moved::default(),
            addrs: Addrs::default(),
            addrs_kept: ADDRS_KEPT,
            names: Names::new(&config.environment, config.max_externals, &restored.strangers),
            tables: Tables::default(),
            late: Late::default(),
            late_horizon: config.late_nanos(),
            max_late: config.max_connections / LATE_SHARE,
            spare: Vec::new(),
            rows: Vec::new(),
            news: Vec::new(),
            batch: 0,
            emission: Emission::default(),
            folded: restored.folded,
            rewritten_to: FxHashSet::default(),
            mixed: false,
            first_source: None,
            masks: Masks::new(config.window, config.max_connections),
            agents: Agents::restored(&restored.agents),
            learned: Learned::restored(&restored.learned),
            conflicts: Conflicts::default(),
            agents_told: restored.agents.clone().into(),
            tally: Tallies::default(),
        }
    }

    /// How many connections (by window) are remembered.
    pub fn connections(&self) -> usize {
        self.tables.iter().map(|(_, table)| table.len()).sum()
    }

    /// How many of windows that are forgotten are kept because they are in doubt.
    pub fn doubtful(&self) -> usize {
        self.late.len()
    }

    /// What whoever else names ends shares: who owned which address, whose owner may be another one since the last
    /// barrier but one, and the places of those that nobody owns.
    pub(crate) fn shared(&mut self) -> (&Directory, &Moved, &mut Strangers) {
        (&self.directory, &self.moved, &mut self.names.strangers)
    }

    /// Works in what the epoch said of owners, and marks the connections it may change.
    fn settle(&mut self, out: &mut Hops) {
        let changed = self.directory.settle();
        self.count_missed(&changed);
        for &index in &changed.addrs {
            self.addrs.touch(&self.directory, index);
            let claims = self.directory.at(index);
            self.addrs.mark_linked(&self.directory, claims.scope, claims.ip);
        }
        for &(scope, ip) in &changed.named {
            self.addrs.mark_linked(&self.directory, scope, ip);
        }
        if changed.ranges {
            self.addrs.touch_unclaimed();
        }
        for &(scope, from, to) in &changed.gaps {
            self.addrs.mark_in_gap(&self.directory, scope, (from, to), self.tolerance);
        }
        // A backend with another owner changes what its hops are: judge their connections again.
        for index in self.directory.hops_of(&changed.addrs) {
            self.addrs.touch(&self.directory, index);
        }
        let ips = changed.addrs.iter().map(|index| self.directory.at(*index).ip);
        let ips = ips.chain(changed.named.iter().map(|(_, ip)| *ip)).collect();
        self.moved = Moved { ips, any: changed.ranges || !changed.gaps.is_empty() };
        out.deltas.owners = changed.owners;
        self.touch_dirty();
    }

    fn touch_dirty(&mut self) {
        if !self.addrs.any_dirty() {
            return;
        }
        for (_, table) in self.tables.iter_mut().chain(self.late.tables.iter_mut()) {
            for place in 0..table.keys.len() {
                let key = table.keys[place];
                let dirty = |side| self.addrs.get(key.end(side).addr).dirty;
                if dirty(Side::Low) || dirty(Side::High) {
                    table.touch(place as u32);
                }
            }
        }
        self.addrs.clean();
    }

    /// Judges every touched connection and emits the differences.
    fn judge_touched(&mut self, rebuild: bool, out: &mut Hops) {
        self.touch_sampled();
        let windows: Vec<Window> = self.tables.iter().map(|(window, _)| window).collect();
        let mut emission = std::mem::take(&mut self.emission);
        let ordered = self.names.strangers.may_run_out(self.addrs.len());
        // What is in doubt was counted in its window; a restart does not know it again.
        let overflowed = self.names.overflowed;
        self.judge_late(&mut emission);
        self.names.overflowed = overflowed;
        // In order of time: how a window ends may matter to the next.
        for window in &windows {
            self.judge_window(*window, ordered, &mut emission);
        }
        if self.learned.touch(self.tables.iter_mut().map(|(_, table)| table)) {
            for window in windows {
                self.judge_window(window, ordered, &mut emission);
            }
        }
        self.conflicts.learned(&self.learned.take_learned(), &self.learned);
        out.hops = std::mem::take(&mut emission.hops);
        // The next epoch has about as many.
        let room = Vec::with_capacity(emission.landings.len());
        out.landings = std::mem::replace(&mut emission.landings, room);
        out.deltas.paths = std::mem::take(&mut emission.legs);
        let resolved = std::mem::take(&mut emission.resolved);
        if !rebuild {
            for (sum, of) in self.tally.resolved.iter_mut().zip(resolved) {
                sum.bytes += of.bytes;
                sum.connections += of.connections;
            }
        }
        out.deltas.edges = emission.edges.drain().map(|(_, row)| row).collect();
        self.emission = emission;
        self.names.targets.clear();
        out.deltas.entities = self.names.take_fresh();
        if rebuild {
            out.deltas = crate::Deltas::default();
        }
    }

    /// Judges what was touched of one window. `ordered` says that who comes first matters.
    fn judge_window(&mut self, window: Window, ordered: bool, out: &mut Emission) {
        let Some(table) = self.tables.get_mut(window).filter(|table| table.any_touched()) else {
            return;
        };
        let mut table = std::mem::take(table);
        let mut judge = Judge {
            directory: &self.directory,
            addrs: &self.addrs,
            names: &mut self.names,
            window,
            len: self.window,
            tables: &self.tables,
            beside: None,
            tolerance: self.tolerance,
            rewritten_to: &self.rewritten_to,
            masks: &self.masks,
            agents: &self.agents,
            learned: &mut self.learned,
            mixed: self.mixed,
            doubted: false,
            forgotten: window < self.folded,
        };
        let mut carried = Vec::new();
        let mut touched = table.take_touched();
        if ordered {
            touched.sort_by_cached_key(|place| self.addrs.names(table.keys[*place as usize]));
        }
        for (at, &place) in touched.iter().enumerate() {
            if at % WARM == 0 {
                judge.warm(&table, &touched[at..touched.len().min(at + WARM)]);
            }
            let conn = &mut table.conns[place];
            let key = conn.key;
            let was = (conn.open_after, conn.begin);
            let new = judge.judge(key, conn);
            if (conn.open_after, conn.begin) != was {
                carried.push(key);
            }
            if judge.forgotten {
                self.tally.late += 1;
                self.tally.late_second_hand += i64::from(new.is_none());
                if let Some(new) = &new {
                    self.conflicts.late(window, key, new);
                }
            }
            emit::difference(&self.addrs, key, conn.emitted.as_ref(), new.as_ref(), window, out);
            if new.as_ref().is_some_and(|new| new.provisional) {
                table.doubtful.push(place);
            }
            if new.as_ref().is_some_and(judge::Emitted::may_turn) {
                table.weak.push(place);
            }
            conn.emitted = new;
        }
        // Later windows take over how this one ends and when its connections began.
        for later in self.tables.after_mut(window) {
            for block in carried.chunks(WARM) {
                warm_keys(block.iter().map(|key| (&*later, *key)));
                for key in block {
                    later.touch_key(*key);
                }
            }
        }
        *self.tables.open(window, Table::default) = table;
    }

    /// Forgets what the watermark has left behind, and the oldest windows over the bound.
    fn fold(&mut self, barrier: &mut Barrier) {
        let behind =
            barrier.watermark.saturating_sub(self.horizon).min(self.told(barrier.watermark));
        let mut folded = self.window.window(behind).max(self.folded);
        let kept = self.tables.iter().filter(|(window, _)| *window >= folded);
        let mut kept: usize = kept.map(|(_, table)| table.len()).sum();
        let newest = self.tables.latest().unwrap_or_default();
        let held = folded..newest;
        for (window, table) in self.tables.iter().filter(|(window, _)| held.contains(window)) {
            // A window that still fills is given up only when memory itself is at stake.
            let still_fills = window.end(self.window) + self.window.nanos() > barrier.watermark;
            let bound = self.max_connections * if still_fills { HARD_BOUND } else { 1 };
            if kept <= bound {
                break;
            }
            kept -= table.len();
            self.tally.folded_early += table.len() as i64;
            folded = window.next(self.window);
        }
        self.folded = folded;
        let before = self.tables.len();
        let room = SPARE - self.spare.len().min(SPARE);
        let mut forgotten: Vec<(Window, Table)> = self.tables.forget_before(folded).collect();
        for (window, table) in &mut forgotten {
            self.conflicts.keep(*window, table);
        }
        self.keep_doubtful(&mut forgotten, barrier.watermark);
        self.conflicts.forget(self.late.from);
        self.spare.extend(forgotten.into_iter().map(|(_, table)| table).take(room));
        if self.tables.len() < before && self.addrs.len() > 2 * self.addrs_kept {
            self.forget_addresses();
            self.addrs_kept = self.addrs.len().max(ADDRS_KEPT);
        }
        self.agents.forget(barrier.watermark);
        self.masks.forget(folded);
        self.learned.forget(barrier.watermark);
        barrier.folded = folded;
    }

    /// Frees the numbers of addresses that no remembered connection names.
    fn forget_addresses(&mut self) {
        let mut used = self.addrs.flags();
        for key in self.masks.keys().chain(self.conflicts.keys()) {
            used[key.end(Side::Low).addr as usize] = true;
            used[key.end(Side::High).addr as usize] = true;
        }
        for (_, table) in self.tables.iter().chain(self.late.tables.iter()) {
            for (key, conn) in table.iter() {
                used[key.end(Side::Low).addr as usize] = true;
                used[key.end(Side::High).addr as usize] = true;
                for tally in &conn.tallies {
                    used[tally.agent as usize] = true;
                }
                for (agent, ..) in &conn.near {
                    used[*agent as usize] = true;
                }
                for rewrite in conn.rewrites {
                    if let table::Rewrite::To(end) = rewrite {
                        used[end.addr as usize] = true;
                    }
                }
            }
        }
        self.rewritten_to.retain(|end| used[end.addr as usize]);
        self.addrs.keep(&used);
    }

    /// Says from which offset each partition must be read again to rebuild the memory.
    fn reread(&self, barrier: &mut Barrier) {
        for (partition, position) in &mut barrier.positions {
            let lowest = self.tables.iter().filter_map(|(_, t)| t.reread.get(&partition.0)).min();
            position.reread = lowest.map_or(position.next, |o| position.next.min(*o));
        }
    }

    /// The agents that are alive, if the store has it otherwise: records are not read again from so long ago.
    fn tell_agents(&mut self) -> Option<Arc<[(Ip, Nanos)]>> {
        let agents = self.agents.alive();
        (*agents != *self.agents_told).then(|| {
            self.agents_told = agents.into();
            self.agents_told.clone()
        })
    }
}

impl Stage for FlowResolver {
    type In = Intake;
    type Out = Hops;
    const NAME: &'static str = "flow_resolver";

    fn apply(&mut self, batch: Intake) -> Option<Hops> {
        match batch {
            Intake::Flows(batch) => self.gather(&batch),
            Intake::Owners(events) => events.into_iter().for_each(|e| self.directory.tell(e)),
            Intake::Spans(_) | Intake::Metrics(_) | Intake::Notes(_) => {}
        }
        None
    }

    fn barrier(&mut self, barrier: &mut Barrier) -> Option<Hops> {
        let mut out = Hops::default();
        if barrier.rebuild {
            // What was forgotten before the restart stays so: its counts are in the store.
            drop(self.tables.forget_before(self.folded));
        }
        self.settle(&mut out);
        if let Some(keep) = self.owners_kept.filter(|_| !barrier.rebuild) {
            out.deltas.owners_gone = self.directory.expire(barrier.watermark.saturating_sub(keep));
            if !out.deltas.owners_gone.is_empty() {
                self.addrs.look_again(&self.directory);
            }
        }
        self.judge_touched(barrier.rebuild, &mut out);
        if barrier.rebuild {
            barrier.folded = self.folded;
        } else {
            self.fold(barrier);
            out.deltas.agents = self.tell_agents();
            out.deltas.learned = self.learned.tell();
        }
        tally::tell(self.counts(), barrier);
        self.reread(barrier);
        Some(out)
    }

    fn records(batch: &Intake) -> usize {
        match batch {
            Intake::Flows(batch) => batch.flows.len(),
            Intake::Owners(events) => events.len(),
            Intake::Spans(batch) => batch.spans.len(),
            Intake::Metrics(batch) => batch.metrics.len(),
            Intake::Notes(notes) => notes.len(),
        }
    }
}

impl Conn {
    fn is_new(&self) -> bool {
        self.tallies.is_empty()
    }
}
