//! The map of captured files: the same line, in process, on the memory store.
//!
//! Ownership is read first; then files of flows, spans and metrics are read side by side, always the one whose event time
//! is furthest behind, so that no file is late for another.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use portolan_model::{Barrier, Nanos, OwnerEvent, PartitionId, Reject, ScopeId, Window, WindowLen};
use portolan_pipeline::{Line, LineConfig, Restored};
use portolan_proto::{
    Captures, DEFAULT_MAX_LINE_BYTES, DEFAULT_MAX_OWNER_BYTES, Encoding, Entry, Families,
    FlowEncoding, InventoryEncoding, MAX_INVENTORY_BYTES, MetricEncoding, OwnerEncoding,
    SpanEncoding, UnknownEncoding, decode_owners, read_inventory,
};
use portolan_storage::{CommitEpoch, MemoryStore};

mod events;

use events::EventFile;

/// An epoch ends after this many records, so that a long file is folded as it goes.
const EPOCH_RECORDS: usize = 500_000;

/// A file with its encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input<E> {
    /// File; `-` is standard input.
    pub path: PathBuf,
    /// How its messages are encoded.
    pub encoding: E,
}

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// Flow files.
    pub flows: Vec<Input<FlowEncoding>>,
    /// Span files.
    pub spans: Vec<Input<SpanEncoding>>,
    /// Files of metrics.
    pub metrics: Vec<Input<MetricEncoding>>,
    /// Ownership files.
    pub owners: Vec<Input<OwnersFile>>,
    /// Scope of records that name none.
    pub scope: String,
    /// Settings of the line.
    pub line: LineConfig,
    /// The metrics that are read.
    pub families: Arc<Families>,
}

/// What was drawn.
pub struct Drawn {
    /// The rows.
    pub store: MemoryStore,
    /// Flow records, spans and points of metrics counted.
    pub accepted: u64,
    /// Ownership events taken.
    pub owners: u64,
    /// Refused records by reason, flows and ownership together.
    pub rejects: BTreeMap<Reject, u64>,
    /// What was said of the first refused ones, with file and line.
    pub refusals: Vec<String>,
}

/// How many refusals are quoted.
const QUOTED: usize = 5;

struct Draw {
    line: Line,
    drawn: Drawn,
    scope: ScopeId,
    now: Nanos,
    epoch: u64,
    since_barrier: usize,
    rejects: BTreeMap<Reject, u64>,
    accepted: u64,
}

impl Input<FlowEncoding> {
    /// From `FILE:ENCODING`.
    pub fn parse_flows(text: &str) -> anyhow::Result<Self> {
        let Some((path, word)) = text.rsplit_once(':') else {
            bail!(
                "--flows {text}: say how it is encoded: FILE:{}",
                FlowEncoding::ALL
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", FILE:")
            );
        };
        match word.parse::<Encoding>().with_context(|| format!("--flows {text}"))? {
            Encoding::Flow(encoding) => Ok(Self { path: path.into(), encoding }),
            Encoding::Owner(_) => bail!("--flows {text}: {word} is an encoding of ownership"),
            Encoding::Span(_) => bail!("--flows {text}: {word} is an encoding of spans"),
            Encoding::Metric(_) => bail!("--flows {text}: {word} is an encoding of metrics"),
            Encoding::Note(_) => bail!("--flows {text}: {word} is an encoding of notes"),
        }
    }
}

impl Input<SpanEncoding> {
    /// From `FILE:ENCODING`.
    pub fn parse_spans(text: &str) -> anyhow::Result<Self> {
        let Some((path, word)) = text.rsplit_once(':') else {
            let all: Vec<_> = SpanEncoding::ALL.iter().map(ToString::to_string).collect();
            bail!("--spans {text}: say how it is encoded: FILE:{}", all.join(", FILE:"));
        };
        let encoding = word.parse().with_context(|| format!("--spans {text}"))?;
        Ok(Self { path: path.into(), encoding })
    }
}

impl Input<MetricEncoding> {
    /// From `FILE:ENCODING`.
    pub fn parse_metrics(text: &str) -> anyhow::Result<Self> {
        let Some((path, word)) = text.rsplit_once(':') else {
            let all: Vec<_> = MetricEncoding::ALL.iter().map(ToString::to_string).collect();
            bail!("--metrics {text}: say how it is encoded: FILE:{}", all.join(", FILE:"));
        };
        let encoding = word.parse().with_context(|| format!("--metrics {text}"))?;
        Ok(Self { path: path.into(), encoding })
    }
}

/// How a file says who owns what.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum OwnersFile {
    /// Messages.
    Messages(OwnerEncoding),
    /// One inventory.
    Inventory(InventoryEncoding),
}

impl Input<OwnersFile> {
    /// From `FILE` or `FILE:ENCODING`.
    pub fn parse_owners(text: &str) -> anyhow::Result<Self> {
        let messages = |word: &str| word.parse().map(OwnersFile::Messages);
        let Some((path, word)) = text.rsplit_once(':') else {
            return Ok(Self { path: text.into(), encoding: messages("portolan-json")? });
        };
        match word.parse().map(OwnersFile::Inventory).or_else(|_| messages(word)) {
            Ok(encoding) => Ok(Self { path: path.into(), encoding }),
            // The colon may be one of its name.
            Err(_) if Path::new(text).exists() => {
                Ok(Self { path: text.into(), encoding: messages("portolan-json")? })
            }
            Err(unknown) => {
                let UnknownEncoding { word, allowed } = unknown;
                let allowed = format!("{allowed}, inventory-yaml, inventory-csv");
                let unknown = UnknownEncoding { word, allowed };
                Err(unknown).with_context(|| format!("--ownership {text}"))
            }
        }
    }
}

/// Draws the map. `progress` is told how many records were read.
pub fn draw(drawing: &Drawing, progress: &dyn Fn(u64)) -> anyhow::Result<Drawn> {
    if drawing.flows.is_empty() && drawing.spans.is_empty() && drawing.metrics.is_empty() {
        bail!(
            "nothing to draw: give at least one --flows, --spans or --metrics, each FILE:ENCODING"
        );
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as Nanos;
    let mut draw = Draw {
        line: Line::new(&drawing.line, &Restored::default()),
        drawn: Drawn {
            store: MemoryStore::new(drawing.line.window),
            accepted: 0,
            owners: 0,
            rejects: BTreeMap::new(),
            refusals: Vec::new(),
        },
        scope: ScopeId::of(&drawing.scope),
        now,
        epoch: 0,
        since_barrier: 0,
        rejects: BTreeMap::new(),
        accepted: 0,
    };
    for input in &drawing.owners {
        draw.owners(input, &drawing.scope)?;
    }
    draw.events(drawing, progress)?;
    Ok(draw.drawn)
}

impl Draw {
    fn owners(&mut self, input: &Input<OwnersFile>, scope: &str) -> anyhow::Result<()> {
        let name = input.path.display().to_string();
        let encoding = match input.encoding {
            OwnersFile::Messages(encoding) => encoding,
            OwnersFile::Inventory(encoding) => {
                return self.inventory(&name, input, encoding, scope);
            }
        };
        for captured in Captures::new(open(&input.path)?, DEFAULT_MAX_LINE_BYTES) {
            let captured = captured.with_context(|| name.clone())?;
            let (mut events, refused) =
                decode_owners(encoding, scope, self.now, DEFAULT_MAX_OWNER_BYTES, &captured.value);
            for event in &mut events {
                self.undate(event);
            }
            self.drawn.owners += events.len() as u64;
            self.line.owners(events);
            for why in refused {
                self.refuse(&name, captured.line, why.reason, &why.detail);
            }
        }
        Ok(())
    }

    /// An inventory is good as a whole or not at all.
    fn inventory(
        &mut self,
        name: &str,
        input: &Input<OwnersFile>,
        encoding: InventoryEncoding,
        scope: &str,
    ) -> anyhow::Result<()> {
        let mut file = Vec::new();
        let most = MAX_INVENTORY_BYTES as u64 + 1;
        open(&input.path)?.take(most).read_to_end(&mut file).with_context(|| name.to_owned())?;
        let entries = read_inventory(encoding, scope, self.now, &file).map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{name}: {}", faults.join("; "))
        })?;
        self.drawn.owners += entries.len() as u64;
        self.line.owners(entries.into_iter().map(Entry::into_event).collect());
        Ok(())
    }

    /// A record without times gets that of its arrival. A file has none: it has always been true.
    fn undate(&self, event: &mut OwnerEvent) {
        if let OwnerEvent::Upsert(record) = event
            && record.valid.from == self.now
        {
            record.valid.from = 0;
            record.valid.from_lo = 0;
        }
    }

    /// Reads all files, always the one that is furthest behind.
    fn events(&mut self, drawing: &Drawing, progress: &dyn Fn(u64)) -> anyhow::Result<()> {
        let mut files = EventFile::open_all(drawing)?;
        let (mut behind, mut newest) = (0, 0);
        while let Some(place) = (0..files.len()).min_by_key(|i| files[*i].reached) {
            let file = &mut files[place];
            behind = behind.max(file.reached);
            let step = file.step(PartitionId(place as u32), self.scope, self.now)?;
            newest = newest.max(file.newest);
            let name = file.name.clone();
            for (line, why) in &step.refused {
                self.refuse(&name, *line, why.reason, &why.detail);
            }
            self.accepted += step.records as u64;
            self.since_barrier += step.records;
            if let Some(intake) = step.intake {
                self.line.intake(intake);
            }
            if !step.more {
                files.swap_remove(place);
            }
            if self.since_barrier >= EPOCH_RECORDS {
                self.barrier(behind)?;
                progress(self.drawn.accepted);
            }
        }
        self.barrier(behind)?;
        if !drawing.spans.is_empty() {
            // Nothing more will come: halves need not wait for their counterparts.
            self.barrier(newest.saturating_add(drawing.line.traces.longest_wait()))?;
        }
        progress(self.drawn.accepted);
        Ok(())
    }

    fn barrier(&mut self, watermark: Nanos) -> anyhow::Result<()> {
        self.epoch += 1;
        self.since_barrier = 0;
        let accepted = std::mem::take(&mut self.accepted);
        let rejects: Vec<_> = std::mem::take(&mut self.rejects).into_iter().collect();
        let commit = self.line.barrier(Barrier {
            generation: 0,
            epoch: self.epoch,
            clock: self.now,
            watermark,
            positions: Vec::new(),
            losses: Vec::new(),
            rejects,
            accepted,
            rebuild: false,
            folded: Window::default(),
            tallies: Vec::new(),
        });
        self.drawn.accepted += accepted;
        if let Some(commit) = commit {
            self.drawn.store.commit(&commit)?;
        }
        Ok(())
    }

    fn refuse(&mut self, file: &str, line: usize, reason: Reject, detail: &str) {
        *self.rejects.entry(reason).or_default() += 1;
        *self.drawn.rejects.entry(reason).or_default() += 1;
        if self.drawn.refusals.len() < QUOTED {
            self.drawn.refusals.push(format!("{file} line {line}: {}: {detail}", reason.as_str()));
        }
    }
}

/// The line settings of a map: those that are configured, but that everything is kept, however old.
pub fn line_config(configured: LineConfig, window_secs: Option<u32>) -> anyhow::Result<LineConfig> {
    let mut line = LineConfig { retention_secs: 0, ..configured };
    if let Some(secs) = window_secs {
        let Some(window) = WindowLen::try_new(secs) else {
            bail!("--window-secs {secs}: give a number of seconds that divides a day (86400)");
        };
        line.window = window;
    }
    Ok(line)
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
}

#[cfg(test)]
mod tests;
