//! Flows that an eBPF agent captured on a real cluster, with the owners that its inventory names.

use std::collections::{BTreeMap, BTreeSet};

use portolan_e2e::Broker;
use serde_json::{Value, json};

use super::replay::{Capture, assert_same_edges, folder, queried, read};

/// Client, server and the server's port.
type Pair = (String, String, u64);

/// A name with the kind that matters: an address that no inventory knows has one of its own.
fn named(kind: &str, namespace: &str, name: &str) -> String {
    let kind = match kind {
        "Node" | "node" => "node",
        "Service" | "hop" => "hop",
        "external" | "unresolved" => "address",
        _ => "workload",
    };
    format!("{kind} {namespace}/{name}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn party(value: &Value) -> String {
    named(text(&value["kind"]), text(&value["namespace"]), text(&value["name"]))
}

/// The owners of the inventory as ownership records; services get ports and backends from the hops
/// that the capture shows, as the API server's endpoints would have given them.
fn owners(inventory: &Value, hops: &Value) -> Vec<Value> {
    let addresses = inventory["byAddress"].as_object().unwrap();
    let mut owners = BTreeMap::new();
    for (ip, owner) in addresses.iter().filter(|(_, owner)| owner["Type"].is_string()) {
        let uid = format!("{} {}/{}", text(&owner["Type"]), owner["Namespace"], owner["Name"]);
        let record = owners.entry(uid.clone()).or_insert_with(|| {
            let (ports, backends) = fronts(owner, addresses, hops);
            json!({
                "uid": uid,
                "kind": text(&owner["Type"]).to_lowercase(),
                "namespace": text(&owner["Namespace"]),
                "name": owner["Name"],
                "owner_name": owner["OwnerName"],
                "owner_kind": owner["OwnerType"],
                "node_ip": text(&owner["HostIP"]),
                "ips": [],
                "ports": ports,
                "backends": backends,
                // The inventory has no times: it was so before the capture began.
                "valid_from": "2020-01-01T00:00:00Z",
            })
        });
        record["ips"].as_array_mut().unwrap().push(json!(ip));
    }
    owners.into_values().collect()
}

/// Ports and backends of a service; none of anything else.
fn fronts(
    owner: &Value,
    addresses: &serde_json::Map<String, Value>,
    hops: &Value,
) -> (Vec<Value>, Vec<Value>) {
    let (mut ports, mut backends) = (Vec::new(), Vec::new());
    let same = |a: &Value, namespace: &Value, name: &Value| {
        a["namespace"] == *namespace && a["name"] == *name
    };
    let hops = hops.as_array().unwrap().iter().filter(|hop| {
        owner["Type"] == "Service" && same(&hop["service"], &owner["Namespace"], &owner["Name"])
    });
    for hop in hops {
        // The expectations name no protocol; the cluster's DNS is asked over both.
        for protocol in ["tcp", "udp"] {
            ports.push(json!({ "port": hop["servicePort"], "protocol": protocol }));
            for backend in hop["backends"].as_array().unwrap() {
                let behind = addresses.iter().filter(|(_, pod)| {
                    pod["Type"] == "Pod"
                        && same(&backend["server"], &pod["Namespace"], &pod["OwnerName"])
                });
                backends.extend(behind.map(|(ip, _)| {
                    json!({
                        "ip": ip,
                        "port": backend["port"],
                        "protocol": protocol,
                        "front_port": hop["servicePort"],
                    })
                }));
            }
        }
    }
    (ports, backends)
}

/// The pairs that a map must show, with the hops folded onto their workloads.
fn expected(pairs: &Value) -> BTreeSet<Pair> {
    let folded: BTreeSet<_> = pairs["service_hops"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|hop| !hop["backends"].as_array().unwrap().is_empty())
        .map(|hop| (party(&hop["client"]), party(&hop["service"])))
        .collect();
    let pairs = pairs["pairs"].as_array().unwrap().iter();
    // One row has no address at one end; it is among the four that are not in the Kafka file.
    let pairs = pairs.filter(|pair| pair["server"]["name"].is_string());
    pairs
        .map(|pair| {
            (party(&pair["client"]), party(&pair["server"]), pair["port"].as_u64().unwrap())
        })
        .filter(|(client, server, _)| !folded.contains(&(client.clone(), server.clone())))
        .collect()
}

#[test]
fn captured_cluster_gives_the_expected_pairs_and_map_and_server_agree() {
    let Some(folder) = folder("openshift-flows") else { return };
    let pairs = read(&folder, "expected_pairs.json");
    let owners = owners(&read(&folder, "inventory.json"), &pairs["service_hops"]);
    let capture = Capture::new(folder.join("flows_kafka_pb.ndjson"), &owners);
    let portolan = capture.served(Broker::shared(), "openshift", 2);
    assert_eq!(portolan.status().unwrap().tallies["accepted"], 146);

    let edges = queried(&portolan);
    let (mut found, mut icmp) = (BTreeSet::new(), Vec::new());
    for edge in &edges {
        let pair = (party(&edge["client"]), party(&edge["server"]), edge["port"].as_u64().unwrap());
        if edge["protocol"] == "icmp" {
            icmp.push((pair.0, pair.1));
        } else {
            found.insert(pair);
        }
    }
    let expected = expected(&pairs);
    let only =
        |a: &BTreeSet<Pair>, b: &BTreeSet<Pair>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(only(&expected, &found), [], "missing");
    assert_eq!(only(&found, &expected), [], "invented");
    // Upstream changed the protocol of some rows of one pair to ICMP by hand, and left the ports,
    // which ICMP does not have: the expectations go by the ports.
    for (client, server) in icmp {
        let of_tcp = |pair: &&Pair| (&pair.0, &pair.1) == (&client, &server);
        assert!(expected.iter().any(|pair| of_tcp(&pair)), "{client} -> {server}");
    }
    let hop = "hop default/kubernetes".to_owned();
    let operator = "workload openshift-service-ca-operator/service-ca-operator".to_owned();
    assert!(found.contains(&(operator, hop, 443)), "a hop without a backend stays visible");
    let through = |name: &str| {
        let named = |edge: &&Value| {
            edge["via"].as_array().unwrap().iter().any(|hop| hop["entity"]["name"] == name)
        };
        edges.iter().filter(named).count()
    };
    assert_eq!((through("dns-default"), through("loki")), (1, 1), "folded, and still told");

    assert_same_edges(&capture.mapped(), &edges);
}
