//! What leaves: spans by node, as a collector on each would send them, and metrics by pod.

use std::collections::BTreeMap;

use portolan_model::Nanos;
use prost::Message as _;

use super::Telemetry;
use super::metrics::{Form, Name, Point, Series};
use super::otlp::{self, KeyValue, Metric, Resource, Scope};
use crate::wire::{Message, Topic};
use crate::world::{PodIx, World};

impl Telemetry {
    /// Spans that have ended by `now`, or all.
    pub(super) fn export_spans(&mut self, world: &World, now: Nanos, last: bool) -> Vec<Message> {
        let mut nodes: BTreeMap<u32, Vec<otlp::ResourceSpans>> = BTreeMap::new();
        for (pod, spans) in &mut self.spans {
            let ended = |span: &otlp::Span| last || span.end_time_unix_nano <= now;
            let (leave, stay) = std::mem::take(spans).into_iter().partition(ended);
            *spans = stay;
            let leave: Vec<otlp::Span> = leave;
            if !leave.is_empty() {
                let node = world.pods[*pod].node.unwrap_or_default();
                nodes.entry(node).or_default().push(otlp::ResourceSpans {
                    resource: Some(resource(world, *pod)),
                    scope_spans: vec![otlp::ScopeSpans { scope: Some(scope()), spans: leave }],
                });
            }
        }
        self.spans.retain(|_, spans| !spans.is_empty());
        let message = |(node, resource_spans): (u32, Vec<otlp::ResourceSpans>)| {
            let count = |of: &otlp::ResourceSpans| {
                of.scope_spans.iter().map(|s| s.spans.len()).sum::<usize>()
            };
            let records = resource_spans.iter().map(count).sum::<usize>() as u32;
            let payload = otlp::Traces { resource_spans }.encode_to_vec();
            world.message(Topic::Spans, node.to_be_bytes().to_vec(), payload, records)
        };
        nodes.into_iter().map(message).collect()
    }

    /// Every series since the last report, or since the start.
    pub(super) fn export_metrics(&mut self, world: &World, now: Nanos) -> Vec<Message> {
        let since = if self.spec.cumulative { self.began } else { self.reported };
        let temporality = if self.spec.cumulative {
            otlp::TEMPORALITY_CUMULATIVE
        } else {
            otlp::TEMPORALITY_DELTA
        };
        let mut messages = Vec::new();
        for (pod, series) in &self.series {
            // A cumulative series began with its pod.
            let times = [since.max(world.pods[*pod].born().min(now)), now];
            let metrics = series.metrics(times, temporality);
            let records = series.0.len() as u32;
            let scope_metrics = vec![otlp::ScopeMetrics { scope: Some(scope()), metrics }];
            let resource = Some(resource(world, *pod));
            let resource_metrics = vec![otlp::ResourceMetrics { resource, scope_metrics }];
            let payload = otlp::Metrics { resource_metrics }.encode_to_vec();
            let key = (*pod as u64).to_be_bytes().to_vec();
            messages.push(world.message(Topic::Metrics, key, payload, records));
        }
        if self.spec.cumulative {
            self.series.retain(|pod, _| !world.pods[*pod].is_gone());
        } else {
            self.series.clear();
        }
        messages
    }
}

/// Who reports, with the attributes that a collector in the cluster adds.
fn resource(world: &World, pod: PodIx) -> Resource {
    let it = &world.pods[pod];
    let plan = &world.groups[it.workload].plan;
    let workload = match plan.role.word() {
        "StatefulSet" => "k8s.statefulset.name",
        "DaemonSet" => "k8s.daemonset.name",
        "Job" => "k8s.job.name",
        _ => "k8s.deployment.name",
    };
    let mut attributes = vec![
        ("service.name", plan.name.clone()),
        ("service.namespace", plan.namespace.clone()),
        ("service.instance.id", it.name().to_owned()),
        ("k8s.namespace.name", plan.namespace.clone()),
        (workload, plan.name.clone()),
        ("k8s.pod.name", it.name().to_owned()),
        ("k8s.pod.ip", it.ip.to_string()),
        ("telemetry.sdk.language", "rust".to_owned()),
    ];
    let environment = world.environment();
    if !environment.is_empty() {
        attributes.push(("deployment.environment.name", environment.to_owned()));
    }
    let attributes = attributes.into_iter();
    let attributes = attributes.map(|(key, value)| KeyValue::new(key, value.into())).collect();
    Resource { attributes }
}

fn scope() -> Scope {
    Scope { name: "fleet".to_owned() }
}

// === impl Series ===

impl Series {
    /// One metric a name, with a point for each set of attributes.
    fn metrics(&self, times: [Nanos; 2], temporality: i32) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        let mut name: Option<Name> = None;
        for ((of, attributes), point) in &self.0 {
            if name != Some(*of) {
                name = Some(*of);
                metrics.push(empty(*of, temporality));
            }
            let metric = metrics.last_mut().expect("one was just pushed");
            if let Some(sum) = &mut metric.sum {
                sum.data_points.push(point.number(times, attributes));
            }
            if let Some(histogram) = &mut metric.histogram {
                histogram.data_points.push(point.histogram(of.form, times, attributes));
            }
        }
        metrics
    }
}

fn empty(of: Name, aggregation_temporality: i32) -> Metric {
    let data_points = Vec::new();
    let sum = otlp::Sum { data_points, aggregation_temporality, is_monotonic: true };
    let histogram = otlp::Histogram { data_points: Vec::new(), aggregation_temporality };
    let counts = of.form == Form::Count;
    Metric {
        name: of.name.to_owned(),
        unit: of.form.unit().to_owned(),
        sum: counts.then_some(sum),
        histogram: (!counts).then_some(histogram),
    }
}

// === impl Point ===

impl Point {
    fn number(&self, [from, to]: [Nanos; 2], attributes: &[KeyValue]) -> otlp::NumberPoint {
        otlp::NumberPoint {
            start_time_unix_nano: from,
            time_unix_nano: to,
            as_int: self.count as i64,
            attributes: attributes.to_vec(),
        }
    }

    fn histogram(
        &self,
        form: Form,
        [from, to]: [Nanos; 2],
        attributes: &[KeyValue],
    ) -> otlp::HistogramPoint {
        let bounds = form.bounds();
        otlp::HistogramPoint {
            start_time_unix_nano: from,
            time_unix_nano: to,
            count: self.count,
            sum: Some(self.nanos as f64 / form.nanos()),
            bucket_counts: self.buckets[..=bounds.len()].to_vec(),
            explicit_bounds: bounds.to_vec(),
            attributes: attributes.to_vec(),
        }
    }
}
