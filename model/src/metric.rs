//! Points of IPC metrics as the mapper needs them: the canonical record, both ends in it.
//!
//! Whatever the family (mesh, RPC conventions, IPC of Netflix …), a point comes to who called whom,
//! with which outcome, and what was counted (metric semantics, D.6: the canonical record).

use std::ops::Range;

use crate::text::Texts;
use crate::{CallProtocol, CallSource, Nanos, PartitionId, ScopeId, Text};

/// What the value of a point is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum MetricWhat {
    /// Calls: a count, with the durations of a histogram.
    #[default]
    Calls,
    /// Failed calls, counted by themselves beside all calls.
    Errors,
    /// Bytes from client to server.
    BytesSent,
    /// Bytes from server to client.
    BytesReceived,
    /// Something is open between the two right now: no call, but evidence.
    Presence,
}

/// Outcome of the calls of a series, and what else holds for each of them, as bits.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Outcome(pub u8);

/// How the buckets of a point are counted.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Shape {
    /// There are none.
    #[default]
    None,
    /// By their upper bound in nanoseconds ([`i64::MAX`] for the last), each by itself.
    Bounds,
    /// By their upper bound, each with all below it (Prometheus).
    Upto,
    /// By index at a scale: index `i` is `(base^i, base^(i+1)]` of the unit, `base = 2^(2^-scale)`;
    /// [`i64::MIN`] is zero.
    Scale(i8),
}

/// Which of several metrics of one process that tell the same counts: the lowest rank that is there.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rank(pub u8);

/// A sum of a point, if it has one.
pub type Count = Option<i64>;

/// One end of a call, as the labels have it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct MetricEnd {
    /// Environment.
    pub environment: Text,
    /// Namespace of the service.
    pub namespace: Text,
    /// The service, if it is named.
    pub service: Text,
    /// Name or address of its socket.
    pub address: Text,
    /// Its port; 0 is unknown.
    pub port: u16,
    /// Network address behind the name.
    pub network: Text,
    /// Its port; 0 is unknown.
    pub network_port: u16,
    /// Database system.
    pub db_system: Text,
    /// Database name.
    pub db_name: Text,
    /// Messaging system.
    pub messaging_system: Text,
    /// Topic or queue.
    pub destination: Text,
}

/// One point of a series, or a part of one: what Prometheus sends apart has one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricRow {
    /// The series: a hash of everything that tells it from others.
    pub series: u128,
    /// The process and scope that the series is of, as a hash.
    pub stream: u64,
    /// Which metrics of a stream tell the same counts.
    pub group: u16,
    /// Place among these for counts.
    pub counts: Option<Rank>,
    /// Place among these for latency.
    pub times: Option<Rank>,
    /// What is counted.
    pub what: MetricWhat,
    /// Where the row goes.
    pub source: CallSource,
    /// Kind of call.
    pub protocol: CallProtocol,
    /// The called side measured it, not the caller.
    pub by_server: bool,
    /// Who calls; nothing if the metric does not say.
    pub client: MetricEnd,
    /// Who is called.
    pub server: MetricEnd,
    /// The operation, as far as it is one of few.
    pub operation: Text,
    /// Outcome.
    pub outcome: Outcome,
    /// It counts since the point before, not since the start.
    pub delta: bool,
    /// Since when it counts; 0 is unknown.
    pub start: Nanos,
    /// When it was read.
    pub time: Nanos,
    /// The count, in thousandths.
    pub count_milli: Count,
    /// The sum: nanoseconds or bytes.
    pub sum: Count,
    /// Nanoseconds of the unit, where buckets go by a scale.
    pub unit_nanos: u64,
    /// How buckets are counted.
    pub shape: Shape,
    /// Its buckets, in the columns.
    pub buckets: Range<u32>,
}

/// Points of one or more messages.
#[derive(Clone, Debug, Default)]
pub struct MetricColumns {
    rows: Vec<MetricRow>,
    buckets: Vec<(i64, u64)>,
    texts: Texts,
    /// Points of metrics that no family knows.
    pub other: u64,
}

/// Points of one partition.
#[derive(Clone, Debug)]
pub struct MetricBatch {
    /// Where they come from.
    pub partition: PartitionId,
    /// The lowest offset that any of them comes from.
    pub first_offset: i64,
    /// Where their addresses are looked up.
    pub scope: ScopeId,
    /// The points.
    pub metrics: MetricColumns,
}

// === impl Outcome ===

impl Outcome {
    /// It failed, by the word of the side that measured.
    pub const FAILED: Self = Self(1);
    /// Answer of class 4xx.
    pub const STATUS_4XX: Self = Self(2);
    /// Answer of class 5xx, or a server error of an RPC system.
    pub const STATUS_5XX: Self = Self(4);
    /// An attempt beyond the first.
    pub const RETRY: Self = Self(8);

    /// Adds bits where a condition holds.
    #[must_use]
    pub const fn and_if(self, holds: bool, other: Self) -> Self {
        if holds { Self(self.0 | other.0) } else { self }
    }

    /// Whether any of the bits is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

// === impl MetricEnd ===

impl MetricEnd {
    /// Whether it names nobody.
    pub fn is_blank(&self) -> bool {
        let said = [self.service, self.address, self.network, self.db_system, self.destination];
        said.iter().all(|text| text.is_none()) && self.messaging_system.is_none()
    }
}

// === impl MetricColumns ===

impl MetricColumns {
    /// How many points.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing at all was read.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.other == 0
    }

    /// The points.
    pub fn rows(&self) -> &[MetricRow] {
        &self.rows
    }

    /// The buckets of a point.
    pub fn buckets(&self, row: &MetricRow) -> &[(i64, u64)] {
        &self.buckets[row.buckets.start as usize..row.buckets.end as usize]
    }

    /// Interns a text.
    pub fn text(&mut self, said: &str) -> Text {
        self.texts.text(said)
    }

    /// What a text says; empty for [`Text::NONE`].
    pub fn say(&self, text: Text) -> &str {
        self.texts.say(text)
    }

    /// Appends a point with its buckets. Its texts are of these columns.
    pub fn push(&mut self, mut row: MetricRow, buckets: impl IntoIterator<Item = (i64, u64)>) {
        let start = self.buckets.len() as u32;
        self.buckets.extend(buckets);
        row.buckets = start..self.buckets.len() as u32;
        self.rows.push(row);
    }

    /// When the points were read, for watermarks.
    pub fn ends(&self) -> Vec<Nanos> {
        self.rows.iter().map(|row| row.time).collect()
    }
}
