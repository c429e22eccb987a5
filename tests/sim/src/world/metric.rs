//! Metrics: processes that count their calls of others, and say every few seconds how many there were.

use std::sync::Arc;

use portolan_model::{
    CallProtocol, CallSource, MetricBatch, MetricColumns, MetricEnd, MetricRow, MetricWhat, Nanos,
    Outcome, PartitionId, Rank, ScopeId, Shape,
};

use super::trace::SERVICES;
use super::{DELAY, SCOPE, SECOND, START};
use crate::dice::Dice;
use crate::scenario::Scenario;

/// A point of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) series: u128,
    /// Series of one process that tell the same have one number here; the first of them counts.
    pub(crate) stream: u64,
    pub(crate) rank: u8,
    pub(crate) client: Arc<str>,
    pub(crate) server: Arc<str>,
    pub(crate) bytes: bool,
    pub(crate) failed: bool,
    /// It counts since the point before, and not since the beginning of the series.
    pub(crate) delta: bool,
    pub(crate) start: Nanos,
    pub(crate) time: Nanos,
    pub(crate) count: i64,
}

/// Points of a partition, as a decoder makes them.
pub(crate) fn batch(partition: PartitionId, first_offset: i64, points: &[Point]) -> MetricBatch {
    let mut metrics = MetricColumns::default();
    for of in points {
        let mut end =
            |service: &str| MetricEnd { service: metrics.text(service), ..MetricEnd::default() };
        let (client, server) = (end(&of.client), end(&of.server));
        let row = MetricRow {
            series: of.series,
            stream: of.stream,
            group: 1,
            counts: Some(Rank(of.rank)),
            times: None,
            what: if of.bytes { MetricWhat::BytesSent } else { MetricWhat::Calls },
            source: CallSource::RpcServer,
            protocol: CallProtocol::Http,
            by_server: true,
            client,
            server,
            operation: portolan_model::Text::NONE,
            outcome: Outcome::default().and_if(of.failed, Outcome::FAILED),
            delta: of.delta,
            start: of.start,
            time: of.time,
            count_milli: (!of.bytes).then_some(of.count * 1_000),
            sum: of.bytes.then_some(of.count),
            unit_nanos: 1,
            shape: Shape::None,
            buckets: 0..0,
        };
        metrics.push(row, []);
    }
    MetricBatch { partition, first_offset, scope: ScopeId::of(SCOPE), metrics }
}

/// The points of process `number`, each with the time at which it is produced.
pub(crate) fn draw(scenario: &Scenario, number: u64, dice: &mut Dice) -> Vec<(Nanos, Point)> {
    let length = if scenario.bursts.is_some() { 12 * SECOND } else { scenario.span };
    let length = dice.between(2 * SECOND, length);
    let room = scenario.span.saturating_sub(length);
    let Some(begin) = scenario.in_burst(START + dice.below(room + 1), length) else {
        return Vec::new();
    };
    let every = dice.between(SECOND, 12 * SECOND);
    let mut point = Point {
        series: u128::from(number) << 4,
        stream: number,
        rank: 0,
        client: (*dice.pick(&SERVICES)).into(),
        server: (*dice.pick(&SERVICES)).into(),
        bytes: dice.one_in(4),
        failed: dice.one_in(4),
        // What counts since a start needs the point before, which retention may eat.
        delta: scenario.whole_traces || dice.one_in(2),
        start: begin,
        time: begin,
        count: 0,
    };
    point.failed &= !point.bytes;
    // A poorer metric beside it that tells the same.
    let twin = !scenario.whole_traces && dice.one_in(3);
    let mut points = Vec::new();
    while point.time + every < begin + length {
        let counted = dice.below(50) as i64;
        if point.delta {
            (point.start, point.count) = (point.time, counted);
        } else {
            point.count += counted;
        }
        point.time += every;
        points.push((point.time + dice.below(DELAY), point.clone()));
        if twin {
            let twin = Point { series: point.series + 1, rank: 1, ..point.clone() };
            points.push((point.time + dice.below(DELAY), twin));
        }
    }
    points
}
