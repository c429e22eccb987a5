//! Network metrics of OpenTelemetry eBPF Instrumentation and Grafana Beyla, as OTLP metrics
//! (`opentelemetry/proto/metrics/v1`; formats, 4.3), read in place.
//!
//! A data point is a flow only where the metric was told to keep its addresses: by default there
//! are names alone, and names are no sockets. Sums have to be deltas: a cumulative one needs the
//! points before it.

use portolan_model::{FlowColumns, Proto, Reject};

use super::raw::{Address, RawFlow, WireTime};
use super::{Context, admit, refuse};
use crate::Refused;
use crate::wire::{Broken, FIXED64, LEN, Reader, VARINT, key};

mod point;

use point::Point;

/// Bytes by flow, by the names of both projects.
const FLOW_BYTES: [&str; 2] = ["obi.network.flow.bytes", "beyla.network.flow.bytes"];

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: u64 = 1;

/// Appends the data points of a message.
pub(super) fn decode(
    payload: &[u8],
    context: Context,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    // Once to see that it is whole, once to take: what stands before a break is not to be trusted.
    if let Err(broken) = each_metric(payload, &mut |metric| metric.check()) {
        return refuse(Reject::Undecodable, &broken.to_string(), None, refused);
    }
    let mut place = 0;
    let walked = each_metric(payload, &mut |metric| {
        metric.take(context, &mut place, out, refused);
        Ok(())
    });
    debug_assert!(walked.is_ok(), "it was walked once before");
    if place == 0 {
        refuse(Reject::Derived, "no metrics", None, refused);
    }
}

/// A metric: its name and, if it has one, its sum.
#[derive(Default)]
struct Metric<'a> {
    name: &'a [u8],
    sum: Option<&'a [u8]>,
}

/// `ExportMetricsServiceRequest.resource_metrics` (1) `.scope_metrics` (2) `.metrics` (2).
fn each_metric<'a>(
    payload: &'a [u8],
    each: &mut dyn FnMut(Metric<'a>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    const RESOURCE_METRICS: u32 = key(1, LEN);
    const SCOPE_METRICS: u32 = key(2, LEN);
    const METRICS: u32 = key(2, LEN);
    each_field(payload, RESOURCE_METRICS, &mut |resource| {
        each_field(resource, SCOPE_METRICS, &mut |scope| {
            each_field(scope, METRICS, &mut |metric| each(Metric::read(metric)?))
        })
    })
}

/// Calls `each` with every field of that key; a field of that number and another wire type is an
/// error.
fn each_field<'a>(
    message: &'a [u8],
    wanted: u32,
    each: &mut dyn FnMut(&'a [u8]) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let mut reader = Reader::new(message);
    while reader.at() < message.len() {
        let key = reader.key()?;
        if key == wanted {
            each(reader.delimited()?)?;
        } else {
            reader.skip_unless(key, 1 << (wanted >> 3))?;
        }
    }
    Ok(())
}

// === impl Metric ===

impl<'a> Metric<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Broken> {
        const NAME: u32 = key(1, LEN);
        const SUM: u32 = key(7, LEN);
        let mut reader = Reader::new(message);
        let mut metric = Self::default();
        while reader.at() < message.len() {
            match reader.key()? {
                NAME => metric.name = reader.delimited()?,
                SUM => metric.sum = Some(reader.delimited()?),
                key => reader.skip_unless(key, 1 << 1 | 1 << 7)?,
            }
        }
        Ok(metric)
    }

    fn is_flow_bytes(&self) -> bool {
        FLOW_BYTES.iter().any(|name| name.as_bytes() == self.name)
    }

    /// Whether all that will be read can be.
    fn check(&self) -> Result<(), Broken> {
        match self.sum {
            Some(sum) if self.is_flow_bytes() => {
                temporality(sum)?;
                each_point(sum, &mut |point| Point::read(point).map(drop))
            }
            _ => Ok(()),
        }
    }

    fn take(
        &self,
        context: Context,
        place: &mut usize,
        out: &mut FlowColumns,
        refused: &mut dyn FnMut(Refused),
    ) {
        let name = String::from_utf8_lossy(self.name);
        let mut refuse_metric = |reason: Reject, why: &str| {
            refuse(reason, &format!("{name}: {why}"), Some(*place), refused);
            *place += 1;
        };
        if !self.is_flow_bytes() {
            return refuse_metric(Reject::Derived, "not the bytes of flows");
        }
        let Some(sum) = self.sum else {
            return refuse_metric(Reject::BadField, "not a sum");
        };
        if temporality(sum) != Ok(DELTA) {
            return refuse_metric(Reject::BadField, "cumulative: export it as a delta");
        }
        let before = *place;
        let walked = each_point(sum, &mut |point| {
            match Point::read(point)?.raw() {
                Ok(raw) => admit(&raw, context, Some(*place), out, refused),
                Err(why) => refuse(why.reason, &why.detail, Some(*place), refused),
            }
            *place += 1;
            Ok(())
        });
        debug_assert!(walked.is_ok(), "it was walked once before");
        if *place == before {
            refuse(Reject::Empty, "a sum without data points", Some(*place), refused);
            *place += 1;
        }
    }
}

/// `Sum.aggregation_temporality` (2); 0 if it is not said.
fn temporality(sum: &[u8]) -> Result<u64, Broken> {
    const TEMPORALITY: u32 = key(2, VARINT);
    let mut reader = Reader::new(sum);
    let mut found = 0;
    while reader.at() < sum.len() {
        match reader.key()? {
            TEMPORALITY => found = reader.varint()?,
            key => reader.skip_unless(key, 1 << 2)?,
        }
    }
    Ok(found)
}

/// `Sum.data_points` (1).
fn each_point<'a>(
    sum: &'a [u8],
    each: &mut dyn FnMut(&'a [u8]) -> Result<(), Broken>,
) -> Result<(), Broken> {
    const DATA_POINTS: u32 = key(1, LEN);
    each_field(sum, DATA_POINTS, each)
}
