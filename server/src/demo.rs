//! `portolan demo`: everything at work in one process, against a truth that is known.
//!
//! ```text
//! fleet ─► producer ─► broker (embedded or real) ─► the line ─► store ─► API
//!   └───────── truth ─────────────────────────────────────────► score ◄──┘
//! ```

mod publish;
mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use portolan_actors::embedded::EmbeddedBroker;
use portolan_actors::publish::create_topics;
use portolan_fleet::FleetSpec;
use portolan_proto::{Encoding, FlowEncoding, OwnerEncoding};

use crate::cli::DemoArgs;
use crate::config::{Config, Kafka, Log, Topic};
use crate::serve::{self, Server};
use crate::{exit, http, logging, output};

use publish::{Crowd, Published, Topics};
use report::Report;

/// Flow partitions: the embedded broker keeps 5 MiB of each, and forgets the oldest in silence.
const PARTITIONS: i32 = 8;
/// How long the line may take to commit the last record.
const CATCH_UP: Duration = Duration::from_secs(60);

/// `portolan demo`.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    if args.publish_only {
        return publish_only(&args).await;
    }
    logging::start(&Log { level: "warn".to_owned(), ..Log::default() })?;
    let metrics = http::install_recorder()?;
    let (broker, brokers, topics) = broker(&args)?;
    let temporary = tempfile::Builder::new().prefix("portolan-demo-").tempdir()?;
    let path = args.store.clone().unwrap_or_else(|| temporary.path().join("store"));
    let config = config(&args, &brokers, &topics, broker.is_some(), path);
    let server = serve::start(&config, metrics).await?;
    say_hello(&args, &server, &brokers, broker.is_some());

    let stop = Arc::new(AtomicBool::new(false));
    let crowd = Crowd {
        spec: FleetSpec { flows_per_sec: args.rate, ..FleetSpec::demo(args.seed) },
        brokers: brokers.clone(),
        topics: topics.clone(),
        bounded: broker.is_some(),
        status: Some(Arc::clone(server.running.status())),
    };
    let told = Arc::clone(&stop);
    let publishing = tokio::task::spawn_blocking(move || crowd.publish(&told));
    let started = Instant::now();
    watch(&args, &server, started).await;
    stop.store(true, Ordering::Release);
    let published = publishing.await.context("the fleet")??;
    let caught_up = catch_up(&server, &published).await;
    let report = report::make(&args, &server, &published, started.elapsed(), caught_up).await?;
    server.running.stop();
    let reason = server.running.wait().await;
    server.close().await?;
    drop(broker);
    conclude(&args, &report)?;
    serve::finish(reason)?;
    if report.ok { Ok(()) } else { Err(exit::Silent.into()) }
}

fn conclude(args: &DemoArgs, report: &Report) -> anyhow::Result<()> {
    if args.json {
        output::json(report)?;
    } else {
        output::say(&report.to_string())?;
    }
    Ok(())
}

/// The broker to use: embedded unless one was named.
fn broker(args: &DemoArgs) -> anyhow::Result<(Option<EmbeddedBroker>, String, Topics)> {
    let Some(brokers) = &args.brokers else {
        let broker = EmbeddedBroker::start()?;
        let topics = Topics::plain(PARTITIONS);
        broker.create_topic(&topics.flows, PARTITIONS)?;
        broker.create_topic(&topics.owners, 1)?;
        let brokers = broker.brokers().to_owned();
        return Ok((Some(broker), brokers, topics));
    };
    // Topics of its own: what an earlier demo left must not be taken for this one's.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let topics = Topics {
        flows: format!("portolan-demo-{now}-flows"),
        owners: format!("portolan-demo-{now}-ownership"),
        partitions: PARTITIONS,
    };
    make_topics(brokers, &topics)?;
    Ok((None, brokers.clone(), topics))
}

fn make_topics(brokers: &str, topics: &Topics) -> anyhow::Result<()> {
    let wanted = [(topics.flows.as_str(), topics.partitions), (topics.owners.as_str(), 1)];
    create_topics(brokers, &std::collections::BTreeMap::new(), &wanted)
        .with_context(|| format!("cannot make topics at {brokers}: is Kafka running there?"))
}

fn config(
    args: &DemoArgs,
    brokers: &str,
    topics: &Topics,
    embedded: bool,
    path: std::path::PathBuf,
) -> Config {
    let topic = |name: &str, encoding: Encoding| Topic {
        name: name.to_owned(),
        encoding,
        scope: "default".to_owned(),
        gaps_are_losses: embedded,
        fields: None,
    };
    let mut config = Config::default();
    config.listen.grpc = args.grpc;
    config.listen.http = args.http;
    config.store.path = path;
    config.kafka = vec![Kafka {
        name: "demo".to_owned(),
        brokers: brokers.to_owned(),
        topics: vec![
            topic(&topics.flows, Encoding::Flow(FlowEncoding::NetobservPb)),
            topic(&topics.owners, Encoding::Owner(OwnerEncoding::PortolanPb)),
        ],
        ..Kafka::default()
    }];
    config
}

fn say_hello(args: &DemoArgs, server: &Server, brokers: &str, embedded: bool) {
    let kind = if embedded { "embedded broker" } else { "Kafka" };
    let grpc = if server.grpc.port() == 7474 && server.grpc.ip().is_loopback() {
        String::new()
    } else {
        format!(" --server http://{}", server.grpc)
    };
    let text = format!(
        "A simulated web shop calls itself; its flow records go through the {kind} at {brokers}.\n\
         Look at the map from another terminal:\n\
         \n  portolan query graph{grpc}\
         \n  portolan query traverse{grpc} shop/orders --direction both\
         \n  portolan query status{grpc}\
         \n  curl http://{}/metrics\n\
         \ngRPC listens on {} (reflection is on). {}\n",
        server.http,
        server.grpc,
        match args.run_for {
            Some(time) => format!("Running for {}.", humantime::format_duration(time)),
            None => "Stop with Ctrl-C.".to_owned(),
        }
    );
    report::note(&text);
}

/// Shows a live line until the time is over, somebody interrupts, or the line ends by itself.
async fn watch(args: &DemoArgs, server: &Server, started: Instant) {
    let ended = server.running.wait();
    let interrupted = serve::interrupted();
    let over = async {
        match args.run_for {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let showing = async {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            report::live_line(server, started.elapsed()).await;
        }
    };
    tokio::select! {
        _ = ended => {}
        _ = interrupted => {}
        () = over => {}
        () = showing => {}
    }
}

/// Waits until the line has committed everything that was published.
async fn catch_up(server: &Server, published: &Published) -> bool {
    let deadline = Instant::now() + CATCH_UP;
    let mut every = tokio::time::interval(Duration::from_millis(50));
    while Instant::now() < deadline && server.running.ended().is_none() {
        every.tick().await;
        let partitions = server.running.status().partitions();
        let behind = published.ends.iter().any(|(topic, partition, end)| {
            let at = partitions
                .iter()
                .find(|(tp, _)| *tp.topic == **topic && tp.partition == *partition);
            at.is_none_or(|(_, status)| status.committed < *end)
        });
        if !behind {
            return true;
        }
    }
    false
}

/// The fleet alone, for another Portolan to read.
async fn publish_only(args: &DemoArgs) -> anyhow::Result<()> {
    let Some(brokers) = &args.brokers else { bail!("--publish-only needs --brokers") };
    logging::start(&Log::default())?;
    let topics = Topics::plain(PARTITIONS);
    make_topics(brokers, &topics)?;
    let stop = Arc::new(AtomicBool::new(false));
    let crowd = Crowd {
        spec: FleetSpec { flows_per_sec: args.rate, ..FleetSpec::demo(args.seed) },
        brokers: brokers.clone(),
        topics,
        bounded: false,
        status: None,
    };
    let told = Arc::clone(&stop);
    let mut publishing = tokio::task::spawn_blocking(move || crowd.publish(&told));
    let over = async {
        match args.run_for {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        early = &mut publishing => { early.context("the fleet")??; return Ok(()) }
        _ = serve::interrupted() => {}
        () = over => {}
    }
    stop.store(true, Ordering::Release);
    let published = publishing.await.context("the fleet")??;
    output::say(&format!("{} flow records published", output::count(published.flows)))?;
    Ok(())
}
