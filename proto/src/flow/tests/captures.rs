//! Real captures, where they are at hand (they are not part of the source).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use super::oracle::compare_record;
use super::*;
use crate::{Captures, DEFAULT_MAX_LINE_BYTES};

/// The messages of a capture, or nothing if it is not at hand.
#[expect(clippy::print_stdout, reason = "a test that did not run says so")]
fn capture(name: &str) -> Option<Vec<Vec<u8>>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    let Ok(file) = File::open(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    let captures = Captures::new(BufReader::new(file), DEFAULT_MAX_LINE_BYTES);
    Some(captures.map(|captured| captured.unwrap().value).collect())
}

/// How many records are accepted, and the reasons of the others; both decoders agree on each.
fn verdicts(messages: &[Vec<u8>]) -> (usize, BTreeMap<&'static str, usize>) {
    let mut reasons = BTreeMap::new();
    let mut accepted = 0;
    for message in messages {
        accepted += usize::from(compare_record(message));
        for (reason, _) in decode(message).1 {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
    }
    (accepted, reasons)
}

#[test]
fn records_of_a_real_cluster_are_read_as_prost_reads_them() {
    let Some(messages) = capture("openshift-flows/flows_kafka_pb.ndjson") else { return };
    assert_eq!(verdicts(&messages), (146, BTreeMap::new()));
}

#[test]
fn records_of_the_lab_are_read_as_prost_reads_them() {
    let Some(messages) = capture("ebpf-lab/flows.ndjson") else { return };
    // Without an address are multicast reports and address probes, whose source is `::`.
    let reasons = BTreeMap::from([("no_address", 24)]);
    assert_eq!(verdicts(&messages), (16_789, reasons));
}

#[test]
fn flows_of_a_real_cluster_are_read_from_json() {
    let Some(messages) = capture("openshift-flows/flows_blind.ndjson") else { return };
    let mut rows = 0;
    let mut reasons = Vec::new();
    for message in &messages {
        let (read, refused) = decode_as(FlowEncoding::NetobservJson, message);
        rows += read.len();
        reasons.extend(refused.into_iter().map(|(reason, _)| reason));
    }
    assert_eq!((rows, reasons), (146, vec![Reject::NotIp; 4]));
}
