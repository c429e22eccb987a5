//! Two ranges compared, what happened in one, and one edge in time: by gRPC, of a store on disk.

use portolan_model::{
    CallDelta, CallKey, CallMeasure, CallProtocol, CallSource, EntityId, EpochCommit, Window,
};
use portolan_proto::v1::{
    self, ChangesRequest, DiffRequest, DiffThresholds, Filter, GetEdgeRequest,
};
use tonic::Code;

use crate::harness::{START, edge, entity, id, range};
use crate::history::Disk;

const MINUTE: u32 = 60;

/// Forty minutes. `web -> cart` goes on, three times as much from the twentieth on; `cart -> db` ends
/// there; `web -> pay` begins there; `cart -> log` speaks once in each half, and `web -> cart` gets slow.
fn forty_minutes() -> Disk {
    let mut disk = Disk::new();
    for minute in 0..40 {
        let second_half = minute >= 20;
        let mut commit = EpochCommit::default();
        for n in 0..6 {
            let window = START + minute * MINUTE + n * 10;
            let mut put = |client: &str, server: &str, count: i64| {
                commit.edges.push(edge(Window(window), client, server, 80, count));
            };
            put("shop/web", "shop/cart", if second_half { 30 } else { 10 });
            if second_half {
                put("shop/web", "shop/pay", 20);
            } else {
                put("shop/cart", "data/db", 20);
            }
            if n == 0 && (minute == 5 || minute == 33) {
                put("shop/cart", "shop/log", 9);
            }
            commit.calls.push(calls(window, 50, if second_half { 8 } else { 2 }));
        }
        let names = ["shop/web", "shop/cart", "shop/pay", "data/db", "shop/log"];
        commit.entities = names.map(|name| (id(name), entity(name))).to_vec();
        disk.apply(START + minute * MINUTE + 50, commit);
    }
    disk
}

fn calls(window: u32, count: i64, millis: u64) -> CallDelta {
    let mut row = CallDelta::new(CallKey {
        window: Window(window),
        client: id("shop/web"),
        server: id("shop/cart"),
        source: CallSource::RpcServer,
        protocol: CallProtocol::Grpc,
        operation: EntityId::NONE,
    });
    row.counters[CallMeasure::Raw] = count;
    row.counters[CallMeasure::CallsMilli] = 1_000 * count;
    row.server.record(millis * 1_000_000, count);
    (row.first_ns, row.last_ns) = (Window(window).start() + 1, Window(window).start() + 5);
    row
}

fn halves() -> DiffRequest {
    DiffRequest {
        before: range(START, START + 20 * MINUTE),
        after: range(START + 20 * MINUTE, START + 40 * MINUTE),
        ..DiffRequest::default()
    }
}

fn ends(client: Option<&v1::Entity>, server: Option<&v1::Entity>) -> String {
    format!("{}>{}", client.unwrap().name, server.unwrap().name)
}

fn shown(answer: &v1::DiffResponse) -> Vec<String> {
    let one = |edge: &v1::EdgeDiff| {
        let mut what: Vec<&str> = edge.changes.iter().map(|change| change.what.as_str()).collect();
        what.sort_unstable();
        let ends = ends(edge.client.as_ref(), edge.server.as_ref());
        format!("{ends} {} {}", edge.kind, what.join(",")).trim_end().to_owned()
    };
    let mut all: Vec<String> = answer.edges.iter().map(one).collect();
    all.sort();
    all
}

#[tokio::test]
async fn difference_of_two_ranges_is_what_came_went_and_changed_and_no_noise() {
    let disk = forty_minutes();
    let (_server, mut client) = disk.serve().await;
    let answer = client.diff(halves()).await.unwrap().into_inner();
    assert_eq!(
        shown(&answer),
        ["cart>db removed", "web>cart changed bytes,connections,p50_us,p99_us", "web>pay new"]
    );
    assert_eq!((answer.added, answer.added_new, answer.removed, answer.changed), (1, 1, 1, 1));
    assert_eq!((answer.compared, answer.total_edges), (4, 3));
    assert_eq!(answer.before.unwrap().covered, range(START, START + 20 * MINUTE));
    let changed = answer.edges.iter().find(|edge| edge.kind == "changed").unwrap();
    let of = |what: &str| changed.changes.iter().find(|change| change.what == what).unwrap();
    assert!((of("connections").before - 1.0).abs() < 1e-9);
    assert!((of("connections").after - 3.0).abs() < 1e-9);
    assert_eq!(of("p50_us").source, "rpc_server");
    assert!(of("p50_us").after > 3.9 * of("p50_us").before);
    assert_eq!(changed.after.as_ref().unwrap().calls.len(), 1);

    // The other way round what came goes; what was seen before the second range began is not new.
    let request = DiffRequest { before: halves().after, after: halves().before, ..halves() };
    let back = client.diff(request).await.unwrap().into_inner();
    assert!(shown(&back).contains(&"web>pay removed".to_owned()), "{:?}", shown(&back));
}

#[tokio::test]
async fn thresholds_and_filter_narrow_a_difference() {
    let disk = forty_minutes();
    let (_server, mut client) = disk.serve().await;
    let thresholds = DiffThresholds { ratio: 4.0, latency_ratio: 5.0, ..DiffThresholds::default() };
    let request = DiffRequest { thresholds: Some(thresholds), ..halves() };
    let answer = client.diff(request).await.unwrap().into_inner();
    assert_eq!(shown(&answer), ["cart>db removed", "web>pay new"]);
    let filter = Filter { namespaces: vec!["data".into()], ..Filter::default() };
    let request = DiffRequest { filter: Some(filter), ..halves() };
    let answer = client.diff(request).await.unwrap().into_inner();
    assert_eq!((shown(&answer), answer.total_edges), (vec!["cart>db removed".to_owned()], 1));
}

#[tokio::test]
async fn comparison_that_makes_no_sense_is_refused() {
    let disk = forty_minutes();
    let (_server, mut client) = disk.serve().await;
    let ports = Filter { ports: vec![80], ..Filter::default() };
    let ratio = DiffThresholds { ratio: 0.5, ..DiffThresholds::default() };
    let cases = [
        (DiffRequest { before: None, ..halves() }, "before: give both ends of the range"),
        (
            DiffRequest { after: range(9, 5), ..halves() },
            "after: from_unix_us 9000000 is not before",
        ),
        (
            DiffRequest { before: range(START, START + 21 * MINUTE), ..halves() },
            "after: overlaps the range before: what both have is no difference",
        ),
        (
            DiffRequest { filter: Some(ports), ..halves() },
            "filter: protocols, ports, connections and calls",
        ),
        (DiffRequest { thresholds: Some(ratio), ..halves() }, "thresholds.ratio: 0.5 is not 1 to"),
    ];
    for (request, message) in cases {
        let status = client.diff(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().starts_with(message), "{status}");
    }
}

#[tokio::test]
async fn changes_since_are_at_the_events_themselves() {
    let disk = forty_minutes();
    let (_server, mut client) = disk.serve().await;
    let since = START + 14 * MINUTE + 3;
    let request = ChangesRequest {
        range: range(since, START + 40 * MINUTE),
        quiet_secs: 10 * MINUTE,
        ..ChangesRequest::default()
    };
    let answer = client.changes(request.clone()).await.unwrap().into_inner();
    let one = |change: &v1::TopologyChange| {
        let at = change.at_unix_us - i64::from(START) * 1_000_000;
        let ends = ends(change.client.as_ref(), change.server.as_ref());
        format!("{at} {ends} {}", change.kind)
    };
    let all: Vec<String> = answer.changes.iter().map(one).collect();
    assert_eq!(
        all,
        [
            "1980000001 cart>log returned",
            "1200000001 web>pay first_seen",
            "1190002000 cart>db gone",
            // Silent since the fifth minute: gone when ten had passed, which is after the range began.
            "300002000 cart>log gone",
        ]
    );
    assert_eq!(answer.changes[0].silent_us, 1_980_000_001 - 300_002_000);
    assert_eq!((answer.first_seen, answer.returned, answer.gone), (1, 1, 2));
    assert_eq!(answer.quiet_secs, 600);
    assert_eq!(answer.before.unwrap().covered.unwrap().from_unix_us, i64::from(START) * 1_000_000);

    let status =
        client.changes(ChangesRequest { range: None, ..request.clone() }).await.unwrap_err();
    assert_eq!(status.message(), "range: say since when");
    let status = client.changes(ChangesRequest { quiet_secs: 7, ..request }).await.unwrap_err();
    assert_eq!(status.message(), "quiet_secs: 7 s is not a multiple of the 10 s of a window");
}

#[tokio::test]
async fn edge_has_a_point_for_each_step_and_exact_times() {
    let disk = forty_minutes();
    let (_server, mut client) = disk.serve().await;
    let request = GetEdgeRequest {
        client: "shop/web".into(),
        server: "shop/cart".into(),
        range: range(START + 18 * MINUTE, START + 22 * MINUTE),
        step_secs: MINUTE,
        ..GetEdgeRequest::default()
    };
    let answer = client.get_edge(request.clone()).await.unwrap().into_inner();
    let flows = |point: &v1::EdgePoint| point.network.map_or(0, |sums| sums.connections);
    assert_eq!(answer.points.iter().map(flows).collect::<Vec<_>>(), [60, 60, 180, 180]);
    let called = |point: &v1::EdgePoint| point.calls[0].server_latency.unwrap().p50_us;
    assert!(called(&answer.points[3]) > 3.0 * called(&answer.points[0]));
    assert_eq!(answer.points[1].range, range(START + 19 * MINUTE, START + 20 * MINUTE));
    let start = i64::from(START) * 1_000_000;
    assert_eq!(answer.first_seen_unix_us, start);
    assert_eq!(answer.last_seen_unix_us, start + (39 * 60 + 50) * 1_000_000 + 2_000);
    let whole = answer.edge.unwrap();
    assert_eq!(whole.evidence, ["network", "ipc"]);
    assert_eq!(whole.network.unwrap().counters.unwrap().connections, 480);
    assert_eq!(answer.flows.len(), 1);

    // An edge that is silent has its steps all the same.
    let request = GetEdgeRequest { server: "shop/pay".into(), ..request };
    let silent = GetEdgeRequest { range: range(START, START + 5 * MINUTE), ..request.clone() };
    let answer = client.get_edge(silent).await.unwrap().into_inner();
    assert_eq!((answer.edge, answer.points.len()), (None, 5));
    assert!(answer.first_seen_unix_us > start);

    let status = client
        .get_edge(GetEdgeRequest { server: "shop/cartt".into(), ..request.clone() })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().starts_with("server: no entity is named"), "{status}");
    let many = GetEdgeRequest { range: range(START, 0), step_secs: 1, ..request };
    let status = client.get_edge(many).await.unwrap_err();
    assert_eq!(status.message(), "step_secs: 1 s is not a multiple of the 10 s of a window");
}
