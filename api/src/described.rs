//! Entities as answers show them: with what the catalogue says of them, as of the end of the time
//! that is asked for.

use std::sync::Arc;

use portolan_graph::{Catalogue, Graph, Moment};
use portolan_model::{Attributes, Entity, EntityId, EntityKind, Nanos, TimeRange};
use portolan_proto::{entity_to_v1, v1};

use crate::Error;
use crate::health::HealthAt;
use crate::reader::{Past, Snapshot, TopologyReader};

/// See the module. The catalogue is a look of its own, and may be of a later epoch than the rows.
pub(crate) struct Described {
    catalogue: Arc<Catalogue>,
    moment: Moment,
    health: HealthAt,
    /// The time that links lead to.
    range: TimeRange,
}

/// Where nothing is covered, links lead to the last hour.
const HOUR: Nanos = 3_600_000_000_000;

// === impl Described ===

impl Described {
    /// For an answer about the past, or about now.
    pub(crate) fn of(
        reader: &dyn TopologyReader,
        past: Option<&Past>,
        snapshot: &Snapshot,
    ) -> Result<Self, Error> {
        let covered = snapshot.covered;
        Self::about(reader, past, covered)
    }

    /// For an answer that is about no time: as of now.
    pub(crate) fn now(reader: &dyn TopologyReader) -> Result<Self, Error> {
        Self::about(reader, None, None)
    }

    fn about(
        reader: &dyn TopologyReader,
        past: Option<&Past>,
        covered: Option<TimeRange>,
    ) -> Result<Self, Error> {
        let (catalogue, clock) = reader.catalogue()?;
        let at = past.map_or(clock, |past| past.range.to.saturating_sub(1).min(clock));
        let known_at = past.and_then(|past| past.known_at);
        let last_hour = TimeRange { from: clock.saturating_sub(HOUR), to: clock };
        let covered = covered.unwrap_or(last_hour);
        let asked = past.map_or(covered, |past| past.range);
        // An open end is closed by what is covered.
        let from = if asked.from == 0 { covered.from } else { asked.from };
        let to = if asked.to == Nanos::MAX { covered.to } else { asked.to };
        let health = HealthAt::new(reader, at, known_at.is_some())?;
        let range = TimeRange { from, to };
        Ok(Self { catalogue, moment: Moment { at, known_at }, health, range })
    }

    /// What is said of an entity.
    pub(crate) fn said(&self, entity: &Entity) -> Attributes {
        self.catalogue.of(entity, self.moment)
    }

    /// An entity under the id by which edges know it: that of a stand-in is not its own.
    pub(crate) fn shown(&self, id: EntityId, entity: &Entity) -> v1::Entity {
        let health = self.health.entity(id, entity);
        let mut shown = v1::Entity { id: id.to_string(), health, ..entity_to_v1(entity) };
        if self.catalogue.is_empty() {
            return shown;
        }
        let said = self.said(entity);
        shown.owner = said.owner.to_string();
        shown.tier = said.tier.to_string();
        shown.domain = said.domain.to_string();
        let labels = said.labels.iter();
        shown.labels = labels.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let links = said.links.iter().map(|(name, link)| v1::Link {
            name: name.to_string(),
            url: link.fill(entity, self.range),
        });
        shown.links = links.collect();
        shown
    }

    /// How calls between two do.
    pub(crate) fn edge_health(&self, client: EntityId, server: EntityId) -> Option<v1::Health> {
        self.health.edge(client, server)
    }

    /// Which edges of a graph do, or touch what does, as one of the words says.
    pub(crate) fn with_health(&self, graph: &Graph, words: &[String]) -> Vec<bool> {
        let listed = |health: Option<v1::Health>| {
            let state = health.map_or_else(|| "unknown".to_owned(), |health| health.state);
            words.contains(&state)
        };
        let node = |node: &portolan_graph::Node| {
            let entity = &node.entity;
            listed(self.health.entity(node.id, entity))
        };
        let nodes: Vec<bool> = graph.nodes().iter().map(node).collect();
        let edge = |at: usize| {
            let (client, server) = graph.ends(at);
            let link = &graph.edges()[at].link;
            nodes[client] || nodes[server] || listed(self.edge_health(link.client, link.server))
        };
        (0..graph.edges().len()).map(edge).collect()
    }

    /// An entity by its id alone.
    pub(crate) fn by_id(&self, reader: &dyn TopologyReader, id: EntityId) -> v1::Entity {
        match reader.entity(id) {
            Some(entity) => self.shown(id, &entity),
            None => v1::Entity { id: id.to_string(), ..v1::Entity::default() },
        }
    }
}

/// An entity by its id, for filters: one that nothing is known of has no name.
pub(crate) fn named(reader: &dyn TopologyReader, id: EntityId) -> Arc<Entity> {
    let nobody = || Entity::new(EntityKind::Unresolved, "", "").into();
    reader.entity(id).unwrap_or_else(nobody)
}
