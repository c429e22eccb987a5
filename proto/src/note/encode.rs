//! Notes back to the wire: what the simulated fleet and the tests publish.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_model::{CatalogueRecord, ChangeKind, ChangeRecord, Nanos};

use crate::v1;

/// The record that says this version.
pub fn encode_catalogue(record: &CatalogueRecord) -> v1::CatalogueRecord {
    let said = &record.said;
    let links = said.links.iter();
    v1::CatalogueRecord {
        environment: record.subject.environment.to_string(),
        namespace: record.subject.namespace.to_string(),
        name: record.subject.name.to_string(),
        kind: record.subject.kind.to_string(),
        owner: said.owner.to_string(),
        tier: said.tier.to_string(),
        domain: said.domain.to_string(),
        labels: named(&said.labels),
        links: links.map(|(name, link)| (name.to_string(), link.as_str().to_owned())).collect(),
        observed_at: Some(time(record.observed_at)),
        valid_from: Some(time(record.from)),
        deleted: said.is_empty(),
    }
}

/// The record that says this change.
pub fn encode_change(change: &ChangeRecord) -> v1::ChangeRecord {
    v1::ChangeRecord {
        id: change.id.to_string(),
        at: Some(time(change.at)),
        kind: match change.kind {
            ChangeKind::Deploy => v1::ChangeKind::Deploy,
            ChangeKind::Configuration => v1::ChangeKind::Configuration,
            ChangeKind::Other => v1::ChangeKind::Other,
            ChangeKind::Health => v1::ChangeKind::Health,
        }
        .into(),
        environment: change.subject.environment.to_string(),
        namespace: change.subject.namespace.to_string(),
        name: change.subject.name.to_string(),
        entity_kind: change.subject.kind.to_string(),
        title: change.title.to_string(),
        version: change.version.to_string(),
        author: change.author.to_string(),
        url: change.url.to_string(),
        labels: named(&change.labels),
        observed_at: Some(time(change.observed_at)),
    }
}

fn named(all: &[(Arc<str>, Arc<str>)]) -> BTreeMap<String, String> {
    all.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn time(at: Nanos) -> v1::Time {
    v1::Time { unix_ns: at }
}
