//! Path collapser: joins what a client sent to a hop with where it came out.
//!
//! A connection towards a service address and the connection from the same client socket towards
//! one of its backends are one connection, seen before and after the address was rewritten. Where
//! both are seen, the first explains the second; where only the first is, it is moved to the target
//! that the record itself or a declaration proves. What is neither stays a hop: raw edges are never
//! changed, a path row only says what a view may fold. Rules: flow semantics, sections 4.1 to 4.4.
//!
//! Where packets are left out, the two halves of a connection are seldom both seen. An agent that was
//! found to show both of some shows both of all: what it counts behind its service addresses is an
//! estimate of everything that went through them, and what it counts before them is the same once
//! more (section 3.7).

mod emit;
mod fold;
mod prove;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use portolan_model::{Barrier, EntityId, Ip, Nanos, Proto, ScopeId, Socket, Window, WindowLen};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use smallvec::SmallVec;

use emit::{Emitted, Paths, emit};
use prove::{Landed, path, shows_both};

use crate::{Deltas, HopChange, HopConnection, Hops, LandingChange, LineConfig, Sampler, Stage};

/// Windows whose memory is kept for the next ones: two fill at a time.
const SPARE: usize = 2;

/// An agent that showed both halves of no connection for so long, in event time, may do so no more:
/// two of a sample meet once in minutes.
const BOTH_SHOWN: Nanos = 3_600_000_000_000;

/// A client's socket: what a connection keeps when its destination is rewritten. Packed, because there
/// is one for every connection towards a backend.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
struct Client {
    ip: [u64; 2],
    scope: ScopeId,
    port: u16,
    proto: Proto,
}

/// A connection that came out at a place that some hop forwards to.
#[derive(Copy, Clone)]
struct Landing {
    client: Client,
    ip: [u64; 2],
    entity: EntityId,
    port: u16,
    sampler: Sampler,
}

/// See the module.
pub struct PathCollapser {
    window: WindowLen,
    /// How long what is in doubt is remembered.
    late: Nanos,
    windows: BTreeMap<Window, Joins>,
    /// Cleared: a new window takes over the memory of one that is forgotten.
    spare: Vec<Joins>,
    touched: Vec<(Window, Client)>,
    /// What the epoch comes to.
    paths: Paths,
    /// Agents that sample and were found to show both halves of a connection.
    both: FxHashMap<Sampler, Shown>,
    /// Those that came in or fell out since they were last asked for.
    moved: SmallVec<[Sampler; 2]>,
}

/// What is remembered of one window.
#[derive(Default)]
struct Joins {
    /// Something came in since all that is not in doubt was forgotten.
    grown: bool,
    /// Client sockets that did something which was in doubt, some twice.
    doubtful: Vec<Client>,
    /// What each client socket does with hops, by place in `groups`: a group is long.
    hops: FxHashMap<Client, u32>,
    groups: Vec<Group>,
    /// Where each client socket came out: mostly in one place.
    landings: HashTable<Landing>,
}

/// Everything that one client socket does with hops in one window.
#[derive(Default)]
struct Group {
    hops: SmallVec<[Towards; 1]>,
    touched: bool,
}

/// A connection towards a hop, and what was last said about where it went.
struct Towards {
    hop: Socket,
    state: Arc<HopConnection>,
    /// The agent that was found to show this connection behind the hop as well.
    both: Sampler,
    emitted: Option<Box<Emitted>>,
}

/// Of how many connections an agent shows both halves.
#[derive(Copy, Clone, Default)]
struct Shown {
    /// In the windows that are remembered: what is shown may turn out otherwise.
    now: u32,
    /// The latest of the windows that are forgotten.
    last: Option<Window>,
}

/// Connections that are brought near together before they are joined.
const WARM: usize = 64;

impl Client {
    fn new(scope: ScopeId, proto: Proto, socket: Socket) -> Self {
        Self { ip: halves(socket.ip), scope, port: socket.port, proto }
    }

    fn hash(&self) -> u64 {
        FxBuildHasher.hash_one(self)
    }
}

impl Joins {
    fn group(&mut self, client: Client) -> Option<&mut Group> {
        self.hops.get(&client).map(|place| &mut self.groups[*place as usize])
    }

    fn peek(&self, client: Client) -> Option<&Group> {
        self.hops.get(&client).map(|place| &self.groups[*place as usize])
    }

    fn open(&mut self, client: Client) -> &mut Group {
        let next = self.groups.len() as u32;
        let place = *self.hops.entry(client).or_insert(next);
        if place == next {
            self.groups.push(Group::default());
        }
        &mut self.groups[place as usize]
    }

    /// Marks what a client socket does with hops, if it does anything; whether that is news.
    fn touch(&mut self, client: Client) -> bool {
        self.group(client).is_some_and(|group| !std::mem::replace(&mut group.touched, true))
    }

    /// Reads what the next landings will read ([`PathCollapser::warm`]).
    fn warm(&self, landings: &[(Landing, u64)]) {
        let there = landings.iter().filter_map(|(_, hash)| self.landings.find(*hash, |_| true));
        std::hint::black_box(there.fold(0, |sum, it| sum ^ it.port));
    }

    fn land(&mut self, landing: Landing, hash: u64, is_there: bool) {
        let same = |it: &Landing| {
            (it.client, it.ip, it.port) == (landing.client, landing.ip, landing.port)
        };
        match self.landings.entry(hash, same, |it| it.client.hash()) {
            Entry::Occupied(mut known) if is_there => *known.get_mut() = landing,
            Entry::Occupied(known) => drop(known.remove()),
            Entry::Vacant(place) if is_there => drop(place.insert(landing)),
            Entry::Vacant(_) => {}
        }
    }

    /// In order of address and port.
    fn landings(&self, client: Client) -> SmallVec<[Landing; 2]> {
        let there = self.landings.iter_hash(client.hash()).filter(|it| it.client == client);
        let mut there: SmallVec<[Landing; 2]> = there.copied().collect();
        there.sort_unstable_by_key(|it| (it.ip, it.entity, it.port));
        there
    }

    /// Takes out what some clients do.
    fn only(&mut self, clients: &FxHashSet<Client>) -> Self {
        let doubtful = std::mem::take(&mut self.doubtful);
        let mut kept = Self { doubtful, ..Self::default() };
        for client in clients {
            if let Some(group) = self.group(*client) {
                let mut group = std::mem::take(group);
                // Who showed both halves is kept apart already.
                group.hops.iter_mut().for_each(|towards| towards.both = Sampler::NONE);
                kept.open(*client).hops = group.hops;
            }
            for landing in self.landings(*client) {
                kept.land(landing, client.hash(), true);
            }
        }
        kept
    }

    fn clear(&mut self) {
        self.grown = false;
        self.doubtful.clear();
        self.hops.clear();
        self.groups.clear();
        self.landings.clear();
    }
}

impl Landing {
    fn of(change: &LandingChange) -> Self {
        Self {
            client: Client::new(change.scope, change.proto, change.client),
            ip: halves(change.server.ip),
            entity: change.entity.unwrap_or(EntityId::NONE),
            port: change.server.port,
            sampler: change.sampler,
        }
    }

    fn socket(&self) -> Socket {
        Socket::new(Ip(u128::from(self.ip[0]) << 64 | u128::from(self.ip[1])), self.port)
    }
}

const fn halves(ip: Ip) -> [u64; 2] {
    [(ip.0 >> 64) as u64, ip.0 as u64]
}

impl PathCollapser {
    /// A collapser that remembers nothing yet.
    pub fn new(config: &LineConfig) -> Self {
        Self {
            window: config.window,
            late: config.late_nanos(),
            windows: BTreeMap::new(),
            spare: Vec::new(),
            touched: Vec::new(),
            paths: Paths::default(),
            both: FxHashMap::default(),
            moved: SmallVec::new(),
        }
    }

    /// Marks what a client socket does with hops, if it does anything.
    fn touch(&mut self, window: Window, client: Client) {
        if self.windows.get_mut(&window).is_some_and(|joins| joins.touch(client)) {
            self.touched.push((window, client));
        }
    }

    fn joins(&mut self, window: Window) -> &mut Joins {
        let joins = self.windows.entry(window);
        let joins = joins.or_insert_with(|| self.spare.pop().unwrap_or_default());
        joins.grown = true;
        joins
    }

    fn hop(&mut self, change: HopChange) {
        let client = Client::new(change.scope, change.proto, change.client);
        let joins = self.joins(change.window);
        if change.state.as_ref().is_some_and(|state| state.provisional) {
            joins.doubtful.push(client);
        }
        let group = joins.open(client);
        let place = group.hops.iter().position(|t| t.hop == change.hop);
        match (place, change.state) {
            (Some(place), Some(state)) => group.hops[place].state = state,
            (None, Some(state)) => {
                let (hop, both) = (change.hop, Sampler::NONE);
                group.hops.push(Towards { hop, state, both, emitted: None });
            }
            (Some(place), None) => {
                let gone = group.hops.remove(place);
                emit(gone.emitted.as_deref(), None, &mut self.paths);
                let moved = shows(&mut self.both, gone.both, Sampler::NONE);
                self.moved.extend(moved);
            }
            (None, None) => {}
        }
        self.touch(change.window, client);
    }

    /// Takes over where connections came out, all of one window.
    fn land(&mut self, window: Window, changes: &[LandingChange]) {
        let joins = self.joins(window);
        for block in changes.chunks(WARM) {
            let landings: SmallVec<[(Landing, u64); WARM]> =
                block.iter().map(Landing::of).map(|it| (it, it.client.hash())).collect();
            joins.warm(&landings);
            for ((landing, hash), change) in landings.iter().zip(block) {
                if change.provisional && change.entity.is_some() {
                    joins.doubtful.push(landing.client);
                }
                joins.land(*landing, *hash, change.entity.is_some());
            }
        }
        // A connection may open on one side of a boundary and be seen on the other.
        for near in [window, window.previous(self.window), window.next(self.window)] {
            let Some(joins) = self.windows.get_mut(&near).filter(|it| !it.hops.is_empty()) else {
                continue;
            };
            for change in changes {
                let client = Client::new(change.scope, change.proto, change.client);
                if joins.touch(client) {
                    self.touched.push((near, client));
                }
            }
        }
    }

    /// Landings of a client socket in a window and its neighbours, its own window's first.
    fn landings(&self, window: Window, client: Client) -> SmallVec<[Landed; 4]> {
        let mut found = SmallVec::new();
        let near = [(0, window), (1, window.previous(self.window)), (1, window.next(self.window))];
        for (distance, window) in near {
            if let Some(joins) = self.windows.get(&window) {
                let there = joins.landings(client);
                found.extend(there.iter().map(|l| Landed {
                    distance,
                    socket: l.socket(),
                    entity: l.entity,
                    sampler: l.sampler,
                }));
            }
        }
        found
    }

    fn join(&mut self, rebuild: bool) {
        loop {
            self.join_touched(rebuild);
            if self.moved.is_empty() {
                return;
            }
            let moved = std::mem::take(&mut self.moved);
            self.touch_sampled_by(&moved);
        }
    }

    /// Joins what was touched, and notes for which agents it matters that they show, or no longer show,
    /// both halves of connections.
    fn join_touched(&mut self, rebuild: bool) {
        let touched = std::mem::take(&mut self.touched);
        for (at, &(window, client)) in touched.iter().enumerate() {
            if at % WARM == 0 {
                self.warm(&touched[at..touched.len().min(at + WARM)]);
            }
            let landings = self.landings(window, client);
            let Some(group) = self.windows.get_mut(&window).and_then(|w| w.group(client)) else {
                continue;
            };
            group.touched = false;
            for Towards { hop, state, both, emitted } in &mut group.hops {
                let sampled = state.sampler != Sampler::NONE && shows_both(state, &landings);
                let now = if sampled { state.sampler } else { Sampler::NONE };
                let was = std::mem::replace(both, now);
                self.moved.extend(shows(&mut self.both, was, now));
                let again = self.both.contains_key(&state.sampler);
                let new = path(window, client.proto, *hop, state, &landings, again);
                if !rebuild {
                    emit(emitted.as_deref(), new.as_ref(), &mut self.paths);
                }
                match (&mut *emitted, new) {
                    (Some(old), Some(new)) => **old = new,
                    (slot, new) => *slot = new.map(Box::new),
                }
            }
        }
    }

    /// Reads what joining the next connections will read: those of a block then wait for memory together.
    fn warm(&self, touched: &[(Window, Client)]) {
        let mut sum = 0_u64;
        for (window, client) in touched {
            let hash = client.hash();
            let near = [*window, window.previous(self.window), window.next(self.window)];
            for joins in near.iter().filter_map(|window| self.windows.get(window)) {
                let there = joins.landings.find(hash, |it| it.client == *client);
                sum += there.map_or(0, |it| u64::from(it.port));
            }
            let group = self.windows.get(window).and_then(|joins| joins.peek(*client));
            let first = group.and_then(|group| group.hops.first());
            sum += first.map_or(0, |it| it.state.last_ns & 1);
        }
        std::hint::black_box(sum);
    }

    /// Keeps who showed both halves in a window that is forgotten.
    fn keep_shown(&mut self, window: Window, joins: &Joins) {
        if self.both.is_empty() {
            return;
        }
        let towards = joins.groups.iter().flat_map(|group| &group.hops);
        for sampler in towards.map(|t| t.both).filter(|both| *both != Sampler::NONE) {
            let shown = self.both.entry(sampler).or_default();
            shown.now = shown.now.saturating_sub(1);
            shown.last = shown.last.max(Some(window));
        }
    }

    fn touch_sampled_by(&mut self, samplers: &[Sampler]) {
        for (window, joins) in &mut self.windows {
            for (client, place) in &joins.hops {
                let group = &mut joins.groups[*place as usize];
                let theirs = group.hops.iter().any(|t| samplers.contains(&t.state.sampler));
                if theirs && !std::mem::replace(&mut group.touched, true) {
                    self.touched.push((*window, *client));
                }
            }
        }
    }
}

impl Stage for PathCollapser {
    type In = Hops;
    type Out = Deltas;
    const NAME: &'static str = "path_collapser";

    fn apply(&mut self, batch: Hops) -> Option<Deltas> {
        for of_one in batch.landings.chunk_by(|a, b| a.window == b.window) {
            self.land(of_one[0].window, of_one);
        }
        for change in batch.hops {
            self.hop(change);
        }
        Some(batch.deltas)
    }

    fn barrier(&mut self, barrier: &mut Barrier) -> Option<Deltas> {
        self.join(barrier.rebuild);
        let paths = self.paths.take();
        let (folded, window) = (barrier.folded.start(), self.window);
        self.fold(barrier.folded, barrier.watermark);
        let lately = |last: Window| last.end(window).saturating_add(BOTH_SHOWN) > folded;
        self.both.retain(|_, shown| shown.now > 0 || shown.last.is_some_and(lately));
        if barrier.rebuild {
            return None;
        }
        Some(Deltas { paths, ..Deltas::default() })
    }

    fn records(batch: &Hops) -> usize {
        batch.deltas.edges.len() + batch.hops.len() + batch.landings.len()
    }
}

/// Counts a connection for another agent than before; gives those for whom it was the first or the last.
fn shows(
    both: &mut FxHashMap<Sampler, Shown>,
    was: Sampler,
    now: Sampler,
) -> SmallVec<[Sampler; 2]> {
    let mut moved = SmallVec::new();
    if was == now {
        return moved;
    }
    if let Some(shown) = both.get_mut(&was) {
        shown.now = shown.now.saturating_sub(1);
        if shown.now == 0 && shown.last.is_none() {
            both.remove(&was);
            moved.push(was);
        }
    }
    if now != Sampler::NONE {
        let shown = both.entry(now).or_default();
        if shown.now == 0 && shown.last.is_none() {
            moved.push(now);
        }
        shown.now += 1;
    }
    moved
}
