//! Learned ports: who was seen to serve on which (flow semantics, section 2, class E5).
//!
//! Three different clients that dialled a port within ten minutes, by a socket's, a handshake's or connection tracking's
//! word, make it a server's, for all instances of its owner: it tells the direction of connections of which
//! nothing better is known. Those that are remembered are judged again when a port is learned, so that the order does
//! not matter.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use portolan_model::{EntityId, LearnedPort, Nanos, Proto};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::judge::Emitted;
use super::table::Table;

/// So many different clients.
const CLIENTS: usize = 3;

/// Within so long.
const WITHIN: Nanos = 600_000_000_000;

/// A port that nobody was seen to dial for so long is learned no more: three half-lives.
const TTL: Nanos = 3 * 3_600_000_000_000;

/// Most ports that are learned, and most that are about to be; further ones are counted.
const MOST: usize = 16_384;

/// Server, protocol, port.
pub(super) type Served = (EntityId, Proto, u16);

/// See the module.
#[derive(Default)]
pub(super) struct Learned {
    /// Until the end of which step it was dialled.
    known: FxHashMap<Served, Nanos>,
    /// Clients, by hash, and when they dialled.
    dialled: FxHashMap<Served, SmallVec<[(u64, Nanos); CLIENTS]>>,
    /// Ports that were learned since this was last asked for.
    fresh: FxHashSet<u16>,
    changed: bool,
    /// The step of ten minutes in which was last looked for what is too old.
    step: Nanos,
    pub(super) overflowed: i64,
}

// === impl Learned ===

impl Learned {
    pub(super) fn restored(ports: &[LearnedPort]) -> Self {
        let known = ports.iter().map(|it| ((it.server, it.proto, it.port), it.until)).collect();
        Self { known, ..Self::default() }
    }

    pub(super) fn knows(&self, served: Served) -> bool {
        !self.known.is_empty() && self.known.contains_key(&served)
    }

    /// Notes that a client dialled.
    pub(super) fn note(&mut self, served: Served, client: impl std::hash::Hash, at: Nanos) {
        let step = (at / WITHIN + 1) * WITHIN;
        if let Some(until) = self.known.get_mut(&served) {
            self.changed |= *until < step;
            *until = step.max(*until);
            return;
        }
        if self.dialled.len() >= MOST && !self.dialled.contains_key(&served) {
            self.overflowed += 1;
            return;
        }
        let client = FxBuildHasher.hash_one(client);
        let clients = self.dialled.entry(served).or_default();
        match clients.iter_mut().find(|known| known.0 == client) {
            Some(known) => known.1 = at.max(known.1),
            None => clients.push((client, at)),
        }
        let newest = clients.iter().map(|known| known.1).max().unwrap_or(at);
        clients.retain(|known| known.1.saturating_add(WITHIN) > newest);
        if clients.len() < CLIENTS {
            return;
        }
        self.dialled.remove(&served);
        if self.known.len() >= MOST {
            self.overflowed += 1;
            return;
        }
        self.known.insert(served, step);
        self.fresh.insert(served.2);
        self.changed = true;
    }

    /// Marks what may be told otherwise by the ports that were learned since the last call. Whether there are any.
    pub(super) fn touch<'a>(&mut self, tables: impl Iterator<Item = &'a mut Table>) -> bool {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.is_empty() {
            return false;
        }
        for table in tables {
            for place in 0..table.len() as u32 {
                let conn = &table.conns[place];
                let weaker = conn.emitted.as_ref().is_some_and(Emitted::is_oriented_weaker);
                if weaker && conn.key.ports().iter().any(|port| fresh.contains(port)) {
                    table.touch(place);
                }
            }
        }
        true
    }

    /// Forgets what is too old, now and then.
    pub(super) fn forget(&mut self, watermark: Nanos) {
        let step = watermark / WITHIN;
        if std::mem::replace(&mut self.step, step) == step {
            return;
        }
        let before = self.known.len();
        self.known.retain(|_, until| until.saturating_add(TTL) > watermark);
        self.changed |= self.known.len() < before;
        self.dialled.retain(|_, clients| {
            clients.iter().any(|(_, at)| at.saturating_add(WITHIN) > watermark)
        });
    }

    /// All that are learned, sorted, if that has changed since the last call.
    pub(super) fn tell(&mut self) -> Option<Arc<[LearnedPort]>> {
        std::mem::take(&mut self.changed).then(|| {
            let each = self.known.iter().map(|((server, proto, port), until)| LearnedPort {
                server: *server,
                proto: *proto,
                port: *port,
                until: *until,
            });
            let mut all: Vec<LearnedPort> = each.collect();
            all.sort_unstable();
            all.into()
        })
    }
}
