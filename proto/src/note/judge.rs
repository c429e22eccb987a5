//! Which records are notes.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;

use portolan_model::{
    Attributes, CatalogueRecord, ChangeKind, ChangeRecord, EntityKind, Health, LinkTemplate, Nanos,
    Note, Reject, Subject,
};

use crate::{MAX_AHEAD_NANOS, MAX_NAME_BYTES, Refused, v1};

/// Most labels, and most links, of a record.
pub const MAX_LABELS: usize = 64;

/// Longest value of a label, and longest title.
pub const MAX_VALUE_BYTES: usize = 1_024;

/// Longest link: what browsers and proxies carry safely.
pub const MAX_LINK_BYTES: usize = 2_000;

/// What is under names, sorted by them.
type Named<T> = Vec<(Arc<str>, T)>;

pub(super) fn catalogue(record: &v1::CatalogueRecord, received: Nanos) -> Result<Note, Refused> {
    let observed_at = time("observed_at", record.observed_at, received)?.unwrap_or(received);
    let from = time("valid_from", record.valid_from, received)?.unwrap_or(observed_at);
    let subject =
        subject(&record.environment, &record.namespace, &record.name, ("kind", &record.kind))?;
    let said = Attributes {
        owner: text("owner", &record.owner, MAX_NAME_BYTES)?,
        tier: text("tier", &record.tier, MAX_NAME_BYTES)?,
        domain: text("domain", &record.domain, MAX_NAME_BYTES)?,
        labels: labels(&record.labels)?,
        links: links(&record.links)?,
    };
    let said = match (record.deleted, said.is_empty()) {
        (true, _) => Attributes::default(),
        (false, false) => said,
        (false, true) => return Err(bad("it says nothing; `deleted` ends what was said")),
    };
    Ok(Note::Catalogue(Box::new(CatalogueRecord { subject, from, known: 0, observed_at, said })))
}

pub(super) fn change(record: &v1::ChangeRecord, received: Nanos) -> Result<Note, Refused> {
    let observed_at = time("observed_at", record.observed_at, received)?.unwrap_or(received);
    let at = time("at", record.at, received)?.unwrap_or(observed_at);
    let url = match record.url.as_str() {
        "" => Arc::from(""),
        url => link("url", url).map(|link| link.as_str().into())?,
    };
    let kind = v1::ChangeKind::try_from(record.kind);
    let kind = match kind.map_err(|_| bad(format!("kind {} is not known", record.kind)))? {
        v1::ChangeKind::Deploy => ChangeKind::Deploy,
        v1::ChangeKind::Configuration => ChangeKind::Configuration,
        v1::ChangeKind::Other => ChangeKind::Other,
        v1::ChangeKind::Health => ChangeKind::Health,
    };
    let state = record.version.as_str();
    if kind == ChangeKind::Health && state != "unknown" && Health::from_word(state).is_none() {
        let why = format!("version: {state:?} is not healthy, degraded, unhealthy or unknown");
        return Err(bad(why));
    }
    let mut change = ChangeRecord {
        at,
        id: text("id", &record.id, MAX_NAME_BYTES)?,
        subject: subject(
            &record.environment,
            &record.namespace,
            &record.name,
            ("entity_kind", &record.entity_kind),
        )?,
        kind,
        title: text("title", &record.title, MAX_VALUE_BYTES)?,
        version: text("version", &record.version, MAX_NAME_BYTES)?,
        author: text("author", &record.author, MAX_NAME_BYTES)?,
        url,
        labels: labels(&record.labels)?,
        observed_at: 0,
        known: 0,
    };
    if change.id.is_empty() {
        change.id = format!("{:016x}", hash(&change)).into();
    }
    change.observed_at = observed_at;
    Ok(Note::Change(Box::new(change)))
}

fn subject(
    environment: &str,
    namespace: &str,
    name: &str,
    (field, kind): (&str, &str),
) -> Result<Subject, Refused> {
    let subject = Subject {
        environment: text("environment", environment, MAX_NAME_BYTES)?,
        namespace: text("namespace", namespace, MAX_NAME_BYTES)?,
        name: text("name", name, MAX_NAME_BYTES)?,
        kind: text(field, kind, MAX_NAME_BYTES)?,
    };
    if subject.is_anybody() {
        return Err(bad("environment, namespace and name are all empty: it means nobody"));
    }
    let known = || EntityKind::ALL.iter().any(|known| known.as_str() == kind);
    if !kind.is_empty() && !known() {
        return Err(bad(format!("{field}: {kind:?} is not known")));
    }
    Ok(subject)
}

/// A time that is not further ahead than clocks may be apart.
fn time(field: &str, time: Option<v1::Time>, received: Nanos) -> Result<Option<Nanos>, Refused> {
    let Some(at) = time.map(|time| time.unix_ns).filter(|at| *at > 0) else { return Ok(None) };
    if at > received.saturating_add(MAX_AHEAD_NANOS) {
        let ahead = (at - received) / 1_000_000_000;
        return Err(Refused::new(Reject::Future, format!("{field} is {ahead} s ahead")));
    }
    Ok(Some(at))
}

fn text(field: &str, text: &str, most: usize) -> Result<Arc<str>, Refused> {
    if text.len() > most {
        return Err(bad(format!("{field} has {} bytes, at most {most}", text.len())));
    }
    if text.contains(char::is_control) {
        return Err(bad(format!("{field} has control characters")));
    }
    Ok(text.into())
}

fn labels(given: &BTreeMap<String, String>) -> Result<Named<Arc<str>>, Refused> {
    named("labels", given, |value| text("labels", value, MAX_VALUE_BYTES))
}

fn links(given: &BTreeMap<String, String>) -> Result<Named<LinkTemplate>, Refused> {
    named("links", given, |value| link("links", value))
}

fn link(field: &str, text: &str) -> Result<LinkTemplate, Refused> {
    if text.len() > MAX_LINK_BYTES {
        return Err(bad(format!("{field} has {} bytes, at most {MAX_LINK_BYTES}", text.len())));
    }
    LinkTemplate::try_new(text).map_err(|why| bad(format!("{field}: {text:?}: {why}")))
}

fn named<T>(
    field: &str,
    given: &BTreeMap<String, String>,
    read: impl Fn(&str) -> Result<T, Refused>,
) -> Result<Named<T>, Refused> {
    if given.len() > MAX_LABELS {
        return Err(bad(format!("{field} has {} entries, at most {MAX_LABELS}", given.len())));
    }
    let each = given.iter().map(|(name, value)| {
        if name.is_empty() {
            return Err(bad(format!("{field} has an empty name")));
        }
        Ok((text(field, name, MAX_NAME_BYTES)?, read(value)?))
    });
    each.collect()
}

/// The id of a change without one: FNV-1a, 64 bit, of all that is told. It is stored.
fn hash(change: &ChangeRecord) -> u64 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    let mut eat = |text: &str| {
        hasher.write(text.as_bytes());
        hasher.write(&[0]);
    };
    let subject = &change.subject;
    for text in [&subject.environment, &subject.namespace, &subject.name, &subject.kind] {
        eat(text);
    }
    eat(change.kind.as_str());
    for text in [&change.title, &change.version, &change.author, &change.url] {
        eat(text);
    }
    for (name, value) in &change.labels {
        eat(name);
        eat(value);
    }
    hasher.finish()
}

fn bad(detail: impl Into<String>) -> Refused {
    Refused::new(Reject::BadField, detail)
}
