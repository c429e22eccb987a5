//! Inventory files of a running server: read at the start and whenever they change, into the local
//! topic `inventory`.
//!
//! A version that does not read changes nothing: the one before stays, and the status says why. A
//! file is read once it has been still for a look, so that one that is being written is not taken
//! for one that lost its owners.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use portolan_actors::{Status, Topic};
use portolan_model::{Nanos, OwnerEvent};
use portolan_proto::{
    Encoding, Inventory, MAX_INVENTORY_BYTES, OwnerEncoding, When, decode_owners, encode_event,
    read_inventory,
};
use portolan_storage::{Checkpoint, LOCAL, LocalTopic, ReadStore, chain};
use prost::Message as _;
use tokio::sync::watch;

use crate::config::InventoryFile;

#[cfg(test)]
mod tests;

/// The local topic.
pub const TOPIC: &str = "inventory";

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Bytes read of the log at a time.
const READ_BYTES: usize = 1 << 20;

/// Files that are followed.
pub struct Inventories {
    files: Vec<File>,
    log: Arc<LocalTopic>,
}

struct File {
    settings: InventoryFile,
    known: Inventory,
    /// What the file looked like when it was read last.
    read: Option<Look>,
    /// And at the last look.
    seen: Option<Look>,
    /// What is wrong with what was read last.
    fault: Option<String>,
    /// Why it cannot be looked at, or taken, for now.
    trouble: Option<String>,
}

/// Enough of a file to see that it changed.
type Look = (Option<SystemTime>, u64);

/// The settings of the local topic.
pub fn topic() -> Topic {
    Topic {
        name: TOPIC.into(),
        encoding: Encoding::Owner(OwnerEncoding::PortolanPb),
        // Every record names its own.
        scope: String::new(),
        gaps_are_losses: true,
        fields: None,
    }
}

// === impl Inventories ===

impl Inventories {
    /// Takes in what the store and the log know, reads every file, and appends what is new.
    pub fn start(
        settings: &[InventoryFile],
        log: Arc<LocalTopic>,
        store: &dyn ReadStore,
        checkpoint: &Checkpoint,
    ) -> anyhow::Result<Self> {
        let files = settings.iter().map(|settings| File {
            settings: settings.clone(),
            known: Inventory::new(&settings.name),
            read: None,
            seen: None,
            fault: None,
            trouble: None,
        });
        let mut inventories = Self { files: files.collect(), log };
        store.owners(&mut |owner| inventories.recall(&OwnerEvent::Upsert(Box::new(owner))))?;
        let positions = checkpoint.positions.iter().map(|p| (&p.partition, p.next));
        let mut ours = positions.filter(|(p, _)| &*p.cluster == LOCAL && &*p.topic == TOPIC);
        inventories.recall_log(ours.next().map_or(0, |(_, next)| next))?;
        for at in 0..inventories.files.len() {
            inventories.read(at);
        }
        Ok(inventories)
    }

    /// Looks at the files until `stopped`, on a thread of its own.
    pub async fn follow(mut self, status: Arc<Status>, mut stopped: watch::Receiver<bool>) {
        loop {
            self.tell(&status);
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(looked) => self = looked,
                Err(error) => {
                    status.set_trouble("inventory", Some(format!("no longer followed: {error}")));
                    return;
                }
            }
        }
    }

    /// Takes in what is in the log and not in the store yet.
    fn recall_log(&mut self, mut next: i64) -> anyhow::Result<()> {
        loop {
            let read = self.log.read(next, READ_BYTES).context("local topic inventory")?;
            if read.records.is_empty() {
                return Ok(());
            }
            next = read.next;
            for record in read.records {
                let most = record.payload.len();
                let payload = &record.payload;
                let encoding = OwnerEncoding::PortolanPb;
                let (events, _) = decode_owners(encoding, "", record.stamp, most, payload);
                for event in &events {
                    self.recall(event);
                }
            }
        }
    }

    fn recall(&mut self, event: &OwnerEvent) {
        self.files.iter_mut().for_each(|file| file.known.recall(event));
    }

    /// Reads the files that changed and have been still since the last look.
    pub(crate) fn look(&mut self) {
        for at in 0..self.files.len() {
            let file = &mut self.files[at];
            match look_at(&file.settings.path) {
                Ok(look) if file.read == Some(look) => file.trouble = None,
                Ok(look) if file.seen != Some(look) => file.seen = Some(look),
                Ok(_) => self.read(at),
                Err(error) => file.trouble = Some(error.to_string()),
            }
        }
    }

    /// Reads a file, and appends what is new in it.
    fn read(&mut self, at: usize) {
        let Self { files, log } = self;
        let file = &mut files[at];
        (file.fault, file.trouble) = (None, None);
        match file.take(log) {
            Ok(look) => file.read = Some(look),
            // One that is no good is not read again before it changes.
            Err(Unread { look: Some(look), why }) => {
                file.read = Some(look);
                file.fault = Some(why);
            }
            Err(Unread { look: None, why }) => file.trouble = Some(why),
        }
    }

    fn tell(&self, status: &Status) {
        for file in &self.files {
            let source = format!("inventory {}", file.settings.name);
            status.set_trouble(&source, file.trouble.clone().or_else(|| file.fault.clone()));
        }
    }
}

/// A version that was not taken.
struct Unread {
    /// What the file looked like, if it is the file's fault.
    look: Option<Look>,
    why: String,
}

// === impl File ===

impl File {
    fn take(&mut self, log: &LocalTopic) -> Result<Look, Unread> {
        let path = &self.settings.path;
        let unread = |error: std::io::Error| Unread { look: None, why: error.to_string() };
        let look = look_at(path).map_err(unread)?;
        let bad = |why: String| Unread { look: Some(look), why };
        if look.1 > MAX_INVENTORY_BYTES as u64 {
            return Err(bad(format!("{} bytes, at most {MAX_INVENTORY_BYTES}", look.1)));
        }
        let bytes = std::fs::read(path).map_err(unread)?;
        let now = now();
        let encoding = self.settings.encoding().expect("settings were checked at the start");
        let entries = read_inventory(encoding, &self.settings.scope, now, &bytes);
        let entries = entries.map_err(|faults| {
            let more = faults.len() - 1;
            let rest = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            let kept = self.known.len();
            bad(format!("{}{rest}; its {kept} owners stay as they were", faults[0]))
        })?;
        let changed = look.0.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let changed = changed.map_or(now, |since| since.as_nanos() as Nanos);
        let mut known = self.known.clone();
        let events = known.revise(entries, When { changed, read: now });
        append(log, now, &events).map_err(|why| Unread { look: None, why })?;
        self.known = known;
        let name = &self.settings.name;
        tracing::info!(inventory = name, owners = self.known.len(), changes = events.len(), "read");
        Ok(look)
    }
}

fn append(log: &LocalTopic, now: Nanos, events: &[OwnerEvent]) -> Result<(), String> {
    let messages: Vec<_> = events.iter().map(|e| encode_event(e).encode_to_vec()).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    if messages.is_empty() {
        return Ok(());
    }
    log.append(now, &messages).map(drop).map_err(|error| chain(&error))
}

fn look_at(path: &Path) -> std::io::Result<Look> {
    let file = std::fs::metadata(path)?;
    Ok((file.modified().ok(), file.len()))
}

fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as Nanos
}

/// What is wrong with the files of a configuration, for `check-config`: by their names.
pub fn check(settings: &[InventoryFile]) -> BTreeMap<String, Vec<String>> {
    let mut wrong = BTreeMap::new();
    for file in settings {
        let Some(encoding) = file.encoding() else { continue };
        let faults = match std::fs::read(&file.path) {
            Ok(bytes) => read_inventory(encoding, &file.scope, now(), &bytes)
                .err()
                .map(|faults| faults.iter().map(ToString::to_string).collect()),
            Err(error) => Some(vec![error.to_string()]),
        };
        wrong.extend(faults.map(|faults| (file.name.clone(), faults)));
    }
    wrong
}
