//! Clients and servers (trace semantics, C.2 to C.5, C.7, C.13).

use std::fmt::Write as _;

use expect_test::expect;

use super::{check, check_with};

/// What Zipkin's base trace says, in our words: a web server calls an app, which calls a database.
/// The server has its caller's span id. (`linksSpans`)
#[test]
fn server_that_shares_its_callers_id_is_one_call() {
    check(
        "span T c<b client app 1.2..1.8 peer=db err
         span T b<a server app 1.1..1.9 shared
         span T b<a client web 1..2 peer=app
         span T a server web 0..3",
        &expect![[r#"
            t=0 app -> db trace_peer unknown: calls=1 errors=1 client_errors=1 unpaired_client=1 client=1x0.6s
            t=0 user:user -> web trace_peer unknown: calls=1 unpaired_server=1 server=1x3s
            t=0 web -> app trace_pair unknown: calls=1 client=1x1s server=1x0.8s gap=1x0.2s
        "#]],
    );
}

/// `linksSpans_serverMissingParentId`, `lateParentIdInSharedSpan`
#[test]
fn shared_server_without_its_parent_is_found_by_its_own_id() {
    check(
        "span T a server arn 0..3
         span T b<a client arn 1..2 peer=link
         span T b server link 1.1..1.9 shared peer=arn",
        &expect![[r#"
            t=0 arn -> link trace_pair unknown: calls=1 client=1x1s server=1x0.8s gap=1x0.2s
            t=0 user:user -> arn trace_peer unknown: calls=1 unpaired_server=1 server=1x3s
        "#]],
    );
}

/// `lostChildAndNoParentIdInSharedSpan`: Zipkin hangs what has no parent below the root, and draws
/// `web -> app`. Between the two a span is missing, and whose it was is not known.
#[test]
fn shared_server_whose_client_was_lost_is_nobodys_callee() {
    check(
        "span T c<b client app 1.2..1.8 peer=db err
         span T b server app 1.1..1.9 shared
         span T a server web 0..3",
        &expect![[r#"
            t=0 app -> db trace_peer unknown: calls=1 errors=1 client_errors=1 unpaired_client=1 client=1x0.6s
            t=0 unresolved:unknown -> app trace_peer unknown: unpaired_server=1
            t=0 user:user -> web trace_peer unknown: calls=1 unpaired_server=1 server=1x3s
        "#]],
    );
}

/// `doesntLinkUnrelatedSpansWhenMissingRootSpan`, `missingSpan`
#[test]
fn nothing_is_linked_over_a_span_that_is_missing() {
    check(
        "span T b<a server a 0..3
         span T d<c server c 1..2",
        &expect![[r#"
            t=0 unresolved:unknown -> a trace_peer unknown: unpaired_server=1
            t=0 unresolved:unknown -> c trace_peer unknown: unpaired_server=1
        "#]],
    );
}

/// `linksRelatedSpansWhenMissingRootSpan`, and the sidecars of Istio.
#[test]
fn server_right_below_a_server_of_another_service_was_called_by_it() {
    check(
        "span T b<a server one 0..3
         span T c<b server two 1..2",
        &expect![[r#"
            t=0 one -> two trace_parent unknown: calls=1 server=1x1s
            t=0 unresolved:unknown -> one trace_peer unknown: unpaired_server=1
        "#]],
    );
}

#[test]
fn server_below_a_server_of_its_own_service_is_the_same_call() {
    check(
        "span T a client web 0..4
         span T b<a server api 1..3 http=200
         span T c<b server api 1.1..2.9 http=200",
        &expect![[r#"
            t=0 web -> api trace_pair http: calls=1 client=1x4s server=1x2s gap=1x2s
        "#]],
    );
}

/// `singleHostSpansResultInASingleCallCount`, `…ErrorCount`, `…_defersNameToServer`
#[test]
fn both_halves_are_one_call_and_the_server_names_itself() {
    check(
        "span T a client web 0..2 peer=facade err
         span T b<a server api 0.5..1.5 err",
        &expect![[r#"
            t=0 web -> api trace_pair unknown: calls=1 errors=1 client_errors=1 server_errors=1 client=1x2s server=1x1s gap=1x1s
        "#]],
    );
}

/// `singleHostSpans_multipleChildren`: a retry behind a proxy, a hedged call.
#[test]
fn client_with_two_servers_is_two_calls_and_one_sample_of_its_latency() {
    check(
        "span T a client web 0..2
         span T b<a server api 0.1..0.6 err
         span T c<a server api 0.9..1.6",
        &expect![[r#"
            t=0 web -> api trace_pair unknown: calls=2 errors=1 server_errors=1 retries=1 client=1x2s server=2x1.2s gap=1x1.5s
        "#]],
    );
}

#[test]
fn client_that_timed_out_and_server_that_went_well_are_kept_apart() {
    check(
        "span T a client web 0..1 err
         span T b<a server api 0.1..3 http=200",
        &expect![[r#"
            t=0 web -> api trace_pair http: calls=1 errors=1 client_errors=1 skew=1 client=1x1s server=1x2.9s
        "#]],
    );
}

/// `intermediatedClientSpansMissingLocalServiceNameLinkToNearestServer`, `errorsOnUninstrumentedLinks`
#[test]
fn clients_below_a_server_of_another_service_show_the_call_that_left_no_span() {
    check(
        "span T a server client 0..9
         span T b<a inner - 1..8
         span T c<b client server 2..3 err
         span T d<b client server 4..5 err",
        &expect![[r#"
            t=0 client -> server trace_parent unknown: calls=2
            t=0 server -> unresolved:unknown trace_peer unknown: unpaired_client=2
            t=0 user:user -> client trace_peer unknown: calls=1 unpaired_server=1 server=1x9s
        "#]],
    );
}

/// `callsAgainstTheSameLinkIncreasesCallCount_span`
#[test]
fn client_that_nobody_named_is_the_server_above_it() {
    check(
        "span T a server web 0..9
         span T b<a client - 1..2 peer=api
         span T c<a client - 3..4 peer=api",
        &expect![[r#"
            t=0 user:user -> web trace_peer unknown: calls=1 unpaired_server=1 server=1x9s
            t=0 web -> api trace_peer unknown: calls=2 unpaired_client=2 client=2x2s
        "#]],
    );
}

#[test]
fn client_right_below_a_client_of_another_service_is_one_call_between_them() {
    check(
        "span T a client web 0..9
         span T b<a client api 1..2 peer=db
         span T c<a client api 3..4 peer=db",
        &expect![[r#"
            t=0 api -> db trace_peer unknown: calls=2 unpaired_client=2 client=2x2s
            t=0 web -> api trace_parent unknown: calls=1
        "#]],
    );
}

/// `linksLoopbackSpans`
#[test]
fn service_that_calls_itself_has_an_edge_to_itself() {
    check(
        "span T a client web 0..2
         span T b<a server web 0.5..1.5",
        &expect![[r#"
            t=0 web -> web trace_pair unknown: calls=1 client=1x2s server=1x1s gap=1x1s
        "#]],
    );
}

#[test]
fn inner_spans_between_the_halves_are_passed() {
    check(
        "span T a client web 0..9
         span T i<a inner web 1..8
         span T j<i inner api 2..7
         span T b<j server api 3..6",
        &expect![[r#"
            t=0 web -> api trace_pair unknown: calls=1 client=1x9s server=1x3s gap=1x6s
        "#]],
    );
}

#[test]
fn inner_span_of_another_service_is_who_called() {
    check(
        "span T a inner job 0..9
         span T b<a server api 3..6",
        &expect![[r#"
            t=0 job -> api trace_parent unknown: calls=1 server=1x3s
        "#]],
    );
}

#[test]
fn climb_ends_after_sixteen_steps() {
    let chain = |length: usize| {
        let mut script = String::from("span T c client web 0..9\n");
        let name = |i: usize| if i == 0 { "c".into() } else { format!("i{i}") };
        for i in 1..=length {
            let (own, above) = (name(i), name(i - 1));
            let _ = writeln!(script, "span T {own}<{above} inner api 1..8");
        }
        script + &format!("span T s<{} server api 2..7\n", name(length))
    };
    check(
        &chain(16),
        &expect![[r#"
        t=0 web -> api trace_pair unknown: calls=1 client=1x9s server=1x5s gap=1x4s
    "#]],
    );
    check(
        &chain(20),
        &expect![[r#"
        t=0 unresolved:unknown -> api trace_peer unknown: unpaired_server=1
        t=0 web -> unresolved:unknown trace_peer unknown: unpaired_client=1
    "#]],
    );
}

#[test]
fn late_server_takes_the_call_away_from_who_stood_in_for_it() {
    check(
        "span T a client web 0..1 addr=api.internal port=443
         barrier 20
         span T b<a server api 0.2..0.8
         barrier 21",
        &expect![[r#"
            t=0 web -> api trace_pair unknown: calls=1 client=1x1s server=1x0.6s gap=1x0.4s
        "#]],
    );
}

#[test]
fn half_waits_before_it_is_told() {
    let mut lab = super::Lab::new(&crate::LineConfig::default());
    lab.feed("span T a client web 0..1 peer=pay\nbarrier 10");
    assert_eq!(lab.rows().count(), 0, "a server may still come");
    lab.feed("barrier 16");
    assert_eq!(lab.rows().count(), 1);
}

#[test]
fn redelivered_span_counts_once() {
    check(
        "span T a client web 0..2
         span T b<a server api 0.5..1.5
         barrier
         span T b<a server api 0.5..1.5
         span T a client web 0..2",
        &expect![[r#"
            t=0 web -> api trace_pair unknown: calls=1 client=1x2s server=1x1s gap=1x1s
            spans_duplicate=2
        "#]],
    );
}

#[test]
fn same_name_in_two_namespaces_is_two_services() {
    check(
        "span T a client shop/web 0..2
         span T b<a server pay/web 0.5..1.5",
        &expect![[r#"
            t=0 shop/web -> pay/web trace_pair unknown: calls=1 client=1x2s server=1x1s gap=1x1s
        "#]],
    );
}

#[test]
fn clocks_that_disagree_are_counted() {
    check(
        "span T a client web 2..3
         span T b<a server api 0..3.5",
        &expect![[r#"
            t=0 web -> api trace_pair unknown: calls=1 skew=1 client=1x1s server=1x3.5s
        "#]],
    );
}

#[test]
fn weight_is_that_of_the_half_that_was_sampled_harder() {
    check(
        "span T a client web 0..2 weight=10000
         span T b<a server api 0.5..1.5 weight=100000",
        &expect![[r#"
            t=0 web -> api trace_pair unknown: calls=100 raw=1 client=1x2s server=1x1s gap=1x1s
        "#]],
    );
}

#[test]
fn root_was_called_by_the_user_or_by_whom_it_names() {
    check(
        "span T a server web 0..2 http=500 from=203.0.113.9
         span U a server web 0..2 http=404 peer=edge
         span V a server web 0..2 http=200 from=10.7.7.7
         span W a server web 0..2 http=200 synthetic",
        &expect![[r#"
            t=0 edge -> web trace_peer http: calls=1 4xx=1 unpaired_server=1 server=1x2s
            t=0 unresolved:unknown -> web trace_peer http: calls=1 unpaired_server=1 server=1x2s
            t=0 user:synthetic -> web trace_peer http: calls=1 unpaired_server=1 synthetic=1 server=1x2s
            t=0 user:user -> web trace_peer http: calls=1 errors=1 server_errors=1 5xx=1 unpaired_server=1 server=1x2s
        "#]],
    );
}

/// `noSpanKindTreatedSameAsClient` is the decoder's; `cannotLinkSingleSpanWithoutBothServiceNames`
#[test]
fn client_that_names_nobody_is_an_unpaired_half() {
    check(
        "span T a client web 0..2",
        &expect![[r#"
        t=0 web -> unresolved:unknown trace_peer unknown: unpaired_client=1
    "#]],
    );
}

#[test]
fn operation_is_the_servers() {
    check(
        "span T a client web 0..2 op=pay
         span T b<a server api 0.5..1.5 op=Pay/Charge grpc=0
         span T c<b client api 0.6..1.4 op=select db=postgresql addr=pg port=5432 dbname=orders",
        &expect![[r#"
            t=0 api -> database:pg:5432/orders trace_peer database [select]: calls=1 unpaired_client=1 client=1x0.8s
            t=0 web -> api trace_pair grpc [Pay/Charge]: calls=1 client=1x2s server=1x1s gap=1x1s
        "#]],
    );
}

#[test]
fn error_is_what_the_status_says_and_else_what_the_code_says() {
    check(
        "span T a client web 0..2 http=404
         span T b<a server api 0.5..1.5 http=404
         span U a client web 0..2 http=500 ok
         span U b<a server api 0.5..1.5 http=500
         span V a client web 0..2 grpc=5
         span V b<a server api 0.5..1.5 grpc=5
         span W a client web 0..2 error.type
         span W b<a server api 0.5..1.5 grpc=13",
        &expect![[r#"
            t=0 web -> api trace_pair grpc: calls=2 errors=2 client_errors=2 server_errors=1 5xx=1 client=2x4s server=2x2s gap=2x2s
            t=0 web -> api trace_pair http: calls=2 errors=2 client_errors=1 server_errors=1 4xx=1 5xx=1 client=2x4s server=2x2s gap=2x2s
        "#]],
    );
}

#[test]
fn strict_pairing_takes_nothing_from_what_lies_in_between() {
    let script = "span T a client web 0..5
         span T b<a server api 1..4
         span T c<b inner api 1..3
         span T d<c server cart 2..3
         span U a client web 0..5
         span U b<a inner web 1..4
         span U c<b server api 2..3
         span V a server web 0..5
         span V b<a server api 1..4
         span W a server web 0..5
         span W b<a client api 1..4 peer=db";
    check_with(
        |config| config.traces.strict = true,
        script,
        &expect![[r#"
        t=0 api -> db trace_peer unknown: calls=1 unpaired_client=1 client=1x3s
        t=0 unresolved:unknown -> api trace_peer unknown: unpaired_server=2
        t=0 unresolved:unknown -> cart trace_peer unknown: unpaired_server=1
        t=0 user:user -> web trace_peer unknown: calls=2 unpaired_server=2 server=2x10s
        t=0 web -> api trace_pair unknown: calls=1 client=1x5s server=1x3s gap=1x2s
        t=0 web -> unresolved:unknown trace_peer unknown: unpaired_client=1
    "#]],
    );
}
