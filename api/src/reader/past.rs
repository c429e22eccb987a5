//! The past: which windows answer a question about it, whole or step by step, and their rows.
//!
//! All that one question reads is of one epoch, so that paths never take more than their legs have.

use std::collections::BTreeMap;

use portolan_graph::{CallsBuilder, ViewBuilder};
use portolan_model::{Collapse, EntityId, Nanos, TimeRange, Window, WindowLen};
use portolan_storage::{Answer, History, Level, Live, NowGraph, Plan, Select, Span, plan};

use super::Snapshot;

mod open;

use crate::{Cancel, Error};
use open::open;

/// A question about the past.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// What time it is about.
    pub range: TimeRange,
    /// What the map said at this clock reading; without it, what it says now.
    pub known_at: Option<Nanos>,
}

/// How a past is cut into steps.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// At the multiples of this many seconds since 1970.
    Every(u32),
    /// Into about so many, at multiples of a length that follows from the range.
    Into(u32),
    /// Not at all.
    Whole,
}

/// What is wanted of each step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// How the past is cut.
    pub cut: Cut,
    /// How far hops are folded away.
    pub collapse: Collapse,
    /// Only rows that have one of these as client or server; of all, if there is none.
    pub entities: Vec<EntityId>,
    /// Most different edges of a step.
    pub most: usize,
}

/// The rows of a step.
pub struct Step {
    /// The windows that it is made of. Where only coarse ones are held, they may be longer than a step.
    pub covered: TimeRange,
    /// What flows say. A view that is taken out and given back costs the next step no memory.
    pub view: ViewBuilder,
    /// What metrics and spans say.
    pub calls: CallsBuilder,
}

/// Most steps of an answer: a minute each for a day, and some.
const MAX_STEPS: u64 = 1_500;

/// Of so many windows a step should at least be made, where it is free to be longer or shorter.
const WINDOWS_A_STEP: u64 = 4;

/// Adds the flows of a past.
pub(super) fn whole(
    history: &dyn History,
    live: &Live,
    past: &Past,
    most: usize,
    cancel: &Cancel,
    rows: &mut ViewBuilder,
) -> Result<Snapshot, Error> {
    let range = clamp(history, past.range)?;
    let levels = history.levels_at(past.known_at)?;
    let plan = range.map(|range| plan(&levels, range)).unwrap_or_default();
    let cancelled = || cancel.check().is_err();
    let select = Select {
        entity: None,
        known_at: past.known_at,
        max_rows: Some(most),
        cancelled: Some(&cancelled),
    };
    let rest = open(history, live, past, vec![plan.clone()], &mut |_, now, (from, last)| {
        now.paths_of(from, last).for_each(|row| rows.path(&row));
        now.edges_of(from, last).for_each(|row| rows.edge(&row));
    });
    let mut answer = Answer::default();
    for plan in &rest {
        add(&mut answer, flows(history, plan, &select, rows)?);
    }
    cancel.check()?;
    if rows.len() > most {
        return Err(Error::TooLarge { most });
    }
    Ok(Snapshot::of_past(&history.checkpoint(), past.range, &plan, answer))
}

/// Adds the calls of a past.
pub(super) fn calls(
    history: &dyn History,
    live: &Live,
    past: &Past,
    most: usize,
    cancel: &Cancel,
    rows: &mut CallsBuilder,
) -> Result<(), Error> {
    let range = clamp(history, past.range)?;
    let levels = history.levels_at(past.known_at)?;
    let plan = range.map(|range| plan(&levels, range)).unwrap_or_default();
    let cancelled = || cancel.check().is_err();
    let select = Select {
        entity: None,
        known_at: past.known_at,
        // An edge has a row for each protocol and operation.
        max_rows: Some(most.saturating_mul(ROWS_AN_EDGE)),
        cancelled: Some(&cancelled),
    };
    let rest = open(history, live, past, vec![plan], &mut |_, now, (from, last)| {
        now.calls_of(from, last).for_each(|row| rows.add(&row));
    });
    for plan in &rest {
        history.calls(plan, &select, &mut |row| rows.add(row))?;
    }
    Ok(())
}

/// Rows of calls that an edge and source may have on average before a question is refused.
const ROWS_AN_EDGE: usize = 4;

/// Visits a past step by step.
pub(super) fn steps(
    history: &dyn History,
    live: &Live,
    past: &Past,
    ask: &Steps,
    cancel: &Cancel,
    visit: &mut dyn FnMut(&mut Step) -> Result<(), Error>,
) -> Result<Snapshot, Error> {
    let checkpoint = history.checkpoint();
    let mut asked = past.range;
    if asked.to == Nanos::MAX {
        // Until now, and not until the latest time that some record claimed.
        asked.to = checkpoint.watermark.min(checkpoint.clock).saturating_add(1);
    }
    let levels = history.levels_at(past.known_at)?;
    let mut all = Plan::default();
    let mut missing = Answer::default();
    let range = clamp(history, asked)?;
    if let (Some(range), Some(base)) = (range, levels.first()) {
        let parts = match step_of(&levels, range, ask.cut) {
            None => vec![plan(&levels, range)],
            Some(step) => {
                check(range, step, base.len)?;
                cut(&windows(&levels, range, step), step)
            }
        };
        let parts: Vec<_> =
            parts.into_iter().filter_map(|part| Some((part.covered()?, part))).collect();
        // All that is open is taken at once, while the live graph is of this epoch.
        let mut ready: BTreeMap<usize, Step> = BTreeMap::new();
        let plans = parts.iter().map(|(_, part)| part.clone()).collect();
        let rests = open(history, live, past, plans, &mut |at, now, windows| {
            let mut step = Step::new(parts[at].0, ask.collapse);
            step.take(now, windows, &ask.entities);
            ready.insert(at, step);
        });
        let mut spare: Option<Step> = None;
        for (at, ((covered, part), rest)) in parts.iter().zip(&rests).enumerate() {
            let open = ready.remove(&at);
            let again = |mut step: Step| {
                step.covered = *covered;
                step.calls = CallsBuilder::default();
                Some(step).filter(|step| step.view.is_empty())
            };
            let step = open.or_else(|| spare.take().and_then(again));
            let mut step = step.unwrap_or_else(|| Step::new(*covered, ask.collapse));
            add(&mut missing, of_step(history, past, ask, cancel, rest, &mut step)?);
            if step.view.len() > ask.most {
                return Err(Error::TooLarge { most: ask.most });
            }
            visit(&mut step)?;
            spare = Some(step);
            all.spans.extend(part.spans.iter().copied());
        }
    }
    Ok(Snapshot::of_past(&checkpoint, past.range, &tidy(all), missing))
}

// === impl Step ===

impl Step {
    fn new(covered: TimeRange, collapse: Collapse) -> Self {
        Self { covered, view: ViewBuilder::new(collapse), calls: CallsBuilder::default() }
    }

    /// Takes open windows from the live graph: rows that have one of these ends, or all.
    fn take(&mut self, now: &NowGraph, (from, last): (Window, Window), entities: &[EntityId]) {
        let wanted = |client: EntityId, server: EntityId| {
            entities.is_empty() || entities.contains(&client) || entities.contains(&server)
        };
        let paths = now.paths_of(from, last);
        paths
            .filter(|row| wanted(row.key.client, row.key.server))
            .for_each(|row| self.view.path(&row));
        let edges = now.edges_of(from, last);
        edges
            .filter(|row| wanted(row.key.client, row.key.server))
            .for_each(|row| self.view.edge(&row));
        let calls = now.calls_of(from, last);
        calls
            .filter(|row| wanted(row.key.client, row.key.server))
            .for_each(|row| self.calls.add(&row));
    }
}

/// Reads a step, for each entity in turn: a row that an earlier one has is not read again.
fn of_step(
    history: &dyn History,
    past: &Past,
    ask: &Steps,
    cancel: &Cancel,
    part: &Plan,
    step: &mut Step,
) -> Result<Answer, Error> {
    let mut missing = Answer::default();
    let cancelled = || cancel.check().is_err();
    let all = [None];
    let each: Vec<Option<EntityId>> = ask.entities.iter().copied().map(Some).collect();
    let each = if each.is_empty() { &all[..] } else { &each };
    for (at, entity) in each.iter().enumerate() {
        let read = |end: EntityId| each[..at].contains(&Some(end));
        let select = Select {
            entity: *entity,
            known_at: past.known_at,
            max_rows: Some(ask.most),
            cancelled: Some(&cancelled),
        };
        let answer = history.paths(part, &select, &mut |row| {
            if !read(row.key.client) && !read(row.key.server) {
                step.view.path(row);
            }
        })?;
        add(&mut missing, answer);
        let answer = history.edges(part, &select, &mut |row| {
            if !read(row.key.client) && !read(row.key.server) {
                step.view.edge(row);
            }
        })?;
        add(&mut missing, answer);
        let select = Select { max_rows: Some(ask.most.saturating_mul(ROWS_AN_EDGE)), ..select };
        let answer = history.calls(part, &select, &mut |row| {
            if !read(row.key.client) && !read(row.key.server) {
                step.calls.add(row);
            }
        })?;
        add(&mut missing, answer);
        cancel.check()?;
    }
    Ok(missing)
}

fn flows(
    history: &dyn History,
    plan: &Plan,
    select: &Select<'_>,
    rows: &mut ViewBuilder,
) -> Result<Answer, Error> {
    let mut answer = history.paths(plan, select, &mut |row| rows.path(row))?;
    let edges = history.edges(plan, select, &mut |row| rows.edge(row))?;
    add(&mut answer, edges);
    Ok(answer)
}

fn add(all: &mut Answer, more: Answer) {
    all.unreadable.extend(more.unreadable);
    all.unknown.extend(more.unknown);
}

/// What of a range there can be anything of.
fn clamp(history: &dyn History, range: TimeRange) -> Result<Option<TimeRange>, Error> {
    let checkpoint = history.checkpoint();
    let Some(extent) = history.extent()? else { return Ok(None) };
    let Some(base) = history.levels().first().map(|level| level.len) else { return Ok(None) };
    let newest = base.window(checkpoint.watermark.min(checkpoint.clock)).end(base);
    let reach = extent.to.max(newest);
    if range.from >= reach.max(checkpoint.clock) {
        let [from, reach] = [range.from, reach].map(rfc3339);
        return Err(Error::Future { from, reach });
    }
    let (from, to) = (range.from.max(extent.from), range.to.min(reach));
    Ok((from < to).then_some(TimeRange { from, to }))
}

fn rfc3339(at: Nanos) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at / 1_000_000_000);
    humantime::format_rfc3339_seconds(at).to_string()
}

/// The length of a step in nanoseconds; nothing if there are none.
fn step_of(levels: &[Level], range: TimeRange, cut: Cut) -> Option<Nanos> {
    Some(match cut {
        Cut::Whole => return None,
        Cut::Every(secs) => u64::from(secs) * 1_000_000_000,
        Cut::Into(parts) => {
            let wanted = (range.to - range.from).div_ceil(u64::from(parts.max(1)));
            let fits = |len: &Nanos| len.saturating_mul(WINDOWS_A_STEP) <= wanted;
            // Only what is held from the beginning on makes steps of one length.
            let held = levels.iter().filter(|level| level.first.start() <= range.from);
            let lens = held.map(|level| level.len.nanos());
            let unit = lens.clone().filter(fits).max().or(lens.min()).unwrap_or(1);
            wanted.checked_next_multiple_of(unit).unwrap_or(wanted)
        }
    })
}

fn check(range: TimeRange, step: Nanos, base: WindowLen) -> Result<(), Error> {
    if step == 0 || !step.is_multiple_of(base.nanos()) {
        let problem = format!(
            "{} s is not a multiple of the {} s of a window",
            step / 1_000_000_000,
            base.secs()
        );
        return Err(Error::invalid("step_secs", problem));
    }
    let steps = (range.to - range.from).div_ceil(step);
    if steps > MAX_STEPS {
        let problem = format!("{steps} steps are over {MAX_STEPS}: give longer ones");
        return Err(Error::invalid("step_secs", problem));
    }
    Ok(())
}

/// The windows of a range, none of which spans two steps unless only such are held.
fn windows(levels: &[Level], range: TimeRange, step: Nanos) -> Vec<Span> {
    let mut all = Vec::new();
    for span in plan(levels, range).spans {
        if step.is_multiple_of(span.len.nanos()) {
            all.push(span);
            continue;
        }
        let finer: Vec<Level> = levels.iter().filter(|l| l.len < span.len).copied().collect();
        let mut from = span.range.from;
        while from < span.range.to {
            let one = TimeRange { from, to: from.saturating_add(span.len.nanos()) };
            let fine = plan(&finer, one);
            if fine.covered() == Some(one) && fine.gaps().next().is_none() {
                all.extend(windows(&finer, one, step));
            } else {
                all.push(Span { len: span.len, range: one });
            }
            from = one.to;
        }
    }
    all
}

/// Spans cut at the multiples of a step: a plan for each step that has any.
fn cut(spans: &[Span], step: Nanos) -> Vec<Plan> {
    let mut parts: Vec<Plan> = Vec::new();
    let mut current = None;
    for span in spans {
        let mut from = span.range.from;
        while from < span.range.to {
            let of = from / step;
            let border = if step.is_multiple_of(span.len.nanos()) {
                (of + 1).saturating_mul(step)
            } else {
                from.saturating_add(span.len.nanos())
            };
            let to = border.min(span.range.to);
            let piece = Span { len: span.len, range: TimeRange { from, to } };
            match parts.last_mut().filter(|_| current == Some(of)) {
                Some(part) => part.spans.push(piece),
                None => parts.push(Plan { spans: vec![piece] }),
            }
            current = Some(of);
            from = to;
        }
    }
    parts
}

/// Spans of one length that touch, as one.
fn tidy(plan: Plan) -> Plan {
    let mut spans: Vec<Span> = Vec::new();
    for span in plan.spans {
        match spans.last_mut().filter(|l| l.len == span.len && l.range.to == span.range.from) {
            Some(last) => last.range.to = span.range.to,
            None => spans.push(span),
        }
    }
    Plan { spans }
}

#[cfg(test)]
mod tests;
