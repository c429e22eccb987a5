//! Spans in every format, well formed but for what their fields say.

use portolan_model::SpanKind;
use portolan_proto::{ForeignSpan, SpanEncoding, write_spans};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::NOW;

/// One message of spans.
pub fn spans(encoding: SpanEncoding) -> impl Strategy<Value = Vec<u8>> {
    vec(span(), 1..6).prop_map(move |spans| {
        let messages = write_spans(encoding, &spans);
        messages.into_iter().next().expect("every format has a message for a span")
    })
}

fn span() -> impl Strategy<Value = ForeignSpan> {
    let kind = prop_oneof![
        Just(SpanKind::Internal),
        Just(SpanKind::Server),
        Just(SpanKind::Client),
        Just(SpanKind::Producer),
        Just(SpanKind::Consumer),
    ];
    let key = prop_oneof![
        Just("peer.service"),
        Just("server.address"),
        Just("server.port"),
        Just("db.system"),
        Just("messaging.destination.name"),
        Just("messaging.operation.type"),
        Just("http.response.status_code"),
        Just("url.full"),
        Just("span.kind"),
        Just("sampling.ratio"),
    ];
    let value = prop_oneof!["[a-z.]{0,12}", "[0-9.]{1,5}", "http://[a-z@:/]{0,9}", ".{0,3}"];
    let attribute = (key.prop_map(str::to_owned), value);
    let ids = (any::<u128>(), any::<u64>(), 0..4_u64);
    let name = prop_oneof![9 => "[a-zA-Z /]{0,12}", 1 => Just("flow_ipv4_tcp".to_owned())];
    let times = (0..9_000_000_000_u64, 0..2_000_000_000_u64);
    let links = vec((any::<u128>(), any::<u64>()), 0..3);
    let rest = (vec(attribute, 0..5), links, any::<bool>());
    (ids, kind, name, "[a-z]{0,6}", times, rest).prop_map(
        |((trace, span, parent), kind, name, service, (ago, took), (attributes, links, error))| {
            let start = NOW - ago;
            let end = start + took;
            ForeignSpan {
                trace,
                span,
                parent,
                kind,
                name,
                service,
                start,
                end,
                error,
                attributes,
                links,
            }
        },
    )
}
