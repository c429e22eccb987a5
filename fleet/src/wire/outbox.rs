//! Fills messages with records.

use std::sync::Arc;

use portolan_proto::pbflow;
use prost::Message as _;

use super::{Message, Observed, Topic};

/// Groups of address pairs that share a message: enough to fill any usual number of partitions
/// evenly, few enough that groups fill up within a tick.
const LANES: usize = 32;

/// Messages in the order of their leaving.
#[derive(Debug)]
pub(crate) struct Outbox {
    per_message: usize,
    scope: Arc<str>,
    lanes: Vec<Vec<pbflow::Record>>,
    messages: Vec<Message>,
}

// === impl Outbox ===

impl Outbox {
    /// An outbox that puts `per_message` records into a message.
    pub(crate) fn new(per_message: u32, scope: &str) -> Self {
        Self {
            per_message: per_message as usize,
            scope: scope.into(),
            lanes: vec![Vec::new(); if per_message > 1 { LANES } else { 0 }],
            messages: Vec::new(),
        }
    }

    /// A flow record leaves.
    pub(crate) fn flow(&mut self, observed: &Observed) {
        if self.lanes.is_empty() {
            let partition_key = observed.key();
            let payload = observed.record().encode_to_vec();
            self.push(partition_key, payload, 1);
            return;
        }
        let pair = observed.row.src.0 ^ observed.row.dst.0;
        // Fibonacci hashing: the low bits of addresses are alike, the high bits of the product not.
        let lane = ((pair as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % LANES;
        self.lanes[lane].push(observed.record());
        if self.lanes[lane].len() >= self.per_message {
            self.flush(lane);
        }
    }

    /// Anything else leaves.
    pub(crate) fn message(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Everything that left, unfilled messages included.
    pub(crate) fn take(&mut self) -> Vec<Message> {
        for lane in 0..self.lanes.len() {
            self.flush(lane);
        }
        std::mem::take(&mut self.messages)
    }

    fn flush(&mut self, lane: usize) {
        if self.lanes[lane].is_empty() {
            return;
        }
        let entries = std::mem::take(&mut self.lanes[lane]);
        let records = entries.len() as u32;
        let mut partition_key = vec![0; 32];
        partition_key[31] = lane as u8;
        let payload = pbflow::Records { entries }.encode_to_vec();
        self.push(partition_key, payload, records);
    }

    fn push(&mut self, partition_key: Vec<u8>, payload: Vec<u8>, records: u32) {
        let (topic, scope) = (Topic::Flows, self.scope.clone());
        self.messages.push(Message { topic, partition_key, payload, records, scope });
    }
}
