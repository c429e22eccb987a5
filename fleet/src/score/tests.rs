//! What a score means.

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
        lost: 0,
        sampling: 1,
        unseen: false,
        undirected: false,
        unnamed: false,
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
    assert_eq!(wrong.bytes_off, 110 + 220);
    // What the miscounted edge has too much belongs elsewhere, as all of the invented one does.
    assert_eq!((wrong.bytes_misattributed, wrong.bytes_unfolded), (110 + 110, 110));
    assert_eq!((wrong.count_error_max, wrong.count_error_mean), (1.0 / 3.0, 1.0 / 3.0));
    assert!(!wrong.is_perfect());
}

#[test]
fn what_no_record_proves_to_be_anothers_connection_is_told_apart_from_what_should_have_been_folded()
{
    let [a, node, c] = ["a", "node", "c"].map(|n| Entity::new(EntityKind::Workload, "ns", n));
    let (real, masked) = (edge(&a, &c, 3), edge(&node, &c, 3));
    let score_of = |unnamed| {
        let raw = vec![known(&real), TruthEdge { unnamed, ..known(&masked) }];
        score(&Truth { collapsed: vec![known(&real)], raw }, &[real.clone(), masked.clone()])
    };
    let sums = |s: &Score| (s.edges_unfolded, s.bytes_unfolded, s.edges_masked, s.bytes_masked);
    assert_eq!(sums(&score_of(false)), (1, 330, 0, 0));
    assert_eq!(sums(&score_of(true)), (0, 0, 1, 330));
    assert!(score_of(true).is_perfect() && !score_of(false).is_perfect());
}

#[test]
fn parts_of_one_edge_are_added_before_they_are_compared() {
    let [a, b] = ["a", "b"].map(|n| Entity::new(EntityKind::Workload, "ns", n));
    let truth = Truth { collapsed: vec![known(&edge(&a, &b, 3))], raw: Vec::new() };
    assert!(score(&truth, &[edge(&a, &b, 1), edge(&a, &b, 2)]).is_perfect());
}

#[test]
fn what_nobody_could_tell_is_neither_missing_nor_invented() {
    let [a, b] = ["a", "b"].map(|n| Entity::new(EntityKind::Workload, "ns", n));
    let stranger = Entity::new(EntityKind::Unresolved, "", "10.0.0.1");
    let either = Entity::new(EntityKind::Ambiguous, "", "ns/a | ns/b");
    let unseen = TruthEdge { unseen: true, ..known(&edge(&b, &a, 5)) };
    let truth = Truth { collapsed: vec![known(&edge(&a, &b, 3)), unseen], raw: Vec::new() };
    let found = [edge(&a, &b, 3), edge(&stranger, &b, 2), edge(&a, &either, 1)];
    let score = score(&truth, &found);
    assert_eq!((score.edges_true, score.edges_unseen, score.edges_missing), (1, 1, 0));
    assert_eq!((score.edges_invented, score.edges_undecided), (0, 2));
    assert_eq!((score.bytes_unresolved, score.bytes_ambiguous), (220, 110));
    assert_eq!(score.bytes_misattributed, 0);
}

#[test]
fn estimate_is_no_miscount_but_its_error_is_told() {
    let [a, b] = ["a", "b"].map(|n| Entity::new(EntityKind::Workload, "ns", n));
    for sampled in [true, false] {
        let real = known(&edge(&a, &b, 4));
        let sampling = if sampled { 50 } else { 1 };
        let lossy = TruthEdge { sampling, lost: u64::from(!sampled), ..real };
        let truth = Truth { collapsed: vec![lossy], raw: Vec::new() };
        for connections in [3, 5] {
            let score = score(&truth, &[edge(&a, &b, connections)]);
            assert_eq!((score.edges_miscounted, score.edges_estimated), (0, 1));
            assert_eq!(score.edges_beyond_error, 0);
            assert_eq!((score.bytes_off, score.count_error_max), (110, 0.25));
            // A sample may err to either side; what lost records tell can only be too little.
            let too_much = if sampled || connections == 3 { 0 } else { 110 };
            assert_eq!(score.bytes_misattributed, too_much);
        }
    }
}

#[test]
fn estimate_further_off_than_loss_and_sampling_explain_is_told_apart() {
    let [a, b] = ["a", "b"].map(|n| Entity::new(EntityKind::Workload, "ns", n));
    // Of 10,000 connections one packet in 50: within 5 * sqrt(10,000 * 49) + 50 = 3,550.
    for (sampling, lost, found, beyond) in
        [(50, 0, 13_500, 0), (50, 0, 13_600, 1), (1, 7, 9_993, 0), (1, 7, 9_992, 1)]
    {
        let real = TruthEdge { lost, sampling, ..known(&edge(&a, &b, 10_000)) };
        let truth = Truth { collapsed: vec![real], raw: Vec::new() };
        let score = score(&truth, &[edge(&a, &b, found)]);
        assert_eq!((score.edges_estimated, score.edges_beyond_error), (1, beyond));
    }
}

#[test]
fn undirected_edge_is_found_in_either_direction() {
    let [a, b] = ["a", "b"].map(|n| Entity::new(EntityKind::Workload, "ns", n));
    let there = known(&edge(&a, &b, 3));
    let truth = Truth { collapsed: vec![TruthEdge { undirected: true, ..there }], raw: Vec::new() };
    let score = score(&truth, &[edge(&a, &b, 1), edge(&b, &a, 2)]);
    assert!(score.is_perfect(), "{score:?}");
    assert_eq!((score.bytes_off, score.bytes_misattributed), (0, 0));
}

#[test]
fn edge_may_lack_what_is_shown_without_a_name_and_no_more() {
    let [a, b, c] = ["a", "b", "c"].map(|n| Entity::new(EntityKind::Workload, "ns", n));
    let truth = Truth { collapsed: vec![known(&edge(&a, &b, 5))], raw: Vec::new() };
    let short = |name: &str, by: u64| {
        let somebody = Entity::new(EntityKind::Ambiguous, "", name);
        score(&truth, &[edge(&a, &b, 3), edge(&a, &somebody, by)])
    };
    for (name, by, expected) in [
        ("ns/b | ns/c", 2, (1, 0)),
        ("ns/c | 3 more", 2, (1, 0)),
        ("ns/c | ns/d", 2, (0, 1)),
        ("ns/b | ns/c", 1, (0, 1)),
    ] {
        let score = short(name, by);
        assert_eq!((score.edges_short, score.edges_miscounted), expected, "{name} {by}");
    }
    // Another client's connections are not this one's, and too many are never excused.
    let somebody = Entity::new(EntityKind::Ambiguous, "", "ns/b | ns/c");
    let other = score(&truth, &[edge(&a, &b, 3), edge(&c, &somebody, 2)]);
    assert_eq!((other.edges_short, other.edges_miscounted), (0, 1));
    let more = score(&truth, &[edge(&a, &b, 6), edge(&a, &somebody, 2)]);
    assert_eq!((more.edges_short, more.edges_miscounted), (0, 1));
}
