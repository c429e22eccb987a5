use portolan_model::{
    CallDelta, CallKey, CallMeasure, CallProtocol, CallSource, Entity, EntityId, EntityKind,
    EpochCommit, Window, WindowLen,
};
use portolan_proto::v1::{self, CoverageRequest};
use tonic::Code;

use crate::harness::{Line, START, range};

fn service(text: &str) -> Entity {
    let (namespace, name) = text.split_once('/').unwrap_or(("", text));
    Entity::new(EntityKind::Service, namespace, name)
}

/// The shop, with spans of `web -> cart` (no namespace) and metrics of `web -> mail`.
pub(crate) fn shop() -> Line {
    let mut line = Line::shop();
    let end = Window(START).end(WindowLen::BASE);
    let mut commit = EpochCommit { epoch: 2, clock: end, watermark: end, ..EpochCommit::default() };
    commit.folded = Window(START);
    let rows = [
        (CallSource::RpcServer, "shop/web", "shop/mail", 8, 0),
        (CallSource::TracePair, "web", "cart", 4, 1),
    ];
    for (source, client, server, calls, errors) in rows {
        let (client, server) = (service(client), service(server));
        let mut row = CallDelta::new(CallKey {
            window: Window(START),
            client: client.id(),
            server: server.id(),
            source,
            protocol: CallProtocol::Grpc,
            operation: EntityId::NONE,
        });
        row.counters[CallMeasure::Raw] = calls;
        row.counters[CallMeasure::CallsMilli] = 1000 * calls;
        row.counters[CallMeasure::ErrorsMilli] = 1000 * errors;
        row.server.record(2_000_000, calls);
        (row.first_ns, row.last_ns) = (Window(START).start() + 5, Window(START).start() + 9_000);
        commit.entities.extend([client, server].map(|entity| (entity.id(), entity)));
        commit.calls.push(row);
    }
    commit.calls.sort_by_key(|row| row.key);
    line.apply(&commit);
    line
}

async fn ask(request: CoverageRequest) -> Result<v1::CoverageResponse, tonic::Status> {
    let (_server, mut client) = shop().serve().await;
    client.coverage(request).await.map(tonic::Response::into_inner)
}

fn show(answer: &v1::CoverageResponse) -> Vec<String> {
    let name = |entity: &Option<v1::Entity>| entity.as_ref().unwrap().name.clone();
    let edge = |e: &v1::FusedEdge| {
        format!("{} > {} {}", name(&e.client), name(&e.server), e.evidence.join("+"))
    };
    answer.edges.iter().map(edge).collect()
}

#[tokio::test]
async fn every_edge_says_which_layers_see_it_now_and_over_a_range() {
    for range in [None, range(START, START + 10)] {
        let answer = ask(CoverageRequest { range, ..Default::default() }).await.unwrap();
        let edges = show(&answer);
        assert!(edges.contains(&"web > cart network+trace".to_owned()), "{edges:?}");
        assert!(edges.contains(&"web > mail ipc".to_owned()), "{edges:?}");
        let counts: u64 = answer.counts.iter().map(|count| count.edges).sum();
        assert_eq!((counts, answer.total_edges), (edges.len() as u64, edges.len() as u64));
        assert_eq!(answer.coverage.unwrap().epoch, 2);
    }
}

#[tokio::test]
async fn edge_of_two_layers_keeps_the_word_of_each() {
    let evidence = vec!["network".into(), "trace".into()];
    let answer = ask(CoverageRequest { evidence, ..Default::default() }).await.unwrap();
    let [edge] = &answer.edges[..] else { panic!("{:?}", show(&answer)) };
    assert_eq!(edge.client.as_ref().unwrap().kind, "workload");
    let network = edge.network.as_ref().unwrap();
    assert_eq!((network.counters.unwrap().connections, &network.ports[..]), (4, &[8080][..]));
    assert_eq!((edge.calls[0].calls, edge.calls[0].errors), (4.0, 1.0));
    assert_eq!((edge.calls_source.as_str(), edge.agreement), ("trace_pair", 2.0 / 3.0));
    let latency = edge.server_latency.as_ref().unwrap().latency.unwrap();
    assert_eq!((latency.count, latency.mean_us), (4, 2000.0));
    assert!((latency.p99_us - 2000.0).abs() < 40.0, "{latency:?}");
    assert!(edge.client_latency.is_none());
}

#[tokio::test]
async fn edges_of_one_layer_alone_are_asked_for_by_its_name_and_bounded() {
    let only = |word: &str| CoverageRequest { evidence: vec![word.into()], ..Default::default() };
    assert_eq!(show(&ask(only("ipc")).await.unwrap()), ["web > mail ipc"]);
    let answer = ask(CoverageRequest { limit: 1, ..only("network") }).await.unwrap();
    assert!(answer.edges.len() == 1 && answer.total_edges > 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_field() {
    let evidence = vec!["gossip".into()];
    let cases = [
        (CoverageRequest { evidence, ..Default::default() }, "evidence: \"gossip\" is not one of"),
        (CoverageRequest { limit: 10_001, ..Default::default() }, "limit: 10001 is over 10000"),
        (CoverageRequest { range: range(5, 5), ..Default::default() }, "range: from_unix_us"),
    ];
    for (request, message) in cases {
        let status = ask(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(message), "{status}");
    }
}
