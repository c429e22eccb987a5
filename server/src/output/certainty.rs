//! How sure flows are, as text.

use std::fmt::Write as _;

use portolan_proto::v1;

use super::graph::table;
use super::units::{count, time};

/// How sure an edge is, in two lines; nothing where nothing is known of it.
pub fn certainty(certainty: &v1::Certainty) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "ends       bytes: {}; connections: {}",
        shares(&found(certainty.bytes.as_ref())),
        shares(&found(certainty.connections.as_ref()))
    );
    if !certainty.weakest.is_empty() {
        let _ = writeln!(
            out,
            "direction  {}; weakest {} ({} of 255), mean by bytes {}",
            shares(&oriented(certainty.oriented.as_ref())),
            certainty.weakest,
            certainty.confidence_least,
            certainty.confidence_mean
        );
    }
    if certainty.partial {
        let _ = writeln!(out, "           a part was counted by a version that did not keep this");
    }
    out
}

/// Windows of now, how sure the ends of their bytes are.
pub(super) fn recent(windows: &[v1::WindowCertainty]) -> String {
    let mut table = table(&["WINDOW", "BYTES BY HOW SURE THE ENDS ARE", "WEAKEST DIRECTION"]);
    for window in windows {
        let Some(certainty) = &window.certainty else { continue };
        table.add_row([
            time(window.range.unwrap_or_default().from_unix_us),
            shares(&found(certainty.bytes.as_ref())),
            certainty.weakest.clone(),
        ]);
    }
    table.to_string()
}

fn found(by: Option<&v1::FoundBy>) -> [(&'static str, u64); 7] {
    let by = by.copied().unwrap_or_default();
    [
        ("exact", by.exact),
        ("outside", by.outside),
        ("tolerant", by.tolerant),
        ("early", by.early),
        ("lingering", by.lingering),
        ("ambiguous", by.ambiguous),
        ("unresolved", by.unresolved),
    ]
}

fn oriented(by: Option<&v1::OrientedBy>) -> [(&'static str, u64); 9] {
    let by = by.copied().unwrap_or_default();
    [
        ("socket", by.socket),
        ("handshake", by.handshake),
        ("tracked", by.tracked),
        ("declared", by.declared),
        ("learned", by.learned),
        ("well known", by.well_known),
        ("ephemeral", by.ephemeral),
        ("first", by.first),
        ("none", by.none),
    ]
}

/// Those that are there, in hundredths of all.
fn shares(parts: &[(&str, u64)]) -> String {
    let all: u64 = parts.iter().map(|(_, part)| part).sum();
    let share = |(name, part): &(&str, u64)| match part {
        0 => None,
        part if *part == all => Some(format!("{} {name}", count(*part))),
        part => Some(format!("{name} {:.2} %", *part as f64 * 100.0 / all as f64)),
    };
    let shares: Vec<String> = parts.iter().filter_map(share).collect();
    if shares.is_empty() { "-".to_owned() } else { shares.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_said() {
        let by = v1::FoundBy { exact: 3, early: 1, ..v1::FoundBy::default() };
        assert_eq!(shares(&found(Some(&by))), "exact 75.00 %, early 25.00 %");
        let by = v1::FoundBy { exact: 3, ..v1::FoundBy::default() };
        assert_eq!(shares(&found(Some(&by))), "3 exact");
        assert_eq!(shares(&found(None)), "-");
    }
}
