//! Links out, as templates: what stands in braces is filled in when an answer is made.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::{Entity, Nanos, TimeRange};

/// A link with places in braces: `{environment}`, `{namespace}`, `{name}`, `{kind}` of the entity,
/// `{from_ms}`, `{to_ms}`, `{from_s}`, `{to_s}` of the time that is looked at, since 1970. It begins with
/// `http://` or `https://`, so that nothing that shows it can be made to run it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkTemplate(Arc<str>);

/// Why a text is no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadLink {
    /// It begins with neither `http://` nor `https://`, or names no host.
    NotHttp,
    /// It has white space or control characters.
    Spaces,
    /// A brace is not closed, or not opened.
    Brace,
    /// A place that is not known.
    Place(String),
}

const MILLI: Nanos = 1_000_000;

enum Piece<'a> {
    Text(&'a str),
    Place(&'a str),
}

// === impl LinkTemplate ===

impl LinkTemplate {
    /// Every place that a template may have.
    pub const PLACES: [&'static str; 8] =
        ["environment", "namespace", "name", "kind", "from_ms", "to_ms", "from_s", "to_s"];

    /// The template of a text.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn try_new(text: &str) -> Result<Self, BadLink> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(BadLink::NotHttp);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(BadLink::Spaces);
        }
        for piece in pieces(text) {
            match piece? {
                Piece::Place(place) if !Self::PLACES.contains(&place) => {
                    return Err(BadLink::Place(place.chars().take(32).collect()));
                }
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The link for an entity and a time. An open end of the range is left as it is given: callers
    /// close it.
    pub fn fill(&self, entity: &Entity, range: TimeRange) -> String {
        let mut out = String::with_capacity(self.0.len() + 64);
        for piece in pieces(&self.0).flatten() {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Place("environment") => put(&mut out, &entity.environment),
                Piece::Place("namespace") => put(&mut out, &entity.namespace),
                Piece::Place("name") => put(&mut out, &entity.name),
                Piece::Place("kind") => put(&mut out, entity.kind.as_str()),
                Piece::Place(time) => {
                    let at = if time.starts_with("from") { range.from } else { range.to };
                    let unit = if time.ends_with("_ms") { MILLI } else { 1_000 * MILLI };
                    // Writing to a string does not fail.
                    let _ = write!(out, "{}", at / unit);
                }
            }
        }
        out
    }
}

/// The texts and places of a template, in order.
fn pieces(mut text: &str) -> impl Iterator<Item = Result<Piece<'_>, BadLink>> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        if let Some(inside) = text.strip_prefix('{') {
            let Some((place, rest)) = inside.split_once('}') else {
                text = "";
                return Some(Err(BadLink::Brace));
            };
            text = rest;
            return Some(Ok(Piece::Place(place)));
        }
        let end = text.find('{').unwrap_or(text.len());
        let (piece, rest) = text.split_at(end);
        text = rest;
        Some(if piece.contains('}') { Err(BadLink::Brace) } else { Ok(Piece::Text(piece)) })
    })
}

/// Appends text so that it is text in any part of a link (RFC 3986, section 2.3).
fn put(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

// === impl BadLink ===

impl fmt::Display for BadLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp => f.write_str("it is no http:// or https:// link"),
            Self::Spaces => f.write_str("it has white space or control characters"),
            Self::Brace => f.write_str("a brace has no counterpart"),
            Self::Place(place) => {
                let all = LinkTemplate::PLACES.join(", ");
                write!(f, "{{{place}}} is not one of {all}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntityKind;

    #[test]
    fn places_are_filled_in_so_that_no_name_can_leave_its_place() {
        let link = "https://logs.example/d?q={namespace}/{name}&from={from_ms}&to={to_s}";
        let link = LinkTemplate::try_new(link).unwrap();
        let odd = Entity::new(EntityKind::Service, "shop", "a&b=c/ü");
        let range = TimeRange { from: 1_500_000_000, to: 3_000_000_000 };
        assert_eq!(
            link.fill(&odd, range),
            "https://logs.example/d?q=shop/a%26b%3Dc%2F%C3%BC&from=1500&to=3"
        );
    }

    #[test]
    fn what_is_no_link_is_refused_with_the_reason() {
        let why = |text| LinkTemplate::try_new(text).unwrap_err();
        assert_eq!(why("javascript:alert(1)"), BadLink::NotHttp);
        assert_eq!(why("https://"), BadLink::NotHttp);
        assert_eq!(why("https:///path"), BadLink::NotHttp);
        assert_eq!(why("https://a/b c"), BadLink::Spaces);
        assert_eq!(why("https://a/{name"), BadLink::Brace);
        assert_eq!(why("https://a/name}"), BadLink::Brace);
        assert_eq!(why("https://a/{pod}"), BadLink::Place("pod".into()));
    }
}
