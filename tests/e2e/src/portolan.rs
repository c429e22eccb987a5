//! The binary under test, as a process: start, hurt, ask.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use portolan_proto::v1;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::guard::Guarded;
use crate::ports::free_port;

mod binary;
mod query;

pub use binary::command;

/// Serving again after `kill -9` is held under 3 s in release; this is an unoptimised build on a
/// busy machine, which may have to read a topic from the start.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A stop drains the line and commits.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// What a process is configured with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Kafka's address.
    pub brokers: String,
    /// What is read.
    pub topics: Vec<TopicSetup>,
    /// `section.key = value` of the configuration, in TOML: `("line.horizon", "\"30s\"")`.
    pub settings: Vec<(String, String)>,
}

/// One topic to read.
#[derive(Clone, Debug)]
pub struct TopicSetup {
    /// Name.
    pub name: String,
    /// `netobserv-pb`, `netobserv-json`, `portolan-pb` or `portolan-json`.
    pub encoding: &'static str,
    /// Address space; empty for the default.
    pub scope: String,
}

/// A `portolan serve` of its own: configuration, store, ports and log in one directory, which goes
/// with it.
pub struct Portolan {
    process: Option<Guarded>,
    directory: TempDir,
    binary: PathBuf,
    grpc: SocketAddr,
    http: SocketAddr,
    runtime: Runtime,
}

// === impl Setup ===

impl Setup {
    /// One cluster, no topics yet.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), topics: Vec::new(), settings: Vec::new() }
    }

    /// Reads one more topic.
    #[must_use]
    pub fn topic(mut self, name: &str, encoding: &'static str, scope: &str) -> Self {
        self.topics.push(TopicSetup { name: name.to_owned(), encoding, scope: scope.to_owned() });
        self
    }

    /// Sets a key, also one that was set before; the value is TOML.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.retain(|(set, _)| set != key);
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    fn toml(&self, store: &Path, grpc: SocketAddr, http: SocketAddr) -> String {
        let mut text = String::new();
        for (key, value) in &self.settings {
            text.extend([key, " = ", value, "\n"]);
        }
        let _ = write!(
            text,
            "listen.grpc = \"{grpc}\"\nlisten.http = \"{http}\"\nstore.path = {:?}\n\
             [[kafka]]\nname = \"e2e\"\nbrokers = {:?}\n",
            store.display().to_string(),
            self.brokers,
        );
        for TopicSetup { name, encoding, scope } in &self.topics {
            let _ = write!(text, "[[kafka.topics]]\nname = {name:?}\nencoding = {encoding:?}\n");
            if !scope.is_empty() {
                let _ = writeln!(text, "scope = {scope:?}");
            }
        }
        text
    }
}

// === impl Portolan ===

impl Portolan {
    /// Starts it, and returns once it is ready: rebuilt, and answering queries.
    ///
    /// # Errors
    /// A binary that cannot be built, or a process that ends or is not ready in time: with the end
    /// of its log.
    pub fn start(setup: &Setup) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("portolan-e2e-").tempdir()?;
        let address =
            || Ok::<_, anyhow::Error>(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
        let mut portolan = Self {
            process: None,
            binary: binary::built()?,
            grpc: address()?,
            http: address()?,
            directory,
            // A thread of its own lets go of connections at once: a stop waits for open ones.
            runtime: Builder::new_multi_thread().worker_threads(1).enable_all().build()?,
        };
        portolan.configure(setup)?;
        portolan.restart()?;
        Ok(portolan)
    }

    /// Writes the configuration anew, for the next start.
    pub fn configure(&self, setup: &Setup) -> anyhow::Result<()> {
        let text = setup.toml(&self.store(), self.grpc, self.http);
        std::fs::write(self.configuration(), text).context("the configuration cannot be written")
    }

    /// Starts it again on the same store and ports, and waits until it is ready.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        let deadline = Instant::now() + START_PATIENCE;
        while !self.ready() {
            if let Some(status) = self.ended()? {
                bail!("portolan ended at start ({status}): {}", self.log_tail());
            }
            if Instant::now() > deadline {
                bail!("portolan is not ready after {START_PATIENCE:?}: {}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Starts it and does not wait.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "portolan runs already");
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(&self.binary);
        command
            .arg("serve")
            .arg("--config")
            .arg(self.configuration())
            .current_dir(self.directory.path())
            .stderr(log.try_clone()?)
            .stdout(log);
        self.process = Some(Guarded::spawn(&mut command, Some(self.directory.path()))?);
        Ok(())
    }

    /// SIGKILL: no goodbye, no commit.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill9())
    }

    /// SIGTERM; how it ended.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let mut process = self.process.take().context("portolan does not run")?;
        process.stop(STOP_PATIENCE).with_context(|| self.log_tail())
    }

    /// Resident memory in bytes, while it runs.
    pub fn resident(&self) -> Option<u64> {
        let pid = self.process.as_ref()?.pid();
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1_024)
    }

    /// Bytes of the store's files: an upper bound of what it takes, since journals are allocated
    /// ahead.
    pub fn store_bytes(&self) -> u64 {
        disk_bytes(&self.store())
    }

    /// How it ended, if it ended by itself.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), Guarded::ended)
    }

    /// Whether `/readyz` says 200.
    pub fn ready(&self) -> bool {
        self.http_get("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// The raw answer to a GET, head and body.
    pub fn http_get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let host = self.http;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Address of the gRPC server.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Directory of the store.
    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// File of the configuration.
    pub fn configuration(&self) -> PathBuf {
        self.directory.path().join("portolan.toml")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("portolan.log")
    }

    /// Everything it has logged, over all starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// Files may go while they are counted: they then count for nothing.
fn disk_bytes(path: &Path) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    if !meta.is_dir() {
        return meta.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| disk_bytes(&entry.path())).sum()
}

/// The graph over all of time, raw: what two runs are compared by.
pub(crate) fn everything() -> v1::GetGraphRequest {
    v1::GetGraphRequest {
        // From the first microsecond: zero on both sides would mean open, which is the same.
        range: Some(v1::TimeRange { from_unix_us: 1, to_unix_us: 0 }),
        page_size: 10_000,
        ..v1::GetGraphRequest::default()
    }
}
