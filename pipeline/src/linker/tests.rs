//! Text in, text out: what spans come to.
//!
//! ```text
//! span T b<a client web 0..2 peer=app err     trace, id<parent, kind, service, start..end
//! own pod api-1 owner=api ip=10.0.1.1
//! barrier 30                                  the watermark moves to second 30
//! partition 1                                 the spans below come from partition 1, not 0
//! ```
//!
//! Ids are words; times are seconds after second 1,000,000 of the epoch, up to milliseconds. A
//! service is `name` or `namespace/name`; `-` is none. A script ends with a barrier long after.

mod bounds;
mod directory;
mod exemplars;
mod laws;
mod messaging;
mod pairing;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use portolan_model::{
    CallDelta, CallKey, CallMeasure, Entity, EntityId, EpochCommit, FlowBatch, MessagingOperation,
    Nanos, PartitionId, Position, ScopeId, SpanBatch, SpanColumns, SpanId, SpanKind, SpanRow,
    SpanStatus, TopicPartition, TraceId,
};

use crate::check::{T0, at, barrier, gone, own};
use crate::{Intake, Line, LineConfig, Restored};

/// The line, and the sum of all that it committed of calls.
pub(crate) struct Lab {
    pub(crate) line: Line,
    config: LineConfig,
    pub(crate) calls: BTreeMap<CallKey, CallDelta>,
    pub(crate) names: BTreeMap<EntityId, Entity>,
    pub(crate) commits: Vec<EpochCommit>,
    epoch: u64,
    newest: Nanos,
    /// Where the next span comes from.
    partition: usize,
    /// Every batch that was fed, by partition and offset.
    logs: [Vec<Intake>; 2],
}

/// What the script comes to, as text.
pub(crate) fn check(script: &str, expected: &expect_test::Expect) {
    let mut lab = Lab::new(&LineConfig::default());
    lab.run(script);
    expected.assert_eq(&lab.render());
}

/// The same under settings of one's own.
pub(crate) fn check_with(
    set: impl FnOnce(&mut LineConfig),
    script: &str,
    expected: &expect_test::Expect,
) {
    let mut config = LineConfig::default();
    set(&mut config);
    let mut lab = Lab::new(&config);
    lab.run(script);
    expected.assert_eq(&lab.render());
}

// === impl Lab ===

impl Lab {
    pub(crate) fn new(config: &LineConfig) -> Self {
        Self {
            line: Line::new(config, &Restored::default()),
            config: config.clone(),
            calls: BTreeMap::new(),
            names: BTreeMap::new(),
            commits: Vec::new(),
            epoch: 0,
            newest: 0,
            partition: 0,
            logs: Default::default(),
        }
    }

    /// Runs the lines of a script, and lets everything wait enough.
    pub(crate) fn run(&mut self, script: &str) {
        self.feed(script);
        self.end();
    }

    pub(crate) fn feed(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("own", rest) => self.line.owners(vec![own(rest)]),
                ("gone", rest) => self.line.owners(vec![gone(rest)]),
                ("span", rest) => self.span(rest),
                ("flow", rest) => self.flow(rest),
                ("m", rest) => crate::mapper::tests::feed(self, &[rest]),
                ("barrier", "") => self.barrier(self.newest),
                ("barrier", rest) => self.barrier(at(rest)),
                ("restart", _) => self.restart(),
                ("partition", number) => self.partition = number.parse().unwrap(),
                other => panic!("unknown line {other:?}"),
            }
        }
    }

    pub(crate) fn end(&mut self) {
        self.barrier(self.newest + 40_000_000_000);
    }

    pub(crate) fn span(&mut self, rest: &str) {
        let mut spans = SpanColumns::default();
        self.newest = self.newest.max(push(&mut spans, rest));
        let (partition, first_offset) = self.place();
        let batch = SpanBatch { partition, first_offset, scope: ScopeId::of("lab"), spans };
        self.take(Intake::Spans(batch));
    }

    /// Flows come from a partition that is never read again.
    fn flow(&mut self, rest: &str) {
        let flows = [crate::check::flow(rest)].into_iter().collect();
        self.line.flows(FlowBatch { partition: PartitionId(9), first_offset: 0, flows });
    }

    /// The partition and the offset that the next batch comes from.
    pub(crate) fn place(&self) -> (PartitionId, i64) {
        (PartitionId(self.partition as u32), self.logs[self.partition].len() as i64)
    }

    /// Feeds a batch from there.
    pub(crate) fn take(&mut self, intake: Intake) {
        self.logs[self.partition].push(intake.clone());
        self.line.intake(intake);
    }

    /// The watermark will have passed this time in the end.
    pub(crate) fn reaches(&mut self, time: Nanos) {
        self.newest = self.newest.max(time);
    }

    pub(crate) fn barrier(&mut self, watermark: Nanos) {
        self.epoch += 1;
        self.newest = self.newest.max(watermark);
        let mut barrier = barrier(self.epoch, watermark);
        barrier.positions = self.positions();
        let commit = self.line.barrier(barrier).expect("no rebuild");
        for delta in &commit.calls {
            let sum = self.calls.entry(delta.key).or_insert_with(|| CallDelta::new(delta.key));
            sum.merge(delta);
        }
        self.names.extend(commit.entities.iter().cloned());
        self.commits.push(commit);
    }

    fn positions(&self) -> Vec<(PartitionId, Position)> {
        let position = |(partition, log): (u32, &Vec<Intake>)| {
            let number = PartitionId(partition);
            let (cluster, topic) = ("k".into(), "t".into());
            let partition = TopicPartition { cluster, topic, partition: partition as i32 };
            let next = log.len() as i64;
            (number, Position { partition, next, reread: next })
        };
        (0..).zip(&self.logs).map(position).collect()
    }

    /// The process ends, and another goes on from the last commit.
    /// The traces that a store would keep.
    pub(crate) fn traces(&self) -> BTreeMap<u128, portolan_model::TraceRow> {
        let mut kept = BTreeMap::new();
        for commit in &self.commits {
            for gone in &commit.traces_gone {
                kept.remove(gone);
            }
            kept.extend(commit.traces.iter().map(|row| (row.trace, row.clone())));
        }
        kept
    }

    pub(crate) fn restart(&mut self) {
        let last = self.commits.last().expect("a commit").clone();
        let restored = Restored {
            owners: self.commits.iter().flat_map(|c| c.owners.clone()).collect(),
            folded: last.folded,
            named: self.names.values().cloned().collect(),
            strangers: self.names.values().filter_map(crate::resolver::stranger).collect(),
            watermark: last.watermark,
            traces: self.traces().into_values().collect(),
            ..Restored::default()
        };
        self.line = Line::new(&self.config, &restored);
        for (position, log) in last.positions.iter().zip(&self.logs) {
            for batch in &log[position.reread as usize..position.next as usize] {
                self.line.intake(batch.clone());
            }
        }
        let mut rebuild = barrier(self.epoch, last.watermark);
        rebuild.rebuild = true;
        rebuild.positions = self.positions();
        assert_eq!(self.line.barrier(rebuild), None, "rebuilding emits nothing");
        // What was read and not committed is read again, and counts.
        for (position, log) in last.positions.iter().zip(&self.logs) {
            for batch in &log[position.next as usize..] {
                self.line.intake(batch.clone());
            }
        }
    }

    /// Rows with something in them.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &CallDelta> {
        self.calls.values().filter(|d| !d.is_zero())
    }

    pub(crate) fn name(&self, id: EntityId) -> String {
        let Some(entity) = self.names.get(&id) else { return "?".into() };
        format!("{}:{entity}", entity.kind.as_str()).trim_start_matches("service:").into()
    }

    pub(crate) fn rows_text(&self) -> String {
        let mut rows: Vec<String> = self.rows().map(|row| self.line_of(row)).collect();
        rows.sort();
        rows.concat()
    }

    pub(crate) fn render(&self) -> String {
        let mut text = self.rows_text();
        let mut tallies: BTreeMap<String, i64> = BTreeMap::new();
        for (name, by) in self.commits.iter().flat_map(|c| &c.tallies) {
            *tallies.entry(name.to_string()).or_default() += by;
        }
        for (name, by) in tallies {
            let _ = writeln!(text, "{name}={by}");
        }
        text
    }

    fn line_of(&self, row: &CallDelta) -> String {
        let key = &row.key;
        let t = i64::from(key.window.0) - T0 as i64;
        let (client, server) = (self.name(key.client), self.name(key.server));
        let mut text =
            format!("t={t} {client} -> {server} {} {}", key.source.as_str(), key.protocol.as_str());
        if let Some(operation) = self.names.get(&key.operation) {
            let _ = write!(text, " [{operation}]");
        }
        text.push(':');
        for measure in CallMeasure::ALL {
            use CallMeasure as M;
            let (name, unit) = match measure {
                M::CallsMilli => ("calls", 1_000),
                M::ErrorsMilli => ("errors", 1_000),
                M::ClientErrorsMilli => ("client_errors", 1_000),
                M::ServerErrorsMilli => ("server_errors", 1_000),
                M::Status4xxMilli => ("4xx", 1_000),
                M::Status5xxMilli => ("5xx", 1_000),
                M::RetriesMilli => ("retries", 1_000),
                M::UnpairedClient => ("unpaired_client", 1),
                M::UnpairedServer => ("unpaired_server", 1),
                M::ClockSkew => ("skew", 1),
                M::Synthetic => ("synthetic", 1),
                M::Raw if row.counters[M::Raw] * 1_000 != row.counters[M::CallsMilli] => ("raw", 1),
                _ => continue,
            };
            let sum = row.counters[measure];
            if sum != 0 {
                let _ = write!(text, " {name}={}", sum as f64 / f64::from(unit));
            }
        }
        for (name, latency) in [("client", &row.client), ("server", &row.server), ("gap", &row.gap)]
        {
            if latency.count() != 0 {
                let secs = latency.sum_ns() as f64 / 1e9;
                let _ = write!(text, " {name}={}x{secs}s", latency.count());
            }
        }
        text.push('\n');
        text
    }
}

fn id(word: &str) -> u64 {
    word.bytes().fold(0, |id, byte| id << 8 | u64::from(byte))
}

/// Appends a span as a script writes it; its end comes back.
pub(super) fn push(spans: &mut SpanColumns, rest: &str) -> Nanos {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (own, parent) = words[1].split_once('<').unwrap_or((words[1], ""));
    let (start, end) = words[4].split_once("..").unwrap_or((words[4], words[4]));
    let mut row = SpanRow {
        trace: TraceId(id(words[0]).into()),
        span: SpanId(id(own)),
        parent: SpanId(id(parent)),
        start: at(start),
        end: at(end),
        weight_milli: 1_000,
        ..SpanRow::default()
    };
    row.kind = match words[2] {
        "client" => SpanKind::Client,
        "server" => SpanKind::Server,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        "inner" => SpanKind::Internal,
        other => panic!("kind {other:?}"),
    };
    if words[3] != "-" {
        let (namespace, name) = words[3].split_once('/').unwrap_or(("", words[3]));
        (row.namespace, row.service) = (spans.text(namespace), spans.text(name));
    }
    let mut links = Vec::new();
    for word in &words[5..] {
        match word.split_once('=').unwrap_or((word, "")) {
            ("err", _) => row.status = SpanStatus::Error,
            ("ok", _) => row.status = SpanStatus::Ok,
            ("error.type", _) => row.error = true,
            ("shared", _) => row.shared = true,
            ("synthetic", _) => row.synthetic = true,
            ("http", status) => {
                row.http = true;
                row.http_status = status.parse().unwrap_or(0);
            }
            ("grpc", status) => {
                row.rpc_system = spans.text("grpc");
                row.rpc_status = status.parse().unwrap_or(0);
            }
            ("weight", w) => row.weight_milli = w.parse().unwrap(),
            ("op", name) => row.operation = spans.text(name),
            ("peer", name) => {
                let (namespace, name) = name.split_once('/').unwrap_or(("", name));
                (row.peer_namespace, row.peer) = (spans.text(namespace), spans.text(name));
            }
            ("addr", name) => row.address = spans.text(name),
            ("port", port) => row.port = port.parse().unwrap(),
            ("net", name) => row.network = spans.text(name),
            ("netport", port) => row.network_port = port.parse().unwrap(),
            ("from", name) => row.client_address = spans.text(name),
            ("db", name) => row.db_system = spans.text(name),
            ("dbname", name) => row.db_name = spans.text(name),
            ("bus", name) => row.messaging_system = spans.text(name),
            ("topic", name) => row.destination = spans.text(name),
            ("create", _) => row.messaging = MessagingOperation::Create,
            ("send", _) => row.messaging = MessagingOperation::Send,
            ("receive", _) => row.messaging = MessagingOperation::Receive,
            ("process", _) => row.messaging = MessagingOperation::Process,
            ("settle", _) => row.messaging = MessagingOperation::Settle,
            ("link", to) => links.extend(to.split(',').map(|to| {
                let (trace, span) = to.split_once(':').unwrap();
                (TraceId(id(trace).into()), SpanId(id(span)))
            })),
            other => panic!("word {other:?}"),
        }
    }
    spans.push(&row, &links);
    row.end
}
