//! Licence expressions (SPDX): `A OR B`, `A AND B`, brackets, and the old `A/B`.

use std::collections::BTreeSet;

/// Whether one of the ways to fulfil the expression needs allowed licences only. What is not an
/// expression permits nothing.
pub(crate) fn permits(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    any(&mut words, allowed) == Some(true) && words.is_empty()
}

fn any(words: &mut &[&str], allowed: &BTreeSet<&str>) -> Option<bool> {
    let mut permitted = all(words, allowed)?;
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        // No short cut: the words have to be taken.
        permitted |= all(words, allowed)?;
    }
    Some(permitted)
}

fn all(words: &mut &[&str], allowed: &BTreeSet<&str>) -> Option<bool> {
    let mut permitted = one(words, allowed)?;
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        permitted &= one(words, allowed)?;
    }
    Some(permitted)
}

fn one(words: &mut &[&str], allowed: &BTreeSet<&str>) -> Option<bool> {
    let (permitted, rest) = match *words {
        ["(", rest @ ..] => {
            let mut inner = rest;
            let permitted = any(&mut inner, allowed)?;
            let [")", rest @ ..] = inner else { return None };
            (permitted, rest)
        }
        [licence, "WITH", exception, rest @ ..] => {
            (allowed.contains([licence, " WITH ", exception].concat().as_str()), rest)
        }
        [licence, rest @ ..] => (allowed.contains(licence), rest),
        [] => return None,
    };
    *words = rest;
    Some(permitted)
}

#[test]
fn expressions_are_weighed() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]);
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "MIT AND Apache-2.0",
        "(GPL-3.0 OR MIT) AND Apache-2.0",
        "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
    ] {
        assert!(permits(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "MIT OR",
        "(MIT",
        "MIT)",
        "MIT GPL-3.0",
        "GPL-3.0 OR MIT AND GPL-3.0",
        "GPL-2.0 WITH LLVM-exception",
    ] {
        assert!(!permits(bad, &allowed), "{bad}");
    }
}
