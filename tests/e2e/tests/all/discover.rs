//! From an API server to the map: `portolan discover` tells of who has which address, on a real topic,
//! and flows are drawn between those who had it then.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portolan_e2e::{Broker, Portolan, Setup, Topics, command};
use portolan_proto::v1;
use serde_json::{Value, json};

use super::crowd::now;
use fake::Fake;

#[path = "../../../../discover/tests/api/fake.rs"]
#[expect(dead_code, reason = "its other faults are for the crate's own tests")]
mod fake;

const PATIENCE: Duration = Duration::from_secs(90);
const WEB: &str = "10.0.0.1";
const API: &str = "10.0.0.2";
const SERVICE: &str = "172.30.0.7";
const NODE: &str = "192.168.0.1";

/// `portolan discover`, which ends with the test.
struct Discover(Child);

impl Drop for Discover {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pod(ip: &str, since: &str) -> Value {
    json!({
        "metadata": { "namespace": "shop", "creationTimestamp": since },
        "spec": { "containers": [{ "name": "c" }] },
        "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "startTime": since },
    })
}

fn slice(ip: &str) -> Value {
    json!({
        "metadata": { "namespace": "shop", "labels": { "kubernetes.io/service-name": "front" } },
        "addressType": "IPv4", "endpoints": [{ "addresses": [ip] }], "ports": [{ "port": 8080 }],
    })
}

/// A connection of `web` to the service, as the agent of their node saw it before and behind the service.
fn flows(port: u16) -> Vec<Vec<u8>> {
    let end = now() / 1_000_000;
    let flow = |src: &str, dst: &str, ports: (u16, u16), flags: u16| {
        let flow = json!({
            "SrcAddr": src, "DstAddr": dst, "SrcPort": ports.0, "DstPort": ports.1, "Proto": 6,
            "Etype": 2048, "Flags": flags, "Bytes": 900, "Packets": 5, "AgentIP": NODE,
            "TimeFlowStartMs": end - 1, "TimeFlowEndMs": end,
        });
        flow.to_string().into_bytes()
    };
    vec![
        flow(WEB, SERVICE, (port, 80), 0x02),
        flow(SERVICE, WEB, (80, port), 0x100),
        flow(WEB, API, (port, 8080), 0x02),
        flow(API, WEB, (8080, port), 0x100),
    ]
}

/// Whom `web` called through the service, and how often.
fn called(graph: &v1::GetGraphResponse) -> Vec<(String, u64)> {
    let name = |entity: &Option<v1::Entity>| entity.clone().unwrap_or_default().name;
    let edges = graph.edges.iter().filter(|edge| name(&edge.client) == "web");
    let mut called: Vec<_> = edges
        .map(|edge| (name(&edge.server), edge.counters.unwrap_or_default().connections))
        .collect();
    called.sort();
    called
}

/// Waits until one record of the topic names all of it.
fn until_told(topics: &Topics<'_>, topic: &str, words: &[&str]) {
    let patience = Instant::now() + PATIENCE;
    let has = |record: &[u8], word: &str| {
        record.windows(word.len()).any(|bytes| bytes == word.as_bytes())
    };
    loop {
        let records = topics.read(topic, 0).unwrap();
        if records.iter().any(|record| words.iter().all(|word| has(record, word))) {
            return;
        }
        assert!(Instant::now() < patience, "never told of {words:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_is_discovered_names_the_ends_of_flows_and_an_address_that_changes_hands_follows_its_owner()
{
    let broker = Broker::shared();
    let topics = broker.topics();
    let (owners, flows_topic) = ("discover-owners", "discover-flows");
    topics.create(owners, 1, &[]).unwrap();
    topics.create(flows_topic, 1, &[]).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = runtime.block_on(Fake::start());
    let long_ago = "2026-01-01T00:00:00Z";
    fake.put(
        "nodes",
        "n1",
        json!({ "metadata": { "creationTimestamp": long_ago },
        "status": { "addresses": [{ "type": "InternalIP", "address": NODE }] } }),
    );
    fake.put("pods", "web", pod(WEB, long_ago));
    fake.put("pods", "old", pod(API, long_ago));
    fake.put("endpointslices", "s1", slice(API));
    fake.put(
        "services",
        "front",
        json!({
            "metadata": { "namespace": "shop", "creationTimestamp": long_ago },
            "spec": { "clusterIP": SERVICE, "ports": [{ "port": 80 }] },
        }),
    );

    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("config");
    let server = format!("http://{}", fake.address);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{ "name": "lab", "cluster": { "server": server } }],
        "users": [{ "name": "me", "user": {} }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "me" } }],
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let mut discover = command().unwrap();
    discover.args(["discover", "kubernetes", "--name", "lab", "--topic", owners, "--brokers"]);
    discover.arg(broker.bootstrap()).arg("--kubeconfig").arg(&kubeconfig);
    let mut discover = Discover(discover.stdin(Stdio::null()).spawn().unwrap());

    let setup = Setup::new(broker.bootstrap())
        .topic(owners, "portolan-pb", "")
        .topic(flows_topic, "netobserv-json", "cluster/lab/pod")
        .set("line.commit_interval", "\"200ms\"");
    let mut portolan = Portolan::start(&setup).unwrap();
    let produce = |port: u16| {
        let messages = flows(port);
        topics.produce(flows_topic, messages.iter().map(|m| (0, &b""[..], &m[..]))).unwrap();
    };
    // What is seen before anybody watched is nobody's for sure.
    until_told(&topics, owners, &["web"]);
    until_told(&topics, owners, &["old"]);
    until_told(&topics, owners, &["front", API]);
    produce(40_001);
    let wanted = vec![("old".to_owned(), 1)];
    let what = "web -> old through the service";
    portolan.wait_for_graph(what, PATIENCE, |graph| called(graph) == wanted).unwrap();

    // For five seconds a new watch may still tell of what was before it: what it says then has no
    // certain time, and whoever had the address within them stays ambiguous.
    std::thread::sleep(Duration::from_secs(6));
    // The pod goes, and another has its address at once.
    fake.remove("pods", "old");
    fake.put("pods", "new", pod(API, &Timestamp::now().to_string()));
    until_told(&topics, owners, &["new"]);
    produce(40_002);
    let wanted = vec![("new".to_owned(), 1), ("old".to_owned(), 1)];
    let what = "the second connection under the new owner of the address";
    portolan.wait_for_graph(what, PATIENCE, |graph| called(graph) == wanted).unwrap();

    kill(Pid::from_raw(discover.0.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(discover.0.wait().unwrap().success(), "a signal is no failure");
}
