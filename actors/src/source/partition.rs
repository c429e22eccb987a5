//! One partition as a source reads it: decodes messages into the batch that is being filled, and
//! keeps the account of what became of every offset.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use metrics::Counter;
use portolan_model::{
    DeadLetter, FlowBatch, FlowColumns, Loss, MetricBatch, MetricColumns, Nanos, Note, OwnerEvent,
    PartitionId, Reject, ScopeId, SpanBatch, SpanColumns, TopicPartition,
};
use portolan_pipeline::Intake;
use portolan_pipeline::feed::{Ends, Parcel, Progress, Reading, Taken};
use portolan_proto::{
    DEFAULT_MAX_NOTE_BYTES, DEFAULT_MAX_OWNER_BYTES, Encoding, Families, FlowDecoder, FlowEncoding,
    MetricEncoding, NoteEncoding, OwnerEncoding, Refused, SpanEncoding, decode_metrics,
    decode_notes, decode_owners, decode_spans,
};

use crate::config::Topic;
use crate::names;
use crate::status::Status;

/// What decoding needs besides the partition.
pub(crate) struct Tools {
    pub(crate) status: Arc<Status>,
    pub(crate) max_message_bytes: usize,
    /// Which metrics are read, and how.
    pub(crate) families: Arc<Families>,
    pub(crate) dead_letter_head: usize,
    /// The clock as read last.
    pub(crate) now: Nanos,
    /// The clock that records read again are judged by: that of the last epoch.
    pub(crate) then: Nanos,
}

/// What the messages of a partition are.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Flows(FlowEncoding, ScopeId, FlowDecoder),
    Owners(OwnerEncoding, String),
    Spans(SpanEncoding, ScopeId),
    Metrics(MetricEncoding, ScopeId),
    Notes(NoteEncoding),
}

/// A message as it was fetched.
pub(crate) struct Fetched<'a> {
    pub(crate) offset: i64,
    /// When it was produced, as Kafka has it; 0 if it does not.
    pub(crate) stamped: Nanos,
    pub(crate) payload: Option<&'a [u8]>,
}

/// See the module.
pub(crate) struct Part {
    pub(crate) id: PartitionId,
    pub(crate) name: TopicPartition,
    pub(crate) kind: Kind,
    /// How far it is read.
    pub(crate) reading: Reading,
    /// Offsets found gone at the start, and where reading goes on: noted once memory is rebuilt.
    pub(crate) lost_at_start: Option<(Range<i64>, i64)>,
    /// End of the partition when last looked up.
    pub(crate) end: i64,
    /// Being fetched.
    pub(crate) assigned: bool,
    /// Times that the fetcher said it had reached the end.
    pub(crate) ends_reached: u64,
    gaps_are_losses: bool,
    filling: Filling,
    meters: Meters,
}

/// The batch that is being filled, and what happened since the last one left.
#[derive(Default)]
struct Filling {
    flows: FlowColumns,
    owners: Vec<OwnerEvent>,
    spans: SpanColumns,
    metrics: MetricColumns,
    notes: Vec<Note>,
    first_offset: i64,
    rejects: [u64; Reject::ALL.len()],
    losses: Vec<Loss>,
    moved: bool,
    since: Option<Instant>,
    messages: u64,
    bytes: u64,
    room: usize,
}

impl Filling {
    /// How many records it holds; of one kind only.
    fn rows(&self) -> usize {
        let timed = self.flows.len() + self.spans.len() + self.metrics.len();
        timed + self.owners.len() + self.notes.len()
    }
}

struct Meters {
    messages: Counter,
    bytes: Counter,
    records: Counter,
    lost: Counter,
}

// === impl Kind ===

impl Kind {
    pub(crate) fn of(topic: &Topic, max_message_bytes: usize) -> Self {
        match topic.encoding {
            Encoding::Flow(encoding) => Self::Flows(
                encoding,
                ScopeId::of(&topic.scope),
                topic.decoder(max_message_bytes).expect("settings were validated before the start"),
            ),
            Encoding::Owner(encoding) => Self::Owners(encoding, topic.scope.clone()),
            Encoding::Span(encoding) => Self::Spans(encoding, ScopeId::of(&topic.scope)),
            Encoding::Metric(encoding) => Self::Metrics(encoding, ScopeId::of(&topic.scope)),
            Encoding::Note(encoding) => Self::Notes(encoding),
        }
    }

    /// Whether its records have times that make the watermark, and are remembered by the stages.
    pub(crate) const fn is_timed(&self) -> bool {
        matches!(self, Self::Flows(..) | Self::Spans(..) | Self::Metrics(..))
    }
}

// === impl Part ===

impl Part {
    pub(crate) fn new(
        id: PartitionId,
        name: TopicPartition,
        kind: Kind,
        next: i64,
        gaps_are_losses: bool,
    ) -> Self {
        let meters = Meters::of(&name);
        Self {
            id,
            name,
            kind,
            reading: Reading::new(next),
            lost_at_start: None,
            end: -1,
            assigned: false,
            ends_reached: 0,
            gaps_are_losses,
            filling: Filling::default(),
            meters,
        }
    }

    /// Rows of the batch that is being filled.
    pub(crate) fn rows(&self) -> usize {
        self.filling.rows()
    }

    /// Since when something waits to leave.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.filling.since
    }

    /// Takes a message in. Offsets below the one expected were taken before.
    pub(crate) fn take(&mut self, message: &Fetched<'_>, tools: &mut Tools) {
        match self.reading.take(message.offset) {
            Taken::Skip => {}
            Taken::Again => {
                self.decode(message, tools, false);
                self.filling.since.get_or_insert_with(Instant::now);
            }
            Taken::New(missing) => {
                if !missing.is_empty() {
                    self.gap(missing, tools);
                }
                self.decode(message, tools, true);
                self.filling.moved = true;
                self.filling.messages += 1;
                self.filling.bytes += message.payload.map_or(0, <[u8]>::len) as u64;
                self.filling.since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Goes on at `to`: what lies before is gone.
    pub(crate) fn lose(&mut self, lost: Range<i64>, to: i64, tools: &Tools) {
        self.reading.skip_to(to);
        self.filling.moved = true;
        self.filling.since.get_or_insert_with(Instant::now);
        self.note_loss(lost, tools);
    }

    fn note_loss(&mut self, lost: Range<i64>, tools: &Tools) {
        let name = &self.name;
        tracing::error!(
            cluster = %name.cluster, topic = %name.topic, partition = name.partition,
            from = lost.start, to = lost.end,
            "offsets are gone before they were read: their records are lost to the map"
        );
        let count = lost.end - lost.start;
        self.meters.lost.increment(count.max(0) as u64);
        tools.status.update(name, |p| p.lost += count);
        self.filling.losses.push(Loss {
            partition: name.clone(),
            from: lost.start,
            to: lost.end,
            at: tools.now,
        });
    }

    /// What has gathered, to be handed to the line.
    pub(crate) fn parcel(&mut self) -> Option<Parcel> {
        let room = self.filling.room.max(self.filling.flows.len()).max(self.filling.spans.len());
        let mut filled = std::mem::take(&mut self.filling);
        self.filling.room = room;
        if !filled.moved {
            // Read again: nothing counts. Or nothing at all.
            return self.batch(&mut filled).map(Parcel::Again);
        }
        let ends = match self.kind {
            Kind::Spans(..) => Ends::of(&filled.spans.ends()),
            Kind::Metrics(..) => Ends::of(&filled.metrics.ends()),
            _ => Ends::of(&filled.flows.end),
        };
        let accepted = (filled.flows.len() + filled.spans.len() + filled.metrics.len()) as u64;
        let records = accepted + (filled.owners.len() + filled.notes.len()) as u64;
        self.meters.messages.increment(filled.messages);
        self.meters.bytes.increment(filled.bytes);
        self.meters.records.increment(records);
        let progress = Progress {
            partition: self.id,
            next: self.reading.next(),
            accepted,
            rejects: self.count_rejects(&filled.rejects),
            losses: std::mem::take(&mut filled.losses),
            ends,
        };
        Some(Parcel::New(self.batch(&mut filled), progress))
    }

    /// Forgets what was read again and not yet handed over.
    pub(crate) fn forget(&mut self) {
        self.filling = Filling::default();
        self.reading.forget_reread();
    }

    fn gap(&mut self, missing: Range<i64>, tools: &Tools) {
        if self.gaps_are_losses {
            self.note_loss(missing, tools);
        } else {
            tools.status.update(&self.name, |p| p.gaps += missing.end - missing.start);
        }
    }

    fn decode(&mut self, message: &Fetched<'_>, tools: &mut Tools, counts: bool) {
        if self.filling.rows() == 0 {
            self.filling.first_offset = message.offset;
        }
        let Filling { flows, owners, spans, metrics, notes, rejects, room, .. } = &mut self.filling;
        let now = if counts { tools.now } else { tools.then };
        let head = message.payload.unwrap_or_default();
        let head = &head[..head.len().min(tools.dead_letter_head)];
        let (name, status) = (&self.name, &tools.status);
        let mut refused = |refused: Refused| {
            if counts {
                rejects[refused.reason as usize] += 1;
                status.bury(DeadLetter {
                    partition: name.clone(),
                    offset: message.offset,
                    reason: refused.reason,
                    at: now,
                    detail: refused.detail,
                    head: head.to_vec(),
                });
            }
        };
        // A record without a time of its own gets that of the message, so that reading it again, or in
        // another replica, means the same.
        let received = if message.stamped == 0 { now } else { message.stamped.min(now) };
        match (&mut self.kind, message.payload) {
            (Kind::Flows(encoding, scope, decoder), Some(payload)) => {
                if flows.is_empty() && *room > 0 {
                    *flows = FlowColumns::with_capacity(*room);
                }
                decoder.decode(*encoding, *scope, now, payload, flows, &mut refused);
            }
            (Kind::Spans(encoding, _), Some(payload)) => {
                if spans.is_empty() && *room > 0 {
                    *spans = SpanColumns::with_capacity(*room);
                }
                let most = tools.max_message_bytes;
                decode_spans(*encoding, now, most, payload, spans, &mut refused);
            }
            (Kind::Metrics(encoding, _), Some(payload)) => {
                let (families, most) = (&tools.families, tools.max_message_bytes);
                decode_metrics(*encoding, families, now, most, payload, metrics, &mut refused);
            }
            (Kind::Flows(..) | Kind::Spans(..) | Kind::Metrics(..), None) => refused(Refused {
                reason: Reject::Undecodable,
                detail: "a message without a payload".into(),
            }),
            (Kind::Notes(encoding), Some(payload)) => {
                let most = tools.max_message_bytes.min(DEFAULT_MAX_NOTE_BYTES);
                decode_notes(*encoding, received, most, payload, notes, &mut refused);
            }
            (Kind::Owners(encoding, scope), Some(payload)) => {
                let most = tools.max_message_bytes.min(DEFAULT_MAX_OWNER_BYTES);
                let (events, refusals) = decode_owners(*encoding, scope, received, most, payload);
                owners.extend(events);
                refusals.into_iter().for_each(refused);
            }
            // A tombstone: compaction will remove the key. The end of what it said was its own record.
            (Kind::Owners(..) | Kind::Notes(..), None) => {}
        }
    }

    fn batch(&self, filled: &mut Filling) -> Option<Intake> {
        if !filled.flows.is_empty() {
            return Some(Intake::Flows(FlowBatch {
                partition: self.id,
                first_offset: filled.first_offset,
                flows: std::mem::take(&mut filled.flows),
            }));
        }
        if let (Kind::Spans(_, scope), false) = (&self.kind, filled.spans.is_empty()) {
            return Some(Intake::Spans(SpanBatch {
                partition: self.id,
                first_offset: filled.first_offset,
                scope: *scope,
                spans: std::mem::take(&mut filled.spans),
            }));
        }
        if let (Kind::Metrics(_, scope), false) = (&self.kind, filled.metrics.is_empty()) {
            return Some(Intake::Metrics(MetricBatch {
                partition: self.id,
                first_offset: filled.first_offset,
                scope: *scope,
                metrics: std::mem::take(&mut filled.metrics),
            }));
        }
        if !filled.notes.is_empty() {
            return Some(Intake::Notes(std::mem::take(&mut filled.notes)));
        }
        if filled.owners.is_empty() {
            return None;
        }
        Some(Intake::Owners(std::mem::take(&mut filled.owners)))
    }

    fn count_rejects(&self, rejects: &[u64]) -> Vec<(Reject, u64)> {
        let counts = Reject::ALL.into_iter().map(|reason| (reason, rejects[reason as usize]));
        let counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        for (reason, count) in &counts {
            metrics::counter!(
                names::SOURCE_REJECTED,
                "cluster" => self.name.cluster.to_string(),
                "topic" => self.name.topic.to_string(),
                "reason" => reason.as_str()
            )
            .increment(*count);
        }
        counts
    }
}

// === impl Meters ===

impl Meters {
    fn of(name: &TopicPartition) -> Self {
        let labels = [("cluster", name.cluster.to_string()), ("topic", name.topic.to_string())];
        Self {
            messages: metrics::counter!(names::SOURCE_MESSAGES, &labels),
            bytes: metrics::counter!(names::SOURCE_BYTES, &labels),
            records: metrics::counter!(names::SOURCE_RECORDS, &labels),
            lost: metrics::counter!(names::SOURCE_LOST, &labels),
        }
    }
}
