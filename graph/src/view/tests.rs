use expect_test::{Expect, expect};
use portolan_model::Collapse;

use crate::text::World;

#[expect(clippy::needless_pass_by_value, reason = "expect! is written in place")]
fn check(collapse: Collapse, world: &str, view: Expect) {
    view.assert_eq(&World::parse(world).show(collapse));
}

const ALL: Collapse = Collapse::ProvenAndDeclared;

#[test]
fn rows_of_several_windows_are_one_edge() {
    check(
        ALL,
        "web > api:80 1@10
         web > api:80 2@20
         web > api:81 4@20",
        expect![[r"
            web > api:80 3
            web > api:81 4
        "]],
    );
}

#[test]
fn explained_leg_names_its_hop_on_the_edge_and_adds_nothing() {
    check(
        ALL,
        "web > [api]:80 10
         web > api:8080 10
         explained rewrite web > [api]:80 > api:8080 10",
        expect![[r"
            web > api:8080 10 via [api] rewrite 10
        "]],
    );
}

#[test]
fn moved_leg_becomes_the_edge() {
    check(
        ALL,
        "web > [api]:80 10
         moved rewrite web > [api]:80 > api:8080 4
         moved rewrite web > [api]:80 > canary:8080 6",
        expect![[r"
            web > api:8080 4 via [api] rewrite 4
            web > canary:8080 6 via [api] rewrite 6
        "]],
    );
}

#[test]
fn what_is_not_proven_stays_on_the_hop_as_a_residual() {
    check(
        ALL,
        "web > [api]:80 10
         moved rewrite web > [api]:80 > api:8080 4
         cron > [api]:80 2",
        expect![[r"
            cron > [api]:80 2
            web > [api]:80 6 residual
            web > api:8080 4 via [api] rewrite 4
        "]],
    );
}

#[test]
fn shared_hop_never_makes_a_cross_product() {
    check(
        ALL,
        "a > {lb}:443 5
         b > {lb}:443 5
         {lb} > x:80 5
         {lb} > y:80 5
         moved logs a > {lb}:443 > x:80 1
         leg logs {lb} > x:80 1",
        expect![[r"
            a > x:80 1 via {lb} logs 1
            a > {lb}:443 4 residual
            b > {lb}:443 5
            {lb} > x:80 4 residual
            {lb} > y:80 5
        "]],
    );
}

const DECLARED: &str = "web > {lb}:443 5
     {lb} > api:80 5
     moved declared web > {lb}:443 > api:80 5
     leg declared {lb} > api:80 5";

#[test]
fn declared_balancer_is_folded_with_its_own_leg() {
    check(
        ALL,
        DECLARED,
        expect![[r"
        web > api:80 5 via {lb} declared 5
    "]],
    );
}

#[test]
fn mode_that_does_not_fold_a_hop_leaves_both_of_its_legs() {
    check(
        Collapse::Proven,
        DECLARED,
        expect![[r"
        web > {lb}:443 5
        {lb} > api:80 5
    "]],
    );
}

#[test]
fn without_collapse_the_view_is_what_was_observed() {
    check(
        Collapse::None,
        "web > [api]:80 10
         web > api:8080 10
         explained rewrite web > [api]:80 > api:8080 10",
        expect![[r"
            web > [api]:80 10
            web > api:8080 10
        "]],
    );
}

const CHAIN: &str = "web > [lb]:80 10
     moved rewrite web > [lb]:80 > {lb}:8443 10
     moved logs web > {lb}:8443 > api:80 10
     {lb} > api:80 10
     leg logs {lb} > api:80 10";

#[test]
fn chain_of_hops_is_one_edge_that_names_them_in_order() {
    check(
        ALL,
        CHAIN,
        expect![[r"
        web > api:80 10 via [lb] rewrite, {lb} logs 10
    "]],
    );
}

#[test]
fn chain_is_folded_as_far_as_the_mode_goes() {
    check(
        Collapse::L4,
        CHAIN,
        expect![[r"
        web > {lb}:8443 10 via [lb] rewrite 10
        {lb} > api:80 10
    "]],
    );
}

#[test]
fn chain_where_the_first_leg_is_only_explained_keeps_its_order() {
    check(
        ALL,
        "web > [lb]:80 10
         web > {lb}:8443 10
         explained alias web > [lb]:80 > {lb}:8443 10
         moved declared web > {lb}:8443 > api:80 10
         moved declared web > {lb}:8443 > canary:80 0",
        expect![[r"
            web > api:80 10 via [lb] alias, {lb} declared 10
        "]],
    );
}

#[test]
fn chain_that_forks_names_the_first_hop_only_where_all_went_through_it() {
    check(
        ALL,
        "web > [lb]:80 10
         moved rewrite web > [lb]:80 > {lb}:8443 10
         moved logs web > {lb}:8443 > x:80 3
         moved logs web > {lb}:8443 > y:80 6
         job > [lb]:80 4
         job > {lb}:8443 5
         moved rewrite job > [lb]:80 > {lb}:8443 4
         moved logs job > {lb}:8443 > x:80 3
         moved logs job > {lb}:8443 > y:80 6",
        expect![[r#"
            job > x:80 3 via {lb} logs 3
            job > y:80 6 via {lb} logs 6
            web > x:80 3 via [lb] rewrite, {lb} logs 3
            web > y:80 6 via [lb] rewrite, {lb} logs 6
            web > {lb}:8443 1 via [lb] rewrite 1 residual
            Doubts { overdrawn: 0, circular: 0, negative: 0, unbalanced: 0, unplaced: 1 }
        "#]],
    );
}

#[test]
fn several_ways_into_a_hop_stay_several_paths() {
    check(
        ALL,
        "web > [one]:80 4
         web > {lb}:8443 10
         explained rewrite web > [one]:80 > {lb}:8443 4
         moved declared web > {lb}:8443 > api:80 10",
        expect![[r#"
            web > api:80 10 via {lb} declared 6 via [one] rewrite, {lb} declared 4
        "#]],
    );
}

#[test]
fn hops_that_feed_each_other_end() {
    check(
        ALL,
        "web > [a]:80 10
         web > [b]:80 10
         moved rewrite web > [a]:80 > [b]:80 10
         moved rewrite web > [b]:80 > [a]:80 10",
        expect![[r#"
            web > [a]:80 10 residual
            web > [b]:80 10 via [a] rewrite 10 residual
            Doubts { overdrawn: 0, circular: 0, negative: 0, unbalanced: 0, unplaced: 1 }
        "#]],
    );
}

#[test]
fn hop_that_forwards_to_itself_is_left_alone() {
    check(
        ALL,
        "web > [a]:80 10
         moved rewrite web > [a]:80 > [a]:80 10",
        expect![[r#"
            web > [a]:80 10
            Doubts { overdrawn: 0, circular: 1, negative: 0, unbalanced: 0, unplaced: 0 }
        "#]],
    );
}

#[test]
fn call_of_a_workload_to_itself_through_its_service_is_a_self_edge() {
    check(
        ALL,
        "web > [web]:80 10
         moved rewrite web > [web]:80 > web:8080 10",
        expect![[r"
            web > web:8080 10 via [web] rewrite 10
        "]],
    );
}

#[test]
fn leg_whose_edge_lies_outside_the_range_still_goes_to_its_target() {
    check(
        ALL,
        "web > [api]:80 10
         explained alias web > [api]:80 > api:8080 10",
        expect![[r"
            web > api:8080 10 via [api] alias 10
        "]],
    );
}

#[test]
fn what_is_moved_widens_the_time_that_its_edge_was_seen() {
    let world = World::parse(
        "web > api:8080 1@20
         web > [api]:80 1@10
         web > [api]:80 1@30
         moved rewrite web > [api]:80 > api:8080 1@10
         moved rewrite web > [api]:80 > api:8080 1@30",
    );
    let view = world.view(ALL);
    let [edge] = view.edges.as_slice() else { panic!("{:?}", view.edges) };
    assert_eq!((edge.first_ns, edge.last_ns), (10_000_000_001, 30_000_000_002));
}

#[test]
fn row_that_claims_more_than_its_leg_has_takes_what_there_is() {
    check(
        ALL,
        "web > [api]:80 3
         moved rewrite web > [api]:80 > api:8080 10
         moved rewrite job > [api]:80 > api:8080 10",
        expect![[r#"
            web > api:8080 3 via [api] rewrite 3
            Doubts { overdrawn: 2, circular: 0, negative: 0, unbalanced: 0, unplaced: 0 }
        "#]],
    );
}

#[test]
fn list_of_several_hops_is_folded_only_if_all_are() {
    let world = "web > [api]:80 3
         moved declared web > [api]:80 > {lb}:443 > api:8080 3";
    check(
        Collapse::L4,
        world,
        expect![[r"
        web > [api]:80 3
    "]],
    );
    check(
        ALL,
        world,
        expect![[r"
        web > api:8080 3 via [api] declared, {lb} declared 3
    "]],
    );
}

#[test]
fn retracted_edge_is_gone_and_a_retraction_alone_is_counted() {
    check(
        ALL,
        "web > api:80 3@10
         web > api:80 -3@10
         job > api:80 -1",
        expect![[r#"

            Doubts { overdrawn: 0, circular: 0, negative: 1, unbalanced: 0, unplaced: 0 }
        "#]],
    );
}

#[test]
fn edge_of_unknown_direction_is_never_taken_for_a_leg() {
    check(
        ALL,
        "web ~ [api]:80 3
         moved rewrite web > [api]:80 > api:8080 3",
        expect![[r#"
            web ~ [api]:80 3
            Doubts { overdrawn: 1, circular: 0, negative: 0, unbalanced: 0, unplaced: 0 }
        "#]],
    );
}

#[test]
fn leg_of_a_balancer_whose_callers_nobody_saw_stays() {
    check(
        ALL,
        "{lb} > api:80 5
         leg declared {lb} > api:80 5",
        expect![[r#"
            {lb} > api:80 5
        "#]],
    );
}

const SHARED: &str = "a > {lb}:443 5
     b > {lb}:443 5
     {lb} > x:80 5
     {lb} > y:80 5
     moved logs a > {lb}:443 > x:80 1
     leg logs {lb} > x:80 1";

#[test]
fn what_is_left_of_a_hop_may_have_gone_wherever_anything_came_out_of_it() {
    check(
        Collapse::Possible,
        SHARED,
        expect![[r#"
        a > x:80 1 via {lb} logs 1
        a > y:80 0 possible {lb}
        a > {lb}:443 4 residual
        b > x:80 0 possible {lb}
        b > y:80 0 possible {lb}
        b > {lb}:443 5
        {lb} > x:80 4 residual
        {lb} > y:80 5
    "#]],
    );
}

#[test]
fn outlet_of_one_port_of_a_service_is_none_of_another_port() {
    check(
        Collapse::Possible,
        "web > [svc]:80 4
         moved rewrite web > [svc]:80 > api:8080 4
         cron > [svc]:80 2
         job > [svc]:81 1",
        expect![[r#"
            cron > [svc]:80 2
            cron > api:8080 0 possible [svc]
            job > [svc]:81 1
            web > api:8080 4 via [svc] rewrite 4
        "#]],
    );
}

#[test]
fn edge_that_may_be_through_several_hops_names_them_all() {
    check(
        Collapse::Possible,
        "a > {lb1}:443 1
         a > {lb2}:443 1
         {lb1} > x:80 1
         {lb2} > x:80 1",
        expect![[r#"
            a > x:80 0 possible {lb2} possible {lb1}
            a > {lb1}:443 1
            a > {lb2}:443 1
            {lb1} > x:80 1
            {lb2} > x:80 1
        "#]],
    );
}
