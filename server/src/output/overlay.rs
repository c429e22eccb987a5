//! A trace on the graph, as a table.

use portolan_proto::v1;

use super::graph::{health, name, table};
use super::units::time;

/// Its calls, by when they began, each with the edges of now that it went over.
pub fn overlay(response: &v1::OverlayTraceResponse) -> String {
    let header = [
        "AT",
        "CLIENT",
        "",
        "SERVER",
        "OPERATION",
        "CLIENT TOOK",
        "SERVER TOOK",
        "ERROR",
        "BY",
        "NOW",
    ];
    let mut table = table(&header);
    let begin = response.calls.first().map_or(0, |call| call.start_unix_us);
    for call in &response.calls {
        let error = match (call.client_error, call.server_error) {
            (true, true) => "both",
            (true, false) => "client",
            (false, true) => "server",
            (false, false) => "-",
        };
        let at = match call.start_unix_us - begin {
            0 => time(call.start_unix_us),
            later => format!("+{:.1} ms", later as f64 / 1e3),
        };
        table.add_row([
            at,
            name(call.client.as_ref()),
            "->".to_owned(),
            name(call.server.as_ref()),
            if call.operation.is_empty() { call.protocol.clone() } else { call.operation.clone() },
            took(call.client_took_us),
            took(call.server_took_us),
            error.to_owned(),
            call.source.clone(),
            now(response, call),
        ]);
    }
    table.to_string()
}

/// The traces that stand for an edge, one a line; empty if there are none.
pub fn exemplars(exemplars: &[v1::Exemplar]) -> String {
    let line = |e: &v1::Exemplar| {
        let failed = if e.error { ", failed" } else { "" };
        format!(
            "{}: trace {} ({}{failed}) at {}",
            e.of,
            e.trace_id,
            took(e.took_us),
            time(e.start_unix_us)
        )
    };
    exemplars.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Which layers have the edge now, and how it does.
fn now(response: &v1::OverlayTraceResponse, call: &v1::TracedCall) -> String {
    let edges = call.edges.iter().filter_map(|at| response.edges.get(*at as usize));
    let mut layers: Vec<&str> = edges.clone().map(|edge| edge.layer.as_str()).collect();
    layers.dedup();
    if layers.is_empty() {
        return "no edge".to_owned();
    }
    let how = edges.filter_map(|edge| edge.health.as_ref()).map(health).next();
    [Some(layers.join("+")), how].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn took(us: f64) -> String {
    if us > 0.0 { format!("{:.1} ms", us / 1e3) } else { "-".to_owned() }
}
