//! Traces that are kept, named by the edge that they stand for, and laid on the graph.

use portolan_model::{
    CallProtocol, CallSource, Entity, EntityId, EntityKind, EpochCommit, TraceCall, TraceRow,
    Window, WindowLen,
};
use portolan_proto::v1::{GetEdgeRequest, OverlayTraceRequest};
use tonic::Code;

use crate::coverage::shop;
use crate::harness::{Line, START, range};

fn call(client: &str, server: &str, after: u64, took: u64, failed: bool) -> TraceCall {
    let service = |name: &str| Entity::new(EntityKind::Service, "", name).id();
    let start = Window(START).start() + after;
    TraceCall {
        start,
        end: start + took,
        client: service(client),
        server: service(server),
        source: CallSource::TracePair,
        protocol: CallProtocol::Grpc,
        operation: EntityId::NONE,
        client_error: failed,
        server_error: false,
        took: [Some(took), Some(took / 2)],
    }
}

/// The shop, with a trace that was slow over `web -> cart`, and one that failed there.
fn traced() -> Line {
    let mut line = shop();
    let end = Window(START).end(WindowLen::BASE);
    let slow = vec![
        call("web", "cart", 0, 5_000_000, false),
        call("cart", "nowhere", 1_000_000, 2_000_000, false),
    ];
    let failed = vec![call("web", "cart", 9_000, 1_000_000, true)];
    let traces =
        vec![TraceRow { trace: 0xa1, calls: slow }, TraceRow { trace: 0xb2, calls: failed }];
    line.apply(&EpochCommit {
        epoch: 3,
        clock: end,
        watermark: end,
        traces,
        ..EpochCommit::default()
    });
    line
}

#[tokio::test]
async fn edge_names_its_exemplars_and_each_is_laid_on_the_graph() {
    let (_server, mut client) = traced().serve().await;
    let request = GetEdgeRequest {
        client: "shop/web".into(),
        server: "shop/cart".into(),
        range: range(START, START + 10),
        ..Default::default()
    };
    let edge = client.get_edge(request).await.unwrap().into_inner();
    let named: Vec<_> =
        edge.exemplars.iter().map(|e| (e.of.as_str(), &e.trace_id[28..], e.took_us)).collect();
    assert_eq!(named, [("slowest", "00a1", 5_000.0), ("error", "00b2", 1_000.0)]);
    let trace_id = edge.exemplars[0].trace_id.clone();
    let laid = client.overlay_trace(OverlayTraceRequest { trace_id }).await.unwrap().into_inner();
    let [first, second] = &laid.calls[..] else { panic!("{:?}", laid.calls) };
    let layers: Vec<&str> =
        first.edges.iter().map(|at| laid.edges[*at as usize].layer.as_str()).collect();
    assert!(layers.contains(&"network") && layers.contains(&"trace"), "{layers:?}");
    assert_eq!(first.client.as_ref().unwrap().kind, "workload", "as the graph shows it");
    assert_eq!((first.client_took_us, first.server_took_us), (5_000.0, 2_500.0));
    assert!(second.edges.is_empty(), "no edge of now: it is shown all the same");
    assert_eq!(second.protocol, "grpc");
}

#[tokio::test]
async fn trace_that_is_not_kept_and_what_is_no_id_are_refused() {
    let (_server, mut client) = traced().serve().await;
    for (id, code) in [
        ("00000000000000b2", None),
        ("000000000000000000000000000000B2", None),
        ("00000000000000000000000000000001", Some(Code::NotFound)),
        ("b2", Some(Code::InvalidArgument)),
        ("zz000000000000b2", Some(Code::InvalidArgument)),
        ("", Some(Code::InvalidArgument)),
    ] {
        let request = OverlayTraceRequest { trace_id: id.into() };
        let answer = client.overlay_trace(request).await;
        assert_eq!(answer.err().map(|status| status.code()), code, "{id}");
    }
}
