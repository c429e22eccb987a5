//! `portolan discover`: from a watch to the ownership topic.
//!
//! A record has the key of its version, and its last record holds all of it, so that the topic may
//! be compacted. What the topic holds is read at the start: an owner that went while nobody watched
//! ends then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use portolan_actors::publish::Publisher;
use portolan_actors::recall::recall;
use portolan_discover::{Cluster, Followed, Input, Settings, Target, Told, follow};
use portolan_model::{Nanos, OwnerEvent, OwnerKey};
use portolan_proto::{DEFAULT_MAX_OWNER_BYTES, OwnerEncoding, decode_owners, encode_event};
use portolan_storage::chain;
use prost::Message as _;
use tokio::sync::mpsc;

use crate::cli::discover::KubernetesArgs;
use crate::{load, logging, output, serve};

#[cfg(test)]
mod tests;

/// How often heartbeats and what was put together are told.
const TICK: Duration = Duration::from_secs(1);
/// How long the last messages may take to be acknowledged.
const FLUSH: Duration = Duration::from_secs(30);
/// What was seen and waits to be told.
const WAITING: usize = 1_024;

/// Where records go.
enum Outlet {
    Print,
    Kafka { publisher: Publisher, topic: String },
}

/// One cluster that is followed.
struct Followers {
    settings: Settings,
    cluster: Cluster,
    followed: mpsc::Receiver<Followed>,
}

/// `portolan discover kubernetes`.
pub async fn kubernetes(args: KubernetesArgs) -> anyhow::Result<()> {
    logging::start(&crate::config::Log::default())?;
    let properties = load::properties(&args.properties)?;
    let mut clusters = Vec::new();
    let mut scopes = BTreeSet::new();
    for (context, settings) in clusters_of(&args) {
        if !scopes.insert(settings.scope.clone()) {
            bail!(
                "scope {} is there twice: an address in it would mean two things",
                settings.scope
            );
        }
        let target = Target::connect(args.kubeconfig.as_deref(), context.as_deref()).await;
        let target = target.with_context(|| format!("cluster {}", settings.environment))?;
        clusters.push((target, Cluster::new(settings.clone()), settings));
    }
    let outlet = if args.print {
        Outlet::Print
    } else {
        let publisher = Publisher::new(&args.brokers, &properties)?;
        if publisher.end_offsets(&args.topic)?.is_empty() {
            bail!("there is no topic {}: make it, best with cleanup.policy=compact", args.topic);
        }
        let brokers = args.brokers.clone();
        let topic = args.topic.clone();
        let remembered = tokio::task::spawn_blocking(move || {
            remember(&brokers, &properties, &topic, &mut clusters).map(|()| clusters)
        });
        clusters = remembered.await.context("reading the topic")??;
        Outlet::Kafka { publisher, topic: args.topic.clone() }
    };
    let outlet = Arc::new(outlet);
    let mut running = tokio::task::JoinSet::new();
    for (target, cluster, settings) in clusters {
        let owners = cluster.owners();
        tracing::info!(cluster = %settings.environment, scope = %settings.scope, owners, "following");
        let (to, followed) = mpsc::channel(WAITING);
        tokio::spawn(follow(target, to));
        running.spawn(Followers { settings, cluster, followed }.run(Arc::clone(&outlet)));
    }
    let ended = tokio::select! {
        signal = serve::interrupted() => {
            tracing::info!(signal, "stopping");
            Ok(())
        }
        ended = running.join_next() => match ended {
            Some(Ok(ended)) => ended,
            Some(Err(error)) => Err(error).context("following"),
            None => Ok(()),
        }
    };
    if let Outlet::Kafka { publisher, .. } = &*outlet {
        publisher.flush(FLUSH)?;
    }
    ended
}

/// The context of each cluster, and how it is told of.
fn clusters_of(args: &KubernetesArgs) -> Vec<(Option<String>, Settings)> {
    let keep = Nanos::try_from(args.keep.as_nanos()).unwrap_or(Nanos::MAX);
    let settings = |environment: &str, scope: Option<&str>| {
        let scope = scope.map_or_else(|| format!("cluster/{environment}/pod"), str::to_owned);
        Settings { scope: scope.into(), environment: environment.into(), keep }
    };
    if args.contexts.is_empty() {
        return vec![(None, settings(&args.name, None))];
    }
    let each = args.contexts.iter().map(|text| match text.split_once('=') {
        Some((context, scope)) => (Some(context.to_owned()), settings(context, Some(scope))),
        None => (Some(text.clone()), settings(text, None)),
    });
    each.collect()
}

/// Takes in what the topic holds of these clusters.
fn remember(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topic: &str,
    clusters: &mut [(Target, Cluster, Settings)],
) -> anyhow::Result<()> {
    let now = now();
    let mut visit = |key: &[u8], payload: Option<&[u8]>| {
        let Some(payload) = payload else { return };
        let encoding = OwnerEncoding::PortolanPb;
        let (events, _) = decode_owners(encoding, "", now, DEFAULT_MAX_OWNER_BYTES, payload);
        for event in events {
            for (_, cluster, settings) in clusters.iter_mut() {
                // Others may publish to the topic, too: what they say is theirs.
                if key_of(&settings.scope, &event).is_some_and(|own| own.as_bytes() == key) {
                    match &event {
                        OwnerEvent::Upsert(version) => cluster.recall((**version).clone()),
                        OwnerEvent::Heartbeat { watermark, .. } => cluster.recall_watch(*watermark),
                        OwnerEvent::Delete { .. } | OwnerEvent::Gap { .. } => {}
                    }
                }
            }
        }
    };
    recall(brokers, properties, topic, &mut visit)
        .with_context(|| format!("cannot read topic {topic} of Kafka at {brokers}"))
}

/// The key of a record about this scope.
fn key_of(scope: &str, event: &OwnerEvent) -> Option<String> {
    Some(match event {
        OwnerEvent::Upsert(version) if &*version.scope == scope => version_key(&version.key()),
        OwnerEvent::Heartbeat { scope: of, .. } if &**of == scope => format!("k8s-alive/{scope}"),
        OwnerEvent::Gap { scope: of, from, .. } if &**of == scope => {
            format!("k8s-gap/{scope}/{from}")
        }
        _ => return None,
    })
}

fn version_key(key: &OwnerKey) -> String {
    format!("k8s/{}/{}@{}", key.scope, key.uid, key.from)
}

// === impl Followers ===

impl Followers {
    /// Tells what is seen, until that fails.
    async fn run(mut self, outlet: Arc<Outlet>) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        loop {
            let input = tokio::select! {
                _ = tick.tick() => Input::Tick { at: now() },
                followed = self.followed.recv() => match followed {
                    Some(Followed::Input(input)) => input,
                    Some(Followed::Trouble(resource, trouble)) => {
                        let cluster = &self.settings.environment;
                        if let Some(error) = trouble {
                            let error = chain(&error);
                            tracing::warn!(%cluster, ?resource, error, "not watched");
                        } else {
                            tracing::info!(%cluster, ?resource, "watched again");
                        }
                        continue;
                    }
                    None => bail!("cluster {} is not followed any more", self.settings.environment),
                },
            };
            let is_tick = matches!(input, Input::Tick { .. });
            let told = self.cluster.see(input);
            let (out, scope) = (Arc::clone(&outlet), self.settings.scope.clone());
            // The producer blocks while too much is on its way.
            tokio::task::block_in_place(|| {
                told.into_iter().try_for_each(|told| out.put(&scope, told))
            })?;
            if is_tick {
                outlet.check()?;
            }
        }
    }
}

// === impl Outlet ===

impl Outlet {
    fn put(&self, scope: &Arc<str>, told: Told) -> anyhow::Result<()> {
        let scope = Arc::clone(scope);
        let event = match told {
            Told::Version(version) => OwnerEvent::Upsert(version),
            Told::Gap { from, to } => OwnerEvent::Gap { scope, from, to },
            Told::Heartbeat { watermark } => OwnerEvent::Heartbeat { scope, watermark },
            Told::Forget(key) => {
                if let Self::Kafka { publisher, topic } = self {
                    publisher.forget(topic, version_key(&key).as_bytes())?;
                }
                return Ok(());
            }
        };
        let record = encode_event(&event);
        match self {
            Self::Print => output::say(&serde_json::to_string(&record)?)?,
            Self::Kafka { publisher, topic } => {
                let scope = match &event {
                    OwnerEvent::Upsert(version) => &version.scope,
                    OwnerEvent::Gap { scope, .. }
                    | OwnerEvent::Heartbeat { scope, .. }
                    | OwnerEvent::Delete { scope, .. } => scope,
                };
                let key = key_of(scope, &event).unwrap_or_default();
                publisher.send(topic, None, Some(key.as_bytes()), &record.encode_to_vec())?;
            }
        }
        Ok(())
    }

    /// A record that did not arrive would be missing for ever: only a new start tells all of it again.
    fn check(&self) -> anyhow::Result<()> {
        let Self::Kafka { publisher, topic } = self else { return Ok(()) };
        let failed = publisher.deliveries().failed;
        if failed > 0 {
            let why = publisher.last_error().unwrap_or_default();
            bail!("topic {topic} did not take {failed} records ({why}); start again to tell them");
        }
        Ok(())
    }
}

fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as Nanos
}
