//! The scheduler: chooses what happens next, lets time pass, and lets things go wrong. One thread,
//! and every choice is the seed's.

use std::time::Duration;

use portolan_model::{EpochCommit, Nanos, Standing, Window};
use portolan_pipeline::feed::{Now, Phase};
use portolan_storage::Error;

use crate::broker::{Log, survey};
use crate::committer::{Committed, Written};
use crate::dice::Dice;
use crate::fault::{self, Fault, Part};
use crate::line::{NAMES, Position, Turn};
use crate::oracle::replay::{Replay, differ};
use crate::oracle::{self, calls, fold, metrics};
use crate::process::Process;
use crate::sabotage::Sabotage;
use crate::scenario::{Disk, Scenario};
use crate::source::Around;
use crate::store::Store;
use crate::world::trace::OPERATIONS;
use crate::world::{self, Fleet, SECOND, START};
use crate::{Law, Outcome, Violation};

mod trouble;

use trouble::Troubles;

/// More than any run that ends at all takes.
const STEPS: u64 = 400_000;
/// A look at the cluster is this old at most.
const SURVEY: Nanos = SECOND;
/// How often commits are handed to the disk.
const SYNC: Nanos = 3 * SECOND;

/// See the module.
pub(crate) struct Sim {
    scenario: Scenario,
    dice: Dice,
    fleet: Fleet,
    logs: Vec<Log>,
    store: Store,
    standing: Standing,
    replay: Replay,
    process: Process,
    troubles: Troubles,
    /// Real time.
    time: Nanos,
    /// What the wall clock is off by.
    skew: i64,
    surveyed: Nanos,
    synced: Nanos,
    step: u64,
    outcome: Outcome,
    /// The story, where somebody listens.
    story: Option<Vec<String>>,
}

// === impl Sim ===

impl Sim {
    pub(crate) fn new(
        seed: u64,
        disk: Disk,
        tells: bool,
        sabotage: Option<Sabotage>,
    ) -> Result<Self, Violation> {
        let mut dice = Dice::new(seed);
        let scenario = Scenario::draw(&mut dice.fork(), disk, sabotage);
        let mut logs = scenario.logs(&mut dice.fork());
        let fleet = world::fill(&scenario, &mut logs, &mut dice.fork());
        let store = Store::new(disk, scenario.line.window).map_err(|e| broken(&e))?;
        let mut sim = Self {
            replay: Replay::new(&scenario.line, scenario.whole_traces),
            process: Process::new(&scenario),
            troubles: Troubles::new(&scenario, &mut dice),
            dice,
            fleet,
            logs,
            store,
            standing: Standing::default(),
            time: START + SECOND,
            skew: 0,
            surveyed: 0,
            synced: 0,
            step: 0,
            outcome: Outcome::default(),
            story: tells.then(Vec::new),
            scenario,
        };
        let scenario = format!("{:?}", sim.scenario);
        sim.tell(|| scenario);
        Ok(sim)
    }

    /// Runs to the end, and holds what came of it against the truth. The story comes back.
    pub(crate) fn run(mut self) -> (Result<Outcome, Violation>, Vec<String>) {
        let outcome = self.play();
        let story = self.story.take().unwrap_or_default();
        (outcome.map(|()| self.outcome), story)
    }

    fn play(&mut self) -> Result<(), Violation> {
        self.start()?;
        while !self.is_done() {
            if self.step >= STEPS {
                let state =
                    self.process.generation.as_ref().map(|g| (g.sluice.phase(), g.sluice.left()));
                return Err(
                    Law::GoesOn.broken(format!("not at the end after {STEPS} steps: {state:?}"))
                );
            }
            self.turn()?;
        }
        self.finish()
    }

    /// One step: something goes wrong, or some part gets its turn.
    fn turn(&mut self) -> Result<(), Violation> {
        self.step += 1;
        self.outcome.steps += 1;
        self.time += self.dice.below(self.scenario.step);
        if self.time < self.end()
            && let Some(fault) = self.troubles.due(self.step)
        {
            self.hurt(fault)?;
        }
        self.troubles.pass(self.step, self.time, &mut self.skew);
        if self.process.generation.is_none() || !self.process.in_force() {
            // The supervisor is told some time after the failure; meanwhile the rest goes on.
            if self.process.generation.is_none() || self.dice.one_in(20) {
                return self.begin();
            }
        }
        self.part()
    }

    /// Some part gets its turn.
    fn part(&mut self) -> Result<(), Violation> {
        let w = self.scenario.weights.clone();
        let sources = w.poll + w.source;
        let stages: u64 = w.stages.iter().sum();
        let at = self.dice.below(sources + stages + w.committer);
        if at < sources {
            self.source(at < w.poll);
            Ok(())
        } else if at < sources + stages {
            let mut rest = at - sources;
            let mut stage = 0;
            while rest >= w.stages[stage] {
                rest -= w.stages[stage];
                stage += 1;
            }
            self.stage(stage)
        } else {
            self.committer()
        }
    }

    fn source(&mut self, poll: bool) {
        let now = self.now();
        let time = self.time;
        let looks = time >= self.surveyed + SURVEY;
        let in_force = self.process.in_force();
        let Some(generation) = &mut self.process.generation else { return };
        if !in_force {
            generation.sluice.close();
        }
        let which = self.dice.below(generation.sources.len() as u64) as usize;
        if looks {
            self.surveyed = time;
            for (cluster, source) in generation.sources.iter_mut().enumerate() {
                source.show(survey(&self.logs, cluster, time));
            }
        }
        let before = generation.sluice.phase();
        let source = &mut generation.sources[which];
        let outlet = &mut generation.stages.inlet();
        let sluice = &mut generation.sluice;
        let mut around = Around { logs: &self.logs, sluice, outlet, now, time };
        if poll {
            source.poll(&mut self.dice, &mut around);
            source.hand_over(&mut around);
        } else {
            source.hand_over(&mut around);
            source.look(&mut self.dice, &mut around);
        }
        for (log, low) in source.met.drain(..) {
            self.replay.begin.insert(log, low);
        }
        let after = generation.sluice.phase();
        if after != before {
            self.tell(|| format!("phase {after:?}"));
        }
    }

    fn stage(&mut self, at: usize) -> Result<(), Violation> {
        if self.troubles.stalls(Part::Stage(at), self.step) {
            return Ok(());
        }
        let in_force = self.process.in_force();
        let fails = self.troubles.panics(at).filter(|_| in_force);
        let Some(generation) = &mut self.process.generation else { return Ok(()) };
        let commits = &mut self.process.committer.mailbox;
        let turn = generation.stages.turn(at, in_force, commits, fails);
        if !generation.stages.is_within_bounds() || !commits.is_within_bounds() {
            return Err(Law::Bounded.broken(format!("a mailbox at {}", NAMES[at])));
        }
        let left = generation.sluice.left().epochs;
        if left > self.scenario.pace.epochs_in_flight {
            return Err(Law::Bounded.broken(format!("{left} epochs in flight")));
        }
        if turn == Turn::Failed {
            self.outcome.resets += 1;
            if self.scenario.sabotage == Some(Sabotage::RestartAlone) {
                generation.stages.replace(at, &self.scenario.line);
            } else {
                self.process.fence();
            }
            self.tell(|| format!("{} panics, {fails:?} in its work", NAMES[at]));
        } else if turn == Turn::Idle
            && let Some(position) = fails
        {
            self.troubles.rearm(at, position);
        }
        Ok(())
    }

    fn committer(&mut self) -> Result<(), Violation> {
        if self.troubles.stalls(Part::Committer, self.step) {
            return Ok(());
        }
        if self.time >= self.synced + SYNC {
            self.synced = self.time;
            self.store.sync().map_err(|e| broken(&e))?;
            if self.scenario.faults.contains(&Fault::Damage) && self.dice.one_in(4) {
                self.store.copy().map_err(|e| broken(&e))?;
            }
        }
        let (store, replay, standing) = (&mut self.store, &mut self.replay, &mut self.standing);
        let (troubles, logs) = (&mut self.troubles, &self.logs);
        let mut law = Ok(());
        let mut told = None;
        let write = |commit: &EpochCommit| {
            let (written, reached) = troubles.write(commit, |commit| store.commit(commit));
            if reached {
                let broken = standing.broken_by(commit);
                if let Some(first) = broken.first() {
                    law = Err(Law::Invariant(*first).broken(format!("epoch {}", commit.epoch)));
                    return written;
                }
                standing.advance(commit);
                law = replay.check(commit, logs).map_err(|d| Law::SameAgain.broken(d));
                told = Some((commit.epoch, commit.edges.len(), commit.positions.clone()));
            }
            written
        };
        let force = self.process.force;
        let committed = self.process.committer.turn(force, &mut self.dice, write);
        law?;
        if let Some((epoch, rows, positions)) = told {
            self.outcome.epochs += 1;
            let next: Vec<_> = positions.iter().map(|p| (p.reread, p.next)).collect();
            self.tell(|| {
                format!("epoch {epoch} is in the store: {rows} edge rows, offsets {next:?}")
            });
        }
        match committed {
            Committed::Nothing => Ok(()),
            Committed::Done(commit) => {
                if let Some(generation) = &mut self.process.generation {
                    generation.sluice.committed(&commit);
                }
                Ok(())
            }
            Committed::Never(reason) => Err(Law::StoreServes.broken(reason)),
            Committed::Died => {
                self.tell(|| "killed while committing".into());
                self.die(false, 0)
            }
        }
    }

    /// The supervisor builds the next generation.
    fn begin(&mut self) -> Result<(), Violation> {
        let now = self.now();
        // The committer has let go of the old one: what it held is void.
        self.process.begin(&self.scenario, &self.logs, &self.store, now).map_err(|e| broken(&e))?;
        self.surveyed = 0;
        let number = self.process.force;
        let epoch = self.store.checkpoint().map_err(|e| broken(&e))?.epoch;
        self.tell(|| format!("generation {number} goes on from epoch {epoch}"));
        Ok(())
    }

    /// The process starts.
    fn start(&mut self) -> Result<(), Violation> {
        let recovered = self.store.open().map_err(|e| broken(&e))?;
        let epoch = self.store.checkpoint().map_err(|e| broken(&e))?.epoch;
        if recovered {
            self.outcome.recoveries += 1;
            self.tell(|| format!("the store was damaged, and goes on from epoch {epoch}"));
        }
        self.replay.roll_back(epoch, &self.logs).map_err(|d| Law::SameAgain.broken(d))?;
        self.standing = Standing::default();
        if let Some(last) = self.replay.history().last() {
            self.standing.advance(last);
        }
        self.process = Process::new(&self.scenario);
        self.troubles.forget();
        self.begin()
    }

    /// The process dies, by itself or with the machine, is down for a while, and starts again.
    fn die(&mut self, power: bool, down: Nanos) -> Result<(), Violation> {
        self.outcome.deaths += 1;
        let before = self.replay.history().last().map_or(0, |c| c.epoch);
        self.process = Process::new(&self.scenario);
        if power {
            self.store.lose_power(&mut self.dice).map_err(|e| broken(&e))?;
        } else {
            self.store.kill();
        }
        self.time += down;
        self.start()?;
        let after = self.replay.history().last().map_or(0, |c| c.epoch);
        if !power && after != before && self.outcome.recoveries == 0 {
            let detail = format!("killed at epoch {before}, it came back at {after}");
            return Err(Law::NothingLost.broken(detail));
        }
        Ok(())
    }

    /// When the last record is there.
    fn end(&self) -> Nanos {
        let last = self.logs.iter().filter_map(|l| l.messages.last()).map(|m| m.at).max();
        last.unwrap_or(START)
    }

    /// Whether everything that the logs hold is in the store.
    fn is_done(&self) -> bool {
        if self.time <= self.end() || !self.process.in_force() {
            return false;
        }
        let Some(generation) = &self.process.generation else { return false };
        let committed = generation.sluice.committed_positions();
        generation.sluice.phase() == Phase::Live
            && self.logs.iter().all(|log| {
                let position = committed.iter().find(|p| p.partition == log.name);
                position.is_some_and(|p| p.next >= log.end(self.time))
                    || (log.messages.is_empty() && log.low == 0)
            })
    }

    /// Holds the store against the truth.
    fn finish(&mut self) -> Result<(), Violation> {
        self.drain()?;
        let history = self.replay.history();
        let checkpoint = self.store.checkpoint().map_err(|e| broken(&e))?;
        let mut edges = self.store.edges().map_err(|e| broken(&e))?;
        self.outcome.rows = edges.len() as u64;
        let (mut sums, mut paths) = oracle::sum(history, checkpoint.expired);
        let mut stored = self.store.paths().map_err(|e| broken(&e))?;
        // A window that does not read is named, by the kind of its rows, and all others are whole.
        let named = self.store.unreadable().map_err(|e| broken(&e))?;
        let [no_edges, no_paths, no_calls] = if self.scenario.sabotage == Some(Sabotage::Unnamed) {
            Default::default()
        } else {
            named
        };
        sums.retain(|row| !no_edges.contains(&row.key.window));
        edges.retain(|row| !no_edges.contains(&row.key.window));
        paths.retain(|row| !no_paths.contains(&row.key.window));
        stored.retain(|row| !no_paths.contains(&row.key.window));
        self.outcome.named = (no_edges.len() + no_paths.len() + no_calls.len()) as u64;
        differ("edges of the store", &sums, &edges).map_err(|d| Law::StoreKeeps.broken(d))?;
        differ("paths of the store", &paths, &stored).map_err(|d| Law::StoreKeeps.broken(d))?;
        let mut calls = oracle::sum_calls(history, checkpoint.expired);
        let mut rows = self.store.calls().map_err(|e| broken(&e))?;
        calls.retain(|row| !no_calls.contains(&row.key.window));
        rows.retain(|row| !no_calls.contains(&row.key.window));
        oracle::same_calls(&calls, &rows).map_err(|d| Law::StoreKeeps.broken(d))?;
        self.check_levels()?;
        let line = &self.scenario.line;
        let history = self.replay.history();
        let plain = line.max_externals > 1_000 && line.max_connections > 1_000;
        if plain {
            let begin = &self.replay.begin;
            let folded = fold::fold(&self.fleet, &self.logs, begin, history, line.window);
            self.outcome.folded += folded.edges.len() as u64;
            let judged = |at| at >= checkpoint.expired && !no_edges.contains(&at);
            fold::check(&folded, &edges, judged).map_err(|d| Law::NothingTwice.broken(d))?;
        }
        // Of windows that have expired, and of those that do not read, there are no sums.
        if checkpoint.expired == Window(0) && no_calls.is_empty() {
            let metered = metrics::check(&self.logs, &self.replay.begin, history, &rows);
            self.outcome.metered += metered.map_err(|d| Law::NothingTwice.broken(d))?;
        }
        if line.traces.max_spans > 1_000 && line.max_externals > 1_000 {
            let judged = |at| at >= checkpoint.expired && !no_calls.contains(&at);
            let paired = calls::pair(&self.fleet, &self.logs, &self.replay.begin, history, line);
            self.outcome.paired += paired.rows.len() as u64;
            // Which operations share a row then depends on which were seen when it was told.
            let apart = line.traces.max_operations > OPERATIONS;
            calls::check(&paired, &rows, history, apart, judged)
                .map_err(|d| Law::NothingTwice.broken(d))?;
        }
        Ok(())
    }

    /// Holds each sealed window of each level against all that was ever committed of it, unless its answer names it.
    fn check_levels(&mut self) -> Result<(), Violation> {
        for (len, first, end) in self.store.levels() {
            let secs = len.secs();
            for (window, sums) in oracle::windows(self.replay.history(), len) {
                if window < first || window >= end {
                    continue;
                }
                self.outcome.sealed += 1;
                let rows = self.store.window(len, window).map_err(|e| broken(&e))?.edges;
                let Some(rows) = rows else {
                    self.outcome.named += 1;
                    continue;
                };
                let what = format!("edges of window {} of {secs} s", window.0);
                differ(&what, &sums, &rows).map_err(|d| Law::LevelsAgree.broken(d))?;
            }
            for (window, sums) in oracle::call_windows(self.replay.history(), len) {
                if window < first || window >= end {
                    continue;
                }
                self.outcome.sealed += 1;
                let rows = self.store.window(len, window).map_err(|e| broken(&e))?.calls;
                let Some(rows) = rows else {
                    self.outcome.named += 1;
                    continue;
                };
                let what = format!("calls of window {} of {secs} s", window.0);
                differ(&what, &sums, &rows).map_err(|d| Law::LevelsAgree.broken(d))?;
            }
        }
        Ok(())
    }

    /// Tells the process to stop, and expects that it does with all that it read committed.
    fn drain(&mut self) -> Result<(), Violation> {
        if let Some(generation) = &mut self.process.generation {
            generation.sluice.stop();
        }
        for _ in 0..20_000 {
            let now = self.now();
            let Some(generation) = &mut self.process.generation else { break };
            generation.sluice.tick(now, &mut generation.stages.inlet());
            if generation.sluice.is_drained() {
                return Ok(());
            }
            self.time += self.dice.below(self.scenario.step);
            self.step += 1;
            self.part()?;
        }
        Err(Law::GoesOn.broken("a stop does not come to its end".into()))
    }

    fn now(&self) -> Now {
        Now {
            clock: self.time.saturating_add_signed(self.skew),
            moment: Duration::from_nanos(self.time - START),
        }
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let seconds = (self.time - START) as f64 / 1e9;
            story.push(format!("{:>7} {seconds:>8.2}s  {}", self.step, line()));
        }
    }
}

pub(super) fn broken(error: &Error) -> Violation {
    Law::StoreServes.broken(portolan_storage::chain(error))
}
