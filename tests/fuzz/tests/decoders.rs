//! Every decoder, any bytes. About five seconds.

use std::io::{BufReader, Cursor};

use portolan_fuzz::{MAX_BYTES, feed, soup};
use portolan_proto::{
    CaptureError, Captures, Encoding, InventoryEncoding, MetricEncoding, SpanEncoding,
    read_inventory,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

fn feed_all(payload: &[u8]) -> usize {
    Encoding::ALL.iter().map(|encoding| feed(*encoding, payload).0).sum()
}

/// Reads an inventory, in every form: entries or faults, and what each fault is.
fn read_inventories(file: &[u8]) -> usize {
    let mut good = 0;
    for encoding in InventoryEncoding::ALL {
        match read_inventory(*encoding, "fuzz/pod", portolan_fuzz::NOW, file) {
            Ok(entries) => {
                good += entries.len();
                for entry in entries {
                    portolan_fuzz::check_event(&entry.into_event());
                }
            }
            Err(faults) => {
                assert!(!faults.is_empty() && faults.iter().all(|f| !f.problem.is_empty()));
            }
        }
    }
    good
}

/// Reads a file of captures to its end. Lines only go up, and what it gives is bounded.
fn read_captures(file: &[u8], max_line: usize) {
    read_captures_as(file, max_line, false);
    read_captures_as(file, max_line, true);
}

fn read_captures_as(file: &[u8], max_line: usize, is_text: bool) {
    let mut last = 0;
    let reader = BufReader::with_capacity(11, Cursor::new(file));
    for item in Captures::new(reader, max_line).with_text(is_text) {
        let line = match &item {
            Ok(captured) => {
                assert!(captured.value.len() <= max_line);
                captured.line
            }
            Err(CaptureError::Line { line, .. } | CaptureError::TooLong { line, .. }) => *line,
            Err(error) => panic!("memory cannot fail to be read: {error}"),
        };
        assert!(line > last, "line {line} after {last}");
        last = line;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn any_bytes_give_records_or_refusals(payload in soup::any_message()) {
        feed_all(&payload);
    }

    #[test]
    fn damaged_message_gives_records_or_refusals(
        payload in soup::any_message(),
        damage in soup::damage(),
    ) {
        feed_all(&damage.apply(payload));
    }

    #[test]
    fn damaged_spans_give_spans_or_refusals(
        (encoding, payload) in proptest::sample::select(SpanEncoding::ALL)
            .prop_flat_map(|of| (Just(of), soup::spans::spans(of))),
        damage in soup::damage(),
    ) {
        feed(Encoding::Span(encoding), &payload);
        feed(Encoding::Span(encoding), &damage.apply(payload));
    }

    #[test]
    fn damaged_metrics_give_points_or_refusals(
        (encoding, payload) in proptest::sample::select(MetricEncoding::ALL)
            .prop_flat_map(|of| (Just(of), soup::metrics::metrics(of))),
        damage in soup::damage(),
    ) {
        feed(Encoding::Metric(encoding), &payload);
        feed(Encoding::Metric(encoding), &damage.apply(payload));
    }

    #[test]
    fn any_file_is_read_to_its_end(
        file in soup::any_message(),
        damage in soup::damage(),
        max_line in 1..200_usize,
    ) {
        read_captures(&damage.apply(file), max_line);
    }

    #[test]
    fn any_inventory_is_read_or_refused(
        file in prop_oneof![soup::inventory(), soup::any_message()],
        damage in soup::damage(),
    ) {
        read_inventories(&file);
        read_inventories(&damage.apply(file));
    }

    #[test]
    fn capture_is_read_to_its_end(file in soup::capture(), max_line in 1..200_usize) {
        read_captures(&file, max_line);
    }
}

#[test]
fn soup_reaches_past_the_gate() {
    // If the generators made only garbage, the laws above would hold for nothing.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut accepted = vec![0; Encoding::ALL.len()];
    for _ in 0..200 {
        for message in [
            soup::flows_pb().boxed(),
            soup::json().boxed(),
            soup::owner_pb().boxed(),
            soup::notes().boxed(),
            soup::formats::goflow2_pb().boxed(),
            soup::formats::otlp().boxed(),
            soup::formats::k8scache().boxed(),
            soup::formats::traces().boxed(),
            soup::formats::lines().boxed(),
            soup::formats::objects().boxed(),
        ] {
            let message = message.new_tree(&mut runner).expect("no filters").current();
            for (sum, encoding) in accepted.iter_mut().zip(Encoding::ALL) {
                *sum += feed(*encoding, &message).0;
            }
        }
        for (sum, encoding) in accepted.iter_mut().zip(Encoding::ALL) {
            if let Encoding::Span(of) = encoding {
                let message =
                    soup::spans::spans(*of).boxed().new_tree(&mut runner).expect("no filters");
                *sum += feed(*encoding, &message.current()).0;
            }
            if let Encoding::Metric(of) = encoding {
                let message =
                    soup::metrics::metrics(*of).boxed().new_tree(&mut runner).expect("no filters");
                *sum += feed(*encoding, &message.current()).0;
            }
        }
    }
    for (sum, encoding) in accepted.iter().zip(Encoding::ALL) {
        assert!(*sum > 20, "{sum} records of {encoding} were accepted");
    }
}

#[test]
fn soup_of_inventories_holds_some_that_are_good() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut good = 0;
    for _ in 0..200 {
        let inventory = soup::inventory().boxed().new_tree(&mut runner).expect("no filters");
        good += read_inventories(&inventory.current());
    }
    assert!(good > 20, "{good}");
}

#[test]
fn nesting_of_any_depth_is_harmless() {
    for depth in [1, 10, 100, 1_000, 100_000] {
        for field in [1, 3, 6, 7, 12, 26, 28, 99] {
            feed_all(&soup::nested(field, depth));
        }
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"SrcAddr\":[", "]}")] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            feed_all(text.as_bytes());
            feed_all(format!("{{\"ips\":{text}}}").as_bytes());
            feed_all(format!("{{\"Interfaces\":{text},\"value\":{text}}}").as_bytes());
            read_captures(text.as_bytes(), MAX_BYTES);
            read_inventories(text.as_bytes());
        }
    }
}

#[test]
fn lengths_of_any_size_are_harmless() {
    let lengths: [&[u8]; 6] = [
        &[0x7f],
        &[0xff, 0x7f],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ];
    for length in lengths {
        for key in 0..=u8::MAX {
            for rest in [0, 1, 7, 8, 9, 64] {
                let message = [&[key][..], length, &vec![0x0a; rest]].concat();
                feed_all(&message);
                // Inside the network of a record, and inside an entry of many.
                let len = message.len() as u8;
                feed_all(&[&[0x08, 0x01, 0x32, len][..], &message].concat());
                feed_all(&[&[0x0a, len][..], &message].concat());
            }
        }
    }
}

#[test]
fn message_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    for fill in [b"\n\x00".repeat(MAX_BYTES / 2), vec![b'\n'; MAX_BYTES], vec![b'['; MAX_BYTES]] {
        feed_all(&fill);
        let more = [&fill[..], b"\n"].concat();
        for encoding in Encoding::ALL {
            assert_eq!(feed(*encoding, &more), (0, 1));
        }
    }
}
