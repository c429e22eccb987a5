//! Found against true: which edges are missing, which were invented, which count wrongly.

use std::collections::BTreeMap;

use portolan_model::{Entity, EntityKind, Proto};
use serde::Serialize;

use crate::truth::{EntityName, Truth, TruthEdge};

#[cfg(test)]
mod tests;
mod undecided;

use undecided::Undecided;

/// Most edges that a score names in each of its lists. The totals are exact beyond it.
const LISTED: usize = 100;

/// An edge that a reader drew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEdge {
    /// Who calls.
    pub client: Entity,
    /// Who is called.
    pub server: Entity,
    /// Protocol.
    pub proto: Proto,
    /// The server's port.
    pub port: u16,
    /// Connections opened.
    pub connections: u64,
    /// Bytes from client to server.
    pub bytes_sent: u64,
    /// Bytes from server to client.
    pub bytes_received: u64,
}

/// How good a map is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Edges of the truth that some agent told of.
    pub edges_true: u64,
    /// Edges of the truth that no agent told of: nobody can find them.
    pub edges_unseen: u64,
    /// Of these, found.
    pub edges_found: u64,
    /// Of these, not found.
    pub edges_missing: u64,
    /// Found, but true in neither the collapsed nor the raw map.
    pub edges_invented: u64,
    /// Found, true as raw hops, but should have been folded away.
    pub edges_unfolded: u64,
    /// The same, but no record proves it: what a node made of a connection, where nothing told that it did.
    pub edges_masked: u64,
    /// Found, with an end that the reader says it cannot name.
    pub edges_undecided: u64,
    /// Found edges whose connections differ from the truth, though all of them was told.
    pub edges_miscounted: u64,
    /// Found edges that lack connections which the map shows with an end that it cannot name.
    pub edges_short: u64,
    /// Found edges whose connections differ because agents lost records or sampled.
    pub edges_estimated: u64,
    /// Of these, the ones that are further off than loss and sampling explain.
    pub edges_beyond_error: u64,
    /// Largest error of the connections of a found edge, as a share of the true ones.
    pub count_error_max: f64,
    /// Mean of these errors over the found edges.
    pub count_error_mean: f64,
    /// The first of the missing.
    pub missing: Vec<String>,
    /// The first of the invented.
    pub invented: Vec<String>,
    /// The first of the unfolded.
    pub unfolded: Vec<String>,
    /// The first of the miscounted.
    pub count_errors: Vec<CountError>,
    /// Connections of the truth.
    pub connections_true: u64,
    /// Connections found on true edges.
    pub connections_found: u64,
    /// Bytes of the truth, both directions.
    pub bytes_true: u64,
    /// Sum over true edges of how far the bytes of each direction are off.
    pub bytes_off: u64,
    /// Bytes on invented edges, and what true edges have too much beside what sampling explains.
    pub bytes_misattributed: u64,
    /// Bytes on unfolded edges.
    pub bytes_unfolded: u64,
    /// Bytes on edges that no record proves to be others' connections.
    pub bytes_masked: u64,
    /// Bytes on edges with an end of several possible owners.
    pub bytes_ambiguous: u64,
    /// Bytes on edges with an end of no known owner.
    pub bytes_unresolved: u64,
}

/// An edge that counts wrongly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CountError {
    /// Which.
    pub edge: String,
    /// Connections it should count.
    pub connections_true: u64,
    /// Connections it counts.
    pub connections_found: u64,
}

/// Ends, protocol and port. Without `detail`: the source's own word does not make an edge wrong.
type Key = (Name, Name, Proto, u16);
type Name = (String, String, String, EntityKind);

#[derive(Clone, Copy, Default)]
struct Sums {
    connections: u64,
    sent: u64,
    received: u64,
    lost: u64,
    sampling: u32,
    unseen: bool,
    undirected: bool,
    unnamed: bool,
}

/// Scores a map against the collapsed truth. Found edges of one key are added up first.
pub fn score(truth: &Truth, found: &[FoundEdge]) -> Score {
    grade(&truth.collapsed, &truth.raw, found)
}

/// Scores a map against any list of true edges, such as [`Truth::raw`].
pub fn score_edges(truth: &[TruthEdge], found: &[FoundEdge]) -> Score {
    grade(truth, &[], found)
}

fn grade(truth: &[TruthEdge], raw: &[TruthEdge], found: &[FoundEdge]) -> Score {
    let mut score = Score::default();
    let raw = by_key(raw.iter().map(of_truth));
    let real = by_key(truth.iter().map(of_truth));
    let mut told = by_key(found.iter().map(|e| {
        let key = (name(&e.client), name(&e.server), e.proto, e.port);
        let (sent, received) = (e.bytes_sent, e.bytes_received);
        (key, Sums { connections: e.connections, sent, received, ..Sums::default() })
    }));
    let mut errors = Vec::new();
    for (key, _) in real.iter().filter(|(_, real)| real.undirected) {
        turn(&mut told, key);
    }
    let undecided = Undecided::new(&told);
    for (key, real) in &real {
        if real.unseen && !told.contains_key(key) {
            score.edges_unseen += 1;
            continue;
        }
        score.edges_true += 1;
        score.connections_true += real.connections;
        score.bytes_true += real.bytes();
        let Some(seen) = told.get(key) else {
            score.edges_missing += 1;
            score.bytes_off += real.bytes();
            list(&mut score.missing, || text(key));
            continue;
        };
        let lacks = real.connections.saturating_sub(seen.connections);
        let is_short = lacks > 0 && lacks <= undecided.of(key);
        errors.push(score.compare(key, real, seen, is_short));
    }
    score.count_error_max = errors.iter().copied().fold(0.0, f64::max);
    score.count_error_mean = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
    for (key, seen) in told.iter().filter(|(key, _)| !real.contains_key(key)) {
        score.surplus(key, seen, raw.get(key));
    }
    score
}

/// Adds what was found of an undirected edge the other way round.
fn turn(told: &mut BTreeMap<Key, Sums>, key: &Key) {
    let (client, server, proto, port) = key.clone();
    let back = (server, client, proto, port);
    if back == *key {
        return;
    }
    if let Some(other) = told.remove(&back) {
        let into = told.entry(key.clone()).or_default();
        into.connections += other.connections;
        into.sent += other.received;
        into.received += other.sent;
    }
}

// === impl Sums ===

impl Sums {
    fn bytes(&self) -> u64 {
        self.sent + self.received
    }

    /// How far a count of connections may be off: by one for every record that was lost, and, where
    /// one packet in `N` was looked at, by five standard deviations of `N` times a draw of `c` with
    /// probability `1 / N`, and one opening more or less. Of a million edges less than one is
    /// further off by chance.
    fn count_error(&self) -> f64 {
        let n = f64::from(self.sampling.max(1));
        let drawn =
            if n > 1.0 { 5.0 * (self.connections as f64 * (n - 1.0)).sqrt() + n } else { 0.0 };
        drawn + self.lost as f64
    }
}

// === impl Score ===

impl Score {
    /// Compares a true edge with what was found of it: the error of its connections. `is_short` says that
    /// what it lacks is shown elsewhere, without a name.
    fn compare(&mut self, key: &Key, real: &Sums, seen: &Sums, is_short: bool) -> f64 {
        self.edges_found += 1;
        self.connections_found += seen.connections;
        // Where nothing tells who began, nothing tells which direction was sent.
        let directions = if real.undirected {
            [(real.bytes(), seen.bytes()), (0, 0)]
        } else {
            [(real.sent, seen.sent), (real.received, seen.received)]
        };
        for (real_bytes, seen_bytes) in directions {
            self.bytes_off += real_bytes.abs_diff(seen_bytes);
            if real.sampling <= 1 {
                self.bytes_misattributed += seen_bytes.saturating_sub(real_bytes);
            }
        }
        let off = seen.connections.abs_diff(real.connections);
        if is_short {
            self.edges_short += 1;
        } else if off > 0 && (real.sampling > 1 || real.lost > 0) {
            self.edges_estimated += 1;
            if off as f64 > real.count_error() {
                self.edges_beyond_error += 1;
                list(&mut self.count_errors, || CountError {
                    edge: text(key),
                    connections_true: real.connections,
                    connections_found: seen.connections,
                });
            }
        } else if off > 0 {
            self.edges_miscounted += 1;
            list(&mut self.count_errors, || CountError {
                edge: text(key),
                connections_true: real.connections,
                connections_found: seen.connections,
            });
        }
        off as f64 / real.connections.max(1) as f64
    }

    /// Counts an edge that is not true; `raw` is what it is as a hop.
    fn surplus(&mut self, key: &Key, seen: &Sums, raw: Option<&Sums>) {
        let is = |kind| key.0.3 == kind || key.1.3 == kind;
        if is(EntityKind::Ambiguous) {
            self.edges_undecided += 1;
            self.bytes_ambiguous += seen.bytes();
        } else if is(EntityKind::Unresolved) || is(EntityKind::Overflow) {
            self.edges_undecided += 1;
            self.bytes_unresolved += seen.bytes();
        } else if raw.is_some_and(|raw| raw.unnamed) {
            self.edges_masked += 1;
            self.bytes_masked += seen.bytes();
        } else if raw.is_some() {
            self.edges_unfolded += 1;
            self.bytes_unfolded += seen.bytes();
            list(&mut self.unfolded, || text(key));
        } else {
            self.edges_invented += 1;
            self.bytes_misattributed += seen.bytes();
            list(&mut self.invented, || text(key));
        }
    }

    /// Every true edge is there, no other, and every connection is counted once.
    pub const fn is_perfect(&self) -> bool {
        self.edges_missing == 0
            && self.edges_invented == 0
            && self.edges_unfolded == 0
            && self.edges_undecided == 0
            && self.edges_miscounted == 0
            && self.edges_short == 0
    }

    /// How far the bytes are off, as a share of the true bytes.
    pub fn bytes_error(&self) -> f64 {
        if self.bytes_true == 0 {
            return 0.0;
        }
        self.bytes_off as f64 / self.bytes_true as f64
    }
}

fn of_truth(e: &TruthEdge) -> (Key, Sums) {
    let key = (name(&e.client), name(&e.server), e.proto, e.port);
    let sums = Sums {
        connections: e.connections,
        sent: e.bytes_sent,
        received: e.bytes_received,
        lost: e.lost,
        sampling: e.sampling,
        unseen: e.unseen,
        undirected: e.undirected,
        unnamed: e.unnamed,
    };
    (key, sums)
}

fn by_key(edges: impl Iterator<Item = (Key, Sums)>) -> BTreeMap<Key, Sums> {
    let mut all = BTreeMap::<Key, Sums>::new();
    for (key, sums) in edges {
        let first = !all.contains_key(&key);
        let into = all.entry(key).or_default();
        into.unseen = sums.unseen && (first || into.unseen);
        into.lost += sums.lost;
        into.sampling = into.sampling.max(sums.sampling);
        into.undirected |= sums.undirected;
        into.unnamed |= sums.unnamed;
        into.connections += sums.connections;
        into.sent += sums.sent;
        into.received += sums.received;
    }
    all
}

fn name(entity: &Entity) -> Name {
    let EntityName { environment, namespace, name, .. } = entity.into();
    (environment, namespace, name, entity.kind)
}

fn text((client, server, proto, port): &Key) -> String {
    let end = |(environment, namespace, name, kind): &Name| {
        let parts = [environment, namespace, name].into_iter().filter(|part| !part.is_empty());
        let path = parts.map(String::as_str).collect::<Vec<_>>().join("/");
        format!("{path} ({})", kind.as_str())
    };
    format!("{} -> {} {proto}:{port}", end(client), end(server))
}

fn list<T>(into: &mut Vec<T>, item: impl FnOnce() -> T) {
    if into.len() < LISTED {
        into.push(item());
    }
}
