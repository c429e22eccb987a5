//! How edges and services do, as answers show it: what the line judged, and records from outside, which
//! go before it.

use std::sync::Arc;

use portolan_model::{
    ChangeKind, ChangeRecord, Entity, EntityId, Health, HealthKey, HealthRow, Nanos, TimeRange,
    WindowLen,
};
use portolan_proto::{nanos_to_micros, v1};
use rustc_hash::FxHashMap;

use crate::Error;
use crate::reader::TopologyReader;
use crate::shown::meeting;

/// What was judged, under the identities that graphs show.
#[derive(Debug, Default)]
pub struct Healths {
    rows: FxHashMap<HealthKey, HealthRow>,
    version: u64,
}

/// The health of one moment.
pub(crate) struct HealthAt {
    healths: Arc<Healths>,
    records: Vec<ChangeRecord>,
    at: Nanos,
    len: WindowLen,
}

/// What was not judged for so long says nothing of now.
const SILENT: Nanos = 15 * 60 * 1_000_000_000;
/// How long a record from outside holds: one that nobody takes back must not hold for ever.
const DAY: Nanos = 24 * 3_600 * 1_000_000_000;

// === impl Healths ===

impl Healths {
    /// Of these rows. A service and the workload that it is are one: of two rows the worse is shown.
    pub fn new(rows: Vec<HealthRow>, reader: &dyn TopologyReader, version: u64) -> Self {
        let mut found = Self { rows: FxHashMap::default(), version };
        if rows.is_empty() {
            return found;
        }
        let meeting = meeting(reader);
        for row in rows {
            let HealthKey { client, server } = row.key;
            let shown = HealthKey { client: meeting.shown(client), server: meeting.shown(server) };
            found.put(shown, row);
            // Whoever names it by its own identity finds it, too.
            if shown != row.key {
                found.put(row.key, row);
            }
        }
        found
    }

    /// The version of the graph that it is of.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn put(&mut self, key: HealthKey, row: HealthRow) {
        let kept = self.rows.entry(key).or_insert(row);
        if (row.state, row.judged) > (kept.state, kept.judged) {
            *kept = row;
        }
    }
}

// === impl HealthAt ===

impl HealthAt {
    /// As of a moment. What is asked for as it was known then has no judged health: that is not kept.
    pub(crate) fn new(
        reader: &dyn TopologyReader,
        at: Nanos,
        as_known: bool,
    ) -> Result<Self, Error> {
        let healths = if as_known { Arc::default() } else { reader.health() };
        let mut records = Vec::new();
        let day = TimeRange { from: at.saturating_sub(DAY), to: at.saturating_add(1) };
        reader.changes(day, &mut |change| {
            if change.kind == ChangeKind::Health {
                records.push(change);
            }
            true
        })?;
        // The latest of a subject holds.
        records.reverse();
        Ok(Self { healths, records, at, len: reader.window_len() })
    }

    /// An entity's.
    pub(crate) fn entity(&self, id: EntityId, entity: &Entity) -> Option<v1::Health> {
        let judged = self.judged(HealthKey::of_service(id));
        let record = self.records.iter().find(|record| record.subject.means(entity));
        let Some(state) = record.and_then(|record| Health::from_word(&record.version)) else {
            return judged;
        };
        let record = record?;
        Some(v1::Health {
            state: state.as_str().to_owned(),
            since_unix_us: nanos_to_micros(record.at),
            by: "record".to_owned(),
            reason: record.title.to_string(),
            ..judged.unwrap_or_default()
        })
    }

    /// An edge's.
    pub(crate) fn edge(&self, client: EntityId, server: EntityId) -> Option<v1::Health> {
        self.judged(HealthKey { client, server })
    }

    /// What was judged, if it holds at the moment: a state is known since it turned.
    fn judged(&self, key: HealthKey) -> Option<v1::Health> {
        let row = self.healths.rows.get(&key)?;
        let judged = row.judged.end(self.len);
        if self.at < row.since.start() || self.at > judged.saturating_add(SILENT) {
            return None;
        }
        let part = |billionths: u64| billionths as f64 / 1e9;
        let us = |ns: u64| ns as f64 / 1e3;
        Some(v1::Health {
            state: row.state.as_str().to_owned(),
            since_unix_us: nanos_to_micros(row.since.start()),
            judged_unix_us: nanos_to_micros(judged),
            error_ratio: part(row.errors),
            usual_error_ratio: part(row.usual_errors),
            latency_p95_us: us(row.latency),
            usual_latency_p95_us: us(row.usual_latency),
            by: "judged".to_owned(),
            reason: String::new(),
        })
    }
}
