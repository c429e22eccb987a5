use std::collections::{BTreeMap, BTreeSet};

use portolan_model::Nanos;
use prost::Message as _;

use super::otlp::{self, Metrics, Span, Traces, Value};
use crate::cluster::SECOND;
use crate::telemetry::CallCounts;
use crate::{CallEdge, Fleet, FleetSpec, Message, MetricForm, TelemetrySpec, Topic};

const START: Nanos = 1_795_420_800 * SECOND;

fn run(telemetry: TelemetrySpec) -> (Vec<Message>, Vec<CallEdge>) {
    let mut fleet = Fleet::try_new(FleetSpec { telemetry, ..FleetSpec::demo(7) }, START).unwrap();
    let mut messages = Vec::new();
    for second in 1..30 {
        messages.extend(fleet.tick(START + second * SECOND));
    }
    messages.extend(fleet.close(START + 30 * SECOND));
    (messages, fleet.calls())
}

/// Spans with the name of the service that tells them. Each only once, however often it came.
fn spans(messages: &[Message]) -> Vec<(String, Span)> {
    let mut spans = BTreeMap::new();
    for message in messages.iter().filter(|m| m.topic == Topic::Spans) {
        let traces = Traces::decode(&*message.payload).unwrap();
        let mut count = 0;
        for of in traces.resource_spans {
            let service = text(&of.resource.unwrap().attributes, "service.name");
            for span in of.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                count += 1;
                spans
                    .insert((span.trace_id.clone(), span.span_id.clone()), (service.clone(), span));
            }
        }
        assert_eq!(count, message.records);
    }
    spans.into_values().collect()
}

fn text(attributes: &[otlp::KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|a| a.key == key).and_then(|a| a.value.clone()?.value);
    match value {
        Some(Value::Text(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

fn total(calls: &[CallEdge]) -> CallCounts {
    let mut all = CallCounts::default();
    for call in calls {
        all.add(&call.counts);
    }
    all
}

/// Calls by the services at their ends, as the spans of both ends pair by parent.
fn paired(spans: &[(String, Span)]) -> BTreeMap<(String, String), u64> {
    let of = |kind| spans.iter().filter(move |(_, span)| span.kind == kind);
    let clients: BTreeMap<_, _> = of(otlp::SPAN_KIND_CLIENT)
        .map(|(service, span)| ((&span.trace_id, &span.span_id), service))
        .collect();
    let mut pairs = BTreeMap::new();
    for (server, span) in of(otlp::SPAN_KIND_SERVER) {
        if let Some(client) = clients.get(&(&span.trace_id, &span.parent_span_id)) {
            *pairs.entry(((*client).clone(), server.clone())).or_default() += 1;
        }
    }
    pairs
}

#[test]
fn spans_pair_to_the_true_calls() {
    for telemetry in [TelemetrySpec::full(), TelemetrySpec::hard()] {
        let (messages, calls) = run(telemetry);
        let mut truth: BTreeMap<(String, String), u64> = BTreeMap::new();
        for call in calls.iter().filter(|call| call.counts.paired > 0) {
            let ends = (call.client.name.to_string(), call.server.name.to_string());
            *truth.entry(ends).or_default() += call.counts.paired;
        }
        assert_eq!(paired(&spans(&messages)), truth);
        assert!(truth.len() >= 5, "{truth:?}");
    }
}

#[test]
fn traces_go_several_services_deep_and_children_lie_within_their_parents() {
    let (messages, _) = run(TelemetrySpec::full());
    let spans = spans(&messages);
    let by_id: BTreeMap<_, _> =
        spans.iter().map(|(service, span)| (&span.span_id, (service, span))).collect();
    let mut depths = BTreeSet::new();
    for (_, span) in &spans {
        let mut services = BTreeSet::new();
        let mut at = span;
        while let Some((service, parent)) = by_id.get(&at.parent_span_id) {
            services.insert(*service);
            assert_eq!(parent.trace_id, at.trace_id);
            at = parent;
        }
        depths.insert(services.len());
    }
    assert!(depths.contains(&3), "{depths:?}");
}

#[test]
fn sampling_keeps_whole_traces_and_says_how_many() {
    let (messages, calls) = run(TelemetrySpec { sampled_permille: 250, ..TelemetrySpec::full() });
    let all = total(&calls);
    let share = all.sampled as f64 / all.calls as f64;
    assert!((0.2..0.3).contains(&share), "{share}");
    let spans = spans(&messages);
    assert!(spans.iter().all(|(_, span)| span.trace_state == "ot=th:c"));
    let servers = spans.iter().filter(|(_, span)| span.kind == otlp::SPAN_KIND_SERVER).count();
    assert_eq!(servers as u64, all.paired + all.server_only);
}

/// Calls that the metrics of clients and of servers tell of, by the metric's name.
fn reported(messages: &[Message], cumulative: bool) -> BTreeMap<String, u64> {
    let mut last = BTreeMap::new();
    for message in messages.iter().filter(|m| m.topic == Topic::Metrics) {
        let metrics = Metrics::decode(&*message.payload).unwrap();
        for of in metrics.resource_metrics {
            let instance = text(&of.resource.unwrap().attributes, "service.instance.id");
            for metric in of.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let histogram = metric.histogram.into_iter().flat_map(|h| h.data_points);
                let counts = metric.sum.into_iter().flat_map(|s| s.data_points);
                let points = histogram.map(|p| {
                    assert_eq!(p.bucket_counts.iter().sum::<u64>(), p.count);
                    assert!(p.start_time_unix_nano < p.time_unix_nano);
                    (p.attributes, p.time_unix_nano, p.count)
                });
                let counts = counts.map(|p| (p.attributes, p.time_unix_nano, p.as_int as u64));
                for (attributes, time, count) in points.chain(counts) {
                    let period = if cumulative { 0 } else { time };
                    let key = (metric.name.clone(), instance.clone(), attributes, period);
                    let best = last.entry(key).or_insert(0);
                    *best = count.max(*best);
                }
            }
        }
    }
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for ((name, ..), count) in last {
        *sums.entry(name).or_default() += count;
    }
    sums
}

fn sides(sums: &BTreeMap<String, u64>) -> [u64; 2] {
    ["client", "server"].map(|side| {
        let of = sums.iter().filter(|(name, _)| name.contains(side));
        of.map(|(_, count)| count).sum()
    })
}

#[test]
fn metrics_of_either_temporality_count_the_true_calls() {
    for form in [MetricForm::OpenTelemetry, MetricForm::Ipc] {
        for cumulative in [false, true] {
            let spec = TelemetrySpec { metrics: form, cumulative, ..TelemetrySpec::hard() };
            let (messages, calls) = run(spec);
            let all = total(&calls);
            let told = sides(&reported(&messages, cumulative));
            assert_eq!(told, [all.reported_client, all.reported_server], "{form:?} {cumulative}");
            assert!(told[0] > 1_000 && told[1] > 1_000, "{told:?}");
        }
    }
}

#[test]
fn proxies_of_both_ends_count_the_true_calls() {
    let (messages, calls) =
        run(TelemetrySpec { metrics: MetricForm::Istio, ..TelemetrySpec::hard() });
    let all = total(&calls);
    let sums = reported(&messages, false);
    let told = sums["istio_requests_total"];
    assert_eq!(told, all.reported_client + all.reported_server);
    assert_eq!(told, sums["istio_request_duration_milliseconds"]);
}

#[test]
fn flows_are_the_same_whether_services_tell_or_not() {
    let flows = |telemetry| {
        let (messages, _) = run(telemetry);
        let flows = messages.into_iter().filter(|m| m.topic == Topic::Flows);
        flows.map(|message| message.payload).collect::<Vec<_>>()
    };
    assert!(flows(TelemetrySpec::off()) == flows(TelemetrySpec::hard()));
}
