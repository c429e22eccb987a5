//! Edges and entities as tables.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use portolan_proto::v1;

use super::notes::said;
use super::units::{bytes, count, time};

/// The edges of a graph, one a row, the busiest first.
pub fn edges(edges: &[v1::Edge]) -> String {
    let mut header = vec![
        "CLIENT",
        "",
        "SERVER",
        "PORT",
        "CONNECTIONS",
        "FAILED",
        "SENT",
        "RECEIVED",
        "RTT",
        "VIA",
        "LAST SEEN",
    ];
    let ends = |edge: &v1::Edge| [edge.client.clone(), edge.server.clone()];
    let owned = edges.iter().flat_map(ends).flatten().any(|entity| !entity.owner.is_empty());
    if owned {
        header.push("OWNERS");
    }
    let judged = edges.iter().any(|edge| edge.health.is_some());
    if judged {
        header.push("HEALTH");
    }
    let mut table = table(&header);
    let mut rows: Vec<&v1::Edge> = edges.iter().collect();
    rows.sort_by_key(|e| {
        let c = e.counters.unwrap_or_default();
        (e.possible, std::cmp::Reverse((c.connections, c.bytes_sent + c.bytes_received)))
    });
    for edge in rows {
        let c = edge.counters.unwrap_or_default();
        // An edge that only may be counts nothing, which is not the same as none.
        let counted = |text: String| if edge.possible { "-".to_owned() } else { text };
        let rtt = match c.rtt_sum_micros.checked_div(c.rtt_count) {
            Some(us) => format!("{:.2} ms", us as f64 / 1e3),
            None => "-".to_owned(),
        };
        let mut row = vec![
            name(edge.client.as_ref()),
            arrow(edge).to_owned(),
            name(edge.server.as_ref()),
            if edge.port == 0 && !edge.calls.is_empty() {
                format!("{} ({})", edge.protocol, edge.layer)
            } else if edge.port == 0 {
                edge.protocol.clone()
            } else {
                format!("{}/{}", edge.protocol, edge.port)
            },
            edge.calls.first().map_or_else(|| counted(count(c.connections)), calls),
            edge.calls.first().map_or_else(|| counted(count(c.connections_failed)), errors),
            counted(bytes(c.bytes_sent)),
            counted(bytes(c.bytes_received)),
            rtt,
            via(edge),
            time(edge.last_seen_unix_us),
        ];
        if owned {
            row.push(owners(edge));
        }
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

fn arrow(edge: &v1::Edge) -> &'static str {
    match edge.direction.as_str() {
        _ if edge.possible => "?>",
        "unknown" => "--",
        _ => "->",
    }
}

/// How it does, and why if it does not do well.
pub(super) fn health(health: &v1::Health) -> String {
    let state = &health.state;
    if state == "healthy" {
        return state.clone();
    }
    if health.by == "record" {
        return format!("{state}: {}", health.reason);
    }
    let errors = |ratio: f64| format!("{:.1}%", ratio * 100.0);
    let (now, usual) = (errors(health.error_ratio), errors(health.usual_error_ratio));
    let mut why = format!("{state}: {now} errors (usually {usual})");
    if health.latency_p95_us > 0.0 {
        let ms = |us: f64| format!("{:.1} ms", us / 1e3);
        let (now, usual) = (ms(health.latency_p95_us), ms(health.usual_latency_p95_us));
        let _ = write!(why, ", p95 {now} (usually {usual})");
    }
    why
}

/// What the best source counts, in place of connections.
fn calls(best: &v1::CallEvidence) -> String {
    format!("{} calls", count(best.calls.round() as u64))
}

fn errors(best: &v1::CallEvidence) -> String {
    count(best.errors.round() as u64)
}

fn via(edge: &v1::Edge) -> String {
    let mut hops: Vec<String> = edge.via.iter().map(|h| name(h.entity.as_ref())).collect();
    hops.dedup();
    if edge.residual {
        hops.push("(rest)".to_owned());
    }
    hops.join(", ")
}

/// Entities, one a row; what the catalogue says of them where it says anything.
pub fn entities(entities: &[v1::Entity]) -> String {
    let mut header = vec!["KIND", "NAMESPACE", "NAME", "DETAIL", "ID"];
    let catalogued = entities.iter().any(is_catalogued);
    if catalogued {
        header.extend(CATALOGUE);
    }
    let judged = entities.iter().any(|entity| entity.health.is_some());
    if judged {
        header.push("HEALTH");
    }
    let mut table = table(&header);
    for entity in entities {
        let kind = if entity.hop_class.is_empty() {
            entity.kind.clone()
        } else {
            format!("{} ({})", entity.kind, entity.hop_class)
        };
        let plain = [&kind, &entity.namespace, &entity.name, &entity.detail, &entity.id];
        let mut row: Vec<String> = plain.map(String::clone).to_vec();
        if catalogued {
            row.extend(catalogue(Some(entity)));
        }
        if judged {
            row.push(entity.health.as_ref().map_or_else(|| "-".to_owned(), health));
        }
        table.add_row(row);
    }
    table.to_string()
}

/// Entities that a walk reached, nearest first.
pub fn reached(nodes: &[v1::ReachedNode]) -> String {
    let mut header = vec!["HOPS", "ENTITY", "KIND"];
    let catalogued = nodes.iter().filter_map(|node| node.entity.as_ref()).any(is_catalogued);
    if catalogued {
        header.extend(CATALOGUE);
    }
    let mut table = table(&header);
    for node in nodes {
        let entity = node.entity.as_ref();
        let kind = entity.map_or(String::new(), |e| e.kind.clone());
        let mut row = vec![node.distance.to_string(), name(entity), kind];
        if catalogued {
            row.extend(catalogue(entity));
        }
        table.add_row(row);
    }
    table.to_string()
}

const CATALOGUE: [&str; 3] = ["OWNER", "TIER", "DOMAIN"];

fn is_catalogued(entity: &v1::Entity) -> bool {
    [&entity.owner, &entity.tier, &entity.domain].iter().any(|text| !text.is_empty())
}

fn catalogue(entity: Option<&v1::Entity>) -> [String; 3] {
    let nobody = v1::Entity::default();
    let entity = entity.unwrap_or(&nobody);
    [&entity.owner, &entity.tier, &entity.domain].map(|text| said(text))
}

/// Who answers for both ends.
fn owners(edge: &v1::Edge) -> String {
    let owner = |entity: Option<&v1::Entity>| said(entity.map_or("", |e| e.owner.as_str()));
    format!("{} -> {}", owner(edge.client.as_ref()), owner(edge.server.as_ref()))
}

pub(super) fn name(entity: Option<&v1::Entity>) -> String {
    let Some(entity) = entity else { return "?".to_owned() };
    let plain = if entity.namespace.is_empty() {
        entity.name.clone()
    } else {
        format!("{}/{}", entity.namespace, entity.name)
    };
    match entity.kind.as_str() {
        "workload" | "service" => plain,
        "hop" => format!("[{plain}]"),
        kind => format!("{plain} ({kind})"),
    }
}

/// A table without walls: it pastes well into a chat at 3 am.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header.to_vec());
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_that_only_may_be_is_marked_counts_nothing_and_stands_last() {
        let entity = |name: &str| v1::Entity { name: name.to_owned(), ..Default::default() };
        let known = v1::Edge {
            client: Some(v1::Entity { kind: "workload".to_owned(), ..entity("web") }),
            server: Some(v1::Entity { kind: "hop".to_owned(), ..entity("lb") }),
            protocol: "tcp".to_owned(),
            counters: Some(v1::Counters::default()),
            direction: "known".to_owned(),
            ..Default::default()
        };
        let may_be = v1::Edge {
            server: Some(v1::Entity { kind: "workload".to_owned(), ..entity("db") }),
            via: vec![v1::Hop { entity: known.server.clone(), ..Default::default() }],
            counters: None,
            possible: true,
            ..known.clone()
        };
        let text = edges(&[may_be, known]);
        let rows: Vec<Vec<&str>> =
            text.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
        assert_eq!(rows[0][..5], ["web", "->", "[lb]", "tcp", "0"]);
        assert_eq!(rows[1][..9], ["web", "?>", "db", "tcp", "-", "-", "-", "-", "-"]);
        assert_eq!(rows[1][9], "[lb]");
    }
}
