//! A real trace of a real shop: its spans alone give the edges that are known of it.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::collections::BTreeMap;
use std::path::Path;

use portolan_model::{CallMeasure, CallSource, EntityId, EntityKind, TimeRange};
use portolan_server::mapping::{Drawing, Input, draw, line_config};
use portolan_storage::ReadEdges as _;

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/onlineboutique");

#[derive(serde::Deserialize)]
struct Expected {
    edges: Vec<ExpectedEdge>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExpectedEdge {
    parent: String,
    child: String,
    call_count: i64,
    error_count: i64,
}

#[test]
fn spans_alone_give_the_edges_of_the_shop_and_their_counts() {
    let traces = format!("{SHOP}/2022-08-22_05-19_traces.otlp.pb");
    if !Path::new(&traces).exists() {
        println!("skipped: {traces} is not there");
        return;
    }
    let expected = std::fs::read_to_string(format!("{SHOP}/expected_trace_edges.json")).unwrap();
    let expected: Expected = serde_json::from_str(&expected).unwrap();
    let expected: BTreeMap<_, _> = expected
        .edges
        .into_iter()
        .map(|e| ((e.parent, e.child), (e.call_count, e.error_count)))
        .collect();

    let drawing = Drawing {
        flows: vec![],
        spans: vec![Input::parse_spans(&format!("{traces}:otlp-proto")).unwrap()],
        metrics: vec![],
        owners: vec![],
        scope: "default".into(),
        line: line_config(10).unwrap(),
    };
    let drawn = draw(&drawing, &|_| {}).unwrap();
    let mut names = BTreeMap::new();
    drawn.store.entities(&mut |id, entity| _ = names.insert(id, entity.clone()));
    let is_service = |id: EntityId| names[&id].kind == EntityKind::Service;
    let (mut edges, mut others) = (BTreeMap::new(), BTreeMap::new());
    let each = &mut |row: &portolan_model::CallDelta| {
        let ends =
            (names[&row.key.client].name.to_string(), names[&row.key.server].name.to_string());
        let between = is_service(row.key.client) && is_service(row.key.server);
        let sums = if between { &mut edges } else { &mut others };
        let sum: &mut (i64, i64) = sums.entry(ends).or_default();
        sum.0 += row.counters[CallMeasure::CallsMilli] / 1_000;
        sum.1 += row.counters[CallMeasure::ErrorsMilli] / 1_000;
        if between {
            assert_eq!(row.key.source, CallSource::TracePair, "{:?}", row.key);
        }
    };
    drawn.store.calls(TimeRange::ALL, each).unwrap();
    assert_eq!(edges, expected);
    // Who else there is, is the user, or stands for halves that are missing: never a machine.
    let kinds = names.values().map(|e| e.kind);
    assert!(
        kinds.clone().all(|kind| matches!(
            kind,
            EntityKind::Service | EntityKind::User | EntityKind::Unresolved | EntityKind::Operation
        )),
        "{:?}",
        kinds.collect::<Vec<_>>()
    );
    assert!(
        others
            .keys()
            .all(|(client, server)| client == "user" || client == "unknown" || server == "unknown"),
        "{others:?}"
    );
}
