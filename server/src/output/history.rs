//! Differences, changes and series as tables.

use comfy_table::CellAlignment;
use portolan_proto::v1;

use super::graph::{name, table};
use super::units::{bytes, count, time};

/// The differences of two ranges, one figure a row.
pub fn differences(edges: &[v1::EdgeDiff]) -> String {
    let mut table = table(&["KIND", "CLIENT", "", "SERVER", "WHAT", "BEFORE", "AFTER", "CHANCE"]);
    for edge in edges {
        let row = |what: String, before: String, after: String, p: f64| {
            [
                edge.kind.clone(),
                name(edge.client.as_ref()),
                arrow(&edge.direction),
                name(edge.server.as_ref()),
                what,
                before,
                after,
                chance(p),
            ]
        };
        if edge.changes.is_empty() {
            let seen = |side: &Option<v1::FusedEdge>| side.as_ref().map_or("-".into(), busy);
            table.add_row(row(String::new(), seen(&edge.before), seen(&edge.after), edge.p));
        }
        for change in &edge.changes {
            let mut what = change.what.clone();
            if !change.source.is_empty() {
                what = format!("{what} by {}", change.source);
            }
            if !change.hops.is_empty() {
                let hops: Vec<String> = change.hops.iter().map(|hop| name(Some(hop))).collect();
                what = format!("{what} by {}", hops.join(", "));
            }
            let figure = |of| figure(&change.what, of);
            table.add_row(row(what, figure(change.before), figure(change.after), change.p));
        }
    }
    right(&mut table, 5..=7);
    table.to_string()
}

/// How many were compared, and what is not shown.
pub fn compared(response: &v1::DiffResponse) -> String {
    format!(
        "{} new, {} added again, {} removed, {} changed, of {} edges by {} tests; {} over a threshold may \
         be chance, {} could not be judged",
        count(response.added_new),
        count(response.added - response.added_new.min(response.added)),
        count(response.removed),
        count(response.changed),
        count(response.compared),
        count(response.tests),
        count(response.by_chance),
        count(response.unjudged)
    )
}

/// What happened, one a row.
pub fn happenings(changes: &[v1::TopologyChange]) -> String {
    let mut table =
        table(&["AT", "WHAT", "CLIENT", "", "SERVER", "EVIDENCE", "AFTER A SILENCE OF"]);
    for change in changes {
        let silent = match u64::try_from(change.silent_us) {
            Ok(us) if us > 0 => {
                let silent = std::time::Duration::from_secs(us / 1_000_000);
                humantime::format_duration(silent).to_string()
            }
            _ => "-".to_owned(),
        };
        table.add_row([
            time(change.at_unix_us),
            change.kind.replace('_', " "),
            name(change.client.as_ref()),
            arrow(&change.direction),
            name(change.server.as_ref()),
            change.evidence.join("+"),
            silent,
        ]);
    }
    table.to_string()
}

/// How many of each there are, and from when on they can be known.
pub fn counted(response: &v1::ChangesResponse) -> String {
    let held = response.before.as_ref().and_then(|before| before.covered);
    let since = held.map_or_else(
        || "nothing is held of the time before: all is new".to_owned(),
        |held| format!("nothing is held before {}", time(held.from_unix_us)),
    );
    let quiet = std::time::Duration::from_secs(u64::from(response.quiet_secs));
    format!(
        "{} first seen, {} returned, {} gone (silent for {}); {since}",
        count(response.first_seen),
        count(response.returned),
        count(response.gone),
        humantime::format_duration(quiet)
    )
}

/// The steps of an edge, one a row.
pub fn points(points: &[v1::EdgePoint]) -> String {
    let mut table = table(&[
        "FROM",
        "CONNECTIONS",
        "FAILED",
        "SENT",
        "RECEIVED",
        "CALLS",
        "ERRORS",
        "P50",
        "P99",
        "BY",
    ]);
    let none = || "-".to_owned();
    for point in points {
        let flows = |of: fn(&v1::Counters) -> String| point.network.as_ref().map_or_else(none, of);
        let best = point.calls.first();
        let calls = |of: fn(&v1::CallEvidence) -> f64| {
            best.map_or_else(none, |best| count(of(best).round() as u64))
        };
        let latency = best.and_then(|best| best.server_latency.or(best.client_latency));
        let ms = |of: fn(&v1::LatencySummary) -> f64| {
            latency.as_ref().map_or_else(none, |l| format!("{:.1} ms", of(l) / 1e3))
        };
        table.add_row([
            time(point.range.unwrap_or_default().from_unix_us),
            flows(|c| count(c.connections)),
            flows(|c| count(c.connections_failed)),
            flows(|c| bytes(c.bytes_sent)),
            flows(|c| bytes(c.bytes_received)),
            calls(|best| best.calls),
            calls(|best| best.errors),
            ms(|latency| latency.p50_us),
            ms(|latency| latency.p99_us),
            best.map_or_else(none, |best| best.source.clone()),
        ]);
    }
    right(&mut table, 1..=8);
    table.to_string()
}

/// When an edge was first and last seen, and by whom.
pub fn sightings(response: &v1::GetEdgeResponse) -> String {
    let ends = format!("{} -> {}", name(response.client.as_ref()), name(response.server.as_ref()));
    if response.last_seen_unix_us == 0 {
        return format!("\n{ends} was never seen in what is held");
    }
    let evidence = response.edge.as_ref().map_or_else(
        || "silent in this range".to_owned(),
        |edge| format!("seen by {}", edge.evidence.join("+")),
    );
    let held = response.held.unwrap_or_default();
    format!(
        "\n{ends}: {evidence}; first seen {}, last seen {} (held from {})",
        time(response.first_seen_unix_us),
        time(response.last_seen_unix_us),
        time(held.from_unix_us)
    )
}

/// How busy an edge is, by its best witness.
fn busy(edge: &v1::FusedEdge) -> String {
    let best = edge.calls.iter().find(|calls| calls.source == edge.calls_source);
    if let Some(best) = best {
        return format!("{} calls", count(best.calls.round() as u64));
    }
    let connections = edge.network.as_ref().and_then(|part| part.counters).map(|c| c.connections);
    connections.map_or_else(|| "-".to_owned(), |c| format!("{} connections", count(c)))
}

fn figure(what: &str, value: f64) -> String {
    match what {
        "bytes" => format!("{}/s", bytes(value.round() as u64)),
        "errors" | "failed" | "path" => format!("{:.2} %", value * 100.0),
        "p50_us" | "p99_us" => format!("{:.2} ms", value / 1e3),
        _ => format!("{value:.2}/s"),
    }
}

/// A probability; what no test was made of was never seen before, and is no chance.
fn chance(p: f64) -> String {
    match p {
        0.0 => "-".to_owned(),
        p if p < 1e-9 => "<1e-9".to_owned(),
        p => format!("{p:.1e}"),
    }
}

fn arrow(direction: &str) -> String {
    if direction == "unknown" { "--" } else { "->" }.to_owned()
}

fn right(table: &mut comfy_table::Table, columns: std::ops::RangeInclusive<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_its_unit_and_its_chance() {
        let entity = |name: &str| {
            Some(v1::Entity { name: name.into(), kind: "workload".into(), ..v1::Entity::default() })
        };
        let change = |what: &str, before, after| v1::EdgeChange {
            what: what.into(),
            source: "rpc_server".into(),
            before,
            after,
            p: 2.5e-7,
            hops: vec![],
        };
        let edge = v1::EdgeDiff {
            client: entity("web"),
            server: entity("cart"),
            kind: "changed".into(),
            changes: vec![change("errors", 0.01, 0.2), change("p50_us", 2_000.0, 8_000.0)],
            ..v1::EdgeDiff::default()
        };
        let text = differences(&[edge]);
        let rows: Vec<String> = text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            rows,
            [
                "changed web -> cart errors by rpc_server 1.00 % 20.00 % 2.5e-7",
                "changed web -> cart p50_us by rpc_server 2.00 ms 8.00 ms 2.5e-7",
            ]
        );
    }

    #[test]
    fn silent_step_is_a_row_of_dashes() {
        let text = points(&[v1::EdgePoint::default()]);
        let row: Vec<&str> = text.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(row, ["-"; 10]);
    }
}
