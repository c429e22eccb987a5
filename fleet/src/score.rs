//! Found against true: which edges are missing, which were invented, which count wrongly.

use std::collections::BTreeMap;

use portolan_model::{Entity, EntityKind, Proto};
use serde::Serialize;

use crate::truth::{EntityName, Truth, TruthEdge};

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Edges of the truth.
    pub edges_true: u64,
    /// Of these, found.
    pub edges_found: u64,
    /// Of these, not found.
    pub edges_missing: u64,
    /// Found, but true in neither the collapsed nor the raw map.
    pub edges_invented: u64,
    /// Found, true as raw hops, but should have been folded away.
    pub edges_unfolded: u64,
    /// Found edges whose connections differ from the truth.
    pub edges_miscounted: u64,
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
    /// Bytes on invented and unfolded edges.
    pub bytes_misattributed: u64,
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
    let raw = by_key(raw.iter().map(of_truth));
    let truth = by_key(truth.iter().map(of_truth));
    let found = by_key(found.iter().map(|e| {
        let key = (name(&e.client), name(&e.server), e.proto, e.port);
        let (sent, received) = (e.bytes_sent, e.bytes_received);
        (key, Sums { connections: e.connections, sent, received })
    }));
    let mut score = Score { edges_true: truth.len() as u64, ..Score::default() };
    for (key, real) in &truth {
        score.connections_true += real.connections;
        score.bytes_true += real.sent + real.received;
        let Some(seen) = found.get(key) else {
            score.edges_missing += 1;
            score.bytes_off += real.sent + real.received;
            list(&mut score.missing, || text(key));
            continue;
        };
        score.edges_found += 1;
        score.connections_found += seen.connections;
        score.bytes_off += real.sent.abs_diff(seen.sent) + real.received.abs_diff(seen.received);
        if seen.connections != real.connections {
            score.edges_miscounted += 1;
            list(&mut score.count_errors, || CountError {
                edge: text(key),
                connections_true: real.connections,
                connections_found: seen.connections,
            });
        }
    }
    for (key, seen) in found.iter().filter(|(key, _)| !truth.contains_key(key)) {
        score.bytes_misattributed += seen.sent + seen.received;
        if raw.contains_key(key) {
            score.edges_unfolded += 1;
            list(&mut score.unfolded, || text(key));
        } else {
            score.edges_invented += 1;
            list(&mut score.invented, || text(key));
        }
    }
    score
}

// === impl Score ===

impl Score {
    /// Every true edge is there, no other, and every connection is counted once.
    pub const fn is_perfect(&self) -> bool {
        self.edges_missing == 0
            && self.edges_invented == 0
            && self.edges_unfolded == 0
            && self.edges_miscounted == 0
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
    (key, Sums { connections: e.connections, sent: e.bytes_sent, received: e.bytes_received })
}

fn by_key(edges: impl Iterator<Item = (Key, Sums)>) -> BTreeMap<Key, Sums> {
    let mut all = BTreeMap::<Key, Sums>::new();
    for (key, sums) in edges {
        let into = all.entry(key).or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::hop;
    use portolan_model::HopClass;

    fn edge(client: &Entity, server: &Entity, connections: u64) -> FoundEdge {
        FoundEdge {
            client: client.clone(),
            server: server.clone(),
            proto: Proto::TCP,
            port: 80,
            connections,
            bytes_sent: 10 * connections,
            bytes_received: 100 * connections,
        }
    }

    fn known(found: &FoundEdge) -> TruthEdge {
        TruthEdge {
            client: found.client.clone(),
            server: found.server.clone(),
            proto: found.proto,
            port: found.port,
            connections: found.connections,
            bytes_sent: found.bytes_sent,
            bytes_received: found.bytes_received,
            first: 1,
            last: 2,
            via: Vec::new(),
        }
    }

    #[test]
    fn each_kind_of_error_is_told_apart() {
        let [a, b, c] = ["a", "b", "c"].map(|n| Entity::new(EntityKind::Workload, "ns", n));
        let vip = hop("", "ns", "b", HopClass::ClusterIp);
        let right = edge(&a, &b, 3);
        let lost = edge(&b, &c, 2);
        let truth = Truth {
            collapsed: vec![known(&right), known(&lost)],
            raw: vec![known(&right), known(&lost), known(&edge(&a, &vip, 3))],
        };
        let perfect = score(&truth, &[right.clone(), lost]);
        assert!(perfect.is_perfect(), "{perfect:?}");
        assert_eq!((perfect.bytes_off, perfect.edges_found), (0, 2));

        let wrong = score(&truth, &[edge(&a, &b, 4), edge(&a, &c, 1), edge(&a, &vip, 1)]);
        assert_eq!(wrong.missing, ["ns/b (workload) -> ns/c (workload) tcp:80"]);
        assert_eq!(wrong.invented, ["ns/a (workload) -> ns/c (workload) tcp:80"]);
        assert_eq!(wrong.unfolded, ["ns/a (workload) -> ns/b (hop) tcp:80"]);
        assert_eq!((wrong.edges_miscounted, wrong.count_errors[0].connections_found), (1, 4));
        // The miscounted edge is off by one connection's bytes, the missing one by all of its own.
        assert_eq!((wrong.bytes_off, wrong.bytes_misattributed), (110 + 220, 220));
        assert!(!wrong.is_perfect());
    }

    #[test]
    fn parts_of_one_edge_are_added_before_they_are_compared() {
        let [a, b] = ["a", "b"].map(|n| Entity::new(EntityKind::Workload, "ns", n));
        let truth = Truth { collapsed: vec![known(&edge(&a, &b, 3))], raw: Vec::new() };
        assert!(score(&truth, &[edge(&a, &b, 1), edge(&a, &b, 2)]).is_perfect());
    }
}
