//! Attributes of resources and spans, by OpenTelemetry's semantic conventions, old names and new.

use portolan_model::{MessagingOperation, SpanColumns, SpanRow, Text};

/// The longest name that becomes part of an identity (trace semantics, C.1).
const MAX_NAME_BYTES: usize = 255;

/// What an attribute says. Lists and maps are not read.
#[derive(Copy, Clone, Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(f64),
    Bool(bool),
}

/// What a resource says of the service, best source first.
#[derive(Clone, Debug, Default)]
pub(super) struct Resource {
    service: Text,
    namespace: Text,
    environment: Text,
    /// By rank: the lower, the better; what stands in for a missing name (C.1).
    stand_in: Option<(u8, Text)>,
    stand_in_namespace: Text,
}

/// What a span's attributes come to, beyond the columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Extra {
    /// Rank of the address and the peer kept so far: attributes come in any order.
    address_rank: u8,
    peer_rank: u8,
    template: Text,
    temporary: bool,
}

/// A name is longer than it may be, or has control characters.
pub(super) struct BadName;

// === impl Value ===

impl<'a> Value<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Bool(_) => None,
        }
    }

    fn port(self) -> u16 {
        let port = self.number().filter(|n| (0.0..=65_535.0).contains(n));
        port.map_or(0, |n| n as u16)
    }

    fn holds(self) -> bool {
        matches!(self, Self::Bool(true)) || self.text() == "true"
    }
}

fn name(out: &mut SpanColumns, value: Value<'_>) -> Result<Text, BadName> {
    named(out, value.text()).ok_or(BadName)
}

/// Interns a name that may be part of an identity.
pub(super) fn named(out: &mut SpanColumns, text: &str) -> Option<Text> {
    // The control characters beyond ASCII begin with this byte.
    let suspect = |byte: u8| byte < 0x20 || byte == 0x7f || byte == 0xc2;
    let is_bad =
        text.len() > MAX_NAME_BYTES || text.bytes().any(suspect) && text.contains(char::is_control);
    (!is_bad).then(|| out.text(text))
}

// === impl Resource ===

impl Resource {
    /// Takes an attribute of the resource.
    pub(super) fn take(
        &mut self,
        out: &mut SpanColumns,
        key: &str,
        value: Value<'_>,
    ) -> Result<(), BadName> {
        let rank = match key {
            "service.name" => {
                if !value.text().starts_with("unknown_service") {
                    self.service = name(out, value)?;
                }
                return Ok(());
            }
            "service.namespace" => {
                self.namespace = name(out, value)?;
                return Ok(());
            }
            "deployment.environment.name" | "deployment.environment" => {
                self.environment = name(out, value)?;
                return Ok(());
            }
            "k8s.namespace.name" => {
                self.stand_in_namespace = name(out, value)?;
                return Ok(());
            }
            "k8s.deployment.name" => 0,
            "k8s.statefulset.name" => 1,
            "k8s.daemonset.name" => 2,
            "k8s.cronjob.name" => 3,
            "k8s.job.name" => 4,
            "container.name" | "k8s.container.name" => 5,
            "host.name" => 6,
            _ => return Ok(()),
        };
        if self.stand_in.is_none_or(|(best, _)| rank < best) {
            self.stand_in = Some((rank, name(out, value)?));
        }
        Ok(())
    }

    /// Writes who the service is into a span; false if the resource does not say.
    pub(super) fn name(&self, row: &mut SpanRow) -> bool {
        row.environment = self.environment;
        row.namespace = self.namespace;
        row.service = self.service;
        if let (true, Some((_, name))) = (row.service.is_none(), self.stand_in) {
            row.service = name;
            row.namespace = self.namespace.or(self.stand_in_namespace);
        }
        !row.service.is_none()
    }
}

// === impl Extra ===

impl Extra {
    /// Takes an attribute of a span.
    pub(super) fn take(
        &mut self,
        row: &mut SpanRow,
        out: &mut SpanColumns,
        key: &str,
        value: Value<'_>,
    ) -> Result<(), BadName> {
        match key {
            "service.peer.name" => self.peer(row, name(out, value)?, 2),
            "peer.service" => self.peer(row, name(out, value)?, 1),
            "service.peer.namespace" => row.peer_namespace = name(out, value)?,
            "server.address" => self.address(row, name(out, value)?, 3),
            "net.peer.name" => self.address(row, name(out, value)?, 2),
            "http.host" => self.address(row, name(out, Value::Text(host(value.text())))?, 1),
            "url.full" | "http.url" => self.url(row, out, value.text())?,
            "server.port" | "net.peer.port" => row.port = value.port(),
            "network.peer.address" | "net.peer.ip" | "net.sock.peer.addr" => {
                row.network = name(out, value)?;
            }
            "network.peer.port" | "net.sock.peer.port" => row.network_port = value.port(),
            "client.address" => row.client_address = name(out, value)?,
            "db.system.name" | "db.system" => row.db_system = name(out, value)?,
            "db.namespace" | "db.name" => row.db_name = name(out, value)?,
            "messaging.system" => row.messaging_system = name(out, value)?,
            "messaging.destination.name" | "messaging.destination" => {
                row.destination = name(out, value)?;
            }
            "messaging.destination.template" => self.template = name(out, value)?,
            "messaging.destination.temporary" | "messaging.destination.anonymous" => {
                self.temporary |= value.holds();
            }
            "messaging.operation.type" | "messaging.operation" => {
                row.messaging = messaging(value.text());
            }
            "rpc.system" | "rpc.system.name" => row.rpc_system = name(out, value)?,
            "rpc.grpc.status_code" => row.rpc_status = value.port(),
            "http.response.status_code" | "http.status_code" => {
                row.http = true;
                row.http_status = value.port();
            }
            "http.request.method" | "http.method" => row.http = true,
            "error.type" => row.error = true,
            "user_agent.synthetic.type" => row.synthetic = true,
            "sampling.ratio" => {
                if let Some(p) = value.number().filter(|p| *p > 0.0 && *p <= 1.0) {
                    row.weight_milli = (1_000.0 / p).round().min(f64::from(u32::MAX)) as u32;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What needs all attributes at once.
    pub(super) fn finish(&self, row: &mut SpanRow, out: &mut SpanColumns) {
        row.destination = self.template.or(row.destination);
        if self.temporary {
            row.destination = out.text("(temporary)");
        }
    }

    /// The host of a URL, and its port if it says one.
    fn url(&mut self, row: &mut SpanRow, out: &mut SpanColumns, url: &str) -> Result<(), BadName> {
        let Some((_, rest)) = url.split_once("://") else { return Ok(()) };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = host(authority);
        if row.port == 0 && host.len() < authority.len() {
            row.port = authority[host.len() + 1..].parse().unwrap_or(0);
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.address(row, name(out, Value::Text(host))?, 0);
        Ok(())
    }

    fn peer(&mut self, row: &mut SpanRow, name: Text, rank: u8) {
        if rank > self.peer_rank {
            (row.peer, self.peer_rank) = (name, rank);
        }
    }

    fn address(&mut self, row: &mut SpanRow, name: Text, rank: u8) {
        if row.address.is_none() || rank > self.address_rank {
            (row.address, self.address_rank) = (name, rank);
        }
    }
}

/// The weight by `ot=th:<hex>` of a W3C tracestate, in thousandths: `2^56 / (2^56 - T)`
/// (OpenTelemetry, tracestate probability sampling).
pub(super) fn weight(tracestate: &str) -> Option<u32> {
    let ot = tracestate.split(',').find_map(|member| member.trim().strip_prefix("ot="))?;
    let hex = ot.split(';').find_map(|part| part.strip_prefix("th:"))?;
    if hex.is_empty() || hex.len() > 14 {
        return None;
    }
    let dropped = u64::from_str_radix(hex, 16).ok()? << (4 * (14 - hex.len()));
    let kept = (1_u64 << 56) - dropped;
    Some(((1_u64 << 56) as f64 * 1_000.0 / kept as f64).round().min(f64::from(u32::MAX)) as u32)
}

/// A host header without its port.
fn host(header: &str) -> &str {
    match header.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => header,
    }
}

fn messaging(word: &str) -> MessagingOperation {
    match word {
        "create" => MessagingOperation::Create,
        "send" | "publish" => MessagingOperation::Send,
        "receive" => MessagingOperation::Receive,
        "process" | "deliver" => MessagingOperation::Process,
        "settle" => MessagingOperation::Settle,
        _ => MessagingOperation::None,
    }
}
