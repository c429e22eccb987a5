//! What the collapser means, in text.

use expect_test::expect;

use crate::check::check;

const SHOP: &str = "
    own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
    own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
    own pod api-2 owner=api ip=10.0.1.2 node=10.9.0.2
    own pod img-1 owner=img ip=10.0.1.3 node=10.9.0.2
    own service api-svc ip=172.30.0.7 ports=tcp/80 to=10.0.1.1:8080,10.0.1.2:8080
    own service mixed ip=172.30.0.8 ports=tcp/80 to=10.0.1.1:8080,10.0.1.3:8080
";

fn shop(script: &str, expected: &expect_test::Expect) {
    check(&format!("{SHOP}{script}"), expected);
}

#[test]
fn same_socket_towards_service_and_backend_is_one_connection() {
    shop(
        "flow 3..4 10.0.0.1:40000>172.30.0.7:80 120B S @10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> api-svc tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 explained alias web => api via api-svc tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn twin_that_arrives_an_epoch_later_takes_the_move_back() {
    shop(
        "flow 3..4 10.0.0.1:40000>172.30.0.7:80 120B S @10.9.0.1
         barrier
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> api-svc tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 explained alias web => api via api-svc tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn service_with_one_workload_behind_it_moves_what_nobody_saw_come_out() {
    shop(
        "flow 3..4 10.0.0.1:40000>172.30.0.7:80 120B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> api-svc tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 moved declared web => api via api-svc tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn service_with_two_workloads_stays_a_hop_without_proof() {
    shop(
        "flow 3..4 10.0.0.1:40000>172.30.0.8:80 120B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> mixed tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn rewrite_in_the_record_itself_is_proof() {
    shop(
        "flow 3..4 10.0.0.1:40000>172.30.0.8:80 120B S @10.9.0.1 xlat=10.0.0.1:40000>10.0.1.3:8080",
        &expect![[r#"
            t=0 web -> mixed tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 moved rewrite web => img via mixed tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn rewrite_of_an_unknown_service_address_is_proof_as_well() {
    shop(
        "flow 3..4 10.0.0.1:40000>172.30.9.9:80 120B S @10.9.0.1 xlat=10.0.0.1:40000>10.0.1.3:8080
         flow 3..4 10.0.0.1:40000>10.0.1.3:8080 120B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> img tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 web -> 172.30.9.9 tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 explained rewrite web => img via 172.30.9.9 tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn balancer_with_one_target_service_folds_both_legs() {
    check(
        "own pod mobile-1 owner=mobile ip=10.0.0.1 node=10.9.0.1
         own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
         own lb edge ip=10.0.0.9 ports=tcp/80 to=10.0.1.1:8080 node=10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.0.9:80 120B S @10.9.0.1
         flow 3..4 10.0.0.9:50000>10.0.1.1:8080 130B S @10.9.0.1",
        &expect![[r#"
            t=0 edge -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=130
            t=0 mobile -> edge tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 leg declared edge => api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=130
            t=0 moved declared mobile => api via edge tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn service_without_known_backends_stays_visible() {
    check(
        "own pod op-1 owner=op ip=10.0.0.1 node=10.9.0.1
         own service kubernetes ip=172.30.0.1 ports=tcp/443
         flow 3..4 10.0.0.1:40000>172.30.0.1:443 120B S @10.9.0.1",
        &expect![[r#"
            t=0 op -> kubernetes tcp/443: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn backend_whose_address_went_to_another_before_the_balancer_was_told_is_still_the_old_one() {
    check(
        "own pod mobile-1 owner=mobile ip=10.0.0.1 node=10.9.0.1
         own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2 t=0..3
         own pod other-1 owner=other ip=10.0.1.1 node=10.9.0.2 t=4..
         own pod api-2 owner=api ip=10.0.1.2 node=10.9.0.2 t=2..
         own lb edge ip=10.0.0.9 ports=tcp/80 to=10.0.1.1:8080 node=10.9.0.1 t=0..
         own lb edge ip=10.0.0.9 ports=tcp/80 to=10.0.1.2:8080 node=10.9.0.1 t=5..
         flow 1..2 10.0.0.1:40000>10.0.0.9:80 120B S @10.9.0.1
         flow 4..4 10.0.0.1:40001>10.0.0.9:80 120B S @10.9.0.1",
        &expect![[r#"
            t=0 mobile -> edge tcp/80: flows=2 conns=2 failed=2 active=2 sent=240
            t=0 moved declared mobile => api via edge tcp/8080: flows=2 conns=2 failed=2 active=2 sent=240
        "#]],
    );
}

const CHAIN: &str = "
    own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
    own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
    own lb outer ip=10.1.0.1 ports=tcp/80 to=10.1.0.2:80
    own lb inner ip=10.1.0.2 ports=tcp/80 to=172.30.0.7:80 node=10.9.0.2
    own service api-svc ip=172.30.0.7 ports=tcp/80 to=10.0.1.1:8080
";

#[test]
fn declared_chain_is_followed_to_its_end_and_its_legs_are_accounted_for() {
    check(
        &format!(
            "{CHAIN}
             flow 3..4 10.0.0.1:40000>10.1.0.1:80 100B S @10.9.0.1
             flow 3..4 10.1.0.2:50000>172.30.0.7:80 140B S @10.9.0.2
             flow 3..4 10.1.0.2:50000>10.0.1.1:8080 140B S @10.9.0.2"
        ),
        &expect![[r#"
            t=0 inner -> api-svc tcp/80: flows=1 conns=1 failed=1 active=1 sent=140
            t=0 inner -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=140
            t=0 web -> outer tcp/80: flows=1 conns=1 failed=1 active=1 sent=100
            t=0 explained alias inner => api via api-svc tcp/8080: flows=1 conns=1 failed=1 active=1 sent=140
            t=0 leg declared inner => api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=140
            t=0 moved declared web => api via outer via inner via api-svc tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
        "#]],
    );
}

#[test]
fn leg_that_nobody_saw_come_out_is_moved_and_accounted_for() {
    check(
        &format!("{CHAIN}\n flow 3..4 10.1.0.2:50000>172.30.0.7:80 140B S @10.9.0.2"),
        &expect![[r#"
            t=0 inner -> api-svc tcp/80: flows=1 conns=1 failed=1 active=1 sent=140
            t=0 moved declared inner => api via api-svc tcp/8080: flows=1 conns=1 failed=1 active=1 sent=140
            t=0 leg declared inner => api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=140
        "#]],
    );
}

#[test]
fn balancers_that_forward_to_each_other_prove_nothing() {
    check(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own lb a ip=10.1.0.1 ports=tcp/80 to=10.1.0.2:80
         own lb b ip=10.1.0.2 ports=tcp/80 to=10.1.0.1:80
         flow 3..4 10.0.0.1:40000>10.1.0.1:80 100B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> a tcp/80: flows=1 conns=1 failed=1 active=1 sent=100
        "#]],
    );
}

#[test]
fn what_the_far_side_of_a_source_nat_saw_is_folded_by_the_near_sides_word() {
    check(
        "own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
         own node n2 ip=10.9.0.2
         own service api-svc ip=172.30.0.7 ports=tcp/80 to=10.0.1.1:8080
         flow 3..4 10.9.0.2:61000>10.0.1.1:8080 100B S @10.9.0.2
         barrier
         flow 3..4 10.0.1.1:40000>172.30.0.7:80 100B S xlat=10.9.0.2:61000>10.0.1.1:8080 @10.9.0.2
         flow 3..4 10.9.0.2:61001>10.0.1.1:8080 30B S @10.9.0.2",
        &expect![[r#"
            t=0 api -> api-svc tcp/80: flows=1 conns=1 failed=1 active=1 sent=100
            t=0 n2 -> api tcp/8080: flows=2 conns=2 failed=2 active=2 sent=130
            t=0 moved rewrite api => api via api-svc tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
            t=0 leg rewrite n2 => api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=100
        "#]],
    );
}

/// A pod behind its node's address, whose agent tells of both names of its connection.
const MASKED: &str = "
    own pod web-1 owner=web ip=10.0.1.1 node=10.9.0.2
    own node n2 ip=10.9.0.2
    own external saas cidr=203.0.113.0/24 ports=tcp/443
";

#[test]
fn mask_that_a_sampling_agent_named_once_is_one_in_the_windows_around_in_either_order() {
    let named = "flow 33..34 10.0.1.1:40000>203.0.113.7:443 100B S sample=50 xlat=10.9.0.2:61000>203.0.113.7:443 @10.9.0.2";
    let before = "flow 3..4 10.9.0.2:61000>203.0.113.7:443 30B sample=50 @10.9.0.2";
    let after = "flow 63..64 10.9.0.2:61000>203.0.113.7:443 50B sample=50 @10.9.0.2";
    let expected = expect![[r#"
        t=0 n2 -> saas tcp/443: flows=1 active=1 sent=1500 flows_sampled=1
        t=30 web -> saas tcp/443: flows=1 conns=50 active=1 sent=5000 flows_sampled=1
        t=60 n2 -> saas tcp/443: flows=1 active=1 sent=2500 flows_sampled=1
        t=0 leg rewrite n2 => saas tcp/443: flows=1 active=1 sent=1500 flows_sampled=1
        t=60 leg rewrite n2 => saas tcp/443: flows=1 active=1 sent=2500 flows_sampled=1
    "#]];
    check(&format!("{MASKED}{named}\nbarrier\n{before}\n{after}"), &expected);
    check(&format!("{MASKED}{before}\n{after}\nbarrier\n{named}"), &expected);
}

#[test]
fn mask_of_a_sampling_agent_is_one_for_two_minutes_around_and_under_no_other_port() {
    check(
        &format!(
            "{MASKED}
             flow 3..4 10.0.1.1:40000>203.0.113.7:443 100B S sample=50 xlat=10.9.0.2:61000>203.0.113.7:443 @10.9.0.2
             flow 5..6 10.9.0.2:61001>203.0.113.7:443 20B sample=50 @10.9.0.2
             flow 123..124 10.9.0.2:61000>203.0.113.7:443 30B sample=50 @10.9.0.2
             flow 133..134 10.9.0.2:61000>203.0.113.7:443 40B sample=50 @10.9.0.2"
        ),
        &expect![[r#"
            t=0 web -> saas tcp/443: flows=1 conns=50 active=1 sent=5000 flows_sampled=1
            t=0 n2 -> saas tcp/443: flows=1 active=1 sent=1000 flows_sampled=1
            t=120 n2 -> saas tcp/443: flows=1 active=1 sent=1500 flows_sampled=1
            t=130 n2 -> saas tcp/443: flows=1 active=1 sent=2000 flows_sampled=1
            t=120 leg rewrite n2 => saas tcp/443: flows=1 active=1 sent=1500 flows_sampled=1
        "#]],
    );
}

#[test]
fn far_side_whose_near_side_was_lost_is_all_there_is_to_show() {
    check(
        &format!(
            "{MASKED}
             flow 3..4 10.0.1.1:40000>203.0.113.7:443 100B S xlat=10.9.0.2:61000>203.0.113.7:443 @10.9.0.2
             flow 3..4 10.9.0.2:61000>203.0.113.7:443 100B S @10.9.0.2
             flow 63..64 10.9.0.2:61000>203.0.113.7:443 50B @10.9.0.2"
        ),
        &expect![[r#"
            t=0 web -> saas tcp/443: flows=1 conns=1 failed=1 active=1 sent=100
            t=0 n2 -> saas tcp/443: flows=1 conns=1 failed=1 active=1 sent=100
            t=60 n2 -> saas tcp/443: flows=1 active=1 sent=50
            t=0 leg rewrite n2 => saas tcp/443: flows=1 conns=1 failed=1 active=1 sent=100
        "#]],
    );
}

#[test]
fn backend_that_the_service_did_not_list_yet_is_known_by_its_owner() {
    check(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
         own pod api-2 owner=api ip=10.0.1.2 node=10.9.0.2
         own service api-svc uid=svc ip=172.30.0.7 ports=tcp/80 to=10.0.1.1:8080
         own service api-svc uid=svc ip=172.30.0.7 ports=tcp/80 to=10.0.1.2:8080 t=20..
         flow 3..4 10.0.0.1:40000>172.30.0.7:80 120B S @10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.1.2:8080 120B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> api-svc tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
            t=0 explained alias web => api via api-svc tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}

#[test]
fn sampling_agent_that_showed_both_halves_of_one_connection_is_counted_behind_the_service() {
    shop(
        "flow 3..4 10.0.0.1:40000>172.30.0.7:80 120B S sample=50 @10.9.0.1
         barrier
         flow 3..4 10.0.0.1:40001>172.30.0.7:80 120B sample=50 @10.9.0.1
         flow 3..4 10.0.0.1:40001>10.0.1.1:8080 120B sample=50 @10.9.0.1
         flow 5..6 10.0.0.1:40002>10.0.1.1:8080 120B S sample=50 @10.9.0.1",
        &expect![[r#"
            t=0 web -> api-svc tcp/80: flows=2 conns=50 active=2 sent=12000 flows_sampled=2
            t=0 web -> api tcp/8080: flows=2 conns=50 active=2 sent=12000 flows_sampled=2
            t=0 explained alias web => api via api-svc tcp/8080: flows=1 active=1 sent=6000 flows_sampled=1
            t=0 explained declared web => api via api-svc tcp/8080: flows=1 conns=50 active=1 sent=6000 flows_sampled=1
        "#]],
    );
}

#[test]
fn agent_that_looks_at_all_is_not_judged_by_what_others_showed() {
    shop(
        "flow 3..4 10.0.0.1:40001>172.30.0.7:80 120B sample=50 @10.9.0.1
         flow 3..4 10.0.0.1:40001>10.0.1.1:8080 120B sample=50 @10.9.0.1
         flow 3..4 10.0.0.1:40000>172.30.0.7:80 120B S @10.9.0.1",
        &expect![[r#"
            t=0 web -> api-svc tcp/80: flows=2 conns=1 failed=1 active=2 sent=6120 flows_sampled=1
            t=0 web -> api tcp/8080: flows=1 active=1 sent=6000 flows_sampled=1
            t=0 explained alias web => api via api-svc tcp/8080: flows=1 active=1 sent=6000 flows_sampled=1
            t=0 moved declared web => api via api-svc tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        "#]],
    );
}
