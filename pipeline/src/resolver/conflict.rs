//! Conflicts: what would have turned round, had its window not been forgotten (flow semantics, section 2).
//!
//! A connection moves to a stronger class of evidence as long as its window is remembered; after that history stands,
//! and what would have turned is counted. Remembered for that, within the late horizon, are the connections that were
//! told by something weaker than a learned port: few, as a rule.

use portolan_model::{Direction, Orientation, Window};
use rustc_hash::FxHashMap;

use super::judge::Emitted;
use super::key::{ConnKey, Side};
use super::learned::{Learned, Served};
use super::orient;
use super::table::Table;

/// Most connections that are remembered: some 100 bytes each.
const MOST: usize = 65_536;

/// See the module.
#[derive(Default)]
pub(super) struct Conflicts {
    weak: FxHashMap<(Window, ConnKey), Weak>,
    /// Connections that would have turned.
    pub(super) found: i64,
    /// Connections of which that will not be noticed, because of the bound.
    pub(super) unwatched: i64,
}

/// What was said of a connection.
struct Weak {
    client: Side,
    /// The client's end, and the server's: if only the first is learned to be a server's, it was no client's.
    ends: [Served; 2],
}

// === impl Emitted ===

impl Emitted {
    /// A stronger evidence may well turn it.
    pub(super) fn may_turn(&self) -> bool {
        self.certainty.orientation > Orientation::Learned && self.key.direction == Direction::Known
    }
}

// === impl Conflicts ===

impl Conflicts {
    /// Takes over what may turn of a window that is forgotten. What is in doubt for another reason is kept as a whole.
    pub(super) fn keep(&mut self, window: Window, table: &mut Table) {
        for place in std::mem::take(&mut table.weak) {
            let conn = &table.conns[place];
            let kept = conn.emitted.as_ref().filter(|it| it.may_turn() && !it.provisional);
            let Some(Emitted { key, client, .. }) = kept else { continue };
            let ports = [*client, client.other()].map(|side| conn.key.end(side).port);
            if ports[0] == 0 || orient::well_known(ports[0]) {
                continue;
            }
            let of = (window, conn.key);
            if self.weak.len() >= MOST && !self.weak.contains_key(&of) {
                self.unwatched += 1;
                continue;
            }
            let ends = [(key.client, key.proto, ports[0]), (key.server, key.proto, ports[1])];
            self.weak.insert(of, Weak { client: *client, ends });
        }
    }

    /// Counts what ports that are learned now would have turned.
    pub(super) fn learned(&mut self, ports: &[Served], all: &Learned) {
        if ports.is_empty() || self.weak.is_empty() {
            return;
        }
        let before = self.weak.len();
        self.weak
            .retain(|_, weak| !ports.contains(&weak.ends[0]) || all.knows(weak.ends[1]).is_some());
        self.found += (before - self.weak.len()) as i64;
    }

    /// Counts a connection of a window that is forgotten if what comes late says that it went the other way.
    pub(super) fn late(&mut self, window: Window, key: ConnKey, now: &Emitted) {
        let turned = |weak: &Weak| weak.client != now.client;
        let known = now.certainty.orientation <= Orientation::Learned;
        if known && self.weak.get(&(window, key)).is_some_and(turned) {
            self.weak.remove(&(window, key));
            self.found += 1;
        }
    }

    /// Forgets windows before this one.
    pub(super) fn forget(&mut self, before: Window) {
        self.weak.retain(|(window, _), _| *window >= before);
    }

    /// The connections that are remembered.
    pub(super) fn keys(&self) -> impl Iterator<Item = ConnKey> {
        self.weak.keys().map(|(_, key)| *key)
    }
}
