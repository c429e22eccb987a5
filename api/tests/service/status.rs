use std::sync::Arc;

use portolan_api::{
    Cancel, Error, FreshnessStatus, Limits, LineState, LineStatus, PartitionStatus, Past, Snapshot,
    StageStatus, Step, Steps, StoreFacts, TopologyReader,
};
use portolan_graph::{CallsBuilder, Catalogue, ViewBuilder, Visit};
use portolan_model::{
    ChangeRecord, DeadLetter, Entity, EntityId, EpochCommit, Loss, Nanos, Position, Reject,
    TimeRange, TopicPartition, WindowLen,
};
use portolan_proto::v1::{self, GetGraphRequest, GetStatusRequest};
use tonic::Code;

use crate::harness::{Line, START, range, start};

fn partition() -> TopicPartition {
    TopicPartition { cluster: "main".into(), topic: "network-flows".into(), partition: 3 }
}

fn running() -> LineStatus {
    LineStatus {
        state: LineState::Running,
        started: 5_000,
        partitions: vec![PartitionStatus {
            partition: partition(),
            next: 7,
            end: 10,
            watermark: 9_000,
            paused: true,
        }],
        stages: vec![StageStatus {
            name: "flow_resolver".into(),
            records: 4,
            ..Default::default()
        }],
        dead_letters: vec![DeadLetter {
            partition: partition(),
            offset: 6,
            reason: Reject::Undecodable,
            at: 8_000,
            detail: "field 1".into(),
            head: vec![0xff, 0x00],
        }],
        freshness: FreshnessStatus { samples: 1, p50_us: 2, p99_us: 3, max_us: 4 },
        restarts: 1,
        store_path: "/var/lib/portolan".into(),
        reason: String::new(),
    }
}

#[tokio::test]
async fn status_tells_the_line_and_the_store_together() {
    let mut line = Line::shop();
    let loss = Loss { partition: partition(), from: 2, to: 5, at: 6_000 };
    line.apply(&EpochCommit {
        epoch: 2,
        watermark: 7_000,
        losses: vec![loss],
        tallies: vec![("lost".into(), 3)],
        positions: vec![Position { partition: partition(), next: 6, reread: 5 }],
        ..EpochCommit::default()
    });
    let (_server, mut client) = start(Arc::new(line.reader()), running(), Limits::default()).await;
    let status = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.state.as_str(), status.epoch, status.watermark_unix_us), ("running", 2, 7));
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!((status.tallies["accepted"], status.tallies["lost"]), (10, 3));
    assert_eq!((status.losses[0].from, status.losses[0].to), (2, 5));
    let at = &status.partitions[0];
    assert_eq!((at.lag, at.paused, at.topic.as_str()), (3, true, "network-flows"));
    assert_eq!((at.next, at.committed), (7, 6), "what was read is not yet all in the graph");
    assert_eq!(status.stages[0].records, 4);
    let letter = &status.dead_letters[0];
    assert_eq!((letter.reason.as_str(), letter.head.as_str()), ("undecodable", "/wA="));
    let store = status.store.unwrap();
    assert_eq!((store.entities, store.span), (7, range(START, START + 10)));
    assert_eq!(status.freshness.unwrap().p99_us, 3);
    // Losses are told with every answer, not only here.
    for range in [None, range(0, 0)] {
        let answer = client.get_graph(GetGraphRequest { range, ..Default::default() }).await;
        assert_eq!(answer.unwrap().into_inner().coverage.unwrap().records_lost, 3);
    }
}

#[tokio::test]
async fn lag_is_nothing_while_the_end_is_unknown() {
    let mut status = running();
    status.partitions[0].end = -1;
    let (_server, mut client) =
        start(Arc::new(Line::new().reader()), status, Limits::default()).await;
    let status = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.partitions[0].end, status.partitions[0].lag), (-1, 0));
}

/// A store whose disk is gone.
struct Broken;

fn broken<T>() -> Result<T, Error> {
    Err(portolan_storage::Error::Damaged { path: "/secret".into(), detail: "block 7".into() })?
}

impl TopologyReader for Broken {
    fn traces(
        &self,
        _: &mut dyn FnMut(&portolan_model::TraceRow),
    ) -> Result<(), portolan_api::Error> {
        Ok(())
    }

    fn health(&self) -> Arc<portolan_api::Healths> {
        Arc::default()
    }

    fn window_len(&self) -> WindowLen {
        WindowLen::BASE
    }
    fn version(&self) -> u64 {
        1
    }
    fn now(&self, _: &mut ViewBuilder) -> Result<Snapshot, Error> {
        broken()
    }
    fn reach(&self) -> Nanos {
        0
    }
    fn past(&self, _: &Past, _: usize, _: &Cancel, _: &mut ViewBuilder) -> Result<Snapshot, Error> {
        broken()
    }
    fn steps(
        &self,
        _: &Past,
        _: &Steps,
        _: &Cancel,
        _: &mut dyn FnMut(&mut Step) -> Result<(), Error>,
    ) -> Result<Snapshot, Error> {
        broken()
    }
    fn calls(
        &self,
        _: Option<&Past>,
        _: usize,
        _: &Cancel,
        _: &mut CallsBuilder,
    ) -> Result<(), Error> {
        broken()
    }
    fn entity(&self, _: EntityId) -> Option<Arc<Entity>> {
        None
    }
    fn entities(&self, _: &mut Visit<'_>) {}
    fn catalogue(&self) -> Result<(Arc<Catalogue>, Nanos), Error> {
        broken()
    }
    fn changes(&self, _: TimeRange, _: &mut dyn FnMut(ChangeRecord) -> bool) -> Result<(), Error> {
        broken()
    }
    fn facts(&self) -> Result<StoreFacts, Error> {
        broken()
    }
}

#[tokio::test]
async fn status_is_answered_when_the_store_is_not_and_nothing_internal_gets_out() {
    let (_server, mut client) = start(Arc::new(Broken), running(), Limits::default()).await;
    let status: v1::GetStatusResponse =
        client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.state, "degraded");
    assert_eq!(status.reason, "the store cannot be read, the server's log says why");
    assert_eq!(status.partitions.len(), 1);
    let refused = client.get_graph(GetGraphRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(!refused.message().contains("secret") && !refused.message().contains("block"));
}

#[tokio::test]
async fn server_without_a_store_on_a_disk_makes_no_snapshots() {
    let (_server, mut client) =
        start(Arc::new(Line::shop().reader()), LineStatus::default(), Limits::default()).await;
    let request = v1::SnapshotStoreRequest { directory: "/tmp/nowhere".into() };
    let refused = client.snapshot_store(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "this server keeps no store on a disk");
}
