//! Spans as the linker needs them: who, under whom, when, and what names the other end.
//!
//! Rows of fixed size; texts are interned per batch, because a batch repeats few names many times.

use crate::text::Texts;
use crate::{Nanos, PartitionId, ScopeId, Text};

/// A 16-byte trace id as a number; ids of 8 bytes have zeros in front (trace semantics, C.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TraceId(pub u128);

/// An 8-byte span id as a number; 0 is none.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SpanId(pub u64);

/// The kind of a span, as OpenTelemetry has it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum SpanKind {
    /// Not said, or inside of a service.
    #[default]
    Internal,
    /// The called side.
    Server,
    /// The calling side.
    Client,
    /// Sends to a topic.
    Producer,
    /// Takes from a topic.
    Consumer,
}

/// What a span says of its outcome.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum SpanStatus {
    /// Nothing.
    #[default]
    Unset,
    /// It went well.
    Ok,
    /// It failed.
    Error,
}

/// `messaging.operation.type` (OpenTelemetry's messaging conventions).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum MessagingOperation {
    /// Not said.
    #[default]
    None,
    /// A message is made.
    Create,
    /// A message is sent (`send`, `publish`).
    Send,
    /// Messages are fetched.
    Receive,
    /// A message is worked on (`process`, `deliver`).
    Process,
    /// A message is acknowledged: no edge.
    Settle,
}

/// One span.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct SpanRow {
    /// Trace.
    pub trace: TraceId,
    /// Span.
    pub span: SpanId,
    /// Parent, if any.
    pub parent: SpanId,
    /// Kind.
    pub kind: SpanKind,
    /// The server's half has its caller's span id (Zipkin).
    pub shared: bool,
    /// Outcome.
    pub status: SpanStatus,
    /// Start.
    pub start: Nanos,
    /// End, not before the start.
    pub end: Nanos,
    /// How many calls it stands for, in thousandths: the reciprocal of its chance to be sampled.
    pub weight_milli: u32,
    /// Environment of the service.
    pub environment: Text,
    /// Namespace of the service.
    pub namespace: Text,
    /// The service.
    pub service: Text,
    /// The service that the span says is at the other end.
    pub peer: Text,
    /// Its namespace.
    pub peer_namespace: Text,
    /// Name or address of the server.
    pub address: Text,
    /// Its port; 0 is unknown.
    pub port: u16,
    /// Network address of the peer.
    pub network: Text,
    /// Its port; 0 is unknown.
    pub network_port: u16,
    /// Address of the caller, as a server saw it.
    pub client_address: Text,
    /// Database system.
    pub db_system: Text,
    /// Database name.
    pub db_name: Text,
    /// Messaging system.
    pub messaging_system: Text,
    /// Topic or queue; of a temporary one, a text that says so.
    pub destination: Text,
    /// What is done to the message.
    pub messaging: MessagingOperation,
    /// RPC system.
    pub rpc_system: Text,
    /// Status of the RPC system, where not zero: it failed (gRPC).
    pub rpc_status: u16,
    /// HTTP status; 0 is unknown.
    pub http_status: u16,
    /// It is an HTTP call.
    pub http: bool,
    /// `error.type` was said.
    pub error: bool,
    /// Made by a bot or a test.
    pub synthetic: bool,
    /// The method, route or statement, as far as it is one of few.
    pub operation: Text,
}

/// Spans of one or more messages.
#[derive(Clone, Debug, Default)]
pub struct SpanColumns {
    rows: Vec<SpanRow>,
    /// Row, and what it links to; sorted by row.
    links: Vec<(u32, TraceId, SpanId)>,
    texts: Texts,
}

/// Spans of one partition.
#[derive(Clone, Debug)]
pub struct SpanBatch {
    /// Where they come from.
    pub partition: PartitionId,
    /// The lowest offset that any of them comes from.
    pub first_offset: i64,
    /// Where their addresses are looked up.
    pub scope: ScopeId,
    /// The spans.
    pub spans: SpanColumns,
}

// === impl SpanColumns ===

impl SpanColumns {
    /// With room for so many spans.
    pub fn with_capacity(spans: usize) -> Self {
        Self { rows: Vec::with_capacity(spans), ..Self::default() }
    }

    /// How many spans.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Forgets the spans and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.links.clear();
        self.texts.clear();
    }

    /// The spans.
    pub fn rows(&self) -> &[SpanRow] {
        &self.rows
    }

    /// Interns a text.
    pub fn text(&mut self, said: &str) -> Text {
        self.texts.text(said)
    }

    /// What a text says; empty for [`Text::NONE`].
    pub fn say(&self, text: Text) -> &str {
        self.texts.say(text)
    }

    /// Appends a span. Its texts are of these columns.
    pub fn push(&mut self, row: &SpanRow, links: &[(TraceId, SpanId)]) {
        let place = self.rows.len() as u32;
        self.links.extend(links.iter().map(|(trace, span)| (place, *trace, *span)));
        self.rows.push(*row);
    }

    /// What the span at `row` links to.
    pub fn links(&self, row: usize) -> impl Iterator<Item = (TraceId, SpanId)> + '_ {
        let row = row as u32;
        let from = self.links.partition_point(|(at, ..)| *at < row);
        let of_row = self.links[from..].iter().take_while(move |(at, ..)| *at == row);
        of_row.map(|(_, trace, span)| (*trace, *span))
    }

    /// When the spans ended, for watermarks.
    pub fn ends(&self) -> Vec<Nanos> {
        self.rows.iter().map(|row| row.end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_links_stay_with_their_span() {
        let mut columns = SpanColumns::default();
        let web = columns.text("web");
        assert_eq!((columns.text("web"), columns.say(web)), (web, "web"));
        assert_ne!(columns.text("api"), web);
        assert_eq!(columns.text(""), Text::NONE);
        columns.push(&SpanRow::default(), &[(TraceId(1), SpanId(2))]);
        columns.push(&SpanRow::default(), &[]);
        columns.push(&SpanRow::default(), &[(TraceId(3), SpanId(4)), (TraceId(5), SpanId(6))]);
        let of = |row| columns.links(row).map(|(trace, _)| trace.0).collect::<Vec<_>>();
        assert_eq!((of(0), of(1), of(2)), (vec![1], vec![], vec![3, 5]));
    }
}
