//! The metrics of this crate, by name.

/// What a metric is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// A distribution.
    Histogram,
}

/// A metric, for the list in the documentation.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name.
    pub name: &'static str,
    /// Kind.
    pub kind: MetricKind,
    /// Labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

pub(crate) const REQUESTS: &str = "portolan_api_requests_total";
pub(crate) const SECONDS: &str = "portolan_api_request_seconds";
pub(crate) const FOLDINGS: &str = "portolan_api_foldings_total";
pub(crate) const INCONSISTENT: &str = "portolan_api_inconsistent_rows_total";

/// All of them.
pub const METRICS: &[Metric] = &[
    Metric {
        name: REQUESTS,
        kind: MetricKind::Counter,
        labels: &["rpc", "code"],
        help: "Queries answered, by method and gRPC status code",
    },
    Metric {
        name: SECONDS,
        kind: MetricKind::Histogram,
        labels: &["rpc"],
        help: "Time from the request to the answer, without the network",
    },
    Metric {
        name: FOLDINGS,
        kind: MetricKind::Counter,
        labels: &["of"],
        help: "Graphs summed and folded, of now (at most one an epoch and mode) or of a range",
    },
    Metric {
        name: INCONSISTENT,
        kind: MetricKind::Counter,
        labels: &[],
        help: "Rows that contradicted each other when folded; anything but 0 is a defect",
    },
];

/// Tells the recorder what the metrics are.
pub fn describe_metrics() {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
            MetricKind::Histogram => {
                metrics::describe_histogram!(metric.name, metrics::Unit::Seconds, metric.help);
            }
        }
    }
}
