//! The JSON form of an ownership record (the comments of `ownership.proto` say how).

use portolan_model::Reject;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::judge::bad;
use crate::json::{self, Number, Text, Truth};
use crate::{Refused, time, v1};

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonOwner<'a> {
    #[serde(borrow)]
    scope: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
    #[serde(borrow)]
    operation: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    environment: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    owner_name: Text<'a>,
    #[serde(borrow)]
    owner_kind: Text<'a>,
    #[serde(borrow)]
    node_ip: Text<'a>,
    host_network: Truth,
    #[serde(borrow)]
    phase: Option<&'a RawValue>,
    #[serde(borrow)]
    ips: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    cidrs: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    ports: Option<Vec<JsonPort<'a>>>,
    #[serde(borrow)]
    backends: Option<Vec<JsonBackend<'a>>>,
    #[serde(borrow)]
    node_ports: Option<Vec<JsonNodePort<'a>>>,
    #[serde(borrow)]
    host_ports: Option<Vec<JsonPort<'a>>>,
    #[serde(borrow)]
    observer_ip: Text<'a>,
    #[serde(borrow)]
    observed_at: Option<&'a RawValue>,
    #[serde(borrow)]
    valid_from: Option<&'a RawValue>,
    #[serde(borrow)]
    valid_to: Option<&'a RawValue>,
    #[serde(borrow)]
    valid_from_lo: Option<&'a RawValue>,
    #[serde(borrow)]
    valid_to_hi: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonPort<'a> {
    port: Number,
    #[serde(borrow)]
    protocol: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonNodePort<'a> {
    node_port: Number,
    #[serde(borrow)]
    protocol: Text<'a>,
    port: Number,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonBackend<'a> {
    #[serde(borrow)]
    ip: Text<'a>,
    port: Number,
    #[serde(borrow)]
    protocol: Text<'a>,
    front_port: Number,
}

/// The record that one JSON object says.
pub(crate) fn parse(value: &[u8]) -> Result<v1::OwnershipRecord, Refused> {
    if value.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refused::new(Reject::Undecodable, "not a JSON object"));
    }
    serde_json::from_slice::<JsonOwner<'_>>(value)
        .map_err(|error| json::refusal(&error))?
        .into_record()
}

// === impl JsonOwner ===

impl JsonOwner<'_> {
    fn into_record(self) -> Result<v1::OwnershipRecord, Refused> {
        let operation = word("operation", self.operation, "OPERATION_", |word| {
            v1::Operation::from_str_name(word).map(i32::from)
        })?;
        let kind = word("kind", self.kind, "OWNER_KIND_", |word| {
            v1::OwnerKind::from_str_name(word).map(i32::from)
        })?;
        let phase = word("phase", self.phase, "PHASE_", |word| {
            v1::Phase::from_str_name(word).map(i32::from)
        })?;
        Ok(v1::OwnershipRecord {
            scope: owned(self.scope),
            uid: owned(self.uid),
            operation,
            kind,
            environment: owned(self.environment),
            namespace: owned(self.namespace),
            name: owned(self.name),
            owner_name: owned(self.owner_name),
            owner_kind: owned(self.owner_kind),
            node_ip: owned(self.node_ip),
            host_network: self.host_network.0,
            phase,
            ips: self.ips.unwrap_or_default().into_iter().map(owned).collect(),
            cidrs: self.cidrs.unwrap_or_default().into_iter().map(owned).collect(),
            ports: self.ports.unwrap_or_default().into_iter().map(port).collect(),
            backends: self.backends.unwrap_or_default().into_iter().map(backend).collect(),
            node_ports: self.node_ports.unwrap_or_default().into_iter().map(node_port).collect(),
            host_ports: self.host_ports.unwrap_or_default().into_iter().map(port).collect(),
            observer_ip: owned(self.observer_ip),
            observed_at: instant("observed_at", self.observed_at)?,
            valid_from: instant("valid_from", self.valid_from)?,
            valid_to: instant("valid_to", self.valid_to)?,
            valid_from_lo: instant("valid_from_lo", self.valid_from_lo)?,
            valid_to_hi: instant("valid_to_hi", self.valid_to_hi)?,
        })
    }
}

fn owned(text: Text<'_>) -> String {
    text.0.into_owned()
}

fn port(port: JsonPort<'_>) -> v1::Port {
    v1::Port { port: narrow(port.port), protocol: owned(port.protocol), name: owned(port.name) }
}

fn node_port(port: JsonNodePort<'_>) -> v1::NodePort {
    v1::NodePort {
        node_port: narrow(port.node_port),
        protocol: owned(port.protocol),
        port: narrow(port.port),
    }
}

fn backend(backend: JsonBackend<'_>) -> v1::Backend {
    v1::Backend {
        ip: owned(backend.ip),
        port: narrow(backend.port),
        protocol: owned(backend.protocol),
        front_port: narrow(backend.front_port),
    }
}

/// A port of more than 32 bits becomes the largest, which is none either.
fn narrow(number: Number) -> u32 {
    u32::try_from(number.0).unwrap_or(u32::MAX)
}

/// The number of an enum value: by its word (`load_balancer`), its full name, or its number.
pub(crate) fn word(
    field: &str,
    value: Option<&RawValue>,
    prefix: &str,
    number_of: impl Fn(&str) -> Option<i32>,
) -> Result<i32, Refused> {
    let Some(value) = value else { return Ok(0) };
    if let Some(number) = read::<i32>(value) {
        return Ok(number);
    }
    let found = read::<String>(value).and_then(|word| {
        let word = word.to_ascii_uppercase();
        number_of(&word).or_else(|| number_of(&format!("{prefix}{word}")))
    });
    found.ok_or_else(|| bad(format!("{field}: {value} is not known")))
}

/// The instant that a JSON value says.
pub(crate) fn instant(field: &str, value: Option<&RawValue>) -> Result<Option<v1::Time>, Refused> {
    let Some(value) = value else { return Ok(None) };
    let written = time::parse(value.get()).map(|unix_ns| v1::Time { unix_ns });
    // `{"unix_ns": …}` is what the message itself looks like in JSON.
    let message = || read::<v1::Time>(value).filter(|_| value.get().starts_with('{'));
    let time = written.or_else(message);
    let why = || format!("{field}: {value} is neither RFC 3339 nor seconds since the epoch");
    time.map(Some).ok_or_else(|| bad(why()))
}

fn read<T: DeserializeOwned>(value: &RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}
