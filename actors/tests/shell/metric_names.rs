//! Every metric that a running line emits is in the list, with these labels and this kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use portolan_actors::names::{self, Kind};

use crate::support::{FLOWS, NEVER, World, eventually};

type Seen = Arc<Mutex<BTreeMap<String, (Kind, Vec<String>)>>>;

#[derive(Default)]
struct Lister(Seen);

impl Lister {
    fn note(&self, key: &Key, kind: Kind) {
        let labels = key.labels().map(|l| l.key().to_string()).collect();
        self.0.lock().unwrap().insert(key.name().to_string(), (kind, labels));
    }
}

impl Recorder for Lister {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.note(key, Kind::Counter);
        Counter::noop()
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.note(key, Kind::Gauge);
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.note(key, Kind::Histogram);
        Histogram::noop()
    }
}

static SEEN: OnceLock<Seen> = OnceLock::new();

#[test]
fn the_list_of_metrics_is_what_is_emitted() {
    let seen = SEEN.get_or_init(|| {
        let lister = Lister::default();
        let seen = Arc::clone(&lister.0);
        metrics::set_global_recorder(lister).unwrap();
        seen
    });
    names::describe();
    let world = World::new(1);
    // One fault of each kind, so that their counters come into being.
    world.script.panic_at.store(7, std::sync::atomic::Ordering::SeqCst);
    world.script.panics_left.store(1, std::sync::atomic::Ordering::SeqCst);
    let full = portolan_storage::Error::Full { path: "test".into() };
    world.fail.lock().unwrap().push(full);
    let ran = world.start();
    world.publisher.send(FLOWS, Some(0), None, b"?").unwrap();
    world.publisher.flush(NEVER).unwrap();
    world.publish(0..10, 1);
    ran.until_counted(10);
    // The delay of a partition is measured when its end is looked up.
    let status = ran.running.status();
    eventually("it is measured", || status.partitions().iter().any(|(_, p)| p.watermark > 0));
    ran.stop();
    let listed: BTreeMap<_, _> = names::ALL.iter().map(|m| (m.name.to_string(), m)).collect();
    let seen = seen.lock().unwrap().clone();
    for (name, (kind, labels)) in &seen {
        let metric = listed.get(name).unwrap_or_else(|| panic!("{name} is not listed"));
        assert_eq!(metric.kind, *kind, "{name}");
        assert_eq!(metric.labels, labels, "{name}");
    }
    // A pause takes a stall of a second, which nothing here makes; the process measures its store and
    // opens it anew.
    let elsewhere = [
        names::SOURCE_PAUSES,
        names::STORE_REOPENED,
        names::STORE_BYTES,
        names::STORE_LEVEL_BYTES,
        names::STORE_APART,
    ];
    let silent: Vec<_> = listed
        .keys()
        .filter(|name| !seen.contains_key(*name) && !elsewhere.contains(&name.as_str()))
        .collect();
    assert_eq!(silent, Vec::<&String>::new(), "listed and never emitted");
}
