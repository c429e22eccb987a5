//! Who the ends of metrics are.

use expect_test::expect;

use super::check;

#[test]
fn address_is_its_owner_or_a_database_or_itself() {
    check(
        "own pod api-1 owner=api ip=10.0.1.1
         m 10 web>@10.0.1.1:8080 delta n=1
         m 10 web>@pg.prod:5432!postgresql delta n=2
         m 10 web>@cache:6379!redis delta n=3
         m 10 web>@api.example.com:443 delta n=4
         m 10 web>@198.51.100.7:80 delta n=5",
        &expect![[r#"
            t=10 web -> cache:cache:6379 rpc_client http: calls=3 raw=1
            t=10 web -> database:pg.prod:5432 rpc_client http: calls=2 raw=1
            t=10 web -> external:198.51.100.7 rpc_client http: calls=5 raw=1
            t=10 web -> external:api.example.com rpc_client http: calls=4 raw=1
            t=10 web -> workload:api rpc_client http: calls=1
        "#]],
    );
}

#[test]
fn machine_is_not_who_was_called() {
    check(
        "own node n1 ip=10.9.0.1
         m 10 web>@10.9.0.1:30080 delta n=1",
        &expect![[r#"
            t=10 web -> unresolved:10.9.0.1 rpc_client http: calls=1
        "#]],
    );
}

#[test]
fn topics_stand_between_producers_and_consumers() {
    check(
        "m 10 web>topic:orders delta n=4
         m 10 topic:orders>billing delta n=3 src=rpc_server",
        &expect![[r#"
            t=10 topic:orders -> billing rpc_server http: calls=3 raw=1
            t=10 web -> topic:orders rpc_client http: calls=4 raw=1
        "#]],
    );
}

#[test]
fn what_nobody_is_at_the_other_end_of_is_no_edge() {
    check(
        "m 10 ->api delta n=4 src=rpc_server fail
         m 10 web>- delta n=4",
        &expect![[r#"
            t=10 unresolved:unknown -> api rpc_server http: calls=4 errors=4 server_errors=4 unpaired_server=4
            t=10 web -> unresolved:unknown rpc_client http: calls=4 unpaired_client=4
        "#]],
    );
}

#[test]
fn owner_that_is_told_late_takes_the_calls() {
    check(
        "m 10 web>@10.0.1.1:8080 delta n=1
         barrier 10
         own pod api-1 owner=api ip=10.0.1.1
         barrier 10",
        &expect![[r#"
            t=10 web -> workload:api rpc_client http: calls=1
        "#]],
    );
}

#[test]
fn operations_are_those_of_the_server() {
    check(
        "m 10 web>api delta n=1 op=GET
         m 10 web>api delta n=1 op=PUT",
        &expect![[r#"
            t=10 web -> api rpc_client http [GET]: calls=1
            t=10 web -> api rpc_client http [PUT]: calls=1
        "#]],
    );
}
