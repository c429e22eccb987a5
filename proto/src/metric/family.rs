//! Metric families as data: which metrics make edges, and which of their labels say what.

use std::collections::BTreeMap;

use portolan_model::{CallProtocol, CallSource, MetricWhat, Rank};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// The families that come with the program.
const DEFAULTS: &str = include_str!("families.toml");

/// Families beyond this many are not taken: groups are numbered, and every point asks by name.
const MAX_FAMILIES: usize = 1_000;

/// A table of families, as it is written. The meaning of the keys stands in `families.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FamilyTable {
    /// Ends of calls by name.
    pub ends: BTreeMap<String, EndKeys>,
    /// Labels that say how calls ended; an empty list leaves that of the defaults.
    pub status: StatusKeys,
    /// The families.
    pub families: Vec<FamilyRule>,
}

/// Labels that name one end of a call, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndKeys {
    /// Its name.
    pub service: Vec<String>,
    /// Its namespace.
    pub namespace: Vec<String>,
    /// Its environment.
    pub environment: Vec<String>,
    /// Name or address of its socket.
    pub address: Vec<String>,
    /// The port.
    pub port: Vec<String>,
    /// Network address behind the name.
    pub network: Vec<String>,
    /// The port of that.
    pub network_port: Vec<String>,
    /// A target of gRPC: `dns:///orders.prod:9090`.
    pub target: Vec<String>,
    /// A cluster of Envoy in a mesh: `outbound|9080||reviews.default.svc.cluster.local`.
    pub cluster: Vec<String>,
    /// Database system.
    pub db_system: Vec<String>,
    /// Database name.
    pub db_name: Vec<String>,
    /// Messaging system.
    pub messaging_system: Vec<String>,
    /// Topic or queue.
    pub destination: Vec<String>,
}

/// Labels that say how calls ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusKeys {
    /// Status of HTTP.
    pub http: Vec<String>,
    /// Status of gRPC, by number or name.
    pub grpc: Vec<String>,
    /// There at all (and not `none`): it failed.
    pub error: Vec<String>,
    /// The protocol.
    pub protocol: Vec<String>,
}

/// One family, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyRule {
    /// Names of the metric.
    pub names: Vec<String>,
    /// Values that labels must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: BTreeMap<String, Vec<String>>,
    /// Whose word it is.
    pub source: String,
    /// Metrics of one process that tell the same.
    pub group: String,
    /// Rank of its counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<u8>,
    /// Rank of its durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<u8>,
    /// What is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Unit of durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Who measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<String>,
    /// Who calls.
    pub client: String,
    /// Who is called.
    pub server: String,
    /// Labels that name the operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operation: Vec<String>,
    /// What stands between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// Kind of call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Labels that mean that it failed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, Vec<String>>,
    /// Labels that mean another attempt.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retry: BTreeMap<String, Vec<String>>,
}

/// A table that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FamilyFault {
    /// A word that means nothing there.
    #[error("families[{place}].{key}: {word:?} is not allowed, allowed: {allowed}")]
    Word {
        /// Which family, from 0.
        place: usize,
        /// Which key.
        key: &'static str,
        /// What was written.
        word: String,
        /// What may be.
        allowed: String,
    },
    /// A family without a name, or with neither counts nor latency.
    #[error("families[{0}]: it needs names, and a rank for counts or latency below 4")]
    Useless(usize),
    /// There are too many.
    #[error("more than {MAX_FAMILIES} families")]
    TooMany,
}

/// Who stands at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The process that reports.
    Reporter,
    /// The metric does not say.
    None,
    /// Whom these labels name.
    Keys(Box<EndKeys>),
}

/// A family, ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) when: Vec<(String, Vec<String>)>,
    pub(super) source: CallSource,
    pub(super) group: u16,
    pub(super) counts: Option<Rank>,
    pub(super) times: Option<Rank>,
    pub(super) what: MetricWhat,
    pub(super) unit_nanos: u64,
    pub(super) by_server: bool,
    pub(super) client: End,
    pub(super) server: End,
    pub(super) operation: Vec<String>,
    pub(super) join: String,
    pub(super) protocol: Option<CallProtocol>,
    pub(super) failed: Vec<(String, Vec<String>)>,
    pub(super) retry: Vec<(String, Vec<String>)>,
}

/// Families by name: what decides which metrics are read, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Families {
    all: Vec<Family>,
    by_name: FxHashMap<String, Vec<usize>>,
    pub(super) status: StatusKeys,
}

// === impl Families ===

impl Default for Families {
    fn default() -> Self {
        Self::try_new(&FamilyTable::default()).expect("the defaults are tested")
    }
}

impl Families {
    /// The defaults, and what is configured in front of them.
    pub fn try_new(own: &FamilyTable) -> Result<Self, FamilyFault> {
        let defaults: FamilyTable = toml::from_str(DEFAULTS).expect("the defaults are tested");
        let mut ends = defaults.ends;
        ends.extend(own.ends.clone());
        let or = |own: &Vec<String>, default: Vec<String>| {
            if own.is_empty() { default } else { own.clone() }
        };
        let status = StatusKeys {
            http: or(&own.status.http, defaults.status.http),
            grpc: or(&own.status.grpc, defaults.status.grpc),
            error: or(&own.status.error, defaults.status.error),
            protocol: or(&own.status.protocol, defaults.status.protocol),
        };
        let rules: Vec<_> = own.families.iter().chain(&defaults.families).collect();
        if rules.len() > MAX_FAMILIES {
            return Err(FamilyFault::TooMany);
        }
        let mut made = Self { all: Vec::new(), by_name: FxHashMap::default(), status };
        let mut groups = BTreeMap::new();
        for (place, rule) in rules.into_iter().enumerate() {
            let next = groups.len() as u16;
            let group = *groups.entry(rule.group.clone()).or_insert(next);
            made.all.push(family(place, rule, group, &ends)?);
            for name in &rule.names {
                let places = made.by_name.entry(plain_name(name).0).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        Ok(made)
    }

    /// The families that a metric may be of, in order, with the nanoseconds of the unit in its name.
    pub(super) fn named(&self, name: &str) -> (impl Iterator<Item = &Family>, Option<u64>) {
        let (plain, unit) = plain_name(name);
        let places = self.by_name.get(&plain).map_or(&[][..], Vec::as_slice);
        (places.iter().map(|place| &self.all[*place]), unit)
    }
}

/// Whose word a family may be.
const SOURCES: [&str; 5] = ["mesh_server", "mesh_client", "rpc_server", "rpc_client", "derived"];
/// What a family may count.
const WHAT: [&str; 5] = ["calls", "errors", "bytes_sent", "bytes_received", "presence"];

fn family(
    place: usize,
    rule: &FamilyRule,
    group: u16,
    ends: &BTreeMap<String, EndKeys>,
) -> Result<Family, FamilyFault> {
    let wrong = |key, word: &str, allowed: &[&str]| FamilyFault::Word {
        place,
        key,
        word: word.chars().take(64).collect(),
        allowed: allowed.join(", "),
    };
    let ranks = [rule.counts, rule.latency];
    // Ranks seen are four bits each.
    if rule.names.is_empty() || ranks == [None; 2] || ranks.iter().flatten().any(|r| *r > 3) {
        return Err(FamilyFault::Useless(place));
    }
    let source = CallSource::ALL
        .into_iter()
        .find(|s| s.as_str() == rule.source && SOURCES.contains(&s.as_str()))
        .ok_or_else(|| wrong("source", &rule.source, &SOURCES))?;
    let what = match rule.what.as_deref().unwrap_or("calls") {
        "calls" => MetricWhat::Calls,
        "errors" => MetricWhat::Errors,
        "bytes_sent" => MetricWhat::BytesSent,
        "bytes_received" => MetricWhat::BytesReceived,
        "presence" => MetricWhat::Presence,
        word => return Err(wrong("what", word, &WHAT)),
    };
    let unit = rule.unit.as_deref().unwrap_or("s");
    let unit_nanos =
        unit_nanos(unit).ok_or_else(|| wrong("unit", unit, &["s", "ms", "us", "ns"]))?;
    let by_server = match rule.side.as_deref() {
        None => matches!(source, CallSource::MeshServer | CallSource::RpcServer),
        Some("server") => true,
        Some("client") => false,
        Some(word) => return Err(wrong("side", word, &["client", "server"])),
    };
    let end = |key, word: &String| match (word.as_str(), ends.get(word)) {
        (_, Some(keys)) => Ok(End::Keys(Box::new(keys.clone()))),
        ("reporter", _) => Ok(End::Reporter),
        ("none", _) => Ok(End::None),
        _ => {
            let mut allowed = vec!["reporter", "none"];
            allowed.extend(ends.keys().map(String::as_str));
            Err(wrong(key, word, &allowed))
        }
    };
    let protocol = rule.protocol.as_deref().map(|word| {
        let words = CallProtocol::ALL.map(CallProtocol::as_str);
        let of = CallProtocol::ALL.into_iter().find(|p| p.as_str() == word);
        of.ok_or_else(|| wrong("protocol", word, &words))
    });
    let values = |of: &BTreeMap<String, Vec<String>>| of.clone().into_iter().collect();
    Ok(Family {
        when: values(&rule.when),
        source,
        group,
        counts: rule.counts.map(Rank),
        times: rule.latency.map(Rank),
        what,
        unit_nanos,
        by_server,
        client: end("client", &rule.client)?,
        server: end("server", &rule.server)?,
        operation: rule.operation.clone(),
        join: rule.join.clone().unwrap_or_else(|| " ".to_owned()),
        protocol: protocol.transpose()?,
        failed: values(&rule.failed),
        retry: values(&rule.retry),
    })
}

/// Nanoseconds of a unit by its UCUM word, or as Prometheus names it.
pub(super) fn unit_nanos(unit: &str) -> Option<u64> {
    match unit {
        "s" | "seconds" => Some(1_000_000_000),
        "ms" | "milliseconds" => Some(1_000_000),
        "us" | "microseconds" => Some(1_000),
        "ns" | "nanoseconds" => Some(1),
        _ => None,
    }
}

/// A name with its dots, slashes and blanks as underscores, and without what Prometheus appends; and
/// the unit that was appended.
fn plain_name(name: &str) -> (String, Option<u64>) {
    let plain = name.replace(['.', '/', ' '], "_");
    let mut rest = plain.as_str();
    for suffix in ["_total", "_bucket", "_count", "_sum"] {
        rest = rest.strip_suffix(suffix).unwrap_or(rest);
    }
    match rest.rsplit_once('_') {
        Some((head, "bytes")) => (head.to_owned(), None),
        Some((head, tail)) if unit_nanos(tail).is_some() => (head.to_owned(), unit_nanos(tail)),
        _ => (rest.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_is_the_name_of_otlp_and_that_of_prometheus() {
        let families = Families::default();
        for (name, unit) in [
            ("rpc.client.call.duration", None),
            ("rpc_client_call_duration_seconds_bucket", Some(1_000_000_000)),
            ("http_client_duration_milliseconds_sum", Some(1_000_000)),
            ("istio_requests_total", None),
            ("istio_request_duration_milliseconds_count", Some(1_000_000)),
            ("http_client_requests_seconds_count", Some(1_000_000_000)),
            ("istio_tcp_sent_bytes_total", None),
            ("messaging_client_sent_messages_total", None),
            ("response_latency_ms_bucket", Some(1_000_000)),
            ("grpc_server_handling_seconds_bucket", Some(1_000_000_000)),
            ("traces_service_graph_request_client_seconds_bucket", Some(1_000_000_000)),
        ] {
            let (mut found, of) = families.named(name);
            assert!(found.next().is_some(), "{name}");
            assert_eq!(of, unit, "{name}");
        }
        for name in ["process.cpu.time", "http.client", "istio_build"] {
            assert!(families.named(name).0.next().is_none(), "{name}");
        }
    }

    #[test]
    fn own_family_is_asked_first_and_refused_with_a_reason() {
        let own = |text: &str| {
            let table: FamilyTable = toml::from_str(text).expect("toml");
            Families::try_new(&table)
        };
        let families = own(r#"
            ends.them = { service = ["callee"] }
            families = [{ names = ["ipc.client.call"], source = "rpc_client", group = "own",
                          counts = 0, client = "reporter", server = "them" }]
        "#)
        .expect("a good table");
        let first = families.named("ipc.client.call").0.next().expect("a family");
        assert_eq!(first.client, End::Reporter);
        let fault =
            own(r#"families = [{ names = ["a"], source = "rpc_client", group = "g", counts = 0,
                             client = "them", server = "reporter" }]"#);
        let fault = fault.unwrap_err().to_string();
        assert!(fault.starts_with("families[0].client: \"them\" is not allowed"), "{fault}");
        let useless = own(r#"families = [{ names = ["a"], source = "rpc_client", group = "g",
                             client = "none", server = "reporter" }]"#);
        assert_eq!(useless, Err(FamilyFault::Useless(0)));
    }
}
