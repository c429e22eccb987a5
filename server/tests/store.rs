//! `portolan store` as people use it: the binary, a running server, and stores at rest.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

#[path = "store/post.rs"]
mod post;

/// A server in a process of its own, without Kafka.
struct Served {
    child: Child,
    grpc: String,
    otlp: std::net::SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn portolan(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.args(args).env_remove("PORTOLAN_SERVER").env_remove("PORTOLAN_CONFIG");
    command
}

fn run(args: &[&str]) -> Output {
    portolan(args).output().unwrap()
}

fn json(args: &[&str]) -> serde_json::Value {
    let done = run(args);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{args:?}: {said}");
    serde_json::from_slice(&done.stdout).unwrap()
}

fn refused(args: &[&str], code: i32) -> String {
    let done = run(args);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(code), "{args:?}: {said}");
    said
}

/// A port that was free a moment ago.
fn port() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn serve(store: &Path) -> Served {
    let (grpc, http, otlp) = (port(), port(), port());
    let mut child = portolan(&["serve"])
        .env("PORTOLAN__STORE__PATH", store)
        .env("PORTOLAN__LISTEN__GRPC", grpc.to_string())
        .env("PORTOLAN__LISTEN__HTTP", http.to_string())
        .env("PORTOLAN__RECEIVE__OTLP_HTTP", otlp.to_string())
        .env("PORTOLAN__RECEIVE__OTLP_GRPC", port().to_string())
        .env("PORTOLAN__LINE__COMMIT_INTERVAL", "100ms")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    loop {
        let Some(Ok(line)) = lines.next() else { panic!("it did not start: {said}") };
        if line.contains("listening") {
            break;
        }
        said = format!("{said}\n{line}");
    }
    // Whoever is not read from blocks one day.
    std::thread::spawn(move || lines.for_each(drop));
    Served { child, grpc: format!("http://{grpc}"), otlp }
}

impl Served {
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    fn status(&self) -> serde_json::Value {
        json(&["query", "status", "--server", &self.grpc, "--output", "json"])
    }

    fn graph(&self) -> serde_json::Value {
        let graph =
            json(&["query", "graph", "--server", &self.grpc, "--output", "json", "--from", "-1h"]);
        graph["edges"].clone()
    }
}

#[test]
fn snapshot_of_a_running_server_is_served_and_goes_on_from_its_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let (store, copy) = (dir.path().join("store"), dir.path().join("copy"));
    let server = serve(&store);
    for call in 0..5 {
        post::call(server.otlp, call);
    }
    let to = copy.to_str().unwrap();
    let made = json(&["store", "snapshot", to, "--server", &server.grpc, "--output", "json"]);
    assert_eq!(made["shares_tables"], true);
    let (before, epoch) = (server.status(), made["epoch"].as_u64().unwrap());
    assert!(epoch > 0 && epoch <= before["epoch"].as_u64().unwrap());
    let again = refused(&["store", "snapshot", to, "--server", &server.grpc], 1);
    assert!(again.contains("copy: it exists and is not empty"), "{again}");

    let locked = refused(&["store", "verify", store.to_str().unwrap()], 3);
    assert!(locked.contains("portolan store snapshot DIR"), "{locked}");
    let verdict = json(&["store", "verify", to, "--output", "json"]);
    assert_eq!((&verdict["sound"], &verdict["epoch"]), (&true.into(), &epoch.into()));

    // Each goes on for itself: what is sent to one is not in the other.
    let served = serve(&copy);
    assert_eq!(served.graph(), server.graph());
    assert!(served.status()["epoch"].as_u64().unwrap() >= epoch);
    for call in 5..8 {
        post::call(served.otlp, call);
        post::call(server.otlp, call);
    }
    post::call(server.otlp, 8);
    // Each kind of what senders bring has a partition of its own.
    let offset = |of: &Served| -> i64 {
        let status = of.status();
        let partitions = status["partitions"].as_array().unwrap();
        partitions.iter().filter_map(|at| at["committed"].as_i64()).sum()
    };
    assert_eq!((offset(&served), offset(&server)), (8, 9));
    served.stop();
    server.stop();

    // At rest, the one that went on is copied without a server.
    let third = dir.path().join("third");
    let args = ["store", "snapshot", third.to_str().unwrap(), "--store", to, "--output", "json"];
    assert!(json(&args)["epoch"].as_u64().unwrap() > epoch);
    let sound = run(&["store", "verify", third.to_str().unwrap()]);
    let said = String::from_utf8(sound.stdout).unwrap();
    assert!(sound.status.success() && said.contains("all is well"), "{said}");
}

#[test]
fn what_cannot_be_copied_or_verified_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().join("nothing");
    let said = refused(&["store", "verify", nothing.to_str().unwrap()], 3);
    assert!(said.contains("there is no store at"), "{said}");
    let nobody = format!("http://{}", port());
    let to = dir.path().join("to");
    let said = refused(&["store", "snapshot", to.to_str().unwrap(), "--server", &nobody], 1);
    assert!(said.contains("cannot reach"), "{said}");
    assert!(!to.exists());
    let mut file = std::fs::File::create(dir.path().join("file")).unwrap();
    file.write_all(b"x").unwrap();
}
