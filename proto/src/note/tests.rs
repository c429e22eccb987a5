use prost::Message;

use super::*;

const NOW: Nanos = 1_795_435_200_000_000_000;

fn decode(encoding: NoteEncoding, payload: &[u8]) -> (Vec<Note>, Vec<Refused>) {
    let (mut notes, mut refused) = (Vec::new(), Vec::new());
    decode_notes(encoding, NOW, 1 << 20, payload, &mut notes, &mut |why| refused.push(why));
    (notes, refused)
}

fn refusal(encoding: NoteEncoding, json: &str) -> String {
    let (notes, refused) = decode(encoding, json.as_bytes());
    assert!(notes.is_empty(), "{notes:?}");
    format!("{}: {}", refused[0].reason.as_str(), refused[0].detail)
}

#[test]
fn both_forms_of_a_catalogue_record_say_the_same() {
    let json = br#"{"namespace": "shop", "name": "web", "kind": "workload", "owner": "team-red",
        "tier": "1", "domain": "sales", "labels": {"lang": "go", "cost": "42"},
        "links": {"logs": "https://logs.example/{namespace}/{name}?from={from_ms}"},
        "valid_from": "2026-11-23T11:00:00Z", "observed_at": 1795435199.5}"#;
    let (notes, refused) = decode(NoteEncoding::CatalogueJson, json);
    assert_eq!(refused, []);
    let [Note::Catalogue(record)] = &notes[..] else { panic!("{notes:?}") };
    assert_eq!(record.from, NOW - 3_600_000_000_000);
    assert_eq!(record.observed_at, NOW - 500_000_000);
    let names: Vec<&str> = record.said.labels.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["cost", "lang"], "sorted");
    let bytes = encode_catalogue(record).encode_to_vec();
    assert_eq!(decode(NoteEncoding::CataloguePb, &bytes), (notes, Vec::new()));
}

#[test]
fn both_forms_of_a_change_say_the_same() {
    let json = br#"{"id": "d-1", "at": 1795435100, "kind": "configuration", "namespace": "shop",
        "name": "web", "entity_kind": "service", "title": "more memory", "version": "v7",
        "author": "kim", "url": "https://ci.example/7", "labels": {"ticket": "OPS-1"}}"#;
    let (notes, refused) = decode(NoteEncoding::ChangesJson, json);
    assert_eq!(refused, []);
    let [Note::Change(change)] = &notes[..] else { panic!("{notes:?}") };
    assert_eq!((change.at, change.observed_at), (NOW - 100_000_000_000, NOW));
    let bytes = encode_change(change).encode_to_vec();
    assert_eq!(decode(NoteEncoding::ChangesPb, &bytes), (notes, Vec::new()));
}

#[test]
fn a_change_without_an_id_gets_one_of_what_it_tells() {
    let id = |json: &str| match &decode(NoteEncoding::ChangesJson, json.as_bytes()).0[..] {
        [Note::Change(change)] => change.id.to_string(),
        other => panic!("{other:?}"),
    };
    let first = id(r#"{"name": "web", "version": "v1", "at": 1795435100}"#);
    let again =
        id(r#"{"version": "v1", "name": "web", "at": 1795435100, "observed_at": 1795435101}"#);
    assert_eq!(first, again);
    assert_ne!(first, id(r#"{"name": "web", "title": "v1", "at": 1795435100}"#));
    // It is on disks.
    assert_eq!(first, "2cb8f7ca885159d5");
}

#[test]
fn what_is_no_note_is_refused_with_the_reason() {
    use NoteEncoding::{CatalogueJson as Catalogue, ChangesJson as Changes};
    let cases = [
        (
            Catalogue,
            r#"{"owner": "red"}"#,
            "bad_field: environment, namespace and name are all empty",
        ),
        (Catalogue, r#"{"name": "web"}"#, "bad_field: it says nothing"),
        (Catalogue, r#"{"name": "web", "owner": 7}"#, "bad_field: invalid type"),
        (Catalogue, r#"{"name": "web", "owner": "a\u0007b"}"#, "bad_field: owner has control"),
        (Catalogue, r#"{"name": "web", "kind": "pod", "tier": "1"}"#, "bad_field: kind: \"pod\""),
        (
            Catalogue,
            r#"{"name": "web", "links": {"x": "javascript:alert(1)"}}"#,
            "bad_field: links: \"javascript:alert(1)\": it is no http",
        ),
        (
            Catalogue,
            r#"{"name": "web", "links": {"x": "https://a/{pod}"}}"#,
            "bad_field: links: \"https://a/{pod}\": {pod} is not one of",
        ),
        (
            Catalogue,
            r#"{"name": "web", "owner": "red", "valid_from": "2027-01-01T00:00:00Z"}"#,
            "future: valid_from is",
        ),
        (Changes, r#"{"name": "web", "at": 1795449600}"#, "future: at is 14400 s ahead"),
        (Changes, r#"{"name": "web", "kind": "party"}"#, "bad_field: kind: \"party\""),
        (
            Changes,
            r#"{"name": "web", "kind": "health", "version": "v1"}"#,
            "bad_field: version: \"v1\"",
        ),
        (Changes, r#"{"name": "web", "url": "ftp://x"}"#, "bad_field: url"),
        (Changes, r"[", "undecodable: "),
        (Changes, r"7", "undecodable: not a JSON object"),
    ];
    for (encoding, json, wanted) in cases {
        let is = refusal(encoding, json);
        assert!(is.starts_with(wanted), "{json}: {is}");
    }
    assert!(refusal(Catalogue, "").starts_with("undecodable: empty message"));
}

#[test]
fn bounds_hold() {
    let many: Vec<String> = (0..=MAX_LABELS).map(|at| format!("\"l{at}\": \"x\"")).collect();
    let json = format!("{{\"name\": \"web\", \"labels\": {{{}}}}}", many.join(","));
    assert!(
        refusal(NoteEncoding::CatalogueJson, &json).contains("labels has 65 entries, at most 64")
    );
    let json = format!("{{\"name\": \"{}\", \"owner\": \"red\"}}", "n".repeat(256));
    assert!(
        refusal(NoteEncoding::CatalogueJson, &json).contains("name has 256 bytes, at most 255")
    );
}

#[test]
fn one_bad_record_of_many_is_refused_alone() {
    let lines =
        b"{\"name\": \"a\", \"owner\": \"x\"}\n{\"name\": 1}\n{\"name\": \"b\", \"deleted\": true}";
    let (notes, refused) = decode(NoteEncoding::CatalogueJson, lines);
    assert_eq!(notes.len(), 2);
    assert!(refused[0].detail.starts_with("record 1: "), "{}", refused[0].detail);
}
