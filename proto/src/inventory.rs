//! Inventory files: owners that people write down, in YAML or CSV.
//!
//! An entry has the fields of an ownership record in JSON (`ownership.proto` says what they mean),
//! but `id` in the place of `uid`, no times of observation, and short forms for ports and backends.
//! A file is taken as a whole or not at all: a line that does not read must not make an owner
//! disappear.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use portolan_model::{Nanos, OwnerEvent, OwnerRecord};
use serde_json::{Map, Value};

use crate::UnknownEncoding;
use crate::ownership::{judge, portolan_json};

mod revise;
mod short;
mod table;
#[cfg(test)]
mod tests;
mod tree;

pub use revise::{Inventory, When};

/// How an inventory is written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InventoryEncoding {
    /// `inventory-yaml`: a list of entries, or a mapping with the list as `owners`. JSON is YAML.
    Yaml,
    /// `inventory-csv`: a header of field names, then an entry a line. Lists have spaces between.
    Csv,
}

/// The largest inventory: half a million entries of 64 bytes.
pub const MAX_INVENTORY_BYTES: usize = 32 << 20;

/// The most that is said about one file: people mend the first few and try again.
pub const MAX_FAULTS: usize = 20;

/// The fields that an entry may have.
pub const FIELDS: [&str; 21] = [
    "id",
    "scope",
    "kind",
    "environment",
    "namespace",
    "name",
    "owner_name",
    "owner_kind",
    "node_ip",
    "host_network",
    "ips",
    "cidrs",
    "ports",
    "backends",
    "node_ports",
    "host_ports",
    "observer_ip",
    "valid_from",
    "valid_to",
    "valid_from_lo",
    "valid_to_hi",
];

/// An entry that reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The owner; its uid is that of the entry, within its file.
    pub owner: OwnerRecord,
    /// Whether the file says since when. If not, `owner.valid.from` is 0.
    pub is_dated: bool,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct InventoryFault {
    /// Line, or entry by number from 1.
    pub place: String,
    /// What.
    pub problem: String,
}

/// Fields of an entry as they were written, and where.
struct Written {
    place: String,
    fields: Map<String, Value>,
}

// === impl InventoryEncoding ===

impl InventoryEncoding {
    /// Every value.
    pub const ALL: &'static [Self] = &[Self::Yaml, Self::Csv];

    /// The encoding that a file name ends in.
    pub fn of_file(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "yaml" | "yml" | "json" => Some(Self::Yaml),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

impl fmt::Display for InventoryEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yaml => "inventory-yaml",
            Self::Csv => "inventory-csv",
        })
    }
}

impl FromStr for InventoryEncoding {
    type Err = UnknownEncoding;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|encoding| encoding.to_string() == word);
        known.copied().ok_or_else(|| UnknownEncoding {
            word: word.chars().take(64).collect(),
            allowed: "inventory-yaml, inventory-csv".into(),
        })
    }
}

// === impl Entry ===

impl Entry {
    /// The event that tells of it where there is nothing before: a captured file on a map.
    pub fn into_event(self) -> OwnerEvent {
        OwnerEvent::Upsert(Box::new(self.owner))
    }
}

// === impl InventoryFault ===

impl InventoryFault {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

/// Reads a file: all its entries, or what is wrong with it, at most [`MAX_FAULTS`] of them.
///
/// `default_scope` is for entries that name none; `now` is when the file was read.
pub fn read_inventory(
    encoding: InventoryEncoding,
    default_scope: &str,
    now: Nanos,
    file: &[u8],
) -> Result<Vec<Entry>, Vec<InventoryFault>> {
    let whole = |problem: String| vec![InventoryFault::new("file", problem)];
    if file.len() > MAX_INVENTORY_BYTES {
        let bytes = file.len();
        return Err(whole(format!("{bytes} bytes, at most {MAX_INVENTORY_BYTES}")));
    }
    let text = std::str::from_utf8(file).map_err(|e| whole(format!("not UTF-8: {e}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let written = match encoding {
        InventoryEncoding::Yaml => tree::read(text),
        InventoryEncoding::Csv => table::read(text),
    };
    let default_scope = Arc::from(default_scope);
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    let mut places = Places::new();
    for written in written.map_err(|fault| vec![fault])? {
        let place = written.place.clone();
        match entry(written, &default_scope, now) {
            Ok(entry) => {
                if let Some(problem) = clash(&mut places, &entry, &place) {
                    faults.push(InventoryFault::new(place, problem));
                }
                entries.push(entry);
            }
            Err(problem) => faults.push(InventoryFault::new(place, problem)),
        }
        if faults.len() == MAX_FAULTS {
            break;
        }
    }
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

/// Where each owner stands, and since when by each entry.
type Places = BTreeMap<(Arc<str>, Arc<str>), Vec<(Nanos, bool, String)>>;

/// Two entries of one owner are two times of it, and both say so.
fn clash(places: &mut Places, entry: &Entry, place: &str) -> Option<String> {
    let Entry { owner, is_dated } = entry;
    let all = places.entry((owner.scope.clone(), owner.uid.clone())).or_default();
    let from = owner.valid.from;
    let clash = all.iter().find(|(at, dated, _)| *at == from || !dated || !is_dated);
    let problem = clash.map(|(.., first)| {
        let id = &owner.uid;
        format!("{id:?} is there twice, first at {first}: give each an id, or a valid_from")
    });
    all.push((from, *is_dated, place.to_owned()));
    problem
}

fn entry(written: Written, default_scope: &Arc<str>, now: Nanos) -> Result<Entry, String> {
    let mut fields = written.fields;
    if let Some(unknown) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(format!("{unknown:?} is no field; there are: {}", FIELDS.join(", ")));
    }
    fields.retain(|_, value| !value.is_null());
    short::expand(&mut fields)?;
    if let Some(id) = fields.remove("id") {
        fields.insert("uid".into(), id);
    }
    let json = Value::Object(fields).to_string();
    let mut record = portolan_json::parse(json.as_bytes()).map_err(|why| why.detail)?;
    if record.uid.is_empty() {
        record.uid = uid(&record);
    }
    let is_dated = record.valid_from.is_some();
    if !is_dated && (record.valid_to.is_some() || record.valid_from_lo.is_some()) {
        return Err("valid_to and valid_from_lo need a valid_from".into());
    }
    match judge::judge(&record, default_scope, now).map_err(|why| why.detail)? {
        OwnerEvent::Upsert(mut owner) => {
            if owner.ips.is_empty() && owner.cidrs.is_empty() && owner.node.is_none() {
                return Err("it has neither ips nor cidrs, nor a node_ip".into());
            }
            if !is_dated {
                owner.valid.from = 0;
                owner.valid.from_lo = 0;
            }
            Ok(Entry { owner: *owner, is_dated })
        }
        _ => Err("it is no owner".into()),
    }
}

/// What an entry without an id is known by: what people tell it apart by.
fn uid(record: &crate::v1::OwnershipRecord) -> String {
    let kind = crate::v1::OwnerKind::try_from(record.kind).map_or("", |kind| kind.as_str_name());
    let kind = kind.trim_start_matches("OWNER_KIND_").to_ascii_lowercase();
    let name = if record.name.is_empty() { &record.owner_name } else { &record.name };
    let parts = [&kind, &record.environment, &record.namespace, name];
    parts.map(String::as_str).join("/")
}
