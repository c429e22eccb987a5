//! Hostile bytes against every decoder.
//!
//! [`feed`] gives a message to one decoder and checks what must hold for any bytes at all: nothing
//! panics, nothing vanishes (each message gives a record or a refusal), what is accepted obeys the
//! rules, what is refused can be shown. [`soup`] makes the bytes.

use portolan_model::{
    FlowColumns, FlowRow, Ip, MetricColumns, Nanos, Note, OwnerEvent, OwnerRecord, ScopeId,
    SpanColumns, SpanRow,
};
use portolan_proto::{
    Encoding, Families, FlowDecoder, FlowEncoding, MAX_AHEAD_NANOS, MAX_COUNT, MAX_DETAIL_BYTES,
    MAX_LABELS, MAX_LINK_BYTES, MAX_LIST, MAX_NAME_BYTES, MAX_RTT_NANOS, MAX_SLICE_NANOS,
    MAX_VALUE_BYTES, MetricEncoding, NoteEncoding, Refused, SpanEncoding, decode_metrics,
    decode_notes, decode_owners, decode_spans,
};

pub mod soup;

/// When every message arrives: 2026-11-23T12:00:00Z.
pub const NOW: Nanos = 1_795_435_200_000_000_000;

/// Messages over this are refused: small, so that the bound is met.
pub const MAX_BYTES: usize = 1 << 17;

/// Gives a message to a decoder and checks what holds for any bytes. Returns how many records were
/// accepted and how many refused.
///
/// # Panics
///
/// If something does not hold.
pub fn feed(encoding: Encoding, payload: &[u8]) -> (usize, usize) {
    let (accepted, refused) = match encoding {
        Encoding::Flow(encoding) => feed_flows(encoding, payload),
        Encoding::Span(encoding) => feed_spans(encoding, payload),
        Encoding::Metric(encoding) => feed_metrics(encoding, payload),
        Encoding::Note(encoding) => feed_notes(encoding, payload),
        Encoding::Owner(encoding) => {
            let (events, refused) = decode_owners(encoding, "fuzz/pod", NOW, MAX_BYTES, payload);
            events.iter().for_each(check_event);
            let again = decode_owners(encoding, "fuzz/pod", NOW, MAX_BYTES, payload);
            assert_eq!(again, (events.clone(), refused.clone()), "decoding is a function");
            (events.len(), refused)
        }
    };
    assert!(accepted + refused.len() > 0, "a message vanished");
    assert!(!refused.first().is_some_and(|why| why.detail.is_empty()), "a refusal without a word");
    refused.iter().for_each(check_refused);
    (accepted, refused.len())
}

fn feed_flows(encoding: FlowEncoding, payload: &[u8]) -> (usize, Vec<Refused>) {
    // A row that is there already, with a translation, must stay as it is.
    let earlier = FlowRow {
        src: Ip::v4(1),
        dst: Ip::v4(2),
        xlat: Some(portolan_model::Xlat { dst: Ip::v4(3), ..Default::default() }),
        ..FlowRow::default()
    };
    let mut out = FlowColumns::from_iter([earlier]);
    let mut refused = Vec::new();
    let mut decoder = FlowDecoder::new(MAX_BYTES).with_scope_from_cluster(true);
    let mut decode = |out: &mut FlowColumns, refuse: &mut dyn FnMut(Refused)| {
        decoder.decode(encoding, ScopeId(7), NOW, payload, out, refuse)
    };
    let accepted = decode(&mut out, &mut |why| refused.push(why));
    assert_eq!(accepted + 1, out.len());
    let rows: Vec<_> = out.rows().collect();
    assert_eq!(rows[0], earlier);
    rows[1..].iter().for_each(check_row);
    let mut again = FlowColumns::from_iter([earlier]);
    decode(&mut again, &mut |_| {});
    assert_eq!(again, out, "decoding is a function");
    (accepted, refused)
}

fn feed_metrics(encoding: MetricEncoding, payload: &[u8]) -> (usize, Vec<Refused>) {
    thread_local! {
        static FAMILIES: Families = Families::default();
    }
    let mut refused = Vec::new();
    let decode = |out: &mut MetricColumns, refuse: &mut dyn FnMut(Refused)| {
        FAMILIES.with(|known| {
            decode_metrics(encoding, known, NOW, MAX_BYTES, payload, out, refuse);
        });
    };
    let mut out = MetricColumns::default();
    decode(&mut out, &mut |why| refused.push(why));
    for row in out.rows() {
        assert!(row.time > 0 && row.start <= row.time && row.time <= NOW + MAX_AHEAD_NANOS);
        assert!(row.count_milli.is_none_or(|n| n >= 0) && row.sum.is_none_or(|sum| sum >= 0));
        let ends = [row.client, row.server];
        for name in ends.iter().flat_map(|e| [e.service, e.namespace, e.address, e.destination]) {
            let name = out.say(name);
            assert!(name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control), "{name:?}");
        }
        assert!(out.buckets(row).is_sorted_by(|a, b| a.0 < b.0), "{:?}", out.buckets(row));
    }
    let mut again = MetricColumns::default();
    decode(&mut again, &mut |_| {});
    assert_eq!((again.rows(), again.other), (out.rows(), out.other), "decoding is a function");
    (out.len() + out.other as usize, refused)
}

fn feed_spans(encoding: SpanEncoding, payload: &[u8]) -> (usize, Vec<Refused>) {
    let mut refused = Vec::new();
    let decode = |out: &mut SpanColumns, refuse: &mut dyn FnMut(Refused)| {
        decode_spans(encoding, NOW, MAX_BYTES, payload, out, refuse);
    };
    let mut out = SpanColumns::default();
    let earlier = SpanRow { service: out.text("earlier"), ..SpanRow::default() };
    out.push(&earlier, &[]);
    let mut again = out.clone();
    decode(&mut out, &mut |why| refused.push(why));
    assert_eq!((out.rows()[0], out.say(earlier.service)), (earlier, "earlier"));
    (1..out.len()).for_each(|row| check_span(&out, row));
    decode(&mut again, &mut |_| {});
    assert_eq!(again.rows(), out.rows(), "decoding is a function");
    (out.len() - 1, refused)
}

fn feed_notes(encoding: NoteEncoding, payload: &[u8]) -> (usize, Vec<Refused>) {
    let mut refused = Vec::new();
    let decode = |out: &mut Vec<Note>, refuse: &mut dyn FnMut(Refused)| {
        decode_notes(encoding, NOW, MAX_BYTES, payload, out, refuse);
    };
    let (mut out, mut again) = (Vec::new(), Vec::new());
    decode(&mut out, &mut |why| refused.push(why));
    out.iter().for_each(check_note);
    decode(&mut again, &mut |_| {});
    assert_eq!(again, out, "decoding is a function");
    (out.len(), refused)
}

/// Checks what holds for any note that is taken.
fn check_note(note: &Note) {
    let (subject, times, labels) = match note {
        Note::Catalogue(record) => {
            let said = &record.said;
            for text in [&said.owner, &said.tier, &said.domain] {
                check_name(text);
            }
            assert!(said.links.len() <= MAX_LABELS, "{note:?}");
            for (name, link) in &said.links {
                check_name(name);
                assert!(link.as_str().starts_with("http") && link.as_str().len() <= MAX_LINK_BYTES);
            }
            (&record.subject, [record.from, record.observed_at], &said.labels)
        }
        Note::Change(change) => {
            check_name(&change.id);
            assert!(!change.id.is_empty() && change.title.len() <= MAX_VALUE_BYTES, "{note:?}");
            assert!(change.url.is_empty() || change.url.starts_with("http"), "{note:?}");
            (&change.subject, [change.at, change.observed_at], &change.labels)
        }
    };
    for text in [&subject.environment, &subject.namespace, &subject.name, &subject.kind] {
        check_name(text);
    }
    assert!(!subject.is_anybody(), "{note:?}");
    assert!(times.iter().all(|at| *at > 0 && *at <= NOW + MAX_AHEAD_NANOS), "{note:?}");
    assert!(labels.len() <= MAX_LABELS && labels.is_sorted(), "{note:?}");
}

fn check_span(out: &SpanColumns, row: usize) {
    let links = out.links(row).count();
    let row = &out.rows()[row];
    assert!(row.trace.0 != 0 && row.span.0 != 0, "{row:?}");
    assert!(0 < row.start && row.start <= row.end, "{row:?}");
    assert!(row.end <= NOW + MAX_AHEAD_NANOS && row.weight_milli > 0, "{row:?}");
    assert!(links <= MAX_BYTES, "{row:?}");
    let texts = [
        row.environment,
        row.namespace,
        row.service,
        row.peer,
        row.peer_namespace,
        row.address,
        row.network,
        row.client_address,
        row.db_system,
        row.db_name,
        row.messaging_system,
        row.destination,
        row.rpc_system,
        row.operation,
    ];
    for text in texts {
        check_name(out.say(text));
    }
}

fn check_row(row: &FlowRow) {
    assert!(!row.src.is_none() && !row.dst.is_none(), "{row:?}");
    assert!(0 < row.start && row.start <= row.end, "{row:?}");
    assert!(row.end <= NOW + MAX_AHEAD_NANOS, "{row:?}");
    assert!(row.end - row.start <= MAX_SLICE_NANOS && row.rtt <= MAX_RTT_NANOS, "{row:?}");
    for count in [row.bytes, row.packets, row.drop_bytes, row.drop_packets] {
        assert!(count.saturating_mul(row.sampling.max(1).into()) <= MAX_COUNT, "{row:?}");
    }
    if let Some(xlat) = row.xlat {
        assert!(!xlat.src.is_none() || !xlat.dst.is_none(), "{row:?}");
    }
}

/// Checks what holds for any event that is taken.
///
/// # Panics
///
/// If something does not hold.
pub fn check_event(event: &OwnerEvent) {
    match event {
        OwnerEvent::Upsert(owner) => check_owner(owner),
        OwnerEvent::Delete { scope, uid, at, at_hi } => {
            check_name(scope);
            check_name(uid);
            assert!(!uid.is_empty() && at <= at_hi);
        }
        OwnerEvent::Gap { scope, from, to } => {
            check_name(scope);
            assert!(from < to);
        }
        OwnerEvent::Heartbeat { scope, watermark } => {
            check_name(scope);
            assert!(*watermark <= NOW + MAX_AHEAD_NANOS);
        }
    }
}

fn check_owner(owner: &OwnerRecord) {
    for name in [&owner.scope, &owner.uid, &owner.environment, &owner.namespace, &owner.name] {
        check_name(name);
    }
    check_name(&owner.owner_name);
    check_name(&owner.owner_kind);
    assert!(!owner.uid.is_empty(), "{owner:?}");
    assert!(!(owner.name.is_empty() && owner.owner_name.is_empty()), "{owner:?}");
    let lists = [owner.ips.len(), owner.cidrs.len(), owner.ports.len(), owner.backends.len()];
    assert!(lists.iter().all(|len| *len <= MAX_LIST), "{lists:?}");
    assert!(owner.ips.iter().all(|ip| !ip.is_none()), "{owner:?}");
    assert!(owner.cidrs.iter().all(|(ip, prefix)| ip.masked(*prefix) == *ip), "{owner:?}");
    let valid = owner.valid;
    assert!(valid.from_lo <= valid.from && valid.from <= valid.to, "{owner:?}");
    assert!(valid.to <= valid.to_hi && owner.observed_at <= NOW + MAX_AHEAD_NANOS, "{owner:?}");
}

fn check_name(name: &str) {
    assert!(name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control), "{name:?}");
}

fn check_refused(refused: &Refused) {
    let detail = &refused.detail;
    assert!(detail.len() <= MAX_DETAIL_BYTES, "{detail:?}");
    assert!(!detail.contains(char::is_control), "{detail:?}");
}
