//! What the catalogue said of the entities of two ranges, compared.

use portolan_graph::Filter;
use portolan_model::{Attributes, Entity, EntityId};
use portolan_proto::v1;

use crate::described::Described;
use crate::reader::TopologyReader;

/// The differences, by the names of entities, at most `limit`, and how many there are.
pub(super) fn compare(
    reader: &dyn TopologyReader,
    seen: &[EntityId],
    filter: &Filter,
    (first, then): (&Described, &Described),
    limit: usize,
) -> (Vec<v1::CatalogueDiff>, u64) {
    let mut found = Vec::new();
    for id in seen {
        let Some(entity) = reader.entity(*id) else { continue };
        let (before, after) = (first.said(&entity), then.said(&entity));
        if before == after {
            continue;
        }
        // By what is said of it in either range: who was, and who is, asked for.
        let keeps = |said: &Attributes| filter.keeps_entity(&entity, &|_: &Entity| said.clone());
        if !keeps(&before) && !keeps(&after) {
            continue;
        }
        let texts = [
            ("owner", before.owner, after.owner),
            ("tier", before.tier, after.tier),
            ("domain", before.domain, after.domain),
        ];
        let differ = texts.into_iter().filter(|(_, before, after)| before != after);
        found.extend(differ.map(|texts| (*id, entity.clone(), texts)));
    }
    found.sort_by(|(a, x, _), (b, y, _)| {
        (&x.namespace, &x.name, a).cmp(&(&y.namespace, &y.name, b))
    });
    let total = found.len() as u64;
    let shown = found.into_iter().take(limit).map(|(id, entity, (what, before, after))| {
        let (before, after) = (before.to_string(), after.to_string());
        let what = what.to_owned();
        v1::CatalogueDiff { entity: Some(then.shown(id, &entity)), what, before, after }
    });
    (shown.collect(), total)
}
