//! `portolan serve`: the store, the line and the servers, wired; and their end, in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use portolan_actors::{ActorsConfig, ExitReason, KafkaCluster, Running, Topic};
use portolan_api::{Limits, StoreReader, Topology};
use portolan_receive::Inboxes;
use portolan_storage::{Live, NowRange, ReadStore};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::{CheckConfigArgs, ServeArgs};
use crate::config::Config;
use crate::inventory;
use crate::vitals::Vitals;
use crate::{http, keep, logging, output};

mod locals;
mod reopen;

use locals::{Locals, locals};
use reopen::{Reopened, reopen};

/// A running server.
pub struct Server {
    /// The line.
    pub running: Running,
    /// The query service, to be asked in process.
    pub topology: Topology,
    /// Where gRPC listens.
    pub grpc: std::net::SocketAddr,
    /// Where HTTP listens.
    pub http: std::net::SocketAddr,
    /// Where OTLP over gRPC is listened for.
    pub otlp_grpc: Option<std::net::SocketAddr>,
    /// Where OTLP over HTTP is listened for.
    pub otlp_http: Option<std::net::SocketAddr>,
    /// Where Zipkin's spans are listened for.
    pub zipkin: Option<std::net::SocketAddr>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<anyhow::Result<()>>>,
}

/// `portolan check-config`.
pub fn check_config(args: &CheckConfigArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref())?;
    output::say(&config.render_masked())?;
    let wrong = inventory::check(&config.inventory);
    let Some((name, faults)) = wrong.first_key_value() else { return Ok(()) };
    let index = config.inventory.iter().position(|file| file.name == *name).unwrap_or_default();
    Err(anyhow::Error::new(crate::config::Refused {
        place: config.inventory[index].path.display().to_string(),
        key: format!("inventory[{index}].path"),
        problem: faults.join("; "),
        allowed: None,
    }))
}

/// `portolan serve`.
pub async fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref())?;
    logging::start(&config.log)?;
    let metrics = http::install_recorder()?;
    let mut server = start(&config, metrics.clone()).await?;
    let mut reopened = Reopened::default();
    loop {
        tracing::info!(grpc = %server.grpc, http = %server.http, store = %config.store.path.display(), "listening");
        let reason = tokio::select! {
            reason = server.running.wait() => reason,
            signal = interrupted() => {
                tracing::info!(signal, "stopping: committing what was read");
                server.running.stop();
                server.running.wait().await
            }
        };
        server.close().await?;
        if !matches!(reason, ExitReason::Reopen(_)) || !reopened.once_more() {
            tracing::info!(%reason, "ended");
            return finish(reason);
        }
        tracing::warn!(%reason, "opening the store anew, and going on from its last epoch");
        server = tokio::select! {
            server = reopen(&config, metrics.clone()) => server?,
            signal = interrupted() => {
                tracing::info!(signal, "stopped while the store was opened anew");
                return Ok(());
            }
        };
        metrics::counter!(portolan_actors::names::STORE_REOPENED).increment(1);
    }
}

/// The outcome of a line that ended.
pub fn finish(reason: ExitReason) -> anyhow::Result<()> {
    if reason.is_stop() {
        Ok(())
    } else {
        Err(anyhow::Error::new(reason).context("the line ended"))
    }
}

/// Waits for SIGINT or SIGTERM and names it.
pub async fn interrupted() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return "SIGINT";
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "SIGINT",
        _ = term.recv() => "SIGTERM",
    }
}

/// Opens the store, starts the line, and listens.
pub async fn start(config: &Config, metrics: PrometheusHandle) -> anyhow::Result<Server> {
    let grpc = bind("listen.grpc", config.listen.grpc).await?;
    let http_listener = bind("listen.http", config.listen.http).await?;
    let (otlp_grpc, otlp_http) = config.receivers();
    let otlp_grpc = bind_if("receive.otlp_grpc", otlp_grpc).await?;
    let otlp_http = bind_if("receive.otlp_http", otlp_http).await?;
    let zipkin = bind_if("receive.zipkin", config.receive.zipkin).await?;
    let (kept, recovery) = keep::open(config)?;
    let recovery = recovery.map(|r| keep::explain(&r)).unwrap_or_default();
    if !recovery.is_empty() {
        tracing::error!("{recovery}");
    }
    let reader: Arc<dyn ReadStore> = kept.reader();
    let range = NowRange { secs: config.line.now_range.as_secs() as u32, ..NowRange::default() };
    let live = Arc::new(Live::load(&*reader, range)?);
    let Locals { local, inventories, inboxes, committed } = locals(config, &*reader)?;
    let applied = Arc::clone(&live);
    let measured = Arc::clone(&reader);
    let mut epochs = 0_u64;
    let on_commit = Box::new(move |commit: &portolan_model::EpochCommit| {
        applied.apply(commit);
        if let Some(committed) = &committed {
            committed.epoch(commit);
        }
        epochs += 1;
        // Looking at every file is too much for every epoch.
        if epochs % 10 == 1 {
            metrics::gauge!(portolan_actors::names::STORE_BYTES).set(measured.disk_bytes() as f64);
            let history = measured.history();
            metrics::gauge!(portolan_actors::names::STORE_APART).set(history.apart().len() as f64);
            for level in history.levels() {
                let secs = level.len.secs().to_string();
                metrics::gauge!(portolan_actors::names::STORE_LEVEL_BYTES, "window_secs" => secs)
                    .set(level.disk_bytes as f64);
            }
        }
    });
    let checkpoint = kept.reader();
    let actors = ActorsConfig { local, ..actors_config(config) };
    // There from the start, so that an alert can be made on it.
    metrics::counter!(portolan_actors::names::STORE_REOPENED).increment(0);
    let snapshots = Arc::new(kept.snapshots());
    let running = portolan_actors::start(actors, Box::new(kept), checkpoint, on_commit)?;
    let vitals = Arc::new(Vitals {
        status: Arc::clone(running.status()),
        store_path: config.store.path.display().to_string(),
        recovery,
    });
    let topology =
        Topology::new(Arc::new(StoreReader::new(reader, live)), vitals, Limits::default())
            .with_snapshots(snapshots);
    let (stop, stopped) = watch::channel(false);
    let mut server = Server {
        topology: topology.clone(),
        grpc: grpc.local_addr()?,
        http: http_listener.local_addr()?,
        otlp_grpc: address(otlp_grpc.as_ref())?,
        otlp_http: address(otlp_http.as_ref())?,
        zipkin: address(zipkin.as_ref())?,
        servers: Vec::new(),
        stop,
        running,
    };
    let serving = portolan_api::serve(grpc, topology, until(stopped.clone()));
    server.servers.push(tokio::spawn(async move { serving.await.context("grpc server") }));
    if let Some(inboxes) = inboxes {
        server.servers.extend(receivers(inboxes, (otlp_grpc, otlp_http, zipkin), &stopped));
    }
    let status = Arc::clone(server.running.status());
    if let Some(inventories) = inventories {
        let following = inventories.follow(Arc::clone(&status), stopped.clone());
        server.servers.push(tokio::spawn(async move {
            following.await;
            Ok(())
        }));
    }
    server.servers.push(tokio::spawn(http::serve(http_listener, metrics, status, until(stopped))));
    Ok(server)
}

/// Done when the server is to stop.
async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the server is gone: stop as well.
    let _ = stopped.wait_for(|s| *s).await;
}

/// Serves the senders: OTLP over gRPC and over HTTP, and Zipkin.
fn receivers(
    inboxes: Inboxes,
    (otlp_grpc, otlp_http, zipkin): (Option<TcpListener>, Option<TcpListener>, Option<TcpListener>),
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<anyhow::Result<()>>> {
    let mut servers = Vec::new();
    if let Some(listener) = otlp_grpc {
        let serving =
            portolan_receive::serve_grpc(listener, inboxes.clone(), until(stopped.clone()));
        servers.push(tokio::spawn(async move { serving.await.context("otlp over grpc") }));
    }
    if let Some(listener) = otlp_http {
        let serving =
            portolan_receive::serve_http(listener, inboxes.clone(), until(stopped.clone()));
        servers.push(tokio::spawn(async move { serving.await.context("otlp over http") }));
    }
    if let Some(listener) = zipkin {
        let serving = portolan_receive::serve_zipkin(listener, inboxes, until(stopped.clone()));
        servers.push(tokio::spawn(async move { serving.await.context("zipkin") }));
    }
    servers
}

async fn bind_if(
    key: &str,
    addr: Option<std::net::SocketAddr>,
) -> anyhow::Result<Option<TcpListener>> {
    match addr {
        Some(addr) => Ok(Some(bind(key, addr).await?)),
        None => Ok(None),
    }
}

fn address(listener: Option<&TcpListener>) -> std::io::Result<Option<std::net::SocketAddr>> {
    listener.map(TcpListener::local_addr).transpose()
}

impl Server {
    /// Ends the servers: answers under way are given.
    pub async fn close(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        for server in self.servers {
            if let Ok(ended) = tokio::time::timeout(Duration::from_secs(10), server).await {
                ended.context("a server failed")??;
            } else {
                tracing::warn!("a server did not end in time");
            }
        }
        Ok(())
    }
}

async fn bind(key: &str, addr: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| {
        format!("{key} = {addr}: cannot listen there; is another portolan running? Set {key} to a free address")
    })
}

fn actors_config(config: &Config) -> ActorsConfig {
    let clusters = config.kafka.iter().map(|k| KafkaCluster {
        name: k.name.clone(),
        brokers: k.brokers.clone(),
        properties: k.properties.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        topics: k
            .topics
            .iter()
            .map(|t| Topic {
                name: t.name.clone(),
                encoding: t.encoding,
                scope: t.scope.clone(),
                gaps_are_losses: t.gaps_are_losses,
                fields: t.fields.clone(),
            })
            .collect(),
    });
    ActorsConfig {
        clusters: clusters.collect(),
        line: config.line_config(),
        commit_interval: config.line.commit_interval,
        max_epoch_records: config.line.max_epoch_records,
        max_message_bytes: config.limits.max_message_bytes,
        families: Arc::new(config.metrics.families().unwrap_or_default()),
        dead_letters: config.limits.dead_letters,
        ..ActorsConfig::default()
    }
}
