//! An export, whichever way it came: judged, appended, and waited for.

use std::time::Duration;

use bytes::Bytes;
use portolan_model::{MetricColumns, Reject, SpanColumns};
use portolan_proto::{Encoding, Refused, decode_metrics, decode_spans};

use crate::inbox::Refusal;
use crate::inboxes::Inboxes;

/// When a sender that met a full inbox is to come again: an epoch later.
pub(crate) const COME_AGAIN: Duration = Duration::from_secs(1);

/// The one metric of this crate: name, labels, and what it says.
pub const REQUESTS: (&str, &[&str], &str) = (
    "portolan_receive_requests_total",
    &["way", "signal", "outcome"],
    "Exports of senders, by way (grpc, http, zipkin), signal (traces, metrics) and what became of them",
);

/// What of a message is refused for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Spans or points.
    pub(crate) rejected: i64,
    /// Why the first of them is.
    pub(crate) why: String,
}

/// Why an export failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It does not decode: sending it again does not help.
    Malformed(String),
    /// It was not taken.
    Refused(Refusal),
}

/// Gathers refusals.
#[derive(Default)]
struct Judge {
    verdict: Verdict,
    whole: Option<String>,
    is_empty: bool,
}

/// Tells the recorder what the metric is.
pub(crate) fn describe() {
    metrics::describe_counter!(REQUESTS.0, REQUESTS.2);
}

/// Takes an export; done once it is committed, and counted.
pub(crate) async fn export(
    inboxes: &Inboxes,
    way: &'static str,
    encoding: Encoding,
    payload: Bytes,
) -> Result<Verdict, Failed> {
    let done = take(inboxes, encoding, payload).await;
    let outcome = match &done {
        Ok(_) => "taken",
        Err(Failed::Malformed(_)) => "malformed",
        Err(Failed::Refused(Refusal::Busy)) => "busy",
        Err(Failed::Refused(Refusal::Late)) => "late",
        Err(Failed::Refused(Refusal::Broken(_))) => "broken",
    };
    let signal = signal(encoding);
    metrics::counter!(REQUESTS.0, "way" => way, "signal" => signal, "outcome" => outcome)
        .increment(1);
    done
}

/// The name that OTLP has for what is exported.
pub(crate) fn signal(encoding: Encoding) -> &'static str {
    if matches!(encoding, Encoding::Metric(_)) { "metrics" } else { "traces" }
}

async fn take(inboxes: &Inboxes, encoding: Encoding, payload: Bytes) -> Result<Verdict, Failed> {
    let Some(inbox) = inboxes.of(encoding) else {
        return Err(Failed::Refused(Refusal::Broken(format!("{encoding} is not taken"))));
    };
    if payload.is_empty() {
        // Nothing at all: allowed, and nothing to wait for.
        return Ok(Verdict::default());
    }
    let Some(verdict) = judge(inboxes, encoding, &payload)? else {
        return Ok(Verdict::default());
    };
    inbox.put(payload).await.map_err(Failed::Refused)?;
    Ok(verdict)
}

/// What of it will be refused; none if there is nothing in it. It is decoded once more by the line,
/// where refusals are counted: here the sender is told.
fn judge(inboxes: &Inboxes, encoding: Encoding, payload: &[u8]) -> Result<Option<Verdict>, Failed> {
    let (mut judge, most) = (Judge::default(), inboxes.bounds().message_bytes);
    let mut refused = |why| judge.refused(why);
    // Judged without a clock: what is too far ahead is refused by the line, and counted there.
    let now = u64::MAX;
    let is_empty = match encoding {
        Encoding::Metric(encoding) => {
            let (families, mut points) = (inboxes.families(), MetricColumns::default());
            decode_metrics(encoding, families, now, most, payload, &mut points, &mut refused);
            points.is_empty()
        }
        Encoding::Span(encoding) => {
            let mut spans = SpanColumns::default();
            decode_spans(encoding, now, most, payload, &mut spans, &mut refused);
            spans.is_empty()
        }
        Encoding::Flow(_) | Encoding::Owner(_) | Encoding::Note(_) => true,
    };
    match judge.whole {
        Some(why) if is_empty => Err(Failed::Malformed(why)),
        _ if judge.verdict.rejected == 0 && judge.is_empty => Ok(None),
        _ => Ok(Some(judge.verdict)),
    }
}

// === impl Judge ===

impl Judge {
    fn refused(&mut self, why: Refused) {
        if why.reason == Reject::Empty {
            self.is_empty = true;
            return;
        }
        if matches!(why.reason, Reject::Undecodable | Reject::TooLarge) {
            self.whole.get_or_insert_with(|| why.detail.clone());
        }
        if self.verdict.rejected == 0 {
            self.verdict.why = why.detail;
        }
        self.verdict.rejected += 1;
    }
}
