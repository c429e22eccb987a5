//! Writes metrics in every format: for tests, fuzzing and simulated fleets.

use portolan_model::Nanos;
use prost::Message;
use serde_json::{Value, json};

use crate::MetricEncoding;

/// A point of a metric as somebody else has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForeignPoint {
    /// Attributes of the resource.
    pub resource: Vec<(String, String)>,
    /// Name of the scope.
    pub scope: String,
    /// Name of the metric.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Attributes of the point.
    pub attributes: Vec<(String, String)>,
    /// It counts since the point before.
    pub delta: bool,
    /// Since when it counts; 0 is unknown.
    pub start: Nanos,
    /// When it was read.
    pub time: Nanos,
    /// What was read.
    pub value: ForeignValue,
}

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub enum ForeignValue {
    /// A counter.
    Counter(f64),
    /// A histogram with bounds.
    Histogram {
        /// Sum of all values, in the unit.
        sum: f64,
        /// Upper bounds of all buckets but the last.
        bounds: Vec<f64>,
        /// Counts, one more than bounds.
        counts: Vec<u64>,
    },
    /// An exponential histogram. Not written for Prometheus.
    Exponential {
        /// Sum of all values, in the unit.
        sum: f64,
        /// Scale.
        scale: i8,
        /// Count of zeros.
        zero: u64,
        /// Index of the first bucket.
        offset: i32,
        /// Counts.
        counts: Vec<u64>,
    },
}

impl Default for ForeignValue {
    fn default() -> Self {
        Self::Counter(0.0)
    }
}

/// One message with the points.
pub fn write_metrics(encoding: MetricEncoding, points: &[ForeignPoint]) -> Vec<u8> {
    match encoding {
        MetricEncoding::OtlpProto => otlp(points).encode_to_vec(),
        MetricEncoding::OtlpJson => {
            let resources: Vec<_> = points.iter().map(otlp_json).collect();
            json!({ "resourceMetrics": resources }).to_string().into_bytes()
        }
        MetricEncoding::RemoteWrite => {
            let plain = prometheus(points).encode_to_vec();
            snap::raw::Encoder::new().compress_vec(&plain).unwrap_or(plain)
        }
    }
}

/// How many there are in all.
fn total(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

// === OTLP, protobuf: field numbers of `opentelemetry/proto` ===

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<Named>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Named>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(message, optional, tag = "7")]
    sum: Option<Sum>,
    #[prost(message, optional, tag = "9")]
    histogram: Option<Histogram>,
    #[prost(message, optional, tag = "10")]
    exponential: Option<Exponential>,
}

#[derive(Clone, PartialEq, Message)]
struct Sum {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Number>,
    #[prost(int32, tag = "2")]
    temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(message, repeated, tag = "1")]
    points: Vec<HistogramPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Exponential {
    #[prost(message, repeated, tag = "1")]
    points: Vec<ExponentialPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(fixed64, tag = "2")]
    start: u64,
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(double, tag = "4")]
    value: f64,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct HistogramPoint {
    #[prost(fixed64, tag = "2")]
    start: u64,
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(fixed64, repeated, tag = "6")]
    counts: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    bounds: Vec<f64>,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ExponentialPoint {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "2")]
    start: u64,
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(sint32, tag = "6")]
    scale: i32,
    #[prost(fixed64, tag = "7")]
    zero: u64,
    #[prost(message, optional, tag = "8")]
    positive: Option<Buckets>,
}

#[derive(Clone, PartialEq, Message)]
struct Buckets {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint64, repeated, tag = "2")]
    counts: Vec<u64>,
}

fn attributes(of: &[(String, String)]) -> Vec<KeyValue> {
    let one = |(key, value): &(String, String)| KeyValue {
        key: key.clone(),
        value: Some(Named { name: value.clone() }),
    };
    of.iter().map(one).collect()
}

fn otlp(points: &[ForeignPoint]) -> Request {
    let one = |point: &ForeignPoint| ResourceMetrics {
        resource: Some(Resource { attributes: attributes(&point.resource) }),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(Named { name: point.scope.clone() }),
            metrics: vec![otlp_metric(point)],
        }],
    };
    Request { resource_metrics: points.iter().map(one).collect() }
}

fn otlp_metric(point: &ForeignPoint) -> Metric {
    let temporality = if point.delta { 1 } else { 2 };
    let (start, time) = (point.start, point.time);
    let attributes = attributes(&point.attributes);
    let mut metric =
        Metric { name: point.name.clone(), unit: point.unit.clone(), ..Metric::default() };
    match point.value.clone() {
        ForeignValue::Counter(value) => {
            let points = vec![Number { start, time, value, attributes }];
            metric.sum = Some(Sum { points, temporality, is_monotonic: true });
        }
        ForeignValue::Histogram { sum, bounds, counts } => {
            let (count, sum) = (total(&counts), Some(sum));
            let point = HistogramPoint { start, time, count, sum, counts, bounds, attributes };
            metric.histogram = Some(Histogram { points: vec![point], temporality });
        }
        ForeignValue::Exponential { sum, scale, zero, offset, counts } => {
            let count = total(&counts).saturating_add(zero);
            let (scale, sum) = (i32::from(scale), Some(sum));
            let positive = Some(Buckets { offset, counts });
            let point =
                ExponentialPoint { attributes, start, time, count, sum, scale, zero, positive };
            metric.exponential = Some(Exponential { points: vec![point], temporality });
        }
    }
    metric
}

// === OTLP, JSON ===

fn otlp_json(point: &ForeignPoint) -> Value {
    let attributes = |of: &[(String, String)]| -> Vec<Value> {
        let one = |(key, value): &_| json!({ "key": key, "value": { "stringValue": value } });
        of.iter().map(one).collect()
    };
    let texts = |counts: &[u64]| counts.iter().map(u64::to_string).collect::<Vec<_>>();
    let mut data = json!({
        "startTimeUnixNano": point.start.to_string(),
        "timeUnixNano": point.time.to_string(),
        "attributes": attributes(&point.attributes),
    });
    let (form, more) = match &point.value {
        ForeignValue::Counter(value) => ("sum", json!({ "asDouble": value })),
        ForeignValue::Histogram { sum, bounds, counts } => (
            "histogram",
            json!({
                "count": total(counts).to_string(), "sum": sum,
                "explicitBounds": bounds, "bucketCounts": texts(counts),
            }),
        ),
        ForeignValue::Exponential { sum, scale, zero, offset, counts } => (
            "exponentialHistogram",
            json!({
                "count": total(counts).saturating_add(*zero).to_string(), "sum": sum,
                "scale": scale, "zeroCount": zero.to_string(),
                "positive": { "offset": offset, "bucketCounts": texts(counts) },
            }),
        ),
    };
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    let temporality = if point.delta { 1 } else { 2 };
    json!({
        "resource": { "attributes": attributes(&point.resource) },
        "scopeMetrics": [{
            "scope": { "name": point.scope },
            "metrics": [{
                "name": point.name,
                "unit": point.unit,
                form: { "aggregationTemporality": temporality, "dataPoints": [data] },
            }],
        }],
    })
}

// === Prometheus remote write, version 1 ===

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<PlainLabel>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<PlainSample>,
}

#[derive(Clone, PartialEq, Message)]
struct PlainLabel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct PlainSample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

fn prometheus(points: &[ForeignPoint]) -> WriteRequest {
    let mut timeseries = Vec::new();
    for point in points {
        let time = (point.time / 1_000_000) as i64;
        let mut put = |suffix: &str, le: Option<String>, value: f64| {
            let plain = |text: &str| text.replace(['.', '/'], "_");
            let label = |(key, value): &(String, String)| PlainLabel {
                name: plain(key),
                value: value.clone(),
            };
            let name = PlainLabel { name: "__name__".into(), value: plain(&point.name) + suffix };
            let le = le.map(|value| PlainLabel { name: "le".into(), value });
            let labels = point.resource.iter().chain(&point.attributes).map(label);
            let labels = [name].into_iter().chain(labels).chain(le).collect();
            let samples = vec![PlainSample { value, timestamp: time }];
            timeseries.push(TimeSeries { labels, samples });
        };
        match &point.value {
            ForeignValue::Counter(value) => put("", None, *value),
            ForeignValue::Histogram { sum, bounds, counts } => {
                let mut upto = 0;
                let upper = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
                for (le, count) in upper.zip(counts) {
                    upto = count.saturating_add(upto);
                    put("_bucket", Some(le), upto as f64);
                }
                put("_count", None, upto as f64);
                put("_sum", None, *sum);
            }
            ForeignValue::Exponential { .. } => {}
        }
    }
    WriteRequest { timeseries }
}
