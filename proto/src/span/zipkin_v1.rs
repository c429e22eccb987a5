//! Zipkin's first model: a span is one call with the annotations of both its ends, each beside the
//! endpoint that wrote it (`zipkinCore.thrift`). It comes apart into the halves that a span is since.

use std::borrow::Cow;

use portolan_model::{Nanos, SpanColumns, SpanId, SpanKind, SpanStatus, TraceId};

use super::attributes::Value;
use super::plain::{Fault, Plain, Remote, zipkin_kind};

/// A span of the first model, times in microseconds. Where a time is 0, nothing is said.
#[derive(Default)]
pub(super) struct Old<'a> {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) parent: SpanId,
    pub(super) name: &'a str,
    pub(super) timestamp: u64,
    pub(super) duration: u64,
    pub(super) annotations: Vec<Annotation<'a>>,
    pub(super) tags: Vec<Tag<'a>>,
}

/// Something that happened at a time.
pub(super) struct Annotation<'a> {
    pub(super) at: u64,
    pub(super) value: Cow<'a, str>,
    pub(super) host: Option<Remote<'a>>,
}

/// A binary annotation: an attribute, or, where it is true and bears one of the names of addresses,
/// the other end.
pub(super) struct Tag<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) value: Said<'a>,
    pub(super) host: Option<Remote<'a>>,
}

/// What a binary annotation says.
pub(super) enum Said<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Bool(bool),
    /// Bytes, and what is not known.
    Nothing,
}

/// What begins and ends a half, which half that is, and what names its other end.
struct Marks {
    kind: SpanKind,
    begin: &'static str,
    end: &'static str,
    other: &'static str,
}

const HALVES: [Marks; 4] = [
    Marks { kind: SpanKind::Client, begin: "cs", end: "cr", other: "sa" },
    Marks { kind: SpanKind::Server, begin: "sr", end: "ss", other: "ca" },
    Marks { kind: SpanKind::Producer, begin: "ms", end: "ws", other: "ma" },
    Marks { kind: SpanKind::Consumer, begin: "wr", end: "mr", other: "ma" },
];

// === impl Said ===

impl Said<'_> {
    fn value(&self) -> Option<Value<'_>> {
        Some(match self {
            Self::Text(text) => Value::Text(text),
            Self::Number(number) => Value::Number(*number),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Nothing => return None,
        })
    }
}

// === impl Old ===

impl<'a> Old<'a> {
    /// Appends the rows that the span comes apart into.
    pub(super) fn put(&self, latest: Nanos, out: &mut SpanColumns) -> Result<(), Fault> {
        let halves: Vec<Plain<'_>> = HALVES.iter().filter_map(|marks| self.half(marks)).collect();
        let halves = if halves.is_empty() { vec![self.unmarked()] } else { halves };
        let is_alone = halves.len() == 1;
        for mut half in halves {
            if is_alone && self.timestamp != 0 {
                // What the tracer measured itself, before what the annotations come to.
                half.start = self.timestamp.saturating_mul(1_000);
                if self.duration != 0 {
                    half.end = half.start.saturating_add(self.duration.saturating_mul(1_000));
                }
            }
            half.end = half.end.max(half.start);
            self.attach(&mut half, is_alone);
            half.put(latest, out)?;
        }
        Ok(())
    }

    fn plain(&self) -> Plain<'_> {
        let (trace, span, parent, name) = (self.trace, self.span, self.parent, self.name);
        Plain { trace, span, parent, name, may_be_nameless: true, ..Plain::default() }
    }

    fn annotation(&self, value: &str) -> Option<&Annotation<'a>> {
        self.annotations.iter().find(|annotation| annotation.value == value)
    }

    fn other_end(&self, key: &str) -> Option<&Remote<'a>> {
        let tag = self.tags.iter().find(|tag| tag.key == key && tag.is_address());
        tag.and_then(|tag| tag.host.as_ref())
    }

    /// The half that the annotations tell of, if they do.
    fn half(&self, marks: &Marks) -> Option<Plain<'_>> {
        let (begin, end) = (self.annotation(marks.begin), self.annotation(marks.end));
        let known = begin.or(end)?;
        let micros = |of: Option<&Annotation<'_>>| of.map_or(0, |of| of.at.saturating_mul(1_000));
        let mut half = self.plain();
        half.kind = marks.kind;
        (half.start, half.end) = (micros(Some(known)), micros(end));
        half.remote = self.other_end(marks.other).cloned().unwrap_or_default();
        let host = known.host.as_ref().map_or("", |host| host.service);
        half.resource.push(("service.name", Value::Text(host)));
        // The tracer that began a span says when; a server that goes on with its client's does not.
        half.shared = marks.kind == SpanKind::Server
            && (self.annotation("cs").is_some() || self.timestamp == 0);
        Some(half)
    }

    /// A span without the annotations of a half: local work, or known by the address of its other end.
    fn unmarked(&self) -> Plain<'_> {
        let mut plain = self.plain();
        let ends = [("sa", SpanKind::Client), ("ca", SpanKind::Server)];
        let end = ends.iter().find_map(|(key, kind)| Some((self.other_end(key)?, *kind)));
        if let Some((remote, kind)) = end {
            plain.remote = remote.clone();
            plain.kind = kind;
        }
        if plain.kind == SpanKind::Internal {
            plain.kind = zipkin_kind("", &plain.remote);
        }
        let hosts = self.tags.iter().filter(|tag| !tag.is_address()).map(|tag| &tag.host);
        let mut hosts = hosts.chain(self.annotations.iter().map(|it| &it.host)).flatten();
        let host = hosts.find(|host| !host.service.is_empty()).map_or("", |host| host.service);
        plain.resource.push(("service.name", Value::Text(host)));
        let earliest = self.annotations.iter().map(|it| it.at).filter(|at| *at != 0).min();
        plain.start = earliest.unwrap_or(0).saturating_mul(1_000);
        plain
    }

    /// Gives a half the attributes that its own end wrote.
    fn attach<'s>(&'s self, half: &mut Plain<'s>, is_alone: bool) {
        let own = match half.resource.first() {
            Some((_, Value::Text(service))) => *service,
            _ => "",
        };
        let is_own =
            |host: Option<&Remote<'_>>| is_alone || host.is_none_or(|host| host.service == own);
        for tag in self.tags.iter().filter(|tag| !tag.is_address() && is_own(tag.host.as_ref())) {
            if let Some(value) = tag.value.value() {
                half.attributes.push((&*tag.key, value));
            }
        }
        let tagged = half.attributes.iter().any(|(key, _)| *key == "error");
        let noted =
            self.annotations.iter().any(|it| it.value == "error" && is_own(it.host.as_ref()));
        if tagged || noted {
            half.status = SpanStatus::Error;
        }
    }
}

// === impl Tag ===

impl Tag<'_> {
    /// The address of an end, and no attribute.
    fn is_address(&self) -> bool {
        matches!(&*self.key, "sa" | "ca" | "ma") && matches!(self.value, Said::Bool(true))
    }
}
