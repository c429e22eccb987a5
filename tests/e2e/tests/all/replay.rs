//! Captured files, drawn twice: by `portolan map` without any server, and by `portolan serve` after
//! `portolan load replay` has put them on Kafka.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portolan_e2e::{Broker, Portolan, Setup, command};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::crowd::{end, wait_until_committed};

/// A file of flows, and one of the owners that a test made for it.
pub(crate) struct Capture {
    flows: PathBuf,
    owners: PathBuf,
    _directory: TempDir,
}

/// The folder of a capture, which lies beside the tree. Says so and gives none where it is absent.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if data.is_dir() {
        return Some(data);
    }
    eprintln!("skipped: the capture ../shared/data/{name} is not here");
    None
}

/// A file of a folder as JSON.
pub(crate) fn read(folder: &Path, file: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap()
}

/// What the process prints as JSON, if it ends well.
pub(crate) fn asked(arguments: &[&str]) -> Value {
    serde_json::from_str(&ran(arguments)).unwrap()
}

/// What the process prints, if it ends well.
fn ran(arguments: &[&str]) -> String {
    let output = command().unwrap().args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

// === impl Capture ===

impl Capture {
    /// A file of flows with owners as JSON objects.
    pub(crate) fn new(flows: PathBuf, owners: &[Value]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("owners.ndjson");
        let line = |owner: &Value| {
            let key = STANDARD.encode(owner["uid"].as_str().unwrap());
            format!("{}\n", json!({ "key": key, "value": owner }))
        };
        fs::write(&path, owners.iter().map(line).collect::<String>()).unwrap();
        Self { flows, owners: path, _directory: directory }
    }

    /// The edges that `portolan map` draws.
    pub(crate) fn mapped(&self) -> Vec<Value> {
        let flows = format!("{}:netobserv-pb", self.flows.display());
        let owners = self.owners.to_str().unwrap();
        edges(&asked(&["map", "--flows", &flows, "--ownership", owners, "--output", "json"]))
    }

    /// Puts the files on Kafka and reads them from there, until all of it is in the graph.
    pub(crate) fn served(&self, broker: &Broker, name: &str, partitions: i32) -> Portolan {
        let (flows, owners) = (format!("{name}-flows"), format!("{name}-owners"));
        let brokers = broker.bootstrap();
        let topics = broker.topics();
        topics.create(&flows, partitions, &[]).unwrap();
        topics.create(&owners, 1, &[]).unwrap();
        for (file, topic) in [(&self.owners, &owners), (&self.flows, &flows)] {
            let file = file.to_str().unwrap();
            ran(&["load", "replay", file, "--topic", topic, "--brokers", &brokers]);
        }
        let setup = Setup::new(brokers).topic(&flows, "netobserv-pb", "").topic(
            &owners,
            "portolan-json",
            "",
        );
        let mut portolan = Portolan::start(&setup).unwrap();
        let mut ends: Vec<_> = (0..partitions).map(|p| end(broker, &flows, p)).collect();
        ends.push(end(broker, &owners, 0));
        wait_until_committed(&mut portolan, &ends);
        portolan
    }
}

/// The edges that `portolan query graph` prints of all of time.
pub(crate) fn queried(portolan: &Portolan) -> Vec<Value> {
    let server = format!("http://{}", portolan.grpc());
    edges(&asked(&["query", "graph", "--server", &server, "--from", "1", "--output", "json"]))
}

/// The edges of a graph in the order of their text: which end comes first in a document is no
/// matter.
fn edges(graph: &Value) -> Vec<Value> {
    let mut edges = graph["edges"].as_array().unwrap().clone();
    assert_eq!(graph["total_edges"], edges.len(), "64-bit counts are numbers, and all are there");
    edges.sort_by_key(ToString::to_string);
    edges
}

/// Fails at the first edge that only one has.
pub(crate) fn assert_same_edges(mapped: &[Value], served: &[Value]) {
    for (one, other) in mapped.iter().zip(served) {
        assert_eq!(one, other, "left is mapped, right is served");
    }
    assert_eq!(mapped.len(), served.len());
}
