//! Keys and values of notes: rows of the catalogue, and changes that people made.

use std::sync::Arc;

use portolan_model::{
    Attributes, CatalogueKey, CatalogueRecord, ChangeKey, ChangeKind, ChangeRecord, LinkTemplate,
    Nanos, Subject,
};

use super::{CATALOGUE, CHANGE, put_list, take_list};
use crate::codec::{put_str, put_varint, take_str, take_u8, take_varint};
use crate::keys::put_text;

/// What is under a name.
type Named<T> = (Arc<str>, T);

pub(crate) fn catalogue_key(key: &CatalogueKey) -> Vec<u8> {
    let mut out = vec![CATALOGUE];
    let subject = &key.subject;
    for text in [&subject.name, &subject.namespace, &subject.environment, &subject.kind] {
        put_text(&mut out, text);
    }
    out.extend_from_slice(&key.from.to_be_bytes());
    out.extend_from_slice(&key.known.to_be_bytes());
    out
}

pub(crate) fn put_catalogue(out: &mut Vec<u8>, row: &CatalogueRecord) {
    put_subject(out, &row.subject);
    put_varint(out, row.from);
    put_varint(out, row.known);
    put_varint(out, row.observed_at);
    let said = &row.said;
    for text in [&said.owner, &said.tier, &said.domain] {
        put_str(out, text);
    }
    put_named(out, &said.labels, |value| value);
    put_named(out, &said.links, LinkTemplate::as_str);
}

pub(crate) fn read_catalogue(mut bytes: &[u8]) -> Option<CatalogueRecord> {
    let at = &mut bytes;
    let row = CatalogueRecord {
        subject: take_subject(at)?,
        from: take_varint(at)?,
        known: take_varint(at)?,
        observed_at: take_varint(at)?,
        said: Attributes {
            owner: take_str(at)?.into(),
            tier: take_str(at)?.into(),
            domain: take_str(at)?.into(),
            labels: take_named(at, |text| Some(text.into()))?,
            links: take_named(at, |text| LinkTemplate::try_new(text).ok())?,
        },
    };
    at.is_empty().then_some(row)
}

/// The first key of changes at an instant or later.
pub(crate) fn changes_from(at: Nanos) -> Vec<u8> {
    let mut out = vec![CHANGE];
    out.extend_from_slice(&at.to_be_bytes());
    out
}

pub(crate) fn change_key(key: &ChangeKey) -> Vec<u8> {
    let mut out = changes_from(key.at);
    put_text(&mut out, &key.id);
    out
}

pub(crate) fn put_change(out: &mut Vec<u8>, change: &ChangeRecord) {
    put_varint(out, change.at);
    put_str(out, &change.id);
    put_subject(out, &change.subject);
    out.push(change.kind as u8);
    for text in [&change.title, &change.version, &change.author, &change.url] {
        put_str(out, text);
    }
    put_named(out, &change.labels, |value| value);
    put_varint(out, change.observed_at);
    put_varint(out, change.known);
}

pub(crate) fn read_change(mut bytes: &[u8]) -> Option<ChangeRecord> {
    let at = &mut bytes;
    let change = ChangeRecord {
        at: take_varint(at)?,
        id: take_str(at)?.into(),
        subject: take_subject(at)?,
        kind: ChangeKind::from_code(take_u8(at)?)?,
        title: take_str(at)?.into(),
        version: take_str(at)?.into(),
        author: take_str(at)?.into(),
        url: take_str(at)?.into(),
        labels: take_named(at, |text| Some(text.into()))?,
        observed_at: take_varint(at)?,
        known: take_varint(at)?,
    };
    at.is_empty().then_some(change)
}

fn put_subject(out: &mut Vec<u8>, subject: &Subject) {
    for text in [&subject.environment, &subject.namespace, &subject.name, &subject.kind] {
        put_str(out, text);
    }
}

fn take_subject(at: &mut &[u8]) -> Option<Subject> {
    Some(Subject {
        environment: take_str(at)?.into(),
        namespace: take_str(at)?.into(),
        name: take_str(at)?.into(),
        kind: take_str(at)?.into(),
    })
}

fn put_named<T>(out: &mut Vec<u8>, all: &[Named<T>], text: impl Fn(&T) -> &str) {
    put_list(out, all, |out, (name, value)| {
        put_str(out, name);
        put_str(out, text(value));
    });
}

fn take_named<T>(at: &mut &[u8], read: impl Fn(&str) -> Option<T>) -> Option<Vec<Named<T>>> {
    take_list(at, |at| {
        let name = take_str(at)?.into();
        Some((name, read(take_str(at)?)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> CatalogueRecord {
        CatalogueRecord {
            subject: Subject { namespace: "a".into(), name: "w".into(), ..Subject::default() },
            from: 5,
            known: 7,
            observed_at: 6,
            said: Attributes {
                owner: "red".into(),
                tier: "1".into(),
                domain: "".into(),
                labels: vec![("l".into(), "v".into())],
                links: vec![("d".into(), LinkTemplate::try_new("http://x/{name}").unwrap())],
            },
        }
    }

    fn change() -> ChangeRecord {
        ChangeRecord {
            at: 9,
            id: "i".into(),
            subject: Subject { name: "w".into(), ..Subject::default() },
            kind: ChangeKind::Configuration,
            title: "t".into(),
            version: "v".into(),
            author: "".into(),
            url: "http://x".into(),
            labels: Vec::new(),
            observed_at: 10,
            known: 11,
        }
    }

    fn bytes(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out);
        out
    }

    #[test]
    fn bytes_of_notes_are_these() {
        let key = catalogue_key(&row().key());
        let text = b"w\0\x01a\0\x01\0\x01\0\x01";
        assert_eq!(
            key,
            [&[CATALOGUE][..], text, &5_u64.to_be_bytes(), &7_u64.to_be_bytes()].concat()
        );
        assert_eq!(
            bytes(|out| put_catalogue(out, &row())),
            b"\0\x01a\x01w\0\x05\x07\x06\x03red\x011\0\x01\x01l\x01v\x01\x01d\x0fhttp://x/{name}"
        );
        assert_eq!(change_key(&change().key()), b"\x0d\0\0\0\0\0\0\0\x09i\0\x01");
        assert_eq!(
            bytes(|out| put_change(out, &change())),
            b"\x09\x01i\0\0\x01w\0\x01\x01t\x01v\0\x08http://x\0\x0a\x0b"
        );
    }

    #[test]
    fn notes_read_back_whole_or_not_at_all() {
        let whole = bytes(|out| put_catalogue(out, &row()));
        assert_eq!(read_catalogue(&whole), Some(row()));
        let told = bytes(|out| put_change(out, &change()));
        assert_eq!(read_change(&told), Some(change()));
        for cut in 0..whole.len() {
            assert_eq!(read_catalogue(&whole[..cut]), None);
        }
        for cut in 0..told.len() {
            assert_eq!(read_change(&told[..cut]), None);
        }
        assert_eq!(read_catalogue(&[&whole[..], b"\0"].concat()), None);
        assert_eq!(read_change(&[&told[..], b"\0"].concat()), None);
    }
}
