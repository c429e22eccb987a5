//! Kafka's jars: fetched once through Maven, kept outside the tree.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::VERSION;
use crate::guard::Guarded;

/// A cold fetch of the 44 MB takes 4 to 9 s here; a slow line gets time, a dead one does not hang.
const FETCH_PATIENCE: Duration = Duration::from_secs(300);

/// The directory with the jars, fetched first if need be. Other processes that want the same wait.
pub(super) fn fetched() -> anyhow::Result<PathBuf> {
    // Before the cache is asked: jars without a virtual machine are of no use.
    ensure!(runs("java"), "java is missing; install it with: apt-get install default-jdk-headless");
    let cache = cache_root()?.join("portolan");
    fs::create_dir_all(&cache).with_context(|| format!("{} cannot be made", cache.display()))?;
    let name = format!("kafka-{VERSION}");
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    lock.lock().context("the cache cannot be locked")?;
    let done = cache.join(&name);
    if done.join(main_jar()).is_file() {
        return Ok(done);
    }
    ensure!(runs("mvn"), "mvn is missing; install it with: apt-get install maven");
    // Made whole under another name, then renamed: nobody ever sees half of it.
    let partial = tempfile::Builder::new().prefix(&name).suffix(".partial").tempdir_in(&cache)?;
    fetch(partial.path())?;
    let jars = partial.path().join("lib");
    ensure!(jars.join(main_jar()).is_file(), "Maven did not bring {}", main_jar());
    if done.exists() {
        fs::remove_dir_all(&done).context("an incomplete cache cannot be removed")?;
    }
    fs::rename(&jars, &done).context("the jars cannot be moved into the cache")?;
    Ok(done)
}

fn main_jar() -> String {
    format!("kafka_2.13-{VERSION}.jar")
}

fn runs(tool: &str) -> bool {
    let tried = Command::new(tool).arg("-version").output();
    tried.is_ok_and(|output| output.status.success())
}

/// As the XDG base directory specification has it.
fn cache_root() -> anyhow::Result<PathBuf> {
    let xdg = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    xdg.or_else(|| Some(std::env::home_dir()?.join(".cache"))).context("no home directory")
}

/// The broker, and a binding without which it logs nothing.
fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\n\
         <groupId>portolan</groupId><artifactId>kafka-jars</artifactId><version>1</version>\n\
         <dependencies>\n{}{}</dependencies></project>\n",
        dependency("org.apache.kafka", "kafka_2.13", VERSION),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.2"),
    )
}

fn fetch(directory: &Path) -> anyhow::Result<()> {
    fs::write(directory.join("pom.xml"), pom())?;
    let log = directory.join("mvn.log");
    let file = File::create(&log)?;
    let mut command = Command::new("mvn");
    command
        .current_dir(directory)
        .args([
            "-q",
            "-B",
            "-Dstyle.color=never",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
        ])
        .arg("-DoutputDirectory=lib")
        .stderr(file.try_clone()?)
        .stdout(file);
    let mut maven = Guarded::spawn(&mut command, None)?;
    let deadline = Instant::now() + FETCH_PATIENCE;
    let status = loop {
        match maven.ended()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                bail!("Maven Central is out of reach: no answer within {FETCH_PATIENCE:?}")
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let first = said.lines().find(|line| line.contains("ERROR")).unwrap_or("no reason given");
        bail!("Maven Central is out of reach: {first}");
    }
    Ok(())
}
