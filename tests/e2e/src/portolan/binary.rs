//! Finding the binary, and building it if it is missing or older than its sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, ensure};

use crate::broker::{profile_directory, target_directory};

/// The binary, to be run with arguments of the test's own.
///
/// # Errors
/// A binary that cannot be built.
pub fn command() -> anyhow::Result<Command> {
    Ok(Command::new(built()?))
}

/// The path of the binary of this profile. `cargo test --workspace` has built it; `cargo test -p
/// portolan-e2e` alone has not.
pub(super) fn built() -> anyhow::Result<PathBuf> {
    // Tests are threads: one of them looks, and builds; a change of the sources under way does not
    // make the others run another binary.
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(binary) = &*built {
        return Ok(binary.clone());
    }
    let binary = build()?;
    *built = Some(binary.clone());
    Ok(binary)
}

fn build() -> anyhow::Result<PathBuf> {
    let profile = profile_directory()?;
    let binary = profile.join("portolan");
    if is_fresh(&binary, &profile.join("portolan.d")) {
        return Ok(binary);
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--package", "portolan-server"]);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .env("CARGO_TARGET_DIR", target_directory()?)
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "portolan does not build");
    Ok(binary)
}

/// Whether the binary is younger than every source that cargo's dependency file names.
fn is_fresh(binary: &Path, sources: &Path) -> bool {
    let Some(made) = modified(binary) else { return false };
    let Ok(text) = fs::read_to_string(sources) else { return false };
    let (_, list) = text.split_once(": ").unwrap_or_default();
    // Names with blanks have them escaped: the pieces are then not found, and cargo decides.
    list.split_whitespace().all(|source| modified(source.as_ref()).is_some_and(|at| at <= made))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
