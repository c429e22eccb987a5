//! Open windows: what is not packed yet lies in the store as a row an edge and window, which takes
//! long to read. The live graph has the same sums in memory: they are taken from there where it is of
//! the epoch that the question looks at, so that an answer is of one epoch still.

use portolan_model::{TimeRange, Window, WindowLen};
use portolan_storage::{History, Live, NowGraph, Plan, Span};

use super::Past;

/// Takes some windows of the live graph: of which plan, and the first and the last of them.
pub(super) type Take<'a> = dyn FnMut(usize, &NowGraph, (Window, Window)) + 'a;

/// Takes what the live graph has of some plans, and leaves what is to be read from the store.
pub(super) fn open(
    history: &dyn History,
    live: &Live,
    past: &Past,
    plans: Vec<Plan>,
    take: &mut Take<'_>,
) -> Vec<Plan> {
    let checkpoint = history.checkpoint();
    // What was known earlier of open windows is not known any more.
    if past.known_at.is_some_and(|at| at < checkpoint.clock) {
        return plans;
    }
    let levels = history.levels();
    let Some(base) = levels.first() else { return plans };
    live.read(|now| {
        if now.epoch() != checkpoint.epoch {
            return plans;
        }
        let first = base.sealed.max(base.len.window(now.covered().from));
        let each = plans.into_iter().enumerate().map(|(at, plan)| {
            let (rest, windows) = split(plan, base.len, first);
            if let Some(windows) = windows {
                take(at, now, windows);
            }
            rest
        });
        each.collect()
    })
}

/// A plan without its base windows from `first` on, and the first and the last of these.
fn split(plan: Plan, base: WindowLen, first: Window) -> (Plan, Option<(Window, Window)>) {
    let mut rest = Plan::default();
    let mut open: Option<(Window, Window)> = None;
    for span in plan.spans {
        let TimeRange { from, to } = span.range;
        if span.len != base || to <= first.start() {
            rest.spans.push(span);
            continue;
        }
        let begins = from.max(first.start());
        if from < begins {
            rest.spans.push(Span { len: base, range: TimeRange { from, to: begins } });
        }
        let last = base.window(to.saturating_sub(1));
        // What is open is the newest, so nothing coarser lies between two such spans.
        open = Some((open.map_or(base.window(begins), |(from, _)| from), last));
    }
    (rest, open)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: u64 = 1_000_000_000;

    fn span(secs: u32, from: u64, to: u64) -> Span {
        let len = WindowLen::try_new(secs).unwrap();
        Span { len, range: TimeRange { from: from * SEC, to: to * SEC } }
    }

    fn parts(spans: &[Span], first: u32) -> (Vec<Span>, Option<(u32, u32)>) {
        let plan = Plan { spans: spans.to_vec() };
        let (rest, open) = split(plan, WindowLen::BASE, Window(first));
        (rest.spans, open.map(|(from, last)| (from.0, last.0)))
    }

    #[test]
    fn base_windows_from_the_first_open_one_on_are_cut_off() {
        let spans = [span(60, 0, 600), span(10, 600, 700)];
        assert_eq!(parts(&spans, 650), (vec![spans[0], span(10, 600, 650)], Some((650, 690))));
        assert_eq!(parts(&spans, 600), (vec![spans[0]], Some((600, 690))));
        assert_eq!(parts(&spans, 0), (vec![spans[0]], Some((600, 690))));
        assert_eq!(parts(&spans, 700), (spans.to_vec(), None));
        let two = [span(10, 600, 620), span(10, 630, 650)];
        assert_eq!(parts(&two, 600), (vec![], Some((600, 640))));
    }
}
