//! Connections that a map shows without saying whose they are: what a true edge lacks may be among
//! them.

use std::collections::BTreeMap;

use portolan_model::EntityKind;

use super::{Key, Name, Sums};

/// An end as far as it is told: by name, or one of several.
enum End<'a> {
    Is(&'a Name),
    /// The candidates; nothing where anybody may be.
    OneOf(Option<Vec<&'a str>>),
}

/// See the module.
pub(super) struct Undecided<'a>(Vec<(End<'a>, End<'a>, &'a Key, u64)>);

// === impl Undecided ===

impl<'a> Undecided<'a> {
    pub(super) fn new(told: &'a BTreeMap<Key, Sums>) -> Self {
        let open = told.iter().filter_map(|(key, sums)| {
            let ends = (End::new(&key.0), End::new(&key.1));
            let decided = matches!(ends, (End::Is(_), End::Is(_)));
            let is_hop = matches!(key.1.3, EntityKind::Hop(_));
            (!decided || is_hop).then_some((ends.0, ends.1, key, sums.connections))
        });
        Self(open.collect())
    }

    /// How many connections may be those of a true edge. An edge towards a hop that was not folded
    /// may stand for any of its client, whatever the port behind it.
    pub(super) fn of(&self, edge: &Key) -> u64 {
        let may_be = |(client, server, key, _): &&(End, End, &Key, u64)| {
            let unfolded = matches!(key.1.3, EntityKind::Hop(_)) && edge.1 != key.1;
            client.may_be(&edge.0)
                && (unfolded || (server.may_be(&edge.1) && (key.2, key.3) == (edge.2, edge.3)))
        };
        self.0.iter().filter(may_be).map(|(.., connections)| connections).sum()
    }
}

// === impl End ===

impl<'a> End<'a> {
    fn new(name: &'a Name) -> Self {
        match name.3 {
            EntityKind::Ambiguous => {
                let names: Vec<&str> = name.2.split(" | ").collect();
                let open = names.iter().any(|n| n.ends_with(" more"));
                Self::OneOf((!open).then_some(names))
            }
            EntityKind::Unresolved | EntityKind::Overflow => Self::OneOf(None),
            _ => Self::Is(name),
        }
    }

    fn may_be(&self, real: &Name) -> bool {
        match self {
            Self::Is(name) => *name == real,
            Self::OneOf(None) => true,
            Self::OneOf(Some(names)) => {
                let (_, namespace, name, _) = real;
                names.iter().any(|candidate| match candidate.split_once('/') {
                    Some(parts) => parts == (namespace.as_str(), name.as_str()),
                    None => namespace.is_empty() && candidate == name,
                })
            }
        }
    }
}
