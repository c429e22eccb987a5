//! From labels to the canonical record: who called whom, and how it ended.

use std::borrow::Cow;

use portolan_model::{
    CallProtocol, MetricColumns, MetricEnd, MetricRow, MetricWhat, Nanos, Outcome, Reject, Shape,
    Text,
};

use super::family::{End, EndKeys, Families, Family, unit_nanos};
use super::labels::{Label, Labels, Value, hash, hash_labels};
use super::said::{cluster_host, grpc_code, is_server_error, split_port, target_host};
use crate::Refused;

/// The longest name that becomes part of an identity (trace semantics, C.1).
const MAX_NAME_BYTES: usize = 255;
/// The largest count that a double holds exactly, in thousandths: nothing real is near.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0 / 1e3;
/// The largest sum of nanoseconds or bytes: differences and sums of several stay within 64 bits.
const MAX_SUM: f64 = i64::MAX as f64 / 4.0;
/// What stands in for a missing service name, best first (trace semantics, C.1); the later ones are
/// labels that scrapers of Prometheus give.
const STAND_INS: [&str; 13] = [
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
    "container.name",
    "k8s.container.name",
    "host.name",
    "deployment",
    "statefulset",
    "daemonset",
    "app_kubernetes_io_name",
    "app",
];

/// A point as a format has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Point<'a> {
    pub(super) delta: bool,
    pub(super) start: Nanos,
    pub(super) time: Nanos,
    /// A counter's value, or how many a histogram has.
    pub(super) count: Option<f64>,
    /// In the unit of the metric.
    pub(super) sum: Option<f64>,
    pub(super) shape: PointShape,
    /// Upper bound (or index) and count.
    pub(super) buckets: &'a [(f64, u64)],
}

/// How its buckets are counted: see [`Shape`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub(super) enum PointShape {
    #[default]
    None,
    Bounds,
    Upto,
    Scale(i8),
}

/// A metric: what all of its points share.
#[derive(Copy, Clone)]
pub(super) struct Metric<'a> {
    pub(super) name: &'a str,
    pub(super) unit: &'a str,
    /// Labels that its points share, and who they say reports.
    pub(super) resource: &'a [Label<'a>],
    /// Its process and scope.
    pub(super) stream: u64,
    /// A label of points that is no part of the series.
    pub(super) skip: &'a str,
}

/// Writes points into columns.
pub(super) struct Canon<'a> {
    pub(super) families: &'a Families,
    pub(super) latest: Nanos,
    pub(super) out: &'a mut MetricColumns,
    pub(super) refused: &'a mut dyn FnMut(Refused),
}

// === impl Canon ===

impl Canon<'_> {
    /// Whether any family knows a metric of this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.families.named(name).0.next().is_some()
    }

    /// Takes a point, or counts it as one that is none of ours.
    pub(super) fn take(&mut self, metric: Metric<'_>, labels: &[Label<'_>], point: &Point<'_>) {
        let families = self.families;
        let labels = Labels { point: labels, resource: metric.resource };
        let (mut of, in_name) = families.named(metric.name);
        let Some(family) = of.find(|family| labels.all(&family.when)) else {
            self.out.other += 1;
            return;
        };
        let unit = in_name.or_else(|| unit_nanos(metric.unit)).unwrap_or(family.unit_nanos);
        if let Err((reason, why)) = self.put(metric, family, labels, point, unit) {
            (self.refused)(Refused::new(reason, format!("{}: {why}", metric.name)));
        }
    }

    fn put(
        &mut self,
        metric: Metric<'_>,
        family: &Family,
        labels: Labels<'_>,
        point: &Point<'_>,
        unit: u64,
    ) -> Result<(), Fault> {
        if point.time == 0 {
            return Err((Reject::NoTime, "no time"));
        }
        if point.time > self.latest {
            return Err((Reject::Future, "a point in the future"));
        }
        if point.start > point.time {
            return Err((Reject::EndsBeforeStart, "it was read before it starts"));
        }
        let mut row = MetricRow {
            series: series(metric, labels, point),
            stream: metric.stream,
            group: family.group,
            counts: family.counts,
            times: family.times,
            what: family.what,
            source: family.source,
            protocol: self.protocol(family, labels),
            by_server: family.by_server,
            client: self.end(&family.client, labels)?,
            server: self.end(&family.server, labels)?,
            operation: self.operation(family, labels),
            outcome: self.outcome(family, labels),
            delta: point.delta,
            start: point.start,
            time: point.time,
            count_milli: None,
            sum: None,
            unit_nanos: unit,
            shape: Shape::None,
            buckets: 0..0,
        };
        value(&mut row, point, unit)?;
        let buckets = buckets(&mut row, point, unit);
        self.out.push(row, buckets);
        Ok(())
    }

    fn protocol(&self, family: &Family, labels: Labels<'_>) -> CallProtocol {
        // `rpc` is what a family says that does not know better.
        let fixed = family.protocol.filter(|p| *p != CallProtocol::Rpc);
        let said = || {
            let word = labels.first(&self.families.status.protocol)?.to_ascii_lowercase();
            Some(match word.as_str() {
                word if word.contains("grpc") => CallProtocol::Grpc,
                word if word.starts_with("http") => CallProtocol::Http,
                "tcp" => CallProtocol::Tcp,
                _ => CallProtocol::Rpc,
            })
        };
        fixed.or_else(said).or(family.protocol).unwrap_or_default()
    }

    fn operation(&mut self, family: &Family, labels: Labels<'_>) -> Text {
        let parts: Vec<_> = family.operation.iter().filter_map(|key| labels.find(key)).collect();
        let text = parts.join(&family.join);
        named(self.out, &text).unwrap_or_default()
    }

    fn outcome(&self, family: &Family, labels: Labels<'_>) -> Outcome {
        let status = &self.families.status;
        let by_client = !family.by_server;
        let mut outcome = Outcome::default()
            .and_if(labels.any(&family.failed), Outcome::FAILED)
            .and_if(labels.any(&family.retry), Outcome::RETRY);
        if let Some(code) = labels.first(&status.http).and_then(|s| s.parse::<u16>().ok()) {
            // No answer at all is 0 in Istio's metrics.
            let failed = code == 0 || code >= 500 || (by_client && code >= 400);
            outcome = outcome
                .and_if(failed, Outcome::FAILED)
                .and_if((400..500).contains(&code), Outcome::STATUS_4XX)
                .and_if(code >= 500, Outcome::STATUS_5XX);
        }
        if let Some(code) = labels.first(&status.grpc).and_then(|s| grpc_code(&s)) {
            let by_word = is_server_error(code);
            outcome = outcome
                .and_if(by_word || (by_client && code != 0), Outcome::FAILED)
                .and_if(by_word, Outcome::STATUS_5XX);
        }
        let error = labels.first(&status.error);
        outcome.and_if(error.is_some_and(|e| !e.eq_ignore_ascii_case("none")), Outcome::FAILED)
    }

    fn end(&mut self, end: &End, labels: Labels<'_>) -> Result<MetricEnd, Fault> {
        match end {
            End::None => Ok(MetricEnd::default()),
            End::Reporter => self.reporter(labels),
            End::Keys(keys) => self.keyed(keys, labels),
        }
    }

    /// The process that reports, by its resource.
    fn reporter(&mut self, labels: Labels<'_>) -> Result<MetricEnd, Fault> {
        let of = Labels { point: &[], resource: labels.resource };
        let known = |name: &Cow<'_, str>| !name.starts_with("unknown_service");
        let namespace = of.find("service.namespace");
        let (service, namespace) = if let Some(name) = of.find("service.name").filter(known) {
            (name, namespace)
        } else if let Some(name) = STAND_INS.iter().find_map(|key| of.find(key)) {
            let around = || of.find("k8s.namespace.name").or_else(|| of.find("namespace"));
            (name, namespace.or_else(around))
        } else if let Some(job) = of.find("job") {
            // What OpenTelemetry's exporters make of namespace and name.
            match job.split_once('/') {
                Some((space, name)) => (name.to_owned().into(), Some(space.to_owned().into())),
                None => (job, of.find("namespace")),
            }
        } else {
            return Err((Reject::BadField, "nothing names the service"));
        };
        let environment =
            of.find("deployment.environment.name").or_else(|| of.find("deployment.environment"));
        Ok(MetricEnd {
            environment: self.name(environment)?,
            namespace: self.name(namespace)?,
            service: self.name(Some(service))?,
            ..MetricEnd::default()
        })
    }

    fn keyed(&mut self, keys: &EndKeys, labels: Labels<'_>) -> Result<MetricEnd, Fault> {
        // Proxies say `unknown` of what they do not know.
        let known = |keys: &[String]| {
            keys.iter().filter_map(|key| labels.find(key)).find(|name| name != "unknown")
        };
        let port = |keys: &[String]| labels.first(keys).and_then(|p| p.parse().ok()).unwrap_or(0);
        let mut end = MetricEnd {
            environment: self.name(known(&keys.environment))?,
            namespace: self.name(known(&keys.namespace))?,
            service: self.name(known(&keys.service))?,
            port: port(&keys.port),
            network: self.name(known(&keys.network))?,
            network_port: port(&keys.network_port),
            db_system: self.name(known(&keys.db_system))?,
            db_name: self.name(known(&keys.db_name))?,
            messaging_system: self.name(known(&keys.messaging_system))?,
            destination: self.name(known(&keys.destination))?,
            ..MetricEnd::default()
        };
        if !end.service.is_none() {
            return Ok(end);
        }
        // A namespace alone names nobody.
        end.namespace = Text::NONE;
        let target = known(&keys.target);
        let cluster = known(&keys.cluster);
        let address = known(&keys.address);
        let host = match (&target, &cluster, &address) {
            (Some(target), ..) => Some(target_host(target)),
            (_, Some(cluster), _) => cluster_host(cluster),
            (_, _, Some(address)) => Some(address.as_ref()),
            _ => None,
        };
        if let Some(host) = host {
            self.host(&mut end, host)?;
        }
        Ok(end)
    }

    /// A host with or without its port: the service that its name is of in a cluster, or an address.
    fn host(&mut self, end: &mut MetricEnd, said: &str) -> Result<(), Fault> {
        let (host, port) = split_port(said);
        if port != 0 {
            end.port = port;
        }
        let mut parts = host.trim_end_matches('.').split('.');
        match (parts.next(), parts.next(), parts.next()) {
            // `name.namespace.svc`, and what a cluster appends.
            (Some(name), Some(namespace), Some("svc")) => {
                end.service = self.name(Some(name.into()))?;
                end.namespace = self.name(Some(namespace.into()))?;
            }
            _ => end.address = self.name(Some(host.into()))?,
        }
        Ok(())
    }

    fn name(&mut self, said: Option<Cow<'_, str>>) -> Result<Text, Fault> {
        const WHY: &str = "a name of more than 255 bytes, or with control characters";
        let Some(said) = said else { return Ok(Text::NONE) };
        named(self.out, &said).ok_or((Reject::BadField, WHY))
    }
}

/// Why a point is refused.
type Fault = (Reject, &'static str);

fn named(out: &mut MetricColumns, text: &str) -> Option<Text> {
    let is_good = text.len() <= MAX_NAME_BYTES && !text.contains(char::is_control);
    is_good.then(|| out.text(text))
}

/// What tells a series from others: the metric, all labels, and for what counts since a start, the
/// start: counting anew is another series.
fn series(metric: Metric<'_>, labels: Labels<'_>, point: &Point<'_>) -> u128 {
    let start = if point.delta { 0 } else { point.start };
    let of = hash(&[
        plain_series(metric).as_bytes(),
        &metric.stream.to_le_bytes(),
        &start.to_le_bytes(),
        &[u8::from(point.delta)],
    ]);
    of.wrapping_add(hash_labels(labels.point, metric.skip))
        .wrapping_add(hash_labels(labels.resource, metric.skip).rotate_left(1))
}

/// The name that all parts of a flattened histogram share.
fn plain_series(metric: Metric<'_>) -> &str {
    let name = metric.name;
    if metric.skip.is_empty() {
        return name;
    }
    let part = ["_bucket", "_count", "_sum"].iter().find_map(|part| name.strip_suffix(part));
    part.unwrap_or(name)
}

fn value(row: &mut MetricRow, point: &Point<'_>, unit: u64) -> Result<(), Fault> {
    let plausible = |value: Option<f64>, most: f64| match value {
        Some(value) if !(0.0..=most).contains(&value) => {
            Err((Reject::Implausible, "a value that no counter can have"))
        }
        value => Ok(value),
    };
    match row.what {
        MetricWhat::BytesSent | MetricWhat::BytesReceived => {
            // A counter is its own sum; how many messages a histogram has is not asked.
            let is_counter = point.shape == PointShape::None && point.sum.is_none();
            let bytes = if is_counter { point.count } else { point.sum };
            row.sum = plausible(bytes, MAX_SUM)?.map(|bytes| bytes.round() as i64);
        }
        _ => {
            let count = plausible(point.count, MAX_COUNT)?;
            row.count_milli = count.map(|count| (count * 1e3).round() as i64);
            let sum = point.sum.map(|sum| sum * unit as f64);
            row.sum = plausible(sum, MAX_SUM)?.map(|nanos| nanos.round() as i64);
        }
    }
    Ok(())
}

/// Its buckets in nanoseconds; none where nobody asks for durations.
fn buckets(row: &mut MetricRow, point: &Point<'_>, unit: u64) -> Vec<(i64, u64)> {
    if row.times.is_none() || row.what != MetricWhat::Calls {
        return Vec::new();
    }
    let bound = |value: f64| {
        let nanos = value * unit as f64;
        // The cast saturates: what is endless is the largest number.
        if nanos.is_nan() { i64::MAX } else { nanos.round() as i64 }
    };
    row.shape = match point.shape {
        PointShape::None => return Vec::new(),
        PointShape::Bounds => Shape::Bounds,
        PointShape::Upto => Shape::Upto,
        PointShape::Scale(scale) => Shape::Scale(scale),
    };
    let key = |value: f64| match row.shape {
        Shape::Scale(_) => value as i64,
        _ => bound(value),
    };
    let most = MAX_COUNT as u64;
    let mut buckets: Vec<_> =
        point.buckets.iter().map(|(of, count)| (key(*of), (*count).min(most))).collect();
    buckets.sort_unstable();
    buckets.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    buckets
}

/// What identifies a process in the labels of Prometheus, as a stream: by job, instance and pod; where
/// none of them is there, by all labels.
pub(super) fn scraped_stream(labels: &[Label<'_>]) -> u64 {
    const PROCESS: [&str; 6] = ["job", "instance", "pod", "namespace", "cluster", "container"];
    let of: Vec<_> = labels.iter().filter(|(key, _)| PROCESS.contains(key)).copied().collect();
    let is_process = of.iter().any(|(key, _)| matches!(*key, "job" | "instance" | "pod"));
    let of = if is_process { hash_labels(&of, "") } else { hash_labels(labels, "le") };
    (of >> 64) as u64 ^ of as u64
}

/// The stream of a resource and a scope.
pub(super) fn stream(resource: &[Label<'_>], scope: &str) -> u64 {
    let of = hash_labels(resource, "").wrapping_add(hash(&[b"scope", scope.as_bytes()]));
    (of >> 64) as u64 ^ of as u64
}

/// A text as a label value.
impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}
