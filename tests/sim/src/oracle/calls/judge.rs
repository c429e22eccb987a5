//! What the spans of one trace prove, rule by rule as `docs/TRACES.md` has them.

use portolan_model::{
    CallDelta, CallKey, CallMeasure, CallProtocol, CallSource, Entity, EntityId, EntityKind, Nanos,
    SpanKind, WindowLen,
};
use portolan_pipeline::TraceConfig;

use crate::oracle::fold::name;
use crate::world::trace::{Far, Said};
use crate::world::{Fleet, SECOND};

/// Most spans without a role between a server and who called it.
const FAR_ENOUGH: usize = 16;

/// See the module.
pub(super) struct Judge<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) window: WindowLen,
    pub(super) traces: &'a TraceConfig,
    pub(super) watermark: Nanos,
    pub(super) spans: &'a [Said],
}

/// Who called a server.
#[derive(Copy, Clone)]
enum Caller<'a> {
    /// This half.
    Half(&'a Said),
    /// The service of this span, which is no half.
    Service(&'a Said),
    /// Somebody from outside.
    Outside,
    /// Somebody whose span is not there.
    Missing,
    /// Itself.
    Itself,
}

/// What a climb over spans without a role comes to.
enum Climb<'a> {
    Role(&'a Said),
    Top,
    Gap,
}

type Out<'o> = &'o mut dyn FnMut(CallDelta);

// === impl Judge ===

impl<'a> Judge<'a> {
    pub(super) fn judge(&self, out: Out<'_>) {
        let mut pairs: Vec<(&Said, &Said)> = Vec::new();
        for server in self.of_kind(SpanKind::Server) {
            let caller = self.caller(server);
            let caller = if self.traces.strict { proven(caller, server) } else { caller };
            match caller {
                Caller::Half(half) => pairs.push((half, server)),
                Caller::Service(span) => {
                    let source = CallSource::TraceParent;
                    let mut call = self.call(server.start, service(span), server, source);
                    called(&mut call, server);
                    out(call);
                }
                Caller::Outside => {
                    let (from, source) = self.outside(server);
                    let mut call = self.call(server.start, from, server, source);
                    called(&mut call, server);
                    call.counters[CallMeasure::UnpairedServer] += 1;
                    out(call);
                }
                Caller::Missing => self.orphan(server, out),
                Caller::Itself => {}
            }
        }
        pairs.sort_by_key(|(half, server)| (half.id, server.start, server.id));
        for (at, (half, server)) in pairs.iter().enumerate() {
            let again = at > 0 && pairs[at - 1].0.id == half.id;
            out(self.pair(half, server, again));
        }
        let mut answered: Vec<&Said> = pairs.iter().map(|(half, _)| *half).collect();
        self.messages(&mut answered, out);
        if !self.traces.strict {
            self.crossings(&pairs, &mut answered, out);
        }
        for half in self.spans.iter().filter(|span| calls(span)) {
            if !answered.contains(&half) {
                self.alone(half, out);
            }
        }
    }

    fn of_kind(&self, kind: SpanKind) -> impl Iterator<Item = &'a Said> {
        self.spans.iter().filter(move |span| span.kind == kind)
    }

    /// The span of an id that a span below it means.
    fn with_id(&self, id: u64, below: &Said) -> Option<&'a Said> {
        let mut found: Vec<_> = self.spans.iter().filter(|s| s.id == id && *s != below).collect();
        // Of two halves with one id the server's is above what its service did.
        found.sort_by_key(|span| span.kind != SpanKind::Server);
        found.first().copied()
    }

    fn caller(&self, server: &Said) -> Caller<'a> {
        let own = self.spans.iter().find(|span| span.id == server.id && calls(span));
        if let Some(half) = own {
            return Caller::Half(half);
        }
        if server.parent == 0 {
            return if server.shared { Caller::Missing } else { Caller::Outside };
        }
        let Some(above) = self.with_id(server.parent, server) else { return Caller::Missing };
        if calls(above) {
            return Caller::Half(above);
        }
        match self.climb(above) {
            Climb::Role(role) if calls(role) => Caller::Half(role),
            _ if above.service != server.service => Caller::Service(above),
            Climb::Role(role) if role.service != server.service => Caller::Service(role),
            Climb::Role(_) | Climb::Top => Caller::Itself,
            Climb::Gap => Caller::Missing,
        }
    }

    /// From a span over spans without a role of its service to the first other one.
    fn climb(&self, from: &'a Said) -> Climb<'a> {
        let mut at = from;
        for _ in 0..=FAR_ENOUGH {
            if at.kind != SpanKind::Internal || at.service != from.service {
                return Climb::Role(at);
            }
            if at.parent == 0 {
                return Climb::Top;
            }
            match self.with_id(at.parent, at) {
                Some(above) => at = above,
                None => return Climb::Gap,
            }
        }
        Climb::Gap
    }

    fn pair(&self, half: &Said, server: &Said, again: bool) -> CallDelta {
        let mut call = self.call(half.start, service(half), server, CallSource::TracePair);
        if protocol(server) == CallProtocol::Unknown {
            call.key.protocol = protocol(half);
        }
        let weight = half.weight.max(server.weight);
        let half_failed = failed(half) && !again;
        count(&mut call, weight, half_failed, failed(server));
        let class = class(server).or(if again { None } else { class(half) });
        status(&mut call, weight, class);
        call.counters[CallMeasure::Synthetic] += i64::from(server.synthetic);
        call.server.record(took(server), 1);
        if again {
            call.counters[CallMeasure::RetriesMilli] += i64::from(weight);
            return call;
        }
        call.client.record(took(half), 1);
        match took(half).checked_sub(took(server)) {
            Some(gap) => call.gap.record(gap, 1),
            None => call.counters[CallMeasure::ClockSkew] += 1,
        }
        call
    }

    fn orphan(&self, server: &Said, out: Out<'_>) {
        if server.end + self.wait() > self.watermark {
            return;
        }
        let named = self.named_caller(server);
        let (from, source) = named.unwrap_or((unknown(), CallSource::TracePeer));
        let mut call = self.call(server.start, from, server, source);
        if named.is_some() {
            called(&mut call, server);
        }
        call.counters[CallMeasure::UnpairedServer] += 1;
        out(call);
    }

    fn alone(&self, half: &Said, out: Out<'_>) {
        let database = protocol(half) == CallProtocol::Database;
        let wait = if database { self.database_wait() } else { self.wait() };
        if half.end + wait > self.watermark {
            return;
        }
        let peer = CallSource::TracePeer;
        let to = match &half.far {
            Far::Nothing | Far::Topic(_) => None,
            Far::Peer(name) => Some((entity(EntityKind::Service, name, ""), peer)),
            Far::Database(system, name) => {
                let called = format!("{system}/{name}");
                Some((entity(EntityKind::Database, &called, system), peer))
            }
            Far::Address(ip, _) => {
                let at = name(self.fleet, *ip, half.start);
                let owned = at != entity(EntityKind::External, &ip.to_string(), "");
                Some((at, if owned { CallSource::TraceAddress } else { peer }))
            }
        };
        let (server, source) = to.unwrap_or((unknown(), peer));
        let mut call = self.bare(half.start, service(half), server, source, protocol(half));
        if to.is_some() {
            count(&mut call, half.weight, failed(half), false);
            status(&mut call, half.weight, class(half));
            call.client.record(took(half), 1);
        }
        call.counters[CallMeasure::UnpairedClient] += 1;
        out(call);
    }

    fn messages(&self, answered: &mut Vec<&'a Said>, out: Out<'_>) {
        for span in self.spans {
            let Far::Topic(topic) = &span.far else { continue };
            let topic = entity(EntityKind::Topic, topic, "kafka");
            let sends = span.kind == SpanKind::Producer;
            let (from, to) = if sends { (service(span), topic) } else { (topic, service(span)) };
            let source = CallSource::TracePeer;
            let mut call = self.bare(span.start, from, to, source, CallProtocol::Messaging);
            count(&mut call, span.weight, sends && failed(span), !sends && failed(span));
            if sends {
                call.client.record(took(span), 1);
                answered.push(span);
            } else {
                call.server.record(took(span), 1);
            }
            out(call);
        }
        for takes in self.of_kind(SpanKind::Consumer).filter(|span| span.link.is_none()) {
            if let Some(above) = self.with_id(takes.parent, takes).filter(|span| calls(span)) {
                answered.push(above);
                out(queued(self.window, above, takes, false));
            }
        }
    }

    /// Clients below a span of another service, whose server's half was never made.
    fn crossings(&self, pairs: &[(&Said, &Said)], answered: &mut Vec<&'a Said>, out: Out<'_>) {
        let mut found: Vec<(&Said, &Said)> = Vec::new();
        for client in self.of_kind(SpanKind::Client) {
            let Some(parent) = self.with_id(client.parent, client) else { continue };
            let above = if parent.service == client.service {
                match self.climb(parent) {
                    Climb::Role(role) if role.service != client.service => role,
                    _ => continue,
                }
            } else {
                match self.climb(parent) {
                    Climb::Role(role) if role.service == parent.service => role,
                    _ => parent,
                }
            };
            if above.service != client.service {
                found.push((above, client));
            }
        }
        found.sort_by_key(|(above, client)| {
            let server = calls(above) && above.kind != SpanKind::Server;
            (above.id, !server, service(client), client.start, client.id)
        });
        let mut before: Option<(&Said, &Said)> = None;
        for (above, client) in found {
            let answers = |(half, server): &(&Said, &Said)| {
                *half == above && server.service == client.service
            };
            if pairs.iter().any(answers) {
                continue;
            }
            let same = before.is_some_and(|(a, c)| a == above && c.service == client.service);
            if calls(above) && same {
                continue;
            }
            before = Some((above, client));
            answered.push(above);
            let protocol = match above.kind {
                SpanKind::Client => protocol(above),
                SpanKind::Producer => CallProtocol::Async,
                _ => CallProtocol::Unknown,
            };
            let (from, to) = (service(above), service(client));
            let source = CallSource::TraceParent;
            let mut call = self.bare(client.start, from, to, source, protocol);
            count(&mut call, above.weight.max(client.weight), false, false);
            out(call);
        }
    }

    /// Who called from outside.
    fn outside(&self, server: &Said) -> (EntityId, CallSource) {
        let peer = CallSource::TracePeer;
        if server.synthetic {
            return (entity(EntityKind::User, "synthetic", ""), peer);
        }
        let named = self.named_caller(server);
        named.unwrap_or((entity(EntityKind::User, &self.traces.user, ""), peer))
    }

    fn named_caller(&self, server: &Said) -> Option<(EntityId, CallSource)> {
        match &server.far {
            Far::Peer(name) => Some((entity(EntityKind::Service, name, ""), CallSource::TracePeer)),
            Far::Address(ip, _) => {
                let owner = self.fleet.owner(*ip, server.start)?;
                let owner = entity(EntityKind::Workload, &owner.workload, "");
                Some((owner, CallSource::TraceAddress))
            }
            _ => None,
        }
    }

    fn call(&self, at: Nanos, from: EntityId, server: &Said, source: CallSource) -> CallDelta {
        let mut call = self.bare(at, from, service(server), source, protocol(server));
        if let Some(name) = &server.operation {
            call.key.operation = entity(EntityKind::Operation, name, &server.service);
        }
        call
    }

    fn bare(
        &self,
        at: Nanos,
        client: EntityId,
        server: EntityId,
        source: CallSource,
        protocol: CallProtocol,
    ) -> CallDelta {
        let (window, operation) = (self.window.window(at), EntityId::NONE);
        CallDelta::new(CallKey { window, client, server, source, protocol, operation })
    }

    fn wait(&self) -> Nanos {
        Nanos::from(self.traces.wait_secs) * SECOND
    }

    fn database_wait(&self) -> Nanos {
        Nanos::from(self.traces.database_wait_secs) * SECOND
    }
}

/// Under strict rules only the half right above proves who called.
fn proven<'a>(caller: Caller<'a>, server: &Said) -> Caller<'a> {
    match caller {
        Caller::Half(half) if half.id != server.parent && half.id != server.id => Caller::Missing,
        Caller::Service(_) => Caller::Missing,
        other => other,
    }
}

/// What was sent, and somebody took: an asynchronous call.
pub(super) fn queued(window: WindowLen, sent: &Said, takes: &Said, link: bool) -> CallDelta {
    let source = if link { CallSource::TraceLink } else { CallSource::TraceParent };
    let mut call = CallDelta::new(CallKey {
        window: window.window(sent.start),
        client: service(sent),
        server: service(takes),
        source,
        protocol: CallProtocol::Async,
        operation: EntityId::NONE,
    });
    count(&mut call, sent.weight.max(takes.weight), false, failed(takes));
    call.server.record(took(takes), 1);
    call.gap.record(takes.start.saturating_sub(sent.end), 1);
    call.counters[CallMeasure::ClockSkew] += i64::from(takes.start < sent.end);
    call
}

/// A call of which only the server's half tells.
fn called(call: &mut CallDelta, server: &Said) {
    count(call, server.weight, false, failed(server));
    status(call, server.weight, class(server));
    call.server.record(took(server), 1);
    call.counters[CallMeasure::Synthetic] += i64::from(server.synthetic);
}

fn count(call: &mut CallDelta, weight: u32, client_failed: bool, server_failed: bool) {
    let weight = i64::from(weight);
    let sums = &mut call.counters;
    sums[CallMeasure::Raw] += 1;
    sums[CallMeasure::CallsMilli] += weight;
    sums[CallMeasure::VarianceMilli] += weight * (weight - 1_000) / 1_000;
    for (is, measure) in [
        (client_failed || server_failed, CallMeasure::ErrorsMilli),
        (client_failed, CallMeasure::ClientErrorsMilli),
        (server_failed, CallMeasure::ServerErrorsMilli),
    ] {
        sums[measure] += if is { weight } else { 0 };
    }
}

fn status(call: &mut CallDelta, weight: u32, class: Option<CallMeasure>) {
    if let Some(class) = class {
        call.counters[class] += i64::from(weight);
    }
}

fn class(span: &Said) -> Option<CallMeasure> {
    match span.http / 100 {
        4 => Some(CallMeasure::Status4xxMilli),
        5 => Some(CallMeasure::Status5xxMilli),
        _ => None,
    }
}

/// A client fails by any bad status, a server only by what is its own fault.
fn failed(span: &Said) -> bool {
    span.failed || span.http >= if span.kind == SpanKind::Server { 500 } else { 400 }
}

fn calls(span: &Said) -> bool {
    matches!(span.kind, SpanKind::Client | SpanKind::Producer)
}

fn protocol(span: &Said) -> CallProtocol {
    match &span.far {
        Far::Database(..) => CallProtocol::Database,
        Far::Topic(_) => CallProtocol::Messaging,
        _ if span.http != 0 => CallProtocol::Http,
        _ => CallProtocol::Unknown,
    }
}

fn took(span: &Said) -> Nanos {
    span.end - span.start
}

fn service(span: &Said) -> EntityId {
    entity(EntityKind::Service, &span.service, "")
}

fn unknown() -> EntityId {
    entity(EntityKind::Unresolved, "unknown", "")
}

fn entity(kind: EntityKind, name: &str, detail: &str) -> EntityId {
    let mut entity = Entity::new(kind, "", name);
    entity.detail = detail.into();
    entity.id()
}
