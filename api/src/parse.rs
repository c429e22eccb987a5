//! Requests: what they ask for, or which field makes no sense and what is allowed there.

use portolan_graph::{EvidenceBits, Filter, KindSet, LayerSet, WalkDirection};
use portolan_model::{Collapse, Health, Layer, Nanos, Proto, TimeRange};
use portolan_proto::{micros_to_nanos, v1};

use crate::{Error, Past};

/// Longest text in a request, in bytes. A name in Kubernetes has at most 253, and so has a
/// namespace with its slash at most 64.
const MAX_TEXT: usize = 512;
/// Most values of one field.
const MAX_LIST: usize = 100;

/// A time of a request; `None` stands for now. `reach` is how far back a moment looks.
pub(crate) fn time(
    given: Option<v1::TimeRange>,
    at_unix_us: i64,
    known_at_unix_us: i64,
    reach: Nanos,
) -> Result<Option<Past>, Error> {
    let known_at = moment("known_at_unix_us", known_at_unix_us)?;
    let range = match (range(given)?, moment("at_unix_us", at_unix_us)?) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("at_unix_us", "give this or a range, not both"));
        }
        (Some(range), None) => range,
        (None, at) => match at.or(known_at) {
            Some(at) => TimeRange { from: at.saturating_sub(reach), to: at },
            None => return Ok(None),
        },
    };
    if known_at.is_some_and(|known_at| known_at <= range.from) {
        let problem = "nothing can be known of a range before it begins";
        return Err(Error::invalid("known_at_unix_us", problem));
    }
    Ok(Some(Past { range, known_at }))
}

/// A moment; 0 is none.
fn moment(field: &'static str, unix_us: i64) -> Result<Option<Nanos>, Error> {
    match unix_us {
        0 => Ok(None),
        us if us < 0 => Err(Error::invalid(field, "times before 1970 are not kept")),
        us => Ok(Some(micros_to_nanos(us))),
    }
}

/// A range; `None` if there is none.
pub(crate) fn range(range: Option<v1::TimeRange>) -> Result<Option<TimeRange>, Error> {
    let Some(v1::TimeRange { from_unix_us: from, to_unix_us: to }) = range else {
        return Ok(None);
    };
    if from < 0 || to < 0 {
        return Err(Error::invalid("range", "times before 1970 are not kept"));
    }
    if to != 0 && from >= to {
        let problem = format!("from_unix_us {from} is not before to_unix_us {to}");
        return Err(Error::invalid("range", problem));
    }
    let to = if to == 0 { Nanos::MAX } else { micros_to_nanos(to) };
    Ok(Some(TimeRange { from: micros_to_nanos(from), to }))
}

/// A range that has both ends.
pub(crate) fn closed_range(
    field: &'static str,
    given: Option<v1::TimeRange>,
) -> Result<TimeRange, Error> {
    let given = given.unwrap_or_default();
    match range(Some(given)) {
        Ok(Some(range)) if range.from > 0 && range.to < Nanos::MAX => Ok(range),
        Ok(_) => Err(Error::invalid(field, "give both ends of the range")),
        Err(Error::Invalid { problem, .. }) => Err(Error::Invalid { field, problem }),
        Err(error) => Err(error),
    }
}

/// The words of health that edges are asked for.
pub(crate) fn health(filter: Option<&v1::Filter>) -> Result<Vec<String>, Error> {
    let words = filter.map(|filter| filter.health.clone()).unwrap_or_default();
    let known = |word: &str| word == "unknown" || Health::from_word(word).is_some();
    match words.iter().find(|word| !known(word)) {
        None => Ok(words),
        Some(word) => {
            let problem = format!("{word:?} is not one of healthy, degraded, unhealthy, unknown");
            Err(Error::invalid("filter.health", problem))
        }
    }
}

/// A filter of edges by their ends alone.
pub(crate) fn ends_filter(given: Option<v1::Filter>) -> Result<Filter, Error> {
    if given.as_ref().is_some_and(|filter| !filter.health.is_empty()) {
        return Err(Error::invalid("filter.health", "health is of one time, and this is of two"));
    }
    let filter = filter(given, &[])?;
    let asks_more = !filter.protocols.is_empty()
        || !filter.ports.is_empty()
        || filter.min_connections > 0
        || filter.min_calls > 0;
    if asks_more {
        let problem = "protocols, ports, connections and calls do not tell edges as a whole apart";
        return Err(Error::invalid("filter", problem));
    }
    Ok(filter)
}

pub(crate) fn collapse(value: i32) -> Result<Collapse, Error> {
    match v1::Collapse::try_from(value) {
        Ok(v1::Collapse::None) => Ok(Collapse::None),
        Ok(v1::Collapse::L4) => Ok(Collapse::L4),
        Ok(v1::Collapse::Mesh) => Ok(Collapse::Mesh),
        Ok(v1::Collapse::Proven) => Ok(Collapse::Proven),
        Ok(v1::Collapse::Unspecified | v1::Collapse::ProvenAndDeclared) => {
            Ok(Collapse::ProvenAndDeclared)
        }
        Ok(v1::Collapse::Possible) => Ok(Collapse::Possible),
        Err(_) => Err(Error::invalid("collapse", format!("{value} is not one of 0 to 6"))),
    }
}

/// The same, where edges that only may be have no place: what is compared, counted or looked into is known.
pub(crate) fn known_collapse(value: i32) -> Result<Collapse, Error> {
    match collapse(value)? {
        Collapse::Possible => {
            let problem = "edges that only may be are shown by GetGraph and Traverse alone";
            Err(Error::invalid("collapse", problem))
        }
        known => Ok(known),
    }
}

pub(crate) fn direction(value: i32) -> Result<WalkDirection, Error> {
    match v1::TraverseDirection::try_from(value) {
        Ok(v1::TraverseDirection::Unspecified | v1::TraverseDirection::Downstream) => {
            Ok(WalkDirection::Downstream)
        }
        Ok(v1::TraverseDirection::Upstream) => Ok(WalkDirection::Upstream),
        Ok(v1::TraverseDirection::Both) => Ok(WalkDirection::Both),
        Err(_) => Err(Error::invalid("direction", format!("{value} is not one of 0 to 3"))),
    }
}

/// A number with a default and an upper bound.
pub(crate) fn bounded(
    field: &'static str,
    value: u32,
    default: u32,
    most: u32,
) -> Result<u32, Error> {
    match value {
        0 => Ok(default),
        value if value <= most => Ok(value),
        value => Err(Error::invalid(field, format!("{value} is over {most}"))),
    }
}

pub(crate) fn filter(filter: Option<v1::Filter>, layers: &[String]) -> Result<Filter, Error> {
    let filter = filter.unwrap_or_default();
    list("filter.namespaces", &filter.namespaces)?;
    list("filter.protocols", &filter.protocols)?;
    list("filter.environments", &filter.environments)?;
    list("filter.owners", &filter.owners)?;
    list("filter.tiers", &filter.tiers)?;
    list("filter.domains", &filter.domains)?;
    text("filter.name_contains", &filter.name_contains)?;
    if filter.ports.len() > MAX_LIST {
        return Err(too_many("filter.ports", filter.ports.len()));
    }
    let proto = |text: &String| {
        Proto::parse(text).ok_or_else(|| {
            let problem = format!("{text:?} is not tcp, udp, sctp, icmp, icmp6 or a number to 255");
            Error::invalid("filter.protocols", problem)
        })
    };
    let port = |port: &u32| {
        u16::try_from(*port)
            .map_err(|_| Error::invalid("filter.ports", format!("{port} is over 65535")))
    };
    Ok(Filter {
        layers: layer_set(layers)?,
        kinds: kind_set("filter.kinds", &filter.kinds)?,
        protocols: filter.protocols.iter().map(proto).collect::<Result<_, _>>()?,
        ports: filter.ports.iter().map(port).collect::<Result<_, _>>()?,
        namespaces: filter.namespaces,
        name_contains: filter.name_contains,
        environments: filter.environments,
        owners: filter.owners,
        tiers: filter.tiers,
        domains: filter.domains,
        hide_node_traffic: filter.hide_node_traffic,
        hide_unresolved: filter.hide_unresolved,
        hide_self: filter.hide_self,
        min_connections: filter.min_connections,
        min_calls: filter.min_calls,
    })
}

pub(crate) fn kind_set(field: &'static str, words: &[String]) -> Result<KindSet, Error> {
    list(field, words)?;
    let mut kinds = KindSet::default();
    match words.iter().find(|word| !kinds.insert(word)) {
        None => Ok(kinds),
        Some(word) => {
            let all = KindSet::words().join(", ");
            Err(Error::invalid(field, format!("{word:?} is not one of {all}")))
        }
    }
}

/// A set of kinds of evidence; nothing if none is named.
pub(crate) fn evidence(words: &[String]) -> Result<Option<EvidenceBits>, Error> {
    list("evidence", words)?;
    let mut set = None;
    for word in words {
        let bit = EvidenceBits::parse(word).ok_or_else(|| {
            let problem = format!("{word:?} is not one of network, ipc, trace, derived");
            Error::invalid("evidence", problem)
        })?;
        set = Some(bit.and(set.unwrap_or_default()));
    }
    Ok(set)
}

/// What to start from: at least one text.
pub(crate) fn starts(starts: &[String]) -> Result<(), Error> {
    if starts.is_empty() {
        return Err(Error::invalid("start", "name at least one entity"));
    }
    list("start", starts)?;
    if starts.iter().any(String::is_empty) {
        return Err(Error::invalid("start", "a name is empty"));
    }
    Ok(())
}

/// A trace by its id: 32 hexadecimal digits, or 16.
pub(crate) fn trace_id(field: &'static str, text: &str) -> Result<u128, Error> {
    let is_id = matches!(text.len(), 16 | 32) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    id.ok_or_else(|| Error::invalid(field, "it is not 32 hexadecimal digits, or 16"))
}

pub(crate) fn text(field: &'static str, text: &str) -> Result<(), Error> {
    if text.len() > MAX_TEXT {
        let problem = format!("a text of {} bytes is over {MAX_TEXT}", text.len());
        return Err(Error::invalid(field, problem));
    }
    Ok(())
}

fn layer_set(words: &[String]) -> Result<LayerSet, Error> {
    list("layers", words)?;
    let mut layers = LayerSet::default();
    for word in words {
        let layer = Layer::ALL.iter().find(|layer| layer.as_str() == word).ok_or_else(|| {
            Error::invalid("layers", format!("{word:?} is not one of network, ipc, trace"))
        })?;
        layers.insert(*layer);
    }
    Ok(layers)
}

fn list(field: &'static str, list: &[String]) -> Result<(), Error> {
    if list.len() > MAX_LIST {
        return Err(too_many(field, list.len()));
    }
    list.iter().try_for_each(|item| text(field, item))
}

fn too_many(field: &'static str, count: usize) -> Error {
    Error::invalid(field, format!("{count} values are over {MAX_LIST}"))
}
