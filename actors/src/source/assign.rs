//! What is fetched, and what the broker says about it.

use std::time::{Duration, Instant};

use portolan_model::TopicPartition;
use portolan_pipeline::feed::plan;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::partition::Part;
use super::survey::{code, survey};
use super::{Halt, Source};
use crate::clock;
use crate::feed::Phase;
use crate::names;

/// A broker that still gives wrong offsets is asked again after this.
const RECHECK: Duration = Duration::from_millis(500);

impl Source {
    /// Fetches these partitions, and no others.
    pub(super) fn assign_where(&mut self, wanted: impl Fn(&Part) -> bool) {
        for part in &mut self.parts {
            part.assigned = wanted(part);
        }
        self.reassign();
    }

    /// Fetches nothing.
    pub(super) fn unassign_all(&mut self) {
        self.assign_where(|_| false);
    }

    /// Fetches what the phase allows and is not fetched yet, without disturbing the rest.
    pub(super) fn assign_new(&mut self) {
        let phase = self.feed.phase();
        let mut added = TopicPartitionList::new();
        for part in self.parts.iter_mut().filter(|p| !p.assigned) {
            let allowed = match phase {
                Phase::Rebuild => false,
                Phase::Owners => !part.kind.is_timed(),
                Phase::Live => true,
            };
            if allowed {
                part.assigned = true;
                add(&mut added, part);
            }
        }
        if added.count() > 0 {
            let assigned = self.consumer.incremental_assign(&added);
            self.note(assigned.err());
        }
    }

    /// Fetches no more of a partition, without disturbing the rest.
    pub(super) fn unassign(&mut self, at: usize) {
        let part = &mut self.parts[at];
        part.assigned = false;
        let mut list = TopicPartitionList::new();
        list.add_partition(&part.name.topic, part.name.partition);
        let unassigned = self.consumer.incremental_unassign(&list);
        self.note(unassigned.err());
    }

    pub(super) fn pause(&mut self) {
        metrics::counter!(names::SOURCE_PAUSES, "cluster" => self.cluster.to_string()).increment(1);
        let list = self.assigned();
        let paused = self.consumer.pause(&list);
        self.note(paused.err());
        self.set_paused(true);
    }

    pub(super) fn resume(&mut self) {
        let list = self.assigned();
        let resumed = self.consumer.resume(&list);
        self.note(resumed.err());
        self.set_paused(false);
    }

    /// What polling returned instead of a message.
    pub(super) fn trouble(&mut self, error: &KafkaError) -> Result<(), Halt> {
        match error {
            KafkaError::PartitionEOF(partition) => {
                // librdkafka's binding does not say of which topic. With several candidates each
                // end counts for all of them: at worst flows are read a moment before ownership.
                for part in self.parts.iter_mut().filter(|p| p.name.partition == *partition) {
                    part.ends_reached += u64::from(part.assigned);
                }
                self.end_reached_while_rereading(*partition);
                Ok(())
            }
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => {
                self.recheck.get_or_insert_with(Instant::now);
                Ok(())
            }
            KafkaError::MessageConsumptionFatal(code) => Err(Halt::Fatal(code.to_string())),
            error => {
                self.note(Some(error.clone()));
                Ok(())
            }
        }
    }

    /// Compares where reading stands with what the broker has, and goes on where it can.
    pub(super) fn compare_offsets(&mut self) {
        let view = survey(&self.consumer, &self.topics);
        if let Some(trouble) = view.trouble {
            self.tools.status.set_trouble(&self.trouble_name(), Some(trouble));
            self.recheck = Some(Instant::now() + RECHECK);
            return;
        }
        self.recheck = None;
        for extent in view.extents {
            let Some(at) = self.place(extent.topic, extent.partition) else { continue };
            let part = &mut self.parts[at];
            if !part.assigned {
                continue;
            }
            if part.reading.is_rereading() {
                part.reading.raise_reread(extent.low);
            } else {
                let next = part.reading.next();
                let plan = plan(next, next, extent.low, extent.end);
                if let Some(lost) = plan.lost {
                    // What was read before the hole leaves under its own offsets.
                    self.outbox.extend(part.parcel());
                    part.lose(lost, plan.next, &self.tools);
                }
            }
            self.measure(at, extent.low, extent.end);
        }
        self.reassign();
        if self.paused {
            self.pause();
        }
    }

    /// Tells Kafka what is committed, for lag tools.
    pub(super) fn report_offsets(&mut self) {
        let mut list = TopicPartitionList::new();
        for position in self.feed.committed_positions() {
            let name = &position.partition;
            if name.cluster == self.cluster && self.topics.iter().any(|t| **t == *name.topic) {
                let offset = Offset::Offset(position.next);
                // Only an offset that is no offset is refused.
                let _ = list.add_partition_offset(&name.topic, name.partition, offset);
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(cluster = %self.cluster, %error, "kafka did not take the offsets");
        }
    }

    /// Takes note of where a partition begins and ends.
    pub(super) fn measure(&mut self, at: usize, low: i64, end: i64) {
        let part = &mut self.parts[at];
        part.end = end;
        let (next, paused) = (part.reading.next(), self.paused && part.assigned);
        let watermark = self.feed.set_end(part.id, part.assigned.then_some(end));
        self.tools.status.update(&part.name, |p| {
            (p.next, p.low, p.end, p.watermark, p.paused) = (next, low, end, watermark, paused);
        });
        let name = &part.name;
        let labels = [
            ("cluster", name.cluster.to_string()),
            ("topic", name.topic.to_string()),
            ("partition", name.partition.to_string()),
        ];
        metrics::gauge!(names::PARTITION_LAG, &labels).set((end - next).max(0) as f64);
        if watermark > 0 {
            let delay = Duration::from_nanos(clock::now().saturating_sub(watermark));
            metrics::gauge!(names::PARTITION_WATERMARK_DELAY, &labels).set(delay.as_secs_f64());
        }
    }

    pub(super) fn place(&self, topic: usize, partition: i32) -> Option<usize> {
        *self.places.get(&self.topics[topic])?.get(partition as usize)?
    }

    pub(super) fn insert(&mut self, topic: usize, partition: i32, part: Part) {
        let places = self.places.entry(self.topics[topic].clone()).or_default();
        let index = partition as usize;
        if places.len() <= index {
            places.resize(index + 1, None);
        }
        places[index] = Some(self.parts.len());
        self.parts.push(part);
    }

    pub(super) fn name(&self, topic: usize, partition: i32) -> TopicPartition {
        let topic = self.topics[topic].as_str().into();
        TopicPartition { cluster: self.cluster.clone(), topic, partition }
    }

    pub(super) fn trouble_name(&self) -> String {
        format!("kafka {}", self.cluster)
    }

    /// What was to be read again ended early: the rest was marks or is compacted away.
    fn end_reached_while_rereading(&mut self, partition: i32) {
        let mut rest = self.parts.iter_mut().filter(|p| {
            p.assigned && p.name.partition == partition && !p.reading.reread().is_empty()
        });
        // With several candidates it is not known whose end it is; the others deliver theirs.
        if let (Some(part), None) = (rest.next(), rest.next()) {
            part.reading.cut_reread();
        }
    }

    /// Replaces the assignment by what is marked.
    fn reassign(&mut self) {
        let list = self.assigned();
        let assigned =
            if list.count() == 0 { self.consumer.unassign() } else { self.consumer.assign(&list) };
        self.note(assigned.err());
    }

    fn assigned(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        self.parts.iter().filter(|p| p.assigned).for_each(|part| add(&mut list, part));
        list
    }

    fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        for part in self.parts.iter().filter(|p| p.assigned) {
            self.tools.status.update(&part.name, |p| p.paused = paused);
        }
    }

    /// Shows an error until a look at the cluster finds nothing wrong.
    fn note(&self, error: Option<KafkaError>) {
        if let Some(error) = error {
            self.tools.status.set_trouble(&self.trouble_name(), Some(code(&error)));
        }
    }
}

fn add(list: &mut TopicPartitionList, part: &Part) {
    let name = &part.name;
    // Only an offset that is no offset is refused, and these count from 0.
    let _ = list.add_partition_offset(
        &name.topic,
        name.partition,
        Offset::Offset(part.reading.fetch_from()),
    );
}
