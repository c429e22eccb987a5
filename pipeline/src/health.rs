//! Health: how every edge and every service does, judged window by window against what is usual of it.
//!
//! ```text
//! rows of calls ─► windows ─► (watermark has passed) ─► sums by edge, by service ─► judgement ─► rows
//! ```
//!
//! A window is judged once, when no half of a call waits in it any more. What is known of an edge is
//! its row, which is stored; so a restart goes on where the process before left off: judged windows are
//! in the rows, those that are not yet judged are read from the store. Calls that come later than that
//! count in the graph, and no longer in health.

mod judge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use portolan_model::{
    Barrier, CallDelta, CallMeasure, CallSource, EntityId, HealthKey, HealthRow, Latency, Layer,
    Nanos, Window, WindowLen,
};
use rustc_hash::FxHashMap;

use crate::tally::{Count, count, tell};
use crate::{LineConfig, Restored};
use judge::{Seen, judge};

/// See the module.
pub(crate) struct Doctor {
    window: WindowLen,
    config: LineConfig,
    most: usize,
    rows: FxHashMap<HealthKey, HealthRow>,
    windows: BTreeMap<Window, FxHashMap<(EntityId, EntityId, CallSource), Said>>,
    /// Windows before this one are judged.
    judged: Window,
    late: i64,
    left_out: i64,
}

/// What an epoch changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) rows: Vec<HealthRow>,
    pub(crate) gone: Vec<HealthKey>,
}

/// What one source says of an edge in a window.
#[derive(Default)]
struct Said {
    calls: i64,
    raw: i64,
    errors: i64,
    client: Latency,
    server: Latency,
}

/// Who was silent for so long begins anew.
const FORGET: Nanos = 24 * 3_600 * 1_000_000_000;

/// From when on a line that goes on needs the rows of calls ([`Restored::calls`]).
pub fn unjudged(config: &LineConfig, watermark: Nanos) -> Nanos {
    let wait = Nanos::from(config.traces.wait_secs) * 1_000_000_000;
    // No half of a call waits in it any more.
    let settle = wait + config.window.nanos();
    config.window.window(watermark.saturating_sub(settle)).start()
}

// === impl Doctor ===

impl Doctor {
    pub(crate) fn new(config: &LineConfig, restored: &Restored) -> Self {
        let mut doctor = Self {
            config: config.clone(),
            window: config.window,
            most: config.max_health,
            rows: restored.health.iter().map(|row| (row.key, *row)).collect(),
            windows: BTreeMap::new(),
            judged: Window(0),
            late: 0,
            left_out: 0,
        };
        doctor.judged = doctor.due(restored.watermark);
        restored.calls.iter().for_each(|row| doctor.take(row));
        // What was late was late before the restart.
        doctor.late = 0;
        doctor
    }

    /// The first window that is not to be judged yet.
    fn due(&self, watermark: Nanos) -> Window {
        self.window.window(unjudged(&self.config, watermark))
    }

    /// Takes in what an epoch changes of calls.
    pub(crate) fn take(&mut self, row: &CallDelta) {
        let key = &row.key;
        if key.window < self.judged {
            self.late += 1;
            return;
        }
        let window = self.windows.entry(key.window).or_default();
        let said = window.entry((key.client, key.server, key.source)).or_default();
        said.calls += row.counters[CallMeasure::CallsMilli];
        said.raw += row.counters[CallMeasure::Raw];
        said.errors += row.counters[CallMeasure::ErrorsMilli];
        said.client.add(&row.client);
        said.server.add(&row.server);
    }

    /// Judges what is due.
    pub(crate) fn barrier(&mut self, barrier: &mut Barrier) -> Changes {
        let due = self.due(barrier.watermark).max(self.judged);
        let mut changed = BTreeMap::new();
        let later = self.windows.split_off(&due);
        for (window, said) in std::mem::replace(&mut self.windows, later) {
            self.judge(window, &said, &mut changed);
        }
        let mut gone = Vec::new();
        if due > self.judged {
            self.judged = due;
            let silent = self.window.window(due.start().saturating_sub(FORGET));
            self.rows.retain(|key, row| {
                let keep = row.judged >= silent;
                if !keep {
                    gone.push(*key);
                }
                keep
            });
            gone.sort_unstable();
        }
        tell(self.counts(), barrier);
        Changes { rows: changed.into_values().collect(), gone }
    }

    /// All that is counted.
    pub(crate) fn counts(&mut self) -> [Count<'_>; 2] {
        [count("health_late", &mut self.late), count("health_left_out", &mut self.left_out)]
    }

    fn judge(
        &mut self,
        window: Window,
        said: &FxHashMap<(EntityId, EntityId, CallSource), Said>,
        changed: &mut BTreeMap<HealthKey, HealthRow>,
    ) {
        // What is derived counts only where nobody else does, and stands behind the others.
        let mut said: Vec<_> = said.iter().collect();
        said.sort_unstable_by_key(|(key, _)| **key);
        let mut best: BTreeMap<(EntityId, EntityId), (CallSource, &Said)> = BTreeMap::new();
        for derived in [false, true] {
            for ((client, server, source), said) in &said {
                if said.calls > 0 && said.raw > 0 && (*source == CallSource::Derived) == derived {
                    best.entry((*client, *server)).or_insert((*source, said));
                }
            }
        }
        let mut services: BTreeMap<EntityId, Seen> = BTreeMap::new();
        let mut seen: Vec<(HealthKey, Seen)> = Vec::new();
        for ((client, server), (source, said)) in best {
            let (samples, failed) = said.samples(source);
            let service = services.entry(server).or_default();
            service.samples += samples;
            service.failed += failed;
            // Of all who call, only the side that they share.
            service.latency.add(&said.server);
            service.latency_of = SERVICE;
            let by_client = said.client.count() > 0;
            let latency = if by_client { said.client.clone() } else { said.server.clone() };
            let latency_of = 1 + 2 * source as u8 + u8::from(by_client);
            seen.push((
                HealthKey { client, server },
                Seen { samples, failed, latency, latency_of },
            ));
        }
        seen.extend(services.into_iter().map(|(id, seen)| (HealthKey::of_service(id), seen)));
        for (key, seen) in seen {
            if self.rows.len() >= self.most && !self.rows.contains_key(&key) {
                self.left_out += 1;
                continue;
            }
            let row = self.rows.entry(key).or_insert_with(|| HealthRow::new(key, window));
            // Judged before a restart with an earlier watermark.
            if window > row.judged {
                judge(row, window, &seen);
                changed.insert(key, *row);
            }
        }
    }
}

// === impl Said ===

impl Said {
    /// What chance is reckoned by, and how many of these failed. A span is one sample, whatever weight
    /// it was sampled with; metrics count every call.
    fn samples(&self, source: CallSource) -> (u64, u64) {
        let calls = self.calls.max(1).unsigned_abs();
        let failed = self.errors.clamp(0, self.calls.max(0)).unsigned_abs();
        let samples = match source.layer() {
            Layer::Trace => self.raw.max(0).unsigned_abs(),
            _ => calls.div_ceil(1_000),
        };
        (samples, (u128::from(samples) * u128::from(failed) / u128::from(calls)) as u64)
    }
}

/// [`HealthRow::latency_of`] of a service.
const SERVICE: u8 = u8::MAX;
