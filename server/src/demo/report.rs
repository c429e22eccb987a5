//! What a demo came to.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use portolan_fleet::{FoundEdge, Score, score};
use portolan_model::{Entity, EntityKind, HopClass, Proto};
use portolan_proto::v1;
use portolan_proto::v1::topology_service_server::TopologyService as _;
use serde::Serialize;
use tonic::Request;

use crate::cli::{DemoArgs, FilterArgs};
use crate::output;
use crate::query;
use crate::serve::Server;

use super::publish::Published;

/// The closing document.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Nothing was invented, missing, lost or miscounted.
    pub(super) ok: bool,
    /// Seed of the fleet.
    pub(super) seed: u64,
    /// How long it ran.
    pub(super) seconds: f64,
    /// Flow records.
    pub(super) flows: Flows,
    /// Edges against the truth.
    pub(super) edges: Edges,
    /// Connections opened, on true edges.
    pub(super) connections: Connections,
    /// Bytes of the truth that are on the wrong edge.
    pub(super) bytes: Bytes,
    /// Event to visible.
    pub(super) freshness: Freshness,
    /// Messages published and not committed.
    pub(super) lag: i64,
    /// Resets of the line.
    pub(super) restarts: u64,
    /// What is wrong with each edge that is, named; bounded.
    pub(super) wrong: Vec<String>,
}

/// Flow records.
#[derive(Debug, Serialize)]
pub(super) struct Flows {
    /// Published by the fleet.
    pub(super) sent: u64,
    /// Counted by the line.
    pub(super) counted: u64,
    /// Refused, by reason.
    pub(super) rejected: BTreeMap<String, i64>,
    /// Messages that the broker no longer had when they were wanted.
    pub(super) lost: i64,
}

/// Edges.
#[derive(Debug, Serialize)]
pub(super) struct Edges {
    #[serde(rename = "true")]
    pub(super) real: u64,
    pub(super) found: u64,
    pub(super) missing: u64,
    pub(super) invented: u64,
    pub(super) unfolded: u64,
    pub(super) miscounted: u64,
}

/// Connections opened.
#[derive(Debug, Serialize)]
pub(super) struct Connections {
    #[serde(rename = "true")]
    pub(super) real: u64,
    pub(super) found: u64,
}

/// Bytes.
#[derive(Debug, Serialize)]
pub(super) struct Bytes {
    #[serde(rename = "true")]
    pub(super) real: u64,
    pub(super) off: u64,
    pub(super) misattributed: u64,
}

/// Event to visible, in milliseconds, over the last minute.
#[derive(Debug, Serialize)]
pub(super) struct Freshness {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Asks the API for the whole map and compares it with the truth.
pub(super) async fn make(
    args: &DemoArgs,
    server: &Server,
    published: &Published,
    ran: Duration,
    caught_up: bool,
) -> anyhow::Result<Report> {
    let found: Vec<FoundEdge> = whole_map(server).await?.iter().filter_map(found).collect();
    let score = score(&published.truth, &found);
    let status = status(server).await?;
    let lag = lag(server, published);
    let rejected: BTreeMap<String, i64> = status
        .tallies
        .iter()
        .filter_map(|(name, n)| name.strip_prefix("rejected/").map(|r| (r.to_owned(), *n)))
        .collect();
    let counted = status.tallies.get("accepted").copied().unwrap_or(0).max(0) as u64;
    let lost = status.tallies.get("lost").copied().unwrap_or(0);
    let freshness = status.freshness.unwrap_or_default();
    let balanced = counted + rejected.values().sum::<i64>().max(0) as u64 == published.flows;
    let ok = caught_up
        && lost == 0
        && balanced
        && score.is_perfect()
        && server.running.ended().is_none();
    Ok(Report {
        ok,
        seed: args.seed,
        seconds: (ran.as_secs_f64() * 10.0).round() / 10.0,
        flows: Flows { sent: published.flows, counted, rejected, lost },
        connections: Connections { real: score.connections_true, found: score.connections_found },
        bytes: Bytes {
            real: score.bytes_true,
            off: score.bytes_off,
            misattributed: score.bytes_misattributed,
        },
        edges: edges(&score),
        freshness: Freshness {
            p50_ms: freshness.p50_us as f64 / 1e3,
            p99_ms: freshness.p99_us as f64 / 1e3,
        },
        lag,
        restarts: server.running.status().restarts(),
        wrong: wrong(&score),
    })
}

fn edges(score: &Score) -> Edges {
    Edges {
        real: score.edges_true,
        found: score.edges_found,
        missing: score.edges_missing,
        invented: score.edges_invented,
        unfolded: score.edges_unfolded,
        miscounted: score.edges_miscounted,
    }
}

fn wrong(score: &Score) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong.extend(score.invented.iter().map(|e| format!("invented {e}")));
    wrong.extend(score.missing.iter().map(|e| format!("missing {e}")));
    wrong.extend(score.unfolded.iter().map(|e| format!("unfolded {e}")));
    wrong.extend(score.count_errors.iter().map(|e| {
        format!("{}: {} connections, true are {}", e.edge, e.connections_found, e.connections_true)
    }));
    wrong
}

fn lag(server: &Server, published: &Published) -> i64 {
    let partitions = server.running.status().partitions();
    let behind = |(topic, partition, end): &(String, i32, i64)| {
        let at =
            partitions.iter().find(|(tp, _)| *tp.topic == **topic && tp.partition == *partition);
        end - at.map_or(0, |(_, status)| status.committed)
    };
    published.ends.iter().map(behind).sum()
}

async fn whole_map(server: &Server) -> anyhow::Result<Vec<v1::Edge>> {
    let everything = v1::TimeRange::default();
    let mut request = query::graph_request(Some(everything), &FilterArgs::default());
    let mut edges = Vec::new();
    loop {
        let page = server
            .topology
            .get_graph(Request::new(request.clone()))
            .await
            .map_err(|status| anyhow::anyhow!("{}", status.message()))?
            .into_inner();
        edges.extend(page.edges);
        if page.next_page_token.is_empty() {
            return Ok(edges);
        }
        request.page_token = page.next_page_token;
    }
}

async fn status(server: &Server) -> anyhow::Result<v1::GetStatusResponse> {
    let response = server
        .topology
        .get_status(Request::new(v1::GetStatusRequest {}))
        .await
        .map_err(|status| anyhow::anyhow!("{}", status.message()))?;
    Ok(response.into_inner())
}

fn found(edge: &v1::Edge) -> Option<FoundEdge> {
    let counters = edge.counters?;
    Some(FoundEdge {
        client: entity(edge.client.as_ref()?)?,
        server: entity(edge.server.as_ref()?)?,
        proto: Proto::parse(&edge.protocol)?,
        port: u16::try_from(edge.port).ok()?,
        connections: counters.connections,
        bytes_sent: counters.bytes_sent,
        bytes_received: counters.bytes_received,
    })
}

fn entity(entity: &v1::Entity) -> Option<Entity> {
    let kind = EntityKind::ALL.into_iter().find(|kind| {
        let class = match kind {
            EntityKind::Hop(class) => HopClass::as_str(*class),
            _ => "",
        };
        kind.as_str() == entity.kind && class == entity.hop_class
    })?;
    Some(Entity {
        environment: Arc::from(entity.environment.as_str()),
        namespace: Arc::from(entity.namespace.as_str()),
        name: Arc::from(entity.name.as_str()),
        kind,
        detail: Arc::from(entity.detail.as_str()),
    })
}

/// A line about how it goes: rewritten in place on a terminal, now and then elsewhere.
pub(super) async fn live_line(server: &Server, ran: Duration) {
    let request = v1::GetGraphRequest { page_size: 1, ..v1::GetGraphRequest::default() };
    let graph = server.topology.get_graph(Request::new(request)).await;
    let edges = graph.map_or(0, |g| g.into_inner().total_edges);
    let status = server.running.status();
    let flows = status.stages().iter().find(|s| s.name == "flow_resolver").map_or(0, |s| s.records);
    let lag: i64 = status.partitions().iter().map(|(_, p)| (p.end - p.next).max(0)).sum();
    let p99 = status.freshness().unwrap_or_default().p99;
    let line = format!(
        "{:>5} s  {} records  {} edges  visible after {:.1} s (p99)  lag {}  {}",
        ran.as_secs(),
        output::count(flows),
        output::count(edges),
        p99.as_secs_f64(),
        lag,
        crate::vitals::state(&status.state()).0.as_str(),
    );
    if std::io::stderr().is_terminal() {
        note(&format!("\r\x1b[K{line}"));
    } else if ran.as_secs().is_multiple_of(10) {
        note(&format!("{line}\n"));
    }
}

/// Writes to standard error, where progress goes.
pub(super) fn note(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{text}");
    let _ = err.flush();
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{} flow records sent, {} counted, {} refused, {} lost in {:.0} s",
            output::count(self.flows.sent),
            output::count(self.flows.counted),
            self.flows.rejected.values().sum::<i64>(),
            self.flows.lost,
            self.seconds
        )?;
        writeln!(
            f,
            "{} true edges: {} found, {} missing, {} invented, {} miscounted",
            self.edges.real,
            self.edges.found,
            self.edges.missing,
            self.edges.invented,
            self.edges.miscounted
        )?;
        writeln!(
            f,
            "visible after {:.0} ms (median), {:.0} ms (p99)",
            self.freshness.p50_ms, self.freshness.p99_ms
        )?;
        for wrong in &self.wrong {
            writeln!(f, "  {wrong}")?;
        }
        f.write_str(if self.ok { "The map is exact." } else { "The map is NOT exact." })
    }
}
