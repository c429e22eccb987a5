//! What is going to happen, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use portolan_model::Nanos;

use crate::plan::WorkloadIx;
use crate::telemetry::Request;
use crate::truth::{Addition, RowIx};
use crate::wire::{Message, Observed};
use crate::world::PodIx;

/// Something that happens at an instant.
#[derive(Debug)]
pub(crate) enum Event {
    /// A call of the plan opens its next connection.
    Call(usize),
    /// An agent looks at a connection. Void if the view's `due` is another by now.
    Look { connection: u64, view: usize },
    /// A record that was held back leaves.
    Release(Box<Outgoing>),
    /// An ownership message leaves.
    Publish(Box<Message>),
    /// Ownership says how far it is.
    Heartbeat,
    /// A request is made over a connection.
    Request(Box<Request>),
    /// Services tell of what they did.
    Export,
    /// The watch of ownership breaks.
    Break,
    /// It is whole again and lists all.
    Relist { broken: Nanos },
    /// Some deployment begins to replace its pods.
    Deploy,
    /// A step in the replacement of one pod.
    Step(Step, Replacement),
    /// The next job begins.
    Job(usize),
    /// A step in the life of a job's pod.
    JobStep(Step, PodIx, usize),
}

/// Steps in the life of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The new pod has its address.
    Birth,
    /// The service lists it.
    Join,
    /// Clients use it.
    Ready,
    /// The old one takes no more connections.
    Drain,
    /// The old one closes those it has.
    HangUp,
    /// The old one is gone.
    Death,
}

/// Which pod takes the place of which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replacement {
    pub(crate) workload: WorkloadIx,
    pub(crate) old: PodIx,
    pub(crate) new: PodIx,
}

/// A record on its way out, with what truth adds when it leaves.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) record: Observed,
    pub(crate) adds: Addition,
    pub(crate) rows: [Option<RowIx>; 2],
    /// The rows that a reader can know by it.
    pub(crate) tells: [Option<RowIx>; 2],
    /// Truth counts it: the agent is designated, and it is not told the second time.
    pub(crate) counts: bool,
    /// One in how many packets the other agent looks at that sees the connection; 1 if there is none.
    pub(crate) twin: u32,
}

/// Events by time; those of one instant in the order of their scheduling.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    scheduled: u64,
}

#[derive(Debug)]
struct Entry {
    at: Nanos,
    number: u64,
    event: Event,
}

// === impl Queue ===

impl Queue {
    /// Schedules an event.
    pub(crate) fn push(&mut self, at: Nanos, event: Event) {
        self.scheduled += 1;
        self.heap.push(Reverse(Entry { at, number: self.scheduled, event }));
    }

    /// The next event, if it is not after `until`.
    pub(crate) fn pop(&mut self, until: Nanos) -> Option<(Nanos, Event)> {
        if self.heap.peek()?.0.at > until {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}

// === impl Entry ===

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
