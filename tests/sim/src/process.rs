//! One life of the process: its supervisor, and one generation of the line after the other.

use std::collections::BTreeMap;

use portolan_model::Window;
use portolan_pipeline::feed::{Now, Resume, Sluice};

use crate::broker::Log;
use crate::committer::Committer;
use crate::line::Stages;
use crate::sabotage::Sabotage;
use crate::scenario::Scenario;
use crate::source::Source;
use crate::store::Store;

/// See the module.
pub(crate) struct Process {
    /// The generation in force; what an earlier one does is void.
    pub(crate) force: u64,
    pub(crate) generation: Option<Generation>,
    pub(crate) committer: Committer,
}

/// The parts that are built anew together.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) sluice: Sluice,
    pub(crate) stages: Stages,
    pub(crate) sources: Vec<Source>,
}

// === impl Process ===

impl Process {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            force: 0,
            generation: None,
            committer: Committer::new(scenario.mailbox, scenario.sabotage),
        }
    }

    /// Something failed: from here on the generation is fenced off.
    pub(crate) fn fence(&mut self) {
        self.force += 1;
    }

    /// Whether a generation is in force.
    pub(crate) fn in_force(&self) -> bool {
        self.generation.as_ref().is_some_and(|g| g.number == self.force)
    }

    /// Builds the next generation from where the store stands.
    pub(crate) fn begin(
        &mut self,
        scenario: &Scenario,
        logs: &[Log],
        store: &Store,
        now: Now,
    ) -> Result<(), portolan_storage::Error> {
        let is = |sabotage| scenario.sabotage == Some(sabotage);
        let mut checkpoint = store.checkpoint()?;
        let owners = if is(Sabotage::NoOwners) { Vec::new() } else { store.owners()? };
        if is(Sabotage::NoReread) {
            checkpoint.positions.iter_mut().for_each(|p| p.reread = p.next);
        }
        if is(Sabotage::NoFolded) {
            checkpoint.folded = Window(0);
        }
        self.force += 1;
        let number = self.force;
        let mut restored = store.restored(&scenario.line, &checkpoint)?;
        restored.owners = owners;
        if is(Sabotage::NoStrangers) {
            restored.strangers.clear();
        }
        if is(Sabotage::NoAgents) {
            restored.agents.clear();
        }
        if is(Sabotage::NoNames) {
            restored.named.clear();
        }
        if is(Sabotage::NoTraces) {
            restored.traces.clear();
        }
        let resume = Resume {
            epoch: checkpoint.epoch,
            clock: checkpoint.clock,
            watermark: checkpoint.watermark,
            folded: checkpoint.folded,
            positions: checkpoint.positions.clone(),
        };
        let sources = (0..scenario.clusters).map(|cluster| {
            let mut stored = BTreeMap::new();
            for position in &checkpoint.positions {
                let log = logs.iter().position(|l| l.name == position.partition);
                if let Some(at) = log.filter(|at| logs[*at].cluster == cluster) {
                    stored.insert(at, position.clone());
                }
            }
            Source::new(stored, scenario.batch_rows, !scenario.holes, scenario.sabotage)
        });
        self.generation = Some(Generation {
            number,
            sluice: Sluice::new(number, scenario.pace, &resume, scenario.clusters, now),
            stages: Stages::new(number, &scenario.line, &restored, scenario.mailbox)
                .without_bound(is(Sabotage::NoBound)),
            sources: sources.collect(),
        });
        self.committer.generation = Some(number);
        Ok(())
    }
}
