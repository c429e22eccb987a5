//! The past, asked by gRPC of a store on disk with levels.

use std::sync::Arc;

use portolan_api::{Limits, LineStatus, StoreReader};
use portolan_model::{EdgeDelta, EpochCommit, Window, WindowLen};
use portolan_proto::v1::{self, GetGraphRequest, TraverseRequest};
use portolan_storage::{CommitEpoch, FjallStore, LevelOptions, Live, NowRange, Options};
use tonic::Code;

use crate::harness::{Client, START, Server, edge, entity, id, range, show, start};

/// A store with windows of 10 s for ten minutes, of a minute for an hour, of ten minutes for ever.
pub(crate) struct Disk {
    _dir: tempfile::TempDir,
    store: FjallStore,
    live: Arc<Live>,
    epoch: u64,
}

// === impl Disk ===

impl Disk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let level = |secs, retention_secs| LevelOptions { secs, retention_secs };
        let options = Options { levels: vec![level(60, 3_600), level(600, 0)], ..Options::small() };
        let store = FjallStore::open(&dir.path().join("store"), WindowLen::BASE, &options).unwrap();
        let live = Arc::new(Live::load(&*store.reader(), NowRange::default()).unwrap());
        Self { _dir: dir, store, live, epoch: 0 }
    }

    /// Commits an epoch whose clock and watermark are at the end of a window.
    pub(crate) fn commit(&mut self, now: u32, rows: &[(u32, &str, &str, i64)]) {
        let mut commit = EpochCommit::default();
        for (window, client, server, count) in rows {
            for name in [client, server] {
                commit.entities.push((id(name), entity(name)));
            }
            commit.edges.push(edge(Window(*window), client, server, 80, *count));
        }
        self.apply(now, commit);
    }

    pub(crate) fn apply(&mut self, now: u32, mut commit: EpochCommit) {
        self.epoch += 1;
        let end = Window(now).end(WindowLen::BASE);
        commit.epoch = self.epoch;
        (commit.clock, commit.watermark) = (end, end);
        commit.folded = Window(now.saturating_sub(60));
        commit.expire_before = Window(now.saturating_sub(600));
        commit.edges.sort_by_key(|row: &EdgeDelta| row.key);
        self.store.commit(&commit).unwrap();
        self.live.apply(&commit);
    }

    pub(crate) async fn serve(&self) -> (Server, Client) {
        let reader = StoreReader::new(self.store.reader(), self.live.clone());
        start(Arc::new(reader), LineStatus::default(), Limits::default()).await
    }
}

/// Two hours of `web -> cart`, one connection a window.
fn two_hours() -> Disk {
    let mut disk = Disk::new();
    for minute in 0..120 {
        let from = START + minute * 60;
        let row = |n: u32| (from + n * 10, "shop/web", "shop/cart", 1);
        disk.commit(from + 50, &[0, 1, 2, 3, 4, 5].map(row));
    }
    disk
}

async fn graph(client: &mut Client, from: u32, to: u32) -> v1::GetGraphResponse {
    let request = GetGraphRequest { range: range(from, to), ..Default::default() };
    client.get_graph(request).await.unwrap().into_inner()
}

fn secs(spans: &[v1::WindowSpan]) -> Vec<(u32, i64)> {
    let count = |span: &v1::WindowSpan| {
        let range = span.range.unwrap();
        let secs = (range.to_unix_us - range.from_unix_us) / 1_000_000;
        (span.window_secs, secs / i64::from(span.window_secs))
    };
    spans.iter().map(count).collect()
}

#[tokio::test]
async fn range_is_exact_where_fine_windows_are_held_and_says_what_it_covers_where_not() {
    let disk = two_hours();
    let (_server, mut client) = disk.serve().await;
    let end = START + 7_200;
    let answer = graph(&mut client, end - 300, end).await;
    assert_eq!(show(&answer.edges), ["shop/web > shop/cart:80 30"]);
    let coverage = answer.coverage.unwrap();
    assert_eq!(coverage.covered, range(end - 300, end));
    assert_eq!(coverage.open_from_unix_us, i64::from(end - 10 - 60) * 1_000_000);
    assert!(coverage.gaps.is_empty() && coverage.unreadable.is_empty());

    // An hour and a half ago only windows of ten minutes are left.
    let answer = graph(&mut client, START + 1_230, START + 1_290).await;
    assert_eq!(show(&answer.edges), ["shop/web > shop/cart:80 60"]);
    let coverage = answer.coverage.unwrap();
    assert_eq!(coverage.covered, range(START + 1_200, START + 1_800));
    assert_eq!(coverage.asked, range(START + 1_230, START + 1_290));
    assert_eq!(coverage.resolution_secs, 600);

    let answer = graph(&mut client, START, end).await;
    assert_eq!(show(&answer.edges), ["shop/web > shop/cart:80 720"]);
    let coverage = answer.coverage.unwrap();
    let windows = secs(&coverage.spans);
    assert_eq!(windows, [(600, 11), (60, 8), (10, 12)]);
}

#[tokio::test]
async fn moment_is_what_now_was_then() {
    let disk = two_hours();
    let (_server, mut client) = disk.serve().await;
    let at = START + 6_900;
    let request = GetGraphRequest { at_unix_us: micros(at), ..Default::default() };
    let answer = client.get_graph(request).await.unwrap().into_inner();
    assert_eq!(show(&answer.edges), ["shop/web > shop/cart:80 30"]);
    assert_eq!(answer.coverage.unwrap().covered, range(at - 300, at));
    let request = TraverseRequest {
        start: vec!["shop/web".into()],
        at_unix_us: micros(at),
        ..Default::default()
    };
    let answer = client.traverse(request).await.unwrap().into_inner();
    assert_eq!(answer.coverage.unwrap().covered, range(at - 300, at));
}

fn micros(secs: u32) -> i64 {
    i64::from(secs) * 1_000_000
}

#[tokio::test]
async fn what_the_map_said_then_is_without_what_came_late_and_what_it_says_now_is_with_it() {
    let mut disk = two_hours();
    let late = START + 6_300;
    disk.commit(START + 7_200, &[(late, "shop/web", "shop/late", 5)]);
    let (_server, mut client) = disk.serve().await;
    let ask = |known_at_unix_us| GetGraphRequest {
        range: range(late, late + 60),
        known_at_unix_us,
        ..Default::default()
    };
    let then = client.get_graph(ask(micros(START + 7_195))).await.unwrap().into_inner();
    assert_eq!(show(&then.edges), ["shop/web > shop/cart:80 6"]);
    assert!(then.coverage.unwrap().unknown.is_empty());
    let now = client.get_graph(ask(0)).await.unwrap().into_inner();
    assert_eq!(show(&now.edges), ["shop/web > shop/cart:80 6", "shop/web > shop/late:80 5"]);
    // A moment after the window it was not sealed yet: that is said, and nothing is guessed.
    let early = client.get_graph(ask(micros(late + 70))).await.unwrap().into_inner();
    assert_eq!(early.edges.len(), 0);
    assert_eq!(early.coverage.unwrap().unknown, [range(late, late + 60).unwrap()]);
}

#[tokio::test]
async fn what_the_map_said_in_the_middle_of_a_coarse_window_is_answered_by_the_finer_ones_of_then()
{
    let disk = two_hours();
    let (_server, mut client) = disk.serve().await;
    // Ten minutes of which, when this was asked first, the last ones were open still.
    let (from, to) = (START + 6_000, START + 6_600);
    let ask = |known: u32| GetGraphRequest {
        range: range(from, to),
        known_at_unix_us: micros(known),
        ..Default::default()
    };
    let then = client.get_graph(ask(from + 470)).await.unwrap().into_inner();
    let coverage = then.coverage.unwrap();
    let lacking: i64 = secs_of(&coverage.unknown);
    assert_eq!(show(&then.edges), [format!("shop/web > shop/cart:80 {}", (600 - lacking) / 10)]);
    assert!((60..=300).contains(&lacking), "{lacking} s of 600 were not known");
    let later = client.get_graph(ask(from + 900)).await.unwrap().into_inner();
    assert_eq!(show(&later.edges), ["shop/web > shop/cart:80 60"]);
    assert_eq!(secs(&later.coverage.unwrap().spans), [(600, 1)]);
}

fn secs_of(ranges: &[v1::TimeRange]) -> i64 {
    ranges.iter().map(|range| (range.to_unix_us - range.from_unix_us) / 1_000_000).sum()
}

#[tokio::test]
async fn times_that_make_no_sense_are_refused() {
    let disk = two_hours();
    let (_server, mut client) = disk.serve().await;
    let at = micros(START + 60);
    let cases = [
        (
            GetGraphRequest { range: range(1, 2), at_unix_us: 5, ..Default::default() },
            Code::InvalidArgument,
            "at_unix_us: give this or a range, not both",
        ),
        (
            GetGraphRequest {
                range: range(START + 60, 0),
                known_at_unix_us: at,
                ..Default::default()
            },
            Code::InvalidArgument,
            "known_at_unix_us: nothing can be known of a range before it begins",
        ),
        (
            GetGraphRequest { at_unix_us: -1, ..Default::default() },
            Code::InvalidArgument,
            "at_unix_us: times before 1970 are not kept",
        ),
        (
            GetGraphRequest { range: range(START + 8_000, 0), ..Default::default() },
            Code::OutOfRange,
            "the range begins at 2026-11-23T02:13:20Z, and the map reaches to 2026-11-23T02:00:10Z",
        ),
    ];
    for (request, code, message) in cases {
        let status = client.get_graph(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
    // The widest range there is costs no more than what is held.
    let request = GetGraphRequest {
        range: Some(v1::TimeRange { from_unix_us: 1, to_unix_us: i64::MAX }),
        ..Default::default()
    };
    let answer = client.get_graph(request).await.unwrap().into_inner();
    assert_eq!(show(&answer.edges), ["shop/web > shop/cart:80 720"]);
}
