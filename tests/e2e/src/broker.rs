//! The broker that a test binary shares, and the word on which one it is.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::topics::Topics;
use crate::{Embedded, Kafka};

/// Set to `embedded`, it keeps the tests off the real Kafka: to try the stand-in by itself.
const CHOICE: &str = "PORTOLAN_E2E_BROKER";

/// What the tests run on.
pub enum Broker {
    /// Apache Kafka.
    Real(Kafka),
    /// The stand-in, and why it had to be.
    Embedded(Embedded, String),
}

impl Broker {
    /// The one broker of this test process, started at first use. Topics keep tests apart: each
    /// uses names of its own. Tests that stop a broker start their own with [`Broker::start`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| {
            let broker = Self::start();
            let said = broker.describe();
            // The tests are worth the same without the note, so a failure to write it is only said.
            if let Err(error) = note(&said) {
                eprintln!("the note for the end of the output cannot be written: {error:#}");
            }
            eprintln!("{said}");
            broker
        })
    }

    /// A broker for one test: the real one if it can be had.
    pub fn start() -> Self {
        let forced = std::env::var(CHOICE).is_ok_and(|choice| choice == "embedded");
        let reason = if forced {
            format!("{CHOICE}=embedded asks for it")
        } else {
            match Kafka::start() {
                Ok(kafka) => return Self::Real(kafka),
                Err(error) => format!("{error:#}"),
            }
        };
        let embedded = Embedded::start().expect("a mock cluster needs nothing but loopback");
        Self::Embedded(embedded, reason)
    }

    /// What clients connect to.
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Real(kafka) => kafka.bootstrap(),
            Self::Embedded(embedded, _) => embedded.bootstrap().to_owned(),
        }
    }

    /// Topics on it: make, write, read.
    pub fn topics(&self) -> Topics<'_> {
        Topics::new(self)
    }

    /// The real one, for what only that can do.
    pub fn real(&self) -> Option<&Kafka> {
        match self {
            Self::Real(kafka) => Some(kafka),
            Self::Embedded(..) => None,
        }
    }

    /// Takes it away from its clients: the real one by `kill -9`, the stand-in by closing its
    /// connections.
    pub fn take_down(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Real(kafka) => kafka.kill9(),
            Self::Embedded(embedded, _) => embedded.down(),
        }
    }

    /// Brings it back on the same address with the same data.
    pub fn bring_back(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Real(kafka) => kafka.restart(),
            Self::Embedded(embedded, _) => embedded.up(),
        }
    }

    /// One line for the end of the output.
    pub fn describe(&self) -> String {
        match self {
            Self::Real(_) => format!("e2e ran on: Apache Kafka {}", crate::KAFKA_VERSION),
            Self::Embedded(_, reason) => {
                let reason = reason.lines().next().unwrap_or_default();
                format!("e2e ran on: the EMBEDDED broker, not on Apache Kafka, because {reason}")
            }
        }
    }
}

/// `make test` prints this file last.
fn note(line: &str) -> anyhow::Result<()> {
    std::fs::write(target_directory()?.join("e2e-broker.txt"), format!("{line}\n"))?;
    Ok(())
}

/// The target directory: test binaries run from `<target>/<profile>/deps`.
pub(crate) fn target_directory() -> anyhow::Result<PathBuf> {
    let profile = profile_directory()?;
    let target = profile.parent().ok_or_else(|| anyhow::anyhow!("no target directory"))?;
    Ok(target.to_owned())
}

/// `<target>/<profile>`, where cargo puts the binaries.
pub(crate) fn profile_directory() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let profile = own.ancestors().nth(2);
    Ok(profile
        .ok_or_else(|| anyhow::anyhow!("{} is not under a target", own.display()))?
        .to_owned())
}
