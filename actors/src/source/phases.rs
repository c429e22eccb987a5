//! The phases of a source, from its start to its end.

use portolan_model::Position;
use portolan_pipeline::feed::{Plan, plan};

use super::survey::View;
use super::{Halt, Source};
use crate::feed::Phase;

impl Source {
    /// Passes the phases; ends only by being halted.
    pub(super) fn phases(&mut self) -> Result<(), Halt> {
        self.wait_for_brokers()?;
        self.reread()?;
        self.feed.ready(Phase::Rebuild);
        self.spin(|source| source.feed.phase() > Phase::Rebuild)?;
        for part in &mut self.parts {
            if let Some((lost, to)) = part.lost_at_start.take() {
                part.lose(lost, to, &self.tools);
            }
        }
        self.read_owners()?;
        self.feed.ready(Phase::Owners);
        self.spin(|source| source.feed.phase() > Phase::Owners)?;
        self.assign_new();
        self.spin(|_| false)
    }

    /// Waits for a look that leaves nothing open: what the store remembers of a partition that does
    /// not answer could not be read again.
    fn wait_for_brokers(&mut self) -> Result<(), Halt> {
        self.spin(|source| source.viewed > 0 && !source.is_troubled)
    }

    /// Reads again what the stages must remember.
    fn reread(&mut self) -> Result<(), Halt> {
        if self.parts.iter().all(|part| part.reading.reread().is_empty()) {
            return Ok(());
        }
        let records: i64 = self
            .parts
            .iter()
            .map(|p| {
                let left = p.reading.reread();
                left.end - left.start
            })
            .sum();
        tracing::info!(cluster = %self.cluster, messages = records, "reading again what the line remembers");
        for part in &mut self.parts {
            part.reading.begin_reread();
        }
        self.assign_where(|part| part.reading.is_rereading());
        self.spin(|source| source.parts.iter().all(|part| part.reading.reread().is_empty()))?;
        self.flush();
        self.spin(|source| source.outbox.is_empty())?;
        self.unassign_all();
        self.parts.iter_mut().for_each(|part| part.reading.end_reread());
        Ok(())
    }

    /// Reads ownership up to where it stood at the start.
    fn read_owners(&mut self) -> Result<(), Halt> {
        let goals: Vec<_> = self
            .parts
            .iter()
            .enumerate()
            .filter(|(_, part)| !part.kind.is_timed())
            .map(|(at, part)| (at, part.end, part.ends_reached))
            .collect();
        self.assign_new();
        // The last offsets may be transaction marks, which are never delivered: then the fetcher
        // says that it is at the end.
        self.spin(|source| {
            goals.iter().all(|(at, end, reached)| {
                let part = &source.parts[*at];
                part.reading.next() >= *end || part.ends_reached > *reached
            })
        })?;
        self.flush();
        self.spin(|source| source.outbox.is_empty())
    }

    /// Takes in a look at the cluster: new partitions, and the ends of the known ones.
    pub(super) fn adopt(&mut self, view: &View) {
        let trouble = view.trouble.clone();
        self.is_troubled = trouble.is_some();
        let source = format!("kafka {}", self.cluster);
        self.tools.status.set_trouble(&source, trouble);
        for extent in &view.extents {
            match self.place(extent.topic, extent.partition) {
                Some(at) => self.measure(at, extent.low, extent.end),
                None => self.meet(*extent),
            }
        }
        if !self.paused {
            self.assign_new();
        }
    }

    /// A partition that was not known to this generation.
    fn meet(&mut self, extent: super::survey::Extent) {
        let topic = &self.settings.topics[extent.topic];
        let name = self.name(extent.topic, extent.partition);
        let stored = self.stored.get(&name);
        let new = Plan {
            next: extent.low,
            reread: extent.low..extent.low,
            forgotten: extent.low..extent.low,
            lost: None,
        };
        let plan = stored.map_or(new, |p| plan(p.next, p.reread, extent.low, extent.end));
        let position = stored.cloned().unwrap_or_else(|| Position {
            partition: name.clone(),
            next: extent.low,
            reread: extent.low,
        });
        let kind = super::partition::Kind::of(topic, self.config.max_message_bytes);
        let id = self.feed.register(position, kind.is_timed());
        let mut part =
            super::partition::Part::new(id, name, kind, plan.next, topic.gaps_are_losses);
        tracing::info!(
            cluster = %self.cluster, topic = topic.name, partition = extent.partition,
            next = plan.next, low = extent.low, end = extent.end, "partition"
        );
        if !plan.forgotten.is_empty() && part.kind.is_timed() {
            tracing::warn!(
                cluster = %self.cluster, topic = topic.name, partition = extent.partition,
                from = plan.forgotten.start, to = plan.forgotten.end,
                "records that the line remembered are gone: duplicates of them would count anew"
            );
        }
        // A partition that appears after rebuilding was never read, or its memory is gone.
        if part.kind.is_timed() && self.feed.phase() == Phase::Rebuild {
            part.reading.set_reread(plan.reread);
        }
        if let Some(lost) = plan.lost {
            if self.feed.phase() == Phase::Rebuild {
                part.lost_at_start = Some((lost, plan.next));
            } else {
                part.lose(lost, plan.next, &self.tools);
            }
        }
        self.insert(extent.topic, extent.partition, part);
        self.measure(self.parts.len() - 1, extent.low, extent.end);
    }
}
