//! What points of a series count (trace semantics, C.11; metric semantics).

use expect_test::expect;

use super::check;

#[test]
fn what_counts_since_a_start_is_the_difference_of_two_points() {
    check(
        "m 10 web>api n=100
         barrier 10
         m 20 web>api n=103 sum=9
         barrier 20",
        &expect![[r#"
            t=10 web -> api rpc_client http: calls=3 raw=1
        "#]],
    );
}

/// Also where the epoch that it comes in passes its horizon, as when much is read at once.
#[test]
fn first_point_counts_if_it_is_known_to_have_begun_just_now() {
    check(
        "m 20 web>api n=4 since=10
         m 420 web>old n=4 since=10
         m 20 web>none n=4
         m 20 web>here n=4 since=20",
        &expect![[r#"
            t=10 web -> api rpc_client http: calls=4 raw=1
        "#]],
    );
}

#[test]
fn less_than_before_is_counting_anew() {
    check(
        "m 10 web>api n=100
         m 20 web>api n=2",
        &expect![[r#"
            t=10 web -> api rpc_client http: calls=2 raw=1
        "#]],
    );
}

#[test]
fn another_start_is_another_series() {
    check(
        "m 10 web>api n=100 since=0
         m 20 web>api n=2 since=12
         m 30 web>api n=5 since=12
         m 40 web>api n=4 since=12",
        &expect![[r#"
            t=0 web -> api rpc_client http: calls=100 raw=1
            t=10 web -> api rpc_client http: calls=2 raw=1
            t=20 web -> api rpc_client http: calls=3 raw=1
        "#]],
    );
}

#[test]
fn deltas_are_taken_as_they_are_and_once() {
    check(
        "m 20 web>api delta n=4 since=10
         barrier 20
         m 20 web>api delta n=4 since=10
         m 30 web>api delta n=0.5 since=20",
        &expect![[r#"
            t=10 web -> api rpc_client http: calls=4 raw=1
            t=20 web -> api rpc_client http: calls=0.5 raw=1
            metric_points_duplicate=1
        "#]],
    );
}

#[test]
fn point_that_comes_between_two_moves_their_counts() {
    check(
        "m 10 web>api n=100
         m 30 web>api n=110
         barrier 30
         m 20 web>api n=101
         barrier 30",
        &expect![[r#"
            t=10 web -> api rpc_client http: calls=1
            t=20 web -> api rpc_client http: calls=9 raw=1
        "#]],
    );
}

#[test]
fn what_was_counted_over_several_windows_is_divided_whole() {
    check(
        "m 45 web>api delta n=7 since=5 b=0.1:4,1:3,inf:0 sum=2",
        &expect![[r#"
        t=10 web -> api rpc_client http: calls=2 raw=1 client=2x0.5s
        t=20 web -> api rpc_client http: calls=2 raw=1 client=1x0.5s
        t=30 web -> api rpc_client http: calls=2 raw=1 client=2x0.5s
        t=40 web -> api rpc_client http: calls=1 client=2x0.25s
    "#]],
    );
}

#[test]
fn gap_that_is_too_long_is_not_bridged() {
    check(
        "m 0 web>api n=100
         m 400 web>api n=200
         m 410 web>api n=201",
        &expect![[r#"
            t=400 web -> api rpc_client http: calls=1
        "#]],
    );
}

#[test]
fn outcomes_are_of_the_side_that_measured() {
    check(
        "m 10 web>api delta n=3 fail 5xx sum=3 b=1:3,inf:0
         m 10 web>api delta n=2 fail 4xx id=b
         m 10 web>api delta n=1 retry id=c
         m 10 web>api delta n=3 fail src=mesh_server sum=3 b=1:3,inf:0
         m 10 web>api delta n=9 fail what=errors src=derived",
        &expect![[r#"
            t=10 web -> api derived http: raw=1 errors=9 client_errors=9
            t=10 web -> api mesh_server http: calls=3 raw=1 errors=3 server_errors=3 server=3x3s
            t=10 web -> api rpc_client http: calls=6 raw=3 errors=5 client_errors=5 4xx=2 5xx=3 retries=1 client=3x3s
        "#]],
    );
}

#[test]
fn bytes_and_presence_are_evidence_without_calls() {
    check(
        "m 10 web>api what=sent delta sum=500
         m 10 web>api what=received delta sum=70 id=b
         m 10 web>db what=presence n=2
         m 20 web>db what=presence n=0",
        &expect![[r#"
            t=10 web -> api rpc_client http: raw=2
            t=10 web -> db rpc_client http: raw=1
        "#]],
    );
}

#[test]
fn parts_of_a_histogram_come_one_by_one_and_in_any_order() {
    check(
        "m 10 web>api u=1:5
         m 10 web>api n=7
         m 20 web>api u=inf:9
         barrier 20
         m 20 web>api n=9
         barrier 20
         m 10 web>api u=inf:7
         m 20 web>api u=1:5 sum=8
         barrier 20
         m 10 web>api sum=4",
        &expect![[r#"
            t=10 web -> api rpc_client http: calls=2 raw=1 client=2x4s
        "#]],
    );
}

#[test]
fn old_and_new_name_of_one_process_count_once() {
    check(
        "m 10 web>api delta n=3 rank=1 times=1 group=4 by=p b=1:3,inf:0 sum=3 id=old
         barrier 10
         m 10 web>api delta n=3 group=4 by=p b=1:3,inf:0 sum=3 id=new
         m 10 web>api delta n=5 rank=1 times=1 group=4 by=q id=old
         barrier 10
         m 20 web>api delta n=2 rank=1 times=1 group=4 by=p id=old",
        &expect![[r#"
            t=10 web -> api rpc_client http: calls=8 raw=2 client=3x3s
            t=20 web -> api rpc_client http: calls=2 raw=1
        "#]],
    );
}

#[test]
fn counter_gives_the_count_and_the_histogram_the_durations() {
    check(
        "m 10 web>api delta n=3 rank=0 times=- group=1 by=p id=total
         m 10 web>api delta n=3 rank=1 times=0 group=1 by=p b=1:3,inf:0 sum=3 id=seconds",
        &expect![[r#"
            t=10 web -> api rpc_client http: calls=3 raw=2 client=3x3s
        "#]],
    );
}

#[test]
fn both_reporters_of_a_call_have_rows_of_their_own() {
    check(
        "m 10 web>api delta n=3 src=mesh_client
         m 10 web>api delta n=3 src=mesh_server",
        &expect![[r#"
            t=10 web -> api mesh_client http: calls=3 raw=1
            t=10 web -> api mesh_server http: calls=3 raw=1
        "#]],
    );
}
