//! What a seed decides before anything runs: sizes, settings, and which troubles there will be.

use std::time::Duration;

use portolan_model::{Nanos, TopicPartition, WindowLen};
use portolan_pipeline::feed::Pace;
use portolan_pipeline::{LineConfig, MetricConfig, TraceConfig};

use crate::broker::{Log, Topic};
use crate::dice::Dice;
use crate::fault::Fault;
use crate::sabotage::Sabotage;
use crate::world::{SECOND, START};

/// A bound of connections, or of spans, that is soon reached.
const FEW: usize = 30;

/// Where epochs are kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// The store in memory.
    Memory,
    /// The store on disk.
    Fjall,
}

/// See the module.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(crate) struct Scenario {
    pub(crate) clusters: usize,
    pub(crate) line: LineConfig,
    pub(crate) pace: Pace,
    pub(crate) mailbox: usize,
    pub(crate) batch_rows: usize,
    /// Event time that the fleet lives for.
    pub(crate) span: Nanos,
    pub(crate) connections: u64,
    pub(crate) traces: u64,
    /// Processes that count.
    pub(crate) processes: u64,
    pub(crate) duplicates: bool,
    pub(crate) late_records: bool,
    pub(crate) late_spans: bool,
    /// Each trace is one message in which no half waits: what retention eats of a burst, and with it of memory, then
    /// is of traces that nothing is yet to come of.
    pub(crate) whole_traces: bool,
    pub(crate) late_owners: bool,
    pub(crate) reused_addresses: bool,
    /// Offsets that hold nothing: gaps of transactions and compaction.
    pub(crate) holes: bool,
    /// Traffic comes in bursts, with silence between them longer than anything is remembered, so
    /// that retention can eat a whole burst and nothing else.
    pub(crate) bursts: Option<Bursts>,
    /// Time of a step is below this.
    pub(crate) step: Nanos,
    /// How often each kind of task is chosen, against the others.
    pub(crate) weights: Weights,
    pub(crate) faults: Vec<Fault>,
    /// What is broken on purpose.
    pub(crate) sabotage: Option<Sabotage>,
    /// Steps between two faults, on average.
    pub(crate) calm: u64,
}

/// On for a while, off for a while.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Bursts {
    pub(crate) on: Nanos,
    pub(crate) off: Nanos,
}

/// See [`Scenario::weights`].
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    pub(crate) poll: u64,
    pub(crate) source: u64,
    pub(crate) stages: [u64; 4],
    pub(crate) committer: u64,
}

// === impl Scenario ===

impl Scenario {
    pub(crate) fn draw(dice: &mut Dice, disk: Disk, sabotage: Option<Sabotage>) -> Self {
        let secs = *dice.pick(&[5, 10, 10, 20]);
        let window = WindowLen::try_new(secs).expect("these divide a day");
        let horizon_secs = *dice.pick(&[20, 30, 60]);
        let bursts = dice.one_in(4).then(|| Bursts {
            on: 20 * SECOND,
            off: (u64::from(horizon_secs) + 3 * u64::from(secs) + 10) * SECOND,
        });
        let span = match bursts {
            Some(b) => dice.between(2, 3) * (b.on + b.off) - b.off,
            None => dice.between(60, 240) * SECOND,
        };
        let connections = *dice.pick(&[20, 60, 120, 200]);
        let mut line = LineConfig {
            window,
            horizon_secs,
            retention_secs: if dice.one_in(4) { secs * 12 } else { 0 },
            max_externals: if dice.one_in(4) { 3 } else { 10_000 },
            // Retention takes memory away, and with it what a bound counts.
            max_connections: if bursts.is_none() && dice.one_in(8) { FEW } else { 2_000_000 },
            traces: traces(dice, bursts.is_some(), horizon_secs),
            metrics: MetricConfig {
                horizon_secs,
                gap_secs: *dice.pick(&[20, 300]),
                ..MetricConfig::default()
            },
            ..LineConfig::default()
        };
        let pace = Pace {
            commit_interval: Duration::from_millis(dice.between(200, 3_000)),
            idle_interval: Duration::from_secs(5),
            max_epoch_records: *dice.pick(&[20, 200, 1_000_000]),
            epochs_in_flight: dice.between(1, 3),
            partition_idle: Duration::from_secs(5),
        };
        let mut weight = || *dice.pick(&[1, 4, 10, 10, 10]);
        let weights = Weights {
            poll: 20 + weight(),
            source: 10 + weight(),
            stages: [weight(), weight(), weight(), weight()],
            committer: weight(),
        };
        let mut faults = Fault::draw(dice, disk, bursts.is_some());
        if line.max_connections == FEW || line.traces.max_spans == FEW {
            // What a window knew of one that was given up early is not read again (ADR 3).
            faults.retain(|f| f.spares_memory());
        }
        let whole_traces = bursts.is_some() && faults.contains(&Fault::Retention);
        // Under strict rules halves wait for what was never made.
        line.traces.strict &= !whole_traces;
        // What makes room for another name is told of as long as it is remembered.
        if whole_traces {
            line.traces.max_operations = TraceConfig::default().max_operations;
        }
        let may = |dice: &mut Dice| dice.one_in(2);
        Self {
            clusters: dice.between(1, 2) as usize,
            line,
            pace,
            mailbox: *dice.pick(&[1, 2, 4]),
            batch_rows: *dice.pick(&[1, 8, 64]),
            span,
            connections,
            traces: *dice.pick(&[0, 10, 40, 80]),
            processes: *dice.pick(&[0, 2, 8]),
            duplicates: may(dice),
            late_records: bursts.is_none() && may(dice),
            late_spans: bursts.is_none() && may(dice),
            whole_traces,
            late_owners: bursts.is_none() && may(dice),
            reused_addresses: bursts.is_none() && may(dice),
            holes: dice.one_in(4),
            bursts,
            step: *dice.pick(&[20, 50, 100]) * SECOND / 1_000,
            weights,
            sabotage,
            faults,
            calm: *dice.pick(&[60, 200, 600, 2_000]),
        }
    }

    /// The partitions of every cluster, empty. One may be added later.
    pub(crate) fn logs(&self, dice: &mut Dice) -> Vec<Log> {
        let mut logs = Vec::new();
        for cluster in 0..self.clusters {
            for partition in 0..dice.between(1, 3) as i32 {
                let late = partition > 0 && dice.one_in(3);
                let since = if late { START + dice.below(self.span / 2) } else { 0 };
                logs.push(log(cluster, Topic::Flows, partition, since));
            }
            for partition in 0..dice.between(1, 2) as i32 {
                let late = partition > 0 && dice.one_in(3);
                let since = if late { START + dice.below(self.span / 2) } else { 0 };
                logs.push(log(cluster, Topic::Spans, partition, since));
            }
            logs.push(log(cluster, Topic::Metrics, 0, 0));
        }
        logs.push(log(0, Topic::Owners, 0, 0));
        logs
    }

    /// Where a stay of this length may begin near `from`: whole inside a burst, if there are any.
    pub(crate) fn in_burst(&self, from: Nanos, length: Nanos) -> Option<Nanos> {
        let Some(Bursts { on, off }) = self.bursts else { return Some(from) };
        let into = (from - START) % (on + off);
        let begin = from - into;
        // What is said of it is produced within seconds, and still inside.
        let room = on.checked_sub(length + 8 * SECOND)?;
        Some(begin + into.min(room))
    }
}

/// Settings of the linker.
fn traces(dice: &mut Dice, bursts: bool, horizon_secs: u32) -> TraceConfig {
    TraceConfig {
        // Silence between bursts is longer than the horizon of flows.
        horizon_secs: if bursts { horizon_secs } else { *dice.pick(&[20, 30, 60]) },
        wait_secs: *dice.pick(&[2, 5, 10]),
        link_secs: *dice.pick(&[5, 600]),
        strict: dice.one_in(4),
        max_spans: if !bursts && dice.one_in(8) { FEW } else { 1_000_000 },
        max_operations: *dice.pick(&[1, 50, 50]),
        max_exemplars: *dice.pick(&[3, 5_000]),
        ..TraceConfig::default()
    }
}

fn log(cluster: usize, topic: Topic, partition: i32, since: Nanos) -> Log {
    let name = match topic {
        Topic::Flows => "flows",
        Topic::Owners => "owners",
        Topic::Spans => "spans",
        Topic::Metrics => "metrics",
    };
    Log {
        name: TopicPartition {
            cluster: format!("c{cluster}").as_str().into(),
            topic: name.into(),
            partition,
        },
        cluster,
        topic,
        since,
        messages: Vec::new(),
        low: 0,
        away_until: 0,
    }
}
