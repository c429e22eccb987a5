//! The catalogue and changes that people made: from Kafka to every answer, and through a kill.

use std::collections::BTreeMap;

use portolan_e2e::{Broker, Portolan};
use portolan_fleet::FleetSpec;
use portolan_proto::v1;
use prost::Message as _;
use serde_json::json;

use super::crowd::{Crowd, PATIENCE, end, now, wait_until_committed};
use super::maps::{assert_same, assert_true, drawn};
use super::replay::asked;

const SECOND: u64 = 1_000_000_000;

/// What the API says of each workload: `namespace/name owner tier domain`.
fn said(nodes: &[v1::Entity]) -> Vec<String> {
    let mut all: Vec<String> = nodes
        .iter()
        .filter(|e| e.kind == "workload")
        .map(|e| format!("{}/{} {} {} {}", e.namespace, e.name, e.owner, e.tier, e.domain))
        .collect();
    all.sort();
    all
}

fn changes(portolan: &Portolan, since: u64) -> v1::ChangesResponse {
    let from_unix_us = (since / 1_000) as i64;
    let range = Some(v1::TimeRange { from_unix_us, to_unix_us: 0 });
    let request = v1::ChangesRequest { range, ..v1::ChangesRequest::default() };
    let mut client = portolan.client().unwrap();
    portolan.block_on(client.changes(request)).unwrap().into_inner()
}

#[test]
fn notes_come_with_every_answer_and_a_kill_and_a_redelivery_change_nothing() {
    let broker = Broker::shared();
    let topics = broker.topics();
    let spec = FleetSpec { flows_per_sec: 300, ..FleetSpec::hard(71) };
    let crowd = Crowd::gather(broker, "notes", 2, spec, 20);
    let [catalogue, changed] = ["notes-catalogue", "notes-changes"];
    topics.create(catalogue, 1, &[]).unwrap();
    topics.create(changed, 1, &[]).unwrap();
    let setup = crowd.setup(broker).topic(catalogue, "portolan-catalogue-json", "").topic(
        changed,
        "portolan-changes-pb",
        "",
    );
    let mut portolan = Portolan::start(&setup).unwrap();
    crowd.publish(2, &crowd.messages);
    wait_until_committed(&mut portolan, &crowd.ends(broker, 2));
    let nodes = portolan.whole_graph().unwrap().nodes;
    let of = nodes.iter().find(|e| e.kind == "workload" && !e.namespace.is_empty()).unwrap();
    assert!(said(&nodes).iter().all(|line| line.ends_with("   ")), "nothing is said yet");

    // All of a namespace is of one team, one service of it of another, and of tier 1.
    let start = now() - 3_600 * SECOND;
    let seconds = start / SECOND;
    let records = [
        json!({"namespace": of.namespace, "owner": "red", "domain": "sales", "valid_from": seconds}),
        json!({"namespace": of.namespace, "name": of.name, "owner": "blue", "tier": "1",
            "links": {"logs": "https://logs.example/{name}"}, "valid_from": seconds}),
        json!({"owner": "nobody's", "valid_from": seconds}),
    ];
    let messages: Vec<Vec<u8>> =
        records.iter().map(|record| record.to_string().into_bytes()).collect();
    let deploy = v1::ChangeRecord {
        id: "d-1".into(),
        at: Some(v1::Time { unix_ns: now() - 30 * SECOND }),
        namespace: of.namespace.clone(),
        name: of.name.clone(),
        version: "v2".into(),
        ..v1::ChangeRecord::default()
    };
    let deploy = deploy.encode_to_vec();
    let publish = || {
        let records = messages.iter().map(|m| (0, &b""[..], m.as_slice()));
        topics.produce(catalogue, records).unwrap();
        topics.produce(changed, [(0, &b"d-1"[..], deploy.as_slice())]).unwrap();
        [catalogue, changed].map(|topic| end(broker, topic, 0))
    };
    let wait = |portolan: &mut Portolan| {
        let mut ends: Vec<_> = crowd.ends(broker, 2);
        ends.extend(publish());
        wait_until_committed(portolan, &ends)
    };
    let status = wait(&mut portolan);

    let graph = portolan.whole_graph().unwrap();
    let own = graph.nodes.iter().find(|e| e.id == of.id).unwrap();
    assert_eq!([&*own.owner, &*own.tier, &*own.domain], ["blue", "1", "sales"]);
    assert_eq!(own.links[0].url, format!("https://logs.example/{}", of.name));
    let near = |e: &&v1::Entity| e.namespace == of.namespace && e.name != of.name;
    assert!(graph.nodes.iter().filter(near).all(|e| e.owner == "red" && e.tier.is_empty()));
    assert!(graph.nodes.iter().filter(|e| e.namespace != of.namespace).all(|e| e.owner.is_empty()));
    let made = changes(&portolan, start).made;
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].kind.as_str(), made[0].version.as_str()), ("deploy", "v2"));
    assert!(made[0].entities.iter().any(|entity| entity.id == of.id));

    // What is no note is counted, shown, and stops nothing.
    assert_eq!(status.tallies["rejected/bad_field"], 1);
    let letter = status.dead_letters.iter().find(|letter| letter.topic == catalogue).unwrap();
    assert!(letter.detail.contains("it means nobody"), "{}", letter.detail);
    assert_eq!((status.tallies["catalogue/records"], status.tallies["changes/records"]), (2, 1));

    // On the command line.
    let server = format!("http://{}", portolan.grpc());
    let found = asked(&[
        "query", "graph", "--server", &server, "--from", "1", "--owner", "blue", "--output", "json",
    ]);
    let edges = found["edges"].as_array().unwrap();
    let touches = |edge: &serde_json::Value| {
        [&edge["client"], &edge["server"]].iter().any(|end| end["name"] == of.name.as_str())
    };
    assert!(!edges.is_empty() && edges.iter().all(touches));

    // Read again after a kill, and told again by its producer, it is the same.
    let before = (said(&graph.nodes), drawn(&portolan), made);
    portolan.kill9().unwrap();
    portolan.restart().unwrap();
    let running = |s: &v1::GetStatusResponse| s.state == "running";
    portolan.wait_for_status("running", PATIENCE, running).unwrap();
    assert_same(&before.1, &drawn(&portolan));
    wait(&mut portolan);
    assert_true(&portolan, &crowd.truth);
    assert_eq!(said(&portolan.whole_graph().unwrap().nodes), before.0);
    assert_eq!(changes(&portolan, start).made, before.2);
    let tallies: BTreeMap<_, _> = portolan.status().unwrap().tallies.into_iter().collect();
    assert_eq!((tallies["catalogue/records"], tallies["changes/records"]), (4, 2));
}
