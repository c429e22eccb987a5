//! Spans of one call, sent over OTLP by hand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

/// `web` calls `api`: both halves of the call, in one export. Answered once it is committed.
pub(crate) fn call(addr: SocketAddr, number: u8) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let span = |id: u8, parent: Option<u8>, kind: u8| {
        let parent = parent.map(|id| bytes(4, &[id; 8])).unwrap_or_default();
        let times = [fixed(7, now - 5_000_000), fixed(8, now)].concat();
        let head = [bytes(1, &[number + 1; 16]), bytes(2, &[id; 8]), parent].concat();
        [head, bytes(5, b"GET /"), vec![6 << 3, kind], times].concat()
    };
    let of = |service: &str, span: &[u8]| {
        let name = [bytes(1, b"service.name"), bytes(2, &bytes(1, service.as_bytes()))].concat();
        let resource = bytes(1, &bytes(1, &name));
        bytes(1, &[resource, bytes(2, &bytes(2, span))].concat())
    };
    let export = [of("web", &span(1, None, 3)), of("api", &span(2, Some(1), 2))].concat();
    let mut stream = TcpStream::connect(addr).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
        export.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&export).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A field with a length.
fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
    let (low, high) = (value.len() as u8 | 0x80, (value.len() >> 7) as u8);
    [&[number << 3 | 2, low, high][..], value].concat()
}

/// A field of eight bytes.
fn fixed(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}
