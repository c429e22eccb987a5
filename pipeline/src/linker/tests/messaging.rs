//! Producers, topics, consumers (trace semantics, C.6, C.13).

use std::fmt::Write as _;

use expect_test::expect;

use super::Lab;
use super::{check, check_with};
use crate::LineConfig;

#[test]
fn topic_stands_between_and_a_link_tells_the_producer() {
    check(
        "span T a producer web 0..1 bus=kafka topic=orders send
         span U b consumer mail 3..4 bus=kafka topic=orders process link=T:a",
        &expect![[r#"
            t=0 topic:orders -> mail trace_peer messaging: calls=1 server=1x1s
            t=0 web -> mail trace_link async: calls=1 server=1x1s gap=1x2s
            t=0 web -> topic:orders trace_peer messaging: calls=1 client=1x1s
        "#]],
    );
}

/// `messagingSpansDontLinkWithoutBroker`, `messagingWithBroker`: Zipkin names the broker, and knows
/// no edge past it; ours is asynchronous and beside it.
#[test]
fn parent_tells_the_producer_where_there_is_no_link() {
    check(
        "span T a producer web 0..1 peer=kafka1
         span T b<a consumer mail 3..4 peer=kafka2",
        &expect![[r#"
            t=0 broker:kafka2 -> mail trace_peer messaging: calls=1 server=1x1s
            t=0 web -> broker:kafka1 trace_peer messaging: calls=1 client=1x1s
            t=0 web -> mail trace_parent async: calls=1 server=1x1s gap=1x2s
        "#]],
    );
}

/// `messagingWithoutBroker_noLinks`, `clientDoesntLinkToConsumer_child`: no broker, no call.
#[test]
fn consumer_below_a_client_is_an_asynchronous_call() {
    check(
        "span T a client web 0..1
         span T b<a consumer mail 3..4",
        &expect![[r#"
            t=0 web -> mail trace_parent async: calls=1 server=1x1s gap=1x2s
        "#]],
    );
}

/// `producerLinksToServer_childSpan`, `…_sameSpan`
#[test]
fn server_below_a_producer_is_a_call() {
    check(
        "span T a producer web 0..1
         span T b<a server mail 0.2..0.8
         span U a producer web 0..1
         span U a server mail 0.2..0.8 shared",
        &expect![[r#"
            t=0 web -> mail trace_pair unknown: calls=2 client=2x2s server=2x1.2s gap=2x0.8s
        "#]],
    );
}

#[test]
fn message_that_is_made_and_then_sent_counts_once() {
    check(
        "span T a producer web 0..1 bus=kafka topic=orders create
         span T c producer web 0..1 bus=kafka topic=orders create
         span U b client web 1..2 bus=kafka topic=orders send link=T:a",
        &expect![[r#"
            t=0 web -> topic:orders trace_peer messaging: calls=2 client=2x2s
        "#]],
    );
}

#[test]
fn message_that_is_fetched_and_then_worked_on_counts_once() {
    check(
        "span T a producer web 0..1 bus=kafka topic=orders send
         span U b client mail 3..4 bus=kafka topic=orders receive link=T:a
         span V c consumer mail 5..6 bus=kafka topic=orders process link=T:a
         span W d client audit 3..4 bus=kafka topic=orders receive link=T:a",
        &expect![[r#"
            t=0 topic:orders -> audit trace_peer messaging: calls=1 server=1x1s
            t=0 topic:orders -> mail trace_peer messaging: calls=1 server=1x1s
            t=0 web -> audit trace_link async: calls=1 server=1x1s gap=1x2s
            t=0 web -> mail trace_link async: calls=1 server=1x1s gap=1x4s
            t=0 web -> topic:orders trace_peer messaging: calls=1 client=1x1s
        "#]],
    );
}

#[test]
fn batch_of_two_hundred_messages_is_two_hundred_calls() {
    let mut script = String::new();
    let mut links = Vec::new();
    for i in 0..200 {
        let _ = writeln!(script, "span T{i} a producer web 0..1 bus=kafka topic=orders send");
        links.push(format!("T{i}:a"));
    }
    links.push("T7:a".into());
    let links = links.join(",");
    let _ = write!(script, "span U b consumer mail 3..4 topic=orders bus=kafka link={links}");
    check(
        &script,
        &expect![[r#"
        t=0 topic:orders -> mail trace_peer messaging: calls=1 server=1x1s
        t=0 web -> mail trace_link async: calls=200 server=200x200s gap=200x400s
        t=0 web -> topic:orders trace_peer messaging: calls=200 client=200x200s
    "#]],
    );
}

#[test]
fn queue_that_lags_longer_than_a_trace_lives_is_still_linked() {
    check(
        "span T a producer web 0..1 bus=kafka topic=orders send
         barrier 400
         span U b consumer mail 400..401 bus=kafka topic=orders process link=T:a",
        &expect![[r#"
            t=0 web -> mail trace_link async: calls=1 server=1x1s gap=1x399s
            t=0 web -> topic:orders trace_peer messaging: calls=1 client=1x1s
            t=400 topic:orders -> mail trace_peer messaging: calls=1 server=1x1s
            health_late=1
        "#]],
    );
}

#[test]
fn link_to_what_is_forgotten_is_counted_missing() {
    check(
        "span T a producer web 0..1 bus=kafka topic=orders send
         barrier 900
         span U b consumer mail 900..901 bus=kafka topic=orders process link=T:a
         barrier 1000",
        &expect![[r#"
            t=0 web -> topic:orders trace_peer messaging: calls=1 client=1x1s
            t=900 topic:orders -> mail trace_peer messaging: calls=1 server=1x1s
            span_links_missing=1
        "#]],
    );
}

#[test]
fn delivery_by_http_is_a_call_and_the_message_another() {
    check(
        "span T a producer web 0..1 bus=pubsub topic=orders send
         span P s server mail 2..5 http=204 peer=pubsub
         span P b<s consumer mail 3..4 bus=pubsub topic=orders process link=T:a",
        &expect![[r#"
            t=0 pubsub -> mail trace_peer http: calls=1 unpaired_server=1 server=1x3s
            t=0 topic:orders -> mail trace_peer messaging: calls=1 server=1x1s
            t=0 web -> mail trace_link async: calls=1 server=1x1s gap=1x2s
            t=0 web -> topic:orders trace_peer messaging: calls=1 client=1x1s
        "#]],
    );
}

#[test]
fn message_that_is_settled_is_no_call() {
    check("span T a client web 0..1 bus=kafka topic=orders settle", &expect![[r#""#]]);
}

#[test]
fn temporary_topics_are_one() {
    check(
        "span T a producer web 0..1 bus=rabbitmq topic=(temporary) send",
        &expect![[r#"
            t=0 web -> topic:rabbitmq/(temporary) trace_peer messaging: calls=1 client=1x1s
        "#]],
    );
}

#[test]
fn consumer_before_its_producer_by_the_clock_is_skewed() {
    check(
        "span T a producer web 0..3 bus=kafka topic=orders send
         span U b consumer mail 2..4 bus=kafka topic=orders process link=T:a",
        &expect![[r#"
            t=0 topic:orders -> mail trace_peer messaging: calls=1 server=1x2s
            t=0 web -> mail trace_link async: calls=1 skew=1 server=1x2s gap=1x0s
            t=0 web -> topic:orders trace_peer messaging: calls=1 client=1x3s
        "#]],
    );
}

#[test]
fn link_may_come_before_what_it_links_to() {
    check(
        "span U b consumer mail 3..4 process link=T:a
         barrier
         span T a inner web 0..1",
        &expect![[r#"
            t=0 web -> mail trace_link async: calls=1 server=1x1s gap=1x2s
        "#]],
    );
}

#[test]
fn links_without_messages_are_calls_only_where_that_is_said() {
    let script = "span T a server web 0..1
         span U b server batch 3..4 link=T:a
         span V c client mail 5..6 peer=x link=T:a";
    check(
        script,
        &expect![[r#"
            t=0 mail -> x trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
            t=0 user:user -> batch trace_peer unknown: calls=1 unpaired_server=1 server=1x1s
            t=0 user:user -> web trace_peer unknown: calls=1 unpaired_server=1 server=1x1s
        "#]],
    );
    check_with(
        |config| config.traces.all_links = true,
        script,
        &expect![[r#"
        t=0 mail -> x trace_peer unknown: calls=1 unpaired_client=1 client=1x1s
        t=0 user:user -> batch trace_peer unknown: calls=1 unpaired_server=1 server=1x1s
        t=0 user:user -> web trace_peer unknown: calls=1 unpaired_server=1 server=1x1s
        t=0 web -> batch trace_link async: calls=1 server=1x1s gap=1x2s
        t=0 web -> mail trace_link async: calls=1 server=1x1s gap=1x4s
    "#]],
    );
}

/// Found by the simulation: what was linked to had been forgotten, and what links to it was read again.
#[test]
fn link_that_was_found_is_not_missing_after_a_restart() {
    let mut config = LineConfig::default();
    config.traces.link_secs = 5;
    for restart in ["", "restart"] {
        let mut lab = Lab::new(&config);
        lab.feed("span T p producer web 0..1 bus=kafka topic=orders");
        lab.feed("span U c consumer api 4..60 process link=T:p\nbarrier 75");
        lab.feed(restart);
        lab.feed("barrier 150");
        lab.end();
        expect![[r#"
            t=0 web -> api trace_link async: calls=1 server=1x56s gap=1x3s
            t=0 web -> topic:orders trace_peer messaging: calls=1 client=1x1s
        "#]]
        .assert_eq(&lab.render());
    }
}
