//! Text in, text out: what is seen of a cluster, second by second, and what is told of it.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

const SECOND: Nanos = 1_000_000_000;
/// 2026-11-23T08:00:00Z: second 0.
const ZERO: Nanos = 1_795_420_800 * SECOND;

fn sec(second: u64) -> Nanos {
    ZERO + second * SECOND
}

/// A second as Kubernetes writes it.
fn time(second: u64) -> String {
    let (minutes, seconds) = (second / 60, second % 60);
    format!("2026-11-23T08:{minutes:02}:{seconds:02}Z")
}

/// A cluster, and what it told.
struct World {
    cluster: Cluster,
    told: Vec<Told>,
}

impl World {
    fn new() -> Self {
        let settings =
            Settings { scope: "a".into(), environment: "prod".into(), keep: 1_000 * SECOND };
        Self { cluster: Cluster::new(settings), told: Vec::new() }
    }

    /// All is listed at second 10: these, and nothing else.
    fn listed(objects: &[Object]) -> Self {
        let mut world = Self::new();
        world.list_all(10, objects);
        world
    }

    fn list_all(&mut self, second: u64, objects: &[Object]) {
        for resource in Resource::ALL {
            let of = objects.iter().filter(|object| object.resource() == resource);
            let objects = of.cloned().collect();
            self.see(Input::Listed { resource, objects, at: sec(second) });
            self.see(Input::Connected { resource, at: sec(second) });
        }
        self.tick(second);
    }

    fn see(&mut self, input: Input) {
        let told = self.cluster.see(input);
        self.told.extend(told);
    }

    fn apply(&mut self, second: u64, object: Object) {
        self.see(Input::Applied { object, at: sec(second) });
        self.tick(second);
    }

    fn delete(&mut self, second: u64, object: Object) {
        self.see(Input::Deleted { object, at: sec(second) });
    }

    fn tick(&mut self, second: u64) {
        self.see(Input::Tick { at: sec(second) });
    }

    /// What was told since the last time, heartbeats aside.
    fn check(&mut self, expected: &Expect) {
        let told = std::mem::take(&mut self.told);
        let lines: Vec<_> = told.iter().filter_map(say).collect();
        expected.assert_eq(&lines.join("\n"));
    }
}

fn at(time: Nanos) -> String {
    match time {
        Nanos::MAX => "open".to_owned(),
        time => (time as i128 - ZERO as i128).div_euclid(SECOND.into()).to_string(),
    }
}

#[expect(clippy::format_push_string, reason = "the text of a few lines")]
fn say(told: &Told) -> Option<String> {
    let version = match told {
        Told::Version(version) => version,
        Told::Gap { from, to } => return Some(format!("gap {}..{}", at(*from), at(*to))),
        Told::Forget(key) => return Some(format!("forget {} of {}", key.uid, at(key.from))),
        Told::Heartbeat { .. } => return None,
    };
    let OwnerRecord { uid, ips, valid, backends, owner_kind, owner_name, .. } = &**version;
    let mut text = format!("{uid} {ips:?} {}..{}", at(valid.from), at(valid.to));
    if valid.from_lo < valid.from || valid.to_hi > valid.to {
        text += &format!(" (possibly {}..{})", at(valid.from_lo), at(valid.to_hi));
    }
    if !owner_name.is_empty() {
        text += &format!(" {owner_kind}/{owner_name}");
    }
    if version.host_network {
        text += &format!(" on {} with {:?}", version.node, ports(&version.ports));
    }
    if !version.host_ports.is_empty() {
        text += &format!(" host ports {:?} of {}", ports(&version.host_ports), version.node);
    }
    if !version.node_ports.is_empty() {
        let ports = version.node_ports.iter().map(|p| format!("{}:{}", p.node_port, p.port));
        text += &format!(" node ports {}", ports.collect::<Vec<_>>().join(","));
    }
    let to = backends.iter().map(|b| format!("{}={}:{}", b.front_port, b.ip, b.port));
    if !backends.is_empty() {
        text += &format!(" to {}", to.collect::<Vec<_>>().join(","));
    }
    Some(text)
}

fn ports(ports: &[portolan_model::DeclaredPort]) -> Vec<u16> {
    ports.iter().map(|p| p.port).collect()
}

/// Lays `over` over `base`.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// A running pod, made at second 0, with more of it.
fn pod(uid: &str, ip: &str, over: Value) -> Object {
    let mut pod = json!({
        "metadata": {
            "uid": uid, "name": uid, "namespace": "shop", "creationTimestamp": time(0),
            "labels": { "pod-template-hash": "6d9f" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d9f",
                                  "uid": "rs", "controller": true }],
        },
        "spec": { "containers": [{ "name": "c", "ports": [{ "containerPort": 8080 }] }] },
        "status": { "phase": "Running", "hostIP": "192.168.0.1", "startTime": time(1) },
    });
    if !ip.is_empty() {
        merge(&mut pod, json!({ "status": { "podIP": ip, "podIPs": [{ "ip": ip }] } }));
    }
    merge(&mut pod, over);
    Object::Pod(Box::new(serde_json::from_value(pod).unwrap()))
}

fn sandbox_since(second: u64, there: bool) -> Value {
    json!({ "status": { "conditions": [{ "type": "PodReadyToStartContainers",
        "status": if there { "True" } else { "False" }, "lastTransitionTime": time(second) }] } })
}

fn finished(phase: &str, started: u64, ended: u64) -> Value {
    let state = json!({ "terminated": { "exitCode": 0, "startedAt": time(started),
                                        "finishedAt": time(ended) } });
    json!({ "status": { "phase": phase, "containerStatuses": [
        { "name": "c", "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": state }
    ] } })
}

fn service(over: Value) -> Object {
    let mut service = json!({
        "metadata": { "uid": "svc", "name": "api", "namespace": "shop", "creationTimestamp": time(0) },
        "spec": { "clusterIP": "172.30.0.7", "clusterIPs": ["172.30.0.7"], "ports": [
            { "name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080 },
            { "name": "dns", "port": 53, "protocol": "UDP" },
        ] },
    });
    merge(&mut service, over);
    Object::Service(Box::new(serde_json::from_value(service).unwrap()))
}

fn slice(uid: &str, ips: &[&str]) -> Object {
    let endpoints: Vec<_> = ips.iter().map(|ip| json!({ "addresses": [ip] })).collect();
    slice_of(uid, &json!(endpoints))
}

fn slice_of(uid: &str, endpoints: &Value) -> Object {
    let slice = json!({
        "metadata": { "uid": uid, "name": uid, "namespace": "shop",
                      "labels": { "kubernetes.io/service-name": "api" } },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    });
    Object::Slice(Box::new(serde_json::from_value(slice).unwrap()))
}

fn node(uid: &str, made: u64, ip: &str) -> Object {
    let node = json!({
        "metadata": { "uid": uid, "name": uid, "creationTimestamp": time(made) },
        "status": { "addresses": [{ "type": "InternalIP", "address": ip },
                                  { "type": "Hostname", "address": "n1" }] },
    });
    Object::Node(Box::new(serde_json::from_value(node).unwrap()))
}

mod others;
mod pods;
