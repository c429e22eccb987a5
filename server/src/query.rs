//! `portolan query`: asks a running server, and prints what it says.

use std::time::Duration;

use anyhow::Context as _;
use portolan_proto::v1;
use portolan_proto::v1::topology_service_client::TopologyServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::cli::{
    CollapseArg, DirectionArg, FilterArgs, Output, QueryCommand, RangeArgs, ServerArgs,
};
use crate::output;
use crate::when::When;

mod history;

/// Edges asked for at a time: the most that the server gives.
pub const PAGE: u32 = 10_000;
/// Largest answer taken: a page of edges with long lists of hops.
const MAX_ANSWER_BYTES: usize = 256 << 20;

type Client = TopologyServiceClient<Channel>;

/// `portolan query`.
pub async fn run(command: QueryCommand) -> anyhow::Result<()> {
    match command {
        QueryCommand::Graph { range, moment, filter, server, limit } => {
            let request = v1::GetGraphRequest {
                at_unix_us: unix_us(moment.at),
                known_at_unix_us: unix_us(moment.known_at),
                ..graph_request(time_range(&range), &filter)
            };
            let response = graph(&mut connect(&server).await?, request, limit).await?;
            print_graph(server.output, &response)
        }
        QueryCommand::Traverse { start, direction, depth, range, moment, filter, server } => {
            let request = v1::TraverseRequest {
                start,
                direction: direction.into(),
                depth,
                range: time_range(&range),
                filter: Some(filter_of(&filter)),
                collapse: filter.collapse.into(),
                layers: Vec::new(),
                max_nodes: 0,
                at_unix_us: unix_us(moment.at),
                known_at_unix_us: unix_us(moment.known_at),
            };
            let mut client = connect(&server).await?;
            let response = client.traverse(request).await.map_err(explain)?.into_inner();
            print_walk(server.output, &response)
        }
        QueryCommand::Coverage { only, range, moment, collapse, limit, server } => {
            let request = v1::CoverageRequest {
                range: time_range(&range),
                collapse: collapse.into(),
                evidence: only,
                limit,
                at_unix_us: unix_us(moment.at),
                known_at_unix_us: unix_us(moment.known_at),
            };
            let mut client = connect(&server).await?;
            let response = client.coverage(request).await.map_err(explain)?.into_inner();
            print_coverage(server.output, &response)
        }
        QueryCommand::Diff(args) => history::diff(&args).await,
        QueryCommand::Changes(args) => history::changes(&args).await,
        QueryCommand::Edge(args) => history::edge(args).await,
        QueryCommand::Overlay { trace, server } => {
            let mut client = connect(&server).await?;
            let request = v1::OverlayTraceRequest { trace_id: trace };
            let response = client.overlay_trace(request).await.map_err(explain)?.into_inner();
            match server.output {
                Output::Json => output::json(&response)?,
                Output::Table => output::say(&output::overlay(&response))?,
            }
            Ok(())
        }
        QueryCommand::Search { query, kind, limit, server } => {
            let request = v1::SearchRequest { query, kinds: kind, limit };
            let mut client = connect(&server).await?;
            let response = client.search(request).await.map_err(explain)?.into_inner();
            match server.output {
                Output::Json => output::json(&response)?,
                Output::Table => {
                    output::say(&output::entities(&response.entities))?;
                    more(response.entities.len() as u64, response.total, "entities")?;
                    output::say(&output::details(&response.entities))?;
                }
            }
            Ok(())
        }
        QueryCommand::Status { server } => {
            let mut client = connect(&server).await?;
            let request = v1::GetStatusRequest {};
            let response = client.get_status(request).await.map_err(explain)?.into_inner();
            match server.output {
                Output::Json => output::json(&response)?,
                Output::Table => output::say(&output::status(&response))?,
            }
            Ok(())
        }
    }
}

async fn connect(server: &ServerArgs) -> anyhow::Result<Client> {
    let url = if server.server.contains("://") {
        server.server.clone()
    } else {
        format!("http://{}", server.server)
    };
    let endpoint = Endpoint::from_shared(url.clone())
        .with_context(|| format!("--server {url}: not an address"))?
        .connect_timeout(Duration::from_secs(3))
        .timeout(server.timeout);
    let channel = endpoint.connect().await.with_context(|| {
        format!("cannot reach {url}: is `portolan serve` or `portolan demo` running there? (--server says where)")
    })?;
    Ok(TopologyServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES))
}

/// All pages of a graph, as one response.
async fn graph(
    client: &mut Client,
    mut request: v1::GetGraphRequest,
    limit: usize,
) -> anyhow::Result<v1::GetGraphResponse> {
    request.page_size = PAGE.min(limit.max(1) as u32);
    let mut all = client.get_graph(request.clone()).await.map_err(explain)?.into_inner();
    while !all.next_page_token.is_empty() && all.edges.len() < limit {
        request.page_token = std::mem::take(&mut all.next_page_token);
        let page = client.get_graph(request.clone()).await.map_err(explain)?.into_inner();
        append(&mut all, page);
    }
    all.edges.truncate(limit);
    Ok(all)
}

/// A request for a graph.
pub fn graph_request(range: Option<v1::TimeRange>, filter: &FilterArgs) -> v1::GetGraphRequest {
    v1::GetGraphRequest {
        range,
        filter: Some(filter_of(filter)),
        collapse: filter.collapse.into(),
        layers: Vec::new(),
        page_size: PAGE,
        page_token: String::new(),
        at_unix_us: 0,
        known_at_unix_us: 0,
    }
}

/// Adds a page to the ones before.
pub fn append(all: &mut v1::GetGraphResponse, page: v1::GetGraphResponse) {
    all.edges.extend(page.edges);
    all.nodes.extend(page.nodes);
    all.nodes.sort_by(|a, b| a.id.cmp(&b.id));
    all.nodes.dedup_by(|a, b| a.id == b.id);
    all.next_page_token = page.next_page_token;
}

/// Prints a graph.
pub fn print_graph(how: Output, response: &v1::GetGraphResponse) -> anyhow::Result<()> {
    match how {
        Output::Json => output::json(response)?,
        Output::Table => {
            output::say(&output::edges(&response.edges))?;
            let total = response.total_edges + response.possible_edges;
            more(response.edges.len() as u64, total, "edges")?;
            possible(response.possible_edges, response.possible_edges_left_out)?;
            covered(response.coverage.as_ref())?;
        }
    }
    Ok(())
}

/// Says of edges that only may be how many there are.
fn possible(edges: u64, left_out: u64) -> anyhow::Result<()> {
    if edges > 0 {
        let count = output::count(edges);
        output::say(&format!("{count} edges only may be (?>): none of them is known"))?;
    }
    if left_out > 0 {
        let count = output::count(left_out);
        output::say(&format!("({count} further edges that may be are left out: too many)"))?;
    }
    Ok(())
}

fn print_walk(how: Output, response: &v1::TraverseResponse) -> anyhow::Result<()> {
    match how {
        Output::Json => output::json(response)?,
        Output::Table => {
            output::say(&output::reached(&response.nodes))?;
            output::say("")?;
            output::say(&output::edges(&response.edges))?;
            if response.truncated {
                output::say("(stopped at the most nodes: there are more)")?;
            }
            let may_be = response.edges.iter().filter(|edge| edge.possible).count() as u64;
            possible(may_be, response.possible_edges_left_out)?;
            covered(response.coverage.as_ref())?;
        }
    }
    Ok(())
}

fn print_coverage(how: Output, response: &v1::CoverageResponse) -> anyhow::Result<()> {
    match how {
        Output::Json => output::json(response)?,
        Output::Table => {
            output::say(&output::fused(&response.edges))?;
            more(response.edges.len() as u64, response.total_edges, "edges")?;
            output::say(&output::evidence(&response.counts))?;
            if response.ambiguous_services > 0 {
                let count = output::count(response.ambiguous_services);
                output::say(&format!("{count} services fit several workloads, and stand apart"))?;
            }
            covered(response.coverage.as_ref())?;
        }
    }
    Ok(())
}

fn more(shown: u64, total: u64, what: &str) -> anyhow::Result<()> {
    let shown = output::count(shown);
    let total = output::count(total);
    output::say(&format!("\n{shown} of {total} {what}"))?;
    Ok(())
}

fn covered(coverage: Option<&v1::Coverage>) -> anyhow::Result<()> {
    if let Some(coverage) = coverage {
        output::say(&output::covered(coverage))?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn explain(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("the server says {:?}: {}", status.code(), status.message())
}

/// The range of a request; none if neither end is given.
pub fn time_range(range: &RangeArgs) -> Option<v1::TimeRange> {
    if range.from.is_none() && range.to.is_none() {
        return None;
    }
    Some(v1::TimeRange { from_unix_us: unix_us(range.from), to_unix_us: unix_us(range.to) })
}

/// A moment of a request; 0 if it is not given.
fn unix_us(when: Option<When>) -> i64 {
    when.map_or(0, When::unix_us)
}

fn filter_of(filter: &FilterArgs) -> v1::Filter {
    v1::Filter {
        namespaces: filter.namespace.clone(),
        kinds: filter.kind.clone(),
        protocols: filter.protocol.clone(),
        ports: filter.port.iter().map(|p| u32::from(*p)).collect(),
        name_contains: filter.name.clone(),
        environments: filter.environment.clone(),
        owners: filter.owner.clone(),
        tiers: filter.tier.clone(),
        domains: filter.domain.clone(),
        hide_node_traffic: filter.hide_node_traffic,
        hide_unresolved: filter.hide_unresolved,
        hide_self: filter.hide_self,
        min_connections: filter.min_connections,
        min_calls: filter.min_calls,
        health: filter.health.clone(),
    }
}

impl From<CollapseArg> for i32 {
    fn from(collapse: CollapseArg) -> Self {
        let collapse = match collapse {
            CollapseArg::None => v1::Collapse::None,
            CollapseArg::L4 => v1::Collapse::L4,
            CollapseArg::Mesh => v1::Collapse::Mesh,
            CollapseArg::Proven => v1::Collapse::Proven,
            CollapseArg::ProvenAndDeclared => v1::Collapse::ProvenAndDeclared,
            CollapseArg::Possible => v1::Collapse::Possible,
        };
        collapse.into()
    }
}

impl From<DirectionArg> for i32 {
    fn from(direction: DirectionArg) -> Self {
        let direction = match direction {
            DirectionArg::Downstream => v1::TraverseDirection::Downstream,
            DirectionArg::Upstream => v1::TraverseDirection::Upstream,
            DirectionArg::Both => v1::TraverseDirection::Both,
        };
        direction.into()
    }
}
