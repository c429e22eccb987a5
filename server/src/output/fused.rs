//! Edges of all layers as a table.

use comfy_table::CellAlignment;
use portolan_proto::v1;

use super::graph::{health, name, table};
use super::units::{count, time};

/// What each layer says of each edge, in the order of the answer.
pub fn fused(edges: &[v1::FusedEdge]) -> String {
    let mut header = vec![
        "CLIENT",
        "",
        "SERVER",
        "EVIDENCE",
        "CONNECTIONS",
        "CALLS",
        "ERRORS",
        "P50",
        "P99",
        "BY",
        "LAST SEEN",
    ];
    let judged = edges.iter().any(|edge| edge.health.is_some());
    if judged {
        header.push("HEALTH");
    }
    let mut table = table(&header);
    for edge in edges {
        let connections = edge.network.as_ref().and_then(|n| n.counters).map(|c| c.connections);
        let best = edge.calls.iter().find(|calls| calls.source == edge.calls_source);
        let calls = |of: fn(&v1::CallEvidence) -> f64| {
            best.map_or_else(|| "-".to_owned(), |best| count(of(best).round() as u64))
        };
        // The server's own word where there is one: the client's has the network in it.
        let latency = edge.server_latency.as_ref().or(edge.client_latency.as_ref());
        let latency = latency.and_then(|by| by.latency);
        let ms = |of: fn(&v1::LatencySummary) -> f64| {
            latency.as_ref().map_or_else(|| "-".to_owned(), |l| format!("{:.1} ms", of(l) / 1e3))
        };
        let mut row = vec![
            name(edge.client.as_ref()),
            if edge.direction == "unknown" { "--" } else { "->" }.to_owned(),
            name(edge.server.as_ref()),
            edge.evidence.join("+"),
            connections.map_or_else(|| "-".to_owned(), count),
            calls(|best| best.calls),
            calls(|best| best.errors),
            ms(|latency| latency.p50_us),
            ms(|latency| latency.p99_us),
            edge.calls_source.clone(),
            time(edge.last_seen_unix_us),
        ];
        if judged {
            row.push(edge.health.as_ref().map_or_else(|| "-".to_owned(), health));
        }
        table.add_row(row);
    }
    for column in 4..=8 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// How many edges each set of evidence has, one a line.
pub fn evidence(counts: &[v1::EvidenceCount]) -> String {
    let line = |c: &v1::EvidenceCount| {
        let only = if c.evidence.len() == 1 { " only" } else { "" };
        format!("{} by {}{only}", count(c.edges), c.evidence.join("+"))
    };
    counts.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_has_its_own_column_and_silence_is_a_dash() {
        let entity = |name: &str| {
            Some(v1::Entity { name: name.into(), kind: "workload".into(), ..v1::Entity::default() })
        };
        let edge = v1::FusedEdge {
            client: entity("web"),
            server: entity("cart"),
            evidence: vec!["trace".into()],
            calls_source: "trace_pair".into(),
            calls: vec![v1::CallEvidence {
                source: "trace_pair".into(),
                calls: 1234.0,
                errors: 2.0,
                ..v1::CallEvidence::default()
            }],
            ..v1::FusedEdge::default()
        };
        let text = fused(&[edge]);
        let row: Vec<&str> = text.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(
            row,
            ["web", "->", "cart", "trace", "-", "1", "234", "2", "-", "-", "trace_pair", "-"]
        );
    }

    #[test]
    fn what_one_layer_alone_sees_is_said_to_be_seen_by_it_only() {
        let of = |evidence: &[&str], edges| v1::EvidenceCount {
            evidence: evidence.iter().map(|word| (*word).to_owned()).collect(),
            edges,
        };
        let text = evidence(&[of(&["network"], 3), of(&["network", "trace"], 2)]);
        assert_eq!(text, "3 by network only\n2 by network+trace");
    }
}
