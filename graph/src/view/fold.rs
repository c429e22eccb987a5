//! Folds hops: takes path rows off their legs, in the order in which traffic passes.
//!
//! A row may land on a leg that another row takes from (`client -> [address] -> balancer`, then
//! `client -> [balancer] -> target`). Legs are therefore worked off like a queue of tasks: a leg
//! when all rows that land on it are done (Kahn's algorithm). Legs that feed each other in a circle
//! are worked off in the order of their keys, and what then still waits for the others is moved all
//! at once if it balances. So every row is applied once, or in part and then counted: it ends.

use std::ops::Range;

use portolan_model::{Counters, EntityId, Evidence, Measure, Nanos, PathKind, Via};
use rustc_hash::FxHashMap;

use super::{Doubts, Edge, Path, View};

/// The longest chain of hops that is shown (flow semantics, section 4.5).
const MAX_HOPS: usize = 8;

/// A path row that applies.
pub(super) struct Row {
    /// Place of its leg in the list of sums.
    pub(super) leg: u32,
    /// Place of its target.
    pub(super) target: Option<u32>,
    pub(super) kind: PathKind,
    pub(super) evidence: Evidence,
    pub(super) via: Via,
    /// What of its claim is still open.
    pub(super) open: Counters,
    pub(super) first_ns: Nanos,
    pub(super) last_ns: Nanos,
}

type Hops = [(EntityId, Evidence)];

struct Fold {
    /// Edges, summed over windows; one that something was taken off is residual.
    sums: Vec<Edge>,
    /// Sorted by leg, then by key.
    rows: Vec<Row>,
    /// Whether an edge was seen by itself, before anything was folded.
    seen: Vec<bool>,
    doubts: Doubts,
}

/// The order in which legs are worked off.
struct Order {
    /// Once each.
    straight: Vec<Range<usize>>,
    /// These wait for each other.
    circles: Vec<Range<usize>>,
}

/// Applies all rows. `rows` stand by leg, and for one leg in the order of their keys.
pub(super) fn fold(mut sums: Vec<Edge>, rows: Vec<Row>, doubts: Doubts) -> View {
    if rows.is_empty() {
        sums.retain(|sum| sum.counters.is_present());
        return View { edges: sums, doubts, ..View::default() };
    }
    let places = sums.len();
    let order = Order::new(&rows, places);
    let mut fold = Fold {
        seen: sums.iter().map(|sum| sum.counters.is_present()).collect(),
        sums,
        rows,
        doubts,
    };
    for group in order.straight {
        fold.leg(group);
    }
    for group in &order.circles {
        fold.circling_leg(group.clone());
    }
    fold.settle(&order.circles);
    fold.finish()
}

// === impl Order ===

impl Order {
    fn new(rows: &[Row], places: usize) -> Self {
        const NONE: usize = usize::MAX;
        let mut groups: Vec<Range<usize>> = Vec::new();
        let mut group_of = vec![NONE; places];
        for group in rows.chunk_by(|a, b| a.leg == b.leg) {
            let start = groups.last().map_or(0, |last| last.end);
            group_of[group[0].leg as usize] = groups.len();
            groups.push(start..start + group.len());
        }
        let feeds = |row: &Row| {
            let group = group_of[row.target? as usize];
            (group != NONE).then_some(group)
        };
        let mut waiting = vec![0_u32; groups.len()];
        for fed in rows.iter().filter_map(feeds) {
            waiting[fed] += 1;
        }
        let mut ready: Vec<usize> = (0..groups.len()).filter(|at| waiting[*at] == 0).collect();
        let mut straight = Vec::with_capacity(groups.len());
        while let Some(group) = ready.pop() {
            let range = groups[group].clone();
            for fed in rows[range.clone()].iter().filter_map(feeds) {
                waiting[fed] -= 1;
                if waiting[fed] == 0 {
                    ready.push(fed);
                }
            }
            straight.push(range);
        }
        let circles = groups.into_iter().zip(waiting).filter(|(_, w)| *w > 0).map(|(g, _)| g);
        Self { straight, circles: circles.collect() }
    }
}

// === impl Fold ===

impl Fold {
    /// Works off one leg: all rows that take from it.
    fn leg(&mut self, group: Range<usize>) {
        let leg = self.rows[group.start].leg as usize;
        merge(&mut self.sums[leg].paths);
        let before = self.sums[leg].counters;
        let parts = self.take(leg, group);
        let Edge { counters, paths, .. } = &mut self.sums[leg];
        let carry = Carry::new(&before, counters, &parts, paths);
        self.doubts.unplaced += carry.unplaced;
        for (at, part) in &parts {
            self.land(*at, part, &carry);
        }
    }

    /// Works off a leg of a circle, as far as it goes.
    fn circling_leg(&mut self, group: Range<usize>) {
        let leg = self.rows[group.start].leg as usize;
        let before = self.sums[leg].counters;
        let parts = self.take(leg, group);
        if self.sums[leg].counters != before {
            self.forget_paths(leg);
        }
        for (at, part) in &parts {
            self.land(*at, part, &Carry::default());
        }
    }

    /// What came to a leg went on in parts, nobody can tell which: it is not told.
    fn forget_paths(&mut self, leg: usize) {
        self.doubts.unplaced += self.sums[leg].paths.len() as u64;
        self.sums[leg].paths.clear();
    }

    /// Takes from a leg what its rows claim, at most what there is: row by row, for those that
    /// speak for a target.
    fn take(&mut self, leg: usize, group: Range<usize>) -> Vec<(usize, Counters)> {
        let mut parts = Vec::new();
        for at in group {
            let part = least(&self.rows[at].open, &self.sums[leg].counters);
            if part.is_zero() {
                continue;
            }
            self.sums[leg].residual = true;
            self.sums[leg].counters.subtract(&part);
            let row = &mut self.rows[at];
            row.open.subtract(&part);
            if row.target.is_some() {
                parts.push((at, part));
            }
        }
        parts
    }

    /// Whether what a row takes is added to its target. A leg that an edge explains adds nothing to
    /// it, but a connection may cross a window's end: where the range holds the leg and not the
    /// edge, nobody else counted the traffic, and the proof that it went there still stands.
    fn moves(&self, row: &Row) -> bool {
        match row.kind {
            PathKind::Moved => true,
            PathKind::Explained => row.target.is_some_and(|target| !self.seen[target as usize]),
            PathKind::Leg => false,
        }
    }

    /// Puts what a row took where it goes.
    fn land(&mut self, at: usize, part: &Counters, carry: &Carry) {
        let row = &self.rows[at];
        let Some(target) = row.target.map(|target| target as usize) else { return };
        let hops = row.via.iter().map(|hop| (*hop, row.evidence)).collect();
        if self.moves(row) {
            self.sums[target].add(part, row.first_ns, row.last_ns);
        }
        self.note(target, carry, hops, part);
    }

    /// Traffic that went around a circle of legs waits for itself. Where what is open balances on
    /// every leg, it is moved all at once; which hops it went through, nobody can tell any more.
    fn settle(&mut self, circles: &[Range<usize>]) {
        let open: Vec<usize> = circles.iter().cloned().flatten().collect();
        let mut change: FxHashMap<u32, Counters> = FxHashMap::default();
        for row in open.iter().map(|at| &self.rows[*at]) {
            change.entry(row.leg).or_default().subtract(&row.open);
            if let (true, Some(target)) = (self.moves(row), row.target) {
                change.entry(target).or_default().add(&row.open);
            }
        }
        for (at, change) in &mut change {
            change.add(&self.sums[*at as usize].counters);
        }
        if change.values().any(|sum| sum.as_array().iter().any(|sum| *sum < 0)) {
            return;
        }
        for (at, sum) in change {
            self.sums[at as usize].counters = sum;
        }
        for at in open {
            let row = &self.rows[at];
            if let (true, Some(target)) = (self.moves(row), row.target) {
                self.sums[target as usize].add(&Counters::ZERO, row.first_ns, row.last_ns);
            }
            if !row.open.is_zero() {
                self.doubts.unplaced += 1;
                self.forget_paths(self.rows[at].leg as usize);
            }
            self.rows[at].open = Counters::ZERO;
        }
    }

    /// Notes on an edge what a part of it went through.
    fn note(
        &mut self,
        target: usize,
        carry: &Carry,
        hops: Vec<(EntityId, Evidence)>,
        part: &Counters,
    ) {
        let mut rest = *part;
        for before in &carry.whole {
            // Only where one row takes all: what came by a chain is a share of the part.
            let share = least(&before.counters, &rest);
            rest.subtract(&share);
            let hops = self.chain(&before.hops, &hops);
            self.push(target, hops, &share);
        }
        if let Some(before) = &carry.every {
            let hops = self.chain(before, &hops);
            self.push(target, hops, part);
        } else if !rest.is_zero() {
            self.push(target, hops, &rest);
        }
    }

    /// One chain after the other. Where that is too long, or meets a hop again, only the last hops
    /// are told.
    fn chain(&mut self, before: &Hops, hops: &Hops) -> Vec<(EntityId, Evidence)> {
        let again = before.iter().any(|(hop, _)| hops.iter().any(|(other, _)| other == hop));
        if again || before.len() + hops.len() > MAX_HOPS {
            self.doubts.unplaced += 1;
            return hops.to_vec();
        }
        [before, hops].concat()
    }

    fn push(&mut self, target: usize, hops: Vec<(EntityId, Evidence)>, counters: &Counters) {
        self.sums[target].paths.push(Path { hops, counters: *counters });
    }

    fn finish(self) -> View {
        let Self { mut sums, rows, mut doubts, .. } = self;
        doubts.overdrawn = rows.iter().filter(|row| !row.open.is_zero()).count() as u64;
        doubts.unbalanced = sums.iter().filter(|s| s.residual && unbalanced(s)).count() as u64;
        // What came to an edge that then went on as a whole, too late to go along.
        let gone = sums.iter().filter(|sum| !sum.counters.is_present());
        doubts.unplaced += gone.map(|sum| sum.paths.len() as u64).sum::<u64>();
        sums.retain_mut(|edge| {
            merge(&mut edge.paths);
            edge.counters.is_present()
        });
        View { edges: sums, doubts, ..View::default() }
    }
}

/// What a leg came through itself, handed on to where the leg goes.
#[derive(Default)]
struct Carry {
    /// Everything on the leg came by this one chain: so did every part.
    every: Option<Vec<(EntityId, Evidence)>>,
    /// The leg went to one place as a whole: so did all of its chains.
    whole: Vec<Path>,
    unplaced: u64,
}

// === impl Carry ===

impl Carry {
    fn new(
        before: &Counters,
        left: &Counters,
        parts: &[(usize, Counters)],
        paths: &mut Vec<Path>,
    ) -> Self {
        if paths.is_empty() || parts.is_empty() {
            return Self::default();
        }
        if let [only] = paths.as_mut_slice()
            && covers(&only.counters, before)
        {
            only.counters = *left;
            let every = Some(only.hops.clone());
            paths.retain(|path| path.counters.is_present());
            return Self { every, ..Self::default() };
        }
        if left.is_present() {
            return Self { unplaced: paths.len() as u64, ..Self::default() };
        }
        if parts.len() > 1 {
            // Nothing of the leg is left to be shown with them: counted at the end.
            return Self::default();
        }
        Self { whole: std::mem::take(paths), ..Self::default() }
    }
}

/// Whether a part is all of an edge: by connections, which a leg and the edge that explains it have
/// in common (their records and bytes may differ), or by records where none were counted.
fn covers(part: &Counters, edge: &Counters) -> bool {
    let by = match edge[Measure::ConnectionsActive] {
        0 => Measure::Flows,
        _ => Measure::ConnectionsActive,
    };
    part[by] >= edge[by]
}

/// Whether every record was folded away and yet something that records carry remains.
fn unbalanced(sum: &Edge) -> bool {
    let carried = |m: &Measure| !matches!(m, Measure::Flows | Measure::FlowsSeenTwice);
    !sum.counters.is_present()
        && Measure::ALL.iter().filter(|m| carried(m)).any(|m| sum.counters[*m] != 0)
}

/// Sorts paths by their hops and adds up those with the same ones.
fn merge(paths: &mut Vec<Path>) {
    paths.sort_unstable_by(|a, b| a.hops.cmp(&b.hops));
    paths.dedup_by(|next, kept| {
        let same = next.hops == kept.hops;
        if same {
            kept.counters.add(&next.counters);
        }
        same
    });
}

fn least(a: &Counters, b: &Counters) -> Counters {
    let mut least = Counters::ZERO;
    for measure in Measure::ALL {
        least[measure] = a[measure].min(b[measure]);
    }
    least
}
