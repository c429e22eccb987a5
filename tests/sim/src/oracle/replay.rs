//! Every epoch again: a line that nothing ever disturbed takes in exactly the offsets that each
//! commit says it covers, with the clock and the watermark that it says, and must make the same
//! commit. So whatever crash, reset or order went before it, an epoch is what it would have been.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portolan_model::{
    Barrier, Entity, EntityId, EpochCommit, FlowBatch, FlowRow, OwnerEvent, PartitionId, Reject,
    TopicPartition,
};
use portolan_pipeline::{Intake, Line, LineConfig, Restored};

use crate::broker::{Log, Payload};
use crate::world::metric::{self, Point};
use crate::world::trace::{self, Said};

/// See the module.
pub(crate) struct Replay {
    config: LineConfig,
    /// Retention may eat what is remembered: then traces go without being looked at once more, whether to keep them.
    forgets: bool,
    line: Line,
    /// What each log was read up to.
    next: BTreeMap<usize, i64>,
    /// Where reading began in logs that the store did not know.
    pub(crate) begin: BTreeMap<usize, i64>,
    named: BTreeSet<EntityId>,
    /// Every epoch that is in the store.
    history: Vec<EpochCommit>,
    epoch: u64,
}

/// Records that one epoch covers, by log.
#[derive(Default)]
struct Covered {
    batches: Vec<(usize, i64, Vec<FlowRow>)>,
    spans: Vec<(usize, i64, Vec<Said>)>,
    metrics: Vec<(usize, i64, Vec<Point>)>,
    owners: Vec<OwnerEvent>,
    rejects: Vec<(Reject, u64)>,
    accepted: u64,
}

// === impl Replay ===

impl Replay {
    pub(crate) fn new(config: &LineConfig, forgets: bool) -> Self {
        Self {
            forgets,
            config: config.clone(),
            line: Line::new(config, &Restored::default()),
            next: BTreeMap::new(),
            begin: BTreeMap::new(),
            named: BTreeSet::new(),
            history: Vec::new(),
            epoch: 0,
        }
    }

    pub(crate) fn history(&self) -> &[EpochCommit] {
        &self.history
    }

    /// The store went back to an epoch: so does this.
    pub(crate) fn roll_back(&mut self, epoch: u64, logs: &[Log]) -> Result<(), String> {
        if epoch == self.epoch {
            return Ok(());
        }
        let history = std::mem::take(&mut self.history);
        let begin = self.begin.clone();
        *self = Self::new(&self.config, self.forgets);
        self.begin = begin;
        for commit in history.into_iter().filter(|c| c.epoch <= epoch) {
            self.check(&commit, logs)?;
        }
        Ok(())
    }

    /// A commit reached the store.
    pub(crate) fn check(&mut self, commit: &EpochCommit, logs: &[Log]) -> Result<(), String> {
        let covered = self.cover(commit, logs);
        self.line.owners(covered.owners);
        for (log, first_offset, rows) in covered.batches {
            let flows = rows.into_iter().collect();
            self.line.flows(FlowBatch { partition: PartitionId(log as u32), first_offset, flows });
        }
        for (log, first_offset, spans) in covered.spans {
            self.line.spans(trace::batch(PartitionId(log as u32), first_offset, &spans));
        }
        for (log, first_offset, points) in covered.metrics {
            let batch = metric::batch(PartitionId(log as u32), first_offset, &points);
            self.line.intake(Intake::Metrics(batch));
        }
        let barrier = Barrier {
            generation: 0,
            epoch: commit.epoch,
            clock: commit.clock,
            watermark: commit.watermark,
            positions: Vec::new(),
            losses: commit.losses.clone(),
            rejects: covered.rejects,
            accepted: covered.accepted,
            rebuild: false,
            folded: commit.folded,
            tallies: Vec::new(),
        };
        let again = self.line.barrier(barrier).ok_or("an epoch without a commit")?;
        self.epoch = commit.epoch;
        self.history.push(commit.clone());
        let epoch = commit.epoch;
        let agents = |c: &EpochCommit| c.agents.as_deref().unwrap_or_default().to_vec();
        differ(&format!("edges of epoch {epoch}"), &again.edges, &commit.edges)?;
        differ(&format!("paths of epoch {epoch}"), &again.paths, &commit.paths)?;
        differ(&format!("calls of epoch {epoch}"), &again.calls, &commit.calls)?;
        differ(&format!("owners of epoch {epoch}"), &again.owners, &commit.owners)?;
        let tallies = |c: &EpochCommit| -> Vec<(Arc<str>, i64)> {
            let counts = |name: &str| !self.forgets || name != "exemplars_dropped";
            c.tallies.iter().filter(|(name, _)| counts(name)).cloned().collect()
        };
        differ(&format!("tallies of epoch {epoch}"), &tallies(&again), &tallies(commit))?;
        differ(&format!("agents of epoch {epoch}"), &agents(&again), &agents(commit))?;
        differ(&format!("health of epoch {epoch}"), &again.health, &commit.health)?;
        if !self.forgets {
            let gone = (&again.traces_gone, &commit.traces_gone);
            differ(&format!("traces of epoch {epoch}"), &again.traces, &commit.traces)?;
            differ(&format!("traces gone in epoch {epoch}"), gone.0, gone.1)?;
        }
        let ends = |c: &EpochCommit| [(c.folded, c.expire_before)];
        differ(&format!("ends of epoch {epoch}"), &ends(&again), &ends(commit))?;
        self.check_names(&again.entities, &commit.entities)
    }

    /// A restart names again what it names: so more is no harm, and less is.
    fn check_names(
        &mut self,
        again: &[(EntityId, Entity)],
        commit: &[(EntityId, Entity)],
    ) -> Result<(), String> {
        self.named.extend(commit.iter().map(|(id, _)| *id));
        match again.iter().find(|(id, _)| !self.named.contains(id)) {
            Some((_, entity)) => Err(format!("{entity} is never named")),
            None => Ok(()),
        }
    }

    /// What lies between the offsets of the last commit and those of this one.
    fn cover(&mut self, commit: &EpochCommit, logs: &[Log]) -> Covered {
        let mut covered = Covered::default();
        let mut rejects: BTreeMap<Reject, u64> = BTreeMap::new();
        for position in &commit.positions {
            let Some(at) = logs.iter().position(|l| l.name == position.partition) else { continue };
            let begin = self.begin.get(&at).copied().unwrap_or(0);
            let from = self.next.insert(at, position.next).unwrap_or(begin);
            let (mut rows, mut spans, mut points) = (Vec::new(), Vec::new(), Vec::new());
            for message in logs[at].within(from, position.next) {
                if is_lost(commit, &logs[at].name, message.offset) {
                    continue;
                }
                match &message.payload {
                    Payload::Flows(flows) => rows.extend(flows.iter().copied()),
                    Payload::Spans(said) => spans.extend(said.iter().cloned()),
                    Payload::Metrics(said) => points.extend(said.iter().cloned()),
                    Payload::Owners(events) => covered.owners.extend(events.iter().cloned()),
                    Payload::Poison(reason) => *rejects.entry(*reason).or_default() += 1,
                }
            }
            covered.accepted += (rows.len() + spans.len() + points.len()) as u64;
            covered.batches.push((at, from, rows));
            covered.spans.push((at, from, spans));
            covered.metrics.push((at, from, points));
        }
        covered.rejects = rejects.into_iter().collect();
        covered
    }
}

pub(crate) fn is_lost(commit: &EpochCommit, name: &TopicPartition, offset: i64) -> bool {
    commit.losses.iter().any(|l| l.partition == *name && (l.from..l.to).contains(&offset))
}

/// Says the first difference between what should be and what is.
pub(crate) fn differ<T: PartialEq + std::fmt::Debug>(
    what: &str,
    should: &[T],
    is: &[T],
) -> Result<(), String> {
    if should == is {
        return Ok(());
    }
    let at = should.iter().zip(is).take_while(|(a, b)| a == b).count();
    Err(format!(
        "{what}, place {at} of {} and {}:\n  should be {:?}\n  is        {:?}",
        should.len(),
        is.len(),
        should.get(at),
        is.get(at)
    ))
}
