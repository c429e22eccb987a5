//! Which windows answer a question about a range: a pure function of what the levels hold.

use portolan_model::{Nanos, TimeRange, Window, WindowLen};

use super::{Level, Plan, Span};

/// The coarsest windows that fit inside the range, finer ones at its ends. `levels` are finest first,
/// each length a multiple of the one before. A base window that the range only touches is taken whole;
/// so is a coarser one, where it is the finest that still holds an end of the range.
pub fn plan(levels: &[Level], range: TimeRange) -> Plan {
    let mut plan = Plan::default();
    let Some(base) = levels.first() else { return plan };
    if range.from >= range.to {
        return plan;
    }
    let last = base.len.window(range.to - 1);
    let end = last.start().saturating_add(base.len.nanos());
    let mut at = base.len.window(range.from).start();
    while at < end {
        // The coarsest that begins here and fits; else the finest that holds this instant at all.
        let inside = levels.iter().rev().find(|level| fits(level, at, end));
        let around = || levels.iter().find(|level| holds(level, at));
        let Some(level) = inside.or_else(around) else {
            match next_held(levels, at) {
                Some(next) => at = next,
                None => break,
            }
            continue;
        };
        let from = level.len.window(at).start();
        let one = from.saturating_add(level.len.nanos());
        let to = if inside.is_some() { one.max(run(levels, level, from, end)) } else { one };
        // What lies before was answered by finer windows: a coarse one over them would count it twice.
        if plan.spans.last().is_some_and(|span| span.range.to > from) {
            at = to;
            continue;
        }
        push(&mut plan, Span { len: level.len, range: TimeRange { from, to } });
        at = to;
        if to == Nanos::MAX {
            break;
        }
    }
    plan
}

/// The levels as they were known: `known` has of each the first window that was packed later. Coarser levels end there, but
/// not before the finer one begins: what only they hold is asked of them, and not known.
pub(crate) fn as_known(levels: &[Level], known: &[Window]) -> Vec<Level> {
    let mut all: Vec<Level> = Vec::with_capacity(levels.len());
    for (level, known) in levels.iter().zip(known) {
        let begins = all.last().map(|finer| up(level.len, finer.first));
        let end = begins.map_or(level.end, |begins| level.end.min(begins.max(*known)));
        all.push(Level { end, ..*level });
    }
    all
}

/// The first window of a length that begins at `at` or after it.
pub(crate) fn up(len: WindowLen, at: Window) -> Window {
    let down = len.window(at.start());
    if down == at { down } else { down.next(len) }
}

fn holds(level: &Level, at: Nanos) -> bool {
    let window = level.len.window(at);
    window >= level.first && window < level.end || window == level.end && level.end.0 == u32::MAX
}

fn fits(level: &Level, at: Nanos, end: Nanos) -> bool {
    let window = level.len.window(at);
    let to = at.saturating_add(level.len.nanos());
    window.start() == at && to <= end && holds(level, at)
}

/// Where windows of a level that begin at `from` have to stop: at the end of the range, at their own,
/// or where a coarser window fits. So a plan costs a few steps, whatever the range.
fn run(levels: &[Level], level: &Level, from: Nanos, end: Nanos) -> Nanos {
    let own = end.min(ends(level));
    let whole = own - (own - from) % level.len.nanos();
    let coarser = levels.iter().filter(|l| l.len > level.len);
    let fit = coarser.filter_map(|l| {
        let first = from.max(l.first.start()).checked_next_multiple_of(l.len.nanos())?;
        fits(l, first, end).then_some(first)
    });
    fit.min().map_or(whole, |first| whole.min(first))
}

/// Where a level ends.
fn ends(level: &Level) -> Nanos {
    if level.end.0 == u32::MAX { Nanos::MAX } else { level.end.start() }
}

/// The next instant after `at` that some level holds.
fn next_held(levels: &[Level], at: Nanos) -> Option<Nanos> {
    let starts = levels.iter().filter(|level| level.first < level.end).map(|l| l.first.start());
    starts.filter(|start| *start > at).min()
}

fn push(plan: &mut Plan, span: Span) {
    match plan.spans.last_mut() {
        Some(last) if last.len == span.len && last.range.to == span.range.from => {
            last.range.to = span.range.to;
        }
        _ => plan.spans.push(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(secs: u32, first: u32, end: u32) -> Level {
        Level {
            len: WindowLen::try_new(secs).expect("it divides a day"),
            first: Window(first),
            end: Window(end),
            sealed: Window(end),
            disk_bytes: 0,
        }
    }

    fn secs(from: u64, to: u64) -> TimeRange {
        TimeRange { from: from * 1_000_000_000, to: to * 1_000_000_000 }
    }

    fn check(levels: &[Level], range: TimeRange, expected: &str) {
        let plan = plan(levels, range);
        let words: Vec<String> = plan
            .spans
            .iter()
            .map(|s| {
                let (from, to) = (s.range.from / 1_000_000_000, s.range.to / 1_000_000_000);
                format!("{}:{from}-{to}", s.len.secs())
            })
            .collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn coarse_windows_lie_inside_and_finer_ones_at_the_ends() {
        let all = [level(10, 0, u32::MAX), level(60, 0, 3_600), level(600, 0, 3_000)];
        check(&all, secs(595, 1_265), "10:590-600 600:600-1200 60:1200-1260 10:1260-1270");
        check(&all, secs(0, 1_200), "600:0-1200");
        check(&all, secs(15, 25), "10:10-30");
        check(&all, secs(7, 7), "");
    }

    #[test]
    fn windows_that_are_not_there_yet_are_answered_by_finer_ones() {
        let all = [level(10, 0, u32::MAX), level(60, 0, 660), level(600, 0, 600)];
        check(&all, secs(0, 1_200), "600:0-600 60:600-660 10:660-1200");
    }

    #[test]
    fn where_fine_windows_have_expired_coarser_ones_reach_beyond_the_ends() {
        let all = [level(10, 3_000, u32::MAX), level(60, 1_200, 3_600), level(600, 0, 3_600)];
        check(&all, secs(615, 1_205), "600:600-1200 60:1200-1260");
        // An end of the range inside a coarse window, the rest of which finer ones would hold.
        check(&all, secs(1_215, 3_015), "60:1200-1800 600:1800-3000 10:3000-3020");
        check(&all, secs(2_995, 3_015), "60:2940-3000 10:3000-3020");
    }

    #[test]
    fn what_was_packed_later_is_left_to_finer_windows_that_are_held() {
        let all = [level(10, 2_400, u32::MAX), level(60, 1_200, 3_600), level(600, 0, 3_600)];
        let known = |known: [u32; 3]| as_known(&all, &known.map(Window));
        check(&known([0, 3_600, 3_600]), secs(0, 3_600), "600:0-3600");
        check(
            &known([3_590, 3_540, 3_000]),
            secs(1_800, 3_600),
            "600:1800-3000 60:3000-3540 10:3540-3600",
        );
        // Of minutes before 2400, and of what is before 1200, there is nothing finer.
        check(&known([0, 0, 0]), secs(0, 3_600), "600:0-1200 60:1200-2400 10:2400-3600");
    }

    #[test]
    fn what_no_level_holds_is_left_out_and_shows() {
        let all = [level(10, 3_000, u32::MAX), level(60, 1_200, 3_600)];
        check(&all, secs(0, 1_320), "60:1200-1320");
        check(&all, secs(0, 100), "");
        let torn = [level(10, 3_000, u32::MAX), level(60, 0, 600)];
        check(&torn, secs(0, 3_010), "60:0-600 10:3000-3010");
    }

    #[test]
    fn last_window_of_time_is_planned_too() {
        let all = [level(10, 0, u32::MAX), level(60, 0, 600)];
        let beyond = TimeRange { from: Nanos::MAX - 1, to: Nanos::MAX };
        assert_eq!(plan(&all, beyond).windows(), 1);
        assert!(plan(&all, TimeRange { from: 600_000_000_000, to: Nanos::MAX }).spans.len() == 1);
    }
}
