//! What remote write has that no other format has: version 2, and native histograms.

use expect_test::expect;
use prost::Message;

use super::{NOW, read, render};
use crate::MetricEncoding;

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<Series>,
}

#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(uint32, repeated, tag = "1")]
    labels: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Histogram>,
    #[prost(int64, tag = "6")]
    created: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    time: i64,
}

/// `WriteRequest` of version 1, with native histograms.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<Series1>,
}

#[derive(Clone, PartialEq, Message)]
struct Series1 {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(uint64, tag = "6")]
    zero: u64,
    #[prost(message, repeated, tag = "11")]
    spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    hint: i32,
    #[prost(int64, tag = "15")]
    time: i64,
    #[prost(double, repeated, tag = "16")]
    bounds: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

const TIME: i64 = (NOW / 1_000_000) as i64 - 1_000;
const LABELS: [(&str, &str); 4] = [
    ("__name__", "http_client_request_duration_seconds"),
    ("job", "shop/web"),
    ("server_address", "cart"),
    ("server_port", "80"),
];

fn text(message: &impl Message) -> String {
    let (columns, refused) = read(MetricEncoding::RemoteWrite, &message.encode_to_vec());
    render(&columns, &refused)
}

/// Seven durations: one around zero, two up to a second, none up to two, four up to four.
fn native() -> Histogram {
    Histogram {
        count: 7,
        sum: 12.5,
        zero: 1,
        spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 1 }],
        deltas: vec![2, 2],
        time: TIME,
        ..Histogram::default()
    }
}

fn version_1(histogram: Histogram) -> WriteRequest {
    let labels = LABELS.map(|(name, value)| Label { name: name.into(), value: value.into() });
    WriteRequest {
        timeseries: vec![Series1 { labels: labels.into(), histograms: vec![histogram] }],
    }
}

/// Its labels are places in a table.
fn version_2(samples: Vec<Sample>, histograms: Vec<Histogram>, suffix: &str) -> Request {
    let mut symbols = vec![String::new()];
    let mut labels = Vec::new();
    for (name, value) in LABELS {
        let value = if name == "__name__" { format!("{value}{suffix}") } else { value.into() };
        labels.extend([symbols.len() as u32, symbols.len() as u32 + 1]);
        symbols.extend([name.to_owned(), value]);
    }
    let created = TIME - 60_000;
    Request { symbols, timeseries: vec![Series { labels, samples, histograms, created }] }
}

#[test]
fn version_2_says_the_same_by_symbols_and_when_its_series_began() {
    let sample = Sample { value: 9.0, time: TIME };
    let request = version_2(vec![sample], Vec::new(), "_count");
    expect![[r#"
        rpc_client http Calls: web ns=shop > addr=cart :80 n=9
    "#]]
    .assert_eq(&text(&request));
    let (columns, _) = read(MetricEncoding::RemoteWrite, &request.encode_to_vec());
    assert_eq!(columns.rows()[0].start, (TIME as u64 - 60_000) * 1_000_000);
    // A label that refers to no symbol is none.
    let mut lost = request;
    lost.timeseries[0].labels[1] = 99;
    expect![[r#"
        other 1
    "#]]
    .assert_eq(&text(&lost));
}

#[test]
fn native_histogram_is_read_as_the_exponential_one_that_it_is() {
    let expected = expect![[r#"
        rpc_client http Calls: web ns=shop > addr=cart :80 n=7 sum=12500000000 Scale(0)[(-9223372036854775808, 1), (-1, 2), (1, 4)]
    "#]];
    expected.assert_eq(&text(&version_1(native())));
    expected.assert_eq(&text(&version_2(Vec::new(), vec![native()], "")));
    let floats = Histogram { deltas: vec![], counts: vec![2.0, 4.0], ..native() };
    expected.assert_eq(&text(&version_1(floats)));
}

#[test]
fn native_histogram_with_bounds_of_its_own_is_an_ordinary_one() {
    let custom = Histogram {
        schema: -53,
        zero: 0,
        bounds: vec![0.1, 1.0],
        spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 1 }],
        deltas: vec![3, 1],
        ..native()
    };
    expect![[r#"
        rpc_client http Calls: web ns=shop > addr=cart :80 n=7 sum=12500000000 Bounds[(100000000, 3), (1000000000, 0), (9223372036854775807, 4)]
    "#]].assert_eq(&text(&version_1(custom)));
}

#[test]
fn gauges_ends_of_series_and_spans_without_counts_add_nothing() {
    for other in [
        Histogram { hint: 3, ..native() },
        Histogram { sum: f64::from_bits(0x7ff0_0000_0000_0002), ..native() },
    ] {
        assert_eq!(text(&version_1(other)), "other 1\n");
    }
    let endless = Histogram { spans: vec![Span { offset: 0, length: u32::MAX }], ..native() };
    expect![[r#"
        rpc_client http Calls: web ns=shop > addr=cart :80 n=7 sum=12500000000 Scale(0)[(-9223372036854775808, 1), (-1, 2), (0, 4)]
    "#]].assert_eq(&text(&version_1(endless)));
    let broken = version_1(native()).encode_to_vec();
    let (columns, refused) = read(MetricEncoding::RemoteWrite, &broken[..broken.len() - 3]);
    assert!(columns.is_empty() && refused.len() == 1, "{refused:?}");
}
