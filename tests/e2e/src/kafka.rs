//! Apache Kafka from its published jars: one KRaft node on loopback, in a directory of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;
use tempfile::TempDir;

use crate::guard::Guarded;
use crate::ports::free_port;

mod jars;
mod probe;

/// The release that the tests run against.
pub const VERSION: &str = "4.3.1";

/// Starting takes 3 s here, and 12 s after `kill -9` with 1.7 GB of log to recover. Ten times that:
/// the machine may be busy.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// A clean stop takes 0.8 s.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Sixteen bytes in base64, as Kafka wants them. Every broker here is a cluster of its own, so one
/// id serves all.
const CLUSTER_ID: &str = "cG9ydG9sYW4tZTJlLWthZg";

const LOG4J: &str = r#"<Configuration status="WARN"><Appenders><Console name="out">
<PatternLayout pattern="%d %p %m (%c)%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="out"/></Root>
<Logger name="kafka.server" level="INFO"/></Loggers></Configuration>"#;

/// A broker of its own. Stopped, and its data removed, when dropped.
pub struct Kafka {
    process: Option<Guarded>,
    directory: TempDir,
    jars: PathBuf,
    port: u16,
}

impl Kafka {
    /// Fetches the jars if they are not cached yet, and starts a broker. Returns once it answers.
    ///
    /// # Errors
    /// `java` or `mvn` missing, Maven Central out of reach, or a broker that does not come up: with
    /// the end of its log.
    pub fn start() -> anyhow::Result<Self> {
        let jars = jars::fetched()?;
        let directory = tempfile::Builder::new().prefix("portolan-kafka-").tempdir()?;
        let (port, controller) = (free_port()?, free_port()?);
        let root = directory.path();
        std::fs::write(root.join("server.properties"), properties(root, port, controller))?;
        std::fs::write(root.join("log4j2.xml"), LOG4J)?;
        let mut kafka = Self { process: None, directory, jars, port };
        kafka.format()?;
        kafka.restart()?;
        Ok(kafka)
    }

    /// What clients connect to.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Process id of the broker, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Guarded::pid)
    }

    /// Where its configuration, log and data are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// SIGKILL: no goodbye, no flush.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill9())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.stop(STOP_PATIENCE).map(drop))
    }

    /// Starts it again on the same port and data. Returns once it answers.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.process.is_none(), "the broker runs already");
        let log = self.log_file()?;
        let root = self.directory.path();
        let mut command = java(&self.jars);
        command
            .args(["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC"])
            .arg(format!("-Dlog4j2.configurationFile={}", root.join("log4j2.xml").display()))
            .arg("kafka.Kafka")
            .arg(root.join("server.properties"))
            .stderr(log.try_clone()?)
            .stdout(log);
        let mut process = Guarded::spawn(&mut command, Some(root))?;
        let deadline = Instant::now() + START_PATIENCE;
        while !probe::answers(self.port) {
            if let Some(status) = process.ended()? {
                bail!("the broker ended at start ({status}): {}", self.log_tail());
            }
            if Instant::now() > deadline {
                bail!("the broker does not answer after {START_PATIENCE:?}: {}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.process = Some(process);
        Ok(())
    }

    fn format(&self) -> anyhow::Result<()> {
        let output = java(&self.jars)
            .args(["-Xmx256m", "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(self.directory.path().join("server.properties"))
            .output()?;
        anyhow::ensure!(
            output.status.success(),
            "storage cannot be formatted: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("kafka.log")
    }

    fn log_file(&self) -> anyhow::Result<File> {
        Ok(File::options().create(true).append(true).open(self.log_path())?)
    }

    /// The last lines of the broker's log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// A virtual machine that compiles only lightly: it lives for minutes.
fn java(jars: &Path) -> Command {
    let mut command = Command::new("java");
    command.arg("-XX:TieredStopAtLevel=1").arg("-cp").arg(jars.join("*"));
    command
}

/// One node, one of everything. A killed broker is let in again once its session is over, which by
/// default takes 9 s; a third of it still bears a busy machine.
fn properties(root: &Path, port: u16, controller: u16) -> String {
    let data = root.join("data");
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         broker.session.timeout.ms=3000\n\
         broker.heartbeat.interval.ms=500\n\
         group.initial.rebalance.delay.ms=0\n\
         offsets.topic.num.partitions=1\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.num.partitions=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n",
        data.display()
    )
}
