//! A real run of a real shop: its spans give the edges that are known of it, its metrics give them too,
//! and both together give one graph.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]
#![expect(clippy::unwrap_used, reason = "what a test sets up either works or fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use portolan_graph::{CallsBuilder, EvidenceBits, Fused, Meeting};
use portolan_model::{CallMeasure, CallSource, EntityId, EntityKind, Nanos, TimeRange};
use portolan_pipeline::LineConfig;
use portolan_proto::{ForeignPoint, ForeignValue, MetricEncoding, write_metrics};
use portolan_server::mapping::{Drawing, Drawn, Input, draw, line_config};
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
        line: line_config(LineConfig::default(), None).unwrap(),
        families: Arc::default(),
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

/// What Istio's proxies counted, as its metrics have it: the medians of the file, each as one call of
/// that duration in its minute, by either reporter.
fn istio(reporter: &str) -> Vec<ForeignPoint> {
    let file = std::fs::read_to_string(format!("{SHOP}/2022-08-22_{reporter}_50.csv")).unwrap();
    let mut lines = file.lines();
    let edges: Vec<&str> = lines.next().unwrap().split(',').skip(2).collect();
    let mut points = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let time = cells[1].parse::<Nanos>().unwrap() * 1_000_000_000;
        for (edge, cell) in edges.iter().zip(&cells[2..]) {
            let Ok(seconds) = cell.parse::<f64>() else { continue };
            let (client, server) = edge.split_once('_').unwrap();
            let millis = seconds * 1e3;
            let bounds = vec![1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1e3];
            let mut counts = vec![0; bounds.len() + 1];
            counts[bounds.partition_point(|bound| *bound < millis)] = 1;
            let attributes = [
                ("reporter", reporter),
                ("source_canonical_service", client),
                ("destination_canonical_service", server),
                ("request_protocol", "grpc"),
                ("response_code", "200"),
            ];
            points.push(ForeignPoint {
                resource: vec![("service.name".into(), "istio-proxy".into())],
                scope: "istio".into(),
                name: "istio_request_duration_milliseconds".into(),
                unit: "ms".into(),
                attributes: attributes.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
                delta: true,
                start: time - 60_000_000_000,
                time,
                value: ForeignValue::Histogram { sum: millis, bounds, counts },
            });
        }
    }
    points
}

/// The map of the metrics, and of the spans too if they are asked for.
fn shop(with_spans: bool) -> Option<Drawn> {
    let traces = format!("{SHOP}/2022-08-22_05-19_traces.otlp.pb");
    if !Path::new(&traces).exists() {
        println!("skipped: {traces} is not there");
        return None;
    }
    let mut points = istio("source");
    points.extend(istio("destination"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("istio.ndjson");
    let mut lines = String::new();
    for some in points.chunks(1_000) {
        let message = write_metrics(MetricEncoding::OtlpJson, some);
        writeln!(lines, "{}", String::from_utf8(message).unwrap()).unwrap();
    }
    std::fs::write(&file, lines).unwrap();
    let metrics = format!("{}:otlp-metrics-json", file.display());
    let spans = with_spans.then(|| Input::parse_spans(&format!("{traces}:otlp-proto")).unwrap());
    let drawing = Drawing {
        flows: vec![],
        spans: spans.into_iter().collect(),
        metrics: vec![Input::parse_metrics(&metrics).unwrap()],
        owners: vec![],
        scope: "default".into(),
        line: line_config(LineConfig::default(), None).unwrap(),
        families: Arc::default(),
    };
    Some(draw(&drawing, &|_| {}).unwrap())
}

/// Edges between services with the evidence of each, and whatever else is at an end of one.
fn fused(drawn: &Drawn) -> (BTreeMap<(String, String), EvidenceBits>, BTreeSet<EntityKind>) {
    let mut names = BTreeMap::new();
    drawn.store.entities(&mut |id, entity| _ = names.insert(id, entity.clone()));
    let mut calls = CallsBuilder::default();
    drawn.store.calls(TimeRange::ALL, &mut |row| calls.add(row)).unwrap();
    let fused = Fused::new(&[], calls.finish(), &Meeting::default());
    let (mut edges, mut others) = (BTreeMap::new(), BTreeSet::new());
    for edge in &fused.edges {
        let ends = [edge.client, edge.server].map(|id| &names[&id]);
        if ends.iter().all(|end| end.kind == EntityKind::Service) {
            let [client, server] = ends.map(|end| end.name.to_string());
            edges.insert((client, server), edge.evidence());
        } else {
            others
                .extend(ends.map(|end| end.kind).into_iter().filter(|k| *k != EntityKind::Service));
        }
    }
    (edges, others)
}

/// The service edges that the shop is known to have: those of its dependencies that lead to no machine.
fn known() -> BTreeSet<(String, String)> {
    let file = std::fs::read_to_string(format!("{SHOP}/2022-08-22_dependency.csv")).unwrap();
    let edges = file.lines().skip(1).filter_map(|line| {
        let mut cells = line.split(',').map(str::to_owned);
        Some((cells.next()?, cells.next()?))
    });
    edges.filter(|(_, server)| !server.starts_with("33.")).collect()
}

#[test]
fn metrics_alone_give_the_edges_of_the_shop() {
    let Some(drawn) = shop(false) else { return };
    let (edges, others) = fused(&drawn);
    assert_eq!(edges.len(), 14, "{edges:?}");
    assert_eq!(edges.keys().cloned().collect::<BTreeSet<_>>(), known());
    assert!(edges.values().all(|evidence| *evidence == EvidenceBits::IPC));
    assert_eq!(others, BTreeSet::new());
    // Both reporters have rows of their own, and neither counts what the other does.
    let mut calls = BTreeMap::new();
    let each = &mut |row: &portolan_model::CallDelta| {
        *calls.entry(row.key.source).or_insert(0) += row.counters[CallMeasure::CallsMilli] / 1_000;
    };
    drawn.store.calls(TimeRange::ALL, each).unwrap();
    let told = |reporter| istio(reporter).len() as i64;
    let wanted =
        [(CallSource::MeshServer, told("destination")), (CallSource::MeshClient, told("source"))];
    assert_eq!(calls, BTreeMap::from(wanted));
}

#[test]
fn spans_and_metrics_are_one_graph_with_one_edge_that_only_metrics_saw() {
    let Some(drawn) = shop(true) else { return };
    let (edges, others) = fused(&drawn);
    assert_eq!(edges.keys().cloned().collect::<BTreeSet<_>>(), known());
    let only = |wanted: EvidenceBits| -> Vec<_> {
        edges.iter().filter(|(_, bits)| **bits == wanted).map(|(edge, _)| edge.clone()).collect()
    };
    let unseen = ("checkoutservice".to_owned(), "currencyservice".to_owned());
    assert_eq!(only(EvidenceBits::IPC), [unseen], "{edges:?}");
    assert_eq!(only(EvidenceBits::TRACE), []);
    assert!(!others.contains(&EntityKind::Node), "{others:?}");
}
