//! Why a configuration was refused.

use std::fmt;

/// A configuration that is not usable: where, which key, why, and what would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `portolan.toml, line 7`, or the name of the environment variable.
    pub place: String,
    /// Path of the key; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What is allowed, where that can be said.
    pub allowed: Option<&'static str>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, problem, allowed } = self;
        f.write_str(place)?;
        for part in [key, problem].into_iter().filter(|part| !part.is_empty()) {
            write!(f, ": {part}")?;
        }
        allowed.map_or(Ok(()), |allowed| write!(f, "\n  allowed: {allowed}"))
    }
}

impl std::error::Error for Refused {}
