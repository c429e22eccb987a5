//! Bounds and restarts (trace semantics, C.9, C.10).

use std::fmt::Write as _;

use expect_test::expect;

use super::{Lab, check};
use crate::LineConfig;

#[test]
fn restart_in_the_middle_of_a_trace_counts_it_once() {
    check(
        "span T a client web 0..2
         barrier 5
         restart
         span T b<a server api 0.5..1.5
         barrier 20
         restart
         span T b<a server api 0.5..1.5",
        &expect![[r#"
            t=0 web -> api trace_pair unknown: calls=1 client=1x2s server=1x1s gap=1x1s
            spans_duplicate=1
        "#]],
    );
}

#[test]
fn trace_over_two_partitions_is_one_and_each_is_read_again_from_its_own_offset() {
    let mut lab = Lab::new(&LineConfig::default());
    lab.feed("span Q z client old 0..1 peer=gone\nspan R y client old 0..1 peer=gone\nbarrier 90");
    lab.feed("span T a client web 100..102\nbarrier 103");
    let reread = |lab: &Lab| {
        let last = lab.commits.last().expect("a commit");
        last.positions.iter().map(|p| (p.reread, p.next)).collect::<Vec<_>>()
    };
    assert_eq!(reread(&lab), [(2, 3), (0, 0)]);
    lab.feed("restart\npartition 1\nspan T b<a server api 100.5..101.5\nbarrier 104\nrestart");
    assert_eq!(reread(&lab), [(2, 3), (0, 1)]);
    lab.end();
    assert!(lab.rows_text().contains(
        "t=100 web -> api trace_pair unknown: calls=1 client=1x2s server=1x1s gap=1x1s\n"
    ));
}

/// Nothing comes from the other partition: the watermark leaves it out (`feed::watermark`), and the half
/// is told when its time is over. What comes from there at last still takes the call over.
#[test]
fn idle_partition_holds_nobody_up_and_is_heard_when_it_wakes() {
    let mut lab = Lab::new(&LineConfig::default());
    lab.feed("span T a client web 0..2 peer=pay\nbarrier 20");
    assert_eq!(
        lab.rows_text(),
        "t=0 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x2s\n"
    );
    lab.feed("partition 1\nspan T b<a server api 0.5..1.5\nbarrier 25");
    assert_eq!(
        lab.rows_text(),
        "t=0 web -> api trace_pair unknown: calls=1 client=1x2s server=1x1s gap=1x1s\n"
    );
}

#[test]
fn restart_long_after_reads_nothing_again() {
    let mut lab = Lab::new(&LineConfig::default());
    lab.feed("span T a client web 0..2\nspan T b<a server api 0.5..1.5\nbarrier 5\nbarrier 200");
    assert_eq!(lab.line.front.spans.spans(), 0);
    let position = &lab.commits.last().expect("a commit").positions[0];
    assert_eq!((position.reread, position.next), (2, 2));
}

#[test]
fn trace_that_falls_silent_goes_on_as_another() {
    check(
        "span T a client web 0..2
         span T b<a server api 100..101
         barrier 150",
        &expect![[r#"
            t=0 web -> unresolved:unknown trace_peer unknown: unpaired_client=1
            t=100 unresolved:unknown -> api trace_peer unknown: unpaired_server=1
        "#]],
    );
}

#[test]
fn what_a_trace_did_long_ago_is_forgotten_while_it_goes_on() {
    let mut lab = Lab::new(&LineConfig::default());
    lab.feed("span T a client web 0..2\nbarrier 5");
    lab.feed("span T b client web 50..52\nbarrier 75");
    assert_eq!(lab.line.front.spans.spans(), 1);
    let position = &lab.commits.last().expect("a commit").positions[0];
    assert_eq!((position.reread, position.next), (1, 2));
}

#[test]
fn span_that_comes_too_late_is_counted_and_judged_alone() {
    check(
        "span T a client web 0..2 peer=pay
         barrier 200
         span T b<a server api 0.5..1.5",
        &expect![[r#"
            t=0 unresolved:unknown -> api trace_peer unknown: unpaired_server=1
            t=0 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x2s
            health_late=1
            spans_late=1
        "#]],
    );
}

#[test]
fn oldest_traces_are_folded_over_the_bound_and_every_span_is_accounted_for() {
    let mut config = LineConfig::default();
    config.traces.max_spans = 4;
    let mut lab = Lab::new(&config);
    let mut script = String::new();
    for i in 0..10 {
        let _ = writeln!(script, "span T{i} a client web {}..{} peer=pay", i * 10, i * 10 + 1);
    }
    lab.feed(&script);
    lab.feed("barrier 91");
    assert_eq!(lab.line.front.spans.spans(), 4);
    lab.end();
    expect![[r#"
        t=0 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=10 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=20 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=30 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=40 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=50 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=60 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=70 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=80 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=90 web -> pay trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        spans_folded_early=3
    "#]]
    .assert_eq(&lab.render());
}

#[test]
fn operations_over_the_bound_share_a_row_whatever_came_first() {
    let mut config = LineConfig::default();
    config.traces.max_operations = 2;
    let script: Vec<String> =
        (0..6).map(|i| format!("span T{i} a server web 0..1 op=op{i}")).collect();
    let run = |script: &[String]| {
        let mut lab = Lab::new(&config);
        for line in script {
            lab.feed(line);
            lab.feed("barrier");
        }
        lab.end();
        lab.render()
    };
    let mut back = script.clone();
    back.reverse();
    assert_eq!(run(&script), run(&back));
    expect![[r#"
        t=0 user:user -> web trace_peer unknown [op3]: calls=1 unpaired_server=1 server=1x1s
        t=0 user:user -> web trace_peer unknown [op5]: calls=1 unpaired_server=1 server=1x1s
        t=0 user:user -> web trace_peer unknown: calls=4 unpaired_server=4 server=4x4s
    "#]]
    .assert_eq(&run(&script));
}

/// Each of them is counted once, however often it comes up.
#[test]
fn names_over_the_bound_share_one() {
    let mut config = LineConfig::default();
    config.traces.max_names = 1;
    let mut lab = Lab::new(&config);
    lab.run(
        "span T a client web 0..1 addr=one.example.com
         span U a client web 0..1 addr=two.example.com
         span V a client web 0..1 addr=three.example.com
         span W a client web 0..1 addr=two.example.com",
    );
    expect![[r#"
        t=0 web -> external:three.example.com trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=0 web -> overflow:external names trace_peer unknown: calls=3 unpaired_client=3 client=3x3s
        names_overflowed=2
    "#]].assert_eq(&lab.render());
}

/// Found by the law that the graph is a function of the set of spans: what a judgement named that later
/// spans overturned had taken a place, or had not, by when the barrier came.
#[test]
fn operations_that_are_kept_do_not_depend_on_what_was_judged_meanwhile() {
    let mut config = LineConfig::default();
    config.traces.max_operations = 1;
    let run = |script: &str| {
        let mut lab = Lab::new(&config);
        lab.run(script);
        lab.rows_text()
    };
    for [a, b] in [["x", "y"], ["y", "x"]] {
        // Two versions of one span, of which one stays.
        let first = format!("span T a server web 1..2 op={a}");
        let second = format!("span T a<q server web 1.3..1.4 op={b}");
        let at_once = run(&format!("{first}\n{second}"));
        assert_eq!(run(&format!("{first}\nbarrier 3\n{second}")), at_once);
        assert_eq!(run(&format!("{second}\nbarrier 3\n{first}")), at_once);
    }
    // Whose a span without a name is may change with every span that comes.
    let spans = ["span T b<a server - 1..2 op=x", "span T a server web 1..2 op=y"];
    let other = "span T a<c client api 1..2";
    let at_once = run(&format!("{}\n{}\n{other}", spans[0], spans[1]));
    assert_eq!(run(&format!("{}\n{other}\nbarrier 3\n{}", spans[0], spans[1])), at_once);
}

/// Found by the simulation: a line that went on gave places to what the store knew, also to what spans had named.
#[test]
fn addresses_that_nobody_owns_share_their_places_with_those_of_flows() {
    let config = LineConfig { max_externals: 1, ..LineConfig::default() };
    for restart in ["", "restart"] {
        let mut lab = Lab::new(&config);
        lab.feed("span T a client web 0..1 addr=203.0.113.1\nbarrier 30");
        lab.feed(restart);
        lab.feed("flow 31 203.0.113.9:5000>10.0.0.2:80 120B S @10.9.0.1");
        lab.feed("span U a client web 31..32 addr=203.0.113.8\nbarrier 33");
        lab.end();
        let edges = lab.commits.iter().flat_map(|c| &c.edges);
        let clients: Vec<_> = edges.map(|row| lab.name(row.key.client)).collect();
        assert_eq!(clients, ["overflow:addresses"], "{restart}");
        expect![[r#"
            t=0 web -> external:203.0.113.1 trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
            t=30 web -> overflow:addresses trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        "#]]
        .assert_eq(&lab.rows_text());
    }
}

/// Found by the simulation: a part of a trace was known for longer where nobody looked at it.
#[test]
fn part_of_a_trace_that_is_forgotten_does_not_depend_on_when_it_was_looked_at() {
    for restart in ["", "restart"] {
        let mut lab = Lab::new(&LineConfig::default());
        lab.feed("span T b server web 45..46\nspan T a client web 1..2 peer=x\nbarrier 48");
        lab.feed("span U a client web 1..2 peer=x\nspan U b server web 45..46\nspan U e server web 90..91");
        lab.feed("barrier 76");
        lab.feed(restart);
        lab.feed("span T c<a server api 1..2\nbarrier 93\nbarrier 115");
        lab.feed(restart);
        lab.feed("span U d<b server cart 45..46\nbarrier 116");
        expect![[r#"
            t=0 unresolved:unknown -> api trace_peer unknown: unpaired_server=1
            t=0 web -> x trace_peer unknown: calls=2 unpaired_client=2 client=2x2s
            t=40 unresolved:unknown -> cart trace_peer unknown: unpaired_server=1
            t=40 user:user -> web trace_peer unknown: calls=2 unpaired_server=2 server=2x2s
            t=90 user:user -> web trace_peer unknown: calls=1 unpaired_server=1 server=1x1s
        "#]]
        .assert_eq(&lab.rows_text());
    }
}
