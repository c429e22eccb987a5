//! Properties of librdkafka, as they are: names with dots, values of text.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::Value;

/// Properties that are passed on to librdkafka. Shown anywhere, secrets are masked.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

/// What stands for a secret.
const MASK: &str = "********";

/// Properties that the line sets itself, because its promises rest on them.
pub(super) const OWNED: &[(&str, &str)] = &[
    ("auto.commit.enable", "offsets are committed with the store"),
    ("auto.offset.reset", "offsets that are gone are counted as lost"),
    ("bootstrap.servers", "use brokers"),
    ("enable.auto.commit", "offsets are committed with the store"),
    ("enable.auto.offset.store", "offsets are committed with the store"),
    ("metadata.broker.list", "use brokers"),
];

// === impl Properties ===

impl Properties {
    /// Name and value, in the order of names. The values are the real ones, secrets included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn masked(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(name, value)| (name, if is_secret(name) { MASK } else { value }))
    }
}

/// Whether a value of this name is shown. Rather one too many than one too few.
fn is_secret(name: &str) -> bool {
    const SIGNS: [&str; 7] =
        ["password", "secret", "token", "credential", "pem", "jaas", "oauthbearer.config"];
    SIGNS.iter().any(|sign| name.contains(sign))
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.masked()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.masked())
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut flat = BTreeMap::new();
        // The error of its own would show what is there instead, which may be a secret.
        let table = toml::Table::deserialize(from)
            .map_err(|_| D::Error::custom("it is not a table of names and values"))?;
        flatten("", table, &mut flat).map_err(D::Error::custom)?;
        Ok(Self(flat))
    }
}

/// `security.protocol = "SSL"` without quotes is a table in TOML, and means the same here.
fn flatten(
    prefix: &str,
    table: toml::Table,
    flat: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        let text = match value {
            Value::Table(inner) => {
                flatten(&name, inner, flat)?;
                continue;
            }
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            // The value itself is not shown: it may be a secret.
            Value::Array(_) | Value::Datetime(_) => {
                return Err(format!("{name} is neither text, number nor boolean"));
            }
        };
        if flat.insert(name.clone(), text).is_some() {
            return Err(format!("{name} is there twice, with and without quotes"));
        }
    }
    Ok(())
}
