//! Metric mapper: from points of metrics to calls between services.
//!
//! ```text
//! points ─► series ─► (barrier) ─► stretches of time ─► difference to what was told
//!                         ▲
//! directory, watermark ───┘
//! ```
//!
//! Points of an epoch are only gathered. At the barrier every series that was touched is judged,
//! which is a pure function of its points: what was counted between one and the next, who the ends
//! were then, whether another metric of the process tells the same (metric semantics; trace
//! semantics, C.11). What is emitted is the difference to what was told. Points are remembered until
//! the watermark has passed them by the horizon; of what counts since a start the last one before
//! stays, for as long as the next may be compared to it.

mod point;
mod rows;
mod series;
mod streams;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_model::{
    Barrier, EntityId, Ip, MetricBatch, MetricColumns, MetricEnd, MetricRow, Nanos, ScopeId, Text,
    Window, WindowLen,
};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::linker::{Known, Moved};
use crate::naming::{Far, Naming, Side};
use crate::pool::{Pool, Printer};
use crate::tally::{self, Count};
use crate::{Deltas, LineConfig};

use point::Point;
use rows::{Rows, count};
use series::{Label, Names, Series, Told};
use streams::{Streams, Voice};

/// See the module.
pub struct MetricMapper {
    window: WindowLen,
    horizon: Nanos,
    gap: Nanos,
    tolerance: Nanos,
    max_points: usize,
    environment: Arc<str>,
    ends: Pool<Far>,
    operations: Pool<Arc<str>>,
    printer: Printer,
    series: FxHashMap<u128, Series>,
    streams: Streams,
    /// Series to judge at the barrier.
    touched: Vec<u128>,
    /// Lowest offset by partition that a window has points from.
    reread: BTreeMap<Window, FxHashMap<u32, i64>>,
    /// No point that is remembered lies before this window.
    oldest: Option<Window>,
    /// Empty between barriers; its memory is kept.
    rows: Rows,
    /// How many points are remembered.
    points: usize,
    /// What lies before this window is settled.
    folded: Window,
    /// What lay before this one was so at the barrier before: of such points all was told that ever will be.
    told: Window,
    tally: Tallies,
}

/// What the mapper counts of itself in an epoch.
#[derive(Default)]
struct Tallies {
    other: i64,
    duplicates: i64,
    late: i64,
    folded_early: i64,
    left_out: i64,
}

impl MetricMapper {
    /// A mapper that remembers nothing yet.
    pub fn new(config: &LineConfig) -> Self {
        let mut printer = Printer::default();
        let metrics = &config.metrics;
        let secs = |secs: u32| Nanos::from(secs) * 1_000_000_000;
        Self {
            window: config.window,
            horizon: secs(metrics.horizon_secs),
            gap: secs(metrics.gap_secs),
            tolerance: Nanos::from(config.clock_tolerance_ms) * 1_000_000,
            max_points: metrics.max_points,
            environment: config.environment.as_str().into(),
            ends: Far::pool(),
            operations: Pool::new(printer.print(&[""], &[]), "".into()),
            printer,
            series: FxHashMap::default(),
            streams: Streams::default(),
            touched: Vec::new(),
            reread: BTreeMap::new(),
            oldest: None,
            rows: Rows::default(),
            points: 0,
            folded: Window(0),
            told: Window(0),
            tally: Tallies::default(),
        }
    }

    /// How many series are remembered.
    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// How many points are remembered.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Takes points in.
    pub fn gather(&mut self, batch: &MetricBatch) {
        let columns = &batch.metrics;
        self.tally.other += columns.other as i64;
        let mut numbers = Numbers::default();
        let mut seen = None;
        for row in columns.rows() {
            let window = self.window.window(row.time);
            if seen != Some(window) {
                seen = Some(window);
                let offsets = self.reread.entry(window).or_default();
                let lowest = offsets.entry(batch.partition.0).or_insert(batch.first_offset);
                *lowest = batch.first_offset.min(*lowest);
            }
            self.keep(row, columns, batch.scope, window, &mut numbers);
        }
    }

    fn keep(
        &mut self,
        row: &MetricRow,
        columns: &MetricColumns,
        scope: ScopeId,
        window: Window,
        numbers: &mut Numbers,
    ) {
        let is_late = window < self.folded;
        self.tally.late += i64::from(is_late);
        let series = match self.series.entry(row.series) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let mut end = |of: &MetricEnd| {
                    *numbers.ends.entry(*of).or_insert_with(|| {
                        far(of, columns, scope, &self.environment)
                            .number(&mut self.ends, &mut self.printer)
                    })
                };
                let (client, server) = (end(&row.client), end(&row.server));
                let operation = *numbers.operations.entry(row.operation).or_insert_with(|| {
                    let said = columns.say(row.operation);
                    self.operations.number(self.printer.print(&[said], &[]), || said.into())
                });
                new.insert(Series::new(Label::of(row, client, server, operation)))
            }
        };
        // What counts since a start has told of that time already.
        let is_told = series.oldest().is_some_and(|oldest| row.time < oldest);
        if is_late && is_told && !series.label.delta {
            return;
        }
        self.streams.saw(window, &series.label);
        let (more, is_new) = series.put(Point::of(row, columns));
        self.points += more;
        if !is_new {
            self.tally.duplicates += 1;
            return;
        }
        self.oldest = Some(self.oldest.map_or(window, |oldest| oldest.min(window)));
        if !series.touched {
            series.touched = true;
            self.touched.push(row.series);
        }
    }

    /// Ends the epoch: adds what it came to.
    pub(crate) fn barrier(
        &mut self,
        known: &mut Known<'_>,
        barrier: &mut Barrier,
        out: &mut Deltas,
    ) {
        let behind = self.window.window(barrier.watermark.saturating_sub(self.horizon));
        let moves = behind > self.folded;
        self.folded = self.folded.max(behind);
        let raised = self.streams.moved();
        self.touch_where(!raised.is_empty(), |s| raised.contains(&voice(&s.label)));
        self.touch_moved(known.moved);
        self.judge_touched(known);
        if moves {
            self.trim(barrier.watermark);
        }
        self.shed(barrier.watermark);
        self.told = self.folded;
        self.say_reread(barrier);
        self.sweep();
        self.emit(out);
        tally::tell(self.counts(), barrier);
    }

    /// Judges once more what bears names that have been displaced since the barrier.
    pub(crate) fn rename(
        &mut self,
        displaced: &FxHashSet<EntityId>,
        known: &mut Known<'_>,
        out: &mut Deltas,
    ) {
        self.touch_naming(displaced);
        self.judge_touched(known);
        self.emit(out);
    }

    fn emit(&mut self, out: &mut Deltas) {
        out.calls.extend(self.rows.drain().map(|(_, row)| row).filter(|row| !row.is_zero()));
    }

    fn touch_where(&mut self, any: bool, wanted: impl Fn(&Series) -> bool) {
        if !any {
            return;
        }
        for (id, series) in &mut self.series {
            if !series.touched && wanted(series) {
                series.touched = true;
                self.touched.push(*id);
            }
        }
    }

    /// Addresses have other owners.
    fn touch_moved(&mut self, moved: &Moved) {
        if moved.ips.is_empty() && !moved.any {
            return;
        }
        let asks = self
            .ends
            .flags_where(|far: &Far| far.asks() && (moved.any || moved.ips.contains(&far.ip)));
        let is = |s: &Series| asks[s.label.client as usize] || asks[s.label.server as usize];
        self.touch_where(true, is);
    }

    fn touch_naming(&mut self, displaced: &FxHashSet<EntityId>) {
        let bears = |told: &Told| {
            let Names { client, server, operation, .. } = told.names;
            [client, server, operation].iter().any(|id| displaced.contains(id))
        };
        self.touch_where(true, |series| series.told.iter().any(bears));
    }

    fn judge_touched(&mut self, known: &mut Known<'_>) {
        let mut judged = Vec::new();
        loop {
            let mut names = FxHashMap::default();
            if known.strangers.may_run_out(self.ends.len()) {
                self.touched.sort_unstable();
            }
            for id in std::mem::take(&mut self.touched) {
                self.judge(id, &mut known.naming(self.tolerance), &mut names);
                judged.push(id);
            }
            let displaced = known.names.take_displaced();
            if displaced.is_empty() {
                break;
            }
            self.touch_naming(&displaced);
            known.displaced.extend(displaced);
        }
        // What came late is told of now that names are final, and is settled at once.
        for id in judged {
            if let Some(series) = self.series.get_mut(&id) {
                self.points -= series.trim(self.folded.start());
            }
        }
    }

    /// Judges a series and emits the difference.
    fn judge(
        &mut self,
        id: u128,
        naming: &mut Naming<'_>,
        names: &mut FxHashMap<(u32, u32, u32), Names>,
    ) {
        let Some(series) = self.series.get_mut(&id) else { return };
        series.touched = false;
        let label = series.label;
        let (ends, operations) = (&self.ends, &self.operations);
        let parties = [ends.get(label.client), ends.get(label.server)];
        let operation = operations.get(label.operation);
        let of = (label.client, label.server, label.operation);
        // What asks nobody's address is the same at any time.
        let is_fixed = !parties.iter().any(|far| far.asks());
        let mut found = Vec::with_capacity(series.points.len());
        for stretch in series.stretches(self.told.start(), self.gap) {
            let at = stretch.point.time;
            let named = match names.get(&of) {
                Some(named) if is_fixed => *named,
                _ => name(naming, parties, operation, at),
            };
            if is_fixed {
                names.insert(of, named);
            }
            let (counts, times) = self.streams.counts(self.window.window(at), &label);
            found.push(Told {
                before: stretch.before.cloned(),
                point: Arc::clone(stretch.point),
                begin: stretch.begin,
                names: named,
                counts,
                times,
            });
        }
        let rows = &mut self.rows;
        for old in series.told.iter().filter(|old| !found.iter().any(|new| new.is(old))) {
            count(old, &label, -1, self.window, rows);
        }
        for new in found.iter().filter(|new| !series.told.iter().any(|old| old.is(new))) {
            count(new, &label, 1, self.window, rows);
        }
        series.told = found;
    }

    /// Forgets what is settled, and series that have ended.
    fn trim(&mut self, watermark: Nanos) {
        let settled = self.folded.start();
        let ended = watermark.saturating_sub(self.horizon.saturating_add(self.gap));
        let mut oldest = None;
        let points = &mut self.points;
        self.series.retain(|_, series| {
            *points -= series.trim(settled);
            let Some(first) = series.oldest().filter(|_| series.newest() >= ended) else {
                *points -= series.points.len();
                return false;
            };
            oldest = Some(oldest.map_or(first, |oldest: Nanos| oldest.min(first)));
            true
        });
        self.oldest = oldest.map(|oldest| self.window.window(oldest));
        self.streams.forget(self.folded);
    }

    /// Folds the oldest windows while more points are remembered than may be; then leaves out the
    /// series whose hashes are highest, so that which are kept does not depend on the order.
    fn shed(&mut self, watermark: Nanos) {
        while self.points > self.max_points {
            let before = self.points;
            let newest = self.series.values().map(Series::newest).max().unwrap_or(0);
            let last = self.window.window(newest);
            if self.folded < last {
                let oldest = self.oldest.unwrap_or(self.folded).max(self.folded);
                self.folded = oldest.next(self.window);
                self.trim(watermark);
                self.tally.folded_early += (before - self.points) as i64;
                continue;
            }
            let mut all: Vec<u128> = self.series.keys().copied().collect();
            all.sort_unstable();
            while self.points > self.max_points {
                let Some(series) = all.pop().and_then(|id| self.series.remove(&id)) else { break };
                self.points -= series.points.len();
                self.tally.left_out += 1;
            }
        }
    }

    /// Says from which offset each partition must be read again to rebuild the memory: the lowest that
    /// a point which is remembered came from, the last of each series among them.
    fn say_reread(&mut self, barrier: &mut Barrier) {
        let Some(oldest) = self.oldest else {
            self.reread.clear();
            return;
        };
        self.reread = self.reread.split_off(&oldest);
        for (partition, position) in &mut barrier.positions {
            let lowest = self.reread.values().filter_map(|of| of.get(&partition.0)).min();
            if let Some(lowest) = lowest {
                position.reread = position.reread.min(*lowest);
            }
        }
    }

    /// Forgets what no remembered series says.
    fn sweep(&mut self) {
        if !self.ends.is_due() && !self.operations.is_due() {
            return;
        }
        let (mut ends, mut operations) = (self.ends.flags(), self.operations.flags());
        for label in self.series.values().map(|series| &series.label) {
            ends[label.client as usize] = true;
            ends[label.server as usize] = true;
            operations[label.operation as usize] = true;
        }
        self.ends.keep(&ends);
        self.operations.keep(&operations);
    }

    /// All that it counts.
    pub(crate) fn counts(&mut self) -> Vec<Count<'_>> {
        let of = &mut self.tally;
        vec![
            tally::count("metric_points_other", &mut of.other),
            tally::count("metric_points_duplicate", &mut of.duplicates),
            tally::count("metric_points_late", &mut of.late),
            tally::count("metric_points_folded_early", &mut of.folded_early),
            tally::count("metric_series_left_out", &mut of.left_out),
        ]
    }
}

/// Numbers for the texts of one batch.
#[derive(Default)]
struct Numbers {
    ends: FxHashMap<MetricEnd, u32>,
    operations: FxHashMap<Text, u32>,
}

fn voice(label: &Label) -> Voice {
    (label.stream, label.group)
}

/// An end as its labels have it.
fn far<'a>(
    end: &MetricEnd,
    columns: &'a MetricColumns,
    scope: ScopeId,
    environment: &'a str,
) -> Far<&'a str> {
    if end.is_blank() {
        return Far::default();
    }
    let environment = match columns.say(end.environment) {
        "" => environment,
        said => said,
    };
    let ip = |text, port| columns.say(text).parse::<Ip>().ok().map(|ip| (ip, port));
    // A network address without a port is asked with that of the name.
    let port = if end.network_port == 0 { end.port } else { end.network_port };
    let of = ip(end.address, end.port).or_else(|| ip(end.network, port));
    let (ip, ip_port) = of.unwrap_or_default();
    Far {
        scope,
        environment,
        peer: columns.say(end.service),
        peer_namespace: columns.say(end.namespace),
        address: columns.say(end.address),
        port: end.port,
        ip: ip.beyond_nat64(),
        ip_port,
        db_system: columns.say(end.db_system),
        db_name: columns.say(end.db_name),
        messaging_system: columns.say(end.messaging_system),
        destination: columns.say(end.destination),
    }
}

/// Who the ends are at a time.
fn name(naming: &mut Naming<'_>, ends: [&Far; 2], operation: &Arc<str>, at: Nanos) -> Names {
    let mut end = |far: &Far, side| {
        if !far.destination.is_empty() {
            return naming.topic(far);
        }
        naming.far(far, at, side).map(|(id, _)| id)
    };
    let found = [end(ends[0], Side::Caller), end(ends[1], Side::Server)];
    let whole = found.iter().all(Option::is_some);
    let [client, server] = found.map(|id| id.unwrap_or_else(|| naming.unknown()));
    let operation =
        if operation.is_empty() { EntityId::NONE } else { naming.operation(server, operation) };
    Names { client, server, operation, whole }
}
