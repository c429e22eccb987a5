//! The JSON form of notes (the comments of `notes.proto` say how).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{self, Text, Truth};
use crate::ownership::portolan_json::{instant, word};
use crate::{Refused, v1};

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonCatalogue<'a> {
    #[serde(borrow)]
    environment: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    owner: Text<'a>,
    #[serde(borrow)]
    tier: Text<'a>,
    #[serde(borrow)]
    domain: Text<'a>,
    #[serde(borrow)]
    labels: Option<BTreeMap<String, Text<'a>>>,
    #[serde(borrow)]
    links: Option<BTreeMap<String, Text<'a>>>,
    #[serde(borrow)]
    observed_at: Option<&'a RawValue>,
    #[serde(borrow)]
    valid_from: Option<&'a RawValue>,
    deleted: Truth,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonChange<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    at: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    environment: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    entity_kind: Text<'a>,
    #[serde(borrow)]
    title: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    author: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    labels: Option<BTreeMap<String, Text<'a>>>,
    #[serde(borrow)]
    observed_at: Option<&'a RawValue>,
}

/// The record of the catalogue that one JSON object says.
pub(super) fn catalogue(value: &[u8]) -> Result<v1::CatalogueRecord, Refused> {
    let said: JsonCatalogue<'_> = json::object(value)?;
    Ok(v1::CatalogueRecord {
        environment: owned(said.environment),
        namespace: owned(said.namespace),
        name: owned(said.name),
        kind: owned(said.kind),
        owner: owned(said.owner),
        tier: owned(said.tier),
        domain: owned(said.domain),
        labels: all(said.labels),
        links: all(said.links),
        observed_at: instant("observed_at", said.observed_at)?,
        valid_from: instant("valid_from", said.valid_from)?,
        deleted: said.deleted.0,
    })
}

/// The change that one JSON object says.
pub(super) fn change(value: &[u8]) -> Result<v1::ChangeRecord, Refused> {
    let said: JsonChange<'_> = json::object(value)?;
    Ok(v1::ChangeRecord {
        id: owned(said.id),
        at: instant("at", said.at)?,
        kind: word("kind", said.kind, "CHANGE_KIND_", |word| {
            v1::ChangeKind::from_str_name(word).map(i32::from)
        })?,
        environment: owned(said.environment),
        namespace: owned(said.namespace),
        name: owned(said.name),
        entity_kind: owned(said.entity_kind),
        title: owned(said.title),
        version: owned(said.version),
        author: owned(said.author),
        url: owned(said.url),
        labels: all(said.labels),
        observed_at: instant("observed_at", said.observed_at)?,
    })
}

fn owned(text: Text<'_>) -> String {
    text.0.into_owned()
}

fn all(given: Option<BTreeMap<String, Text<'_>>>) -> BTreeMap<String, String> {
    given.unwrap_or_default().into_iter().map(|(name, value)| (name, owned(value))).collect()
}
