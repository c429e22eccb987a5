//! Windows in, states out.

use portolan_model::{
    CallDelta, CallKey, CallMeasure, CallProtocol, CallSource, EntityId, EpochCommit, Health,
    HealthKey, HealthRow, Window,
};

use super::Doctor;
use crate::check::barrier;
use crate::{LineConfig, Restored};

const WEB: EntityId = EntityId(1);
const API: EntityId = EntityId(2);
const SHOP: EntityId = EntityId(3);
const MILLI: u64 = 1_000_000;
/// Number of the first window.
const FIRST: u32 = 100;

/// What `client` saw of `API` in a window: calls, of which so many failed, each that long.
fn row(client: EntityId, number: u32, (calls, failed): (i64, i64), millis: u64) -> CallDelta {
    let window = Window(number * 10);
    let mut row = CallDelta::new(CallKey {
        window,
        client,
        server: API,
        source: CallSource::TracePair,
        protocol: CallProtocol::Http,
        operation: EntityId::NONE,
    });
    row.counters[CallMeasure::Raw] = calls;
    row.counters[CallMeasure::CallsMilli] = 1_000 * calls;
    row.counters[CallMeasure::ErrorsMilli] = 1_000 * failed;
    row.client.record(millis * MILLI, calls);
    row.server.record(millis * MILLI, calls);
    row
}

/// A doctor, and what it has said.
struct Ward {
    config: LineConfig,
    doctor: Doctor,
    rows: std::collections::BTreeMap<HealthKey, HealthRow>,
    /// Rows that a store would have.
    stored: Vec<CallDelta>,
    watermark: u64,
    next: u32,
    said: Vec<(u32, Health)>,
}

impl Ward {
    fn new() -> Self {
        let config = LineConfig::default();
        let doctor = Doctor::new(&config, &Restored::default());
        let (rows, stored, said) = Default::default();
        Self { config, doctor, rows, stored, watermark: 0, next: FIRST, said }
    }

    fn commit(&mut self, rows: &[CallDelta], watermark: u64) -> EpochCommit {
        for row in rows {
            self.doctor.take(row);
        }
        self.stored.extend(rows.iter().cloned());
        self.watermark = watermark;
        let mut barrier = barrier(1, watermark);
        let changes = self.doctor.barrier(&mut barrier);
        for row in &changes.rows {
            let before = self.rows.insert(row.key, *row);
            let edge = HealthKey { client: WEB, server: API };
            if row.key == edge && before.is_none_or(|before| before.state != row.state) {
                self.said.push((row.since.0 / 10 - FIRST, row.state));
            }
        }
        for gone in &changes.gone {
            self.rows.remove(gone);
        }
        EpochCommit { tallies: barrier.tallies, ..EpochCommit::default() }
    }

    /// So many windows of the same.
    fn windows(&mut self, count: u32, calls: (i64, i64), millis: u64) {
        for _ in 0..count {
            let row = row(WEB, self.next, calls, millis);
            self.next += 1;
            self.commit(&[row], u64::from(self.next) * 10_000 * MILLI);
        }
    }

    /// Lets everything be judged, and says when the edge turned to what.
    fn end(&mut self) -> Vec<(u32, Health)> {
        self.commit(&[], u64::from(self.next + 10) * 10_000 * MILLI);
        std::mem::take(&mut self.said)
    }

    fn edge(&self) -> &HealthRow {
        &self.rows[&HealthKey { client: WEB, server: API }]
    }

    /// The process ends; another one goes on from what is stored.
    fn restart(&mut self) {
        let from = super::unjudged(&self.config, self.watermark);
        let calls = self.stored.iter().filter(|row| row.key.window.start() >= from);
        let restored = Restored {
            watermark: self.watermark,
            health: self.rows.values().copied().collect(),
            calls: calls.cloned().collect(),
            ..Restored::default()
        };
        self.doctor = Doctor::new(&self.config, &restored);
    }
}

use Health::{Degraded, Healthy, Unhealthy};

#[test]
fn errors_beyond_the_usual_turn_after_two_windows_and_back_after_six() {
    let mut ward = Ward::new();
    ward.windows(40, (100, 1), 20);
    ward.windows(10, (100, 50), 20);
    ward.windows(10, (100, 1), 20);
    assert_eq!(ward.end(), [(0, Healthy), (41, Unhealthy), (55, Healthy)]);
    let usual = ward.edge().usual_errors / 1_000_000;
    assert!((10..=30).contains(&usual), "bad windows hardly move the usual: {usual} per mille");
}

#[test]
fn one_bad_window_and_flapping_turn_nothing() {
    let mut ward = Ward::new();
    ward.windows(40, (100, 0), 20);
    for _ in 0..5 {
        ward.windows(1, (100, 50), 20);
        ward.windows(1, (100, 0), 20);
    }
    assert_eq!(ward.end(), [(0, Healthy)]);
}

#[test]
fn who_always_fails_a_little_is_judged_by_its_own_measure() {
    let mut ward = Ward::new();
    ward.windows(60, (100, 20), 20);
    ward.windows(5, (100, 25), 20);
    ward.windows(5, (1_000, 260), 20);
    let said = ward.end();
    assert_eq!(said[..2], [(0, Healthy), (1, Unhealthy)], "nothing is usual yet");
    let later = "after five minutes it is; five more of a hundred are chance, of a thousand not";
    assert_eq!(said[2..], [(35, Healthy), (66, Degraded)], "{later}");
}

#[test]
fn latency_turns_once_it_is_known_and_far_off() {
    let mut ward = Ward::new();
    ward.windows(40, (100, 0), 20);
    ward.windows(3, (100, 0), 60);
    ward.windows(3, (100, 0), 200);
    ward.windows(8, (100, 0), 20);
    assert_eq!(ward.end(), [(0, Healthy), (41, Degraded), (44, Unhealthy), (51, Healthy)]);
    let mut fresh = Ward::new();
    fresh.windows(10, (100, 0), 20);
    fresh.windows(10, (100, 0), 200);
    assert_eq!(fresh.end(), [(0, Healthy)], "nothing is usual yet");
}

#[test]
fn few_calls_are_judged_together() {
    let mut ward = Ward::new();
    ward.windows(12, (1, 1), 20);
    assert_eq!(ward.end(), [(0, Healthy), (11, Unhealthy)], "two times six windows of one call");
    let mut once = Ward::new();
    once.windows(40, (1, 0), 20);
    once.windows(1, (2, 2), 20);
    once.windows(20, (1, 0), 20);
    assert_eq!(once.end(), [(0, Healthy)], "two failures are chance");
}

#[test]
fn service_is_judged_by_all_who_call_it() {
    let mut ward = Ward::new();
    for number in FIRST..FIRST + 4 {
        let rows = [row(WEB, number, (100, 0), 20), row(SHOP, number, (100, 100), 20)];
        ward.commit(&rows, u64::from(number + 1) * 10_000 * MILLI);
        ward.next = number + 1;
    }
    ward.end();
    let state = |client| ward.rows[&HealthKey { client, server: API }].state;
    assert_eq!([WEB, SHOP, EntityId::NONE].map(state), [Healthy, Unhealthy, Unhealthy]);
    let service = &ward.rows[&HealthKey::of_service(API)];
    assert_eq!(service.errors, 500_000_000);
}

#[test]
fn best_source_of_a_window_counts_and_what_is_derived_only_alone() {
    let mut ward = Ward::new();
    let of = |source, failed| {
        let mut row = row(WEB, FIRST, (100, failed), 20);
        row.key.source = source;
        row
    };
    let rows =
        [of(CallSource::Derived, 90), of(CallSource::TracePair, 5), of(CallSource::RpcClient, 7)];
    ward.commit(&rows, u64::from(FIRST + 1) * 10_000 * MILLI);
    ward.next = FIRST + 1;
    ward.end();
    assert_eq!(ward.edge().errors, 70_000_000);
}

#[test]
fn restart_anywhere_says_the_same() {
    let drive = |cut: Option<u32>| {
        let mut ward = Ward::new();
        for at in 0..70 {
            let failed = if (40..50).contains(&at) { 50 } else { 1 };
            ward.windows(1, (100, failed), if at > 60 { 200 } else { 20 });
            if cut == Some(at) {
                ward.restart();
            }
        }
        (ward.end(), ward.rows)
    };
    let whole = drive(None);
    assert_eq!(whole.0.len(), 4, "{:?}", whole.0);
    for cut in 0..70 {
        assert_eq!(drive(Some(cut)), whole, "restart after window {cut}");
    }
}

#[test]
fn order_and_grouping_into_epochs_do_not_matter_and_what_is_late_is_counted() {
    let rows: Vec<_> =
        (0..50).map(|at| row(WEB, FIRST + at, (100, i64::from(at % 7)), 20)).collect();
    let end = u64::from(FIRST + 70) * 10_000 * MILLI;
    let (mut one, mut two) = (Ward::new(), Ward::new());
    one.commit(&rows, end);
    for row in rows.iter().rev() {
        two.commit(std::slice::from_ref(row), u64::from(FIRST) * 10_000 * MILLI);
    }
    two.commit(&[], end);
    assert_eq!(one.rows, two.rows);
    let commit = one.commit(&rows[..3], end);
    assert_eq!(commit.tallies, [("health_late".into(), 3)]);
    assert_eq!(one.rows, two.rows);
}

#[test]
fn who_is_silent_for_a_day_begins_anew_and_over_the_bound_nobody_new_is_judged() {
    let mut ward = Ward::new();
    ward.windows(5, (100, 50), 20);
    ward.end();
    assert_eq!(ward.rows.len(), 2);
    ward.commit(&[], (u64::from(FIRST) * 10_000 + 25 * 3_600_000) * MILLI);
    assert!(ward.rows.is_empty());
    ward.config.max_health = 1;
    ward.restart();
    ward.next = 10_000;
    ward.windows(1, (100, 0), 20);
    let commit = ward.commit(&[], u64::from(ward.next + 10) * 10_000 * MILLI);
    assert_eq!(ward.rows.len(), 1);
    assert_eq!(commit.tallies, [("health_left_out".into(), 1)]);
}
