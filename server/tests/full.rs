//! A server whose disk is full: it waits, serves what it has, and goes on in the same process once there is room.
//!
//! The disk is a small one in memory, in a name space of its own. Where that is not allowed, the test says so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[path = "store/post.rs"]
mod post;

/// Between two looks at something that has to come.
const PAUSE: Duration = Duration::from_millis(100);

struct Served {
    child: Child,
    grpc: String,
    otlp: std::net::SocketAddr,
    /// The small disk, as it is seen from outside of its name space.
    disk: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn portolan() -> &'static str {
    env!("CARGO_BIN_EXE_portolan")
}

/// A port that was free a moment ago.
fn port() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server whose store is a disk of its own; none where that cannot be had.
fn serve(store: &Path) -> Option<Served> {
    std::fs::create_dir(store).unwrap();
    let (grpc, otlp) = (port(), port());
    let script = "mount -t tmpfs -o size=200m tmpfs \"$PORTOLAN__STORE__PATH\" || exit 77; exec \"$0\" serve";
    let child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, portolan()])
        .env_remove("PORTOLAN_CONFIG")
        .env("PORTOLAN__STORE__PATH", store)
        .env("PORTOLAN__LISTEN__GRPC", grpc.to_string())
        .env("PORTOLAN__LISTEN__HTTP", port().to_string())
        .env("PORTOLAN__RECEIVE__OTLP_HTTP", otlp.to_string())
        .env("PORTOLAN__RECEIVE__OTLP_GRPC", port().to_string())
        .env("PORTOLAN__LINE__COMMIT_INTERVAL", "100ms")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no unshare");
        return None;
    };
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    loop {
        let Some(Ok(line)) = lines.next() else {
            let code = child.wait().unwrap().code();
            assert!(
                code == Some(77) || said.contains("unshare failed"),
                "it did not start: {said}"
            );
            eprintln!("skipped: a disk of one's own cannot be had here: {said}");
            return None;
        };
        if line.contains("listening") {
            break;
        }
        said = format!("{said}\n{line}");
    }
    std::thread::spawn(move || lines.for_each(drop));
    let inside = store.strip_prefix("/").unwrap();
    let disk = PathBuf::from(format!("/proc/{}/root", child.id())).join(inside);
    Some(Served { child, grpc: format!("http://{grpc}"), otlp, disk })
}

impl Served {
    /// What a question is answered; nothing while nobody answers.
    fn ask(&self, args: &[&str]) -> Option<serde_json::Value> {
        let out = Command::new(portolan())
            .arg("query")
            .args(args)
            .args(["--server", &self.grpc, "--output", "json"])
            .output()
            .unwrap();
        out.status.success().then(|| serde_json::from_slice(&out.stdout).unwrap())
    }

    fn until<T>(&self, args: &[&str], come: impl Fn(serde_json::Value) -> Option<T>) -> T {
        // Nothing here takes a minute, unless it never comes.
        for _ in 0..600 {
            if let Some(come) = self.ask(args).and_then(&come) {
                return come;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("never: {:?}", self.ask(args));
    }

    /// Sends a call until it is taken.
    fn send(&self, number: u8) {
        let otlp = self.otlp;
        let sent = || std::panic::catch_unwind(|| post::call(otlp, number)).is_ok();
        assert!((0..600).any(|_| {
            let done = sent();
            if !done {
                std::thread::sleep(PAUSE);
            }
            done
        }));
    }

    fn calls(&self) -> i64 {
        self.until(&["coverage", "--from", "-1h"], |graph| Some(counted(&graph)))
    }
}

/// Calls of the only edge.
fn counted(graph: &serde_json::Value) -> i64 {
    graph["edges"][0]["calls"][0]["calls"].as_f64().unwrap_or(0.0).round() as i64
}

/// Takes all that is left of the disk.
fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    for piece in [1 << 20, 4_096, 1] {
        let bytes = vec![1_u8; piece];
        while file.write_all(&bytes).is_ok() {}
    }
}

#[test]
fn server_waits_for_room_serves_meanwhile_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = serve(&dir.path().join("store")) else { return };
    for call in 0..5 {
        server.send(call);
    }
    assert_eq!(server.calls(), 5);
    let ballast = server.disk.join("ballast");
    fill(&ballast);
    let room = AtomicBool::new(false);
    let sent = std::thread::scope(|threads| {
        // Each is answered when it is committed, and not before. What has begun of a page still fits.
        let sending = threads.spawn(|| {
            let calls = (5..200).take_while(|_| !room.load(Ordering::SeqCst));
            calls.inspect(|call| server.send(*call)).last().map_or(5, |last| last + 1)
        });
        let reason = server.until(&["status"], |status| {
            let reason = status["reason"].as_str()?.to_owned();
            (status["state"] == "degraded" && reason.contains("is full")).then_some(reason)
        });
        assert!(reason.contains("store: disk of store"), "{reason}");
        let shown = server.calls();
        assert!(shown >= 5, "the map is served as it was");
        assert!(!sending.is_finished(), "what is not committed is not answered");
        room.store(true, Ordering::SeqCst);
        std::fs::remove_file(&ballast).unwrap();
        i64::from(sending.join().unwrap())
    });
    server.until(&["coverage", "--from", "-1h"], |graph| (counted(&graph) >= sent).then_some(()));
    assert_eq!(server.calls(), sent, "each counts once");
    server.until(&["status"], |status| (status["state"] == "running").then_some(()));
}
