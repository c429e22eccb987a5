//! A server, and a store to fill.

use std::sync::Arc;

use portolan_api::{Limits, LineStatus, StoreReader, Topology, TopologyReader, serve};
use portolan_model::{
    Counters, Direction, EdgeDelta, EdgeKey, Entity, EntityId, EntityKind, EpochCommit, Evidence,
    HopClass, Layer, Measure, PathDelta, PathKey, PathKind, Proto, Window, WindowLen,
};
use portolan_proto::v1;
use portolan_proto::v1::topology_service_client::TopologyServiceClient;
use portolan_storage::{CommitEpoch, Live, MemoryStore, NowRange};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::Channel;

pub(crate) type Client = TopologyServiceClient<Channel>;

/// The first window that tests write to: 2026-11-23T00:00:00Z.
pub(crate) const START: u32 = 1_795_392_000;

/// A store, its live graph and the next epoch.
pub(crate) struct Line {
    pub(crate) store: MemoryStore,
    pub(crate) live: Arc<Live>,
    epoch: u64,
}

/// A server that goes on until it is dropped or stopped.
pub(crate) struct Server {
    pub(crate) address: String,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) done: tokio::task::JoinHandle<Result<(), portolan_api::ServeError>>,
}

/// `shop/web`, `[shop/cart]` (a service address), `{edge/lb}` (a load balancer), `@n1` (a machine).
pub(crate) fn entity(text: &str) -> Entity {
    let (kind, name) = match text.as_bytes()[0] {
        b'[' => (EntityKind::Hop(HopClass::ClusterIp), &text[1..text.len() - 1]),
        b'{' => (EntityKind::Hop(HopClass::LoadBalancer), &text[1..text.len() - 1]),
        b'@' => (EntityKind::Node, &text[1..]),
        b'?' => (EntityKind::Unresolved, &text[1..]),
        _ => (EntityKind::Workload, text),
    };
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    Entity::new(kind, namespace, name)
}

pub(crate) fn id(text: &str) -> EntityId {
    entity(text).id()
}

/// `count` connections to a port.
pub(crate) fn counters(count: i64) -> Counters {
    let mut sums = Counters::ZERO;
    sums[Measure::Flows] = 2 * count;
    sums[Measure::Connections] = count;
    sums[Measure::ConnectionsActive] = count;
    sums[Measure::BytesSent] = 100 * count;
    sums
}

// === impl Line ===

impl Line {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new(WindowLen::BASE);
        let live = Arc::new(Live::load(&store, NowRange::default()).unwrap());
        Self { store, live, epoch: 0 }
    }

    /// A shop: `web` calls `cart` through its service address and `db` through a balancer.
    pub(crate) fn shop() -> Self {
        let mut line = Self::new();
        line.commit(
            START,
            &[
                ("shop/web", "[shop/cart]", 80, 6),
                ("shop/web", "shop/cart", 8080, 4),
                ("shop/cart", "{data/lb}", 5432, 3),
                ("{data/lb}", "data/db", 5432, 3),
                ("@n1", "@n2", 6081, 9),
            ],
            &[
                (
                    PathKind::Explained,
                    Evidence::Rewrite,
                    "shop/web",
                    "[shop/cart]:80",
                    "shop/cart:8080",
                    4,
                ),
                (
                    PathKind::Moved,
                    Evidence::Declared,
                    "shop/cart",
                    "{data/lb}:5432",
                    "data/db:5432",
                    3,
                ),
                (PathKind::Leg, Evidence::Declared, "{data/lb}", ":5432", "data/db:5432", 3),
            ],
        );
        line
    }

    /// Commits an epoch with rows of one window.
    pub(crate) fn commit(
        &mut self,
        window: u32,
        edges: &[(&str, &str, u16, i64)],
        paths: &[(PathKind, Evidence, &str, &str, &str, i64)],
    ) {
        self.epoch += 1;
        let end = Window(window).end(WindowLen::BASE);
        let mut commit = EpochCommit {
            epoch: self.epoch,
            clock: end,
            watermark: end,
            folded: Window(window),
            tallies: vec![("accepted".into(), 10)],
            ..EpochCommit::default()
        };
        for (client, server, port, count) in edges {
            for name in [client, server] {
                commit.entities.push((id(name), entity(name)));
            }
            commit.edges.push(edge(Window(window), client, server, *port, *count));
        }
        for row in paths {
            commit.paths.push(path(Window(window), row));
        }
        commit.edges.sort_by_key(|row| row.key);
        commit.paths.sort_by(|a, b| a.key.cmp(&b.key));
        self.apply(&commit);
    }

    pub(crate) fn apply(&mut self, commit: &EpochCommit) {
        self.epoch = commit.epoch;
        self.store.commit(commit).unwrap();
        self.live.apply(commit);
    }

    pub(crate) fn reader(&self) -> StoreReader {
        StoreReader::new(Arc::new(self.store.clone()), self.live.clone())
    }

    pub(crate) async fn serve(&self) -> (Server, Client) {
        start(Arc::new(self.reader()), LineStatus::default(), Limits::default()).await
    }
}

pub(crate) fn edge(window: Window, client: &str, server: &str, port: u16, count: i64) -> EdgeDelta {
    let key = EdgeKey {
        window,
        layer: Layer::Network,
        client: id(client),
        server: id(server),
        proto: Proto::TCP,
        port,
        direction: Direction::Known,
    };
    let (first_ns, last_ns) = (window.start() + 1_000, window.start() + 2_000_000);
    EdgeDelta { key, counters: counters(count), first_ns, last_ns }
}

pub(crate) fn path(window: Window, row: &(PathKind, Evidence, &str, &str, &str, i64)) -> PathDelta {
    let (kind, evidence, client, hop, server, count) = row;
    let (hop, front_port) = hop.split_once(':').unwrap();
    let (server, port) = server.split_once(':').unwrap();
    let key = PathKey {
        window,
        layer: Layer::Network,
        client: id(client),
        server: id(server),
        proto: Proto::TCP,
        front_port: front_port.parse().unwrap(),
        port: port.parse().unwrap(),
        via: if hop.is_empty() { vec![] } else { vec![id(hop)] }.into(),
        kind: *kind,
        evidence: *evidence,
    };
    let (first_ns, last_ns) = (window.start() + 1_000, window.start() + 2_000_000);
    PathDelta { key, counters: counters(*count), first_ns, last_ns }
}

pub(crate) async fn start(
    reader: Arc<dyn TopologyReader>,
    status: LineStatus,
    limits: Limits,
) -> (Server, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel();
    let topology = Topology::new(reader, Arc::new(status), limits);
    let done = tokio::spawn(async move {
        let stopped = async {
            // Dropped or sent: both mean stop.
            let _ = stopped.await;
        };
        serve(listener, topology, stopped).await
    });
    let client = Client::connect(format!("http://{address}")).await.unwrap();
    (Server { address, stop: Some(stop), done }, client)
}

// === impl Server ===

impl Server {
    pub(crate) fn stop(&mut self) {
        self.stop.take();
    }
}

/// Edges as `client > server:port count via hop`, in the order of the answer.
pub(crate) fn show(edges: &[v1::Edge]) -> Vec<String> {
    edges.iter().map(show_edge).collect()
}

fn show_edge(edge: &v1::Edge) -> String {
    let name = |entity: &Option<v1::Entity>| {
        let entity = entity.as_ref().unwrap();
        let full = match entity.namespace.as_str() {
            "" => entity.name.clone(),
            namespace => format!("{namespace}/{}", entity.name),
        };
        if entity.kind == "hop" { format!("[{full}]") } else { full }
    };
    let count = edge.counters.map_or(0, |counters| counters.connections);
    let mut text = format!("{} > {}:{} {count}", name(&edge.client), name(&edge.server), edge.port);
    for hop in &edge.via {
        text = format!("{text} via {} {}", name(&hop.entity), hop.evidence);
    }
    if edge.residual {
        text += " residual";
    }
    text
}

#[expect(clippy::unnecessary_wraps, reason = "requests and answers have it so")]
pub(crate) fn range(from_secs: u32, to_secs: u32) -> Option<v1::TimeRange> {
    let micros = |secs: u32| i64::from(secs) * 1_000_000;
    Some(v1::TimeRange { from_unix_us: micros(from_secs), to_unix_us: micros(to_secs) })
}
