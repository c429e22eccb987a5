//! Flow records: from the bytes of a message to columns.
//!
//! Invariants:
//! - every record of a message is either appended or refused, by name of the reason;
//! - a message whose framing is broken (where one record ends and the next begins) is refused as a
//!   whole, once: what stands before the break cannot be trusted to be what was sent;
//! - a bad record inside intact framing is refused alone;
//! - no memory is allocated for an accepted record but the room in the columns.

use portolan_model::{FlowColumns, Nanos, Reject, ScopeId};

use crate::{FlowEncoding, Refused};

mod aws_vpc;
mod envoy_json;
mod goflow2;
mod hubble;
mod judge;
mod legs;
mod netobserv_json;
mod netobserv_pb;
mod obi_otlp;
mod raw;
mod reporter;
#[cfg(test)]
mod tests;
mod ztunnel;

pub use aws_vpc::{DEFAULT_VPC_FIELDS, UnknownVpcFields, is_vpc_header};
pub use judge::{MAX_AHEAD_NANOS, MAX_COUNT, MAX_RTT_NANOS, MAX_SLICE_NANOS};

/// The largest message that a decoder takes unless told otherwise: 16 MiB. Kafka's own default
/// (`message.max.bytes`) is 1 MiB, and 10 MB is the usual raised one.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Decodes flow messages. Keeps only settings and a cache: messages are independent.
#[derive(Clone, Debug)]
pub struct FlowDecoder {
    max_message_bytes: usize,
    scope_from_cluster: bool,
    /// The last cluster name seen and its scope.
    cluster: Option<(String, ScopeId)>,
    /// None is the default format.
    vpc_fields: Option<aws_vpc::VpcFields>,
}

/// What holds for all records of a message.
#[derive(Copy, Clone)]
struct Context {
    scope: ScopeId,
    /// The last instant that is not in the future.
    latest: Nanos,
}

// === impl FlowDecoder ===

impl FlowDecoder {
    /// A decoder that refuses messages over `max_message_bytes`.
    pub fn new(max_message_bytes: usize) -> Self {
        Self { max_message_bytes, scope_from_cluster: false, cluster: None, vpc_fields: None }
    }

    /// Whether a record that names its cluster (`K8S_ClusterName` of NetObserv JSON) belongs to the
    /// scope `cluster/<name>/pod` instead of the topic's. Off by default.
    #[must_use]
    pub fn with_scope_from_cluster(mut self, on: bool) -> Self {
        self.scope_from_cluster = on;
        self
    }

    /// The columns of AWS VPC flow logs, by the format string of the flow log (with or without
    /// `${…}`). [`DEFAULT_VPC_FIELDS`] where nothing is said.
    pub fn with_vpc_fields(mut self, fields: &str) -> Result<Self, UnknownVpcFields> {
        self.vpc_fields = Some(fields.parse()?);
        Ok(self)
    }

    /// Appends the records of one message to `out` and returns how many. What is not appended is
    /// handed to `refused`. `scope` is that of the topic; `now` is the time of arrival.
    pub fn decode(
        &mut self,
        encoding: FlowEncoding,
        scope: ScopeId,
        now: Nanos,
        payload: &[u8],
        out: &mut FlowColumns,
        refused: &mut dyn FnMut(Refused),
    ) -> usize {
        if let Err(why) = crate::refused::check_size(payload, self.max_message_bytes) {
            refused(why);
            return 0;
        }
        let before = out.len();
        let context = Context { scope, latest: now.saturating_add(MAX_AHEAD_NANOS) };
        match encoding {
            FlowEncoding::NetobservPb => netobserv_pb::decode(payload, context, out, refused),
            FlowEncoding::NetobservJson => {
                netobserv_json::decode(self, payload, context, out, refused);
            }
            FlowEncoding::Goflow2Pb => goflow2::pb::decode(payload, context, out, refused),
            FlowEncoding::Goflow2Json => goflow2::json::decode(payload, context, out, refused),
            FlowEncoding::AwsVpc => {
                aws_vpc::decode(self.vpc_fields.as_ref(), payload, context, out, refused);
            }
            FlowEncoding::HubbleJson => hubble::decode(payload, context, out, refused),
            FlowEncoding::ZtunnelJson => ztunnel::decode_json(payload, context, out, refused),
            FlowEncoding::ZtunnelText => ztunnel::decode_text(payload, context, out, refused),
            FlowEncoding::EnvoyJson => envoy_json::decode(payload, context, out, refused),
            FlowEncoding::ObiOtlp => obi_otlp::decode(payload, context, out, refused),
        }
        out.len() - before
    }

    /// The scope of a cluster's pods.
    fn scope_of(&mut self, cluster: &str) -> ScopeId {
        match &self.cluster {
            Some((name, scope)) if name == cluster => *scope,
            _ => {
                let scope = ScopeId::of(&format!("cluster/{cluster}/pod"));
                self.cluster = Some((cluster.to_owned(), scope));
                scope
            }
        }
    }
}

impl Default for FlowDecoder {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_MESSAGE_BYTES)
    }
}

/// Appends a record as the wire had it, or refuses it. `place` is its number in the message.
#[inline]
fn admit(
    raw: &raw::RawFlow,
    context: Context,
    place: Option<usize>,
    out: &mut FlowColumns,
    refused: &mut dyn FnMut(Refused),
) {
    match judge::judge(raw, context) {
        Ok(row) => out.push(&row),
        Err(reason) => refuse(reason, &judge::explain(reason, raw), place, refused),
    }
}

/// Refuses one record of a message.
#[cold]
fn refuse(reason: Reject, detail: &str, place: Option<usize>, refused: &mut dyn FnMut(Refused)) {
    refused(match place {
        Some(place) => Refused::new(reason, format!("record {place}: {detail}")),
        None => Refused::new(reason, detail),
    });
}
