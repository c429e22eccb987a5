//! Traces: who calls whom in one, which spans are left of it, and when they are produced.
//!
//! Spans of one trace come in any order and by any partition; some come long after their time.

use std::sync::Arc;

use portolan_model::{
    Ip, Nanos, PartitionId, ScopeId, SpanBatch, SpanColumns, SpanId, SpanKind, SpanRow, Text,
    TraceId,
};

use super::{BACKEND_PORT, DELAY, Fleet, MILLI, SCOPE, SECOND, SERVICE_PORT, START};
use crate::dice::Dice;
use crate::scenario::Scenario;

/// A span as its service tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) trace: u128,
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) kind: SpanKind,
    /// The server's half has its caller's id.
    pub(crate) shared: bool,
    pub(crate) service: Arc<str>,
    pub(crate) start: Nanos,
    pub(crate) end: Nanos,
    pub(crate) weight: u32,
    pub(crate) failed: bool,
    pub(crate) http: u16,
    pub(crate) synthetic: bool,
    pub(crate) operation: Option<Arc<str>>,
    pub(crate) far: Far,
    /// What it links to, by trace and id.
    pub(crate) link: Option<(u128, u64)>,
}

/// What a span says of the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Far {
    Nothing,
    /// A service.
    Peer(Arc<str>),
    /// An address: who called a server, or whom a client called there.
    Address(Ip, u16),
    /// A database by its system and name.
    Database(&'static str, &'static str),
    /// A topic.
    Topic(&'static str),
}

/// Spans of the rows of a partition, as a decoder makes them.
pub(crate) fn batch(partition: PartitionId, first_offset: i64, said: &[Said]) -> SpanBatch {
    let mut spans = SpanColumns::default();
    for of in said {
        let mut row = SpanRow {
            trace: TraceId(of.trace),
            span: SpanId(of.id),
            parent: SpanId(of.parent),
            kind: of.kind,
            shared: of.shared,
            start: of.start,
            end: of.end,
            weight_milli: of.weight,
            error: of.failed,
            http: of.http != 0,
            http_status: of.http,
            synthetic: of.synthetic,
            service: spans.text(&of.service),
            operation: of.operation.as_ref().map_or(Text::NONE, |name| spans.text(name)),
            ..SpanRow::default()
        };
        match &of.far {
            Far::Nothing => {}
            Far::Peer(name) => row.peer = spans.text(name),
            Far::Address(ip, _) if of.kind == SpanKind::Server => {
                row.client_address = spans.text(&ip.to_string());
            }
            Far::Address(ip, port) => {
                (row.address, row.port) = (spans.text(&ip.to_string()), *port);
            }
            Far::Database(system, name) => {
                (row.db_system, row.db_name) = (spans.text(system), spans.text(name));
            }
            Far::Topic(name) => {
                row.messaging_system = spans.text("kafka");
                row.destination = spans.text(name);
            }
        }
        let links: Vec<_> = of.link.iter().map(|(t, s)| (TraceId(*t), SpanId(*s))).collect();
        spans.push(&row, &links);
    }
    SpanBatch { partition, first_offset, scope: ScopeId::of(SCOPE), spans }
}

/// The messages of trace `number`, each with the time at which it is produced.
pub(crate) fn draw(
    fleet: &Fleet,
    scenario: &Scenario,
    number: u64,
    dice: &mut Dice,
) -> Vec<(Nanos, Vec<Said>)> {
    // Some are long enough to fall silent in between.
    let length = if scenario.bursts.is_none() && dice.one_in(4) {
        dice.below(50 * SECOND)
    } else {
        dice.below(4 * SECOND)
    };
    let length = length.max(200 * MILLI);
    let room = scenario.span.saturating_sub(length);
    let Some(from) = scenario.in_burst(START + dice.below(room), length) else {
        return Vec::new();
    };
    let trace = u128::from(number + 1) << 8;
    let mut maker =
        Maker { fleet, dice, trace, ids: 0, spans: Vec::new(), whole: scenario.whole_traces };
    maker.root(from, from + length);
    let spans = maker.spans;
    if scenario.whole_traces {
        let end = spans.iter().map(|s| s.end).max().unwrap_or(from);
        return vec![(end + dice.below(DELAY), spans)];
    }
    let late = scenario.late_spans && dice.one_in(6);
    let horizon = Nanos::from(scenario.line.traces.horizon_secs) * SECOND;
    let each = spans.into_iter().map(|span| {
        let delay = match dice.below(4) {
            0 if late => dice.below(2 * horizon + 20 * SECOND),
            _ => dice.below(DELAY),
        };
        (span.end + delay, vec![span])
    });
    each.collect()
}

/// Makes up the spans of a trace.
struct Maker<'a> {
    fleet: &'a Fleet,
    dice: &'a mut Dice,
    trace: u128,
    ids: u64,
    spans: Vec<Said>,
    /// No half may wait for another, and nothing links to another trace.
    whole: bool,
}

pub(super) const SERVICES: [&str; 6] = ["web", "api", "cart", "pay", "mail", "stock"];
/// Operations of a service.
pub(crate) const OPERATIONS: usize = 4;
/// Below this many calls on top of each other nobody calls any more.
const DEEPEST: u32 = 3;

// === impl Maker ===

impl Maker<'_> {
    fn root(&mut self, from: Nanos, to: Nanos) {
        let who = self.somebody();
        let mut server = self.span(SpanKind::Server, &who, 0, from, to);
        server.synthetic = self.dice.one_in(12);
        server.far = match self.dice.below(6) {
            0 => Far::Peer("partner".into()),
            1 => Far::Address(Ip::v4(0xcb00_7100 + self.dice.below(12) as u32), 0),
            2 => self.pod_at(from).map_or(Far::Nothing, |ip| Far::Address(ip, 0)),
            _ => Far::Nothing,
        };
        let id = server.id;
        self.spans.push(server);
        self.below(&who, id, from, to, DEEPEST);
    }

    /// What a service does below one of its spans.
    fn below(&mut self, who: &Arc<str>, above: u64, from: Nanos, to: Nanos, depth: u32) {
        if depth == 0 || to - from < 10 * MILLI {
            return;
        }
        for _ in 0..self.dice.below(4) {
            let begin = from + self.dice.below(to - from);
            let end = begin + self.dice.below(to - begin);
            let mut above = above;
            let inner = if !self.whole && self.dice.one_in(20) { 18 } else { self.dice.below(3) };
            for _ in 0..inner {
                let span = self.span(SpanKind::Internal, who, above, begin, end);
                above = span.id;
                self.spans.push(span);
            }
            self.call(who, above, begin, end, depth);
        }
    }

    fn call(&mut self, who: &Arc<str>, above: u64, from: Nanos, to: Nanos, depth: u32) {
        let what = if self.whole { self.dice.below(9) } else { self.dice.below(18) };
        match what {
            0..6 => {
                let client = self.client(who, above, from, to);
                self.spans.push(client.clone());
                let shared = self.dice.one_in(5);
                for _ in 0..=u64::from(!shared && self.dice.one_in(6)) {
                    self.answer(&client, shared, depth);
                }
            }
            // The caller's half was never made.
            6 | 7 => {
                let callee = self.somebody();
                self.serve(&callee, above, from, to, depth);
            }
            // So was the server's.
            8 => {
                let (other, third) = (self.somebody(), self.somebody());
                let client = self.client(&other, above, from, to);
                let id = client.id;
                self.spans.push(client);
                self.serve(&third, id, from, to, depth);
            }
            9..13 => {
                let mut client = self.client(who, above, from, to);
                client.far = self.far(from);
                if matches!(client.far, Far::Database(..)) {
                    client.http = 0;
                }
                self.spans.push(client);
            }
            13 => {
                let callee = self.somebody();
                self.serve(&callee, u64::MAX, from, to, depth);
            }
            _ => self.message(who, above, from, to),
        }
    }

    /// A server's half below a caller's.
    fn answer(&mut self, client: &Said, shared: bool, depth: u32) {
        let callee = self.somebody();
        let length = client.end - client.start;
        let from = client.start + self.dice.below(length / 2 + 1);
        // Its clock may be ahead, or its work go on after the client has left.
        let to = if self.dice.one_in(10) { client.end + MILLI } else { client.end };
        let to = from + self.dice.below(to - from + 1);
        if !shared {
            return self.serve(&callee, client.id, from, to, depth);
        }
        let mut server = self.span(SpanKind::Server, &callee, client.parent, from, to);
        (server.id, server.shared) = (client.id, true);
        self.spans.push(server);
        self.below(&callee, client.id, from, to, depth - 1);
    }

    fn serve(&mut self, who: &Arc<str>, above: u64, from: Nanos, to: Nanos, depth: u32) {
        let server = self.span(SpanKind::Server, who, above, from, to);
        let id = server.id;
        self.spans.push(server);
        self.below(who, id, from, to, depth - 1);
    }

    /// Something sent to a topic, and who works on it, in this trace or in another.
    fn message(&mut self, who: &Arc<str>, above: u64, from: Nanos, to: Nanos) {
        let topic = *self.dice.pick(&["orders", "mails"]);
        let mut sends = self.span(SpanKind::Producer, who, above, from, to);
        sends.far = Far::Topic(topic);
        let place = (sends.trace, sends.id);
        self.spans.push(sends);
        for _ in 0..self.dice.below(3) {
            let who = self.somebody();
            let from = to + self.dice.below(5 * SECOND);
            let end = from + self.dice.below(SECOND);
            let mut takes = self.span(SpanKind::Consumer, &who, place.1, from, end);
            takes.far = Far::Topic(topic);
            if self.dice.one_in(2) {
                (takes.trace, takes.parent) = (place.0 + 1, 0);
                takes.link = Some(place);
            }
            self.spans.push(takes);
        }
    }

    fn client(&mut self, who: &Arc<str>, above: u64, from: Nanos, to: Nanos) -> Said {
        self.span(SpanKind::Client, who, above, from, to)
    }

    fn span(
        &mut self,
        kind: SpanKind,
        who: &Arc<str>,
        parent: u64,
        from: Nanos,
        to: Nanos,
    ) -> Said {
        self.ids += 1;
        let has_role = kind != SpanKind::Internal;
        let web = matches!(kind, SpanKind::Client | SpanKind::Server) && self.dice.one_in(2);
        Said {
            trace: self.trace,
            id: self.ids,
            parent,
            kind,
            shared: false,
            service: who.clone(),
            start: from,
            end: to,
            weight: *self.dice.pick(&[1_000, 1_000, 2_000, 10_000]),
            failed: has_role && self.dice.one_in(8),
            http: if web { *self.dice.pick(&[200, 200, 404, 503]) } else { 0 },
            synthetic: false,
            operation: (kind == SpanKind::Server && self.dice.one_in(2))
                .then(|| format!("op{}", self.dice.below(OPERATIONS as u64)).into()),
            far: Far::Nothing,
            link: None,
        }
    }

    fn far(&mut self, at: Nanos) -> Far {
        match self.dice.below(6) {
            0 => Far::Nothing,
            1 => Far::Peer((*self.dice.pick(&["partner", "api"])).into()),
            2 => Far::Database("postgresql", "shop"),
            3 => Far::Address(Ip::v4(0xcb00_7100 + self.dice.below(12) as u32), 443),
            4 if !self.fleet.vips.is_empty() => {
                Far::Address(self.dice.pick(&self.fleet.vips).ip, SERVICE_PORT)
            }
            _ => self.pod_at(at).map_or(Far::Nothing, |ip| Far::Address(ip, BACKEND_PORT)),
        }
    }

    /// The address of a pod that lives then.
    fn pod_at(&mut self, at: Nanos) -> Option<Ip> {
        let pod = self.dice.pick(&self.fleet.pods);
        (pod.from <= at && at < pod.to).then_some(pod.ip)
    }

    fn somebody(&mut self) -> Arc<str> {
        (*self.dice.pick(&SERVICES)).into()
    }
}
