//! Learned ports: who was seen to serve on which (flow semantics, section 2, class E5).
//!
//! Three different clients that dialled a port within ten minutes, by a socket's, a handshake's or connection tracking's
//! word, make it a server's, for all instances of its owner: it tells the direction of connections of which
//! nothing better is known. What teaches is that there is such a word, whatever else is said of the connection: a word
//! stays, where what several come to may change.
//!
//! The more clients, the surer: 120 from three of them on, ten more each time that their number doubles, up to 190 from
//! 384 on. Connections that are remembered are judged again when a port is learned and when it is surer, so that
//! the order does not matter. Nothing fades by halves, for how sure a connection is would then depend on when it was
//! judged; a port that nobody dials is forgotten as a whole after three half-lives of an hour, and begins anew.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use portolan_model::{EntityId, LearnedPort, Nanos, Orientation, Proto};
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

/// So many bits must be set in a sketch of 256 for 3, 6, 12, … 384 different clients, as is to be expected of bits that
/// are chosen by a hash: 256 (1 - e^(-n/256)).
const BITS: [u32; 8] = [3, 6, 12, 23, 44, 80, 135, 199];

/// How much surer each of these is than the one before.
const STEP: u8 = 10;

/// Server, protocol, port.
pub(super) type Served = (EntityId, Proto, u16);

/// See the module.
#[derive(Default)]
pub(super) struct Learned {
    known: FxHashMap<Served, Known>,
    /// Clients, by hash, and when they dialled.
    dialled: FxHashMap<Served, SmallVec<[(u64, Nanos); CLIENTS]>>,
    /// Ports that were learned, or are surer, since this was last asked for.
    fresh: FxHashSet<u16>,
    /// Those that were learned.
    added: Vec<Served>,
    changed: bool,
    /// The step of ten minutes in which was last looked for what is too old.
    step: Nanos,
    pub(super) overflowed: i64,
}

/// What is known of a port.
#[derive(Default)]
struct Known {
    /// Until the end of which step it was dialled.
    until: Nanos,
    confidence: u8,
    /// A bit for each client, by hash.
    clients: [u64; 4],
}

// === impl Known ===

impl Known {
    /// Notes a client; whether it is surer now.
    fn note(&mut self, client: u64) -> bool {
        // Clients that differ little have hashes that do: the bits have to look chosen by chance.
        let mixed = (client ^ client >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.clients[(mixed >> 62) as usize] |= 1 << (mixed >> 56 & 63);
        let bits = self.clients.iter().map(|word| word.count_ones()).sum::<u32>();
        let reached = BITS.iter().filter(|least| bits >= **least).count() as u8;
        let confidence = Orientation::Learned.confidence() + STEP * reached.saturating_sub(1);
        let is_surer = confidence > self.confidence;
        self.confidence = confidence.max(self.confidence);
        is_surer
    }
}

// === impl Learned ===

impl Learned {
    pub(super) fn restored(ports: &[LearnedPort]) -> Self {
        let known = |it: &LearnedPort| Known {
            until: it.until,
            confidence: it.confidence,
            ..Known::default()
        };
        let known = ports.iter().map(|it| ((it.server, it.proto, it.port), known(it))).collect();
        Self { known, ..Self::default() }
    }

    /// How sure it is that a port is a server's, if that was learned.
    pub(super) fn knows(&self, served: Served) -> Option<u8> {
        if self.known.is_empty() {
            return None;
        }
        self.known.get(&served).map(|known| known.confidence)
    }

    /// Notes that a client dialled.
    pub(super) fn note(&mut self, served: Served, client: impl std::hash::Hash, at: Nanos) {
        let step = (at / WITHIN + 1) * WITHIN;
        let client = FxBuildHasher.hash_one(client);
        if let Some(known) = self.known.get_mut(&served) {
            self.changed |= known.until < step;
            known.until = step.max(known.until);
            if known.note(client) {
                self.changed = true;
                self.fresh.insert(served.2);
            }
            return;
        }
        if self.dialled.len() >= MOST && !self.dialled.contains_key(&served) {
            self.overflowed += 1;
            return;
        }
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
        let clients = self.dialled.remove(&served).unwrap_or_default();
        if self.known.len() >= MOST {
            self.overflowed += 1;
            return;
        }
        let mut known = Known { until: step, ..Known::default() };
        for (client, _) in clients {
            known.note(client);
        }
        // Two of the three may share a bit.
        known.confidence = known.confidence.max(Orientation::Learned.confidence());
        self.known.insert(served, known);
        self.added.push(served);
        self.fresh.insert(served.2);
        self.changed = true;
    }

    /// Ports that were learned since the last call.
    pub(super) fn take_learned(&mut self) -> Vec<Served> {
        std::mem::take(&mut self.added)
    }

    /// Marks what may be told otherwise by the ports that were learned, or are surer, since the last call. Whether there
    /// are any.
    pub(super) fn touch<'a>(&mut self, tables: impl Iterator<Item = &'a mut Table>) -> bool {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.is_empty() {
            return false;
        }
        for table in tables {
            for place in 0..table.len() as u32 {
                let ports = table.keys[place as usize].ports();
                if ports.iter().any(|port| fresh.contains(port))
                    && table.conns[place].emitted.as_ref().is_some_and(Emitted::asks_learned)
                {
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
        self.known.retain(|_, known| known.until.saturating_add(TTL) > watermark);
        self.changed |= self.known.len() < before;
        self.dialled.retain(|_, clients| {
            clients.iter().any(|(_, at)| at.saturating_add(WITHIN) > watermark)
        });
    }

    /// All that are learned, sorted, if that has changed since the last call.
    pub(super) fn tell(&mut self) -> Option<Arc<[LearnedPort]>> {
        std::mem::take(&mut self.changed).then(|| {
            let each = self.known.iter().map(|((server, proto, port), known)| LearnedPort {
                server: *server,
                proto: *proto,
                port: *port,
                until: known.until,
                confidence: known.confidence,
            });
            let mut all: Vec<LearnedPort> = each.collect();
            all.sort_unstable();
            all.into()
        })
    }
}
