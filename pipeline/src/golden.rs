//! Golden cases of flow truth (flow semantics, section 5), by number: each has one right answer.

use std::fmt::Write as _;

use expect_test::expect;
use portolan_model::{Counters, Measure};

use crate::check::check;

const TWO_NODES: &str = "
    own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
    own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
    own node n1 ip=10.9.0.1
    own node n2 ip=10.9.0.2
    own service api ip=172.30.0.7 ports=tcp/80 to=10.0.1.1:8080
";

fn two_nodes(script: &str, expected: &expect_test::Expect) {
    check(&format!("{TWO_NODES}{script}"), expected);
}

#[test]
fn case_1_address_reused_after_three_seconds_while_flows_are_late() {
    check(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own pod a-0 owner=a ip=10.0.1.1 node=10.9.0.2 t=0..20
         own pod b-0 owner=b ip=10.0.1.1 node=10.9.0.2 t=23..
         flow 300 10.0.0.1:39999>10.0.0.1:1 1B @10.9.0.1
         barrier
         flow 19..20 10.0.0.1:40000>10.0.1.1:8080 100B S F @10.9.0.1
         flow 24..25 10.0.0.1:40001>10.0.1.1:8080 100B S F @10.9.0.1",
        &expect![[r#"
            t=10 web -> a tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
            t=20 web -> b tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
            t=300 web -> web tcp/1: flows=1 active=1 sent=1 connections_guessed=1
            late=2
        "#]],
    );
}

#[test]
fn case_2_close_that_arrives_forty_seconds_after_the_pod_is_gone() {
    check(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own pod a-0 owner=a ip=10.0.1.1 node=10.9.0.2 t=0..5
         own pod b-0 owner=b ip=10.0.1.1 node=10.9.0.2 t=40..
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 100B S @10.9.0.1
         flow 45..45 10.0.0.1:40000>10.0.1.1:8080 60B F @10.9.0.1",
        &expect![[r#"
            t=0 web -> a tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
            t=40 web -> a tcp/8080: flows=1 active=1 sent=60 connections_guessed=1
        "#]],
    );
}

#[test]
fn case_3_finished_job_whose_address_goes_to_another() {
    check(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own pod job-0 owner=job ip=10.0.1.1 node=10.9.0.2 t=0..5
         own pod next-0 owner=next ip=10.0.1.1 node=10.9.0.2 t=6..
         flow 3..4 10.0.1.1:40000>10.0.0.1:8080 100B S @10.9.0.2
         flow 7..8 10.0.1.1:40001>10.0.0.1:8080 100B S @10.9.0.2",
        &expect![[r#"
            t=0 next -> web tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
            t=0 job -> web tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
        "#]],
    );
}

#[test]
fn case_4_pod_that_speaks_before_the_api_shows_it() {
    check(
        "own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
         own pod new-0 owner=new ip=10.0.0.1 node=10.9.0.1 t=20..
         flow 10..11 10.0.0.1:40000>10.0.1.1:8080 100B S @10.9.0.1",
        &expect![[r#"
            t=10 new -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100 bytes_inferred=100
        "#]],
    );
}

#[test]
fn case_5_relist_gap_with_two_possible_owners_names_neither() {
    check(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own pod a-0 owner=a ip=10.0.1.1 node=10.9.0.2 t=0..10 maybe=..100
         own pod b-0 owner=b ip=10.0.1.1 node=10.9.0.2 t=100.. maybe=60..
         flow 80..81 10.0.0.1:40000>10.0.1.1:8080 100B S @10.9.0.1
         flow 30..31 10.0.0.1:40001>10.0.1.1:8080 100B S @10.9.0.1",
        &expect![[r#"
            t=30 web -> a tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100 bytes_inferred=100
            t=80 web -> a | b tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
        "#]],
    );
}

/// The relist says that there was a gap: the one whose end it hides had the address possibly, the next
/// one never before its time.
#[test]
fn case_5_in_a_gap_that_is_told_of_nobody_speaks_early() {
    check(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own pod a-0 owner=a ip=10.0.1.1 node=10.9.0.2 t=0..10 maybe=..100
         flow 30..31 10.0.0.1:40001>10.0.1.1:8080 100B S @10.9.0.1
         own pod b-0 owner=b ip=10.0.1.2 node=10.9.0.2 t=90..
         flow 80..81 10.0.1.2:40002>10.0.0.1:8080 50B S @10.9.0.2
         barrier
         gap 10..100",
        &expect![[r#"
            t=30 web -> a tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100 bytes_inferred=100
            t=80 10.0.1.2 -> web tcp/8080: flows=1 conns=1 failed=1 active=1 sent=50
        "#]],
    );
}

#[test]
fn case_6_late_delete_of_the_old_owner_does_not_touch_the_new_one() {
    check(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own pod a-0 owner=a ip=10.0.1.1 node=10.9.0.2 t=0..
         own pod b-0 owner=b ip=10.0.1.1 node=10.9.0.2 t=10..
         flow 12..13 10.0.0.1:40000>10.0.1.1:8080 100B S @10.9.0.1
         barrier
         gone a-0 30
         flow 31..32 10.0.0.1:40001>10.0.1.1:8080 100B S @10.9.0.1",
        &expect![[r#"
            t=10 web -> b tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
            t=30 web -> b tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
        "#]],
    );
}

#[test]
fn case_8_three_host_network_pods_on_one_node() {
    check(
        "own node n1 ip=10.9.0.1
         own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own pod x-1 owner=x ip=10.9.0.1 node=10.9.0.1 host ports=tcp/9100
         own pod y-1 owner=y ip=10.9.0.1 node=10.9.0.1 host ports=tcp/9200
         own pod z-1 owner=z ip=10.9.0.1 node=10.9.0.1 host ports=tcp/9300
         flow 3..4 10.0.0.1:40000>10.9.0.1:9100 100B S @10.9.0.1
         flow 3..4 10.0.0.1:40001>10.9.0.1:9300 100B S @10.9.0.1
         flow 3..4 10.9.0.1:50000>10.0.0.1:8080 100B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> z tcp/9300: flows=1 conns=1 failed=1 active=1 sent=100
            t=0 web -> x tcp/9100: flows=1 conns=1 failed=1 active=1 sent=100
            t=0 n1 -> web tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
        "#]],
    );
}

const THREE_RECORDS: &str = "
    flow 3..4 10.0.0.1:40000>172.30.0.7:80 120B S @10.9.0.1
    flow 3..4 172.30.0.7:80>10.0.0.1:40000 900B SA @10.9.0.1
    flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1
    flow 3..4 10.0.1.1:8080>10.0.0.1:40000 900B SA @10.9.0.1
    flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.2
    flow 3..4 10.0.1.1:8080>10.0.0.1:40000 900B SA @10.9.0.2
";

#[test]
fn case_9_three_records_of_one_connection_through_a_service_count_once() {
    two_nodes(
        THREE_RECORDS,
        &expect![[r#"
        t=0 web -> api tcp/80: flows=2 conns=1 active=1 sent=120 received=900
        t=0 web -> api tcp/8080: flows=2 conns=1 active=1 sent=120 received=900 twice=2
        t=0 explained alias web => api via api tcp/8080: flows=2 conns=1 active=1 sent=120 received=900
    "#]],
    );
}

#[test]
fn case_10_with_one_agent_down_the_other_ones_word_counts() {
    two_nodes(
        "flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.2
         flow 6..7 10.0.0.1:40001>10.0.1.1:8080 130B S @10.9.0.2",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=2 conns=2 failed=2 active=2 sent=250 twice=1
        "#]],
    );
}

#[test]
fn case_11_unsampled_side_counts_although_the_sampled_one_is_nearer() {
    two_nodes(
        "flow 3..4 10.0.0.1:40000>10.0.1.1:8080 20B sample=50 @10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 900B S @10.9.0.2",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=900 twice=1
        "#]],
    );
}

#[test]
fn case_14_server_in_the_range_of_ephemeral_ports() {
    two_nodes(
        "own service rpc ip=172.30.0.8 ports=tcp/50051 to=10.0.1.1:50051
         flow 3..4 10.0.0.1:40000>10.0.1.1:50051 100B @10.9.0.1
         flow 3..4 10.0.1.1:50051>10.0.0.1:40000 100B @10.9.0.1",
        &expect![[r#"
            t=0 web -> api tcp/50051: flows=2 active=1 sent=100 received=100
        "#]],
    );
}

#[test]
fn case_15_gossip_on_equal_ports_has_a_direction_only_by_handshake() {
    two_nodes(
        "flow 3..4 10.0.0.1:7946>10.0.1.1:7946 10B S @10.9.0.1
         flow 13..14 10.0.1.1:7947>10.0.0.1:7947 10B @10.9.0.2",
        &expect![[r#"
            t=0 web -> api tcp/7946: flows=1 conns=1 failed=1 active=1 sent=10
            t=10 web -- api tcp/7947: flows=1 active=1 received=10 connections_guessed=1
        "#]],
    );
}

#[test]
fn case_17_port_reused_with_reversed_roles() {
    two_nodes(
        "flow 3..4 10.0.0.1:5000>10.0.1.1:6000 100B S F @10.9.0.1
         flow 3..4 10.0.1.1:6000>10.0.0.1:5000 100B SA F @10.9.0.1
         flow 83..84 10.0.1.1:6000>10.0.0.1:5000 100B S F @10.9.0.2
         flow 83..84 10.0.0.1:5000>10.0.1.1:6000 100B SA F @10.9.0.2",
        &expect![[r#"
            t=0 web -> api tcp/6000: flows=2 conns=1 active=1 sent=100 received=100
            t=80 api -> web tcp/5000: flows=2 conns=1 active=1 sent=100 received=100
        "#]],
    );
}

#[test]
fn case_19_masked_client_is_the_node_never_a_pod_of_it() {
    two_nodes(
        "own pod host-1 owner=host ip=10.9.0.1 node=10.9.0.1 host ports=tcp/9100
         flow 3..4 10.9.0.1:33000>10.0.1.1:8080 100B S @10.9.0.2",
        &expect![[r#"
            t=0 n1 -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
        "#]],
    );
}

#[test]
fn case_20_shared_ingress_never_joins_its_callers_with_its_backends() {
    check(
        "own pod a-1 owner=a ip=10.0.0.1 node=10.9.0.1
         own pod b-1 owner=b ip=10.0.0.2 node=10.9.0.1
         own pod x-1 owner=x ip=10.0.1.1 node=10.9.0.2
         own pod y-1 owner=y ip=10.0.1.2 node=10.9.0.2
         own lb edge ip=10.0.0.9 ports=tcp/80 to=10.0.1.1:8080,10.0.1.2:8080 node=10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.0.9:80 100B S @10.9.0.1
         flow 3..4 10.0.0.2:40000>10.0.0.9:80 100B S @10.9.0.1
         flow 3..4 10.0.0.9:50000>10.0.1.1:8080 110B S @10.9.0.1
         flow 3..4 10.0.0.9:50001>10.0.1.2:8080 110B S @10.9.0.1",
        &expect![[r#"
            t=0 a -> edge tcp/80: flows=1 conns=1 failed=1 active=1 sent=100
            t=0 edge -> x tcp/8080: flows=1 conns=1 failed=1 active=1 sent=110
            t=0 edge -> y tcp/8080: flows=1 conns=1 failed=1 active=1 sent=110
            t=0 b -> edge tcp/80: flows=1 conns=1 failed=1 active=1 sent=100
        "#]],
    );
}

/// Fifty callers, eighty backends, and one connection in ten whose own record says where it went on.
#[test]
fn case_20_of_fifty_callers_and_eighty_backends_only_what_is_proven_is_joined() {
    const CONNECTIONS: i64 = 400;
    let mut lab = crate::check::Lab::new(&crate::LineConfig::default());
    let mut script = String::new();
    for caller in 0..50 {
        let _ = writeln!(script, "own pod a-{caller} owner=a-{caller} ip=10.0.0.{}", caller + 1);
    }
    for backend in 0..80 {
        let _ = writeln!(script, "own pod b-{backend} owner=b-{backend} ip=10.0.1.{}", backend + 1);
    }
    let backends: Vec<_> = (1..=80).map(|at| format!("10.0.1.{at}:8080")).collect();
    let _ = writeln!(script, "own lb edge ip=10.0.9.9 ports=tcp/80 to={}", backends.join(","));
    for at in 0..CONNECTIONS {
        let (client, port, backend) = (at % 50 + 1, 40_000 + at, at * 7 % 80 + 1);
        let client = format!("10.0.0.{client}:{port}");
        let proof = format!("xlat={client}>10.0.1.{backend}:8080");
        let proof = if at % 10 == 0 { proof.as_str() } else { "" };
        let _ = writeln!(script, "flow 3 {client}>10.0.9.9:80 100B S @10.9.0.1 {proof}");
        let _ = writeln!(script, "flow 3 10.0.9.9:{port}>10.0.1.{backend}:8080 110B S @10.9.0.1");
    }
    lab.run(&script);
    let count = |sums: &[&Counters]| sums.iter().map(|c| c[Measure::Connections]).sum::<i64>();
    let is_edge = |id| lab.names[&id].name.as_ref() == "edge";
    let edges = lab.edges.iter().filter(|(_, c)| !c.is_zero());
    let (to, rest): (Vec<_>, Vec<_>) = edges.partition(|(key, _)| is_edge(key.server));
    assert!(rest.iter().all(|(key, _)| is_edge(key.client)), "no caller meets a backend by itself");
    let raw: Vec<_> = to.iter().map(|(_, counters)| *counters).collect();
    let paths: Vec<_> = lab.paths.values().collect();
    assert_eq!((count(&raw), count(&paths)), (CONNECTIONS, CONNECTIONS / 10));
    for ((key, path), proven) in lab.paths.iter().zip(1..) {
        assert!(proven <= CONNECTIONS / 10, "each pair is one that a record named");
        let leg: Vec<_> = to.iter().filter(|(k, _)| k.client == key.client).map(|e| e.1).collect();
        assert!(path[Measure::Connections] <= count(&leg), "a leg passes on what it was sent");
    }
}

#[test]
fn case_21_pod_that_calls_itself_through_its_own_service() {
    two_nodes(
        "flow 3..4 10.0.1.1:40000>172.30.0.7:80 100B S @10.9.0.2",
        &expect![[r#"
        t=0 api -> api tcp/80: flows=1 conns=1 failed=1 active=1 sent=100
        t=0 moved declared api => api via api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
    "#]],
    );
}

#[test]
fn case_22_replies_that_bypass_the_balancer_are_no_loss() {
    two_nodes(
        "flow 3..4 10.0.0.1:40000>172.30.0.7:80 120B S @10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.2
         flow 3..4 10.0.1.1:8080>10.0.0.1:40000 900B SA @10.9.0.2",
        &expect![[r#"
            t=0 web -> api tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 web -> api tcp/8080: flows=2 conns=1 active=1 sent=120 received=900
            t=0 explained alias web => api via api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn case_26_merged_packets_on_one_side_are_not_reported_as_loss() {
    two_nodes(
        "flow 3..4 10.0.0.1:40000>10.0.1.1:8080 6400B S @10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 6000B S @10.9.0.2",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=6400 twice=1
        "#]],
    );
}

#[test]
fn case_7_equal_ranges_of_two_clusters_stay_apart() {
    let mut lab = crate::check::Lab::new(&crate::LineConfig::default());
    lab.run(TWO_NODES);
    let mut row = crate::check::flow("3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1");
    lab.flow(row);
    row.scope = portolan_model::ScopeId::of("cluster/other/pod");
    lab.flow(row);
    lab.barrier();
    expect![[r#"
        t=0 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        t=0 10.0.0.1 -> 10.0.1.1 tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
    "#]]
    .assert_eq(&lab.render());
}

#[test]
fn case_16_flags_that_a_router_adds_up_are_no_handshake() {
    // A router's decoder keeps a SYN only where it stands alone: both directions of an established
    // flow come without.
    two_nodes(
        "flow 3..4 10.0.0.1:40000>10.0.1.1:8080 100B @10.9.0.9
         flow 3..4 10.0.1.1:8080>10.0.0.1:40000 100B @10.9.0.9",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=2 active=1 sent=100 received=100
        "#]],
    );
}

#[test]
fn case_12_three_kinds_of_source_tell_of_one_connection_and_the_best_counts() {
    two_nodes(
        "flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1
         flow 3..4 10.0.1.1:8080>10.0.0.1:40000 900B SA @10.9.0.1
         flow 0..60 10.0.0.1:40000>10.0.1.1:8080 106B cloud @10.9.0.7
         flow 0..60 10.0.1.1:8080>10.0.0.1:40000 886B cloud @10.9.0.7
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 40B proxy dialled @10.9.0.1
         flow 3..4 10.0.1.1:8080>10.0.0.1:40000 700B proxy accepted @10.9.0.1",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=2 conns=1 active=1 sent=120 received=900 twice=4
        "#]],
    );
}

#[test]
fn case_13_row_of_a_workload_and_row_of_its_service_are_one_connection() {
    // OBI tells of either destination, from one agent and of the same client's socket.
    two_nodes(
        "flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B @10.9.0.1
         flow 3..4 10.0.1.1:8080>10.0.0.1:40000 900B @10.9.0.1
         flow 3..4 10.0.0.1:40000>172.30.0.7:80 120B @10.9.0.1
         flow 3..4 172.30.0.7:80>10.0.0.1:40000 900B @10.9.0.1",
        &expect![[r#"
            t=0 web -> api tcp/80: flows=2 active=1 sent=120 received=900
            t=0 web -> api tcp/8080: flows=2 active=1 sent=120 received=900
            t=0 explained alias web => api via api tcp/8080: flows=2 active=1 sent=120 received=900
        "#]],
    );
}

#[test]
fn case_18_both_ends_of_a_mesh_and_the_waypoint_between_them() {
    // Each leg is logged by the proxies of both its ends; the waypoint stays a node of the map,
    // because nothing here joins what it accepted with what it dialled.
    two_nodes(
        "own pod way-1 owner=waypoint ip=10.0.2.1 node=10.9.0.3 ports=tcp/15008
         flow 3..4 10.0.0.1:40000>10.0.2.1:15008 120B proxy dialled S @10.9.0.1
         flow 3..4 10.0.2.1:15008>10.0.0.1:40000 900B proxy accepted SA @10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.2.1:15008 120B proxy dialled S @10.9.0.3
         flow 3..4 10.0.2.1:15008>10.0.0.1:40000 900B proxy accepted SA @10.9.0.3
         flow 3..4 10.0.2.1:50000>10.0.1.1:8080 130B proxy dialled S @10.9.0.3
         flow 3..4 10.0.1.1:8080>10.0.2.1:50000 910B proxy accepted SA @10.9.0.3
         flow 3..4 10.0.2.1:50000>10.0.1.1:8080 130B proxy dialled S @10.9.0.2
         flow 3..4 10.0.1.1:8080>10.0.2.1:50000 910B proxy accepted SA @10.9.0.2",
        &expect![[r#"
            t=0 web -> waypoint tcp/15008: flows=2 conns=1 active=1 sent=120 received=900 twice=2
            t=0 waypoint -> api tcp/8080: flows=2 conns=1 active=1 sent=130 received=910 twice=2
        "#]],
    );
}

#[test]
fn case_23_address_of_nat64_is_the_one_behind_it() {
    two_nodes(
        "own pod six-1 owner=six ip=fd00::1 node=10.9.0.1
         flow 3..4 [fd00::1]:40000>[64:ff9b::a00:101]:8080 120B S @10.9.0.1
         flow 3..4 [64:ff9b::a00:101]:8080>[fd00::1]:40000 900B SA @10.9.0.1
         flow 3..4 [::ffff:10.0.0.1]:40001>10.0.1.1:8080 70B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=70
            t=0 six -> api tcp/8080: flows=2 conns=1 active=1 sent=120 received=900
        "#]],
    );
}

#[test]
fn case_25_late_handshake_turns_history_round_in_one_epoch() {
    let mut lab = crate::check::Lab::new(&crate::LineConfig::default());
    lab.run(TWO_NODES);
    // By the ports the client is `api`; the SYN that comes an epoch later is of `web`.
    lab.run("flow 3..4 10.0.0.1:8001>10.0.1.1:50001 120B @10.9.0.1");
    let guessed = lab.commits.last().expect("the run ended an epoch").edges.clone();
    lab.run("flow 2..2.5 10.0.0.1:8001>10.0.1.1:50001 74B S @10.9.0.1");
    let turned = &lab.commits.last().expect("the run ended an epoch").edges;
    let received = |row: &portolan_model::EdgeDelta| {
        let counters = &row.counters;
        (counters[Measure::BytesReceived], counters[Measure::BytesSent])
    };
    assert_eq!(guessed.iter().map(received).collect::<Vec<_>>(), [(120, 0)]);
    let mut both: Vec<(i64, i64)> = turned.iter().map(received).collect();
    both.sort_unstable();
    assert_eq!(both, [(-120, 0), (0, 194)], "taken back and added in one commit");
    expect![[r#"
        t=0 web -> api tcp/50001: flows=2 conns=1 failed=1 active=1 sent=194
    "#]]
    .assert_eq(&lab.render());
}
