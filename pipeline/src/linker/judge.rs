//! The judgement of a trace: which calls its spans prove.
//!
//! ```text
//! spans ─► who called each server (climb) ─► pairs ─► halves that are left ─► calls
//! ```
//!
//! A pure function of the spans, the links to them, the directory and the watermark: what a half
//! that waits for its counterpart comes to is said only once the watermark has passed its wait.

use portolan_model::{CallKey, CallProtocol, CallSource, EntityId, Nanos, WindowLen};

use super::call::Call;
use super::climb::{self, Up};
use super::ends::Ends;
use super::links::Links;
use super::span::{Marks, Role, Span};
use crate::naming::Side;

/// What is judged by.
#[derive(Copy, Clone, Debug)]
pub(super) struct Rules {
    /// How long halves wait for their counterparts, in event time after their end.
    pub(super) half: Nanos,
    /// Of a half that names a database: servers of databases seldom write spans.
    pub(super) database: Nanos,
    /// Only both halves, one right below the other, prove who called.
    pub(super) strict: bool,
}

/// What a judgement needs besides the spans.
pub(super) struct Judge<'a, 'd> {
    pub(super) ends: &'a mut Ends<'d>,
    pub(super) links: &'a Links,
    pub(super) window: WindowLen,
    pub(super) rules: Rules,
    pub(super) watermark: Nanos,
    pub(super) found: Found,
    /// For each span of the trace: a counterpart was found.
    matched: Vec<bool>,
}

/// What a judgement came to.
#[derive(Default)]
pub(super) struct Found {
    pub(super) calls: Vec<Call>,
    /// When the first half that still waits has waited enough.
    pub(super) due: Option<Nanos>,
    /// Halves that still wait.
    pub(super) waiting: usize,
    /// The directory was asked.
    pub(super) asked: bool,
}

/// A server and the caller's half that it answers, by place.
#[derive(Copy, Clone)]
struct Pair {
    caller: usize,
    server: usize,
}

// === impl Judge ===

impl<'a, 'd> Judge<'a, 'd> {
    pub(super) fn new(
        ends: &'a mut Ends<'d>,
        links: &'a Links,
        window: WindowLen,
        rules: Rules,
        watermark: Nanos,
    ) -> Self {
        let (found, matched) = (Found::default(), Vec::new());
        Self { ends, links, window, rules, watermark, found, matched }
    }

    /// Judges spans of one trace that belong together, in order of their ids. Calls are added to
    /// what was found so far.
    pub(super) fn trace(&mut self, trace: u128, spans: &[Span]) {
        self.matched.clear();
        self.matched.resize(spans.len(), false);
        let mut pairs = Vec::new();
        for (place, span) in spans.iter().enumerate() {
            self.ends.note(span);
            if span.role != Role::Callee {
                continue;
            }
            match climb::of_server(spans, place) {
                Up::Caller(caller)
                    if self.rules.strict && !is_right_above(&spans[caller], span) =>
                {
                    self.orphan(span);
                }
                Up::Other(_) if self.rules.strict => self.orphan(span),
                Up::Caller(caller) => pairs.push(Pair { caller, server: place }),
                Up::Other(other) => self.parent_call(&spans[other], span),
                Up::Root => self.root(span),
                Up::Missing => self.orphan(span),
                Up::Same => {}
            }
        }
        self.pairs(spans, &mut pairs);
        self.messages(trace, spans);
        if !self.rules.strict {
            self.crossings(spans, &pairs);
        }
        for (place, span) in spans.iter().enumerate() {
            if !self.matched[place] && span.role.calls() {
                self.left_caller(span);
            }
        }
    }

    /// Both halves: one call a server, and one sample of the client's latency a client (C.3).
    fn pairs(&mut self, spans: &[Span], pairs: &mut [Pair]) {
        let pools = self.ends.pools;
        pairs.sort_unstable_by_key(|pair| {
            let server = &spans[pair.server];
            (pair.caller, server.start, server.id, pools.services.get(server.who).id)
        });
        let mut before = usize::MAX;
        for pair in &*pairs {
            let (caller, server) = (&spans[pair.caller], &spans[pair.server]);
            self.matched[pair.caller] = true;
            let is_first = pair.caller != before;
            before = pair.caller;
            self.pair(caller, server, is_first);
        }
    }

    fn pair(&mut self, caller: &Span, server: &Span, is_first: bool) {
        let protocol = match server.protocol {
            CallProtocol::Unknown => caller.protocol,
            known => known,
        };
        let (from, to) = (self.ends.service(caller.who), self.ends.service(server.who));
        let operation = self.ends.operation(to, server);
        let key = self.key(caller.start, from, to, CallSource::TracePair, protocol, operation);
        let mut marks = Marks::COUNTS
            .and(outcome(server))
            .and_if(server.is(Marks::ERROR), Marks::SERVER_ERROR)
            .and_if(is_first && caller.is(Marks::ERROR), Marks::CLIENT_ERROR)
            .and_if(!is_first, Marks::RETRY);
        if !outcome(server).has(CLASSES) && is_first {
            marks = marks.and(Marks(outcome(caller).0 & CLASSES.0));
        }
        let (first, last) = (caller.start, caller.end.max(server.end));
        let weight = caller.weight.max(server.weight);
        let mut call = Call::new(key, first, last, weight, marks);
        call.server = server.took();
        if is_first {
            call.client = caller.took();
            match caller.took().checked_sub(server.took()) {
                Some(gap) => call.gap = gap,
                None => call.marks = call.marks.and(Marks::SKEW),
            }
        }
        self.found.calls.push(call);
    }

    /// A parent in another service, without a caller's half (C.4).
    fn parent_call(&mut self, parent: &Span, server: &Span) {
        let (from, to) = (self.ends.service(parent.who), self.ends.service(server.who));
        let operation = self.ends.operation(to, server);
        let source = CallSource::TraceParent;
        let key = self.key(server.start, from, to, source, server.protocol, operation);
        self.server_call(key, server, Marks::COUNTS);
    }

    /// A server without a parent (C.7).
    fn root(&mut self, server: &Span) {
        let to = self.ends.service(server.who);
        self.found.asked |= self.ends.asks(server);
        let (from, source) = self.ends.root_caller(server);
        let operation = self.ends.operation(to, server);
        let key = self.key(server.start, from, to, source, server.protocol, operation);
        self.server_call(key, server, Marks::COUNTS.and(Marks::UNPAIRED_SERVER));
    }

    /// A server whose parent is not there: nobody is guessed (C.4, C.7).
    fn orphan(&mut self, server: &Span) {
        if !self.has_waited(server.end, self.rules.half) {
            return;
        }
        let to = self.ends.service(server.who);
        self.found.asked |= self.ends.asks(server);
        let marks = Marks::UNPAIRED_SERVER;
        let (from, source, marks) = match self.ends.far(server, Side::Caller) {
            Some((from, source)) => (from, source, marks.and(Marks::COUNTS)),
            None => (self.ends.unknown(), CallSource::TracePeer, marks),
        };
        let operation = self.ends.operation(to, server);
        let key = self.key(server.start, from, to, source, server.protocol, operation);
        self.server_call(key, server, marks);
    }

    fn server_call(&mut self, key: CallKey, server: &Span, marks: Marks) {
        let mut call = Call::new(key, server.start, server.end, server.weight, marks);
        if marks.has(Marks::COUNTS) {
            call.server = server.took();
            let error = Marks::default().and_if(server.is(Marks::ERROR), Marks::SERVER_ERROR);
            call.marks = marks.and(outcome(server)).and(error);
        }
        self.found.calls.push(call);
    }

    /// A caller's half that no server answered: the other end is what it names (C.5).
    fn left_caller(&mut self, caller: &Span) {
        if caller.role.produces() && self.ends.topic(caller).is_some() {
            return;
        }
        let wait = match caller.protocol {
            CallProtocol::Database => self.rules.database,
            _ => self.rules.half,
        };
        if !self.has_waited(caller.end, wait) {
            return;
        }
        let from = self.ends.service(caller.who);
        self.found.asked |= self.ends.asks(caller);
        let marks = Marks::UNPAIRED_CLIENT;
        // What nobody knows serves no operations.
        let (to, source, marks, operation) = match self.ends.far(caller, Side::Server) {
            Some((to, source)) => {
                (to, source, marks.and(Marks::COUNTS), self.ends.operation(to, caller))
            }
            None => (self.ends.unknown(), CallSource::TracePeer, marks, EntityId::NONE),
        };
        let key = self.key(caller.start, from, to, source, caller.protocol, operation);
        let mut call = Call::new(key, caller.start, caller.end, caller.weight, marks);
        if marks.has(Marks::COUNTS) {
            call.client = caller.took();
            let error = Marks::default().and_if(caller.is(Marks::ERROR), Marks::CLIENT_ERROR);
            call.marks = marks.and(outcome(caller)).and(error);
        }
        self.found.calls.push(call);
    }

    /// Edges to and from topics, and from producer to consumer by parent (C.6).
    fn messages(&mut self, trace: u128, spans: &[Span]) {
        for (place, span) in spans.iter().enumerate() {
            if span.role.produces() {
                let is_sent = span.role == Role::Create && self.is_sent(trace, spans, span);
                if let (false, Some(topic)) = (is_sent, self.ends.topic(span)) {
                    let from = self.ends.service(span.who);
                    self.broker_call(from, topic, span, Marks::CLIENT_ERROR);
                    self.matched[place] = true;
                }
            } else if span.role.consumes() && !self.is_superseded(trace, spans, span) {
                if let Some(topic) = self.ends.topic(span) {
                    let to = self.ends.service(span.who);
                    self.broker_call(topic, to, span, Marks::SERVER_ERROR);
                }
                if !span.is(Marks::LINKS) {
                    self.consumer_of_parent(spans, span);
                }
            }
        }
    }

    fn broker_call(&mut self, from: EntityId, to: EntityId, span: &Span, error: Marks) {
        let source = CallSource::TracePeer;
        let protocol = CallProtocol::Messaging;
        let key = self.key(span.start, from, to, source, protocol, EntityId::NONE);
        let marks = Marks::COUNTS.and_if(span.is(Marks::ERROR), error).and(outcome(span));
        let mut call = Call::new(key, span.start, span.end, span.weight, marks);
        match error {
            Marks::CLIENT_ERROR => call.client = span.took(),
            _ => call.server = span.took(),
        }
        self.found.calls.push(call);
    }

    /// Whether another span sends what this one only makes: then that one is the call.
    fn is_sent(&self, trace: u128, spans: &[Span], create: &Span) -> bool {
        let kin = |span: &Span| span.parent == create.id || create.parent == span.id;
        self.links.is_sent(trace, create.id)
            || spans.iter().any(|s| s.role == Role::Send && s.who == create.who && kin(s))
    }

    /// Whether the same service also works on what this span fetches: then that one is the call.
    fn is_superseded(&self, trace: u128, spans: &[Span], receive: &Span) -> bool {
        let below = |span: &Span| span.parent == receive.id && span.role == Role::Process;
        receive.role == Role::Receive
            && (spans.iter().any(|s| s.who == receive.who && below(s))
                || self.links.is_worked_on(trace, receive))
    }

    fn consumer_of_parent(&mut self, spans: &[Span], consumer: &Span) {
        let Some(parent) = climb::parent(spans, consumer) else { return };
        let producer = &spans[parent];
        if !producer.role.calls() {
            return;
        }
        self.matched[parent] = true;
        let (from, to) = (self.ends.service(producer.who), self.ends.service(consumer.who));
        let source = CallSource::TraceParent;
        let protocol = CallProtocol::Async;
        let key = self.key(producer.start, from, to, source, protocol, EntityId::NONE);
        self.found.calls.push(queued(key, (producer.end, producer.weight), consumer));
    }

    /// Clients right below a span of another service: the call in between left no span (C.4.4).
    fn crossings(&mut self, spans: &[Span], pairs: &[Pair]) {
        let mut crossings = Vec::new();
        for (place, span) in spans.iter().enumerate() {
            if span.role == Role::Caller
                && let Some(above) = climb::crossing(spans, place)
            {
                crossings.push((above, self.ends.service(span.who), span.start, span.id, place));
            }
        }
        crossings.sort_unstable();
        let mut before = None;
        for (above, to, _, _, place) in crossings {
            let (anchor, span) = (&spans[above], &spans[place]);
            let seen = |pair: &Pair| pair.caller == above && spans[pair.server].who == span.who;
            if pairs.iter().any(seen) {
                continue;
            }
            // A client's half is one call, whatever its server calls in turn.
            if anchor.role.calls() && before.replace((above, to)) == Some((above, to)) {
                continue;
            }
            self.matched[above] = true;
            let from = self.ends.service(anchor.who);
            let protocol = match anchor.role {
                Role::Caller => anchor.protocol,
                role if role.produces() => CallProtocol::Async,
                _ => CallProtocol::Unknown,
            };
            let source = CallSource::TraceParent;
            let key = self.key(span.start, from, to, source, protocol, EntityId::NONE);
            let weight = anchor.weight.max(span.weight);
            let call = Call::new(key, span.start, span.end, weight, Marks::COUNTS);
            self.found.calls.push(call);
        }
    }

    fn has_waited(&mut self, end: Nanos, wait: Nanos) -> bool {
        let due = end.saturating_add(wait);
        if due <= self.watermark {
            return true;
        }
        self.found.waiting += 1;
        self.found.due = Some(self.found.due.map_or(due, |other| other.min(due)));
        false
    }

    fn key(
        &self,
        at: Nanos,
        client: EntityId,
        server: EntityId,
        source: CallSource,
        protocol: CallProtocol,
        operation: EntityId,
    ) -> CallKey {
        let window = self.window.window(at);
        CallKey { window, client, server, source, protocol, operation }
    }
}

/// Whether nothing lies between the halves of a call.
fn is_right_above(caller: &Span, server: &Span) -> bool {
    caller.id == server.parent || caller.id == server.id
}

/// Marks of status classes.
const CLASSES: Marks = Marks::STATUS_4XX.and(Marks::STATUS_5XX);

/// What of a span's outcome a call takes over as it is.
fn outcome(span: &Span) -> Marks {
    Marks(span.marks.0 & CLASSES.and(Marks::SYNTHETIC).0)
}

/// A call from a producer to a consumer: what lies between is the time in the queue.
pub(super) fn queued(key: CallKey, (end, weight): (Nanos, u32), consumer: &Span) -> Call {
    let marks = Marks::COUNTS
        .and(outcome(consumer))
        .and_if(consumer.is(Marks::ERROR), Marks::SERVER_ERROR)
        .and_if(consumer.start < end, Marks::SKEW);
    let weight = weight.max(consumer.weight);
    let mut call = Call::new(key, consumer.start.min(end), consumer.end, weight, marks);
    call.server = consumer.took();
    call.gap = consumer.start.saturating_sub(end);
    call
}
