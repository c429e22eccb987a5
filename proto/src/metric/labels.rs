//! Labels and attributes of a point, and their hashes.

use std::borrow::Cow;

/// What an attribute says. Lists and maps are not read.
#[derive(Copy, Clone, Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Int(i64),
    Double(f64),
    Bool(bool),
}

/// An attribute.
pub(super) type Label<'a> = (&'a str, Value<'a>);

/// The labels that speak for a point: its own, then those of its resource.
#[derive(Copy, Clone)]
pub(super) struct Labels<'a> {
    pub(super) point: &'a [Label<'a>],
    pub(super) resource: &'a [Label<'a>],
}

// === impl Value ===

impl<'a> Value<'a> {
    pub(super) fn text(&self) -> Cow<'a, str> {
        match *self {
            Self::Text(text) => text.into(),
            Self::Int(number) => number.to_string().into(),
            Self::Double(number) => number.to_string().into(),
            Self::Bool(truth) => if truth { "true" } else { "false" }.into(),
        }
    }
}

// === impl Labels ===

impl<'a> Labels<'a> {
    /// The value of a key, by its dotted name or as Prometheus has it. Nothing if it is empty.
    pub(super) fn find(&self, key: &str) -> Option<Cow<'a, str>> {
        let all = self.point.iter().chain(self.resource);
        let value = all.into_iter().find(|(name, _)| same_key(name, key))?.1.text();
        (!value.is_empty()).then_some(value)
    }

    /// The first of several keys that says something.
    pub(super) fn first(&self, keys: &[String]) -> Option<Cow<'a, str>> {
        keys.iter().find_map(|key| self.find(key))
    }

    /// Whether all keys have one of their values.
    pub(super) fn all(&self, wanted: &[(String, Vec<String>)]) -> bool {
        wanted.iter().all(|of| self.has(of))
    }

    /// Whether some key has one of its values.
    pub(super) fn any(&self, wanted: &[(String, Vec<String>)]) -> bool {
        wanted.iter().any(|of| self.has(of))
    }

    fn has(&self, (key, values): &(String, Vec<String>)) -> bool {
        self.find(key).is_some_and(|is| values.iter().any(|v| v == "*" || *v == is))
    }
}

fn same_key(a: &str, b: &str) -> bool {
    let plain = |byte: u8| if byte == b'.' { b'_' } else { byte };
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| plain(a) == plain(b))
}

/// A hash of labels that does not depend on their order. `skip` names one that is left out.
pub(super) fn hash_labels(labels: &[Label<'_>], skip: &str) -> u128 {
    let kept = labels.iter().filter(|(key, _)| skip.is_empty() || *key != skip);
    kept.fold(0, |sum: u128, (key, value)| {
        sum.wrapping_add(hash(&[key.as_bytes(), value.text().as_bytes()]))
    })
}

/// FNV-1a of 128 bits over parts with their lengths, mixed so that sums of it are as good.
pub(super) fn hash(parts: &[&[u8]]) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    for part in parts {
        for byte in (part.len() as u32).to_le_bytes().iter().chain(*part) {
            hash = (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
        }
    }
    hash ^= hash >> 67;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    hash ^ hash >> 71
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_of_labels_depends_on_what_they_say_and_not_on_their_order() {
        let (a, b) = (("a", Value::Text("x")), ("b", Value::Int(1)));
        assert_eq!(hash_labels(&[a, b], ""), hash_labels(&[b, a], ""));
        assert_ne!(hash_labels(&[a], ""), hash_labels(&[a, b], ""));
        assert_eq!(hash_labels(&[a], ""), hash_labels(&[a, b], "b"));
        assert_ne!(
            hash_labels(&[("ab", Value::Text("c"))], ""),
            hash_labels(&[("a", Value::Text("bc"))], "")
        );
    }

    #[test]
    fn a_key_is_found_with_dots_or_underscores() {
        let point = [("server_address", Value::Text("db")), ("empty", Value::Text(""))];
        let labels = Labels { point: &point, resource: &[("server.port", Value::Int(5432))] };
        assert_eq!(labels.find("server.address").as_deref(), Some("db"));
        assert_eq!(labels.find("server_port").as_deref(), Some("5432"));
        assert_eq!(labels.find("empty"), None);
        assert!(labels.any(&[("server.port".into(), vec!["*".into()])]));
    }
}
