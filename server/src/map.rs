//! `portolan map`: the map of captured files, drawn by the same line and shown by the same service.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use portolan_api::{Limits, LineStatus, StoreReader, Topology};
use portolan_proto::v1;
use portolan_proto::v1::topology_service_server::TopologyService as _;
use portolan_storage::{Live, NowRange};
use tonic::Request;

use crate::cli::MapArgs;
use crate::config::Config;
use crate::mapping::{self, Drawing, Drawn, Input};
use crate::{output, query};

/// `portolan map`.
pub async fn run(args: MapArgs) -> anyhow::Result<()> {
    let config = args.config.as_deref().map(|path| Config::load(Some(path))).transpose()?;
    let config = config.unwrap_or_default();
    let drawing = Drawing {
        flows: args.flows.iter().map(|t| Input::parse_flows(t)).collect::<Result<_, _>>()?,
        spans: args.spans.iter().map(|t| Input::parse_spans(t)).collect::<Result<_, _>>()?,
        metrics: args.metrics.iter().map(|t| Input::parse_metrics(t)).collect::<Result<_, _>>()?,
        owners: args.ownership.iter().map(|t| Input::parse_owners(t)).collect::<Result<_, _>>()?,
        scope: args.scope.clone(),
        line: mapping::line_config(config.line_config(), args.window_secs)?,
        families: Arc::new(config.metrics.families().unwrap_or_default()),
    };
    let drawn = tokio::task::spawn_blocking(move || {
        let bar = progress();
        let drawn = mapping::draw(&drawing, &|records| bar.set_position(records));
        bar.finish_and_clear();
        drawn
    })
    .await
    .context("drawing")??;
    let summary = summary(&drawn);
    let response = ask(drawn, &args).await?;
    query::print_graph(args.output, &response)?;
    note(&summary);
    Ok(())
}

/// What was read and refused belongs beside the map, not into it.
fn note(text: &str) {
    use std::io::Write as _;
    let _ = write!(std::io::stderr(), "{text}");
}

fn summary(drawn: &Drawn) -> String {
    let mut text = format!(
        "{} flow records, spans and points of metrics, {} ownership records\n",
        output::count(drawn.accepted),
        output::count(drawn.owners)
    );
    for (reason, count) in &drawn.rejects {
        let _ = writeln!(text, "refused {}: {}", reason.as_str(), output::count(*count));
    }
    for refusal in &drawn.refusals {
        let _ = writeln!(text, "  {refusal}");
    }
    text
}

/// All pages of the drawn map.
pub async fn ask(drawn: Drawn, args: &MapArgs) -> anyhow::Result<v1::GetGraphResponse> {
    let live = Live::load(&drawn.store, NowRange::default())?;
    // One process, one query, all of the input: what protects a server would only be in the way.
    let limits =
        Limits { deadline: Duration::from_secs(3_600), max_edges: usize::MAX, ..Limits::default() };
    let reader = StoreReader::new(Arc::new(drawn.store), Arc::new(live));
    let topology = Topology::new(Arc::new(reader), Arc::new(LineStatus::default()), limits);
    let everything = v1::TimeRange::default();
    let range = query::time_range(&args.range).unwrap_or(everything);
    let mut request = query::graph_request(Some(range), &args.filter);
    let mut all: Option<v1::GetGraphResponse> = None;
    loop {
        let page = topology
            .get_graph(Request::new(request.clone()))
            .await
            .map_err(|status| anyhow::anyhow!("{}", status.message()))?
            .into_inner();
        request.page_token.clone_from(&page.next_page_token);
        match &mut all {
            Some(all) => query::append(all, page),
            None => all = Some(page),
        }
        if request.page_token.is_empty() {
            return Ok(all.unwrap_or_default());
        }
    }
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} records, {per_sec}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
