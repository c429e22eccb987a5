//! Which trouble comes next, and which are on their way.

use portolan_model::{EpochCommit, Nanos};
use portolan_storage::Error;

use super::{Dice, Fault, Part, Position, Scenario, Sim, Written, fault};
use crate::Violation;
use crate::sabotage::Sabotage;
use crate::world::{SECOND, START};

/// Between two absences of a partition: more than any horizon that is drawn.
const AWAY_APART: Nanos = 90 * SECOND;

/// See the module.
pub(super) struct Troubles {
    faults: Vec<Fault>,
    dice: Dice,
    calm: u64,
    next: u64,
    /// The stage that fails at its next message, and where.
    panic: Option<(usize, Position)>,
    /// What stands still, and until which step.
    stall: Option<(Part, u64)>,
    /// Writes that find the disk full.
    full: u64,
    /// The next write reaches the disk, and is told to have failed.
    late_error: bool,
    /// A death in a write leaves its offsets without its rows: only where that is broken on purpose.
    offsets_first: bool,
    /// The process dies in the next write: before it, or after.
    kill: Option<bool>,
    /// When the wall clock is right again.
    clock_until: Option<Nanos>,
}

// === impl Troubles ===

impl Troubles {
    pub(super) fn new(scenario: &Scenario, dice: &mut Dice) -> Self {
        let mut dice = dice.fork();
        Self {
            faults: scenario.faults.clone(),
            calm: scenario.calm,
            next: dice.between(1, 2 * scenario.calm),
            dice,
            panic: None,
            stall: None,
            full: 0,
            late_error: false,
            offsets_first: scenario.sabotage == Some(Sabotage::OffsetsFirst),
            kill: None,
            clock_until: None,
        }
    }

    /// The trouble of this step, if there is one.
    pub(super) fn due(&mut self, step: u64) -> Option<Fault> {
        if step < self.next || self.faults.is_empty() {
            return None;
        }
        self.next = step + self.dice.between(1, 2 * self.calm);
        Some(*self.dice.pick(&self.faults))
    }

    /// What was armed for a process that is gone.
    pub(super) fn forget(&mut self) {
        (self.panic, self.stall, self.kill) = (None, None, None);
        (self.full, self.late_error) = (0, false);
    }

    /// Time passes.
    pub(super) fn pass(&mut self, step: u64, time: Nanos, skew: &mut i64) {
        if self.stall.is_some_and(|(_, until)| step >= until) {
            self.stall = None;
        }
        if self.clock_until.is_some_and(|until| time >= until) {
            self.clock_until = None;
            *skew = 0;
        }
    }

    pub(super) fn stalls(&self, part: Part, step: u64) -> bool {
        self.stall.is_some_and(|(stalled, until)| stalled == part && step < until)
    }

    /// Whether the stage fails at the message that it takes now, and where.
    pub(super) fn panics(&mut self, stage: usize) -> Option<Position> {
        let (at, position) = self.panic?;
        if at != stage {
            return None;
        }
        self.panic = None;
        Some(position)
    }

    /// There was no message to fail at.
    pub(super) fn rearm(&mut self, stage: usize, position: Position) {
        self.panic = Some((stage, position));
    }

    /// One write of the store, as the troubles let it be, and whether it reached the disk.
    pub(super) fn write(
        &mut self,
        commit: &EpochCommit,
        write: impl FnOnce(&EpochCommit) -> Result<(), Error>,
    ) -> (Written, bool) {
        if self.full > 0 {
            self.full -= 1;
            return (Written::Result(Err(Error::Full { path: "sim".into() })), false);
        }
        match self.kill.take() {
            Some(true) => return (Written::Died, false),
            Some(false) if self.offsets_first => {
                let mut offsets = commit.clone();
                offsets.edges.clear();
                let reached = write(&offsets).is_ok();
                return (Written::Died, reached);
            }
            Some(false) => {
                let reached = write(commit).is_ok();
                return (Written::Died, reached);
            }
            None => {}
        }
        let result = write(commit);
        let reached = result.is_ok();
        if reached && std::mem::take(&mut self.late_error) {
            return (Written::Result(Err(Error::Io("sim".into()))), true);
        }
        (Written::Result(result), reached)
    }
}

// === impl Sim ===

impl Sim {
    /// Something goes wrong.
    pub(super) fn hurt(&mut self, fault: Fault) -> Result<(), Violation> {
        self.outcome.faults += 1;
        self.tell(|| format!("trouble: {fault:?}"));
        let mut dice = self.troubles.dice.fork();
        match fault {
            Fault::Kill => self.die(false, dice.below(20) * SECOND)?,
            Fault::PowerLoss => self.die(true, dice.below(20) * SECOND)?,
            Fault::Damage => {
                self.store.kill();
                let done = self.store.damage(&mut dice).map_err(|e| super::broken(&e))?;
                self.outcome.damages += u64::from(done);
                self.outcome.deaths += 1;
                self.start()?;
            }
            Fault::Rot => {
                self.store.kill();
                let done = self.store.rot(&mut dice).map_err(|e| super::broken(&e))?;
                self.tell(|| format!("flipped: {done:?}"));
                self.outcome.rotten += u64::from(done.is_some());
                self.outcome.deaths += 1;
                self.start()?;
            }
            Fault::KillInCommit => self.troubles.kill = Some(dice.one_in(2)),
            Fault::Panic => {
                let stage = dice.below(4) as usize;
                self.troubles.panic = Some((stage, fault::position(&mut dice)));
            }
            Fault::SourcePanic => {
                self.outcome.resets += 1;
                self.process.fence();
            }
            Fault::Full => self.troubles.full = dice.between(1, 6),
            Fault::LateError => self.troubles.late_error = true,
            Fault::Stall => {
                let stage = dice.below(5) as usize;
                let part = if stage < 4 { Part::Stage(stage) } else { Part::Committer };
                self.troubles.stall = Some((part, self.step + dice.between(20, 400)));
            }
            Fault::Away => {
                let log = dice.below(self.logs.len() as u64) as usize;
                // A partition that stays away for longer than the horizon no longer holds the
                // watermark, by design: then its records are late, and the fold does not know it.
                let log = &mut self.logs[log];
                if log.away_until + AWAY_APART < self.time {
                    log.away_until = self.time + dice.between(1, 8) * SECOND;
                }
            }
            Fault::Rewind => {
                if let Some(generation) = &mut self.process.generation {
                    let which = dice.below(generation.sources.len() as u64) as usize;
                    generation.sources[which].rewind(&mut dice);
                }
            }
            Fault::Clock => {
                let by = dice.below(7_200 * SECOND) as i64 - 3_600 * SECOND as i64;
                self.skew = by;
                self.troubles.clock_until = Some(self.time + dice.between(1, 60) * SECOND);
            }
            Fault::Retention => self.forget_a_burst(&mut dice)?,
            Fault::Stop => {
                let deadline = dice.below(400);
                self.stop(deadline)?;
            }
        }
        Ok(())
    }

    /// The broker forgets what lies before the next burst, read or not.
    fn forget_a_burst(&mut self, dice: &mut Dice) -> Result<(), Violation> {
        let Some(bursts) = self.scenario.bursts else { return Ok(()) };
        let length = bursts.on + bursts.off;
        let next = START + ((self.time - START) / length + 1) * length;
        let down = dice.one_in(2);
        if down {
            // It slept through the end of the burst.
            self.process = crate::process::Process::new(&self.scenario);
            self.store.kill();
            self.time = self.time.max(next - SECOND);
        }
        let silence = START + (self.time + SECOND - START) / length * length;
        for log in self.logs.iter_mut().filter(|l| l.topic.is_timed()) {
            log.forget_before(silence);
        }
        if down {
            self.outcome.deaths += 1;
            self.start()?;
        }
        Ok(())
    }

    /// The process is told to stop, has some steps for it, and starts again.
    fn stop(&mut self, deadline: u64) -> Result<(), Violation> {
        if let Some(generation) = &mut self.process.generation {
            generation.sluice.stop();
        }
        for _ in 0..deadline {
            let now = self.now();
            if let Some(generation) = &mut self.process.generation {
                generation.sluice.tick(now, &mut generation.stages.inlet());
                if generation.sluice.is_drained() {
                    break;
                }
            }
            self.step += 1;
            self.time += self.dice.below(self.scenario.step);
            self.part()?;
        }
        self.store.sync().map_err(|e| super::broken(&e))?;
        self.die(false, SECOND)
    }
}
