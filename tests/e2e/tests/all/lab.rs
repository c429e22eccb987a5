//! Flows of two real kernels, watched by real agents, whose callers wrote down every connection.

use std::collections::BTreeMap;

use portolan_e2e::Broker;
use serde_json::{Value, json};

use super::replay::{Capture, assert_same_edges, folder, queried, read};

/// Client, server and connections opened.
type Calls = BTreeMap<(String, String), u64>;

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The lab's own list of who had which address as ownership records.
fn owners(list: &Value) -> Vec<Value> {
    let balancers: Vec<_> = list.as_array().unwrap().iter().filter(|o| o["key"] == "lb").collect();
    let is_balancer = |owner: &Value| {
        owner["key"] == "ip" && balancers.iter().any(|b| b["owner"] == owner["owner"])
    };
    // The balancer's own pod would claim the address that its listener stands for.
    let said = list.as_array().unwrap().iter().filter(|owner| !is_balancer(owner));
    said.map(owner).collect()
}

fn owner(said: &Value) -> Value {
    let backends = said["backends"].as_array().or(said["targets"].as_array());
    let backends = backends.into_iter().flatten().map(|socket| {
        let (ip, port) = socket.as_str().unwrap().rsplit_once(':').unwrap();
        json!({ "ip": ip, "port": port.parse::<u16>().unwrap(), "front_port": said["port"] })
    });
    let (kind, namespace) = match said["key"].as_str().unwrap() {
        "ip" => ("pod", "lab"),
        "vip" => ("service", "lab"),
        "lb" => ("load_balancer", "lab"),
        "node" => ("node", ""),
        other => panic!("{other} is no key of the lab"),
    };
    let name = said["pod"].as_str().unwrap_or(said["owner"].as_str().unwrap());
    let mut record = json!({
        "uid": format!("{kind} {name}"),
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "owner_name": said["owner"],
        "ips": [said["ip"]],
        "backends": backends.collect::<Vec<_>>(),
        "valid_from": said["from"],
    });
    for (field, value) in [("node_ip", &said["node"]), ("valid_to", &said["to"])] {
        if !value.is_null() {
            record[field] = value.clone();
        }
    }
    if said["port"].is_number() {
        record["ports"] = json!([{ "port": said["port"] }]);
    }
    record
}

/// What the callers wrote down, with the balancer's two legs as the one call that they are.
fn truth(edges: &Value) -> Calls {
    let edges = edges.as_array().unwrap().iter().filter(|edge| edge["client"] != "edge-lb");
    edges
        .map(|edge| {
            let server =
                if edge["server"] == "edge-lb" { "api".to_owned() } else { text(&edge["server"]) };
            ((text(&edge["client"]), server), edge["connections"].as_u64().unwrap())
        })
        .collect()
}

/// Edges with a service at an end. The lab's machines also talk to one another: an agent to the
/// broker on the other node, and each interface to its neighbours as it comes up.
fn calls(edges: &[Value]) -> Calls {
    let mut calls = Calls::new();
    for edge in edges {
        let ends = [&edge["client"], &edge["server"]];
        if ends.iter().any(|end| end["kind"] == "workload" || end["kind"] == "hop") {
            let ends = (text(&ends[0]["name"]), text(&ends[1]["name"]));
            let connections = edge["counters"]["connections"].as_u64().unwrap();
            let twice = calls.insert(ends.clone(), connections);
            assert_eq!(twice, None, "{ends:?} is one edge");
        }
    }
    calls
}

#[test]
fn lab_shows_every_connection_that_was_made_and_no_other() {
    let Some(folder) = folder("ebpf-lab") else { return };
    let capture =
        Capture::new(folder.join("flows.ndjson"), &owners(&read(&folder, "ownership.json")));
    let truth = truth(&read(&folder, "truth.json")["edges"]);
    assert_eq!(truth.len(), 9);

    let mapped = capture.mapped();
    assert_eq!(calls(&mapped), truth, "left is mapped");

    let portolan = capture.served(Broker::shared(), "lab", 3);
    let served = queried(&portolan);
    assert_eq!(calls(&served), truth, "left is served");
    let mobile = served.iter().find(|edge| edge["client"]["name"] == "mobile").unwrap();
    assert_eq!(mobile["via"][0]["entity"]["name"], "edge-lb");
    assert_same_edges(&mapped, &served);

    // All that was put on Kafka is accounted for.
    let tallies = portolan.status().unwrap().tallies;
    assert_eq!((tallies["accepted"], tallies["rejected/no_address"]), (16_789, 24));
}
