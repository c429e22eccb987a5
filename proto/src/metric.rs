//! IPC metrics: from the bytes of a message to columns.
//!
//! ```text
//! message ─► points with labels ─► family ─► canonical record
//! ```
//!
//! Which metrics are read, and what their labels mean, is data: [`Families`]. A point of any other
//! metric is counted and passed over. A message whose framing is broken is refused as a whole; a bad
//! point inside intact framing is refused alone.

use portolan_model::{MetricColumns, Nanos, Reject};

use crate::flow::MAX_AHEAD_NANOS;
use crate::{MetricEncoding, Refused};

mod canon;
mod family;
mod labels;
mod native;
mod otlp_json;
mod otlp_pb;
mod remote_write;
mod said;
#[cfg(test)]
mod tests;
mod write;

use canon::Canon;
pub use family::{EndKeys, Families, FamilyFault, FamilyRule, FamilyTable, StatusKeys};
pub use write::{ForeignPoint, ForeignValue, write_metrics};

/// Appends the points of one message to `out`. What is not appended is handed to `refused`. `now` is
/// the time of arrival.
pub fn decode_metrics(
    encoding: MetricEncoding,
    families: &Families,
    now: Nanos,
    max_message_bytes: usize,
    payload: &[u8],
    out: &mut MetricColumns,
    refused: &mut dyn FnMut(Refused),
) {
    if let Err(why) = crate::refused::check_size(payload, max_message_bytes) {
        return refused(why);
    }
    let latest = now.saturating_add(MAX_AHEAD_NANOS);
    let (before, mut any_refused) = ((out.len(), out.other), false);
    let mut refuse_one = |why| {
        any_refused = true;
        refused(why);
    };
    let mut canon = Canon { families, latest, out, refused: &mut refuse_one };
    match encoding {
        MetricEncoding::OtlpProto => otlp_pb::decode(payload, &mut canon),
        MetricEncoding::OtlpJson => otlp_json::decode(payload, &mut canon),
        MetricEncoding::RemoteWrite => {
            remote_write::decode(payload, max_message_bytes, &mut canon);
        }
    }
    if (out.len(), out.other) == before && !any_refused {
        refused(Refused::new(Reject::Empty, "a message without a point"));
    }
}
