//! The inboxes of a server: one for each encoding that is taken, each before a topic of its own,
//! since the records of a topic are all written alike.

use std::io;
use std::sync::Arc;

use portolan_proto::{Encoding, Families, MetricEncoding, SpanEncoding};
use portolan_storage::LocalTopic;

use crate::inbox::{Bounds, Committed, Inbox, Room};

/// The local topics of OTLP, and what their records are.
pub const OTLP_TOPICS: &[(&str, Encoding)] = &[
    ("otlp-traces", Encoding::Span(SpanEncoding::OtlpProto)),
    ("otlp-traces-json", Encoding::Span(SpanEncoding::OtlpJson)),
    ("otlp-metrics", Encoding::Metric(MetricEncoding::OtlpProto)),
    ("otlp-metrics-json", Encoding::Metric(MetricEncoding::OtlpJson)),
];

/// Those of Zipkin.
pub const ZIPKIN_TOPICS: &[(&str, Encoding)] = &[
    ("zipkin-spans", Encoding::Span(SpanEncoding::ZipkinJson)),
    ("zipkin-spans-proto", Encoding::Span(SpanEncoding::ZipkinProto)),
];

/// See the module.
#[derive(Clone, Debug)]
pub struct Inboxes {
    all: Arc<[(Encoding, Inbox)]>,
    families: Arc<Families>,
    bounds: Bounds,
}

/// A topic to take messages for.
#[derive(Debug)]
pub struct Taken {
    /// The log.
    pub topic: Arc<LocalTopic>,
    /// What its records are.
    pub encoding: Encoding,
    /// How far the store has read it.
    pub next: i64,
}

// === impl Inboxes ===

impl Inboxes {
    /// Inboxes before the topics, with one bound on what waits. `families` are the metrics that
    /// are read, to tell a sender which of its points are refused.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn open(
        topics: Vec<Taken>,
        families: Arc<Families>,
        bounds: Bounds,
    ) -> io::Result<(Self, Committed)> {
        let (room, mut committed) = (Room::new(bounds), Committed::default());
        let mut all = Vec::with_capacity(topics.len());
        for Taken { topic, encoding, next } in topics {
            all.push((encoding, Inbox::open(topic, next, &room, &mut committed)?));
        }
        Ok((Self { all: all.into(), families, bounds }, committed))
    }

    /// The one for messages of an encoding.
    pub(crate) fn of(&self, encoding: Encoding) -> Option<&Inbox> {
        let found = self.all.iter().find(|(other, _)| *other == encoding);
        found.map(|(_, inbox)| inbox)
    }

    pub(crate) fn families(&self) -> &Families {
        &self.families
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }
}
