//! A load without an end, a second of event time at a time: connections begin, go on over several
//! export slices and end, so that a line that reads it comes to a steady state.

use std::collections::VecDeque;

use portolan_fleet::{Load, LoadSpec};
use portolan_model::{Nanos, OwnerRecord};

const SECOND: Nanos = 1_000_000_000;

/// Seconds that are made and skipped: a connection lasts up to four slices of 5 s, and from then on
/// each second has as many records as the next.
pub const RAMP_SECS: u64 = 20;

/// What to make.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SteadySpec {
    /// Records of a second of event time, about.
    pub per_second: u32,
    /// Records of a message; of one, the message is the bare record.
    pub per_message: usize,
    /// Connections in a hundred that go through a service address.
    pub service_percent: u32,
    /// When it begins.
    pub start: Nanos,
}

/// See the module.
pub struct Steady {
    spec: SteadySpec,
    /// Messages by the second in which their last record ends, beginning with the next one.
    waiting: VecDeque<Vec<Timed>>,
    begun: u64,
    owners: Vec<OwnerRecord>,
}

/// A message.
pub struct Timed {
    /// End of its last record: when an agent would send it.
    pub at: Nanos,
    /// Records in it.
    pub records: u64,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// One second of messages.
pub struct Second {
    /// Messages in the order of time.
    pub messages: Vec<Timed>,
    /// Records in them.
    pub records: u64,
    /// First instant after the second.
    pub end: Nanos,
}

// === impl Steady ===

impl Steady {
    /// A load past its first seconds, in which only new connections would be seen.
    pub fn new(spec: SteadySpec) -> Self {
        let mut steady = Self { spec, waiting: VecDeque::new(), begun: 0, owners: Vec::new() };
        for _ in 0..RAMP_SECS {
            steady.begin();
            steady.waiting.pop_front();
        }
        steady
    }

    /// Nodes, pods and services that explain all addresses.
    pub fn owners(&self) -> &[OwnerRecord] {
        &self.owners
    }

    /// The next second.
    pub fn second(&mut self) -> Second {
        self.begin();
        let mut messages = self.waiting.pop_front().unwrap_or_default();
        messages.sort_by_key(|message| message.at);
        Second {
            records: messages.iter().map(|message| message.records).sum(),
            messages,
            end: self.spec.start + self.begun * SECOND,
        }
    }

    /// Makes the connections that begin in the next second, with all records of their lives.
    fn begin(&mut self) {
        let SteadySpec { per_second, per_message, service_percent, start } = self.spec;
        // Two and a half slices on average; each seen in both directions, by one node or by two,
        // and on the way to a service address once more.
        let per_connection = 2.5 * (3.0 + 2.0 * f64::from(service_percent) / 100.0);
        let load = Load::new(&LoadSpec {
            records: per_second,
            service_percent,
            per_second: (f64::from(per_second) / per_connection) as u32,
            part: self.begun,
            start: start + self.begun * SECOND,
            ..LoadSpec::default()
        });
        if self.owners.is_empty() {
            self.owners.clone_from(&load.owners);
        }
        let from = start + self.begun * SECOND;
        let payloads = match per_message {
            1 => load.singles().into_iter().map(|(_, payload)| payload).collect(),
            many => load.messages(many),
        };
        for (payload, columns) in payloads.into_iter().zip(load.batches(per_message)) {
            let at = columns.end[columns.len() - 1];
            let second = (at.saturating_sub(from) / SECOND) as usize;
            if self.waiting.len() <= second {
                self.waiting.resize_with(second + 1, Vec::new);
            }
            self.waiting[second].push(Timed { at, records: columns.len() as u64, payload });
        }
        self.begun += 1;
    }
}
