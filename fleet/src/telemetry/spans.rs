//! Spans of a request, by the semantic conventions of OpenTelemetry.

use super::kind::{Kind, Outcome};
use super::otlp::{self, KeyValue, Span, Status};
use super::{CallCounts, Context, Live, Telemetry, Told};
use crate::world::{PodIx, World};

impl Telemetry {
    /// Makes the spans of a request and keeps them until they leave.
    pub(super) fn trace(&mut self, world: &World, told: &Told, counts: &mut CallCounts) {
        let workload = |pod: PodIx| world.pods[pod].workload;
        let (client, server) = (told.request.client, told.request.server);
        let asks = self.speaks(world, workload(client));
        let serves = self.speaks(world, workload(server)) && told.outcome != Outcome::Refused;
        let [outer, inner] = told.times();
        // Who tells nothing passes no context on: the server's span is then the root of a trace.
        let above = if asks { self.parent(told) } else { None };
        let (mut parent, trace, kept) = match above {
            Some(live) => (Some(live.span), live.trace, live.kept),
            None => self.root(),
        };
        counts.sampled = u64::from(kept);
        let mut told_by = [false; 2];
        if asks {
            let between = parent.filter(|_| self.half());
            if let Some(above) = between {
                let context = Context { trace, span: self.id(), kept };
                parent = Some(context.span);
                let span = internal(context, above, outer);
                self.keep(client, kept, span);
            }
            let context = Context { trace, span: self.id(), kept };
            let mut span = new(context, parent, otlp::SPAN_KIND_CLIENT, outer);
            describe(&mut span, world, told, true);
            told_by[0] = self.keep(client, kept, span);
            parent = Some(context.span);
        }
        if serves {
            let context = Context { trace, span: self.id(), kept };
            let mut span = new(context, parent, otlp::SPAN_KIND_SERVER, inner);
            describe(&mut span, world, told, false);
            told_by[1] = self.keep(server, kept, span);
            let until = told.at + told.request.length;
            self.live.insert(server, Live { context, until });
        }
        let [by_client, by_server] = told_by;
        counts.paired = u64::from(by_client && by_server);
        counts.client_only = u64::from(by_client && !by_server);
        counts.server_only = u64::from(by_server && !by_client);
    }

    /// The request that the client's pod serves meanwhile, if it does so to the end.
    fn parent(&self, told: &Told) -> Option<Context> {
        let live = self.live.get(&told.request.client)?;
        (live.until >= told.at + told.request.length).then_some(live.context)
    }

    fn root(&mut self) -> (Option<[u8; 8]>, [u8; 16], bool) {
        let trace: [u8; 16] = self.id();
        (None, trace, randomness(&trace) >= self.threshold())
    }

    fn threshold(&self) -> u64 {
        threshold(self.spec.sampled_permille)
    }

    fn half(&mut self) -> bool {
        rand::Rng::random_ratio(&mut self.rng, 1, 2)
    }

    /// Keeps a span of a pod, unless its trace is not, or it is lost.
    fn keep(&mut self, pod: PodIx, kept: bool, mut span: Span) -> bool {
        let lost = rand::Rng::random_range(&mut self.rng, 0..1_000) < self.spec.lost_permille;
        if !kept || lost {
            return false;
        }
        if self.threshold() > 0 {
            let hex = format!("{:014x}", self.threshold());
            span.trace_state = format!("ot=th:{}", hex.trim_end_matches('0'));
        }
        self.spans.entry(pod).or_default().push(span);
        true
    }
}

/// Traces whose randomness is below this are dropped (OpenTelemetry's consistent sampling: a
/// probability of `1 - T / 2^56`).
pub(super) fn threshold(sampled_permille: u16) -> u64 {
    let dropped = 1_000 - u128::from(sampled_permille.min(1_000));
    // All of them would be 2^56, which has no seven bytes.
    ((dropped << 56) / 1_000).min((1 << 56) - 1) as u64
}

/// The last seven bytes of a trace id.
fn randomness(trace: &[u8; 16]) -> u64 {
    trace[9..].iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

fn new(context: Context, parent: Option<[u8; 8]>, kind: i32, [start, end]: [u64; 2]) -> Span {
    Span {
        trace_id: context.trace.to_vec(),
        span_id: context.span.to_vec(),
        parent_span_id: parent.map_or_else(Vec::new, |id| id.to_vec()),
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..Span::default()
    }
}

fn internal(context: Context, above: [u8; 8], times: [u64; 2]) -> Span {
    let name = "prepare".to_owned();
    Span { name, ..new(context, Some(above), otlp::SPAN_KIND_INTERNAL, times) }
}

/// Name, attributes and status.
fn describe(span: &mut Span, world: &World, told: &Told, by_client: bool) {
    let (kind, outcome) = (told.kind, told.outcome);
    let (first, second) = kind.parts(told.operation);
    let mut is = |key: &str, value: otlp::Value| span.attributes.push(KeyValue::new(key, value));
    let name = match kind {
        Kind::Http => {
            is("http.request.method", first.into());
            if let Some(status) = outcome.http_status(by_client) {
                is("http.response.status_code", status.into());
            }
            if by_client {
                let (address, port) = (&told.request.address, told.request.dialled.port);
                is("url.full", format!("http://{address}:{port}{second}").into());
                first.to_owned()
            } else {
                is("http.route", second.into());
                is("url.scheme", "http".into());
                format!("{first} {second}")
            }
        }
        Kind::Grpc => {
            is("rpc.system.name", "grpc".into());
            is("rpc.method", format!("{first}/{second}").into());
            is("rpc.status_code", outcome.grpc_status(by_client).into());
            format!("{first}/{second}")
        }
        Kind::Database(system) => {
            is("db.system.name", system.into());
            is("db.namespace", "main".into());
            is("db.operation.name", first.into());
            is("db.collection.name", second.into());
            format!("{first} {second}")
        }
    };
    if by_client {
        is("server.address", told.request.address.as_str().into());
        is("server.port", told.request.dialled.port.into());
        is("network.peer.address", told.request.dialled.ip.to_string().into());
        is("network.peer.port", told.request.dialled.port.into());
    } else {
        is("client.address", world.pods[told.request.client].ip.to_string().into());
    }
    if let Some(error) = outcome.error_type(kind, by_client) {
        is("error.type", error.into());
        span.status = Some(Status { message: String::new(), code: otlp::STATUS_CODE_ERROR });
    }
    span.name = name;
}
