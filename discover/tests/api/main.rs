//! Clusters are followed through whatever an API server does.

#![expect(clippy::unwrap_used, reason = "what a test sets up either works or fails the test")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::{Client, Config};
use portolan_discover::{Cluster, Followed, Input, Settings, Target, Told, follow};
use portolan_model::{Nanos, OwnerRecord};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::fake::Fake;

mod fake;

/// Nothing here takes as long, unless it never comes.
const NEVER: Duration = Duration::from_secs(20);

/// A fake, followed: what it comes to.
struct World {
    fake: Fake,
    inputs: mpsc::Receiver<Followed>,
    cluster: Cluster,
    versions: BTreeMap<(String, Nanos), OwnerRecord>,
    gaps: Vec<(Nanos, Nanos)>,
    troubles: Vec<String>,
}

impl World {
    async fn start(objects: &[(&str, &str, Value)], watch: Duration) -> Self {
        let fake = Fake::start().await;
        for (resource, uid, object) in objects {
            fake.put(resource, uid, object.clone());
        }
        Self::follow(fake, watch)
    }

    fn follow(fake: Fake, watch: Duration) -> Self {
        let url = format!("http://{}", fake.address).parse().unwrap();
        // Tries of its own would only hide what the follower has to see.
        let mut config = Config::new(url);
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let target = Target { client, page: 2, watch, retry: Duration::from_millis(20) };
        let (to, inputs) = mpsc::channel(16);
        tokio::spawn(follow(target, to));
        let settings = Settings { scope: "a".into(), environment: "a".into(), keep: Nanos::MAX };
        Self {
            fake,
            inputs,
            cluster: Cluster::new(settings),
            versions: BTreeMap::new(),
            gaps: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// Takes in what comes, until it holds.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let all = async {
            while !done(self) {
                match self.inputs.recv().await.unwrap() {
                    Followed::Input(input) => self.see(input),
                    Followed::Trouble(_, trouble) => {
                        self.troubles.extend(trouble.map(|trouble| trouble.to_string()));
                    }
                }
                self.see(Input::Tick { at: now() });
            }
        };
        let came = timeout(NEVER, all).await.is_ok();
        assert!(came, "never: {what}; {:?}, troubles {:?}", self.versions, self.troubles);
    }

    fn see(&mut self, input: Input) {
        for told in self.cluster.see(input) {
            match told {
                Told::Version(version) => {
                    let key = (version.uid.to_string(), version.valid.from);
                    self.versions.insert(key, *version);
                }
                Told::Gap { from, to } => self.gaps.push((from, to)),
                Told::Forget(_) | Told::Heartbeat { .. } => {}
            }
        }
    }

    fn of(&self, uid: &str) -> Option<&OwnerRecord> {
        self.versions.values().rfind(|v| &*v.uid == uid)
    }

    fn is_open(&self, uid: &str) -> bool {
        self.of(uid).is_some_and(|version| version.valid.to == Nanos::MAX)
    }

    fn has_ended(&self, uid: &str) -> bool {
        self.of(uid).is_some_and(|version| version.valid.to != Nanos::MAX)
    }
}

fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as Nanos
}

fn pod(ip: &str) -> Value {
    json!({
        "metadata": { "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "containers": [{ "name": "c" }] },
        "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }],
                    "startTime": "2026-01-01T00:00:01Z" },
    })
}

fn service() -> Value {
    json!({
        "metadata": { "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "clusterIP": "172.30.0.7", "ports": [{ "port": 80 }] },
    })
}

fn slice(service: &str, ips: &[&str]) -> Value {
    let endpoints: Vec<_> = ips.iter().map(|ip| json!({ "addresses": [ip] })).collect();
    json!({
        "metadata": { "namespace": "shop", "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{ "port": 8080 }],
    })
}

fn node() -> Value {
    json!({ "metadata": { "creationTimestamp": "2026-01-01T00:00:00Z" },
            "status": { "addresses": [{ "type": "InternalIP", "address": "192.168.0.1" }] } })
}

fn some_pods() -> Vec<(&'static str, &'static str, Value)> {
    let ips = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
    ["p1", "p2", "p3", "p4", "p5"]
        .into_iter()
        .zip(ips)
        .map(|(p, ip)| ("pods", p, pod(ip)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_put_together_and_changes_come_after_them() {
    let mut objects = some_pods();
    objects.extend([
        ("services", "svc", service()),
        ("endpointslices", "s1", slice("svc", &["10.0.0.1"])),
        ("nodes", "n1", node()),
    ]);
    let mut world = World::start(&objects, NEVER).await;
    world
        .until("everything is there", |w| {
            let pods = ["p1", "p2", "p3", "p4", "p5", "n1"];
            pods.iter().all(|uid| w.is_open(uid))
                && w.of("svc").is_some_and(|s| s.backends.len() == 1)
        })
        .await;
    world.fake.put("pods", "p6", pod("10.0.0.6"));
    world.fake.remove("pods", "p1");
    world.fake.put("endpointslices", "s1", slice("svc", &["10.0.0.5", "10.0.0.6"]));
    world
        .until("the changes", |w| {
            w.is_open("p6") && w.has_ended("p1") && w.of("svc").unwrap().backends.len() == 2
        })
        .await;
    assert!(world.gaps.is_empty() && world.troubles.is_empty(), "{:?}", world.troubles);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_expired_makes_the_list_begin_anew_and_nobody_end() {
    let fake = Fake::start().await;
    for (resource, uid, object) in some_pods() {
        fake.put(resource, uid, object);
    }
    fake.expire_pages(2);
    let mut world = World::follow(fake, NEVER);
    world.until("all pods", |w| ["p1", "p2", "p3", "p4", "p5"].iter().all(|p| w.is_open(p))).await;
    assert_eq!(world.troubles, ["list", "list"]);
    assert!(world.versions.values().all(|v| v.valid.to == Nanos::MAX));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_goes_on_where_it_was_and_what_came_meanwhile_is_dated_so() {
    let mut world = World::start(&some_pods(), NEVER).await;
    world.until("the pods", |w| w.is_open("p5")).await;
    world.fake.put("pods", "p0", pod("10.0.0.9"));
    world.until("the watches", |w| w.is_open("p0") && w.fake.asked().1 >= 4).await;
    let lists = world.fake.asked().0;
    world.fake.refuse(true);
    world.fake.cut();
    world.until("trouble", |w| w.troubles.len() > 4).await;
    // While nobody watches one goes, and its address is given to another.
    let before = now();
    world.fake.remove("pods", "p1");
    world.fake.put("pods", "p6", pod("10.0.0.1"));
    world.fake.refuse(false);
    world.until("what was missed", |w| w.is_open("p6") && w.has_ended("p1")).await;
    let gone = world.of("p1").unwrap().valid;
    assert!(
        gone.to < before && gone.to_hi > before,
        "ended somewhen while nobody watched: {gone:?}"
    );
    assert_eq!(world.fake.asked().0, lists, "it goes on without listing");
    assert!(world.gaps.is_empty(), "everything that happened was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_gone_is_a_gap_and_a_list_anew() {
    let mut world = World::start(&some_pods(), NEVER).await;
    world.until("the pods", |w| w.is_open("p5")).await;
    world.fake.put("pods", "p0", pod("10.0.0.9"));
    world.until("the watch", |w| w.is_open("p0")).await;
    world.fake.refuse(true);
    world.fake.cut();
    world.until("trouble", |w| !w.troubles.is_empty()).await;
    let before = now();
    world.fake.remove("pods", "p1");
    world.fake.put("pods", "p6", pod("10.0.0.1"));
    world.fake.put("pods", "lived-in-the-gap", pod("10.0.0.7"));
    world.fake.remove("pods", "lived-in-the-gap");
    world.fake.compact();
    world.fake.refuse(false);
    world.until("the list", |w| w.is_open("p6") && w.has_ended("p1")).await;
    let gone = world.of("p1").unwrap().valid;
    assert!(gone.to < before && gone.to_hi > before, "{gone:?}");
    assert!(world.gaps.iter().any(|(from, to)| *from < before && *to > before), "{:?}", world.gaps);
    assert!(["p2", "p3", "p4", "p5", "p0"].iter().all(|uid| world.is_open(uid)));
    assert!(world.of("lived-in-the-gap").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_end_in_order_and_go_on_from_their_bookmark() {
    let mut world = World::start(&some_pods(), Duration::from_secs(1)).await;
    world.until("the watches", |w| w.is_open("p5") && w.fake.asked().1 >= 4).await;
    let lists = world.fake.asked().0;
    // More than two generations of the four watches.
    world.until("new watches", |w| w.fake.asked().1 > 12).await;
    world.fake.remove("pods", "p1");
    world.until("the end", |w| w.has_ended("p1")).await;
    assert_eq!((world.fake.asked().0, world.troubles.len()), (lists, 0));
    // Compacted history is no matter to who is up to date: all are, two watches later.
    let watches = world.fake.asked().1;
    world.until("new watches", |w| w.fake.asked().1 > watches + 8).await;
    let watches = world.fake.asked().1;
    world.fake.compact();
    world.until("new watches", |w| w.fake.asked().1 > watches + 8).await;
    assert_eq!(world.fake.asked().0, lists);
}
