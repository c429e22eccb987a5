//! A source as the shell has it, without a client: the same phases, over the same account of
//! offsets, fetching from the logs of one cluster.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use portolan_model::{FlowBatch, Loss, Nanos, OwnerEvent, PartitionId, Position, Reject};
use portolan_pipeline::Intake;
use portolan_pipeline::feed::{
    Ends, Now, Offered, Outlet, Parcel, Phase, Plan, Progress, Reading, Sluice, Taken, plan,
};

use crate::broker::{Extent, Log, Payload, Topic, View};
use crate::dice::Dice;
use crate::sabotage::Sabotage;
use crate::world::metric::{self, Point};
use crate::world::trace::{self, Said};

/// How far a source is with its generation.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Step {
    Brokers,
    Rereading,
    RereadLeaves,
    WaitRebuilt,
    Owners,
    OwnersLeave,
    WaitOwners,
    Live,
    Ending,
    Ended,
}

/// What the source works with from outside.
pub(crate) struct Around<'a, O> {
    pub(crate) logs: &'a [Log],
    pub(crate) sluice: &'a mut Sluice,
    pub(crate) outlet: &'a mut O,
    pub(crate) now: Now,
    /// Real time, where the wall clock may lie.
    pub(crate) time: Nanos,
}

/// See the module.
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(crate) struct Source {
    step: Step,
    stored: BTreeMap<usize, Position>,
    parts: Vec<Part>,
    view: Option<View>,
    seen: bool,
    troubled: bool,
    recheck: bool,
    outbox: VecDeque<Parcel>,
    batch_rows: usize,
    gaps_are_losses: bool,
    sabotage: Option<Sabotage>,
    goals: Vec<(usize, i64)>,
    /// Partitions met for the first time, and where reading begins.
    pub(crate) met: Vec<(usize, i64)>,
}

struct Part {
    id: PartitionId,
    log: usize,
    topic: Topic,
    reading: Reading,
    fetch: i64,
    lost_at_start: Option<(Range<i64>, i64)>,
    assigned: bool,
    sabotage: Option<Sabotage>,
    filling: Filling,
}

#[derive(Default)]
struct Filling {
    flows: Vec<portolan_model::FlowRow>,
    owners: Vec<OwnerEvent>,
    spans: Vec<Said>,
    metrics: Vec<Point>,
    first_offset: i64,
    rejects: Vec<(Reject, u64)>,
    losses: Vec<Loss>,
    moved: bool,
}

// === impl Source ===

impl Source {
    /// A source that goes on from what the store says of its partitions, by log.
    pub(crate) fn new(
        stored: BTreeMap<usize, Position>,
        batch_rows: usize,
        gaps_are_losses: bool,
        sabotage: Option<Sabotage>,
    ) -> Self {
        Self {
            step: Step::Brokers,
            stored,
            parts: Vec::new(),
            view: None,
            seen: false,
            troubled: false,
            recheck: false,
            outbox: VecDeque::new(),
            batch_rows,
            gaps_are_losses,
            sabotage,
            goals: Vec::new(),
            met: Vec::new(),
        }
    }

    /// A look at the cluster came in.
    pub(crate) fn show(&mut self, view: View) {
        self.view = Some(view);
    }

    /// Goes back in a partition, as when it was assigned anew.
    pub(crate) fn rewind(&mut self, dice: &mut Dice) {
        if let Some(part) = self.pick(dice, |p| p.assigned) {
            let by = dice.between(1, 10) as i64;
            let part = &mut self.parts[part];
            part.fetch = (part.fetch - by).max(0);
        }
    }

    /// Fetches one message.
    pub(crate) fn poll<O: Outlet>(&mut self, dice: &mut Dice, around: &mut Around<'_, O>) {
        if !self.outbox.is_empty() || matches!(self.step, Step::Ending | Step::Ended) {
            return;
        }
        let (logs, time) = (around.logs, around.time);
        let ready = |p: &Part| {
            let log = &logs[p.log];
            p.assigned && !log.is_away(time) && log.fetch(p.fetch, time).is_some()
        };
        let Some(at) = self.pick(dice, ready) else {
            self.flush();
            return;
        };
        let part = &mut self.parts[at];
        if part.fetch < logs[part.log].low {
            // The client says so, and fetches nothing more until it is told where to go on.
            self.recheck = true;
            return;
        }
        let message = logs[part.log].fetch(part.fetch, time).expect("it was just found");
        part.fetch = message.offset + 1;
        part.take(message.offset, &message.payload, self.gaps_are_losses, logs, around.now.clock);
        if part.reading.is_reread() {
            part.assigned = false;
        }
        if part.filling.len() >= self.batch_rows {
            let parcel = part.parcel();
            self.outbox.extend(parcel);
        }
    }

    /// Hands over what waits, as far as there is room.
    pub(crate) fn hand_over<O: Outlet>(&mut self, around: &mut Around<'_, O>) {
        while let Some(parcel) = self.outbox.pop_front() {
            match around.sluice.offer(parcel, around.now, around.outlet) {
                Offered::Taken => {}
                Offered::Closed => {
                    self.outbox.clear();
                    self.end(around);
                    return;
                }
                Offered::Full(parcel) => {
                    self.outbox.push_front(*parcel);
                    around.sluice.tick(around.now, around.outlet);
                    return;
                }
            }
        }
    }

    /// What is due from time to time.
    pub(crate) fn look<O: Outlet>(&mut self, dice: &mut Dice, around: &mut Around<'_, O>) {
        if matches!(self.step, Step::Ended) {
            return;
        }
        if around.sluice.is_closed() {
            return self.end(around);
        }
        if around.sluice.is_stopping() && self.step != Step::Ending {
            if around.sluice.phase() == Phase::Rebuild {
                for part in &mut self.parts {
                    part.filling = Filling::default();
                    part.reading.forget_reread();
                }
            }
            self.flush();
            self.step = Step::Ending;
        }
        if self.step == Step::Ending {
            if self.outbox.is_empty() {
                self.end(around);
            }
            return;
        }
        for part in &mut self.parts {
            if dice.one_in(4) {
                let parcel = part.parcel();
                self.outbox.extend(parcel);
            }
        }
        if let Some(view) = self.view.take() {
            self.adopt(&view, around);
        }
        if self.recheck {
            self.compare(around);
        }
        around.sluice.tick(around.now, around.outlet);
        self.advance(around);
    }

    fn end<O>(&mut self, around: &mut Around<'_, O>) {
        if self.step != Step::Ended {
            self.step = Step::Ended;
            around.sluice.finished();
        }
    }

    fn advance<O: Outlet>(&mut self, around: &mut Around<'_, O>) {
        match self.step {
            Step::Brokers if self.seen && !self.troubled => {
                for part in &mut self.parts {
                    part.reading.begin_reread();
                    part.assign(part.reading.is_rereading());
                }
                self.step = Step::Rereading;
            }
            Step::Rereading if self.parts.iter().all(|p| p.reading.reread().is_empty()) => {
                self.flush();
                self.step = Step::RereadLeaves;
            }
            Step::RereadLeaves if self.outbox.is_empty() => {
                for part in &mut self.parts {
                    part.assigned = false;
                    part.reading.end_reread();
                }
                around.sluice.ready(Phase::Rebuild, around.now, around.outlet);
                self.step = Step::WaitRebuilt;
            }
            Step::WaitRebuilt if around.sluice.phase() > Phase::Rebuild => {
                for part in &mut self.parts {
                    if let Some((lost, to)) = part.lost_at_start.take() {
                        part.lose(lost, to, around.logs, around.now.clock);
                    }
                }
                let owners = self.parts.iter().enumerate().filter(|(_, p)| !p.topic.is_timed());
                self.goals =
                    owners.map(|(at, p)| (at, around.logs[p.log].end(around.time))).collect();
                self.assign_new(around.sluice.phase());
                self.step = Step::Owners;
            }
            Step::Owners
                if self.goals.iter().all(|(at, end)| self.parts[*at].reading.next() >= *end) =>
            {
                self.flush();
                self.step = Step::OwnersLeave;
            }
            Step::OwnersLeave if self.outbox.is_empty() => {
                around.sluice.ready(Phase::Owners, around.now, around.outlet);
                self.step = Step::WaitOwners;
            }
            Step::WaitOwners if around.sluice.phase() > Phase::Owners => {
                self.assign_new(around.sluice.phase());
                self.step = Step::Live;
            }
            _ => {}
        }
    }

    fn adopt<O>(&mut self, view: &View, around: &mut Around<'_, O>) {
        self.seen = true;
        self.troubled = view.trouble;
        for extent in &view.extents {
            match self.parts.iter().position(|p| p.log == extent.log) {
                Some(at) => self.measure(at, *extent, around),
                None => self.meet(*extent, around),
            }
        }
        self.assign_new(around.sluice.phase());
    }

    fn measure<O>(&self, at: usize, extent: Extent, around: &mut Around<'_, O>) {
        let part = &self.parts[at];
        around.sluice.set_end(part.id, part.assigned.then_some(extent.end));
    }

    /// A partition that was not known to this generation.
    fn meet<O>(&mut self, extent: Extent, around: &mut Around<'_, O>) {
        let log = &around.logs[extent.log];
        let low = extent.low;
        let stored = self.stored.get(&extent.log);
        let new = Plan { next: low, reread: low..low, forgotten: low..low, lost: None };
        let plan = stored.map_or(new, |p| plan(p.next, p.reread, low, extent.end));
        let position = stored.cloned().unwrap_or_else(|| {
            self.met.push((extent.log, low));
            Position { partition: log.name.clone(), next: low, reread: low }
        });
        let id = around.sluice.register(position, log.topic.is_timed());
        let mut part = Part {
            id,
            log: extent.log,
            topic: log.topic,
            reading: Reading::new(plan.next),
            fetch: plan.next,
            lost_at_start: None,
            assigned: false,
            sabotage: self.sabotage,
            filling: Filling::default(),
        };
        let rebuilding = around.sluice.phase() == Phase::Rebuild;
        if log.topic.is_timed() && rebuilding {
            part.reading.set_reread(plan.reread);
        }
        if let Some(lost) = plan.lost {
            if rebuilding {
                part.lost_at_start = Some((lost, plan.next));
            } else {
                part.lose(lost, plan.next, around.logs, around.now.clock);
            }
        }
        self.parts.push(part);
        self.measure(self.parts.len() - 1, extent, around);
    }

    /// Compares where reading stands with what the broker has.
    fn compare<O>(&mut self, around: &mut Around<'_, O>) {
        self.recheck = false;
        for part in self.parts.iter_mut().filter(|p| p.assigned) {
            let log = &around.logs[part.log];
            let (low, end) = (log.low, log.end(around.time));
            if part.reading.is_rereading() {
                part.reading.raise_reread(low);
            } else {
                let next = part.reading.next();
                let plan = plan(next, next, low, end);
                if let Some(lost) = plan.lost {
                    let parcel = part.parcel();
                    self.outbox.extend(parcel);
                    part.lose(lost, plan.next, around.logs, around.now.clock);
                }
            }
            part.fetch = part.reading.fetch_from();
        }
    }

    fn assign_new(&mut self, phase: Phase) {
        for part in self.parts.iter_mut().filter(|p| !p.assigned) {
            let allowed = match phase {
                Phase::Rebuild => false,
                Phase::Owners => !part.topic.is_timed(),
                Phase::Live => true,
            };
            if allowed {
                part.assign(true);
            }
        }
    }

    fn flush(&mut self) {
        for part in &mut self.parts {
            let parcel = part.parcel();
            self.outbox.extend(parcel);
        }
    }

    fn pick(&self, dice: &mut Dice, wanted: impl Fn(&Part) -> bool) -> Option<usize> {
        let found: Vec<_> = (0..self.parts.len()).filter(|at| wanted(&self.parts[*at])).collect();
        (!found.is_empty()).then(|| *dice.pick(&found))
    }
}

// === impl Filling ===

impl Filling {
    fn len(&self) -> usize {
        // A partition holds one kind.
        self.flows.len() + self.owners.len() + self.spans.len() + self.metrics.len()
    }
}

// === impl Part ===

impl Part {
    fn assign(&mut self, assigned: bool) {
        self.assigned = assigned;
        self.fetch = self.reading.fetch_from();
    }

    fn take(
        &mut self,
        offset: i64,
        payload: &Payload,
        gaps_are_losses: bool,
        logs: &[Log],
        clock: Nanos,
    ) {
        match self.reading.take(offset) {
            Taken::Skip if self.sabotage == Some(Sabotage::TakeTwice) => {
                self.decode(offset, payload, true);
            }
            Taken::Skip => {}
            Taken::Again if self.sabotage == Some(Sabotage::CountAgain) => {
                self.decode(offset, payload, true);
                self.filling.moved = true;
            }
            Taken::Again => self.decode(offset, payload, false),
            Taken::New(missing) => {
                if gaps_are_losses && !missing.is_empty() {
                    self.note_loss(missing, logs, clock);
                }
                self.decode(offset, payload, true);
                self.filling.moved = true;
            }
        }
    }

    fn decode(&mut self, offset: i64, payload: &Payload, counts: bool) {
        let filling = &mut self.filling;
        if filling.len() == 0 {
            filling.first_offset = offset;
        }
        match payload {
            Payload::Flows(rows) => filling.flows.extend(rows),
            Payload::Owners(events) => filling.owners.extend(events.iter().cloned()),
            Payload::Spans(spans) => filling.spans.extend(spans.iter().cloned()),
            Payload::Metrics(points) => filling.metrics.extend(points.iter().cloned()),
            Payload::Poison(reason) if counts => filling.rejects.push((*reason, 1)),
            Payload::Poison(_) => {}
        }
    }

    fn lose(&mut self, lost: Range<i64>, to: i64, logs: &[Log], clock: Nanos) {
        self.reading.skip_to(to);
        self.filling.moved = true;
        self.note_loss(lost, logs, clock);
    }

    fn note_loss(&mut self, lost: Range<i64>, logs: &[Log], clock: Nanos) {
        if self.sabotage == Some(Sabotage::NoLosses) {
            return;
        }
        self.filling.losses.push(Loss {
            partition: logs[self.log].name.clone(),
            from: lost.start,
            to: lost.end,
            at: clock,
        });
    }

    fn parcel(&mut self) -> Option<Parcel> {
        let filled = std::mem::take(&mut self.filling);
        let (first, spans, metrics) = (filled.first_offset, filled.spans, filled.metrics);
        let ends = filled.flows.iter().map(|f| f.end).chain(spans.iter().map(|s| s.end));
        let ends: Vec<Nanos> = ends.chain(metrics.iter().map(|point| point.time)).collect();
        let accepted = ends.len() as u64;
        let intake = if !filled.flows.is_empty() {
            Some(Intake::Flows(FlowBatch {
                partition: self.id,
                first_offset: first,
                flows: filled.flows.into_iter().collect(),
            }))
        } else if !spans.is_empty() {
            Some(Intake::Spans(trace::batch(self.id, first, &spans)))
        } else if !metrics.is_empty() {
            Some(Intake::Metrics(metric::batch(self.id, first, &metrics)))
        } else if filled.owners.is_empty() {
            None
        } else {
            Some(Intake::Owners(filled.owners))
        };
        if !filled.moved {
            return intake.map(Parcel::Again);
        }
        let progress = Progress {
            partition: self.id,
            next: self.reading.next(),
            accepted,
            rejects: filled.rejects,
            losses: filled.losses,
            ends: Ends::of(&ends),
        };
        Some(Parcel::New(intake, progress))
    }
}
