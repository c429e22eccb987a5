//! What an answer is made of and what is missing from it, in a line or a few.

use std::fmt::Write as _;

use portolan_proto::v1;

use super::units::{count, time};

/// The range and resolution of an answer; what is missing from it stands in capitals.
pub fn covered(coverage: &v1::Coverage) -> String {
    let mut text = match &coverage.covered {
        Some(covered) => format!("{} in {}", range(covered), windows(coverage)),
        None => "nothing is held of this time".to_owned(),
    };
    let _ = write!(text, ", epoch {}", coverage.epoch);
    if let (Some(asked), Some(covered)) = (&coverage.asked, &coverage.covered) {
        if covered.from_unix_us > asked.from_unix_us && asked.from_unix_us > 0 {
            let _ = write!(text, "\nnothing is held before {}", time(covered.from_unix_us));
        }
        // One base window at each end is always taken whole; more is for want of finer ones.
        let finest = coverage.spans.iter().map(|span| span.window_secs).min().unwrap_or(0);
        let slack = i64::from(finest.min(60)) * 1_000_000;
        let early = asked.from_unix_us - covered.from_unix_us >= slack && asked.from_unix_us > 0;
        let late = covered.to_unix_us - asked.to_unix_us >= slack && asked.to_unix_us > 0;
        if early || late {
            let _ = write!(text, "\nwider than asked ({}): finer windows are gone", range(asked));
        }
        if covered.to_unix_us > coverage.open_from_unix_us {
            let open = coverage.open_from_unix_us.max(covered.from_unix_us);
            let _ = write!(text, "\nopen from {}: counts may still move", time(open));
        }
    }
    for (what, missing) in [
        ("NOT HELD ANY MORE", &coverage.gaps),
        ("UNREADABLE", &coverage.unreadable),
        ("NOT KNOWN AS OF THEN", &coverage.unknown),
    ] {
        let all: Vec<String> = missing.iter().map(range).collect();
        if !all.is_empty() {
            let _ = write!(text, "\n{what}: {}", all.join(", "));
        }
    }
    if coverage.records_lost > 0 {
        let _ = write!(text, "\n{} RECORDS LOST", count(coverage.records_lost));
        for source in coverage.sources.iter().filter(|source| source.records_lost > 0) {
            let _ = write!(
                text,
                ", {} of {} perhaps in this range",
                count(source.records_lost),
                source.topic
            );
        }
    }
    text
}

fn range(range: &v1::TimeRange) -> String {
    let end = |us: i64| if us == 0 { "now".to_owned() } else { time(us) };
    format!("{} to {}", time(range.from_unix_us), end(range.to_unix_us))
}

/// `windows of 10 s`, or from the shortest to the longest.
fn windows(coverage: &v1::Coverage) -> String {
    let longest = coverage.resolution_secs;
    match coverage.spans.iter().map(|span| span.window_secs).min() {
        Some(shortest) if shortest < longest => format!("windows of {shortest} to {longest} s"),
        _ => format!("windows of {longest} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64) -> v1::TimeRange {
        v1::TimeRange { from_unix_us: from * 1_000_000, to_unix_us: to * 1_000_000 }
    }

    #[test]
    fn what_is_missing_cannot_be_overlooked() {
        let span =
            |from, to, window_secs| v1::WindowSpan { range: Some(range(from, to)), window_secs };
        let coverage = v1::Coverage {
            covered: Some(range(3_600, 10_810)),
            asked: Some(range(3_700, 10_805)),
            spans: vec![span(3_600, 7_200, 3_600), span(10_800, 10_810, 10)],
            resolution_secs: 3_600,
            gaps: vec![range(7_200, 10_800)],
            open_from_unix_us: 10_800_000_000,
            epoch: 7,
            ..v1::Coverage::default()
        };
        let text = covered(&coverage);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "1970-01-01T01:00:00Z to 1970-01-01T03:00:10Z in windows of 10 to 3600 s, epoch 7",
                "wider than asked (1970-01-01T01:01:40Z to 1970-01-01T03:00:05Z): finer windows are gone",
                "open from 1970-01-01T03:00:00Z: counts may still move",
                "NOT HELD ANY MORE: 1970-01-01T02:00:00Z to 1970-01-01T03:00:00Z",
            ]
        );
    }
}
