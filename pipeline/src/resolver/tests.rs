//! What the resolver means, in text.

use expect_test::expect;

use crate::LineConfig;
use crate::check::{Lab, check};

const FLEET: &str = "
    own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
    own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
    own node n1 ip=10.9.0.1
    own node n2 ip=10.9.0.2
";

fn fleet(script: &str, expected: &expect_test::Expect) {
    check(&format!("{FLEET}{script}"), expected);
}

#[test]
fn connection_seen_by_both_nodes_counts_once() {
    fleet(
        "flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1
         flow 3..4 10.0.1.1:8080>10.0.0.1:40000 900B SA @10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 118B S @10.9.0.2
         flow 3..4 10.0.1.1:8080>10.0.0.1:40000 900B SA @10.9.0.2",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=2 conns=1 active=1 sent=120 received=900 twice=2
        "#]],
    );
}

#[test]
fn answer_behind_the_boundary_belongs_to_the_opening_before_it() {
    for order in [[0, 1], [1, 0]] {
        let flows = [
            "flow 9.9..9.999 10.0.0.1:40000>10.0.1.1:8080 120B S F @10.9.0.1",
            "flow 10..10.001 10.0.1.1:8080>10.0.0.1:40000 900B SA F @10.9.0.1",
        ];
        fleet(
            &format!("{}\nbarrier\n{}", flows[order[0]], flows[order[1]]),
            &expect![[r#"
                t=0 web -> api tcp/8080: flows=1 conns=1 active=1 sent=120
                t=10 web -> api tcp/8080: flows=1 active=1 received=900
            "#]],
        );
    }
}

#[test]
fn redelivered_record_counts_once() {
    fleet(
        "flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1
         barrier
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
            duplicates=1
        "#]],
    );
}

#[test]
fn owner_that_arrives_later_moves_the_counts() {
    check(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1
         barrier
         own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
         barrier",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn late_handshake_turns_the_direction_round() {
    fleet(
        "flow 3..4 10.0.0.1:8080>10.0.1.1:40000 50B @10.9.0.1
         barrier
         flow 2..3 10.0.0.1:8080>10.0.1.1:40000 120B S @10.9.0.1
         barrier",
        &expect![[r#"
            t=0 web -> api tcp/40000: flows=2 conns=1 failed=1 active=1 sent=170
        "#]],
    );
}

#[test]
fn address_changes_hands_and_each_owner_keeps_its_own() {
    check(
        "own pod report-0 owner=report ip=10.0.0.30 node=10.9.0.1 t=0..5
         own pod warm-1 owner=warm ip=10.0.0.30 node=10.9.0.1 t=6..9
         own pod pg-0 owner=pg ip=10.0.1.1 node=10.9.0.2
         flow 3..4 10.0.0.30:40000>10.0.1.1:5432 120B S @10.9.0.1
         flow 7..8 10.0.0.30:40001>10.0.1.1:5432 120B S @10.9.0.1",
        &expect![[r#"
            t=0 warm -> pg tcp/5432: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 report -> pg tcp/5432: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn record_over_a_boundary_is_divided_and_keeps_its_sum() {
    fleet(
        "flow 8..13 10.0.0.1:40000>10.0.1.1:8080 1001B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=400
            t=10 web -> api tcp/8080: flows=1 active=1 sent=601
        "#]],
    );
}

#[test]
fn gossip_on_equal_ports_without_handshake_has_no_direction() {
    fleet(
        "flow 3..4 10.0.0.1:7946>10.0.1.1:7946 10B @10.9.0.1
         flow 3..4 10.0.1.1:7946>10.0.0.1:7946 10B @10.9.0.2",
        &expect![[r#"
            t=0 web -- api tcp/7946: flows=2 active=1 sent=10 received=10 connections_guessed=1
        "#]],
    );
}

#[test]
fn nobody_owns_the_address_and_the_map_says_so() {
    fleet(
        "flow 3..4 10.0.0.1:40000>10.7.7.7:443 10B S @10.9.0.1
         flow 3..4 10.0.0.1:40001>203.0.113.9:443 10B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> 10.7.7.7 tcp/443: flows=1 conns=1 failed=1 active=1 sent=10
            t=0 web -> 203.0.113.9 tcp/443: flows=1 conns=1 failed=1 active=1 sent=10
        "#]],
    );
}

#[test]
fn two_owners_at_one_instant_are_ambiguous_unless_the_node_tells() {
    check(
        "own pod a-1 owner=a ip=10.0.0.5 node=10.9.0.1 t=0..20
         own pod b-1 owner=b ip=10.0.0.5 node=10.9.0.2 t=0..20
         own pod pg-0 owner=pg ip=10.0.1.1 node=10.9.0.3
         flow 3..4 10.0.0.5:40000>10.0.1.1:5432 120B S @10.9.0.1
         flow 3..4 10.0.0.5:40001>10.0.1.1:5432 120B S @10.9.0.3",
        &expect![[r#"
            t=0 a -> pg tcp/5432: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 a | b -> pg tcp/5432: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn sampled_records_are_scaled_and_say_so() {
    fleet(
        "flow 3..4 10.0.0.1:40000>10.0.1.1:8080 100B sample=50 @10.9.0.1",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=1 active=1 sent=5000 flows_sampled=1 connections_guessed=1
        "#]],
    );
}

#[test]
fn icmp_echo_has_a_direction_and_errors_make_no_edge() {
    fleet(
        "flow 3..4 10.0.0.1>10.0.1.1 icmp 84B type=8 @10.9.0.1
         flow 3..4 10.0.1.1>10.0.0.1 icmp 84B @10.9.0.2
         flow 3..4 10.0.1.1>10.0.0.1 icmp 84B type=3 @10.9.0.2
         flow 3..4 10.0.1.1:443>10.0.0.1:50104 icmp 84B @10.9.0.2",
        &expect![[r#"
            t=0 web -> api icmp/0: flows=2 conns=1 active=1 sent=84 received=84
            icmp_errors=2
        "#]],
    );
}

#[test]
fn dns_answer_seen_first_is_still_an_answer() {
    fleet(
        "flow 3.1 10.0.1.1:53>10.0.0.1:41000 udp 200B @10.9.0.2
         flow 3.2 10.0.0.1:41000>10.0.1.1:53 udp 80B @10.9.0.1",
        &expect![[r#"
            t=0 web -> api udp/53: flows=2 conns=1 active=1 sent=80 received=200 connections_guessed=1
        "#]],
    );
}

#[test]
fn udp_conversation_over_two_windows_opens_once_in_either_order() {
    let flows = [
        "flow 9 10.0.0.1:41000>10.0.1.1:53 udp 80B @10.9.0.1",
        "flow 12 10.0.0.1:41000>10.0.1.1:53 udp 80B @10.9.0.1",
    ];
    let there = format!("{FLEET}\n{}\nbarrier\n{}", flows[0], flows[1]);
    let back = format!("{FLEET}\n{}\nbarrier\n{}", flows[1], flows[0]);
    let render = |script: &str| {
        let mut lab = Lab::new(&LineConfig::default());
        lab.run(script);
        lab.render()
    };
    assert_eq!(render(&there), render(&back));
    expect![[r#"
        t=0 web -> api udp/53: flows=1 conns=1 active=1 sent=80 connections_guessed=1
        t=10 web -> api udp/53: flows=1 active=1 sent=80 connections_guessed=1
    "#]]
    .assert_eq(&render(&there));
}

#[test]
fn equal_addresses_of_other_scopes_stay_apart() {
    let mut lab = Lab::new(&LineConfig::default());
    lab.run(FLEET);
    let mut row = crate::check::flow("3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1");
    row.scope = portolan_model::ScopeId::of("other");
    lab.flow(row);
    lab.barrier();
    expect![[r#"
        t=0 10.0.0.1 -> 10.0.1.1 tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
    "#]]
    .assert_eq(&lab.render());
}

#[test]
fn source_that_knows_its_socket_decides_against_every_port() {
    fleet(
        "flow 3..4 10.0.0.1:443>10.0.1.1:40000 10B dialled @10.9.0.1
         flow 3..4 10.0.0.1:444>10.0.1.1:40000 10B original @10.9.0.1
         flow 3..4 10.0.0.1:445>10.0.1.1:40000 10B reply @10.9.0.1",
        &expect![[r#"
            t=0 web -> api tcp/40000: flows=2 active=2 sent=20
            t=0 api -> web tcp/445: flows=1 active=1 received=10
        "#]],
    );
}

#[test]
fn two_agents_that_both_sample_count_half_each_whoever_of_them_looked() {
    fleet(
        "flow 3..4 10.0.0.1:40000>10.0.1.1:8080 100B S sample=50 @10.9.0.1
         flow 3..4 10.0.0.1:40001>10.0.1.1:8080 60B S sample=50 @10.9.0.2
         flow 3..4 10.0.0.1:40002>10.0.1.1:8080 10B sample=50 @10.9.0.1
         flow 3..4 10.0.0.1:40002>10.0.1.1:8080 30B sample=50 @10.9.0.2
         flow 300..301 10.0.0.1:40003>10.0.1.1:8080 60B S sample=50 @10.9.0.2",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=4 conns=50 active=3 sent=5000 flows_sampled=4 connections_guessed=1
            t=300 web -> api tcp/8080: flows=1 conns=50 active=1 sent=3000 flows_sampled=1
        "#]],
    );
}

/// How sure the ends of what was counted are; what moved is taken back where it was.
#[test]
fn how_sure_the_ends_are_is_told_in_bytes_and_connections() {
    let mut lab = Lab::new(&LineConfig::default());
    lab.run(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 100B S @10.9.0.1
         flow 3..4 10.0.0.1:40001>8.8.8.8:443 30B S @10.9.0.1
         flow 3..4 10.0.0.1:40002>10.0.1.2:8080 7B S @10.9.0.1
         barrier
         own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2 t=0..
         own pod job-1 owner=job ip=10.0.1.2 node=10.9.0.2 t=4.5..",
    );
    let mut told = std::collections::BTreeMap::<_, i64>::new();
    for (name, by) in lab.commits.iter().flat_map(|commit| &commit.tallies) {
        *told.entry(&**name).or_default() += by;
    }
    told.retain(|name, sum| name.starts_with("resolved/") && *sum != 0);
    let told: Vec<_> = told.into_iter().collect();
    assert_eq!(
        told,
        [
            ("resolved/exact/bytes", 100),
            ("resolved/exact/connections", 1),
            ("resolved/outside/bytes", 30),
            ("resolved/outside/connections", 1),
            ("resolved/tolerant/bytes", 7),
            ("resolved/tolerant/connections", 1),
        ]
    );
}

/// The client's node lost what the client sent, and the clock of the server's is ahead.
#[test]
fn answer_here_and_opening_in_the_next_window_are_one_connection() {
    let answer = "flow 8..9 10.0.1.1:8080>10.0.0.1:40000 900B SA F @10.9.0.1";
    let opening = "flow 11..12 10.0.0.1:40000>10.0.1.1:8080 120B S F @10.9.0.2";
    let render = |first: &str, second: &str| {
        let mut lab = Lab::new(&LineConfig::default());
        lab.run(&format!("{FLEET}\n{first}\nbarrier\n{second}"));
        lab.render()
    };
    assert_eq!(render(answer, opening), render(opening, answer));
    expect![[r#"
        t=0 web -> api tcp/8080: flows=1 active=1 received=900
        t=10 web -> api tcp/8080: flows=1 conns=1 active=1 sent=120
    "#]]
    .assert_eq(&render(answer, opening));
}

/// The server's node samples, and its clock is ahead of that of the client's, which sees every packet.
#[test]
fn sample_of_what_was_seen_whole_in_the_window_before_counts_nothing() {
    fleet(
        "flow 8..9 10.0.0.1:40000>10.0.1.1:8080 120B S F @10.9.0.1
         flow 8..9 10.0.1.1:8080>10.0.0.1:40000 900B SA F @10.9.0.1
         flow 11..11 10.0.1.1:8080>10.0.0.1:40000 60B sample=50 @10.9.0.2",
        &expect![[r#"
            t=0 web -> api tcp/8080: flows=2 conns=1 active=1 sent=120 received=900
        "#]],
    );
}

/// The part that only the server's node shows before the boundary is in what the client's node counts
/// behind it, and so is the opening.
#[test]
fn datagrams_that_count_in_the_next_window_open_there() {
    let near = "flow 11..12 10.0.0.1:40000>10.0.1.1:53 120B udp @10.9.0.1";
    let far = "flow 8..9 10.0.0.1:40000>10.0.1.1:53 120B udp @10.9.0.2";
    let render = |first: &str, second: &str| {
        let mut lab = Lab::new(&LineConfig::default());
        lab.run(&format!("{FLEET}\n{first}\nbarrier\n{second}"));
        lab.render()
    };
    assert_eq!(render(near, far), render(far, near));
    expect![[r#"
        t=10 web -> api udp/53: flows=1 conns=1 active=1 sent=120 connections_guessed=1
    "#]]
    .assert_eq(&render(near, far));
}

#[test]
fn port_that_three_clients_dialled_tells_the_direction_of_what_was_open_before() {
    // Neither port says anything: both are of those that clients get.
    let open = "flow 3..4 10.0.0.1:40000>10.0.1.1:50051 100B @10.9.0.1";
    let dial = |port: u16| format!("flow 5..6 10.0.0.1:{port}>10.0.1.1:50051 10B S @10.9.0.1");
    let mut lab = Lab::new(&LineConfig::default());
    lab.run(FLEET);
    lab.run(&format!("{open}\nbarrier\n{}\n{}", dial(41_000), dial(41_001)));
    expect![[r#"
        t=0 web -> api tcp/50051: flows=2 conns=2 failed=2 active=2 sent=20
        t=0 web -- api tcp/50051: flows=1 active=1 sent=100 connections_guessed=1
    "#]]
    .assert_eq(&lab.render());
    lab.run(&dial(41_002));
    expect![[r#"
        t=0 web -> api tcp/50051: flows=4 conns=3 failed=3 active=4 sent=130 connections_guessed=1
    "#]]
    .assert_eq(&lab.render());
    let turned = lab.commits.last().expect("the run ended an epoch");
    assert_eq!(turned.edges.len(), 2, "taken back and added in one commit");
    // And after a restart, for every instance of its owner: the store has it.
    let learned = turned.learned.clone().expect("it was told").to_vec();
    let restored = crate::Restored { learned, ..crate::Restored::default() };
    let mut lab = Lab::new(&LineConfig::default());
    lab.line = crate::Line::new(&LineConfig::default(), &restored);
    lab.run(FLEET);
    lab.run(
        "own pod api-2 owner=api ip=10.0.1.2 node=10.9.0.2
         flow 3..4 10.0.1.2:50051>10.0.0.1:40000 100B @10.9.0.1",
    );
    expect![[r#"
        t=0 web -> api tcp/50051: flows=1 active=1 received=100 connections_guessed=1
    "#]]
    .assert_eq(&lab.render());
}

#[test]
fn learned_port_is_surer_the_more_clients_dialled_it_in_any_grouping() {
    let open = "flow 3..4 10.0.0.1:40000>10.0.1.1:50051 100B @10.9.0.1".to_owned();
    let dial = |n: u16| format!("flow 5..6 10.0.0.1:{}>10.0.1.1:50051 10B S @10.9.0.1", 41_000 + n);
    let sureness = |clients: u16, between: &str| {
        let dials: Vec<String> =
            std::iter::once(open.clone()).chain((0..clients).map(dial)).collect();
        let mut lab = Lab::new(&LineConfig::default());
        lab.run(&format!("{FLEET}\n{}", dials.join(between)));
        let said = lab.certainty();
        let least = said.lines().last().and_then(|line| line.split("least=").nth(1)).map(|rest| {
            rest.split(' ').next().expect("a number follows").parse::<u8>().expect("a number")
        });
        // The mean is of all, and the handshakes are surer: what is learned is in the sum of doubt.
        let learned = lab.commits.iter().rev().find_map(|commit| commit.learned.clone());
        (least, said, learned.map(|ports| ports[0].confidence))
    };
    for (clients, confidence) in [(3, 120), (6, 130), (12, 140), (500, 190)] {
        let [at_once, one_by_one] = ["\n", "\nbarrier\n"].map(|between| sureness(clients, between));
        assert_eq!(at_once.0, Some(120), "the least of its class");
        assert_eq!(at_once.2, Some(confidence), "{clients} clients");
        assert_eq!(at_once.1, one_by_one.1, "{clients} clients, whatever the epochs");
    }
}

#[test]
fn word_against_word_teaches_the_same_in_any_order() {
    // Of one connection a log and a router say the opposite: which is heard first must not matter.
    let one = "flow 2..5 10.0.1.1:50051>10.0.0.1:40000 209B udp cloud original @10.9.0.2";
    let other = "flow 6..7 10.0.0.1:40000>10.0.1.1:50051 188B udp router original @10.8.0.1";
    let dial = |port: u16| {
        format!("flow 5..6 10.0.1.1:{port}>10.0.0.1:40000 10B udp cloud original @10.9.0.1")
    };
    let dials = [dial(41_000), dial(41_001)].join("\n");
    let open = "flow 3..4 10.0.1.1:45000>10.0.0.1:40000 70B udp @10.9.0.1";
    let render = |lines: [&str; 2]| {
        let mut lab = Lab::new(&LineConfig::default());
        lab.run(&format!("{FLEET}\n{dials}\n{open}\n{}\nbarrier\n{}", lines[0], lines[1]));
        lab.certainty()
    };
    assert_eq!(render([one, other]), render([other, one]));
}

#[test]
fn what_would_have_turned_after_its_window_was_forgotten_is_counted() {
    // The server's port is one that clients get, the client's is not: told the wrong way.
    let wrong = "flow 3..4 10.0.0.1:20000>10.0.1.1:40000 100B @10.9.0.1";
    let dial = |at: u16, port: u16| {
        format!("flow {at}..{at} 10.0.0.1:{port}>10.0.1.1:40000 10B S @10.9.0.1")
    };
    let dials = |at| [41_000, 41_001, 41_002].map(|port| dial(at, port)).join("\n");
    let conflicts = |script: &str| {
        let mut lab = Lab::new(&LineConfig::default());
        lab.run(&format!("{FLEET}\n{script}"));
        lab.tally("orientation_conflict")
    };
    let passes = |until: u16| {
        format!("flow {until}..{until} 10.0.0.1:1>10.0.1.1:8080 1B @10.9.0.1\nbarrier")
    };
    assert_eq!(conflicts(&format!("{wrong}\nbarrier\n{}", dials(20))), 0, "it turned");
    let after = format!("{wrong}\nbarrier\n{}\n{}", passes(200), dials(201));
    assert_eq!(conflicts(&after), 1, "its window was forgotten");
    assert_eq!(conflicts(&format!("{after}\nbarrier\n{}", dials(202))), 1, "once");
    let much = format!("{wrong}\nbarrier\n{}\n{}\n{}", passes(200), passes(900), dials(901));
    assert_eq!(conflicts(&much), 0, "nobody waits for longer than the late horizon");
    // A handshake that comes late says so of its own connection.
    let late = "flow 5..5 10.0.1.1:40000>10.0.0.1:20000 60B SA @10.9.0.2";
    let said = format!("{wrong}\nbarrier\n{}\n{late}", passes(200));
    assert_eq!(conflicts(&said), 1);
    let right = "flow 5..5 10.0.0.1:20000>10.0.1.1:40000 60B SA @10.9.0.2";
    assert_eq!(conflicts(&format!("{wrong}\nbarrier\n{}\n{right}", passes(200))), 0);
}

#[test]
fn learned_port_tells_nothing_between_two_ends_that_both_serve() {
    // The port that `api` dials from is one that it serves on as well, and that three clients dialled; `web` serves on
    // the other port, which is the well-known one, and nobody was seen to dial it.
    let dial = |port: u16| format!("flow 5..6 10.0.0.1:{port}>10.0.1.1:50051 10B S @10.9.0.1");
    let dialled = [41_000, 41_001, 41_002].map(dial).join("\n");
    let ports = "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1 ports=tcp/8080
         own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2 ports=tcp/50051";
    let mut lab = Lab::new(&LineConfig::default());
    lab.run(&format!("{ports}\n{dialled}\nflow 3..4 10.0.1.1:50051>10.0.0.1:8080 100B @10.9.0.1"));
    expect![[r#"
        t=0 web -> api tcp/50051: flows=3 conns=3 failed=3 active=3 sent=30
        t=0 api -> web tcp/8080: flows=1 active=1 sent=100 connections_guessed=1
    "#]]
    .assert_eq(&lab.render());
}

#[test]
fn edge_says_how_sure_its_ends_and_its_direction_are() {
    let mut lab = Lab::new(&LineConfig::default());
    lab.run(FLEET);
    lab.run(
        "own pod late-1 owner=late ip=10.0.0.9 node=10.9.0.1 t=15..
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 100B S @10.9.0.1
         flow 3..4 10.0.0.1:40001>10.0.1.1:8080 300B @10.9.0.1
         flow 3..4 10.0.0.1:40002>10.0.1.1:40003 10B @10.9.0.1
         flow 3..4 10.0.0.9:40000>10.0.1.1:8080 70B S @10.9.0.1
         flow 3..4 10.0.0.1:40000>8.8.8.8:443 50B S @10.9.0.1
         flow 3..4 10.0.0.1:40000>10.77.0.1:443 60B S @10.9.0.1",
    );
    // (250 * 100 + 100 * 300) / 400 is 137.5, cut in favour of the doubt.
    expect![[r#"
        t=0 late api: early=70/1 handshake=1 least=250 mean=250
        t=0 web 10.77.0.1: unresolved=60/1 handshake=1 least=250 mean=250
        t=0 web 8.8.8.8: outside=50/1 handshake=1 least=250 mean=250
        t=0 web api: exact=400/1 handshake=1 well_known=1 least=100 mean=137
        t=0 web api: exact=10/0 none=1 least=0 mean=0
    "#]]
    .assert_eq(&lab.certainty());
    // A late handshake turns a guess into knowledge: in the sums as well.
    lab.run("flow 2..2.5 10.0.0.1:40001>10.0.1.1:8080 0B S @10.9.0.1");
    expect![[r#"
        t=0 late api: early=70/1 handshake=1 least=250 mean=250
        t=0 web 10.77.0.1: unresolved=60/1 handshake=1 least=250 mean=250
        t=0 web 8.8.8.8: outside=50/1 handshake=1 least=250 mean=250
        t=0 web api: exact=400/2 handshake=2 least=250 mean=250
        t=0 web api: exact=10/0 none=1 least=0 mean=0
    "#]]
    .assert_eq(&lab.certainty());
}
