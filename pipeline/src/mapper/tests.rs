//! Text in, text out: what metrics come to.
//!
//! ```text
//! m 60 web>api n=5 since=0        a point at second 60, counted since second 0
//! m 60 web>api n=5 delta since=50
//! m 60 -> api …                   an end that nobody names
//! barrier 90                      the watermark moves to second 90
//! ```
//!
//! Words: `n=` count, `sum=` seconds (or bytes), `b=0.1:2,1:1,inf:0` buckets by bound in seconds,
//! `u=` the same counted upwards, `src=` source, `op=`, `fail`, `4xx`, `5xx`, `retry`, `what=`,
//! `rank=0` of counts and `times=0` of durations in `group=`, `by=` process, `id=` apart from others.

mod bounds;
mod counting;
mod laws;
mod naming;

use std::hash::{Hash as _, Hasher as _};

use portolan_model::{
    CallProtocol, CallSource, MetricBatch, MetricColumns, MetricEnd, MetricRow, MetricWhat,
    Outcome, Rank, ScopeId, Shape,
};

use crate::check::at;
use crate::linker::tests::Lab;
use crate::{Intake, LineConfig};

/// What the script comes to, as text.
pub(super) fn check(script: &str, expected: &expect_test::Expect) {
    let mut lab = Lab::new(&LineConfig::default());
    lab.run(script);
    expected.assert_eq(&lab.render());
}

/// Feeds points as one batch.
pub(crate) fn feed(lab: &mut Lab, points: &[&str]) {
    let mut metrics = MetricColumns::default();
    for point in points {
        lab.reaches(push(&mut metrics, point));
    }
    let (partition, first_offset) = lab.place();
    lab.take(Intake::Metrics(MetricBatch {
        partition,
        first_offset,
        scope: ScopeId::of("lab"),
        metrics,
    }));
}

fn push(columns: &mut MetricColumns, rest: &str) -> u64 {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (client, server) = words[1].split_once('>').expect("two ends");
    let mut row = MetricRow {
        series: 0,
        stream: 0,
        group: 0,
        counts: Some(Rank(0)),
        times: Some(Rank(0)),
        what: MetricWhat::Calls,
        source: CallSource::RpcClient,
        protocol: CallProtocol::Http,
        by_server: false,
        client: end(columns, client),
        server: end(columns, server),
        operation: columns.text(""),
        outcome: Outcome::default(),
        delta: false,
        start: 0,
        time: at(words[0]),
        count_milli: None,
        sum: None,
        unit_nanos: 1_000_000_000,
        shape: Shape::None,
        buckets: 0..0,
    };
    let mut buckets = Vec::new();
    let mut identity = words[1].to_owned();
    for word in &words[2..] {
        let is_identity = !matches!(
            word.split_once('=').map_or("", |(key, _)| key),
            "n" | "sum" | "b" | "u" | "since"
        );
        if is_identity {
            identity.push_str(word);
        }
        take(&mut row, &mut buckets, columns, word);
    }
    row.by_server = matches!(row.source, CallSource::MeshServer | CallSource::RpcServer);
    let mut hasher = rustc_hash::FxHasher::default();
    identity.hash(&mut hasher);
    if !row.delta {
        row.start.hash(&mut hasher);
    }
    row.series = u128::from(hasher.finish());
    let time = row.time;
    columns.push(row, buckets);
    time
}

fn take(
    row: &mut MetricRow,
    buckets: &mut Vec<(i64, u64)>,
    columns: &mut MetricColumns,
    word: &str,
) {
    let nanos = |text: &str| match text {
        "inf" => i64::MAX,
        text => (text.parse::<f64>().unwrap() * 1e9) as i64,
    };
    let mut read = |text: &str, shape| {
        row.shape = shape;
        buckets.extend(text.split(',').map(|bucket| {
            let (bound, count) = bucket.split_once(':').unwrap();
            (nanos(bound), count.parse::<u64>().unwrap())
        }));
    };
    match word.split_once('=').unwrap_or((word, "")) {
        ("n", n) => row.count_milli = Some((n.parse::<f64>().unwrap() * 1e3) as i64),
        ("sum", sum) if matches!(row.what, MetricWhat::BytesSent | MetricWhat::BytesReceived) => {
            row.sum = Some(sum.parse().unwrap());
        }
        ("sum", sum) => row.sum = Some(nanos(sum)),
        ("b", text) => read(text, Shape::Bounds),
        ("u", text) => read(text, Shape::Upto),
        ("since", start) => row.start = at(start),
        ("delta", _) => row.delta = true,
        ("src", word) => {
            row.source = CallSource::ALL.into_iter().find(|s| s.as_str() == word).unwrap();
        }
        ("op", name) => row.operation = columns.text(name),
        ("fail", _) => row.outcome = row.outcome.and_if(true, Outcome::FAILED),
        ("4xx", _) => row.outcome = row.outcome.and_if(true, Outcome::STATUS_4XX),
        ("5xx", _) => row.outcome = row.outcome.and_if(true, Outcome::STATUS_5XX),
        ("retry", _) => row.outcome = row.outcome.and_if(true, Outcome::RETRY),
        ("what", word) => {
            row.what = match word {
                "errors" => MetricWhat::Errors,
                "sent" => MetricWhat::BytesSent,
                "received" => MetricWhat::BytesReceived,
                "presence" => MetricWhat::Presence,
                other => panic!("what {other:?}"),
            }
        }
        ("rank", "-") => row.counts = None,
        ("rank", rank) => row.counts = Some(Rank(rank.parse().unwrap())),
        ("times", "-") => row.times = None,
        ("times", rank) => row.times = Some(Rank(rank.parse().unwrap())),
        ("group", group) => row.group = group.parse().unwrap(),
        ("by", process) => row.stream = process.bytes().map(u64::from).sum(),
        ("id", _) => {}
        other => panic!("word {other:?}"),
    }
}

/// `-`, `web`, `shop/web`, `@10.0.1.1:80`, `@db.prod:5432!postgresql`, `topic:orders`.
fn end(columns: &mut MetricColumns, text: &str) -> MetricEnd {
    let mut end = MetricEnd::default();
    if text == "-" {
        return end;
    }
    if let Some(topic) = text.strip_prefix("topic:") {
        end.destination = columns.text(topic);
        end.messaging_system = columns.text("kafka");
    } else if let Some(address) = text.strip_prefix('@') {
        let (address, system) = address.split_once('!').unwrap_or((address, ""));
        let (host, port) = address.split_once(':').unwrap_or((address, "0"));
        end.address = columns.text(host);
        end.port = port.parse().unwrap();
        end.db_system = columns.text(system);
    } else {
        let (namespace, name) = text.split_once('/').unwrap_or(("", text));
        (end.namespace, end.service) = (columns.text(namespace), columns.text(name));
    }
    end
}
