//! Many queries, slow queries, queries that nobody waits for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use portolan_api::{
    Cancel, Error, Limits, LineStatus, Past, Snapshot, Step, Steps, StoreFacts, StoreReader,
    TopologyReader,
};
use portolan_graph::{CallsBuilder, Catalogue, ViewBuilder, Visit};
use portolan_model::{ChangeRecord, Entity, EntityId, Nanos, TimeRange, WindowLen};
use portolan_proto::v1::{Collapse, GetGraphRequest};
use tokio::sync::mpsc;
use tonic::{Code, Request};

use crate::harness::{Line, START, range, start};

/// A reader that counts, and whose ranges take until nobody waits.
struct Slow {
    inner: StoreReader,
    foldings: AtomicU64,
    /// How often the version was asked for: every query of now does so before anything else.
    asked: AtomicU64,
    /// A folding of now waits until it was asked for so often.
    hold: AtomicU64,
    /// Told when a range begins and when it is given up.
    events: Mutex<mpsc::UnboundedSender<&'static str>>,
}

impl Slow {
    fn new(line: &Line) -> (Arc<Self>, mpsc::UnboundedReceiver<&'static str>) {
        let (events, told) = mpsc::unbounded_channel();
        let [foldings, asked, hold] = [0; 3].map(AtomicU64::new);
        let inner = line.reader();
        (Arc::new(Self { inner, foldings, asked, hold, events: events.into() }), told)
    }

    fn tell(&self, event: &'static str) {
        // A test that is over does not listen any more.
        let _ = self.events.lock().unwrap().send(event);
    }
}

impl TopologyReader for Slow {
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
        self.inner.window_len()
    }
    fn version(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.inner.version()
    }
    fn now(&self, rows: &mut ViewBuilder) -> Result<Snapshot, Error> {
        self.foldings.fetch_add(1, Ordering::Relaxed);
        while self.asked.load(Ordering::Relaxed) < self.hold.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        self.inner.now(rows)
    }
    fn reach(&self) -> Nanos {
        self.inner.reach()
    }
    fn past(
        &self,
        _: &Past,
        _: usize,
        cancel: &Cancel,
        _: &mut ViewBuilder,
    ) -> Result<Snapshot, Error> {
        self.tell("begun");
        loop {
            if let Err(error) = cancel.check() {
                self.tell("given up");
                return Err(error);
            }
            std::thread::yield_now();
        }
    }
    fn steps(
        &self,
        past: &Past,
        steps: &Steps,
        cancel: &Cancel,
        visit: &mut dyn FnMut(&mut Step) -> Result<(), Error>,
    ) -> Result<Snapshot, Error> {
        self.inner.steps(past, steps, cancel, visit)
    }
    fn calls(
        &self,
        past: Option<&Past>,
        most: usize,
        cancel: &Cancel,
        rows: &mut CallsBuilder,
    ) -> Result<(), Error> {
        self.inner.calls(past, most, cancel, rows)
    }
    fn entity(&self, id: EntityId) -> Option<Arc<Entity>> {
        self.inner.entity(id)
    }
    fn entities(&self, visit: &mut Visit<'_>) {
        self.inner.entities(visit);
    }
    fn catalogue(&self) -> Result<(Arc<Catalogue>, Nanos), Error> {
        self.inner.catalogue()
    }
    fn changes(
        &self,
        range: TimeRange,
        visit: &mut dyn FnMut(ChangeRecord) -> bool,
    ) -> Result<(), Error> {
        self.inner.changes(range, visit)
    }
    fn facts(&self) -> Result<StoreFacts, Error> {
        self.inner.facts()
    }
}

/// How a range ended, of a server that is stopped. On a slow machine it may end before it begins,
/// and that is as good.
async fn ended(told: &mut mpsc::UnboundedReceiver<&'static str>) -> &'static str {
    match told.recv().await {
        Some("begun") => told.recv().await.unwrap_or("went on"),
        _ => "given up",
    }
}

fn some_range() -> GetGraphRequest {
    GetGraphRequest { range: range(START, START + 10), ..Default::default() }
}

#[tokio::test]
async fn graph_of_now_is_folded_once_an_epoch_and_mode_however_many_ask() {
    let mut line = Line::shop();
    let (reader, _) = Slow::new(&line);
    let (_server, client) = start(reader.clone(), LineStatus::default(), Limits::default()).await;
    // All have asked before the first has its answer.
    let ask = async |request: GetGraphRequest, times: usize| {
        let asked = reader.asked.load(Ordering::Relaxed);
        reader.hold.store(asked + times as u64, Ordering::Relaxed);
        let all = (0..times).map(|_| {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.get_graph(request).await.unwrap().into_inner() }
        });
        join_all(all).await
    };
    ask(GetGraphRequest::default(), 20).await;
    assert_eq!(reader.foldings.load(Ordering::Relaxed), 1);
    ask(GetGraphRequest { collapse: Collapse::None.into(), ..Default::default() }, 20).await;
    assert_eq!(reader.foldings.load(Ordering::Relaxed), 2);
    line.commit(START, &[("a/a", "a/b", 1, 1)], &[]);
    let answers = ask(GetGraphRequest::default(), 20).await;
    assert_eq!(reader.foldings.load(Ordering::Relaxed), 3);
    assert!(answers.iter().all(|answer| answer.total_edges == 5), "an epoch is seen at once");
}

#[tokio::test]
async fn deadline_of_the_caller_ends_the_work() {
    let (reader, mut told) = Slow::new(&Line::shop());
    let (server, mut client) = start(reader, LineStatus::default(), Limits::default()).await;
    let mut request = Request::new(some_range());
    request.set_timeout(Duration::from_millis(50));
    let status = client.get_graph(request).await.unwrap_err();
    drop((server, client));
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    assert_eq!(ended(&mut told).await, "given up");
}

#[tokio::test]
async fn deadline_of_the_server_holds_for_callers_without_one() {
    let (reader, mut told) = Slow::new(&Line::shop());
    let limits = Limits { deadline: Duration::from_millis(10), ..Limits::default() };
    let (server, mut client) = start(reader, LineStatus::default(), limits).await;
    let status = client.get_graph(some_range()).await.unwrap_err();
    drop((server, client));
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(ended(&mut told).await, "given up");
}

#[tokio::test]
async fn caller_that_goes_away_ends_the_work() {
    let (reader, mut told) = Slow::new(&Line::shop());
    let (_server, mut client) = start(reader, LineStatus::default(), Limits::default()).await;
    let waiting = tokio::spawn(async move { client.get_graph(some_range()).await });
    assert_eq!(told.recv().await, Some("begun"));
    waiting.abort();
    assert_eq!(told.recv().await, Some("given up"));
}

#[tokio::test]
async fn scans_over_the_bound_are_refused_while_now_is_still_answered() {
    let (reader, mut told) = Slow::new(&Line::shop());
    let limits = Limits { scans: 1, wait: Duration::from_millis(10), ..Limits::default() };
    let (_server, mut client) = start(reader, LineStatus::default(), limits).await;
    client.get_graph(GetGraphRequest::default()).await.unwrap();
    let busy = tokio::spawn({
        let mut client = client.clone();
        async move { client.get_graph(some_range()).await }
    });
    assert_eq!(told.recv().await, Some("begun"));
    let status = client.get_graph(some_range()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    client.get_graph(GetGraphRequest::default()).await.unwrap();
    busy.abort();
    assert_eq!(told.recv().await, Some("given up"));
}

#[tokio::test]
async fn range_over_the_bounds_is_refused_with_the_bound() {
    let mut line = Line::shop();
    line.commit(START + 1000, &[("a/a", "a/b", 1, 1)], &[]);
    let all = GetGraphRequest { range: range(0, 0), ..Default::default() };
    let limits = Limits { max_edges: 5, ..Limits::default() };
    let (_server, mut client) = start(Arc::new(line.reader()), LineStatus::default(), limits).await;
    let status = client.get_graph(all).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
}
