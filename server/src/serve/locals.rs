//! What does not come by Kafka: the logs beside the store, and who appends to them.

use std::sync::Arc;

use portolan_actors::{Local, Topic};
use portolan_proto::Encoding;
use portolan_receive::{Bounds, Committed, Inboxes, OTLP_TOPICS, Taken, ZIPKIN_TOPICS};
use portolan_storage::{LOCAL, LocalLimits, LocalTopics, ReadStore, local_topics};

use crate::config::Config;
use crate::inventory::{self, Inventories};

/// See the module.
#[derive(Default)]
pub(super) struct Locals {
    pub(super) local: Option<Local>,
    pub(super) inventories: Option<Inventories>,
    pub(super) inboxes: Option<Inboxes>,
    pub(super) committed: Option<Committed>,
}

/// Opens the logs of what does not come by Kafka, and reads what stands in files.
pub(super) fn locals(config: &Config, store: &dyn ReadStore) -> anyhow::Result<Locals> {
    let mut topics = Vec::new();
    if !config.inventory.is_empty() {
        topics.push(inventory::topic());
    }
    let received = received(config);
    topics.extend(received.iter().map(|&(name, encoding)| topic(name, encoding)));
    if topics.is_empty() {
        return Ok(Locals::default());
    }
    let checkpoint = store.checkpoint()?;
    let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
    let dir = local_topics(&config.store.path);
    let logs = Arc::new(LocalTopics::open(&dir, &names, LocalLimits::default(), &checkpoint)?);
    let (mut locals, mut taken) = (Locals::default(), Vec::new());
    for log in logs.all() {
        let topic = Arc::clone(log);
        let Some(&(name, encoding)) = received.iter().find(|(name, _)| *name == topic.name())
        else {
            let inventories = Inventories::start(&config.inventory, topic, store, &checkpoint)?;
            locals.inventories = Some(inventories);
            continue;
        };
        let read = checkpoint
            .positions
            .iter()
            .find(|p| &*p.partition.cluster == LOCAL && &*p.partition.topic == name);
        taken.push(Taken { topic, encoding, next: read.map_or(0, |position| position.next) });
    }
    if !taken.is_empty() {
        let bounds = Bounds { message_bytes: config.limits.max_message_bytes, ..Bounds::default() };
        let families = Arc::new(config.metrics.families().unwrap_or_default());
        let (inboxes, committed) = Inboxes::open(taken, families, bounds)?;
        (locals.inboxes, locals.committed) = (Some(inboxes), Some(committed));
    }
    locals.local = Some(Local { logs, topics });
    Ok(locals)
}

/// The topics of what senders send, by their names.
fn received(config: &Config) -> Vec<(&'static str, Encoding)> {
    let otlp = if config.receivers() == (None, None) { &[][..] } else { OTLP_TOPICS };
    let zipkin = if config.receive.zipkin.is_none() { &[][..] } else { ZIPKIN_TOPICS };
    [otlp, zipkin].concat()
}

fn topic(name: &str, encoding: Encoding) -> Topic {
    Topic {
        name: name.into(),
        encoding,
        scope: "default".into(),
        gaps_are_losses: true,
        fields: None,
    }
}
