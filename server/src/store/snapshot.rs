//! `portolan store snapshot`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use portolan_proto::v1;
use portolan_proto::v1::topology_service_client::TopologyServiceClient;
use portolan_storage::{SnapshotStep, prepare_snapshot};
use serde::Serialize;
use tonic::transport::Endpoint;

use super::{bar, open};
use crate::cli::{Output, SnapshotArgs};
use crate::output;

/// What was made, as JSON says it.
#[derive(Debug, Serialize)]
struct Made<'a> {
    directory: &'a Path,
    epoch: u64,
    bytes: u64,
    shares_tables: bool,
}

/// `portolan store snapshot`.
pub(super) async fn run(args: SnapshotArgs) -> anyhow::Result<()> {
    // The server has another working directory.
    let to = std::path::absolute(&args.to)
        .with_context(|| format!("{}: not a path", args.to.display()))?;
    let bar = bar("{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left");
    let made = match &args.store {
        Some(store) => {
            let (store, to, bar) = (store.clone(), to.clone(), bar.clone());
            let done = tokio::task::spawn_blocking(move || at_rest(&store, &to, &bar));
            done.await.context("the copy panicked")??
        }
        None => running(&args.server, &to, &bar).await?,
    };
    bar.finish_and_clear();
    let made = Made {
        directory: &to,
        epoch: made.epoch,
        bytes: made.total_bytes,
        shares_tables: made.shared,
    };
    match args.output {
        Output::Json => output::json(&made)?,
        Output::Table => output::say(&text(&made))?,
    }
    Ok(())
}

fn text(made: &Made<'_>) -> String {
    let (bytes, to) = (output::bytes(made.bytes), made.directory.display());
    let shared = if made.shares_tables {
        "\nit shares tables with the store: copy it to another disk to be safe from this one"
    } else {
        ""
    };
    format!("snapshot of epoch {} in {to}: {bytes}{shared}", made.epoch)
}

/// Copies a store that no process has open.
fn at_rest(
    store: &Path,
    to: &Path,
    bar: &ProgressBar,
) -> anyhow::Result<v1::SnapshotStoreProgress> {
    let mut opened = open(store)?;
    prepare_snapshot(store, to)?;
    let made = opened.begin_snapshot()?.finish(to, &mut |step| match step {
        SnapshotStep::Checking => tell(bar, "checking", 0, 0),
        SnapshotStep::Moving { done, total } => tell(bar, "moving", done, total),
    })?;
    let (epoch, total_bytes, shared) = (made.epoch, made.bytes, made.shared);
    Ok(v1::SnapshotStoreProgress { epoch, total_bytes, shared, ..Default::default() })
}

/// Asks the server for one.
async fn running(
    server: &str,
    to: &Path,
    bar: &ProgressBar,
) -> anyhow::Result<v1::SnapshotStoreProgress> {
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    // No bound on the whole: a large store takes its time. The server tells how far it is.
    let endpoint = Endpoint::from_shared(url.clone())
        .with_context(|| format!("--server {url}: not an address"))?
        .connect_timeout(Duration::from_secs(3));
    let channel = endpoint.connect().await.with_context(|| {
        format!(
            "cannot reach {url}: is `portolan serve` running there? (--server says where; --store DIR copies a store at rest)"
        )
    })?;
    let directory = to.to_str().with_context(|| format!("{}: not UTF-8", to.display()))?;
    let request = v1::SnapshotStoreRequest { directory: directory.to_owned() };
    let refused = |status: tonic::Status| anyhow::anyhow!("{}", status.message());
    let mut client = TopologyServiceClient::new(channel);
    let mut steps = client.snapshot_store(request).await.map_err(refused)?.into_inner();
    while let Some(step) = steps.message().await.map_err(refused)? {
        if step.step == "done" {
            return Ok(step);
        }
        tell(bar, &step.step, step.done_bytes, step.total_bytes);
    }
    bail!("the server went away before the snapshot was done; what is in {directory} is not whole")
}

fn tell(bar: &ProgressBar, step: &str, done: u64, total: u64) {
    bar.set_message(step.to_owned());
    bar.set_length(total);
    bar.set_position(done);
}
