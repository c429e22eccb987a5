//! Changes that people made in a range, and whom they mean.

use std::collections::VecDeque;
use std::sync::Arc;

use portolan_graph::Filter;
use portolan_model::{ChangeRecord, Entity, EntityId, EntityKind, Subject, TimeRange};
use portolan_proto::{nanos_to_micros, v1};
use rustc_hash::FxHashMap;

use crate::described::Described;
use crate::reader::TopologyReader;
use crate::{Cancel, Error};

/// Entities that a change lists: one means a namespace at most, and a few tell which.
const MOST_ENTITIES: usize = 10;

type Known = (EntityId, Arc<Entity>);

/// All that is known, by name.
struct Names(FxHashMap<Arc<str>, Vec<Known>>);

/// The newest changes of a range that a filter keeps, the latest first, and how many it keeps.
pub(super) fn made(
    reader: &dyn TopologyReader,
    range: TimeRange,
    filter: &Filter,
    described: &Described,
    limit: usize,
    cancel: &Cancel,
) -> Result<(Vec<v1::MadeChange>, u64), Error> {
    let names = Names::of(reader);
    let said = |entity: &Entity| described.said(entity);
    let keeps = |change: &ChangeRecord| {
        if *filter == Filter::default() {
            return true;
        }
        let mut meant = names.meant(&change.subject).peekable();
        if meant.peek().is_none() {
            // Nobody has seen it yet: what is told of it is all there is to go by.
            return filter.keeps_entity(&stand_in(&change.subject), &said);
        }
        meant.any(|(_, entity)| filter.keeps_entity(entity, &said))
    };
    let (mut kept, mut total) = (VecDeque::with_capacity(limit.min(1024)), 0);
    let mut given_up = None;
    reader.changes(range, &mut |change| {
        if let Err(error) = cancel.check() {
            given_up = Some(error);
            return false;
        }
        if keeps(&change) {
            total += 1;
            if kept.len() == limit {
                kept.pop_front();
            }
            kept.push_back(change);
        }
        true
    })?;
    if let Some(error) = given_up {
        return Err(error);
    }
    let shown = kept.iter().rev().map(|change| message(change, &names, described));
    Ok((shown.collect(), total))
}

fn message(change: &ChangeRecord, names: &Names, described: &Described) -> v1::MadeChange {
    let mut meant: Vec<&Known> = names.meant(&change.subject).collect();
    meant.sort_unstable_by(|(a, x), (b, y)| {
        (&x.namespace, &x.name, a).cmp(&(&y.namespace, &y.name, b))
    });
    let subject = &change.subject;
    let labels = change.labels.iter();
    v1::MadeChange {
        at_unix_us: nanos_to_micros(change.at),
        kind: change.kind.as_str().to_owned(),
        id: change.id.to_string(),
        environment: subject.environment.to_string(),
        namespace: subject.namespace.to_string(),
        name: subject.name.to_string(),
        entity_kind: subject.kind.to_string(),
        total_entities: meant.len() as u64,
        entities: meant
            .into_iter()
            .take(MOST_ENTITIES)
            .map(|(id, entity)| described.shown(*id, entity))
            .collect(),
        title: change.title.to_string(),
        version: change.version.to_string(),
        author: change.author.to_string(),
        url: change.url.to_string(),
        labels: labels.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        told_unix_us: nanos_to_micros(change.known),
    }
}

fn stand_in(subject: &Subject) -> Entity {
    let kind = EntityKind::ALL.into_iter().find(|kind| kind.as_str() == &*subject.kind);
    let entity =
        Entity::new(kind.unwrap_or(EntityKind::Service), &subject.namespace, &subject.name);
    Entity { environment: subject.environment.clone(), ..entity }
}

// === impl Names ===

impl Names {
    fn of(reader: &dyn TopologyReader) -> Self {
        let mut names: FxHashMap<Arc<str>, Vec<Known>> = FxHashMap::default();
        reader.entities(&mut |id, entity| {
            // An operation is no entity of the map.
            if entity.kind != EntityKind::Operation {
                names.entry(entity.name.clone()).or_default().push((id, entity.clone()));
            }
        });
        Self(names)
    }

    /// Everybody that a subject means.
    fn meant<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = &'a Known> {
        let any = subject.name.is_empty();
        let named = self.0.get(&subject.name).filter(|_| !any);
        let all = any.then(|| self.0.values().flatten());
        all.into_iter()
            .flatten()
            .chain(named.into_iter().flatten())
            .filter(|(_, entity)| subject.means(entity))
    }
}
