//! Short forms: `10.0.0.1 10.0.0.2` for a list, `443` or `udp/53` for a port,
//! `443=10.0.0.9:8443` for a backend, `30443:443` for a port of the nodes.

use serde_json::{Map, Value, json};

/// Writes short forms out.
pub(super) fn expand(fields: &mut Map<String, Value>) -> Result<(), String> {
    for field in ["ips", "cidrs"] {
        if let Some(value) = fields.get_mut(field) {
            *value = Value::Array(items(value.take()));
        }
    }
    for (field, one) in [
        ("ports", port as fn(&str) -> Option<Value>),
        ("host_ports", port),
        ("backends", backend),
        ("node_ports", node_port),
    ] {
        let Some(value) = fields.get_mut(field) else { continue };
        let all = items(value.take()).into_iter().map(|item| match item {
            Value::Object(_) => Ok(item),
            item => {
                let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                one(&text).ok_or_else(|| format!("{field}: {text:?} does not read"))
            }
        });
        *value = Value::Array(all.collect::<Result<_, _>>()?);
    }
    Ok(())
}

/// A list as it is, a text by its words, anything else as the only item.
fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::String(text) => {
            let words = text.split(|c: char| c.is_whitespace() || c == ',' || c == ';');
            words.filter(|word| !word.is_empty()).map(Value::from).collect()
        }
        item => vec![item],
    }
}

/// `443`, `udp/53` or `53/udp`.
fn port(text: &str) -> Option<Value> {
    let (protocol, number) = match text.split_once('/') {
        None => ("", text),
        Some((left, right)) if right.parse::<u16>().is_ok() => (left, right),
        Some((left, right)) => (right, left),
    };
    Some(json!({ "protocol": protocol, "port": number.parse::<u16>().ok()? }))
}

/// `10.0.0.9:8443` for every port of the front, `443=10.0.0.9:8443` for one; `udp/` in front.
fn backend(text: &str) -> Option<Value> {
    let (protocol, rest) = protocol(text);
    let (front, socket) = match rest.split_once('=') {
        None => (0, rest),
        Some((front, socket)) => (front.parse::<u16>().ok()?, socket),
    };
    let (ip, port) = socket.rsplit_once(':')?;
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    let port = port.parse::<u16>().ok()?;
    Some(json!({ "protocol": protocol, "front_port": front, "ip": ip, "port": port }))
}

/// `30443:443`; `udp/` in front.
fn node_port(text: &str) -> Option<Value> {
    let (protocol, rest) = protocol(text);
    let (node, port) = rest.split_once(':')?;
    let (node, port) = (node.parse::<u16>().ok()?, port.parse::<u16>().ok()?);
    Some(json!({ "protocol": protocol, "node_port": node, "port": port }))
}

fn protocol(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or(("", text))
}
