//! A call as judged, and differences between two judgements as rows.

use portolan_model::{CallDelta, CallKey, CallMeasure, Latency, Nanos};
use rustc_hash::FxHashMap;

use super::span::Marks;

/// No duration was seen.
pub(super) const UNSEEN: Nanos = Nanos::MAX;

/// One call, or one half that nothing came of: what a span adds to a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call {
    pub(super) key: CallKey,
    pub(super) first: Nanos,
    pub(super) last: Nanos,
    /// Calls that it stands for, in thousandths.
    pub(super) weight: u32,
    pub(super) marks: Marks,
    /// Durations as each side saw them; [`UNSEEN`] where one did not.
    pub(super) client: Nanos,
    pub(super) server: Nanos,
    pub(super) gap: Nanos,
}

/// Rows of an epoch.
pub(super) type Rows = FxHashMap<CallKey, CallDelta>;

/// Emits what changed between two judgements. Both are put in order.
pub(super) fn difference(old: &mut [Call], new: &mut [Call], out: &mut Rows) {
    old.sort_unstable();
    new.sort_unstable();
    let (mut a, mut b) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let (call, sign) = match (a.peek(), b.peek()) {
            (None, None) => return,
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
                continue;
            }
            (Some(x), Some(y)) if x > y => (b.next(), 1),
            (None, Some(_)) => (b.next(), 1),
            (Some(_), _) => (a.next(), -1),
        };
        let call = call.expect("it was just seen");
        call.count(sign, out.entry(call.key).or_insert_with(|| CallDelta::new(call.key)));
    }
}

// === impl Call ===

impl Call {
    /// A call that counts, with nothing measured yet.
    pub(super) fn new(key: CallKey, first: Nanos, last: Nanos, weight: u32, marks: Marks) -> Self {
        let (client, server, gap) = (UNSEEN, UNSEEN, UNSEEN);
        Self { key, first, last, weight, marks, client, server, gap }
    }

    /// Adds it to its row, or takes it away.
    fn count(&self, sign: i64, row: &mut CallDelta) {
        let weight = i64::from(self.weight) * sign;
        let counts = self.marks.has(Marks::COUNTS);
        let sums = &mut row.counters;
        if counts {
            sums[CallMeasure::CallsMilli] += weight;
            sums[CallMeasure::Raw] += sign;
            // w (w − 1), both in thousandths.
            let w = i64::from(self.weight);
            sums[CallMeasure::VarianceMilli] += w.saturating_mul(w - 1_000) / 1_000 * sign;
        }
        let either = Marks::CLIENT_ERROR.and(Marks::SERVER_ERROR);
        for (mark, measure) in [
            (either, CallMeasure::ErrorsMilli),
            (Marks::CLIENT_ERROR, CallMeasure::ClientErrorsMilli),
            (Marks::SERVER_ERROR, CallMeasure::ServerErrorsMilli),
            (Marks::STATUS_4XX, CallMeasure::Status4xxMilli),
            (Marks::STATUS_5XX, CallMeasure::Status5xxMilli),
            (Marks::RETRY, CallMeasure::RetriesMilli),
        ] {
            if self.marks.has(mark) {
                sums[measure] += weight;
            }
        }
        for (mark, measure) in [
            (Marks::UNPAIRED_CLIENT, CallMeasure::UnpairedClient),
            (Marks::UNPAIRED_SERVER, CallMeasure::UnpairedServer),
            (Marks::SKEW, CallMeasure::ClockSkew),
            (Marks::SYNTHETIC, CallMeasure::Synthetic),
        ] {
            if self.marks.has(mark) {
                sums[measure] += sign;
            }
        }
        let record = |of: &mut Latency, took: Nanos| {
            if took != UNSEEN {
                of.record(took, sign);
            }
        };
        record(&mut row.client, self.client);
        record(&mut row.server, self.server);
        record(&mut row.gap, self.gap);
        if sign > 0 {
            row.first_ns = row.first_ns.min(self.first);
            row.last_ns = row.last_ns.max(self.last);
        }
    }
}
