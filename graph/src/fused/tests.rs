use std::sync::Arc;

use expect_test::{Expect, expect};
use portolan_model::{
    CallDelta, CallKey, CallProtocol, Collapse, Entity, EntityKind, Measure, Window,
};

use super::*;
use crate::CallsBuilder;
use crate::text::World;

/// Flows as [`World`] reads them, calls as `source client > server calls errors`.
fn fused(flows: &str, calls: &str) -> (World, Fused) {
    let mut world = World::parse(flows);
    let mut builder = CallsBuilder::default();
    let mut end = |name: &str| {
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        let entity = Entity::new(EntityKind::Service, namespace, name);
        let id = entity.id();
        world.entities.insert(id, Arc::new(entity));
        id
    };
    for line in calls.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [source, client, ">", server, calls, errors] = words[..] else { panic!("{line}") };
        let source = *CallSource::ALL.iter().find(|s| s.as_str() == source).unwrap();
        let mut row = CallDelta::new(CallKey {
            window: Window(10),
            client: end(client),
            server: end(server),
            source,
            protocol: CallProtocol::Grpc,
            operation: EntityId::NONE,
        });
        let calls: i64 = calls.parse().unwrap();
        row.counters[CallMeasure::Raw] = calls;
        row.counters[CallMeasure::CallsMilli] = 1000 * calls;
        row.counters[CallMeasure::ErrorsMilli] = 1000 * errors.parse::<i64>().unwrap();
        builder.add(&row);
    }
    let meeting = Meeting::of(world.entities.iter().map(|(id, entity)| (*id, entity)));
    let graph = world.graph(Collapse::default());
    let fused = Fused::new(graph.edges(), builder.finish(), &meeting);
    (world, fused)
}

fn check(flows: &str, calls: &str, want: &Expect) {
    let (world, fused) = fused(flows, calls);
    let mut lines: Vec<String> = fused
        .edges
        .iter()
        .map(|edge| {
            let arrow = if edge.direction == Direction::Known { '>' } else { '~' };
            let (client, server) = (world.name(edge.client), world.name(edge.server));
            let mut text = format!("{client} {arrow} {server}");
            if let Some(part) = &edge.network {
                text.push_str(" flows ");
                text.push_str(&part.counters[Measure::Connections].to_string());
            }
            if let Some(best) = edge.best() {
                let milli = |of| best.counters[of] / 1000;
                let (calls, errors) =
                    (milli(CallMeasure::CallsMilli), milli(CallMeasure::ErrorsMilli));
                let source = best.source.as_str();
                text = format!("{text} {source} {calls}/{errors}");
            }
            let words = edge.evidence().words().join("+");
            text + &format!(" [{words} {:.2}]", fused.agreement(edge))
        })
        .collect();
    lines.sort();
    want.assert_eq(&(lines.join("\n") + "\n"));
}

#[test]
fn layers_that_see_one_edge_are_one_edge_and_never_one_sum() {
    check(
        "shop/web > shop/cart:80 7\nshop/web > shop/cart:81 2",
        "trace_pair shop/web > shop/cart 5 1\nrpc_server shop/web > shop/cart 6 2",
        &expect![[r#"
            shop/web > shop/cart flows 9 rpc_server 6/2 [network+ipc+trace 1.00]
        "#]],
    );
}

#[test]
fn edge_of_one_layer_is_there_and_the_others_have_nothing_to_say_of_it() {
    check(
        "shop/web > shop/cart:80 7",
        "trace_pair shop/web > shop/pay 5 1",
        &expect![[r#"
            shop/web > shop/cart flows 7 [network 0.50]
            shop/web > shop/pay trace_pair 5/1 [trace 0.50]
        "#]],
    );
}

#[test]
fn what_is_derived_counts_only_where_nothing_else_does() {
    check(
        "",
        "derived a > b 9 9\ntrace_pair a > b 5 1\nderived a > c 3 0",
        &expect![[r#"
            a > b trace_pair 5/1 [trace+derived 1.00]
            a > c derived 3/0 [derived 0.00]
        "#]],
    );
}

#[test]
fn flows_without_a_direction_take_it_from_calls_that_go_one_way() {
    check(
        "db ~ web:80 10\nx ~ y:80 1\np ~ q:1 1",
        "trace_pair web > db 5 0\ntrace_pair p > q 1 0\ntrace_pair q > p 1 0",
        &expect![[r#"
            p > q trace_pair 1/0 [trace 0.50]
            p ~ q flows 1 [network 0.50]
            q > p trace_pair 1/0 [trace 0.50]
            web > db flows 10 trace_pair 5/0 [network+trace 1.00]
            x ~ y flows 1 [network 0.50]
        "#]],
    );
}

#[test]
fn turned_flows_have_their_bytes_turned() {
    let (_, fused) = fused("db ~ web:80 10", "trace_pair web > db 5 0");
    let part = fused.edges[0].network.as_ref().unwrap();
    let bytes = (part.counters[Measure::BytesSent], part.counters[Measure::BytesReceived]);
    assert_eq!(bytes, (0, 1000));
}

#[test]
fn row_with_nothing_behind_it_is_no_edge() {
    assert_eq!(fused("", "trace_pair a > b 0 0").1, Fused::default());
}
