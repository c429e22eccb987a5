//! OTLP metrics as JSON (the OTLP specification, "JSON Protobuf Encoding").

use portolan_model::Reject;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::canon::{Canon, Metric, Point, PointShape, stream};
use super::labels::{Label, Value};
use crate::Refused;
use crate::json::{Number, NumberOr, Text, each_value, object};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow)]
    resource_metrics: Vec<ResourceMetrics<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceMetrics<'a> {
    #[serde(borrow)]
    resource: Attributed<'a>,
    #[serde(borrow)]
    scope_metrics: Vec<ScopeMetrics<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributed<'a> {
    #[serde(borrow)]
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScopeMetrics<'a> {
    #[serde(borrow)]
    scope: Scope<'a>,
    #[serde(borrow)]
    metrics: Vec<RawMetric<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Scope<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawMetric<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    unit: Text<'a>,
    #[serde(borrow)]
    gauge: Option<Data<'a>>,
    #[serde(borrow)]
    sum: Option<Data<'a>>,
    #[serde(borrow)]
    histogram: Option<Data<'a>>,
    #[serde(borrow)]
    exponential_histogram: Option<Data<'a>>,
    #[serde(borrow)]
    summary: Option<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow)]
    data_points: Vec<RawPoint<'a>>,
    #[serde(borrow)]
    aggregation_temporality: NumberOr<'a>,
}

/// A point of any form: their names do not clash.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPoint<'a> {
    #[serde(borrow)]
    attributes: Vec<KeyValue<'a>>,
    start_time_unix_nano: Number,
    time_unix_nano: Number,
    flags: Number,
    #[serde(borrow)]
    as_int: Option<&'a RawValue>,
    as_double: Option<f64>,
    count: Option<Number>,
    sum: Option<f64>,
    bucket_counts: Vec<Number>,
    explicit_bounds: Vec<f64>,
    scale: i64,
    zero_count: Number,
    positive: Buckets,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Buckets {
    offset: i64,
    bucket_counts: Vec<Number>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyValue<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    value: AnyValue<'a>,
}

/// Lists and maps are not read.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the format")]
struct AnyValue<'a> {
    #[serde(borrow)]
    string_value: Option<Text<'a>>,
    bool_value: Option<bool>,
    /// 64-bit numbers are text in protobuf's JSON.
    #[serde(borrow)]
    int_value: Option<&'a RawValue>,
    double_value: Option<f64>,
}

/// Appends the points of a message.
pub(super) fn decode(payload: &[u8], canon: &mut Canon<'_>) {
    each_value(payload, &mut |_, value| {
        let request = match value.and_then(object::<Request<'_>>) {
            Ok(request) => request,
            Err(why) => return (canon.refused)(why),
        };
        for of in &request.resource_metrics {
            let resource = labels(&of.resource.attributes);
            for scope in &of.scope_metrics {
                let stream = stream(&resource, &scope.scope.name);
                for metric in &scope.metrics {
                    let shared = Metric {
                        name: &metric.name,
                        unit: &metric.unit,
                        resource: &resource,
                        stream,
                        skip: "",
                    };
                    take(shared, metric, canon);
                }
            }
        }
    });
}

fn take(shared: Metric<'_>, metric: &RawMetric<'_>, canon: &mut Canon<'_>) {
    let forms = [
        (&metric.gauge, Some(true)),
        (&metric.sum, None),
        (&metric.histogram, None),
        (&metric.exponential_histogram, None),
        (&metric.summary, Some(false)),
    ];
    let is_exponential = metric.exponential_histogram.is_some();
    for (data, fixed) in forms {
        let Some(data) = data else { continue };
        let delta = fixed.or_else(|| temporality(&data.aggregation_temporality));
        for raw in &data.data_points {
            if !canon.knows(shared.name) || raw.flags.0 & 1 != 0 {
                canon.out.other += 1;
                continue;
            }
            let Some(delta) = delta else {
                let why = format!("{}: neither delta nor cumulative", shared.name);
                (canon.refused)(Refused::new(Reject::BadField, why));
                continue;
            };
            let (shape, buckets) = buckets(raw, is_exponential);
            let point = Point {
                delta,
                start: raw.start_time_unix_nano.0,
                time: raw.time_unix_nano.0,
                count: number(raw),
                sum: raw.sum,
                shape,
                buckets: &buckets,
            };
            canon.take(shared, &labels(&raw.attributes), &point);
        }
    }
}

fn number(raw: &RawPoint<'_>) -> Option<f64> {
    let int = raw.as_int.and_then(|digits| digits.get().trim_matches('"').parse::<i64>().ok());
    int.map(|n| n as f64).or(raw.as_double).or(raw.count.map(|n| n.0 as f64))
}

fn buckets(raw: &RawPoint<'_>, is_exponential: bool) -> (PointShape, Vec<(f64, u64)>) {
    if is_exponential {
        let Some(scale) = i8::try_from(raw.scale).ok().filter(|s| (-10..=20).contains(s)) else {
            return (PointShape::None, Vec::new());
        };
        let counts = raw.positive.bucket_counts.iter().enumerate();
        let offset = raw.positive.offset.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        let indexed = counts.map(|(at, n)| ((offset + at as i64) as f64, n.0));
        let zero = [(f64::NEG_INFINITY, raw.zero_count.0)];
        let all = zero.into_iter().chain(indexed).filter(|(_, count)| *count > 0);
        return (PointShape::Scale(scale), all.collect());
    }
    if raw.bucket_counts.len() != raw.explicit_bounds.len() + 1 {
        return (PointShape::None, Vec::new());
    }
    let upper = raw.explicit_bounds.iter().copied().chain([f64::INFINITY]);
    // Empty ones, too: each bound is the lower end of the next.
    (PointShape::Bounds, upper.zip(raw.bucket_counts.iter().map(|n| n.0)).collect())
}

/// By number, or by name as protobuf's own JSON has it.
fn temporality(said: &NumberOr<'_>) -> Option<bool> {
    match said {
        NumberOr::Number(Number(1)) => Some(true),
        NumberOr::Number(Number(2)) => Some(false),
        NumberOr::Text(text) if &**text == "AGGREGATION_TEMPORALITY_DELTA" => Some(true),
        NumberOr::Text(text) if &**text == "AGGREGATION_TEMPORALITY_CUMULATIVE" => Some(false),
        _ => None,
    }
}

fn labels<'a>(of: &'a [KeyValue<'_>]) -> Vec<Label<'a>> {
    of.iter().filter_map(KeyValue::read).collect()
}

impl KeyValue<'_> {
    fn read(&self) -> Option<Label<'_>> {
        let value = &self.value;
        let value = match (&value.string_value, value.bool_value, value.int_value) {
            (Some(text), ..) => Value::Text(text),
            (_, Some(truth), _) => Value::Bool(truth),
            (_, _, Some(digits)) => Value::Text(digits.get().trim_matches('"')),
            _ => Value::Double(value.double_value?),
        };
        Some((&self.key, value))
    }
}
