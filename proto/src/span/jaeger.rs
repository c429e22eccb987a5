//! Jaeger's span, as either of its formats has it.

use portolan_model::{Nanos, SpanColumns, SpanId, SpanKind, SpanStatus, TraceId};

use super::attributes::Value;
use super::plain::{Fault, Plain};

/// What of a span stands in messages of their own.
#[derive(Default)]
pub(super) struct Parts<'a> {
    pub(super) plain: Plain<'a>,
    pub(super) references: Vec<Reference>,
    pub(super) service: &'a str,
    pub(super) duration: Nanos,
}

#[derive(Default)]
pub(super) struct Reference {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) follows: bool,
}

// === impl Parts ===

impl Parts<'_> {
    /// Appends the row that the span is.
    pub(super) fn put(self, latest: Nanos, out: &mut SpanColumns) -> Result<(), Fault> {
        let Self { mut plain, references, service, duration } = self;
        plain.end = plain.start.saturating_add(duration);
        plain.resource.push(("service.name", Value::Text(service)));
        // The parent is the first reference into the same trace, one that is a child's before others.
        let mine = |r: &&Reference| r.trace == plain.trace;
        let parent = references.iter().filter(mine).find(|r| !r.follows);
        let parent = parent.or_else(|| references.iter().find(mine));
        plain.parent = parent.map_or_else(SpanId::default, |r| r.span);
        let linked = references.iter().filter(|r| (r.trace, r.span) != (plain.trace, plain.parent));
        plain.links = linked.map(|r| (r.trace, r.span)).collect();
        for (name, value) in &plain.attributes {
            match (*name, value) {
                ("span.kind", Value::Text(kind)) => plain.kind = kind_of(kind),
                ("error", Value::Bool(true) | Value::Text("true")) => {
                    plain.status = SpanStatus::Error;
                }
                ("otel.status_code", Value::Text("OK")) => plain.status = SpanStatus::Ok,
                ("w3c.tracestate", Value::Text(state)) => plain.trace_state = state,
                _ => {}
            }
        }
        plain.put(latest, out)
    }
}

/// By the tag `span.kind` (OpenTracing's conventions).
fn kind_of(word: &str) -> SpanKind {
    match word {
        "server" => SpanKind::Server,
        "client" => SpanKind::Client,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        _ => SpanKind::Internal,
    }
}
