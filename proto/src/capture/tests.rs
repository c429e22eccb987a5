use std::io::{BufReader, Cursor};

use super::*;

fn read(bytes: &[u8]) -> Vec<Result<Captured, String>> {
    read_with(bytes, DEFAULT_MAX_LINE_BYTES)
}

fn read_with(bytes: &[u8], max: usize) -> Vec<Result<Captured, String>> {
    // A small buffer, so that every line crosses its end.
    let reader = BufReader::with_capacity(7, Cursor::new(bytes.to_vec()));
    Captures::new(reader, max).map(|item| item.map_err(|error| error.to_string())).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "stands beside what was read, which may fail")]
fn message(line: usize, key: Option<&[u8]>, value: &[u8]) -> Result<Captured, String> {
    Ok(Captured { line, key: key.map(<[u8]>::to_vec), value: value.to_vec() })
}

#[test]
fn line_holds_base64_an_object_or_is_the_value_itself() {
    let file = br#"{"key": "a2V5", "value": "AAEC"}
{"key": null, "value": {"Bytes":1.50}, "offset": 7}

{"value": "AAE"}
{"SrcAddr": "10.0.0.1"}
"#;
    assert_eq!(
        read(file),
        [
            message(1, Some(b"key"), &[0, 1, 2]),
            message(2, None, br#"{"Bytes":1.50}"#),
            message(4, None, &[0, 1]),
            message(5, None, br#"{"SrcAddr": "10.0.0.1"}"#),
        ]
    );
}

#[test]
fn last_line_needs_no_end() {
    assert_eq!(read(b"{\"value\":\"AA==\"}"), [message(1, None, &[0])]);
    assert_eq!(read(b"\r\n{\"value\":\"AA==\"}\r\n"), [message(2, None, &[0])]);
}

#[test]
fn faulty_line_is_named_and_the_next_one_read() {
    let items = read(b"{\"value\": \"%%\"}\n{\"value\": 7}\n{nonsense\n{\"value\": null}\n{\"value\": \"AA==\"}\n");
    assert_eq!(items.len(), 5);
    for (place, item) in items[..4].iter().enumerate() {
        let error = item.as_ref().unwrap_err();
        assert!(error.starts_with(&format!("line {}: ", place + 1)), "{error}");
    }
    assert_eq!(items[4], message(5, None, &[0]));
}

#[test]
fn line_over_the_bound_is_skipped_without_being_kept() {
    let mut file = b"{\"value\": \"".to_vec();
    file.extend([b'A'; 100]);
    file.extend(b"\"}\n{\"value\": \"AA==\"}\n");
    let items = read_with(&file, 20);
    assert_eq!(items, [Err("line 1: longer than 20 bytes".to_owned()), message(2, None, &[0])]);
}

#[test]
fn file_that_is_not_ndjson_is_one_message() {
    let record = [0x08, 0x80, 0x10, 0x0a, 0x7b];
    assert_eq!(read(&record), [message(1, None, &record)]);
    let array = b"[{\"Bytes\":1},\n{\"Bytes\":2}]";
    assert_eq!(read(array), [message(1, None, array)]);
    let pretty = b"{\n  \"Bytes\": 1\n}\n";
    assert_eq!(read(pretty), [message(1, None, pretty)]);
    assert_eq!(read_with(&[1; 21], 20), [Err("line 1: longer than 20 bytes".to_owned())]);
}

#[test]
fn records_whose_first_length_is_a_brace_are_not_taken_for_json() {
    let mut records = vec![0x0a, b'{', 0x08, 0x80, 0x10];
    records.extend([0x40; 120]);
    assert_eq!(read(&records), [message(1, None, &records)]);
}

#[test]
fn empty_file_has_no_messages() {
    assert_eq!(read(b""), []);
    assert_eq!(read_with(b"{\"value\":\"\"}", 99), [message(1, None, b"")]);
}

#[test]
fn lines_of_a_log_are_messages_as_they_stand() {
    let read = |file: &'static [u8]| {
        let captures = Captures::new(Cursor::new(file), 40).with_text(true);
        captures.map(|item| item.map_err(|error| error.to_string())).collect::<Vec<_>>()
    };
    let lines = read(b"2 123 eni-1\r\n\n[x] y");
    assert_eq!(lines, [message(1, None, b"2 123 eni-1"), message(3, None, b"[x] y")]);
    // A file of captured messages stays one.
    assert_eq!(read(b"{\"value\": \"AAEC\"}\n"), [message(1, None, &[0, 1, 2])]);
}
