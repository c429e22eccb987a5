//! YAML: a list of entries, bare or as `owners`.

use serde_json::{Map, Value};

use super::{InventoryFault, Written};

pub(super) fn read(text: &str) -> Result<Vec<Written>, InventoryFault> {
    let tree: Value = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map_or("file".into(), |at| format!("line {}", at.line()));
        // The text of the file may hold what is nobody's business: the message alone is repeated.
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default();
        InventoryFault::new(place, format!("not YAML: {message}"))
    })?;
    let entries = match tree {
        Value::Null => Vec::new(),
        Value::Array(entries) => entries,
        Value::Object(mut top) => match (top.remove("owners"), top.is_empty()) {
            (Some(Value::Array(entries)), true) => entries,
            (Some(Value::Null), true) => Vec::new(),
            _ => return Err(InventoryFault::new("file", "not a list, nor owners with a list")),
        },
        _ => return Err(InventoryFault::new("file", "not a list of entries")),
    };
    let numbered = entries.into_iter().enumerate();
    numbered
        .map(|(number, entry)| {
            let place = format!("entry {}", number + 1);
            match entry {
                Value::Object(fields) => Ok(Written { place: named(&place, &fields), fields }),
                _ => Err(InventoryFault::new(place, "not a mapping of fields")),
            }
        })
        .collect()
}

/// The number, and what the entry calls itself.
fn named(place: &str, fields: &Map<String, Value>) -> String {
    let names = ["id", "name", "owner_name"];
    let name = names.iter().find_map(|field| fields.get(*field).and_then(Value::as_str));
    name.map_or(place.to_owned(), |name| format!("{place} ({name})"))
}
