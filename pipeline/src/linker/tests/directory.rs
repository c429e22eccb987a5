//! Ends that are named by our own directory (trace semantics, C.5, C.7).

use expect_test::expect;

use super::check;

#[test]
fn address_with_an_owner_is_the_owner() {
    check(
        "own pod api-1 owner=api ip=10.0.1.1
         span T a client web 0..1 addr=10.0.1.1 port=8080
         span U a client web 0..1 addr=api.internal net=10.0.1.1 netport=8080
         span V a server web 0..1 http=200 from=10.0.1.1
         span W b<x server web 0..1 http=200 net=10.0.1.1",
        &expect![[r#"
            t=0 web -> workload:api trace_address unknown: calls=2 unpaired_client=2 client=2x2s
            t=0 workload:api -> web trace_address http: calls=2 unpaired_server=2 server=2x2s
        "#]],
    );
}

#[test]
fn span_that_names_its_peer_is_believed_before_the_address() {
    check(
        "own pod api-1 owner=api ip=10.0.1.1
         span T a client web 0..1 peer=shop/facade addr=10.0.1.1",
        &expect![[r#"
            t=0 web -> shop/facade trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        "#]],
    );
}

#[test]
fn address_with_several_owners_is_none_of_them() {
    check(
        "own external one ip=198.51.100.7
         own external two ip=198.51.100.7
         span T a client web 0..1 addr=198.51.100.7 port=443",
        &expect![[r#"
            t=0 web -> ambiguous:one | two trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        "#]],
    );
}

#[test]
fn machine_is_not_what_was_called() {
    check(
        "own node n1 ip=10.9.0.1
         span T a client web 0..1 addr=10.9.0.1 port=9100",
        &expect![[r#"
            t=0 web -> unresolved:10.9.0.1 trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        "#]],
    );
}

#[test]
fn owner_that_is_told_late_takes_the_call_over() {
    check(
        "span T a client web 0..1 addr=10.0.1.1 port=8080
         barrier 20
         own pod api-1 owner=api ip=10.0.1.1
         barrier 21",
        &expect![[r#"
            t=0 web -> workload:api trace_address unknown: calls=1 unpaired_client=1 client=1x1s
        "#]],
    );
}

#[test]
fn database_is_named_by_address_and_name() {
    check(
        "span T a client web 0..1 db=postgresql addr=pg.internal port=5432 dbname=orders
         span U a client web 0..1 db=redis addr=cache port=6379
         span V a client web 0..1 db=mysql dbname=users
         span W a client web 0..1 db=mysql addr=10.3.3.3 port=3306 dbname=users",
        &expect![[r#"
            t=0 web -> cache:cache:6379 trace_peer database: calls=1 unpaired_client=1 client=1x1s
            t=0 web -> database:10.3.3.3:3306/users trace_peer database: calls=1 unpaired_client=1 client=1x1s
            t=0 web -> database:mysql/users trace_peer database: calls=1 unpaired_client=1 client=1x1s
            t=0 web -> database:pg.internal:5432/orders trace_peer database: calls=1 unpaired_client=1 client=1x1s
        "#]],
    );
}

#[test]
fn outside_is_named_by_address_without_default_ports() {
    check(
        "span T a client web 0..1 addr=api.example.com port=443 http=200
         span U a client web 0..1 addr=api.example.com port=8443 http=503
         span V a client web 0..1 net=203.0.113.9 netport=443",
        &expect![[r#"
            t=0 web -> external:203.0.113.9 trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
            t=0 web -> external:api.example.com trace_peer http: calls=1 unpaired_client=1 client=1x1s
            t=0 web -> external:api.example.com:8443 trace_peer http: calls=1 errors=1 client_errors=1 5xx=1 unpaired_client=1 client=1x1s
        "#]],
    );
}

#[test]
fn name_in_the_dns_of_a_cluster_is_the_service_unless_its_address_has_an_owner() {
    check(
        "own pod api-1 owner=api ip=10.0.1.1
         span T a client web 0..1 addr=cart.shop.svc.cluster.local port=7070
         span U a client web 0..1 addr=cart.shop.svc
         span V a client web 0..1 addr=facade.shop.svc net=10.0.1.1 netport=8080
         span W a client web 0..1 db=mysql addr=mysql.db.svc port=3306
         span X a client web 0..1 addr=svc.example.com port=8080",
        &expect![[r#"
            t=0 web -> database:mysql.db.svc:3306 trace_peer database: calls=1 unpaired_client=1 client=1x1s
            t=0 web -> external:svc.example.com:8080 trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
            t=0 web -> shop/cart trace_peer unknown: calls=2 unpaired_client=2 client=2x2s
            t=0 web -> workload:api trace_address unknown: calls=1 unpaired_client=1 client=1x1s
        "#]],
    );
}
