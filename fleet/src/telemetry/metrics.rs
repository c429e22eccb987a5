//! IPC metrics of a request, in the forms that services emit.

use std::collections::BTreeMap;

use super::kind::{Kind, Outcome};
use super::otlp::KeyValue;
use super::{CallCounts, Telemetry, Told};
use crate::spec::MetricForm;
use crate::world::{Group, PodIx, World};

/// Bounds of the buckets of durations in seconds, as the conventions advise.
pub(super) const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The same of Istio's proxies, in milliseconds.
pub(super) const MILLIS: [f64; 13] =
    [0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4];

/// Series of one reporter.
#[derive(Debug, Default)]
pub(super) struct Series(pub(super) BTreeMap<(Name, Vec<KeyValue>), Point>);

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) name: &'static str,
    pub(super) form: Form,
}

/// What its points are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// A histogram over [`SECONDS`].
    Seconds,
    /// A histogram over [`MILLIS`].
    Millis,
    /// A counter.
    Count,
}

/// Sums of one series.
#[derive(Clone, Debug, Default)]
pub(super) struct Point {
    pub(super) count: u64,
    pub(super) nanos: u64,
    pub(super) buckets: [u64; SECONDS.len() + 1],
}

type Attributes = Vec<KeyValue>;

impl Telemetry {
    /// Adds a request to the series of both ends, as far as they report.
    pub(super) fn measure(&mut self, world: &World, told: &Told, counts: &mut CallCounts) {
        let (client, server) = (told.request.client, told.request.server);
        let reports = [client, server].map(|pod| {
            let group = &world.groups[world.pods[pod].workload];
            match self.spec.metrics {
                // Proxies report, whatever the service itself does.
                MetricForm::Istio => group.plan.role.is_pods() && !group.plan.host,
                _ => self.speaks(world, world.pods[pod].workload),
            }
        });
        let served = told.outcome != Outcome::Refused && told.kind.is_answered();
        let lengths = told.lengths();
        for (by_client, pod) in [(true, client), (false, server)] {
            if !reports[usize::from(!by_client)] || (!by_client && !served) {
                continue;
            }
            let said = match self.spec.metrics {
                MetricForm::Off => Vec::new(),
                MetricForm::OpenTelemetry => conventions(told, by_client),
                MetricForm::Ipc => ipc(world, told, by_client),
                MetricForm::Istio => istio(world, told, by_client),
            };
            if said.is_empty() {
                continue;
            }
            let series = self.series.entry(pod).or_default();
            for key in said {
                let form = key.0.form;
                series.0.entry(key).or_default().add(lengths[usize::from(!by_client)], form);
            }
            let told =
                if by_client { &mut counts.reported_client } else { &mut counts.reported_server };
            *told = 1;
        }
    }
}

fn metric(name: &'static str, form: Form, of: Attributes) -> (Name, Attributes) {
    (Name { name, form }, of)
}

/// Semantic conventions: a process tells of its own side.
fn conventions(told: &Told, by_client: bool) -> Vec<(Name, Attributes)> {
    let (kind, outcome) = (told.kind, told.outcome);
    let (first, second) = kind.parts(told.operation);
    let mut of = Attributes::new();
    let mut is = |key: &str, value| of.push(KeyValue::new(key, value));
    let name = match (kind, by_client) {
        (Kind::Http, _) => {
            is("http.request.method", first.into());
            if let Some(status) = outcome.http_status(by_client) {
                is("http.response.status_code", status.into());
            }
            if by_client {
                "http.client.request.duration"
            } else {
                is("http.route", second.into());
                is("url.scheme", "http".into());
                "http.server.request.duration"
            }
        }
        (Kind::Grpc, _) => {
            is("rpc.system.name", "grpc".into());
            is("rpc.method", format!("{first}/{second}").into());
            is("rpc.status_code", outcome.grpc_status(by_client).into());
            if by_client { "rpc.client.call.duration" } else { "rpc.server.call.duration" }
        }
        (Kind::Database(system), _) => {
            is("db.system.name", system.into());
            is("db.namespace", "main".into());
            is("db.operation.name", first.into());
            is("db.collection.name", second.into());
            "db.client.operation.duration"
        }
    };
    if by_client {
        is("server.address", told.request.address.as_str().into());
        is("server.port", told.request.dialled.port.into());
    }
    if let Some(error) = outcome.error_type(kind, by_client) {
        is("error.type", error.into());
    }
    vec![metric(name, Form::Seconds, of)]
}

/// The IPC form: either side names both.
fn ipc(world: &World, told: &Told, by_client: bool) -> Vec<(Name, Attributes)> {
    let (kind, outcome) = (told.kind, told.outcome);
    let group = |pod: PodIx| &world.groups[world.pods[pod].workload].plan;
    let (client, server) = (group(told.request.client), group(told.request.server));
    let protocol = match kind {
        Kind::Http => "http_1",
        Kind::Grpc => "grpc",
        Kind::Database(_) => return Vec::new(),
    };
    let failed = if by_client { outcome.client_error(kind) } else { outcome.server_error() };
    let status = match (outcome, failed) {
        (_, false) => "success",
        (Outcome::GivenUp, _) => "timeout",
        (Outcome::Refused, _) => "connection_error",
        (Outcome::NotFound, _) => "bad_request",
        _ => "unexpected_error",
    };
    let of = [
        ("owner", "fleet".to_owned()),
        ("ipc.client.app", client.name.clone()),
        ("ipc.client.cluster", format!("{}-{}", client.name, client.namespace)),
        ("ipc.server.app", server.name.clone()),
        ("ipc.server.cluster", format!("{}-{}", server.name, server.namespace)),
        ("ipc.protocol", protocol.to_owned()),
        ("ipc.endpoint", kind.operation(told.operation)),
        ("ipc.result", if failed { "failure" } else { "success" }.to_owned()),
        ("ipc.status", status.to_owned()),
        ("ipc.attempt", "initial".to_owned()),
    ];
    let of = of.into_iter().map(|(key, value)| KeyValue::new(key, value.into())).collect();
    vec![metric(if by_client { "ipc.client.call" } else { "ipc.server.call" }, Form::Seconds, of)]
}

/// Istio's standard metrics, by the proxy of the source or of the destination.
fn istio(world: &World, told: &Told, by_client: bool) -> Vec<(Name, Attributes)> {
    let group = |pod: PodIx| -> &Group { &world.groups[world.pods[pod].workload] };
    let (client, server) = (group(told.request.client), group(told.request.server));
    let protocol = match told.kind {
        Kind::Http => "http",
        Kind::Grpc => "grpc",
        Kind::Database(_) => return Vec::new(),
    };
    let inside = server.plan.role.is_pods();
    let workload = |name: &str| if inside { name.to_owned() } else { "unknown".to_owned() };
    let (server_name, namespace) = (&server.plan.name, &server.plan.namespace);
    let service = server.plan.service_name.as_ref().unwrap_or(server_name);
    let host = if inside {
        format!("{service}.{namespace}.svc.cluster.local")
    } else {
        told.request.address.clone()
    };
    let status = told.outcome.http_status(by_client).unwrap_or(0);
    let mut of = vec![
        ("reporter", if by_client { "source" } else { "destination" }.to_owned()),
        ("source_workload", client.plan.name.clone()),
        ("source_workload_namespace", client.plan.namespace.clone()),
        ("source_canonical_service", client.plan.name.clone()),
        ("source_app", client.plan.name.clone()),
        ("source_cluster", "Kubernetes".to_owned()),
        ("destination_workload", workload(server_name)),
        ("destination_workload_namespace", workload(namespace)),
        ("destination_canonical_service", workload(server_name)),
        ("destination_app", workload(server_name)),
        ("destination_service", host),
        ("destination_service_name", service.clone()),
        ("destination_service_namespace", workload(namespace)),
        ("destination_cluster", workload("Kubernetes")),
        ("request_protocol", protocol.to_owned()),
        ("response_code", if told.kind == Kind::Grpc { 200 } else { status }.to_string()),
        ("response_flags", if told.outcome == Outcome::Refused { "UF" } else { "-" }.to_owned()),
    ];
    if told.kind == Kind::Grpc {
        let code = match told.outcome.grpc_status(by_client) {
            "OK" => "0",
            "DEADLINE_EXCEEDED" => "4",
            "INTERNAL" => "13",
            _ => "14",
        };
        of.push(("grpc_response_status", code.to_owned()));
    }
    let of: Attributes =
        of.into_iter().map(|(key, value)| KeyValue::new(key, value.into())).collect();
    vec![
        metric("istio_requests_total", Form::Count, of.clone()),
        metric("istio_request_duration_milliseconds", Form::Millis, of),
    ]
}

// === impl Point ===

impl Point {
    fn add(&mut self, nanos: u64, form: Form) {
        self.count += 1;
        self.nanos += nanos;
        let value = nanos as f64 / form.nanos();
        // Upper bounds belong to their bucket.
        self.buckets[form.bounds().partition_point(|bound| *bound < value)] += 1;
    }
}

// === impl Form ===

impl Form {
    pub(super) fn bounds(self) -> &'static [f64] {
        match self {
            Self::Seconds => &SECONDS,
            Self::Millis => &MILLIS,
            Self::Count => &[],
        }
    }

    /// Nanoseconds of the unit.
    pub(super) fn nanos(self) -> f64 {
        match self {
            Self::Seconds => 1e9,
            Self::Millis | Self::Count => 1e6,
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Millis => "ms",
            Self::Count => "1",
        }
    }
}
